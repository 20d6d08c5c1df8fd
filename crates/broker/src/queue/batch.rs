//! Operations on a locked queue, and what follows from them.

use std::sync::MutexGuard;

use super::consumers::Turn;
use super::messages::{Messages, Slot};
use super::{ConsumerSpec, Context, Delivery, Queue, QueueHandle};
use crate::definitions::Overflow;
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ConsumerId, Seq, Timestamp};
use crate::log::{Entry, Position, SeqRange};
use crate::message::Message;

/// Why a message died (RabbitMQ: Dead Letter Exchanges).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathReason {
    /// `basic.reject` or `basic.nack` without requeue.
    Rejected,
    /// Its time to live ran out.
    Expired,
    /// A length limit dropped it.
    Maxlen,
    /// It came back too often.
    DeliveryLimit,
}

impl DeathReason {
    /// The word in the `x-death` header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Maxlen => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// A message that left a queue with a dead-letter exchange.
#[derive(Debug)]
pub struct Death {
    /// The message as it was.
    pub message: Message,
    /// Why.
    pub reason: DeathReason,
}

/// What the caller must do after the queue is unlocked.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be published to the dead-letter exchange.
    pub deaths: Vec<Death>,
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// It is in the queue.
    Accepted,
    /// A length limit refused it: a negative confirm.
    Rejected,
}

/// How deliveries are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done: the message is gone.
    Ack,
    /// Refused: gone, or dead-lettered.
    Reject,
    /// Back to its place.
    Requeue,
}

/// The answer to a get.
#[derive(Debug)]
pub struct Got {
    /// Its place, to settle it by.
    pub seq: Seq,
    /// It was out before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
    /// Ready messages behind it.
    pub remaining: usize,
}

/// What finishing a batch gives.
#[derive(Debug, Default)]
pub struct Finished {
    /// When all of the batch is durable.
    pub position: Position,
    /// When the queue wants to be looked at again.
    pub alarm: Option<Timestamp>,
    /// Bytes of messages that the queue holds more than before.
    pub memory_change: i64,
    /// What is to be done outside of the lock.
    pub effects: Effects,
}

