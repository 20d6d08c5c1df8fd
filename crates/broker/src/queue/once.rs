//! Deduplication by a queue: a publish of what it took before is confirmed, and not taken again.

use super::{Batch, Publish, Queue, QueueHandle};
use crate::deduplication::{Identity, Memory, read_back};
use crate::ids::QueueId;
use crate::log::{Log, RecoveredQueue};
use crate::message::Message;

impl Queue {
    /// The memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        let remembered = self.memory.as_ref().map_or(0, |memory| memory.bytes());
        self.messages.bytes() + remembered
    }
}

impl QueueHandle {
    /// Where the log keeps what it remembers, if it has a place for that.
    pub(crate) fn memory_id(&self) -> Option<QueueId> {
        self.state().memory.as_ref()?.id()
    }

    /// Has what it remembers kept there.
    pub(crate) fn remember_as(&self, id: QueueId) {
        self.state().memory.get_or_insert_default().settle_in(id);
    }

    /// Gives a queue that was just made what the log kept of its memory; how many bytes that are.
    pub(crate) fn recall(&self, log: &dyn Log, kept: &RecoveredQueue) -> u64 {
        let mut state = self.state();
        let memory = state.memory.get_or_insert_default();
        memory.start_behind(kept.last_seq);
        read_back(log, kept, |seq, record, expires_at| memory.restore(seq, record, expires_at));
        memory.bytes()
    }
}

impl Batch<'_> {
    /// Puts a client's message at the end of the queue, unless the queue deduplicates and took the
    /// same before: then nothing is done, and the batch is as durable as the first one.
    #[inline]
    pub fn publish_once(&mut self, message: Message) -> Publish {
        if self.queue.settings.deduplication.is_some() {
            return self.deduplicate(message);
        }
        self.publish(message)
    }

    /// The same for a message that is due, and leaves its schedule in the same group.
    pub(crate) fn publish_scheduled(&mut self, message: Message) {
        self.moved = true;
        // A refusal is seen before by those who ask.
        let _ = self.publish_once(message);
    }

    /// Whether [`Self::publish_scheduled`] would lose it.
    pub(crate) fn refuses_scheduled(&mut self, message: &Message) -> bool {
        self.queue.deleted || self.refuses_once(message)
    }

    /// Whether [`Self::publish_once`] would answer that there is no room.
    pub(crate) fn refuses_once(&mut self, message: &Message) -> bool {
        !self.queue.deleted && self.refuses(message) && !self.took(message)
    }

    fn took(&self, message: &Message) -> bool {
        let Some(memory) = &self.queue.memory else { return false };
        self.queue.settings.deduplication.is_some()
            && Identity::of(message)
                .is_some_and(|identity| memory.knows(&identity, self.context.now).is_some())
    }

    #[inline(never)]
    fn deduplicate(&mut self, message: Message) -> Publish {
        let identity = Identity::of(&message).filter(|_| !self.queue.deleted);
        let (Some(identity), Some(limits)) = (identity, self.queue.settings.deduplication) else {
            return self.publish(message);
        };
        let now = self.context.now;
        let memory = self.queue.memory.get_or_insert_with(|| Box::new(Memory::new(None)));
        if let Some(position) = memory.knows(&identity, now) {
            self.least = self.least.max(position);
            return Publish::Accepted;
        }
        let durable = self.is_durable(&message);
        let outcome = self.publish(message);
        if let (Publish::Accepted, Some(memory)) = (outcome, &mut self.queue.memory) {
            memory.remember(&identity, &limits, now, durable);
        }
        outcome
    }
}
