//! Messages that others may pass (see `queue::groups`): they stand among those that came back,
//! where their order is kept, and whatever holds for ready messages holds for them.
//!
//! Only for queues without priorities: there is one level.

use super::{Head, Messages, Slot};
use crate::ids::Seq;

impl Messages {
    /// Puts a message back that was just taken and not delivered.
    pub(in crate::queue) fn park(&mut self, slot: Slot) {
        self.restore(slot);
    }

    /// A message that was parked or came back; nothing if it has gone.
    pub(in crate::queue) fn parked(&self, seq: Seq) -> Head {
        match self.levels[0].returned.get(&seq) {
            None => Head::Empty,
            Some(slot) if slot.is_here() => Head::Here(slot.size()),
            Some(_) => Head::Away(seq),
        }
    }

    /// The size of those that were parked or came back.
    pub(in crate::queue) fn parked_bytes(&self) -> u64 {
        self.levels[0].returned_bytes
    }

    /// Takes a message that was parked or came back.
    pub(in crate::queue) fn take_parked(&mut self, seq: Seq) -> Option<Slot> {
        let level = &mut self.levels[0];
        let slot = level.returned.remove(&seq)?;
        level.returned_bytes -= slot.size() as u64;
        self.count_out(&slot);
        self.late.remove(slot.expires_at, slot.seq);
        Some(slot)
    }

    /// What stands behind all that were parked or came back.
    pub(in crate::queue) fn next_fresh(&self) -> Head {
        let level = &self.levels[0];
        match level.fresh.front() {
            Some(slot) => Head::Here(slot.size()),
            None => level.stored.first().map_or(Head::Empty, Head::Away),
        }
    }

    /// Takes that message, if it is in memory.
    pub(in crate::queue) fn pop_fresh(&mut self) -> Option<Slot> {
        let slot = self.levels[0].pop_fresh()?;
        self.count_out(&slot);
        self.late.remove(slot.expires_at, slot.seq);
        self.shrink();
        Some(slot)
    }
}
