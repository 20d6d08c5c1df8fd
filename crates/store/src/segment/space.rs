//! How much of a segment is still needed, by extent.
//!
//! Invariant: an extent's counts are the live records in it, and the live records elsewhere that
//! share data in it. It is given back only when both are zero.

use std::io;

use super::block_up;
use super::index::Extent;
use super::reader::Segment;
use super::run::Run;

#[derive(Debug, Clone)]
struct Use {
    extent: Extent,
    /// Live records in it.
    own: u64,
    /// Live records, wherever, that share data in it.
    shared: u64,
    punched: bool,
}

impl Use {
    fn is_free(&self) -> bool {
        self.own == 0 && self.shared == 0 && self.extent.len > 0
    }

    /// About how many of its bytes are needed.
    fn live_bytes(&self) -> u64 {
        let records = u64::from(self.extent.records).max(1);
        let live = (self.own + self.shared).min(records);
        let share = u128::from(self.extent.len) * u128::from(live) / u128::from(records);
        if self.punched { 0 } else { share as u64 }
    }
}

/// Counts what lives in a segment, by extent.
#[derive(Debug, Clone)]
pub struct Space {
    segment: u64,
    extents: Vec<Use>,
}

impl Space {
    /// Counts what lives in all the runs of a segment. `punched` names the extents that were given
    /// back before.
    pub fn new<'a>(
        segment: &Segment,
        runs: impl IntoIterator<Item = &'a Run>,
        punched: &[u32],
    ) -> Space {
        let extents = segment.extents().iter();
        let mut space = Space {
            segment: segment.id(),
            extents: extents
                .map(|extent| Use { extent: *extent, own: 0, shared: 0, punched: false })
                .collect(),
        };
        for number in punched {
            if let Some(extent) = space.extents.get_mut(*number as usize) {
                extent.punched = true;
            }
        }
        for run in runs {
            space.count(run, run.first(), run.last(), |count, live| *count += live);
        }
        space
    }

    /// Lets the seqs from `first` to `last` of a run of this segment live no longer; how many did.
    pub fn settle_range(&mut self, run: &mut Run, first: u64, last: u64) -> u64 {
        assert_eq!(run.segment(), self.segment, "a run is counted where it lies");
        self.count(run, first, last, |count, live| *count = count.saturating_sub(live));
        if first == last { u64::from(run.settle(first)) } else { run.settle_range(first, last) }
    }

    /// Calls `change` with each count that the live seqs from `first` to `last` are part of.
    fn count(&mut self, run: &Run, first: u64, last: u64, change: impl Fn(&mut u64, u64)) {
        let Some(deltas) = run.deltas(first, last) else { return };
        let (from, to) = (*deltas.start(), *deltas.end());
        let begin = run.granule_of(first);
        for (number, granule) in run.granules().iter().enumerate().skip(begin) {
            let seqs = run.granule_seqs(number);
            if *seqs.start() > to {
                break;
            }
            let cut = from.max(*seqs.start())..=to.min(*seqs.end());
            let live = run.live().range_cardinality(cut);
            if let Some(extent) = self.extents.get_mut(granule.extent as usize) {
                change(&mut extent.own, live);
            }
        }
        let begin = run.shared().partition_point(|shared| shared.last < from);
        for shared in run.shared()[begin..].iter().take_while(|shared| shared.first <= to) {
            let live = run.live().range_cardinality(from.max(shared.first)..=to.min(shared.last));
            if let Some(extent) = self.extents.get_mut(shared.extent as usize) {
                change(&mut extent.shared, live);
            }
        }
    }

    /// How many live records need each extent, for itself or for data that they share.
    pub fn live_by_extent(&self) -> Vec<u64> {
        self.extents.iter().map(|extent| extent.own + extent.shared).collect()
    }

    /// The extents that nothing needs and that were not given back yet, ascending.
    pub fn free_extents(&self) -> Vec<u32> {
        self.numbers(|extent| extent.is_free() && !extent.punched)
    }

    /// The extents that were given back, ascending.
    pub fn punched_extents(&self) -> Vec<u32> {
        self.numbers(|extent| extent.punched)
    }

    fn numbers(&self, wanted: impl Fn(&Use) -> bool) -> Vec<u32> {
        let numbered = (0..).zip(&self.extents);
        numbered.filter(|(_, extent)| wanted(extent)).map(|(number, _)| number).collect()
    }

    /// Gives the space of an extent back; whether it was free and not given back before. After an
    /// error it counts as not given back.
    pub fn punch_extent(&mut self, segment: &Segment, number: u32) -> io::Result<bool> {
        assert_eq!(segment.id(), self.segment, "an extent is punched where it lies");
        let Some(extent) = self.extents.get_mut(number as usize) else { return Ok(false) };
        if !extent.is_free() || extent.punched {
            return Ok(false);
        }
        let (offset, end) = (extent.extent.offset, block_up(extent.extent.end()));
        segment.punch(offset, end - offset)?;
        extent.punched = true;
        Ok(true)
    }

    /// Whether nothing in the segment is needed, so that its file can go.
    pub fn is_dead(&self) -> bool {
        self.extents.iter().all(|extent| extent.own == 0 && extent.shared == 0)
    }

    /// About how many bytes of records are needed.
    pub fn live_bytes(&self) -> u64 {
        self.extents.iter().map(Use::live_bytes).sum()
    }

    /// About how many bytes the file takes for records that nobody needs.
    pub fn garbage_bytes(&self) -> u64 {
        let held: u64 = self
            .extents
            .iter()
            .filter(|extent| !extent.punched)
            .map(|extent| extent.extent.len)
            .sum();
        held - self.live_bytes()
    }
}
