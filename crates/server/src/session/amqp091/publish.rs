//! Publishing: method, content header, body; then routing, and into the turn's batch.

use std::sync::Arc;

use leveret_broker::broker::{REPLY_TO_PREFIX, Route};
use leveret_broker::ids::Name;
use leveret_broker::message::{Message, MessageBuilder, PublishRefusal, excess_headers};
use leveret_broker::routing::RoutingInput;
use leveret_wire::amqp091::ReplyCode;
use leveret_wire::amqp091::constants::CLASS_BASIC;
use leveret_wire::amqp091::frame::{ContentHeader, Publish, write_return};

use super::channel::{Channel, ChannelState, Content, Mode, unexpected_body, unexpected_header};
use super::deliver::write_content;
use super::failure::{Failure, Outcome};
use super::link::{Link, mark};
use crate::clock;

impl Channel {
    pub(super) fn start_publish(
        &mut self,
        exchange: &str,
        routing_key: &str,
        mandatory: bool,
        immediate: bool,
    ) {
        self.set_target(exchange, routing_key);
        self.mandatory = mandatory;
        self.immediate = immediate;
        self.content = Content::Header;
    }

    fn set_target(&mut self, exchange: &str, routing_key: &str) {
        // Mostly the same as before.
        if self.routing_key != routing_key || self.exchange != exchange {
            if self.exchange != exchange {
                self.may_write = None;
            }
            self.exchange.clear();
            self.exchange.push_str(exchange);
            self.routing_key.clear();
            self.routing_key.push_str(routing_key);
            self.last_route = None;
        }
    }

    /// A publish that is there as a whole. None if something about it is unusual: nothing has
    /// happened then, and its frames have to be taken one by one.
    pub(super) fn on_publish(&mut self, link: &mut Link, publish: &Publish<'_>) -> Option<Outcome> {
        let is_usual = self.state == ChannelState::Open
            && matches!(self.content, Content::None)
            && publish.body.len() as u64 <= link.options.max_message_size
            && link.takes_wholes;
        if !is_usual {
            return None;
        }
        let same = self.routing_key.as_bytes() == publish.routing_key
            && self.exchange.as_bytes() == publish.exchange;
        if !same {
            let exchange = str::from_utf8(publish.exchange).ok()?;
            self.set_target(exchange, str::from_utf8(publish.routing_key).ok()?);
        }
        self.mandatory = publish.mandatory;
        self.immediate = publish.immediate;
        link.published.add(publish.body.len() as u64);
        let built = MessageBuilder::whole(
            &self.exchange,
            &self.routing_key,
            publish.properties,
            publish.body,
            link.sender.as_deref(),
            self.reply_token(),
        );
        Some(match built {
            Ok((message, extra_keys)) => self.finish_publish(link, message, &extra_keys),
            Err(refusal) => Err(self.refused(link, refusal)),
        })
    }

    fn reply_token(&self) -> Option<&str> {
        self.reply.as_ref().map(|reply| reply.token.as_str())
    }

    pub(super) fn on_header(&mut self, link: &mut Link, header: &ContentHeader<'_>) -> Outcome {
        match self.content {
            Content::Header => {}
            Content::Body(_) => return Err(unexpected_body()),
            Content::None => return Err(unexpected_method()),
        }
        if header.class_id != CLASS_BASIC {
            let class = header.class_id;
            let text =
                format!("expected content header for class 60, got one for class {class} instead");
            return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
        }
        let max = link.options.max_message_size;
        if header.body_size > max {
            self.content = Content::None;
            let size = header.body_size;
            let text = format!("message size {size} is larger than configured max size {max}");
            return Err(Failure::precondition(text));
        }
        self.content = Content::None;
        check_headers(link, header.properties)?;
        let builder = MessageBuilder::new(
            &self.exchange,
            &self.routing_key,
            header.properties,
            header.body_size,
            link.sender.as_deref(),
            self.reply_token(),
        )
        .map_err(|refusal| self.refused(link, refusal))?;
        link.published.add(header.body_size);
        if builder.missing() == 0 {
            let (message, extra_keys) = builder.finish();
            return self.finish_framed(link, message, &extra_keys);
        }
        self.content = Content::Body(builder);
        link.has_halves = true;
        Ok(())
    }

    /// A refused header; a missing exchange is told before anything that is wrong with the message.
    fn refused(&self, link: &Link, refusal: PublishRefusal) -> Failure {
        let refusal = match refusal {
            PublishRefusal::Malformed => {
                let text = "cannot decode the content header's properties";
                return Failure::new(ReplyCode::FrameError, text);
            }
            PublishRefusal::Refused(refusal) => refusal,
        };
        let (broker, who) = (link.broker(), &link.who);
        if let Err(first) = broker.permit_publish(&link.topology, who, &self.exchange) {
            return first.into();
        }
        let (routing_key, now) = (self.routing_key.as_str(), link.now);
        let input = RoutingInput { routing_key, extra_keys: &[], message: None, now };
        match link.broker().route(&link.topology, &link.who, &self.exchange, &input) {
            Ok(_) => refusal.into(),
            Err(first) => first.into(),
        }
    }

    pub(super) fn on_body(&mut self, link: &mut Link, chunk: &[u8], end_of_frame: bool) -> Outcome {
        let builder = match &mut self.content {
            Content::Body(builder) => builder,
            Content::Header => return Err(unexpected_header()),
            Content::None => return Err(unexpected_method()),
        };
        if let Err(excess) = builder.push(chunk) {
            let text = format!("content body is {excess} bytes longer than its header says");
            return Err(Failure::new(ReplyCode::FrameError, text));
        }
        if !end_of_frame || builder.missing() > 0 {
            return Ok(());
        }
        match std::mem::replace(&mut self.content, Content::None) {
            Content::Body(builder) => {
                let (message, extra_keys) = builder.finish();
                self.finish_framed(link, message, &extra_keys)
            }
            _ => Ok(()),
        }
    }

