//! The queue class.

use leveret_broker::broker::{BindRequest, QueueDeclared, QueueRequest};
use leveret_broker::routing::Destination;
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::Table;

use super::channel::Channel;
use super::failure::Outcome;
use super::link::Link;

impl Channel {
    pub(super) fn on_queue_method(&mut self, link: &mut Link, method: &Method<'_>) -> Outcome {
        match *method {
            Method::QueueDeclare { queue, passive: true, no_wait, .. } => {
                let found = link.broker().inspect_queue(&link.who, queue, link.now)?;
                self.answer_declare(link, no_wait, &found);
            }
            Method::QueueDeclare {
                queue,
                durable,
                exclusive,
                auto_delete,
                no_wait,
                arguments,
                ..
            } => {
                let arguments = arguments.to_owned();
                if !link.knows_queue(queue) {
                    link.check_exhausted("a queue")?;
                }
                let request =
                    QueueRequest { name: queue, durable, exclusive, auto_delete, arguments };
                let declared = link.broker().declare_queue(&link.who, request, link.now)?;
                if let (true, Some(created)) = (exclusive, &declared.created) {
                    link.own(created);
                }
                self.answer_declare(link, no_wait, &declared);
            }
            Method::QueueBind { queue, exchange, routing_key, no_wait, arguments } => {
                link.check_exhausted("a binding")?;
                let request = self.bind_request(queue, exchange, routing_key, arguments)?;
                let position = link.broker().bind(&link.who, request, link.now)?;
                self.answer_durable(link, position, no_wait, &Method::QueueBindOk {});
            }
            Method::QueueUnbind { queue, exchange, routing_key, arguments } => {
                let request = self.bind_request(queue, exchange, routing_key, arguments)?;
                let position = link.broker().unbind(&link.who, request)?;
                self.answer_durable(link, position, false, &Method::QueueUnbindOk {});
            }
            Method::QueuePurge { queue, no_wait } => {
                let name = self.queue_name(queue)?;
                let (purged, position) = link.broker().purge_queue(&link.who, name, link.now)?;
                let answer = Method::QueuePurgeOk { message_count: count(purged) };
                self.answer_durable(link, position, no_wait, &answer);
            }
            Method::QueueDelete { queue, if_unused, if_empty, no_wait } => {
                let name = self.queue_name(queue)?;
                let (deleted, position) =
                    link.broker().delete_queue(&link.who, name, if_unused, if_empty, link.now)?;
                let answer = Method::QueueDeleteOk { message_count: count(deleted) };
                self.answer_durable(link, position, no_wait, &answer);
            }
            _ => {}
        }
        Ok(())
    }

    fn answer_declare(&mut self, link: &mut Link, no_wait: bool, declared: &QueueDeclared) {
        self.last_queue = declared.name.clone();
        let answer = Method::QueueDeclareOk {
            queue: &declared.name,
            message_count: count(declared.ready),
            consumer_count: count(declared.consumers),
        };
        self.answer_durable(link, declared.position, no_wait, &answer);
    }

    /// An empty queue name is the queue declared last; with an empty key too, the key is its name.
    fn bind_request<'a>(
        &'a self,
        queue: &'a str,
        exchange: &'a str,
        routing_key: &'a str,
        arguments: Table<'_>,
    ) -> Outcome<BindRequest<'a>> {
        let name = self.queue_name(queue)?;
        let routing_key =
            if queue.is_empty() && routing_key.is_empty() { name } else { routing_key };
        Ok(BindRequest {
            source: exchange,
            destination: Destination::Queue(name.into()),
            routing_key,
            arguments: arguments.to_owned(),
        })
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
