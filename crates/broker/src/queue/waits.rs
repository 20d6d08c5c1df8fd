//! How long messages wait in a queue for their first delivery: times of arrival by place, kept for
//! stretches of messages instead of each.
//!
//! Invariants: nothing is kept while no message waits; at most [`MARKS_MAX`] marks, in the order of
//! places and times. A time that is read is never too short, and too long by at most the stretch
//! between two marks: about an eighth of how long the oldest message had waited when this one came,
//! or a millisecond.

use std::collections::VecDeque;

use super::Batch;
use crate::ids::{Seq, Timestamp};

/// Most marks of a queue.
const MARKS_MAX: usize = 32;

/// The messages up to `seq`, and behind the mark before, came at `at` or soon after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    seq: Seq,
    at: Timestamp,
}

#[derive(Debug)]
struct Marks {
    marks: VecDeque<Mark>,
    /// How long a stretch is, in milliseconds.
    stretch_ms: u64,
}

/// When the messages of a queue came.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// When those up to here came is not known: it was before the start, or all but some that came
    /// back are gone.
    unknown_through: Seq,
    marks: Option<Box<Marks>>,
}

/// First deliveries of a batch.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Firsts {
    count: u64,
    last: Seq,
}

impl Firsts {
    /// Notes a delivery.
    #[inline]
    pub(super) fn note(&mut self, seq: Seq, redelivered: bool) {
        if !redelivered {
            self.count += 1;
            self.last = seq;
        }
    }
}

impl Marks {
    /// The messages up to `seq` have come.
    fn note(&mut self, seq: Seq, now: Timestamp) {
        if let Some(last) = self.marks.back_mut()
            && now < last.at.after(self.stretch_ms)
        {
            last.seq = seq;
            return;
        }
        if self.marks.len() == MARKS_MAX {
            self.thin();
        }
        self.marks.push_back(Mark { seq, at: now });
    }

    /// Makes one mark of every two.
    fn thin(&mut self) {
        let pairs = self.marks.make_contiguous().chunks(2);
        let both = |pair: &[Mark]| Some(Mark { seq: pair.last()?.seq, at: pair.first()?.at });
        self.marks = pairs.filter_map(both).collect();
        self.stretch_ms = self.stretch_ms.saturating_mul(2);
    }

    /// Forgets the marks of messages before `seq`, which were all delivered; the last of them.
    fn pass(&mut self, seq: Seq) -> Option<Seq> {
        let gone = self.marks.partition_point(|mark| mark.seq < seq);
        let passed = self.marks.drain(..gone).next_back();
        if self.marks.len() < MARKS_MAX / 4 {
            self.stretch_ms = (self.stretch_ms / 2).max(1);
        }
        passed.map(|mark| mark.seq)
    }

    fn arrival(&self, seq: Seq) -> Option<Timestamp> {
        let at = self.marks.partition_point(|mark| mark.seq < seq);
        self.marks.get(at).map(|mark| mark.at)
    }
}

impl Waits {
    /// The messages up to here are from before the start.
    pub(super) fn recover(&mut self, last_seq: Seq) {
        self.unknown_through = last_seq;
    }

    /// How long the message at a place has waited, in milliseconds; none if that is not known.
    fn waited_ms(&self, seq: Seq, now: Timestamp) -> Option<u64> {
        if seq <= self.unknown_through {
            return None;
        }
        let arrival = self.marks.as_ref().and_then(|marks| marks.arrival(seq));
        // Behind all marks is what came in this batch.
        Some(arrival.map_or(0, |arrival| now.0.saturating_sub(arrival.0)))
    }

    /// How long ago the message at a place came, in milliseconds, outside of a batch; none if that
    /// is not known.
    pub(super) fn age_ms(&self, seq: Seq, now: Timestamp) -> Option<u64> {
        if seq <= self.unknown_through {
            return None;
        }
        let arrival = self.marks.as_ref()?.arrival(seq)?;
        Some(now.0.saturating_sub(arrival.0))
    }

    /// Notes that messages up to `last` have come, if some wait.
    fn arrived(&mut self, last: Seq, waiting: bool, now: Timestamp) {
        if !waiting {
            self.unknown_through = self.unknown_through.max(last);
            if let Some(marks) = &mut self.marks {
                marks.marks.clear();
                marks.stretch_ms = 1;
            }
            return;
        }
        let new = || Box::new(Marks { marks: VecDeque::new(), stretch_ms: 1 });
        let marks = self.marks.get_or_insert_with(new);
        let known = marks.marks.back().map_or(self.unknown_through, |mark| mark.seq);
        if last > known {
            marks.note(last, now);
        }
    }
}

impl Batch<'_> {
    /// At the end of a batch: notes how long what it delivered first has waited, all as long as the
    /// last of it, and when what it took has come.
    pub(super) fn note_waits(&mut self) {
        self.advance_pace();
        let now = self.context.now;
        let queue = &mut *self.queue;
        let Firsts { count, last } = self.firsts;
        if count > 0 {
            if let Some(millis) = queue.waits.waited_ms(last, now) {
                self.context.waits.note(millis.saturating_mul(1000), count);
                queue.spans.delivered(count, millis);
            }
            let in_order = queue.settings.max_priority == 0 && queue.groups.is_none();
            if in_order && let Some(marks) = &mut queue.waits.marks {
                let passed = marks.pass(last).unwrap_or(Seq(0));
                queue.waits.unknown_through = queue.waits.unknown_through.max(passed);
            }
        }
        queue.waits.arrived(queue.messages.last_seq(), queue.messages.ready() > 0, now);
        self.note_pace();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_known_about_in_bounded_memory() {
        let mut waits = Waits::default();
        let mut out = 0;
        for tick in 1..200_000_u64 {
            // A message every three milliseconds, and what waits grows and shrinks.
            let now = Timestamp(1_000_000 + tick * 3);
            waits.arrived(Seq(tick), true, now);
            let (phase, long) = (tick % 20_000, tick % 40_000 < 20_000);
            let backlog = if long { 2_000 } else { 50 };
            if tick <= backlog {
                continue;
            }
            out = out.max(tick - backlog);
            let truth = (tick - out) * 3;
            let seen = waits.waited_ms(Seq(out), now).unwrap();
            // The longest wait was of 2,000 messages; later it is that of those that wait.
            let most = if phase < 4_000 { 2_000 * 3 / 8 } else { truth / 6 };
            assert!(truth <= seen && seen <= truth + most, "{tick}: {seen} {truth}");
            let marks = waits.marks.as_mut().unwrap();
            marks.pass(Seq(out));
            assert!(marks.marks.len() <= MARKS_MAX);
        }
        waits.arrived(Seq(200_000), false, Timestamp(9_000_000));
        assert!(waits.marks.unwrap().marks.is_empty());
    }

    #[test]
    fn what_is_from_before_the_start_has_no_time() {
        let mut waits = Waits::default();
        waits.recover(Seq(10));
        waits.arrived(Seq(10), true, Timestamp(5));
        waits.arrived(Seq(12), true, Timestamp(7));
        assert_eq!(waits.waited_ms(Seq(10), Timestamp(9)), None);
        assert_eq!(waits.waited_ms(Seq(11), Timestamp(9)), Some(2));
        assert_eq!(waits.waited_ms(Seq(13), Timestamp(9)), Some(0));
    }
}