    /// A publish that came frame by frame, as all do whose traces may be recorded.
    fn finish_framed(&mut self, link: &mut Link, message: Message, extra_keys: &[Name]) -> Outcome {
        let reply = self.exchange.is_empty() && self.routing_key.starts_with(REPLY_TO_PREFIX);
        let traces = link.traces.as_ref().filter(|_| !reply && !self.immediate);
        let Some(publishing) = traces.and_then(|traces| traces.begin(&message)) else {
            return self.finish_publish(link, message, extra_keys);
        };
        let (message, since_ns) = (publishing.sent(message), clock::nanos());
        let route = self.route(link, &message, extra_keys);
        let routed = route.as_ref().map(|route| route.queues.len());
        if let Some(traces) = &mut link.traces {
            traces.routed(&publishing, &message, since_ns, routed);
        }
        self.publish_to(link, message, route?)
    }

    fn finish_publish(
        &mut self,
        link: &mut Link,
        message: Message,
        extra_keys: &[Name],
    ) -> Outcome {
        if self.immediate {
            return Err(Failure::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        if self.exchange.is_empty() && self.routing_key.starts_with(REPLY_TO_PREFIX) {
            self.permit(link)?;
            self.note_publish(link);
            self.stats.publish.add(1);
            let token = &self.routing_key[REPLY_TO_PREFIX.len()..];
            if !link.broker().reply(token, message.clone()) && self.mandatory {
                self.return_message(link, &message);
            }
            return Ok(());
        }
        let route = self.route(link, &message, extra_keys)?;
        self.publish_to(link, message, route)
    }

    /// Takes a message that is routed into the turn's batch, or the transaction.
    #[inline(always)] // 25 instructions a publish: it has a second caller for what is traced
    fn publish_to(&mut self, link: &mut Link, message: Message, route: Arc<Route>) -> Outcome {
        if let Mode::Tx(transaction) = &mut self.mode {
            let max = link.options.transaction_max_bytes;
            let size = message.size();
            transaction.publish(message, route, self.mandatory, max)?;
            link.broker().count_memory(size as i64);
            link.shared.check_memory(link.now);
            return Ok(());
        }
        let tag = self.note_publish(link);
        self.stats.publish.add(1);
        link.count_route(&route);
        if !route.queues.is_empty() {
            link.outgoing.push(message, &route, mark(self.number, tag));
        } else if self.mandatory {
            self.return_message(link, &message);
        } else {
            self.stats.drop_unroutable.add(1);
        }
        Ok(())
    }

    /// Whether the user may publish to the exchange, once for each version of the definitions.
    fn permit(&mut self, link: &Link) -> Outcome {
        let version = link.routes.version();
        if self.may_write != Some(version) {
            link.broker().permit_publish(&link.topology, &link.who, &self.exchange)?;
            self.may_write = Some(version);
        }
        Ok(())
    }

    /// Forgets where the user may publish: a new credential may allow less.
    pub(super) fn forget_permits(&mut self) {
        self.may_write = None;
        self.last_route = None;
    }

    /// The queues for a message, from memory if they are known.
    #[inline(always)] // as `publish_to`
    fn route(
        &mut self,
        link: &mut Link,
        message: &Message,
        extra_keys: &[Name],
    ) -> Outcome<Arc<Route>> {
        let version = link.routes.version();
        match &self.last_route {
            Some((of, route)) if *of == version && extra_keys.is_empty() => Ok(Arc::clone(route)),
            _ => self.find_route(link, message, extra_keys),
        }
    }

    /// As [`Self::route`], where it is not the one of the last publish.
    fn find_route(
        &mut self,
        link: &mut Link,
        message: &Message,
        extra_keys: &[Name],
    ) -> Outcome<Arc<Route>> {
        let version = link.routes.version();
        if extra_keys.is_empty()
            && let Some(route) = link.routes.get(&self.exchange, &self.routing_key)
        {
            self.last_route = Some((version, Arc::clone(&route)));
            return Ok(route);
        }
        self.permit(link)?;
        let (routing_key, now) = (self.routing_key.as_str(), link.now);
        let input = RoutingInput { routing_key, extra_keys, message: Some(message), now };
        let route = link.shared.broker.route(&link.topology, &link.who, &self.exchange, &input)?;
        let route = Arc::new(route);
        if route.cacheable {
            link.routes.remember(&self.exchange, &self.routing_key, &route);
        }
        Ok(route)
    }

    /// Sends an unroutable mandatory message back.
    pub(super) fn return_message(&self, link: &mut Link, message: &Message) {
        self.stats.return_unroutable.add(1);
        write_return(
            link.out.tail(),
            self.number,
            ReplyCode::NoRoute.code(),
            ReplyCode::NoRoute.name(),
            message.exchange(),
            message.routing_key(),
        );
        write_content(&mut link.out, self.number, message, link.frame_max);
    }
}

fn unexpected_method() -> Failure {
    let text = "expected method frame, got non method frame instead";
    Failure::new(ReplyCode::UnexpectedFrame, text)
}

/// Refuses more headers, or deeper ones, than the options allow.
fn check_headers(link: &Link, properties: &[u8]) -> Outcome {
    if !link.options.limits_headers() {
        return Ok(());
    }
    let (most, deepest) = (link.options.header_count_max, link.options.header_depth_max);
    excess_headers(properties, most, deepest)
        .map_or(Ok(()), |text| Err(Failure::precondition(text)))
}
