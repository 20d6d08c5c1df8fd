//! Operations on a locked queue, and what follows from them.

use std::sync::MutexGuard;

use super::consumers::Turn;
use super::entries::Entries;
use super::expiry::HEADS_MAX;
use super::messages::{Body, Head, Messages, Slot};
use super::pace::{Outs, SettledRun};
use super::waits::Firsts;
use super::{ConsumerSpec, Context, Delivery, Effects, Queue, QueueHandle};
use crate::definitions::Overflow;
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ConsumerId, Seq, Timestamp};
use crate::log::{Entry, Position, SeqRange};
use crate::message::Message;

/// How many messages more than have come may be dropped in one batch.
const DROPS_MAX: usize = 1024;

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

/// Why a message leaves its queue for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It died in a queue with a dead-letter exchange.
    Died(DeathReason),
    /// Its time has come in the schedule of an exchange.
    Due(Timestamp),
}

/// A message that leaves its queue for others.
#[derive(Debug)]
pub struct Departure {
    /// Its place, where it is until it has arrived elsewhere; none if the queue never took it.
    pub(crate) seq: Option<Seq>,
    /// The message as it was, if it is in memory.
    pub(crate) message: Option<Message>,
    /// Why.
    pub(crate) cause: Cause,
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
    /// Its processing failed: back to its place.
    Requeue,
    /// It was not processed: back to its place.
    Release,
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
    /// When it may leave.
    pub position: Position,
}

