//! Brings together what the manifest says lives and what a segment still has.
//!
//! Invariant: every seq that the manifest says lives is live in exactly one restored run, or is
//! told as lost.

use roaring::RoaringBitmap;

use super::{MANIFEST, ManifestError, SegmentEntry, damaged};
use crate::segment::Run;

/// Seqs that the manifest says live, and that the segment has no records of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The queue.
    pub queue: u64,
    /// The priority level.
    pub level: u8,
    /// The first lost seq.
    pub first: u64,
    /// The last one: all between are lost, too.
    pub last: u64,
}

/// What a segment holds after a restart.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The runs in which something lives.
    pub runs: Vec<Run>,
    /// What should live and is not there.
    pub lost: Vec<Lost>,
}

/// Lets only those seqs of a segment's `runs` live that its manifest entry says do. The runs may
/// be others than those that were written, as after a damaged index.
pub fn restore(entry: &SegmentEntry, runs: Vec<Run>) -> Result<Restored, ManifestError> {
    let key = |run: &Run| (run.queue(), run.level(), run.first());
    let mut runs: Vec<(Run, RoaringBitmap)> =
        runs.into_iter().map(|run| (run, RoaringBitmap::new())).collect();
    runs.sort_by_key(|(run, _)| key(run));
    let mut lost = Vec::new();
    for state in &entry.runs {
        let missing = state.seqs().ok_or_else(|| damaged(MANIFEST, "a run cannot be"))?;
        let (queue, level) = (state.queue, state.level);
        let begin = runs.partition_point(|(run, _)| (run.queue(), run.level()) < (queue, level));
        let same = runs[begin..]
            .iter_mut()
            .take_while(|(run, _)| (run.queue(), run.level()) == (queue, level));
        let missing =
            same.fold(missing, |missing, (run, live)| take(run, live, missing, state.first));
        let mut seqs = missing.iter();
        while let Some(range) = seqs.next_range() {
            let (first, last) = (state.first + u64::from(*range.start()), *range.end());
            lost.push(Lost { queue, level, first, last: state.first + u64::from(last) });
        }
    }
    let runs = runs.into_iter().filter(|(_, live)| !live.is_empty());
    let runs = runs.map(|(mut run, live)| {
        run.retain(&live);
        run
    });
    Ok(Restored { runs: runs.collect(), lost })
}

/// Moves those of `seqs` (relative to `first`) that `run` has into its `live`; what is left.
fn take(run: &Run, live: &mut RoaringBitmap, seqs: RoaringBitmap, first: u64) -> RoaringBitmap {
    if run.first() == first {
        let mut has = &seqs & run.live();
        has -= &*live;
        let left = seqs - &has;
        *live |= has;
        return left;
    }
    let mut left = seqs.clone();
    let mut wanted = seqs.iter();
    while let Some(range) = wanted.next_range() {
        let from = first + u64::from(*range.start());
        let to = first + u64::from(*range.end());
        if to < run.first() || from > run.last() {
            continue;
        }
        let relative = |seq: u64| (seq - run.first()) as u32;
        let within = relative(from.max(run.first()))..=relative(to.min(run.last()));
        let mut has = run.live().range(within);
        while let Some(range) = has.next_range() {
            live.insert_range(range.clone());
            let seq = |delta: u32| (run.first() + u64::from(delta) - first) as u32;
            left.remove_range(seq(*range.start())..=seq(*range.end()));
        }
    }
    left
}
