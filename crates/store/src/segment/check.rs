//! Verifies a segment, for people with a damaged data directory.
//!
//! Invariant: nothing here changes a file.

use super::index::Extent;
use super::reader::Segment;
use super::run::Run;
use super::{Damage, SegmentError};
use crate::disk::Disk;

/// How much data is verified at once, in bytes.
const CHECK_BYTES: usize = 1 << 20;

/// How many records are verified at once.
const CHECK_RECORDS: usize = 4096;

/// Reads everything in a segment, and tells what is not as it was written. An extent of zeros is
/// told as such, without its records.
pub fn check(disk: &dyn Disk, id: u64) -> Result<Vec<Damage>, SegmentError> {
    let (segment, runs, mut damage) = Segment::open(disk, id)?;
    let zeros: Vec<bool> = segment.extents().iter().map(|e| segment.is_zeros(e)).collect();
    for (number, extent) in (0..).zip(segment.extents()).filter(|(n, _)| zeros[*n as usize]) {
        let Extent { offset, len, records } = *extent;
        damage.push(Damage::Zeros { extent: number, offset, len, records });
    }
    for run in &runs {
        check_run(&segment, &without_zeros(run, &zeros, &|_, _| false), &mut damage);
    }
    Ok(damage)
}

/// Reads all records of a segment, and tells those that are not as they were written. Of extents
/// of zeros only those count that live: the others were given back.
pub(crate) fn check_records(
    disk: &dyn Disk,
    id: u64,
    is_live: &dyn Fn(u64, u64) -> bool,
) -> Result<Vec<Damage>, SegmentError> {
    let (segment, runs, _) = Segment::open(disk, id)?;
    let zeros: Vec<bool> = segment.extents().iter().map(|e| segment.is_zeros(e)).collect();
    let mut damage = Vec::new();
    for run in &runs {
        check_run(&segment, &without_zeros(run, &zeros, is_live), &mut damage);
    }
    Ok(damage)
}

/// The run without those of its records in extents of zeros that do not live.
fn without_zeros(run: &Run, zeros: &[bool], is_live: &dyn Fn(u64, u64) -> bool) -> Run {
    let is_lost = |number: usize| zeros.get(run.granules()[number].extent as usize) == Some(&true);
    let mut kept = run.clone();
    for number in (0..run.granules().len()).filter(|number| is_lost(*number)) {
        for delta in run.live().range(run.granule_seqs(number)) {
            let seq = run.first() + u64::from(delta);
            if !is_live(run.queue(), seq) {
                kept.settle(seq);
            }
        }
    }
    kept
}

fn check_run(segment: &Segment, kept: &Run, damage: &mut Vec<Damage>) {
    let mut next = kept.first();
    loop {
        let wanted: Vec<u64> = kept.live_from(next).take(CHECK_RECORDS).collect();
        let read = segment.read(&kept.plan(&wanted, CHECK_BYTES));
        let Some(last) = read.last() else { break };
        next = last.seq.saturating_add(1);
        let end = last.seq == u64::MAX;
        for record in read {
            if let Err(what) = record.data {
                let (queue, level, seq) = (kept.queue(), kept.level(), record.seq);
                damage.push(Damage::Record { queue, level, seq, what });
            }
        }
        if end {
            break;
        }
    }
}
