//! A set of numbers, kept as ranges. Ranges neither overlap nor touch.

use std::collections::BTreeMap;
use std::ops::Range;

/// The blocks that a file holds.
#[derive(Clone, Default)]
pub struct Ranges {
    /// The end of each range by its start.
    ends: BTreeMap<u64, u64>,
    count: u64,
}

impl Ranges {
    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many numbers of `range` are missing.
    pub fn missing(&self, range: &Range<u64>) -> u64 {
        let there = |(&start, &end): (&u64, &u64)| end.min(range.end) - start.max(range.start);
        range.end.saturating_sub(range.start) - self.touching(range).map(there).sum::<u64>()
    }

    /// Adds numbers; whether any was missing.
    pub fn insert(&mut self, range: Range<u64>) -> bool {
        let missing = self.missing(&range);
        if missing == 0 {
            return false;
        }
        let mut whole = range.clone();
        let touching: Vec<Range<u64>> = self.touching(&range).map(|(&s, &e)| s..e).collect();
        for old in touching {
            self.ends.remove(&old.start);
            whole = whole.start.min(old.start)..whole.end.max(old.end);
        }
        self.ends.insert(whole.start, whole.end);
        self.count += missing;
        true
    }

    /// Takes numbers away; whether any was there.
    pub fn remove(&mut self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        let before = self.count;
        let touching: Vec<Range<u64>> = self.touching(&range).map(|(&s, &e)| s..e).collect();
        for old in touching {
            self.ends.remove(&old.start);
            self.count -= old.end - old.start;
            for rest in [old.start..range.start.max(old.start), range.end.min(old.end)..old.end] {
                if rest.start < rest.end {
                    self.count += rest.end - rest.start;
                    self.ends.insert(rest.start, rest.end);
                }
            }
        }
        self.count < before
    }

    /// The ranges that overlap with `range` or are next to it.
    fn touching(&self, range: &Range<u64>) -> impl Iterator<Item = (&u64, &u64)> {
        let start = range.start;
        self.ends.range(..=range.end).rev().take_while(move |(_, end)| **end >= start)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::random::Random;
    use super::*;

    #[test]
    fn ranges_are_a_set() {
        let mut random = Random::new(1);
        let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
        for _ in 0..3_000 {
            let start = random.below(60);
            let range = start..start + random.below(9);
            let missing = range.clone().filter(|number| !set.contains(number)).count() as u64;
            assert_eq!(ranges.missing(&range), missing);
            if random.coin() {
                assert_eq!(ranges.insert(range.clone()), missing > 0);
                set.extend(range);
            } else {
                assert_eq!(ranges.remove(range.clone()), missing < range.end - range.start);
                set.retain(|number| !range.contains(number));
            }
            assert_eq!(ranges.count(), set.len() as u64);
            let listed: Vec<u64> = ranges.ends.iter().flat_map(|(&s, &e)| s..e).collect();
            assert_eq!(listed, set.iter().copied().collect::<Vec<u64>>());
            let starts = ranges.ends.keys().skip(1);
            assert!(ranges.ends.values().zip(starts).all(|(end, start)| end < start));
        }
    }
}
