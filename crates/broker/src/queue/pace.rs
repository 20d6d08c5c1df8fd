//! How a queue and its consumers keep up with what comes: since when deliveries are out, for which
//! share of the time consumers could take more, and how long messages wait.
//!
//! Invariants: noted once a batch; memory has a bound; [`QueueHandle::pace`] costs the same however
//! many messages there are. How long something is out is never too short, and too long by at most
//! the stretch between two counts: about an eighth of the oldest, or a millisecond. What is not
//! known is absent.

use std::collections::VecDeque;

use super::{Batch, QueueHandle};
use crate::ids::{ConsumerId, Timestamp};

/// Most stretches of a queue.
const STRETCHES_MAX: usize = 32;
/// How much of the past a share is of: this and up to as much before.
const SPAN_MS: u64 = 5_000;
/// The most deliveries that are looked at one by one for [`QueueHandle::holders`].
const HELD_MAX: usize = 16_384;

/// How a queue keeps up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Milliseconds since the oldest ready message came that was not out yet; none if there is
    /// none, or it came before the start.
    pub oldest_ready_age_ms: Option<u64>,
    /// Milliseconds since the delivery that is out for longest; none if nothing is.
    pub oldest_unacked_age_ms: Option<u64>,
    /// For which share of the last seconds messages did not have to wait for a consumer to have
    /// room, 0 to 1; none without consumers.
    pub consumer_capacity: Option<f64>,
    /// Milliseconds that the messages waited that were first delivered in the last seconds, on
    /// average; none if there were none, or they came before the start.
    pub time_in_queue_ms: Option<f64>,
}

/// What a consumer has out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Whose it is.
    pub consumer: ConsumerId,
    /// How many deliveries.
    pub unacked: u32,
    /// Since when the oldest is out; none if nothing is, or the queue has too much out to look.
    pub oldest_at: Option<Timestamp>,
}

/// Deliveries that went out at `from`, or soon after.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: Timestamp,
    count: u64,
}

/// Since when a queue's deliveries are out.
#[derive(Debug)]
pub(super) struct Outs {
    stretches: VecDeque<Stretch>,
    /// How long a stretch is, in milliseconds.
    stretch_ms: u64,
    /// Of all stretches.
    count: u64,
}

impl Default for Outs {
    fn default() -> Self {
        Self { stretches: VecDeque::new(), stretch_ms: 1, count: 0 }
    }
}

impl Outs {
    /// `count` deliveries that went out at a time are settled.
    pub(super) fn settled(&mut self, since: Timestamp, count: u64) {
        let at = self.stretches.partition_point(|stretch| stretch.from <= since);
        let Some(stretch) = at.checked_sub(1).and_then(|at| self.stretches.get_mut(at)) else {
            return;
        };
        let count = count.min(stretch.count);
        stretch.count -= count;
        self.count -= count;
        while self.stretches.front().is_some_and(|stretch| stretch.count == 0) {
            self.stretches.pop_front();
        }
        if self.stretches.len() < STRETCHES_MAX / 4 {
            self.stretch_ms = (self.stretch_ms / 2).max(1);
        }
    }

    /// So many are out now: what is new went out just now.
    fn now_out(&mut self, out: u64, now: Timestamp) {
        let new = out.saturating_sub(self.count);
        if new == 0 {
            return;
        }
        self.count += new;
        if let Some(last) = self.stretches.back_mut()
            && now < last.from.after(self.stretch_ms)
        {
            last.count += new;
            return;
        }
        if self.stretches.len() == STRETCHES_MAX {
            self.thin();
        }
        self.stretches.push_back(Stretch { from: now, count: new });
    }

    /// Drops stretches of which nothing is out, or makes one of every two.
    fn thin(&mut self) {
        self.stretches.retain(|stretch| stretch.count > 0);
        if self.stretches.len() <= STRETCHES_MAX / 2 {
            return;
        }
        let pairs = self.stretches.make_contiguous().chunks(2);
        let both = |pair: &[Stretch]| {
            let count = pair.iter().map(|stretch| stretch.count).sum();
            Some(Stretch { from: pair.first()?.from, count })
        };
        self.stretches = pairs.filter_map(both).collect();
        self.stretch_ms = self.stretch_ms.saturating_mul(2);
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.stretches.front().map(|stretch| stretch.from)
    }
}

