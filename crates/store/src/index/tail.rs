//! The messages of one queue that are in the log only, in order.
//!
//! Invariants: seqs and batches rise; the first entry lives; at most half of the entries (beyond a
//! few) are dead ones that wait to be swept, so that one old message pins no memory.

use std::collections::VecDeque;

use crate::Seq;

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    /// The batch; for a spilled message the file.
    pub(crate) batch: u64,
    /// The record's place in it.
    pub(crate) offset: u32,
    /// The length of its body.
    pub(crate) len: u32,
    pub(crate) weight: u32,
    pub(crate) level: u8,
    live: bool,
}

impl Entry {
    pub(crate) fn new(seq: Seq, level: u8, weight: u32, place: (u64, u32, u32)) -> Self {
        let (batch, offset, len) = place;
        Self { seq, batch, offset, len, weight, level, live: true }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    dead: usize,
}

impl Tail {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Living entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.dead
    }

    /// The batch of the first living entry.
    pub(crate) fn first_batch(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.batch)
    }

    /// Adds an entry: behind all others but those of the same group, which may come in any order.
    /// False if that seq is there already.
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        if self.entries.back().is_none_or(|last| last.seq < entry.seq) {
            self.entries.push_back(entry);
            return true;
        }
        let at = self.position(entry.seq);
        if self.entries.get(at).is_some_and(|found| found.seq == entry.seq) {
            return false;
        }
        self.entries.insert(at, entry);
        true
    }

    fn position(&self, seq: Seq) -> usize {
        match self.entries.front() {
            Some(first) if first.seq >= seq => 0,
            _ => self.entries.partition_point(|entry| entry.seq < seq),
        }
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Entry> {
        self.entries.get(self.position(seq)).filter(|entry| entry.seq == seq && entry.live)
    }

    /// The living entries from `first` to `last`.
    pub(crate) fn range(&self, first: Seq, last: Seq) -> impl Iterator<Item = &Entry> {
        self.entries
            .range(self.position(first)..)
            .take_while(move |entry| entry.seq <= last)
            .filter(|entry| entry.live)
    }

    /// Forgets entries; each one that lived goes to `each`.
    pub(crate) fn settle(&mut self, first: Seq, last: Seq, mut each: impl FnMut(&Entry)) {
        let start = self.position(first);
        if start == 0 {
            while let Some(entry) = self.entries.front().filter(|entry| entry.seq <= last) {
                if entry.live {
                    each(entry);
                } else {
                    self.dead -= 1;
                }
                self.entries.pop_front();
            }
            self.drop_dead_front();
            return;
        }
        for entry in self.entries.range_mut(start..) {
            if entry.seq > last {
                break;
            }
            if std::mem::replace(&mut entry.live, false) {
                self.dead += 1;
                each(entry);
            }
        }
        if self.dead > 64 && self.dead * 2 > self.entries.len() {
            self.entries.retain(|entry| entry.live);
            self.dead = 0;
        }
    }

    fn drop_dead_front(&mut self) {
        while self.entries.front().is_some_and(|entry| !entry.live) {
            self.entries.pop_front();
            self.dead -= 1;
        }
        if self.entries.len() * 8 < self.entries.capacity() && self.entries.capacity() > 1024 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Living entries of batches before `batch`.
    pub(crate) fn before(&self, batch: u64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().take_while(move |entry| entry.batch < batch).filter(|entry| entry.live)
    }

    /// Forgets what is in batches before `batch`; how many living entries that were.
    pub(crate) fn cut_before(&mut self, batch: u64) -> usize {
        let mut cut = 0;
        while let Some(entry) = self.entries.front().filter(|entry| entry.batch < batch) {
            if entry.live {
                cut += 1;
            } else {
                self.dead -= 1;
            }
            self.entries.pop_front();
        }
        self.drop_dead_front();
        cut
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set(
            steps in prop::collection::vec((0..4_u8, 0..200_u64, 0..20_u64), 1..400),
        ) {
            let (mut tail, mut model) = (Tail::default(), BTreeSet::new());
            let mut last = 0;
            for (kind, a, b) in steps {
                match kind {
                    0 | 1 => {
                        last += 1 + b % 3;
                        tail.push(Entry::new(last, 0, 1, (last / 10, 0, 0)));
                        model.insert(last);
                    }
                    2 => {
                        let (mut count, before) = (0, model.len());
                        tail.settle(a, a + b, |_| count += 1);
                        model.retain(|seq| !(a..=a + b).contains(seq));
                        prop_assert_eq!(count, before - model.len());
                    }
                    _ => {
                        let before = model.len();
                        let cut = tail.cut_before(a / 20);
                        model.retain(|seq| seq / 10 >= a / 20);
                        prop_assert_eq!(cut, before - model.len());
                    }
                }
                prop_assert_eq!(tail.len(), model.len());
                let seqs: Vec<u64> = tail.range(0, u64::MAX).map(|entry| entry.seq).collect();
                prop_assert!(seqs.iter().eq(model.iter()));
                prop_assert_eq!(tail.get(a).is_some(), model.contains(&a));
                prop_assert!(tail.entries.len() <= model.len() * 2 + 70);
            }
        }
    }
}
