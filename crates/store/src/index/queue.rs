//! The messages of one queue, wherever they are.

use std::collections::BTreeMap;

use super::Segments;
use super::tail::{Entry, Tail};
use crate::segment::Run;
use crate::{Seq, SeqRange};

#[derive(Default)]
pub(crate) struct Queue {
    /// In the log alone.
    pub(crate) tail: Tail,
    /// In segments, by level and first seq.
    pub(crate) runs: BTreeMap<(u8, Seq), Run>,
    /// Put aside, not durable; the entry's batch is the spill file.
    pub(crate) spilled: Tail,
    /// When spilled messages expire, of those that do.
    pub(crate) spill_expiries: BTreeMap<Seq, u64>,
    /// Those that came back after a delivery, with how often.
    pub(crate) returns: BTreeMap<Seq, u32>,
    pub(crate) delivered: Seq,
    pub(crate) last_seq: Seq,
}

/// Where a message is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whereabouts {
    Log(Entry),
    Spill(Entry),
    /// In the run of this level and first seq.
    Run(u8, Seq),
}

impl Queue {
    /// The queue is gone: only what was spilled still counts, until that is forgotten too.
    pub(crate) fn forget(&mut self) {
        self.returns.clear();
        (self.delivered, self.last_seq) = (0, 0);
    }

    /// Whether there is nothing to be known of it: it has only ever had spilled messages.
    pub(crate) fn is_unused(&self) -> bool {
        self.last_seq == 0 && self.spilled.is_empty()
    }

    /// The levels that have runs.
    fn levels(&self) -> impl Iterator<Item = u8> {
        let mut from = Some(0_u8);
        std::iter::from_fn(move || {
            let (level, _) = *self.runs.range((from?, 0)..).next()?.0;
            from = level.checked_add(1);
            Some(level)
        })
    }

    /// Settles what is there from `first` to `last`; how many that were.
    pub(crate) fn settle(&mut self, first: Seq, last: Seq, segments: &mut Segments) -> u64 {
        if first > last {
            return 0;
        }
        let mut settled = 0;
        self.tail.settle(first, last, |_| settled += 1);
        if !self.returns.is_empty() {
            let settled: Vec<Seq> = self.returns.range(first..=last).map(|(seq, _)| *seq).collect();
            for seq in settled {
                self.returns.remove(&seq);
            }
        }
        if self.runs.is_empty() {
            return settled;
        }
        let levels: Vec<u8> = self.levels().collect();
        let runs = levels.into_iter().map(|level| self.settle_runs(level, first, last, segments));
        settled + runs.sum::<u64>()
    }

    fn settle_runs(&mut self, level: u8, first: Seq, last: Seq, segments: &mut Segments) -> u64 {
        let before = self.runs.range((level, 0)..=(level, first)).next_back();
        let from = before.map_or((level, first), |(key, _)| *key);
        let (mut dead, mut settled) = (Vec::new(), 0);
        for (key, run) in self.runs.range_mut(from..=(level, last)) {
            if let Some(held) = segments.get_mut(&run.segment()) {
                settled += held.space.settle_range(run, first, last);
            }
            if run.live_count() == 0 {
                dead.push(*key);
            }
        }
        dead.iter().for_each(|key| drop(self.runs.remove(key)));
        settled
    }

    /// Those from `first` to `last` of a level that the tail has not, or no longer.
    pub(super) fn missing(&self, first: Seq, last: Seq, level: u8, out: &mut Vec<SeqRange>) {
        let mut expected = first;
        for entry in self.tail.range(first, last).filter(|entry| entry.level == level) {
            if entry.seq > expected {
                out.push(SeqRange { first: expected, last: entry.seq - 1 });
            }
            expected = entry.seq + 1;
        }
        if expected <= last {
            out.push(SeqRange { first: expected, last });
        }
    }

    /// The run that has `seq`, if one has.
    fn run_with(&self, level: u8, seq: Seq) -> Option<&Run> {
        let (_, run) = self.runs.range((level, 0)..=(level, seq)).next_back()?;
        run.contains(seq).then_some(run)
    }

    /// The first message from `first` to `last`, and where it is.
    pub(crate) fn next(&self, first: Seq, last: Seq) -> Option<(Seq, Whereabouts)> {
        if first > last {
            return None;
        }
        let tail = self.tail.range(first, last).next();
        let tail = tail.map(|entry| (entry.seq, Whereabouts::Log(*entry)));
        let spilled = self.spilled.range(first, last).next();
        let spilled = spilled.map(|entry| (entry.seq, Whereabouts::Spill(*entry)));
        let run = self.levels().filter_map(|level| self.next_in_runs(level, first, last));
        let run = run.min_by_key(|(seq, _)| *seq);
        [tail, spilled, run].into_iter().flatten().min_by_key(|(seq, _)| *seq)
    }

    fn next_in_runs(&self, level: u8, first: Seq, last: Seq) -> Option<(Seq, Whereabouts)> {
        if let Some(run) = self.run_with(level, first) {
            return Some((first, Whereabouts::Run(level, run.first())));
        }
        let before = self.runs.range((level, 0)..=(level, first)).next_back();
        let from = before.map_or((level, first), |(key, _)| *key);
        for ((_, key), run) in self.runs.range(from..=(level, last)) {
            if let Some(seq) = run.live_from(first).next() {
                return (seq <= last).then_some((seq, Whereabouts::Run(level, *key)));
            }
        }
        None
    }

    /// All living messages by level, as ranges in order. Spilled ones do not count.
    pub(crate) fn levels_and_ranges(&self) -> Vec<(u8, Vec<SeqRange>)> {
        let mut by_level: BTreeMap<u8, Vec<SeqRange>> = BTreeMap::new();
        for ((level, _), run) in &self.runs {
            let ranges = by_level.entry(*level).or_default();
            run.live_ranges().for_each(|(first, last)| push(ranges, first, last));
        }
        for entry in self.tail.range(0, Seq::MAX) {
            push(by_level.entry(entry.level).or_default(), entry.seq, entry.seq);
        }
        by_level.into_iter().collect()
    }

    /// Forgets how often messages came back that are not there any more.
    pub(crate) fn forget_settled_returns(&mut self) {
        if !self.returns.is_empty() {
            let mut returns = std::mem::take(&mut self.returns);
            returns.retain(|seq, _| self.next(*seq, *seq).is_some());
            self.returns = returns;
        }
    }

    /// The sum of the weights of all living messages, estimated where a part of a run was settled.
    pub(crate) fn weight(&self) -> u64 {
        let runs: u64 = self.runs.values().map(Run::weight_estimate).sum();
        let tail: u64 = self.tail.range(0, Seq::MAX).map(|entry| u64::from(entry.weight)).sum();
        runs + tail
    }
}

/// Adds a range behind others; one that touches the last is joined with it.
fn push(ranges: &mut Vec<SeqRange>, first: Seq, last: Seq) {
    match ranges.last_mut() {
        Some(range) if range.last.checked_add(1) == Some(first) => range.last = last,
        _ => ranges.push(SeqRange { first, last }),
    }
}
