//! Consumers, gets and prefetch.

use std::sync::Arc;

use leveret_broker::broker::REPLY_TO;
use leveret_broker::ids::{ConsumerId, Name};
use leveret_broker::queue::{ConsumerSpec, Outlet};
use leveret_wire::amqp091::ReplyCode;
use leveret_wire::amqp091::frame::write_get_ok;
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::Table;

use super::channel::{Channel, ReplyConsumer};
use super::connection::Session;
use super::deliver::write_content;
use super::failure::{Failure, Outcome};
use super::half::EXHAUSTED_FREE;
use super::link::{ConsumerEntry, Link};
use super::traces::Delivered;
use super::unacked::Unacked;
use crate::stats::ConsumerStats;

/// A `basic.consume`.
struct Consume<'a> {
    queue: &'a str,
    tag: Name,
    no_ack: bool,
    exclusive: bool,
    arguments: Table<'a>,
}

impl Channel {
    pub(super) fn on_qos(
        &mut self,
        link: &mut Link,
        size: u32,
        count: u16,
        global: bool,
    ) -> Outcome {
        if size != 0 {
            let text = format!("prefetch_size!=0 ({size})");
            return Err(Failure::new(ReplyCode::NotImplemented, text));
        }
        // RabbitMQ: Consumer Prefetch. Global is the channel, otherwise each consumer to come.
        if global {
            self.limit.set(count.into());
            self.stats.global_prefetch.set(count.into());
            link.resume(Some(self.number));
        } else {
            self.prefetch = count.into();
            self.stats.prefetch.set(count.into());
        }
        link.send(self.number, &Method::BasicQosOk {});
        Ok(())
    }

    pub(super) fn on_get(&mut self, link: &mut Link, queue: &str, no_ack: bool) -> Outcome {
        let name = self.queue_name(queue)?;
        let queue = link.broker().readable_queue(&link.who, name)?;
        let Some(got) = link.broker().get(&queue, no_ack, link.now) else {
            self.stats.get_empty.add(1);
            link.send(self.number, &Method::BasicGetEmpty {});
            return Ok(());
        };
        let count = if no_ack { &self.stats.get_no_ack } else { &self.stats.get };
        count.add(1);
        self.stats.redeliver.add(u64::from(got.redelivered));
        link.hold(got.position);
        self.last_tag += 1;
        if let Some(traces) = &mut link.traces {
            traces.delivered(&Delivered {
                operation: "get",
                queue: &queue,
                seq: got.seq,
                message: &got.message,
                redelivered: got.redelivered,
                tag: self.last_tag,
                no_ack,
                consumer_tag: None,
            });
        }
        write_get_ok(
            link.out.tail(),
            self.number,
            self.last_tag,
            got.redelivered,
            got.message.exchange(),
            got.message.routing_key(),
            u32::try_from(got.remaining).unwrap_or(u32::MAX),
        );
        write_content(&mut link.out, self.number, &got.message, link.frame_max);
        if !no_ack {
            let tag = self.last_tag;
            link.watch_acks(&queue);
            link.acks.on_delivered(link.now);
            self.unacked.push(Unacked { tag, queue, seq: got.seq, by_consumer: false });
        }
        Ok(())
    }

