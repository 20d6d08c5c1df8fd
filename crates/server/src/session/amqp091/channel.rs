//! A channel: what it has out, what it is in the middle of, and which method goes where.

use std::sync::Arc;

use hashbrown::HashMap;
use leveret_broker::broker::Route;
use leveret_broker::ids::{ConsumerId, Name};
use leveret_broker::log::Position;
use leveret_broker::message::MessageBuilder;
use leveret_broker::queue::ChannelLimit;
use leveret_wire::amqp091::ReplyCode;
use leveret_wire::amqp091::method::Method;

use super::confirm::Confirms;
use super::consumer_timeout::Ages;
use super::failure::{Failure, Outcome};
use super::link::Link;
use super::transaction::OpenTransaction;
use super::unacked::UnackedList;
use crate::stats::ChannelStats;
use crate::tenants::Seat;

/// Whether a channel still listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelState {
    Open,
    /// The server closed it, and waits for the close-ok.
    Closing,
}

/// Class and method of `basic.publish`.
pub(super) const PUBLISH_IDS: (u16, u16) = (60, 40);

/// A publish in the middle of arriving.
#[derive(Debug)]
pub(super) enum Content {
    None,
    /// After the method.
    Header,
    /// After the content header.
    Body(MessageBuilder),
}

/// How publishes are answered.
#[derive(Debug)]
pub(super) enum Mode {
    Plain,
    Confirm(Confirms),
    Tx(OpenTransaction),
}

/// The consumer of direct replies.
#[derive(Debug)]
pub(super) struct ReplyConsumer {
    pub(super) consumer: ConsumerId,
    pub(super) token: String,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) stats: Arc<ChannelStats>,
    pub(super) state: ChannelState,
    pub(super) content: Content,
    /// The publish under way.
    pub(super) exchange: String,
    pub(super) routing_key: String,
    /// Where these two lead, as of this version of the definitions.
    pub(super) last_route: Option<(u64, Arc<Route>)>,
    /// The version of the definitions as of which `exchange` may be published to.
    pub(super) may_write: Option<u64>,
    pub(super) mandatory: bool,
    pub(super) immediate: bool,
    pub(super) mode: Mode,
    pub(super) unacked: UnackedList,
    /// Of what is in it, once somebody has looked.
    pub(super) ages: Option<Box<Ages>>,
    /// While it is open.
    pub(super) seat: Option<Seat>,
    /// The delivery tag given last.
    pub(super) last_tag: u64,
    /// For consumers to come.
    pub(super) prefetch: u32,
    pub(super) limit: Arc<ChannelLimit>,
    /// Declared last on this channel; empty is none.
    pub(super) last_queue: Name,
    pub(super) consumers: HashMap<Name, ConsumerId>,
    pub(super) reply: Option<ReplyConsumer>,
}

impl Channel {
    pub(super) fn new(stats: Arc<ChannelStats>, seat: Option<Seat>) -> Self {
        Self {
            number: stats.number,
            stats,
            state: ChannelState::Open,
            content: Content::None,
            exchange: String::new(),
            routing_key: String::new(),
            last_route: None,
            may_write: None,
            mandatory: false,
            immediate: false,
            mode: Mode::Plain,
            unacked: UnackedList::default(),
            ages: None,
            seat,
            last_tag: 0,
            prefetch: 0,
            limit: Arc::default(),
            last_queue: Name::default(),
            consumers: HashMap::new(),
            reply: None,
        }
    }

    /// Class and method to blame for a content frame.
    pub(super) fn content_ids(&self) -> (u16, u16) {
        match self.content {
            Content::None => (0, 0),
            Content::Header | Content::Body(_) => PUBLISH_IDS,
        }
    }

    /// The memory of the message that is half received.
    pub(super) fn half_bytes(&self) -> usize {
        match &self.content {
            Content::None | Content::Header => 0,
            Content::Body(builder) => builder.memory(),
        }
    }

    /// A method may not come in the middle of a publish.
    pub(super) fn check_no_content(&self) -> Outcome {
        match self.content {
            Content::None => Ok(()),
            Content::Header => Err(unexpected_header()),
            Content::Body(_) => Err(unexpected_body()),
        }
    }

