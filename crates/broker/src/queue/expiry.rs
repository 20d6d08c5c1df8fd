//! Time in a locked queue: what expires at its heads, what expires behind others, and when it wants
//! to be looked at again.

use super::Batch;
use super::batch::DeathReason;
use super::messages::{Slot, TakenPlaces};
use crate::ids::Timestamp;
use crate::log::SeqRange;

/// How many messages that expire behind others are taken under one lock.
const LATE_MAX: usize = 4096;
/// How many may expire at the heads in one batch: what is left is due at once, by the alarm, so
/// that others get to the queue too, and the dead are seen to before there are more.
pub(super) const HEADS_MAX: usize = 4096;

impl Batch<'_> {
    /// Drops what has expired at the head; if that is very much, a part of it, unless it is
    /// [`Self::expire_whole`]. What rests comes back first, so that all is in order.
    pub fn expire(&mut self) {
        self.wake();
        if self.queue.messages.next_expiry() > self.context.now {
            return;
        }
        if self.handle.is_schedule() {
            // What is due together leaves together, so that it can be put in order.
            self.expiries_left = usize::MAX;
        }
        while self.expiries_left > 0
            && let Some(slot) = self.queue.messages.pop_expired(self.context.now)
        {
            self.expiries_left -= 1;
            self.bury(slot, DeathReason::Expired);
        }
        if self.handle.is_schedule() {
            self.expire_late();
        }
    }

    /// Drops all that has expired at the head, now and later in the batch: for who must see what is
    /// behind.
    pub(super) fn expire_whole(&mut self) {
        self.expiries_left = usize::MAX;
        self.expire();
    }

    /// Drops what has expired, at the head and behind it; if that is very much, a part of it: the
    /// queue's alarm is then due at once.
    pub fn expire_all(&mut self) {
        self.expire();
        self.expire_late();
    }

    fn expire_late(&mut self) {
        if self.queue.messages.next_late() <= self.context.now {
            let taken = self.queue.messages.take_late(self.context.now, LATE_MAX);
            self.bury_taken(taken, DeathReason::Expired);
        }
    }

    /// What was taken out of the middle died. Where nobody wants dead letters, it is not read.
    pub(super) fn bury_taken(&mut self, taken: TakenPlaces, reason: DeathReason) {
        let TakenPlaces { slots, stored, spilled } = taken;
        let mut order: Vec<(Slot, bool)> = slots.into_iter().map(|slot| (slot, false)).collect();
        order.extend(stored.into_iter().map(|slot| (slot, true)));
        order.sort_unstable_by_key(|(slot, _)| slot.seq);
        let mut unspill = Vec::new();
        for (slot, is_stored) in order {
            if !is_stored {
                self.bury(slot, reason);
                continue;
            }
            if let Some(cause) = self.cause(reason, slot.expires_at) {
                self.depart(slot, cause, spilled);
                continue;
            }
            if spilled {
                SeqRange::push(&mut unspill, slot.seq);
            }
            if slot.durable {
                self.entries.settle_place(slot.seq);
            }
        }
        if !unspill.is_empty() {
            self.context.log.unspill(self.handle.spec.id, &unspill);
        }
    }

    /// Has all that a restart left in the log read through, piece by piece in the background, so
    /// that the queue knows when each message expires, and not only its first.
    pub fn want_scan(&mut self) {
        self.queue.messages.start_scan();
        self.effects.load = true;
    }

    pub(super) fn is_due(&self) -> bool {
        self.queue.messages.next_expiry() <= self.context.now
    }

    /// When the queue is to be looked at again.
    pub(super) fn alarm(&self) -> Option<Timestamp> {
        let lease = self.lease().ok().flatten().unwrap_or(Timestamp::NEVER);
        let messages = &self.queue.messages;
        let at = messages.next_expiry().min(messages.next_late()).min(messages.next_retry());
        let mut at = at.min(lease).min(messages.next_wake());
        if self.handle.is_schedule() {
            at = at.min(messages.next_ahead());
        }
        if self.queue.over_limit {
            at = self.context.now;
        }
        (at != Timestamp::NEVER).then_some(at)
    }
}