/// Deliveries that are settled together, as far as they went out at the same time.
#[derive(Debug)]
pub(super) struct SettledRun {
    since: Timestamp,
    count: u64,
}

impl SettledRun {
    pub(super) const EMPTY: Self = Self { since: Timestamp(0), count: 0 };

    #[inline]
    pub(super) fn note(&mut self, since: Timestamp, outs: &mut Outs) {
        if since != self.since {
            self.end(outs);
            self.since = since;
        }
        self.count += 1;
    }

    pub(super) fn end(&mut self, outs: &mut Outs) {
        if self.count > 0 {
            outs.settled(self.since, std::mem::take(&mut self.count));
        }
    }
}

/// What happened in some time.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    millis: u32,
    /// Of these, with consumers.
    consumed_ms: u32,
    /// Of these, while messages waited for one of them to have room.
    blocked_ms: u32,
    /// First deliveries of messages whose arrival is known.
    delivered: u32,
    /// How long these have waited.
    waited_ms: u64,
}

impl Span {
    fn pass(&mut self, millis: u64, consumers: Consumers) {
        // At most two spans.
        let millis = millis as u32;
        self.millis += millis;
        self.consumed_ms += if consumers == Consumers::None { 0 } else { millis };
        self.blocked_ms += if consumers == Consumers::Full { millis } else { 0 };
    }
}

/// What a queue's consumers are like at the end of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Consumers {
    #[default]
    None,
    /// One can take a message, or there is none to be taken.
    Able,
    /// Messages wait for one to have room.
    Full,
}

/// What happened in the present span and the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spans {
    /// Up to when.
    at: Timestamp,
    /// Since then.
    consumers: Consumers,
    present: Span,
    before: Span,
}

impl Spans {
    /// Time passes in which nothing has changed.
    fn advance(&mut self, now: Timestamp) {
        let millis = now.0.saturating_sub(self.at.0);
        if millis == 0 {
            return;
        }
        self.at = now;
        if millis >= SPAN_MS {
            (self.before, self.present) = (Span::default(), Span::default());
            self.before.pass(SPAN_MS, self.consumers);
            return;
        }
        self.present.pass(millis, self.consumers);
        if u64::from(self.present.millis) >= SPAN_MS {
            self.before = std::mem::take(&mut self.present);
        }
    }

    /// First deliveries, all of which waited for so long.
    pub(super) fn delivered(&mut self, count: u64, waited_ms: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.present.delivered = self.present.delivered.saturating_add(count);
        let waited_ms = waited_ms.saturating_mul(u64::from(count));
        self.present.waited_ms = self.present.waited_ms.saturating_add(waited_ms);
    }

    fn capacity(&self) -> Option<f64> {
        let consumed = self.before.consumed_ms + self.present.consumed_ms;
        let blocked = self.before.blocked_ms + self.present.blocked_ms;
        match (self.consumers, consumed) {
            (Consumers::None, _) => None,
            (consumers, 0) => Some(f64::from(u8::from(consumers == Consumers::Able))),
            _ => Some(1.0 - f64::from(blocked) / f64::from(consumed)),
        }
    }

    fn time_in_queue_ms(&self) -> Option<f64> {
        let delivered = u64::from(self.before.delivered) + u64::from(self.present.delivered);
        let waited_ms = self.before.waited_ms.saturating_add(self.present.waited_ms);
        (delivered > 0).then(|| waited_ms as f64 / delivered as f64)
    }
}

impl Batch<'_> {
    /// At the start of what is noted of a batch: time has passed until now.
    pub(super) fn advance_pace(&mut self) {
        self.queue.spans.advance(self.context.now);
    }

    /// At the end of a batch: what is out, and whether consumers have room.
    pub(super) fn note_pace(&mut self) {
        let queue = &mut *self.queue;
        queue.outs.now_out(queue.messages.unacked() as u64, self.context.now);
        queue.spans.consumers = if queue.consumers.is_empty() {
            Consumers::None
        } else if queue.messages.ready() == 0 || queue.consumers.has_turn() {
            Consumers::Able
        } else {
            Consumers::Full
        };
    }
}