/// A locked queue with the operations of one turn.
pub struct Batch<'a> {
    pub(super) handle: &'a QueueHandle,
    pub(super) queue: MutexGuard<'a, Queue>,
    pub(super) context: Context<'a>,
    pub(super) entries: Entries,
    pub(super) effects: Effects,
    pub(super) bytes_before: u64,
    pub(super) firsts: Firsts,
    /// Nothing of the batch is durable before this.
    pub(super) least: Position,
    /// What was read back was of no use.
    pub(super) stalled: bool,
    /// What is published leaves another queue in the same group of the log.
    pub(super) moved: bool,
    /// How many messages may still expire at the heads.
    pub(super) expiries_left: usize,
    /// How many a length limit may still drop, beside one for each that comes.
    drops_left: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        handle: &'a QueueHandle,
        queue: MutexGuard<'a, Queue>,
        context: Context<'a>,
    ) -> Self {
        Self {
            bytes_before: queue.bytes(),
            entries: Entries::new(handle.spec.id),
            effects: Effects::default(),
            firsts: Firsts::default(),
            least: Position::START,
            stalled: false,
            moved: false,
            expiries_left: HEADS_MAX,
            drops_left: DROPS_MAX,
            handle,
            queue,
            context,
        }
    }

    /// The queue was deleted while the caller held on to it.
    pub fn is_deleted(&self) -> bool {
        self.queue.deleted
    }

    /// Ready messages.
    pub fn ready(&self) -> usize {
        self.queue.messages.ready()
    }

    /// Whether no message is ready, or rests before it is again, for `if-empty`.
    pub fn is_empty(&self) -> bool {
        self.queue.messages.ready() == 0 && self.queue.messages.resting().0 == 0
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
        self.queue.active_at = self.context.now;
    }

    pub(super) fn is_durable(&self, message: &Message) -> bool {
        message.persistent && self.handle.is_durable()
    }

    /// Puts a message at the end of the queue.
    #[inline]
    pub fn publish(&mut self, message: Message) -> Publish {
        if self.queue.deleted {
            self.least = self.queue.deleted_at;
            return Publish::Accepted;
        }
        self.queue.totals.publish += 1;
        self.queue.active_at = self.context.now;
        let overflow = self.queue.settings.overflow;
        let size = message.body_len() as u64;
        if overflow != Overflow::DropHead && self.has_no_room(size) {
            if overflow == Overflow::RejectPublishDlx {
                self.bury_refused(message);
            }
            return Publish::Rejected;
        }
        let expires_at = self.expiry(&message);
        // With priorities, those of the same batch are compared first.
        if self.queue.settings.max_priority == 0
            && self.queue.messages.ready() == 0
            && self.queue.groups.is_none()
            && let Some(turn) = self.queue.consumers.next(message.size())
        {
            self.hand_over(turn, message, expires_at);
            return Publish::Accepted;
        }
        let durable = self.is_durable(&message).then(|| message.clone());
        let seq = self.queue.messages.push(message, expires_at, &self.context);
        if let Some(message) = durable {
            let level = message.priority.min(self.queue.settings.max_priority);
            self.entries.publish(seq, level, message, expires_at);
        }
        if overflow == Overflow::DropHead && self.is_over_limit(0, 0) {
            // A consumer that waits takes it before the limit counts.
            self.dispatch();
            self.drop_over_limit();
        }
        Publish::Accepted
    }

    /// Gives a message to a consumer that waits at an empty queue, past the queue's order: there is
    /// nothing to be in order with.
    #[inline]
    fn hand_over(&mut self, turn: Turn, message: Message, expires_at: Timestamp) {
        if turn.no_ack {
            // It is gone already, and never reaches the log.
            let seq = self.queue.messages.pass();
            self.queue.totals.deliver_no_ack += 1;
            self.firsts.note(seq, false);
            let (consumer, claimed) = (turn.consumer, message.size());
            let delivery = Delivery { consumer, seq, redelivered: false, message, claimed };
            self.queue.consumers.give(turn, delivery);
            return;
        }
        let slot = self.queue.messages.place(message, expires_at);
        if let (true, Some(message)) = (slot.durable, slot.message()) {
            self.entries.publish(slot.seq, slot.level, message.clone(), expires_at);
        }
        self.give(turn, slot);
    }

    /// The lesser of the queue's and the message's time to live; in a schedule, when it is due.
    fn expiry(&self, message: &Message) -> Timestamp {
        let now = self.context.now;
        if self.handle.is_schedule {
            return message.due_at(now).unwrap_or(now);
        }
        let of_queue = self.queue.settings.message_ttl_ms.map(|millis| now.after(millis));
        message.expires_at(now).min(of_queue.unwrap_or(Timestamp::NEVER))
    }

    /// Whether a body of `size` goes beyond a limit.
    pub(super) fn has_no_room(&mut self, size: u64) -> bool {
        if !self.is_over_limit(1, size) {
            return false;
        }
        // A consumer that waits makes room first.
        self.dispatch();
        self.is_over_limit(1, size)
    }

    fn is_over_limit(&self, more: u64, more_bytes: u64) -> bool {
        let settings = &self.queue.settings;
        let messages = &self.queue.messages;
        let over = |limit: Option<u64>, have: u64| limit.is_some_and(|limit| have > limit);
        // Dead messages that nobody takes count as in RabbitMQ, or they would have no bound.
        let ((waiting, waiting_bytes), (resting, resting_bytes)) =
            (messages.waiting(), messages.resting());
        let bytes = messages.ready_bytes() + waiting_bytes + resting_bytes;
        over(settings.max_length, (messages.ready() + waiting + resting) as u64 + more)
            || over(settings.max_length_bytes, bytes + more_bytes)
    }

    /// Keeps to the limits. If that is very much, because the limit was lowered, it is left to the
    /// queue's alarm: who publishes does not stand still for it.
    fn drop_over_limit(&mut self) {
        while self.drop_one_over_limit() {
            if self.drops_left == 0 {
                self.queue.over_limit = self.is_over_limit(0, 0);
                return;
            }
            self.drops_left -= 1;
        }
    }

    /// Drops a message if the queue is over a limit; whether it did.
    pub(super) fn drop_one_over_limit(&mut self) -> bool {
        if !self.is_over_limit(0, 0) {
            return false;
        }
        // What rests is the oldest. Otherwise the head: with priorities, the highest one (as
        // RabbitMQ's priority queues).
        let resting = self.queue.messages.pop_resting();
        let Some(slot) = resting.or_else(|| self.take_head()) else { return false };
        self.bury(slot, DeathReason::Maxlen);
        true
    }

    /// Settles deliveries; those that are settled already are passed over.
    pub fn settle(&mut self, seqs: &[Seq], how: Settlement) {
        let mut run = SettledRun::EMPTY;
        self.queue.active_at = self.context.now;
        for &seq in seqs {
            let Some(unacked) = self.queue.messages.take_unacked(seq) else { continue };
            run.note(unacked.since, &mut self.queue.outs);
            if let Some(consumer) = unacked.consumer() {
                self.queue.consumers.settled(consumer);
            }
            if let Some(groups) = &mut self.queue.groups {
                groups.settled(seq);
            }
            match how {
                Settlement::Ack => {
                    self.queue.totals.ack += 1;
                    self.forget(&unacked.slot);
                }
                Settlement::Reject => self.bury(unacked.slot, DeathReason::Rejected),
                Settlement::Requeue | Settlement::Release => self.requeue(unacked.slot, how),
            }
        }
        run.end(&mut self.queue.outs);
        self.expire();
        let drops = self.queue.settings.overflow == Overflow::DropHead;
        if matches!(how, Settlement::Requeue | Settlement::Release) && drops {
            self.drop_over_limit();
        }
    }

    fn requeue(&mut self, slot: Slot, how: Settlement) {
        let limit = self.queue.settings.delivery_limit;
        if limit.is_some_and(|limit| u64::from(slot.returns) >= limit) {
            self.bury(slot, DeathReason::DeliveryLimit);
            return;
        }
        if slot.durable {
            self.entries.put_back(slot.seq, slot.returns.saturating_add(1));
        }
        self.put_back(slot, how);
    }

    /// Adds a consumer; messages flow when the batch finishes.
    pub fn subscribe(&mut self, consumer: ConsumerSpec) -> Result<(), Refusal> {
        let single_active = self.queue.settings.single_active_consumer;
        let clash = consumer.exclusive && (single_active || !self.queue.consumers.is_empty());
        if clash || self.queue.consumers.has_exclusive() {
            let text = format!("{} in exclusive use", self.handle.resource());
            return Err(Refusal::new(RefusalKind::AccessRefused, text));
        }
        self.expire();
        self.touch();
        self.least = self.least.max(self.queue.delivered.position);
        self.queue.consumers.add(consumer);
        if let Some(groups) = &mut self.queue.groups {
            groups.consumers_changed();
        }
        Ok(())
    }

    /// Removes a consumer; true when the queue is auto-delete and that was the last one.
    pub fn cancel(&mut self, consumer: ConsumerId) -> bool {
        let removed = self.queue.consumers.remove(consumer);
        if let Some(groups) = &mut self.queue.groups {
            groups.consumers_changed();
        }
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
        self.expire_whole();
        while matches!(self.queue.messages.head(), Head::Away(_)) {
            if !self.load_now() {
                return None;
            }
            // Only now is it known whether it has.
            self.expire();
        }
        self.queue.delivered.polled |= self.handle.is_durable() && !no_ack;
        self.least = self.least.max(self.queue.delivered.position);
        let Some(slot) = self.queue.messages.pop() else {
            self.queue.totals.get_empty += 1;
            return None;
        };
        // What the head held back may be due.
        self.expire();
        let message = slot.message()?;
        let message = match self.queue.settings.quorum {
            true => message.with_delivery_count(slot.returns),
            false => message.clone(),
        };
        let got = Got {
            seq: slot.seq,
            redelivered: slot.was_out(),
            message,
            remaining: self.queue.messages.ready(),
            position: Position::START,
        };
        self.queue.totals.redeliver += u64::from(got.redelivered);
        self.firsts.note(got.seq, got.redelivered);
        if no_ack {
            self.queue.totals.get_no_ack += 1;
            self.forget(&slot);
        } else {
            self.queue.totals.get += 1;
            self.hold(slot, None);
        }
        Some(got)
    }

    fn hold(&mut self, slot: Slot, consumer: Option<ConsumerId>) {
        if slot.durable {
            self.entries.deliver(slot.seq);
        }
        self.queue.messages.hold(slot, consumer, self.context.now, self.context.window);
    }

    /// Drops all messages that are ready, or rest before they are again; how many.
    pub fn purge(&mut self) -> usize {
        self.expire_whole();
        let purged = self.queue.messages.ready() + self.queue.messages.resting().0;
        while let Some(slot) = self.queue.messages.pop_resting() {
            self.forget(&slot);
        }
        let spilled = self.queue.messages.has_spilled();
        let (slots, ranges) = self.queue.messages.take_ready();
        for slot in &slots {
            self.forget(slot);
        }
        if spilled {
            self.context.log.unspill(self.handle.spec.id, &ranges);
        }
        if self.handle.is_durable() {
            self.entries.settle_ranges(ranges);
        }
        purged
    }

    /// Marks the queue as deleted and tells its consumers; how many ready messages go with it.
    pub fn delete(&mut self) -> usize {
        let ready = self.queue.messages.ready();
        let id = self.handle.spec.id;
        if self.queue.messages.has_spilled() {
            self.context.log.unspill(id, &[SeqRange::ALL]);
        }
        if self.handle.is_durable() {
            self.entries.drop_queue();
        }
        if let Some(memory) = &mut self.queue.memory {
            memory.close();
        }
        self.queue.deleted = true;
        self.queue.groups = None;
        self.queue.messages = Messages::new(id, false, 0);
        self.queue.outs = Outs::default();
        self.queue.consumers.cancel_all();
        ready
    }

    /// Before a stop in good order, when nobody has messages any more: each knows by itself whether
    /// it was out.
    pub(crate) fn settle_marks(&mut self) {
        let through = self.queue.messages.redelivered_through();
        self.queue.delivered.polled = false;
        if self.queue.messages.unreadable() > 0 || self.queue.messages.leaving() > 0 {
            // It is out of the queue but still in the log, and may have been delivered.
            return;
        }
        if let Some(through) = self.queue.delivered.settle(through) {
            self.entries.mark(through);
        }
    }

    /// What the batch has for the log so far, for a caller that appends it together with more.
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        let watched = self.queue.delivered.polled || !self.queue.consumers.is_empty();
        let mut entries = self.entries.take(&mut self.queue.delivered, watched);
        if let Some(memory) = &mut self.queue.memory {
            memory.take_entries(&mut entries);
        }
        entries
    }

    /// Notes when the deletion is durable: what is published to the queue from now on vanishes, but
    /// is not confirmed before the queue has.
    pub(crate) fn note_deleted_at(&mut self, position: Position) {
        self.queue.deleted_at = position;
    }

    /// Leaves all but about `keep_bytes` of the messages to the log; false if there is nothing to
    /// do.
    pub(crate) fn page_out(&mut self, keep_bytes: u64) -> bool {
        self.queue.messages.page_out(keep_bytes, &self.context)
    }

    /// Whether `x-expires` has run out; if not, when it does.
    pub fn lease(&self) -> Result<Option<Timestamp>, Expired> {
        let Some(millis) = self.queue.settings.expires_ms else { return Ok(None) };
        if self.in_use() {
            return Ok(Some(self.context.now.after(millis)));
        }
        let until = self.queue.used_at.after(millis);
        if until <= self.context.now { Err(Expired) } else { Ok(Some(until)) }
    }

    /// Gives ready messages to consumers while both are there. A message whose time is up at the
    /// moment it arrives may still go to a consumer that waits (RabbitMQ: TTL of 0). Never blocks
    /// on the disk: asks to be read to.
    pub(super) fn dispatch(&mut self) {
        if let Some(mut groups) = self.queue.groups.take() {
            self.dispatch_groups(&mut groups);
            self.queue.groups = Some(groups);
            return;
        }
        loop {
            // What expired behind a message that lasted longer is at the head only now.
            if self.queue.messages.next_expiry() < self.context.now {
                if self.expiries_left == 0 {
                    return;
                }
                self.expire();
                continue;
            }
            let Queue { messages, consumers, .. } = &mut *self.queue;
            match messages.head() {
                Head::Empty => return,
                Head::Here(size) => {
                    let Some(turn) = consumers.next(size) else { return };
                    let Some(slot) = messages.pop() else { return };
                    self.give(turn, slot);
                }
                Head::Away(_) => {
                    if consumers.is_empty() {
                        return;
                    }
                    if !self.load_own() {
                        self.effects.load = true;
                        return;
                    }
                }
            }
        }
    }

    pub(super) fn give(&mut self, turn: Turn, slot: Slot) {
        let (seq, redelivered, consumer) = (slot.seq, slot.was_out(), turn.consumer);
        // A get always tells the count, a consumer only that of a message that came back.
        let count = (slot.returns > 0 && self.queue.settings.quorum).then_some(slot.returns);
        self.queue.totals.redeliver += u64::from(redelivered);
        self.firsts.note(seq, redelivered);
        let message = if turn.no_ack {
            self.queue.totals.deliver_no_ack += 1;
            self.forget(&slot);
            slot.body
        } else {
            self.queue.totals.deliver += 1;
            let body = slot.body.clone();
            self.hold(slot, Some(consumer));
            body
        };
        // What is popped is in memory.
        if let Body::Here(mut message) = message {
            let claimed = message.size();
            if let Some(count) = count {
                message = message.with_delivery_count(count);
            }
            let delivery = Delivery { consumer, seq, redelivered, message, claimed };
            self.queue.consumers.give(turn, delivery);
        }
    }
}

/// The lease of `x-expires` has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired;