    /// The queue that a method means by its name; the empty one is the last declared.
    pub(super) fn queue_name<'a>(&'a self, name: &'a str) -> Outcome<&'a str> {
        match (name.is_empty(), self.last_queue.is_empty()) {
            (false, _) => Ok(name),
            (true, false) => Ok(&self.last_queue),
            (true, true) => Err(Failure::new(ReplyCode::NotFound, "no previously declared queue")),
        }
    }

    /// A method other than channel.open, channel.close, basic.consume and basic.cancel.
    pub(super) fn on_method(&mut self, link: &mut Link, method: &Method<'_>) -> Outcome {
        match *method {
            Method::BasicPublish { exchange, routing_key, mandatory, immediate } => {
                link.publishes = true;
                self.start_publish(exchange, routing_key, mandatory, immediate);
                Ok(())
            }
            Method::BasicAck { delivery_tag, multiple } => {
                self.on_ack(link, delivery_tag, multiple)
            }
            Method::BasicNack { delivery_tag, multiple, requeue } => {
                self.on_nack(link, delivery_tag, multiple, requeue)
            }
            Method::BasicReject { delivery_tag, requeue } => {
                self.on_nack(link, delivery_tag, false, requeue)
            }
            _ => self.on_rare_method(link, method),
        }
    }

    fn on_rare_method(&mut self, link: &mut Link, method: &Method<'_>) -> Outcome {
        match *method {
            Method::ChannelFlow { active } => self.on_flow(link, active),
            Method::AccessRequest { .. } => {
                link.send(self.number, &Method::AccessRequestOk { ticket: 1 });
                Ok(())
            }
            Method::BasicQos { prefetch_size, prefetch_count, global } => {
                self.on_qos(link, prefetch_size, prefetch_count, global)
            }
            Method::BasicGet { queue, no_ack } => self.on_get(link, queue, no_ack),
            Method::BasicRecover { requeue } => self.on_recover(link, requeue, true),
            Method::BasicRecoverAsync { requeue } => self.on_recover(link, requeue, false),
            Method::ConfirmSelect { no_wait } => self.on_confirm_select(link, no_wait),
            Method::TxSelect {} => self.on_tx_select(link),
            Method::TxCommit {} => self.on_tx_commit(link),
            Method::TxRollback {} => self.on_tx_rollback(link),
            Method::ExchangeDeclare { .. }
            | Method::ExchangeDelete { .. }
            | Method::ExchangeBind { .. }
            | Method::ExchangeUnbind { .. } => self.on_exchange_method(link, method),
            Method::QueueDeclare { .. }
            | Method::QueueBind { .. }
            | Method::QueueUnbind { .. }
            | Method::QueuePurge { .. }
            | Method::QueueDelete { .. } => self.on_queue_method(link, method),
            _ => Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method")),
        }
    }

    fn on_flow(&mut self, link: &mut Link, active: bool) -> Outcome {
        if !active {
            return Err(Failure::new(ReplyCode::NotImplemented, "active=false"));
        }
        link.send(self.number, &Method::ChannelFlowOk { active });
        Ok(())
    }

    /// Sends the answer to a method unless the client does not want one.
    pub(super) fn answer(&self, link: &mut Link, no_wait: bool, method: &Method<'_>) {
        if !no_wait {
            link.send(self.number, method);
        }
    }

    /// Answers a change that the log has at `position`: the answer leaves once that is durable.
    pub(super) fn answer_durable(
        &self,
        link: &mut Link,
        position: Position,
        no_wait: bool,
        method: &Method<'_>,
    ) {
        link.note_change(position);
        if !no_wait {
            link.hold(position);
            link.send(self.number, method);
        }
    }
}

pub(super) fn unexpected_header() -> Failure {
    let text = "expected content header for class 60, got non content header frame instead";
    Failure::new(ReplyCode::UnexpectedFrame, text)
}

pub(super) fn unexpected_body() -> Failure {
    let text = "expected content body, got non content body frame instead";
    Failure::new(ReplyCode::UnexpectedFrame, text)
}
