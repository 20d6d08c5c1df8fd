//! The ready messages of one priority in order.
//!
//! Invariants: `returned`, `fresh` and `stored` follow each other; each seq in `behind` is larger
//! than the first one in `stored`, and `behind` is empty where that is. A slot that was taken out
//! of the middle of `fresh` leaves a [`Body::Gone`] there, of which there are at most as many as of
//! others (and a few); none stands at either end.

use std::collections::{BTreeMap, VecDeque};

use super::places::Places;
use super::{Body, Head, Slot};
use crate::ids::{Seq, Timestamp};

/// So many slots may be gone from `fresh` before it is looked at whether they are too many.
const GONE_MIN: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Level {
    /// Were out, and came back.
    pub(super) returned: BTreeMap<Seq, Slot>,
    pub(super) fresh: VecDeque<Slot>,
    /// How many slots in `fresh` are gone.
    gone: usize,
    /// Places whose messages are in the log or spilled.
    pub(super) stored: Places,
    /// Messages in memory that stand among or behind those in `stored`.
    pub(super) behind: BTreeMap<Seq, Slot>,
    /// The size of the messages in `returned`, whether they are in memory or not.
    pub(super) returned_bytes: u64,
    /// The size of those in `fresh`.
    pub(super) fresh_bytes: u64,
    /// No message that entered this level since the queue was empty, or was read back since the
    /// start, expires later.
    pub(super) latest: Timestamp,
    /// Stored places up to here are from before the start: when they expire is not known.
    pub(super) unknown_through: Seq,
}

/// What stood at a place.
pub(super) enum Taken {
    Slot(Slot),
    /// No slot: its message is in the log, or spilled.
    Stored,
}

impl Level {
    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.returned.is_empty() && self.stored.is_empty()
    }

    /// The slot at the head; none if a stored place is there.
    pub(super) fn front(&self) -> Option<&Slot> {
        self.returned.values().next().or_else(|| self.fresh.front())
    }

    pub(super) fn head(&self) -> Head {
        match self.front() {
            Some(slot) if slot.is_here() => Head::Here(slot.size()),
            Some(slot) => Head::Away(slot.seq),
            None => self.stored.first().map_or(Head::Empty, Head::Away),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Slot> {
        if let Some((_, slot)) = self.returned.pop_first() {
            self.returned_bytes -= slot.size() as u64;
            return Some(slot);
        }
        self.pop_fresh()
    }

    /// Takes the first slot of those that were not out yet.
    pub(super) fn pop_fresh(&mut self) -> Option<Slot> {
        let slot = self.fresh.pop_front()?;
        self.fresh_bytes -= slot.size() as u64;
        if self.gone > 0 {
            self.trim();
        }
        Some(slot)
    }

    pub(super) fn push_fresh(&mut self, slot: Slot) {
        self.fresh_bytes += slot.size() as u64;
        self.fresh.push_back(slot);
    }

    pub(super) fn put_back(&mut self, slot: Slot) {
        self.returned_bytes += slot.size() as u64;
        self.returned.insert(slot.seq, slot);
    }

    /// Takes the slot of a message that came back and is away.
    pub(super) fn take_returned(&mut self, seq: Seq) -> Option<Slot> {
        if self.returned.get(&seq)?.is_here() {
            return None;
        }
        let slot = self.returned.remove(&seq)?;
        self.returned_bytes -= slot.size() as u64;
        Some(slot)
    }

    /// Takes whatever stands at a place out of the order. [`Self::promote`] is to be called after
    /// the last one.
    pub(super) fn take(&mut self, seq: Seq) -> Option<Taken> {
        if let Some(slot) = self.returned.remove(&seq) {
            self.returned_bytes -= slot.size() as u64;
            return Some(Taken::Slot(slot));
        }
        if let Some(slot) = self.take_fresh(seq) {
            return Some(Taken::Slot(slot));
        }
        if let Some(slot) = self.behind.remove(&seq) {
            return Some(Taken::Slot(slot));
        }
        self.stored.take(seq).then_some(Taken::Stored)
    }

    fn fresh_index(&self, seq: Seq) -> Option<usize> {
        let at = self.fresh.binary_search_by_key(&seq, |slot| slot.seq).ok()?;
        (!self.fresh[at].is_gone()).then_some(at)
    }

    fn take_fresh(&mut self, seq: Seq) -> Option<Slot> {
        let at = self.fresh_index(seq)?;
        let left = &mut self.fresh[at];
        let body = std::mem::replace(&mut left.body, Body::Gone);
        let slot = Slot { body, ..*left };
        self.fresh_bytes -= slot.size() as u64;
        self.gone += 1;
        self.trim();
        if self.gone > GONE_MIN && self.gone * 2 > self.fresh.len() {
            self.compact();
        }
        Some(slot)
    }

    /// Removes what is gone from both ends of `fresh`.
    fn trim(&mut self) {
        while self.fresh.front().is_some_and(Slot::is_gone) {
            self.fresh.pop_front();
            self.gone -= 1;
        }
        while self.fresh.back().is_some_and(Slot::is_gone) {
            self.fresh.pop_back();
            self.gone -= 1;
        }
    }

    /// Removes all that is gone from `fresh`.
    pub(super) fn compact(&mut self) {
        if self.gone > 0 {
            self.fresh.retain(|slot| !slot.is_gone());
            self.gone = 0;
        }
    }

    /// Slots whose turn comes before the first stored place join `fresh`.
    pub(super) fn promote(&mut self) {
        while let Some(first) = self.behind.first_entry()
            && self.stored.first().is_none_or(|stored| *first.key() < stored)
        {
            let slot = first.remove();
            self.push_fresh(slot);
        }
    }
}
