//! An ordered set of places that no slot stands for, as ranges.
//!
//! Invariant: no two ranges have a place in common, and those in `ranges` stand before `tail`. A
//! queue that is read from the front has `tail` alone; places that go out of the middle cost a
//! search each.

use std::collections::BTreeMap;

use crate::ids::Seq;
use crate::log::SeqRange;

#[derive(Debug, Default)]
pub(super) struct Places {
    /// The first place of each range, by its last.
    ranges: BTreeMap<Seq, Seq>,
    tail: Option<SeqRange>,
}

impl Places {
    /// Of ranges in order.
    pub(super) fn new(mut ranges: Vec<SeqRange>) -> Self {
        let tail = ranges.pop();
        Self { ranges: ranges.iter().map(|range| (range.last, range.first)).collect(), tail }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tail.is_none() && self.ranges.is_empty()
    }

    pub(super) fn first(&self) -> Option<Seq> {
        match self.ranges.first_key_value() {
            Some((_, first)) => Some(*first),
            None => self.tail.map(|tail| tail.first),
        }
    }

    /// How many ranges.
    pub(super) fn len(&self) -> usize {
        self.ranges.len() + usize::from(self.tail.is_some())
    }

    pub(super) fn ranges(&self) -> impl Iterator<Item = SeqRange> {
        let ranges =
            self.ranges.iter().map(|(last, first)| SeqRange { first: *first, last: *last });
        ranges.chain(self.tail)
    }

    /// The ranges of what stands at `from` or behind it.
    pub(super) fn ranges_from(&self, from: Seq) -> impl Iterator<Item = SeqRange> {
        let ranges = self.ranges.range(from..);
        let ranges = ranges.map(|(last, first)| SeqRange { first: *first, last: *last });
        ranges
            .chain(self.tail)
            .filter(move |range| range.last >= from)
            .map(move |range| SeqRange { first: range.first.max(from), last: range.last })
    }

    pub(super) fn contains(&self, seq: Seq) -> bool {
        let within = |range: SeqRange| range.first <= seq && seq <= range.last;
        if self.tail.is_some_and(within) {
            return true;
        }
        self.ranges.range(seq..).next().is_some_and(|(_, first)| *first <= seq)
    }

    /// Adds a place behind all others.
    pub(super) fn push(&mut self, seq: Seq) {
        match &mut self.tail {
            Some(tail) if tail.last.0 + 1 == seq.0 => tail.last = seq,
            tail => {
                if let Some(before) = tail.replace(SeqRange::one(seq)) {
                    self.ranges.insert(before.last, before.first);
                }
            }
        }
    }

    /// Takes the first place, if that is `seq`.
    pub(super) fn take_first(&mut self, seq: Seq) -> bool {
        if let Some(mut range) = self.ranges.first_entry() {
            if *range.get() != seq {
                return false;
            }
            if *range.key() == seq {
                range.remove();
            } else {
                range.get_mut().0 += 1;
            }
            return true;
        }
        match &mut self.tail {
            Some(tail) if tail.first == seq => {
                tail.first.0 += 1;
                if tail.last == seq {
                    self.tail = None;
                }
                true
            }
            _ => false,
        }
    }

    /// Takes a place from wherever it stands.
    pub(super) fn take(&mut self, seq: Seq) -> bool {
        if let Some(tail) = self.tail
            && tail.first <= seq
            && seq <= tail.last
        {
            let (before, after) = split(tail, seq);
            if let Some(before) = before {
                self.ranges.insert(before.last, before.first);
            }
            self.tail = after;
            return true;
        }
        let Some((&last, &first)) = self.ranges.range(seq..).next() else { return false };
        if first > seq {
            return false;
        }
        let (before, after) = split(SeqRange { first, last }, seq);
        match after {
            Some(after) => self.ranges.insert(last, after.first),
            None => self.ranges.remove(&last),
        };
        if let Some(before) = before {
            self.ranges.insert(before.last, before.first);
        }
        true
    }
}

/// What of a range stands before a place in it, and what behind.
fn split(range: SeqRange, seq: Seq) -> (Option<SeqRange>, Option<SeqRange>) {
    let before = (range.first < seq).then(|| SeqRange { first: range.first, last: Seq(seq.0 - 1) });
    let after = (seq < range.last).then(|| SeqRange { first: Seq(seq.0 + 1), last: range.last });
    (before, after)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set(steps in prop::collection::vec((0..4_u8, 0..60_u64), 0..200)) {
            let (mut places, mut model, mut last) = (Places::default(), BTreeSet::new(), 0);
            for (step, at) in steps {
                let seq = Seq(at + 1);
                match step {
                    0 => {
                        last += 1 + at % 3 / 2;
                        places.push(Seq(last));
                        model.insert(Seq(last));
                    }
                    1 => prop_assert_eq!(places.take(seq), model.remove(&seq)),
                    2 => {
                        let first = model.first().copied().unwrap_or(seq);
                        prop_assert_eq!(places.take_first(first), model.remove(&first));
                    }
                    _ => prop_assert_eq!(places.contains(seq), model.contains(&seq)),
                }
                prop_assert_eq!(places.first(), model.first().copied());
                prop_assert_eq!(places.is_empty(), model.is_empty());
                let seqs = |range: SeqRange| (range.first.0..=range.last.0).map(Seq);
                let all: Vec<Seq> = places.ranges().flat_map(seqs).collect();
                prop_assert_eq!(places.len(), places.ranges().count());
                prop_assert_eq!(all, model.iter().copied().collect::<Vec<_>>());
                let behind: Vec<Seq> = places.ranges_from(seq).flat_map(seqs).collect();
                prop_assert_eq!(behind, model.range(seq..).copied().collect::<Vec<_>>());
            }
        }
    }
}
