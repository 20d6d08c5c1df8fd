//! Messages on their way to other queues: to the dead-letter exchange, or from the schedule of an
//! exchange.
//!
//! A message that leaves is neither ready nor out, and is still in the log: only the group that
//! has it in its new queues settles it here. One that nobody takes stays, if it must not be lost,
//! and is tried again.
//!
//! Invariants: `waiting` counts those that are not under way, and there is a time to try them again
//! whenever there are any and none was taken to be tried.

use std::collections::BTreeMap;

use super::{Messages, Slot};
use crate::ids::{Seq, Timestamp};
use crate::message::Message;
use crate::queue::batch::Cause;

/// How long what nobody takes waits for the next try.
const RETRY_MS: u64 = 2_000;
/// The same once somebody takes messages again.
const RETRY_SOON_MS: u64 = 20;

/// A message that leaves.
#[derive(Debug)]
pub(in crate::queue) struct Leaving {
    pub(in crate::queue) slot: Slot,
    pub(in crate::queue) cause: Cause,
    /// It may be spilled.
    pub(in crate::queue) spilled: bool,
    /// Somebody is about to publish it.
    under_way: bool,
}

/// Those of a queue.
#[derive(Debug)]
pub(super) struct Departures {
    all: BTreeMap<Seq, Leaving>,
    waiting: usize,
    waiting_bytes: u64,
    retry_at: Timestamp,
    /// Where the next try begins.
    next: Seq,
}

impl Default for Departures {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            waiting: 0,
            waiting_bytes: 0,
            retry_at: Timestamp::NEVER,
            next: Seq(0),
        }
    }
}

impl Departures {
    pub(super) fn has_spilled(&self) -> bool {
        self.all.values().any(|leaving| leaving.spilled)
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.all.values().map(|leaving| &leaving.slot)
    }
}

impl Messages {
    /// Notes a message as leaving and under way. With `keeps`, the log gives it back should it have
    /// to wait, so that memory need not hold it.
    pub(in crate::queue) fn depart(
        &mut self,
        mut slot: Slot,
        cause: Cause,
        spilled: bool,
        keeps: bool,
    ) {
        if keeps && slot.durable {
            slot.drop_body();
        }
        self.slots += 1;
        self.out_resident += slot.resident();
        let seq = slot.seq;
        let leaving = Leaving { slot, cause, spilled, under_way: true };
        self.departures.all.insert(seq, leaving);
    }

    /// Whether a message is about to leave.
    pub(in crate::queue) fn is_leaving(&self, seq: Seq) -> bool {
        self.departures.all.contains_key(&seq)
    }

    /// Takes a message that was leaving out for good.
    pub(in crate::queue) fn leave(&mut self, seq: Seq, now: Timestamp) -> Option<Leaving> {
        let leaving = self.departures.all.remove(&seq)?;
        self.slots -= 1;
        self.out_resident -= leaving.slot.resident();
        if !leaving.under_way {
            self.count_waiting(&leaving.slot, false);
        }
        if self.departures.waiting > 0 {
            // Somebody takes messages again.
            let at = now.after(RETRY_SOON_MS);
            self.departures.retry_at = self.departures.retry_at.min(at);
        }
        Some(leaving)
    }

    fn count_waiting(&mut self, slot: &Slot, waits: bool) {
        let departures = &mut self.departures;
        if waits {
            departures.waiting += 1;
            departures.waiting_bytes += slot.body_len();
        } else {
            departures.waiting -= 1;
            departures.waiting_bytes -= slot.body_len();
        }
    }

    /// Nobody took a message: it waits for another try.
    pub(in crate::queue) fn stay(&mut self, seq: Seq, now: Timestamp) {
        let Some(leaving) = self.departures.all.get_mut(&seq) else { return };
        if std::mem::take(&mut leaving.under_way) {
            let body_len = leaving.slot.body_len();
            self.departures.waiting += 1;
            self.departures.waiting_bytes += body_len;
        }
        let at = now.after(RETRY_MS);
        self.departures.retry_at = self.departures.retry_at.min(at);
    }

    /// Takes up to `max` of those that wait, if it is time to try them again: they are under way.
    pub(in crate::queue) fn take_retries(
        &mut self,
        now: Timestamp,
        max: usize,
    ) -> Vec<(Seq, Option<Message>, Cause)> {
        let mut retries = Vec::new();
        let departures = &mut self.departures;
        if departures.retry_at > now {
            return retries;
        }
        for from in [departures.next, Seq(0)] {
            let waiting = departures.all.range_mut(from..).filter(|(_, one)| !one.under_way);
            for (seq, leaving) in waiting.take(max) {
                leaving.under_way = true;
                departures.waiting -= 1;
                departures.waiting_bytes -= leaving.slot.body_len();
                departures.next = Seq(seq.0 + 1);
                retries.push((*seq, leaving.slot.message().cloned(), leaving.cause));
            }
            if !retries.is_empty() {
                break;
            }
        }
        departures.retry_at = Timestamp::NEVER;
        retries
    }

    /// When to call [`Self::take_retries`].
    pub(in crate::queue) fn next_retry(&self) -> Timestamp {
        self.departures.retry_at
    }

    /// How many messages nobody takes, and the bytes of their bodies.
    pub(in crate::queue) fn waiting(&self) -> (usize, u64) {
        (self.departures.waiting, self.departures.waiting_bytes)
    }

    /// How many messages are leaving.
    pub(in crate::queue) fn leaving(&self) -> usize {
        self.departures.all.len()
    }
}