impl QueueHandle {
    /// How the queue keeps up.
    pub fn pace(&self, now: Timestamp) -> Pace {
        let state = self.state();
        let mut spans = state.spans;
        spans.advance(now);
        let age = |at: Timestamp| now.0.saturating_sub(at.0);
        let oldest = state.messages.oldest_fresh();
        Pace {
            oldest_ready_age_ms: oldest.and_then(|seq| state.waits.age_ms(seq, now)),
            oldest_unacked_age_ms: state.outs.oldest().map(age),
            consumer_capacity: spans.capacity(),
            time_in_queue_ms: spans.time_in_queue_ms(),
        }
    }

    /// What the consumers have out, in the order of their ids.
    pub fn holders(&self) -> Vec<Holder> {
        let state = self.state();
        let holders = state.consumers.in_flight();
        let holder = |(consumer, unacked)| Holder { consumer, unacked, oldest_at: None };
        let mut holders: Vec<Holder> = holders.map(holder).collect();
        if state.messages.unacked() > HELD_MAX {
            return holders;
        }
        for (consumer, since) in state.messages.held() {
            if let Ok(at) = holders.binary_search_by_key(&consumer, |holder| holder.consumer) {
                let oldest = &mut holders[at].oldest_at;
                *oldest = Some(oldest.map_or(since, |before| before.min(since)));
            }
        }
        holders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_known_in_bounded_memory() {
        let mut outs = Outs::default();
        let mut out = VecDeque::new();
        for tick in 1..100_000_u64 {
            // A delivery every three milliseconds, of which some stay out for very long.
            let now = Timestamp(1_000_000 + tick * 3);
            out.push_back(now);
            outs.now_out(out.len() as u64, now);
            let keep = if tick % 40_000 < 20_000 { 3_000 } else { 20 };
            while out.len() > keep {
                // Not always the oldest one first.
                let at = if tick % 7 == 0 { (tick as usize * 31) % out.len() } else { 0 };
                outs.settled(out.remove(at).unwrap(), 1);
            }
            let (truth, seen) = (now.0 - out[0].0, now.0 - outs.oldest().unwrap().0);
            assert!(truth <= seen, "{tick}: {seen} {truth}");
            // The stretches are still those of the longer time for a while.
            let settled = tick % 40_000 > 21_000 || tick % 40_000 < 20_000;
            assert!(!settled || seen <= truth + truth / 6 + 20, "{tick}: {seen} {truth}");
            assert!(outs.stretches.len() <= STRETCHES_MAX);
        }
        for at in out {
            outs.settled(at, 1);
        }
        assert_eq!((outs.oldest(), outs.count), (None, 0));
    }

    #[test]
    fn a_share_is_of_the_last_seconds() {
        let mut spans = Spans::default();
        let mut at = |millis: u64, consumers: Consumers| {
            spans.advance(Timestamp(1_000_000 + millis));
            spans.consumers = consumers;
            spans
        };
        assert_eq!(at(0, Consumers::None).capacity(), None);
        assert_eq!(at(60_000, Consumers::Able).capacity(), Some(1.0));
        // Four seconds able, one full; what is before that was without consumers.
        assert_eq!(at(64_000, Consumers::Full).capacity(), Some(1.0));
        assert_eq!(at(65_000, Consumers::Able).capacity(), Some(0.8));
        assert_eq!(at(70_000, Consumers::Full).capacity(), Some(1.0));
        assert_eq!(at(72_000, Consumers::Full).capacity(), Some(5.0 / 7.0));
        // Nothing happened for an hour.
        assert_eq!(at(3_672_000, Consumers::Full).capacity(), Some(0.0));
        assert_eq!(at(3_672_000, Consumers::None).capacity(), None);
    }

    #[test]
    fn a_time_in_queue_is_that_of_the_last_seconds() {
        let mut spans = Spans::default();
        spans.advance(Timestamp(1_000_000));
        assert_eq!(spans.time_in_queue_ms(), None);
        spans.delivered(3, 10);
        spans.delivered(1, 50);
        assert_eq!(spans.time_in_queue_ms(), Some(20.0));
        spans.advance(Timestamp(1_004_000));
        assert_eq!(spans.time_in_queue_ms(), Some(20.0));
        spans.advance(Timestamp(1_020_000));
        assert_eq!(spans.time_in_queue_ms(), None);
    }
}
