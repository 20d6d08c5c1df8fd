//! Consumers and gets.

use std::sync::Arc;

use super::{Broker, DropReason, Principal};
use crate::definitions::consumer_priority;
use crate::error::{Refusal, Resource};
use crate::ids::{ConsumerId, Seq, Timestamp};
use crate::log::Position;
use crate::message::FieldTable;
use crate::queue::{ConsumerSpec, Got, QueueHandle, Settlement};

impl Broker {
    /// Reads a consumer's `x-priority`.
    pub fn consumer_priority(
        &self,
        who: &Principal,
        queue: &str,
        arguments: &FieldTable,
    ) -> Result<i64, Refusal> {
        consumer_priority(arguments, Resource::Queue(queue, &who.vhost))
    }

    /// Adds a consumer to a queue. Deliveries may reach its outlet before this returns, but must
    /// not reach its client before the position is durable: then the log knows that they may have.
    pub fn consume(
        &self,
        queue: &Arc<QueueHandle>,
        consumer: ConsumerSpec,
        now: Timestamp,
    ) -> Result<Position, Refusal> {
        let mut batch = queue.lock(self.context(now));
        if batch.is_deleted() {
            return Err(Refusal::not_found(queue.resource()));
        }
        batch.subscribe(consumer)?;
        Ok(self.finished(queue, batch.finish(), now))
    }

    /// Removes a consumer, and an auto-delete queue with its last one. Its unacknowledged
    /// deliveries stay out.
    pub fn cancel(&self, queue: &Arc<QueueHandle>, consumer: ConsumerId, now: Timestamp) {
        let mut batch = queue.lock(self.context(now));
        let unused = batch.cancel(consumer);
        self.finished(queue, batch.finish(), now);
        if unused {
            self.drop_queue(queue, DropReason::LastConsumerGone, now);
        }
    }

    /// Takes one message from a queue. It must not reach its client before its position is durable,
    /// as with [`Self::consume`].
    pub fn get(&self, queue: &Arc<QueueHandle>, no_ack: bool, now: Timestamp) -> Option<Got> {
        let mut batch = queue.lock(self.context(now));
        let mut got = batch.get(no_ack);
        let position = self.finished(queue, batch.finish(), now);
        if let Some(got) = &mut got
            && !no_ack
        {
            got.position = position;
        }
        got
    }

    /// Settles deliveries of one queue.
    pub fn settle(
        &self,
        queue: &Arc<QueueHandle>,
        seqs: &[Seq],
        how: Settlement,
        now: Timestamp,
    ) -> Position {
        let mut batch = queue.lock(self.context(now));
        batch.settle(seqs, how);
        self.finished(queue, batch.finish(), now)
    }

    /// Gives the consumers of a queue that had no room another try.
    pub fn resume(&self, queue: &Arc<QueueHandle>, now: Timestamp) {
        let mut batch = queue.lock(self.context(now));
        batch.resume();
        self.finished(queue, batch.finish(), now);
    }
}
