//! `tx`: publishes and settlements that take effect together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::once::{Line, Looked, Sent};
use super::{Broker, Route};
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::Position;
use crate::message::Message;
use crate::queue::{Batch, QueueHandle, Settlement};

#[derive(Debug)]
struct Part {
    queue: Arc<QueueHandle>,
    messages: Vec<Message>,
    settlements: Vec<(Seq, Settlement)>,
}

/// What a transaction will do, by queue. Queues are locked in the order of their ids, so that
/// two commits cannot wait for each other.
#[derive(Debug, Default)]
pub struct Transaction {
    parts: BTreeMap<QueueId, Part>,
    looked: Vec<Looked>,
}

impl Transaction {
    fn part(&mut self, queue: &Arc<QueueHandle>) -> &mut Part {
        self.parts.entry(queue.spec.id).or_insert_with(|| Part {
            queue: Arc::clone(queue),
            messages: Vec::new(),
            settlements: Vec::new(),
        })
    }

    /// Adds a publish.
    pub fn publish(&mut self, message: &Message, route: &Route) {
        if let Some(memory) = &route.memory {
            let looked =
                Looked::at(memory, message, &route.queues, |queue| self.part(queue).messages.len());
            self.looked.extend(looked);
        }
        for queue in &route.queues {
            self.part(queue).messages.push(message.clone());
        }
    }

    /// Adds a settlement.
    pub fn settle(&mut self, queue: &Arc<QueueHandle>, seq: Seq, how: Settlement) {
        self.part(queue).settlements.push((seq, how));
    }
}

impl Broker {
    /// Does all of a transaction at once: nobody sees a part of it, and its durable entries are one
    /// group of the log. False when a queue refused a message (a length limit with
    /// `reject-publish`); the rest is done nevertheless, as RabbitMQ does.
    pub fn commit(&self, transaction: Transaction, now: Timestamp) -> (Position, bool) {
        let Transaction { parts, looked } = transaction;
        let mut queues = Vec::with_capacity(parts.len());
        let mut messages = Vec::with_capacity(parts.len());
        let mut settlements: BTreeMap<QueueId, Vec<(Seq, Settlement)>> = BTreeMap::new();
        for (id, part) in parts {
            queues.push(part.queue);
            messages.push(part.messages);
            settlements.insert(id, part.settlements);
        }
        let lock = || {
            let lines = queues.iter().zip(messages);
            lines
                .map(|(queue, messages)| {
                    let messages = messages.into_iter().map(|message| (message, 0)).collect();
                    (queue.spec.id, Line::new(queue.lock(self.context(now)), messages))
                })
                .collect()
        };
        let settle = |id: QueueId, batch: &mut Batch<'_>| {
            for (seq, how) in settlements.remove(&id).unwrap_or_default() {
                batch.settle(&[seq], how);
            }
        };
        let sent = self.send_once(&looked, lock, settle, now);
        let Sent { mut position, rejected, finished } = sent;
        for (queue, one) in queues.iter().zip(finished) {
            position = position.max(self.finished(queue, one, now));
        }
        (position, rejected.is_empty())
    }
}