/// A locked queue with the operations of one turn.
pub struct Batch<'a> {
    handle: &'a QueueHandle,
    queue: MutexGuard<'a, Queue>,
    context: Context<'a>,
    entries: Vec<Entry>,
    effects: Effects,
    bytes_before: u64,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        handle: &'a QueueHandle,
        queue: MutexGuard<'a, Queue>,
        context: Context<'a>,
    ) -> Self {
        let bytes_before = queue.messages.bytes();
        let (entries, effects) = (Vec::new(), Effects::default());
        Self { handle, queue, context, entries, effects, bytes_before }
    }

    /// The queue was deleted while the caller held on to it.
    pub fn is_deleted(&self) -> bool {
        self.queue.deleted
    }

    /// Ready messages.
    pub fn ready(&self) -> usize {
        self.queue.messages.ready()
    }

    /// Consumers.
    pub fn consumers(&self) -> usize {
        self.queue.consumers.len()
    }

    /// Whether somebody uses it, for `if-unused`.
    pub fn in_use(&self) -> bool {
        !self.queue.consumers.is_empty()
    }

    /// Notes a use, which renews the lease of `x-expires`.
    pub fn touch(&mut self) {
        self.queue.used_at = self.context.now;
    }

    fn is_durable(&self, message: &Message) -> bool {
        self.handle.spec.durable && self.handle.spec.owner.is_none() && message.persistent
    }

    /// Puts a message at the end of the queue.
    pub fn publish(&mut self, message: Message) -> Publish {
        if self.queue.deleted {
            return Publish::Accepted;
        }
        let overflow = self.handle.spec.settings.overflow;
        let size = message.body_len() as u64;
        if overflow != Overflow::DropHead && self.is_over_limit(1, size) {
            // A consumer that waits makes room first.
            self.dispatch();
        }
        if overflow != Overflow::DropHead && self.is_over_limit(1, size) {
            if overflow == Overflow::RejectPublishDlx {
                self.bury(message, DeathReason::Maxlen);
            }
            return Publish::Rejected;
        }
        let expires_at = self.expiry(&message);
        let durable = self.is_durable(&message).then(|| message.clone());
        let seq = self.queue.messages.push(message, expires_at);
        if let Some(message) = durable {
            let queue = self.handle.spec.id;
            let level = message.priority.min(self.handle.spec.settings.max_priority);
            self.entries.push(Entry::Publish { queue, seq, level, message, expires_at });
        }
        if overflow == Overflow::DropHead && self.is_over_limit(0, 0) {
            // A consumer that waits takes it before the limit counts.
            self.dispatch();
            self.drop_over_limit();
        }
        Publish::Accepted
    }

    /// The lesser of the queue's and the message's time to live.
    fn expiry(&self, message: &Message) -> Timestamp {
        let now = self.context.now;
        let of_queue = self.handle.spec.settings.message_ttl_ms.map(|millis| now.after(millis));
        message.expires_at(now).min(of_queue.unwrap_or(Timestamp::NEVER))
    }

    fn is_over_limit(&self, more: u64, more_bytes: u64) -> bool {
        let settings = &self.handle.spec.settings;
        let messages = &self.queue.messages;
        let over = |limit: Option<u64>, have: u64| limit.is_some_and(|limit| have > limit);
        over(settings.max_length, messages.ready() as u64 + more)
            || over(settings.max_length_bytes, messages.ready_bytes() + more_bytes)
    }

    fn drop_over_limit(&mut self) {
        while self.is_over_limit(0, 0) {
            // The head: with priorities, the highest one (as RabbitMQ's priority queues).
            let Some(slot) = self.queue.messages.pop() else { return };
            self.forget(&slot);
            self.bury(slot.message, DeathReason::Maxlen);
        }
    }

    /// Writes down that a message is gone for good.
    fn forget(&mut self, slot: &Slot) {
        if !self.is_durable(&slot.message) {
            return;
        }
        let id = self.handle.spec.id;
        match self.entries.last_mut() {
            Some(Entry::Settle { queue, seqs }) if *queue == id => SeqRange::push(seqs, slot.seq),
            _ => {
                let seqs = vec![SeqRange::one(slot.seq)];
                self.entries.push(Entry::Settle { queue: id, seqs });
            }
        }
    }

    fn bury(&mut self, message: Message, reason: DeathReason) {
        if self.handle.spec.settings.dead_letter_exchange.is_some() {
            self.effects.deaths.push(Death { message, reason });
        }
    }

    /// Settles deliveries; those that are settled already are passed over.
    pub fn settle(&mut self, seqs: &[Seq], how: Settlement) {
        for &seq in seqs {
            let Some(unacked) = self.queue.messages.take_unacked(seq) else { continue };
            if let Some(consumer) = unacked.consumer {
                self.queue.consumers.settled(consumer);
            }
            match how {
                Settlement::Ack => self.forget(&unacked.slot),
                Settlement::Reject => {
                    self.forget(&unacked.slot);
                    self.bury(unacked.slot.message, DeathReason::Rejected);
                }
                Settlement::Requeue => self.requeue(unacked.slot),
            }
        }
        self.expire();
        let drops = self.handle.spec.settings.overflow == Overflow::DropHead;
        if how == Settlement::Requeue && drops {
            self.drop_over_limit();
        }
    }

    fn requeue(&mut self, slot: Slot) {
        let limit = self.handle.spec.settings.delivery_limit;
        if limit.is_some_and(|limit| u64::from(slot.returns) >= limit) {
            self.forget(&slot);
            self.bury(slot.message, DeathReason::DeliveryLimit);
            return;
        }
        if self.is_durable(&slot.message) {
            let id = self.handle.spec.id;
            let returned = (slot.seq, slot.returns + 1);
            match self.entries.last_mut() {
                Some(Entry::Return { queue, returns }) if *queue == id => returns.push(returned),
                _ => self.entries.push(Entry::Return { queue: id, returns: vec![returned] }),
            }
        }
        self.queue.messages.put_back(slot);
    }

    /// Adds a consumer; messages flow when the batch finishes.
    pub fn subscribe(&mut self, consumer: ConsumerSpec) -> Result<(), Refusal> {
        let single_active = self.handle.spec.settings.single_active_consumer;
        let clash = consumer.exclusive && (single_active || !self.queue.consumers.is_empty());
        if clash || self.queue.consumers.has_exclusive() {
            let text = format!("{} in exclusive use", self.handle.resource());
            return Err(Refusal::new(RefusalKind::AccessRefused, text));
        }
        self.expire();
        self.touch();
        self.queue.consumers.add(consumer);
        Ok(())
    }

    /// Removes a consumer; true when the queue is auto-delete and that was the last one.
    pub fn cancel(&mut self, consumer: ConsumerId) -> bool {
        let removed = self.queue.consumers.remove(consumer);
        self.touch();
        removed && self.handle.spec.auto_delete && self.queue.consumers.is_empty()
    }

    /// Gives consumers that had no room another try.
    pub fn resume(&mut self) {
        self.expire();
        self.queue.consumers.resume();
    }

    /// Takes the next message for a `basic.get`.
    pub fn get(&mut self, no_ack: bool) -> Option<Got> {
        self.touch();
        self.expire();
        let slot = self.queue.messages.pop()?;
        // What the head held back may be due.
        self.expire();
        let got = Got {
            seq: slot.seq,
            redelivered: slot.returns > 0,
            message: slot.message.clone(),
            remaining: self.queue.messages.ready(),
        };
        if no_ack {
            self.forget(&slot);
        } else {
            self.queue.messages.hold(slot, None);
        }
        Some(got)
    }

    /// Drops all ready messages; how many.
    pub fn purge(&mut self) -> usize {
        self.expire();
        let slots = self.queue.messages.drain_ready();
        for slot in &slots {
            self.forget(slot);
        }
        slots.len()
    }

    /// Marks the queue as deleted and tells its consumers; how many ready messages go with it.
    pub fn delete(&mut self) -> usize {
        let ready = self.queue.messages.ready();
        self.queue.deleted = true;
        self.queue.messages = Messages::new(0);
        self.queue.consumers.cancel_all();
        ready
    }

    /// Whether `x-expires` has run out; if not, when it does.
    pub fn lease(&self) -> Result<Option<Timestamp>, Expired> {
        let Some(millis) = self.handle.spec.settings.expires_ms else { return Ok(None) };
        if self.in_use() {
            return Ok(Some(self.context.now.after(millis)));
        }
        let until = self.queue.used_at.after(millis);
        if until <= self.context.now { Err(Expired) } else { Ok(Some(until)) }
    }

    /// Drops what has expired at the head.
    pub fn expire(&mut self) {
        if self.queue.messages.next_expiry() > self.context.now {
            return;
        }
        while let Some(slot) = self.queue.messages.pop_expired(self.context.now) {
            self.forget(&slot);
            self.bury(slot.message, DeathReason::Expired);
        }
    }

    /// Gives ready messages to consumers while both are there. A message whose time is up at the
    /// moment it arrives may still go to a consumer that waits (RabbitMQ: TTL of 0).
    fn dispatch(&mut self) {
        while self.queue.messages.ready() > 0 {
            // What expired behind a message that lasted longer is at the head only now.
            if self.queue.messages.next_expiry() < self.context.now {
                self.expire();
                continue;
            }
            let Queue { messages, consumers, .. } = &mut *self.queue;
            let Some(turn) = consumers.next(messages.next_cost()) else { return };
            let Some(slot) = messages.pop() else { return };
            self.give(turn, slot);
        }
    }

    fn give(&mut self, turn: Turn, slot: Slot) {
        let (seq, redelivered) = (slot.seq, slot.returns > 0);
        let message = if turn.no_ack {
            self.forget(&slot);
            slot.message
        } else {
            let message = slot.message.clone();
            self.queue.messages.hold(slot, Some(turn.consumer));
            message
        };
        let consumer = turn.consumer;
        self.queue.consumers.give(turn, Delivery { consumer, seq, redelivered, message });
    }

    fn is_due(&self) -> bool {
        self.queue.messages.next_expiry() <= self.context.now
    }

    /// Delivers what can be delivered, and lets go of the queue.
    pub fn finish(self) -> Finished {
        let mut finished = Finished::default();
        finish_all(vec![self], |_, one| finished = one);
        finished
    }

    fn settle_time(&mut self) {
        self.dispatch();
        if self.is_due() {
            self.expire();
        }
    }

    fn alarm(&self) -> Option<Timestamp> {
        let lease = self.lease().ok().flatten().unwrap_or(Timestamp::NEVER);
        let at = self.queue.messages.next_expiry().min(lease);
        (at != Timestamp::NEVER).then_some(at)
    }
}

/// The lease of `x-expires` has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired;

/// Finishes batches on several queues: their durable entries are one group of the log, so that a
/// transaction is durable as a whole. `each` gets what every queue asks for, in order.
pub fn finish_all<'a>(
    mut batches: Vec<Batch<'a>>,
    mut each: impl FnMut(&'a QueueHandle, Finished),
) {
    let mut entries = Vec::new();
    for batch in &mut batches {
        entries.append(&mut batch.entries);
    }
    let mut position = Position::START;
    if let Some(batch) = batches.first()
        && !entries.is_empty()
    {
        position = batch.context.log.append(&entries);
    }
    for mut batch in batches {
        batch.settle_time();
        batch.queue.consumers.flush();
        if !batch.entries.is_empty() {
            batch.context.log.append(&batch.entries);
        }
        let alarm = batch.alarm();
        let memory_change = batch.queue.messages.bytes() as i64 - batch.bytes_before as i64;
        let Batch { handle, queue, effects, .. } = batch;
        drop(queue);
        each(handle, Finished { position, alarm, memory_change, effects });
    }
}
