//! Looking at the messages of a queue in the order of their delivery, changing nothing.

use super::{Body, Level, Messages, Slot, Unacked};
use crate::ids::{ConsumerId, Seq, Timestamp};
use crate::message::Message;

/// A place in the order of delivery. Higher levels come first; without priorities there is one, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The priority, as far as the queue has priorities.
    pub level: u8,
    /// The place in it.
    pub seq: Seq,
}

/// A message that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Out {
    /// Its place.
    pub seq: Seq,
    /// Who has it; none for a get.
    pub consumer: Option<ConsumerId>,
    /// When it went out.
    pub since: Timestamp,
}

/// Among so many that came back, one that was only parked is looked for.
const PARKED_MAX: usize = 64;

/// What is known of a message without reading it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Cursor,
    pub(crate) redelivered: bool,
    /// With its expiry, if it is in memory.
    pub(crate) message: Option<(Message, Timestamp)>,
}

impl Seen {
    fn of_slot(slot: &Slot) -> Self {
        let message = match &slot.body {
            Body::Here(message) => Some((message.clone(), slot.expires_at)),
            Body::Away { .. } | Body::Gone => None,
        };
        let at = Cursor { level: slot.level, seq: slot.seq };
        Self { at, redelivered: slot.was_out(), message }
    }
}

impl Level {
    /// The slots at `from` and behind it, those in front of `stored` first.
    fn slots_from(&self, from: Seq) -> (impl Iterator<Item = &Slot>, impl Iterator<Item = &Slot>) {
        let start = self.fresh.partition_point(|slot| slot.seq < from);
        let fresh = self.fresh.range(start..).filter(|slot| !slot.is_gone());
        let front = self.returned.range(from..).map(|(_, slot)| slot).chain(fresh);
        (front, self.behind.range(from..).map(|(_, slot)| slot))
    }

    fn slot(&self, seq: Seq) -> Option<&Slot> {
        let (mut front, mut behind) = self.slots_from(seq);
        let found = front.next().filter(|slot| slot.seq == seq);
        found.or_else(|| behind.next().filter(|slot| slot.seq == seq))
    }
}

impl Messages {
    /// The highest level.
    pub(in crate::queue) fn top(&self) -> u8 {
        (self.levels.len() - 1) as u8
    }

    fn seen_stored(&self, level: u8, seq: Seq) -> Seen {
        let (returns, marked) = self.away.marks.get(&seq).copied().unwrap_or_default();
        let redelivered = returns > 0 || marked || seq <= self.away.redelivered_through;
        Seen { at: Cursor { level, seq }, redelivered, message: None }
    }

    /// Up to `max` ready messages from `from` on, in the order of delivery.
    pub(in crate::queue) fn look(&self, from: Cursor, max: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        for (index, level) in self.levels.iter().enumerate().rev() {
            let number = index as u8;
            if number > from.level {
                continue;
            }
            let start = if number == from.level { from.seq } else { Seq(0) };
            let (front, behind) = level.slots_from(start);
            seen.extend(front.take(max - seen.len()).map(Seen::of_slot));
            let mut behind = behind.peekable();
            let stored = level.stored.ranges_from(start);
            for seq in stored.flat_map(|range| (range.first.0..=range.last.0).map(Seq)) {
                while seen.len() < max
                    && let Some(slot) = behind.next_if(|slot| slot.seq < seq)
                {
                    seen.push(Seen::of_slot(slot));
                }
                if seen.len() >= max {
                    return seen;
                }
                seen.push(self.seen_stored(number, seq));
            }
            seen.extend(behind.take(max - seen.len()).map(Seen::of_slot));
            if seen.len() >= max {
                break;
            }
        }
        seen
    }

    /// Those of `seqs` that are ready.
    pub(in crate::queue) fn look_up(&self, seqs: &[Seq]) -> Vec<Seen> {
        let find = |seq: &Seq| {
            self.levels.iter().enumerate().find_map(|(index, level)| {
                if let Some(slot) = level.slot(*seq) {
                    return Some(Seen::of_slot(slot));
                }
                level.stored.contains(*seq).then(|| self.seen_stored(index as u8, *seq))
            })
        };
        seqs.iter().filter_map(find).collect()
    }

    /// Up to `max` messages that are out, from a place on, in order.
    pub(in crate::queue) fn look_out(&self, from: Seq, max: usize) -> Vec<Out> {
        let out = self.unacked.values().map(|out| Out {
            seq: out.slot.seq,
            consumer: out.consumer(),
            since: out.since,
        });
        let mut out: Vec<_> = out.filter(|out| out.seq >= from).collect();
        if out.len() > max {
            out.select_nth_unstable_by_key(max, |out| out.seq);
            out.truncate(max);
        }
        out.sort_unstable_by_key(|out| out.seq);
        out
    }

    /// Who has what is out, and since when.
    pub(in crate::queue) fn held(&self) -> impl Iterator<Item = (ConsumerId, Timestamp)> {
        let held = |out: &Unacked| Some((out.consumer()?, out.since));
        self.unacked.values().filter_map(held)
    }

    /// The first place of a ready message that was not out; none if there is none, or it is not
    /// near the others that came back.
    pub(in crate::queue) fn oldest_fresh(&self) -> Option<Seq> {
        let first = |level: &Level| {
            let mut parked = level.returned.values().take(PARKED_MAX);
            let parked = parked.find(|slot| !slot.was_out());
            let fresh = parked.or_else(|| level.fresh.front()).map(|slot| slot.seq);
            fresh.or_else(|| level.stored.first())
        };
        self.levels.iter().filter_map(first).min()
    }

    /// The last place that was given.
    pub(in crate::queue) fn last_seq(&self) -> Seq {
        Seq(self.last_seq)
    }
}
