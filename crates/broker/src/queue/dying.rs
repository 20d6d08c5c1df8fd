//! What leaves a locked queue for others, because it died or was due: it leaves the queue's order
//! at once, and its log together with its arrival elsewhere ([`crate::broker`]'s departures lock
//! all of these queues).

use super::Batch;
use super::batch::{Cause, DeathReason, Departure};
use super::messages::Slot;
use crate::definitions::{DeadLetterStrategy, Overflow};
use crate::ids::{Seq, Timestamp};
use crate::log::SeqRange;
use crate::message::Message;

/// How many messages that nobody took are tried again at once.
const RETRIES_MAX: usize = 256;

impl Batch<'_> {
    /// Writes down that a message is gone for good.
    pub(super) fn forget(&mut self, slot: &Slot) {
        if slot.durable {
            self.entries.settle(slot.seq);
        }
    }

    /// A message died: it is gone, or goes to the dead-letter exchange. In a schedule, what expires
    /// is due.
    pub(super) fn bury(&mut self, slot: Slot, reason: DeathReason) {
        match self.cause(reason, slot.expires_at) {
            Some(cause) => self.depart(slot, cause, false),
            None => self.forget(&slot),
        }
    }

    /// Why a message goes elsewhere that died; none if it does not.
    pub(super) fn cause(&self, reason: DeathReason, expires_at: Timestamp) -> Option<Cause> {
        if self.handle.is_schedule() {
            return (reason == DeathReason::Expired).then_some(Cause::Due(expires_at));
        }
        self.has_dead_letters().then_some(Cause::Died(reason))
    }

    pub(super) fn has_dead_letters(&self) -> bool {
        self.queue.settings.dead_letter_exchange.is_some()
    }

    pub(super) fn depart(&mut self, slot: Slot, cause: Cause, spilled: bool) {
        let (seq, message) = (Some(slot.seq), slot.message().cloned());
        let keeps = self.context.window < usize::MAX;
        self.queue.messages.depart(slot, cause, spilled, keeps);
        self.effects.departures.push(Departure { seq, message, cause });
    }

    /// A message found no place here, and goes to the dead-letter exchange. What a crash must not
    /// lose gets a place nevertheless, until it is there.
    pub(super) fn bury_refused(&mut self, message: Message) {
        if !self.has_dead_letters() {
            return;
        }
        let cause = Cause::Died(DeathReason::Maxlen);
        if !self.moved {
            let message = Some(message);
            self.effects.departures.push(Departure { seq: None, message, cause });
            return;
        }
        // After a crash it dies again.
        let expires_at = self.context.now;
        let slot = self.queue.messages.place(message, expires_at);
        if let (true, Some(message)) = (slot.durable, slot.message()) {
            self.entries.publish(slot.seq, slot.level, message.clone(), expires_at);
        }
        self.depart(slot, cause, false);
    }

    /// It is the schedule of an exchange.
    pub(crate) fn is_schedule(&self) -> bool {
        self.handle.is_schedule()
    }

    /// Whether what leaves must not be lost: what is due, and dead letters by
    /// `x-dead-letter-strategy`, which RabbitMQ promises only where a full queue refuses what is
    /// new.
    pub(crate) fn is_at_least_once(&self) -> bool {
        if self.handle.is_schedule() {
            return true;
        }
        let settings = &self.queue.settings;
        self.has_dead_letters()
            && settings.overflow == Overflow::RejectPublish
            && settings.dead_letter_strategy == DeadLetterStrategy::AtLeastOnce
    }

    /// Puts a message at the end of the queue that leaves another one in the same group.
    pub(crate) fn publish_moved(&mut self, message: Message) {
        self.moved = true;
        // A refusal is seen before by those who ask.
        let _ = self.publish(message);
    }

    /// Whether the queue would not take a message.
    pub(crate) fn refuses(&mut self, message: &Message) -> bool {
        self.queue.deleted
            || self.queue.settings.overflow != Overflow::DropHead
                && self.has_no_room(message.body_len() as u64)
    }

    /// Whether a departure is still to be seen to; one of a queue that is gone is.
    pub(crate) fn is_leaving(&self, seq: Seq) -> bool {
        self.queue.deleted || self.queue.messages.is_leaving(seq)
    }

    /// A message that was leaving is gone for good.
    pub(crate) fn leave(&mut self, seq: Seq) {
        let Some(leaving) = self.queue.messages.leave(seq, self.context.now) else { return };
        if leaving.slot.durable {
            self.entries.settle_place(seq);
        }
        if leaving.spilled {
            self.context.log.unspill(self.handle.spec.id, &[SeqRange::one(seq)]);
        }
    }

    /// A message that is leaving cannot be read: it is out of the queue, and stays in the log.
    pub(crate) fn lose(&mut self, seq: Seq) {
        if self.queue.messages.leave(seq, self.context.now).is_some() {
            self.queue.messages.note_unreadable();
        }
    }

    /// Nobody takes a message that is leaving: it waits.
    pub(crate) fn stay(&mut self, seq: Seq) {
        self.queue.messages.stay(seq, self.context.now);
    }

    /// Tries messages again that nobody took, if it is time.
    pub(crate) fn retry(&mut self) {
        let retries = self.queue.messages.take_retries(self.context.now, RETRIES_MAX);
        let retries = retries.into_iter();
        self.effects.departures.extend(retries.map(|(seq, message, cause)| Departure {
            seq: Some(seq),
            message,
            cause,
        }));
    }
}
