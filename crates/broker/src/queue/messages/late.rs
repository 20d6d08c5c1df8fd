//! Messages that expire before one that stands in front of them: the look at a queue's heads would
//! find them late.
//!
//! Who pays: an entry of some 24 bytes (and the tree's own) for each such message. A queue whose
//! messages expire in the order in which they came has none, nor has one without times to live.
//! Invariant: each entry is of a ready message, or of a place that the log turned out not to have.

use std::collections::BTreeMap;

use crate::ids::{Seq, Timestamp};

/// The memory of an entry.
const ENTRY_BYTES: u64 = 32;
/// With so few entries each is looked at when it is due.
const FEW: usize = 64;
/// Otherwise those that are due within so many milliseconds are taken together.
const TOGETHER_MS: u64 = 20;

/// A place that is known from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: Seq,
    pub(crate) expires_at: Timestamp,
    /// The length of the body.
    pub(crate) body_len: u64,
}

#[derive(Debug, Default)]
pub(super) struct Late {
    /// With the length of the body.
    entries: BTreeMap<(Timestamp, Seq), u32>,
    /// When all that was due was taken for the last time.
    taken_at: Timestamp,
}

impl Late {
    pub(super) fn bytes(&self) -> u64 {
        self.entries.len() as u64 * ENTRY_BYTES
    }

    pub(super) fn insert(&mut self, place: Place) {
        let body_len = u32::try_from(place.body_len).unwrap_or(u32::MAX);
        self.entries.insert((place.expires_at, place.seq), body_len);
    }

    pub(super) fn remove(&mut self, expires_at: Timestamp, seq: Seq) {
        if !self.entries.is_empty() {
            self.entries.remove(&(expires_at, seq));
        }
    }

    pub(super) fn clear(&mut self) {
        if !self.entries.is_empty() {
            self.entries.clear();
        }
    }

    /// When [`Self::take_due`] is to be called.
    pub(super) fn next(&self) -> Timestamp {
        let Some(((at, _), _)) = self.entries.first_key_value() else { return Timestamp::NEVER };
        if self.entries.len() <= FEW { *at } else { self.taken_at.after(TOGETHER_MS).max(*at) }
    }

    /// Takes what is due at `now`, but `max` entries at most, ordered by place.
    pub(super) fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<Place> {
        let mut places = Vec::new();
        while let Some(first) = self.entries.first_entry() {
            let (expires_at, seq) = *first.key();
            if expires_at > now {
                self.taken_at = now;
                break;
            }
            if places.len() == max {
                break;
            }
            let body_len = u64::from(first.remove());
            places.push(Place { seq, expires_at, body_len });
        }
        places.sort_unstable_by_key(|place| place.seq);
        places
    }

    #[cfg(test)]
    pub(super) fn seqs(&self) -> impl Iterator<Item = (Timestamp, Seq)> {
        self.entries.keys().copied()
    }
}
