//! What memory holds of the messages of one queue and level in one segment: where they are, by
//! granule, and which of them live.
//!
//! Invariants: granules ascend by seq and by offset, and every seq of the run belongs to the last
//! granule that begins at or before it. `live` has no seq that the segment has not.

use std::ops::{Range, RangeInclusive};

use bytes::Bytes;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::format::UNIT;

/// After so many settled seqs the bitmap's form is looked at again: many small ranges cost more
/// than bits.
const SETTLED_UNTIL_OPTIMISED: u16 = 4096;

/// Consecutive records of one run in one extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Granule {
    /// Its first seq, relative to the run's.
    pub(super) first: u32,
    pub(super) offset_units: u32,
    pub(super) len_units: u32,
    pub(super) extent: u32,
    pub(super) count: u32,
    /// The sum of its records' weights.
    pub(super) weight: u32,
}

impl Granule {
    pub(super) fn offset(&self) -> u64 {
        u64::from(self.offset_units) * UNIT
    }

    pub(super) fn len(&self) -> u64 {
        u64::from(self.len_units) * UNIT
    }

    pub(super) fn end(&self) -> u64 {
        self.offset() + self.len()
    }
}

/// Consecutive records of a run that all refer to data in one extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shared {
    /// The first seq, relative to the run's.
    pub(super) first: u32,
    /// The last seq, relative to the run's first.
    pub(super) last: u32,
    pub(super) extent: u32,
}

/// What a run is made of.
#[derive(Debug)]
pub(super) struct RunParts {
    pub(super) segment: u64,
    pub(super) queue: u64,
    pub(super) level: u8,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) granules: Vec<Granule>,
    pub(super) shared: Vec<Shared>,
    /// Which seqs there are, relative to the first.
    pub(super) present: RoaringBitmap,
}

/// The messages of one queue and level in one segment. As it comes from a segment all of them live.
#[derive(Debug, Clone)]
pub struct Run {
    segment: u64,
    queue: u64,
    first: u64,
    /// The last seq, relative to the first.
    span: u32,
    level: u8,
    settled: u16,
    granules: Box<[Granule]>,
    shared: Box<[Shared]>,
    live: RoaringBitmap,
}

impl Run {
    pub(super) fn new(parts: RunParts) -> Run {
        let mut live = parts.present;
        live.optimize();
        Run {
            segment: parts.segment,
            queue: parts.queue,
            first: parts.first,
            span: (parts.last - parts.first) as u32,
            level: parts.level,
            settled: 0,
            granules: parts.granules.into_boxed_slice(),
            shared: parts.shared.into_boxed_slice(),
            live,
        }
    }

    /// The segment that it is in.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// The queue.
    pub fn queue(&self) -> u64 {
        self.queue
    }

