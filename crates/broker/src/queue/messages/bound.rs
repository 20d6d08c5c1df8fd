//! A time to live that came or changed while messages were there.
//!
//! When a message entered is not kept, only when it expires. So those that are there at a change of
//! the queue's time to live expire at the latest when they would if they entered at that moment;
//! one bound for all of them, since they are the first of each level. The change of the time to
//! live is durable, the bound is not: at a start it is set anew.

use super::{Messages, Slot};
use crate::ids::{Seq, Timestamp};

/// Messages up to `through` expire at `at`, if not earlier.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpiryBound {
    through: Seq,
    at: Timestamp,
}

impl Default for ExpiryBound {
    fn default() -> Self {
        Self { through: Seq(0), at: Timestamp::NEVER }
    }
}

impl ExpiryBound {
    /// When the message expires.
    pub(super) fn expiry(self, slot: &Slot) -> Timestamp {
        if slot.seq <= self.through { slot.expires_at.min(self.at) } else { slot.expires_at }
    }
}

impl Messages {
    /// All messages that were ever here expire at `at`, if not earlier; this replaces the bound
    /// that was set before.
    pub(in crate::queue) fn bound_expiry(&mut self, at: Timestamp) {
        self.bound = ExpiryBound { through: Seq(self.last_seq), at };
    }

    /// No message of this level expires later. Of what a restart left in the log only the bound is
    /// known: a queue with a time to live need not keep the times of all that comes behind it.
    pub(super) fn latest(&self, level: usize) -> Timestamp {
        let level = &self.levels[level];
        let unknown = level.stored.first().is_some_and(|first| first <= level.unknown_through);
        if unknown { level.latest.max(self.bound.at) } else { level.latest }
    }
}
