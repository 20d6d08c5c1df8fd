//! `tx`: publishes and settlements that take effect together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Broker, Route};
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::Position;
use crate::message::Message;
use crate::queue::{Finished, Publish, QueueHandle, Settlement, finish_all};

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
        let mut accepted = true;
        let parts: Vec<Part> = transaction.parts.into_values().collect();
        let mut batches = Vec::with_capacity(parts.len());
        let mut messages = Vec::with_capacity(parts.len());
        for part in &parts {
            batches.push(part.queue.lock(self.context(now)));
            messages.push((part.messages.clone(), &part.settlements));
        }
        for (batch, (messages, settlements)) in batches.iter_mut().zip(messages) {
            for message in messages {
                accepted &= batch.publish(message) == Publish::Accepted;
            }
            for (seq, how) in settlements {
                batch.settle(&[*seq], *how);
            }
        }
        let mut finished: Vec<Finished> = Vec::with_capacity(parts.len());
        finish_all(batches, |_, one| finished.push(one));
        let mut position = Position::START;
        for (part, one) in parts.iter().zip(finished) {
            position = position.max(self.finished(&part.queue, one, now));
        }
        (position, accepted)
    }
}
