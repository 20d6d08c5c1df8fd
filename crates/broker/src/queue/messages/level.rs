//! The ready messages of one priority in order.
//!
//! Invariants: `returned`, `fresh` and `stored` follow each other; each seq in `behind` is larger
//! than the first one in `stored`, and `behind` is empty where that is.

use std::collections::{BTreeMap, VecDeque};

use super::{Head, Slot};
use crate::ids::Seq;
use crate::log::SeqRange;

#[derive(Debug, Default)]
pub(super) struct Level {
    /// Were out, and came back.
    pub(super) returned: BTreeMap<Seq, Slot>,
    pub(super) fresh: VecDeque<Slot>,
    /// Places whose messages are in the log or spilled.
    pub(super) stored: VecDeque<SeqRange>,
    /// Messages in memory that stand among or behind those in `stored`.
    pub(super) behind: BTreeMap<Seq, Slot>,
    /// The size of the messages in `returned`, whether they are in memory or not.
    pub(super) returned_bytes: u64,
    /// The size of those in `fresh`.
    pub(super) fresh_bytes: u64,
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
            None => self.stored.front().map_or(Head::Empty, |range| Head::Away(range.first)),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Slot> {
        if let Some((_, slot)) = self.returned.pop_first() {
            self.returned_bytes -= slot.size() as u64;
            return Some(slot);
        }
        let slot = self.fresh.pop_front()?;
        self.fresh_bytes -= slot.size() as u64;
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

    /// Adds a place behind all others.
    pub(super) fn push_stored(&mut self, seq: Seq) {
        match self.stored.back_mut() {
            Some(range) if range.last.0 + 1 == seq.0 => range.last = seq,
            _ => self.stored.push_back(SeqRange::one(seq)),
        }
    }

    /// Takes the first stored place, if that is `seq`.
    pub(super) fn take_stored(&mut self, seq: Seq) -> bool {
        match self.stored.front_mut() {
            Some(range) if range.first == seq => {
                if range.first == range.last {
                    self.stored.pop_front();
                } else {
                    range.first.0 += 1;
                }
                true
            }
            _ => false,
        }
    }

    /// Slots whose turn comes before the first stored place join `fresh`.
    pub(super) fn promote(&mut self) {
        while let Some(first) = self.behind.first_entry()
            && self.stored.front().is_none_or(|range| *first.key() < range.first)
        {
            let slot = first.remove();
            self.push_fresh(slot);
        }
    }
}
