//! Messages that came back and rest before they are ready again, in a queue with delayed retry.
//!
//! They are neither ready nor out. Memory keeps a slot of each, in an order by place and in one by
//! time; the log has what is durable, and knows nothing of the rest: after a restart they are ready
//! at once.
//!
//! Invariant: each place is once in `slots` and once in `times`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Messages, Slot};
use crate::ids::{Seq, Timestamp};

/// The memory of the two entries of a slot, beside it.
const ENTRY_BYTES: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Resting {
    /// With when each is ready again, or expires.
    slots: BTreeMap<Seq, (Timestamp, Slot)>,
    times: BTreeSet<(Timestamp, Seq)>,
    /// Of the bodies.
    body_bytes: u64,
}

impl Resting {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.slots.len() as u64 * ENTRY_BYTES
    }

    /// Counts all again: how many messages, and their memory.
    #[cfg(test)]
    pub(super) fn check(&self) -> (usize, u64) {
        let times = self.slots.iter().map(|(seq, (at, _))| (*at, *seq));
        assert_eq!(times.collect::<BTreeSet<_>>(), self.times);
        let slots = || self.slots.values().map(|(_, slot)| slot);
        assert_eq!(self.body_bytes, slots().map(Slot::body_len).sum::<u64>());
        (self.slots.len(), slots().map(Slot::resident).sum())
    }

    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.values_mut().map(|(_, slot)| slot)
    }
}

impl Messages {
    /// Has a message that came back rest until `at`, or until it expires. With `keeps`, the log
    /// gives it back, so that memory need not hold it.
    pub(in crate::queue) fn rest(&mut self, mut slot: Slot, at: Timestamp, keeps: bool) {
        slot.returns = slot.returns.saturating_add(1);
        if keeps && slot.durable {
            slot.drop_body();
        }
        let at = at.min(self.bound.expiry(&slot));
        self.slots += 1;
        self.out_resident += slot.resident();
        self.resting.body_bytes += slot.body_len();
        self.resting.times.insert((at, slot.seq));
        self.resting.slots.insert(slot.seq, (at, slot));
    }

    fn take_resting(&mut self, seq: Seq) -> Option<Slot> {
        let (at, slot) = self.resting.slots.remove(&seq)?;
        self.resting.times.remove(&(at, seq));
        self.resting.body_bytes -= slot.body_len();
        self.slots -= 1;
        self.out_resident -= slot.resident();
        Some(slot)
    }

    /// Has those be ready again whose time has come, and names them.
    pub(in crate::queue) fn wake(&mut self, now: Timestamp) -> Vec<Seq> {
        let mut woken = Vec::new();
        while let Some((at, seq)) = self.resting.times.first().copied()
            && at <= now
            && let Some(slot) = self.take_resting(seq)
        {
            self.restore(slot);
            woken.push(seq);
        }
        woken
    }

    /// When to call [`Self::wake`].
    pub(in crate::queue) fn next_wake(&self) -> Timestamp {
        self.resting.times.first().map_or(Timestamp::NEVER, |(at, _)| *at)
    }

    /// Takes the first that rests in the order of places: older than almost all that is ready.
    pub(in crate::queue) fn pop_resting(&mut self) -> Option<Slot> {
        let seq = *self.resting.slots.first_key_value()?.0;
        self.take_resting(seq)
    }

    /// How many messages rest, and the bytes of their bodies.
    pub(in crate::queue) fn resting(&self) -> (usize, u64) {
        (self.resting.slots.len(), self.resting.body_bytes)
    }
}