    fn on_consume(&mut self, link: &mut Link, consume: &Consume<'_>, no_wait: bool) -> Outcome {
        if self.consumers.contains_key(&consume.tag) {
            let text = format!("attempt to reuse consumer tag '{}'", consume.tag);
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        let max = link.options.consumers_per_channel_max;
        if self.consumers.len() >= max {
            let text = format!("number of consumers on the channel has reached its limit ({max})");
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        let max = link.options.consumers_per_connection_max;
        if link.consumers.len() >= max {
            let text =
                format!("number of consumers on the connection has reached its limit ({max})");
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        if link.consumers.len() >= EXHAUSTED_FREE {
            link.check_exhausted("a consumer")?;
        }
        if consume.queue == REPLY_TO {
            self.consume_replies(link, consume)?;
        } else {
            self.consume_queue(link, consume)?;
        }
        self.answer(link, no_wait, &Method::BasicConsumeOk { consumer_tag: &consume.tag });
        Ok(())
    }

    fn consume_queue(&mut self, link: &mut Link, consume: &Consume<'_>) -> Outcome {
        let name = self.queue_name(consume.queue)?;
        let queue = link.broker().readable_queue(&link.who, name)?;
        let arguments = consume.arguments.to_owned();
        let priority = link.broker().consumer_priority(&link.who, name, &arguments)?;
        let id = link.broker().new_consumer();
        let spec = ConsumerSpec {
            id,
            outlet: link.mailbox.clone(),
            limit: Arc::clone(&self.limit),
            prefetch: self.prefetch,
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            priority,
        };
        if !consume.no_ack {
            link.watch_acks(&queue);
        }
        self.note_consumer(link, id, consume, Some(Arc::clone(&queue)));
        match link.broker().consume(&queue, spec, link.now) {
            // What it is given comes behind this.
            Ok(position) => link.hold(position),
            Err(refusal) => {
                self.forget_consumer(link, id);
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    fn consume_replies(&mut self, link: &mut Link, consume: &Consume<'_>) -> Outcome {
        if self.reply.is_some() {
            return Err(Failure::precondition("reply consumer already set"));
        }
        if !consume.no_ack {
            return Err(Failure::precondition("reply consumer cannot acknowledge"));
        }
        let consumer = link.broker().new_consumer();
        let outlet: Arc<dyn Outlet> = link.mailbox.clone();
        let token = link.broker().open_replies(consumer, outlet);
        self.reply = Some(ReplyConsumer { consumer, token });
        self.note_consumer(link, consumer, consume, None);
        Ok(())
    }

    fn note_consumer(
        &mut self,
        link: &mut Link,
        id: ConsumerId,
        consume: &Consume<'_>,
        queue: Option<Arc<leveret_broker::queue::QueueHandle>>,
    ) {
        let (tag, no_ack) = (consume.tag.clone(), consume.no_ack);
        self.stats.add_consumer(ConsumerStats {
            id,
            tag: tag.clone(),
            queue: queue.clone(),
            no_ack,
            exclusive: consume.exclusive,
            prefetch: self.prefetch,
            arguments: consume.arguments.to_owned(),
        });
        self.consumers.insert(tag.clone(), id);
        link.consumers.insert(id, ConsumerEntry { channel: self.number, tag, no_ack, queue });
    }

    /// Forgets a consumer on this side; the entry that it had.
    pub(super) fn forget_consumer(
        &mut self,
        link: &mut Link,
        id: ConsumerId,
    ) -> Option<ConsumerEntry> {
        let entry = link.consumers.remove(&id)?;
        self.stats.remove_consumer(id);
        self.consumers.remove(&entry.tag);
        if let Some(reply) = self.reply.take_if(|reply| reply.consumer == id) {
            link.broker().close_replies(&reply.token);
        }
        Some(entry)
    }
}

impl Session {
    /// Consume and cancel look at the mailbox too, and so belong to the whole connection.
    pub(super) fn on_consumer_method(&mut self, number: u16, method: &Method<'_>) -> Outcome {
        match *method {
            Method::BasicConsume {
                queue,
                consumer_tag,
                no_ack,
                exclusive,
                no_wait,
                arguments,
                ..
            } => {
                let tag = if consumer_tag.is_empty() {
                    self.link.broker().tokens().name("amq.ctag-").into()
                } else {
                    consumer_tag.into()
                };
                let consume = Consume { queue, tag, no_ack, exclusive, arguments };
                match self.channels.get_mut(&number) {
                    Some(channel) => channel.on_consume(&mut self.link, &consume, no_wait),
                    None => Ok(()),
                }
            }
            Method::BasicCancel { consumer_tag, no_wait } => {
                self.on_cancel(number, consumer_tag, no_wait);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Cancels a consumer; what was on its way to it is delivered before the answer.
    fn on_cancel(&mut self, number: u16, tag: &str, no_wait: bool) {
        let id = self.channels.get(&number).and_then(|channel| channel.consumers.get(tag)).copied();
        if let Some(id) = id {
            self.stop_consumer(id);
            self.take_deliveries();
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.forget_consumer(&mut self.link, id);
            }
        }
        if !no_wait {
            self.link.send(number, &Method::BasicCancelOk { consumer_tag: tag });
        }
    }

    /// Has the queue forget a consumer: nothing more is delivered to it.
    pub(super) fn stop_consumer(&self, id: ConsumerId) {
        if let Some(queue) = self.link.consumers.get(&id).and_then(|entry| entry.queue.clone()) {
            self.link.broker().cancel(&queue, id, self.link.now);
        }
    }
}
