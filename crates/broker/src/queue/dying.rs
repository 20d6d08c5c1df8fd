//! The dead of a locked queue: they leave its order at once, and its log together with their
//! arrival in the dead-letter queues ([`crate::broker`]'s dead-lettering locks all of these).

use super::Batch;
use super::batch::{Death, DeathReason};
use super::messages::Slot;
use crate::definitions::{DeadLetterStrategy, Overflow};
use crate::ids::Seq;
use crate::log::SeqRange;
use crate::message::Message;

/// How many dead messages that nobody took are tried again at once.
const RETRIES_MAX: usize = 256;

impl Batch<'_> {
    /// Writes down that a message is gone for good.
    pub(super) fn forget(&mut self, slot: &Slot) {
        if slot.durable {
            self.entries.settle(slot.seq);
        }
    }

    /// A message died: it is gone, or goes to the dead-letter exchange.
    pub(super) fn bury(&mut self, slot: Slot, reason: DeathReason) {
        if self.has_dead_letters() {
            self.depart(slot, reason, false);
        } else {
            self.forget(&slot);
        }
    }

    pub(super) fn has_dead_letters(&self) -> bool {
        self.queue.settings.dead_letter_exchange.is_some()
    }

    pub(super) fn depart(&mut self, slot: Slot, reason: DeathReason, spilled: bool) {
        let (seq, message) = (Some(slot.seq), slot.message().cloned());
        let keeps = self.context.window < usize::MAX;
        self.queue.messages.depart(slot, reason, spilled, keeps);
        self.effects.deaths.push(Death { seq, message, reason });
    }

    /// A message found no place here, and goes to the dead-letter exchange. What a crash must not
    /// lose gets a place nevertheless, until it is there.
    pub(super) fn bury_refused(&mut self, message: Message) {
        if !self.has_dead_letters() {
            return;
        }
        let reason = DeathReason::Maxlen;
        if !self.moved {
            self.effects.deaths.push(Death { seq: None, message: Some(message), reason });
            return;
        }
        // After a crash it dies again.
        let expires_at = self.context.now;
        let slot = self.queue.messages.place(message, expires_at);
        if let (true, Some(message)) = (slot.durable, slot.message()) {
            self.entries.publish(slot.seq, slot.level, message.clone(), expires_at);
        }
        self.depart(slot, reason, false);
    }

    /// Whether dead letters must not be lost (`x-dead-letter-strategy`): RabbitMQ promises it only
    /// where a full queue refuses what is new.
    pub(crate) fn is_at_least_once(&self) -> bool {
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

    /// Whether a death is still to be seen to; one of a queue that is gone is.
    pub(crate) fn is_leaving(&self, seq: Seq) -> bool {
        self.queue.deleted || self.queue.messages.is_leaving(seq)
    }

    /// A dead message is gone for good.
    pub(crate) fn leave(&mut self, seq: Seq) {
        let Some(leaving) = self.queue.messages.leave(seq, self.context.now) else { return };
        if leaving.slot.durable {
            self.entries.settle_place(seq);
        }
        if leaving.spilled {
            self.context.log.unspill(self.handle.spec.id, &[SeqRange::one(seq)]);
        }
    }

    /// A dead message cannot be read: it is out of the queue, and stays in the log.
    pub(crate) fn lose(&mut self, seq: Seq) {
        if self.queue.messages.leave(seq, self.context.now).is_some() {
            self.queue.messages.note_unreadable();
        }
    }

    /// Nobody takes a dead message: it waits.
    pub(crate) fn stay(&mut self, seq: Seq) {
        self.queue.messages.stay(seq, self.context.now);
    }

    /// Tries dead messages again that nobody took, if it is time.
    pub(crate) fn retry(&mut self) {
        let retries = self.queue.messages.take_retries(self.context.now, RETRIES_MAX);
        let deaths = retries.into_iter();
        self.effects.deaths.extend(deaths.map(|(seq, message, reason)| Death {
            seq: Some(seq),
            message,
            reason,
        }));
    }
}