    /// The priority level.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The first seq that the segment has, live or not.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The last seq that the segment has, live or not.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.span)
    }

    /// How many seqs live.
    pub fn live_count(&self) -> u64 {
        self.live.len()
    }

    /// Whether every seq from the first to the last lives.
    pub fn is_whole(&self) -> bool {
        self.live.len() == u64::from(self.span) + 1
    }

    /// Whether `seq` lives.
    pub fn contains(&self, seq: u64) -> bool {
        self.delta(seq).is_some_and(|delta| self.live.contains(delta))
    }

    /// Lets `seq` live no longer; whether it did. What its segment counts is changed by
    /// [`Space::settle_range`](super::Space::settle_range), which calls this.
    pub fn settle(&mut self, seq: u64) -> bool {
        let settled = self.delta(seq).is_some_and(|delta| self.live.remove(delta));
        if settled {
            self.settled += 1;
            if self.settled == SETTLED_UNTIL_OPTIMISED {
                self.settled = 0;
                self.live.optimize();
            }
        }
        settled
    }

    /// Lets the seqs from `first` to `last` live no longer; how many did. What the segment counts
    /// is changed by [`Space::settle_range`](super::Space::settle_range), which calls this.
    pub fn settle_range(&mut self, first: u64, last: u64) -> u64 {
        self.deltas(first, last).map_or(0, |deltas| self.live.remove_range(deltas))
    }

    /// The seqs that live, as ascending ranges from first to last, none of which touch.
    pub fn live_ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut seqs = self.live.iter();
        std::iter::from_fn(move || {
            let range = seqs.next_range()?;
            Some((self.first + u64::from(*range.start()), self.first + u64::from(*range.end())))
        })
    }

    /// The seqs from `seq` on that live, ascending.
    pub fn live_from(&self, seq: u64) -> impl Iterator<Item = u64> + '_ {
        let deltas = self.deltas(seq, u64::MAX).map(|deltas| self.live.range(deltas));
        deltas.into_iter().flatten().map(|delta| self.first + u64::from(delta))
    }

    /// The weight of what lives: exact for a granule all of whose records live, and in proportion
    /// for the others. Costs time by granule.
    pub fn weight_estimate(&self) -> u64 {
        let granules = self.granules.iter().enumerate();
        granules
            .map(|(number, granule)| {
                let live = self.live.range_cardinality(self.granule_seqs(number));
                u64::from(granule.weight) * live / u64::from(granule.count)
            })
            .sum()
    }

    /// What to read for `wanted`, ascending seqs of this run, up to about `budget_bytes` of data
    /// but at least one record. It borrows nothing, so the run may change meanwhile.
    pub fn plan(&self, wanted: &[u64], budget_bytes: usize) -> ReadPlan {
        debug_assert!(wanted.is_sorted_by(|a, b| a < b), "wanted seqs ascend");
        let mut plan = ReadPlan {
            segment: self.segment,
            queue: self.queue,
            level: self.level,
            budget_bytes,
            wanted: Vec::new(),
            pieces: Vec::new(),
        };
        let (mut expected, mut last) = (0, None);
        for seq in wanted {
            if expected >= budget_bytes as u64 && !plan.wanted.is_empty() {
                break;
            }
            let number = self.granule_of(*seq);
            let granule = &self.granules[number];
            expected += granule.len() / u64::from(granule.count);
            if last != Some(number) {
                let from = plan.wanted.len();
                let (offset, len) = (granule.offset(), granule.len());
                plan.pieces.push(Piece { offset, len, wanted: from..from });
                last = Some(number);
            }
            plan.wanted.push(*seq);
            if let Some(piece) = plan.pieces.last_mut() {
                piece.wanted.end += 1;
            }
        }
        plan
    }

    /// The seqs that live, as bytes; relative to the first.
    pub(crate) fn live_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.live.serialized_size());
        self.live.serialize_into(&mut bytes).expect("a vector takes any bytes");
        bytes.into()
    }

    /// Lets only those seqs live that `live` has, too; both relative to the first.
    pub(crate) fn retain(&mut self, live: &RoaringBitmap) {
        self.live &= live;
        self.live.optimize();
    }

    /// The seqs that live, relative to the first.
    pub(crate) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    pub(super) fn granules(&self) -> &[Granule] {
        &self.granules
    }

    pub(super) fn shared(&self) -> &[Shared] {
        &self.shared
    }

    /// The granule that has `seq`, if any has: for others the nearest.
    pub(super) fn granule_of(&self, seq: u64) -> usize {
        let delta = seq.saturating_sub(self.first);
        self.granules.partition_point(|granule| u64::from(granule.first) <= delta).max(1) - 1
    }

    /// The seqs that belong to a granule, relative to the first.
    pub(super) fn granule_seqs(&self, number: usize) -> RangeInclusive<u32> {
        let last = match self.granules.get(number + 1) {
            Some(next) => next.first - 1,
            None => self.span,
        };
        self.granules[number].first..=last
    }

    /// A seq relative to the first; `None` if it is not within the run.
    pub(super) fn delta(&self, seq: u64) -> Option<u32> {
        let delta = u32::try_from(seq.checked_sub(self.first)?).ok()?;
        (delta <= self.span).then_some(delta)
    }

    /// A range of seqs cut to the run, relative to the first; `None` if nothing is left.
    pub(super) fn deltas(&self, first: u64, last: u64) -> Option<RangeInclusive<u32>> {
        let (first, last) = (first.max(self.first), last.min(self.last()));
        (first <= last).then(|| (first - self.first) as u32..=(last - self.first) as u32)
    }
}

/// A part of a segment to read, and which of the wanted seqs are in it.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) wanted: Range<usize>,
}

impl Piece {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// What to read of a run; made by [`Run::plan`], carried out by
/// [`Segment::read`](super::Segment::read).
#[derive(Debug, Clone)]
pub struct ReadPlan {
    pub(super) segment: u64,
    pub(super) queue: u64,
    pub(super) level: u8,
    pub(super) budget_bytes: usize,
    pub(super) wanted: Vec<u64>,
    pub(super) pieces: Vec<Piece>,
}

impl ReadPlan {
    /// About how many bytes it reads.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len).sum()
    }

    /// The seqs that it asks for: the first of those that were wanted.
    pub fn wanted(&self) -> &[u64] {
        &self.wanted
    }
}
