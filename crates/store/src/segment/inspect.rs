//! Shows, verifies and salvages a segment, for people with a damaged data directory.
//!
//! Invariant: nothing here changes a file.

use bytes::Bytes;

use super::format::{self, RecordHead};
use super::index::Extent;
use super::reader::{Segment, read_through};
use super::run::Run;
use super::scan::Scanner;
use super::{Damage, Damaged, SegmentError, file_name};
use crate::disk::{Access, BLOCK, Disk};

/// How much data is verified at once, in bytes.
const CHECK_BYTES: usize = 1 << 20;

/// How many records are verified at once.
const CHECK_RECORDS: usize = 4096;

/// What is in an extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentReport {
    /// Its number, from zero.
    pub number: u32,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// How many records were written to it.
    pub records: u32,
    /// Whether it reads as zeros: given back, or lost.
    pub is_zeros: bool,
}

/// What is in a segment.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its id.
    pub id: u64,
    /// The length of its file.
    pub file_bytes: u64,
    /// Its extents.
    pub extents: Vec<ExtentReport>,
    /// Its runs, as if all its records lived.
    pub runs: Vec<Run>,
    /// What of its header and index is damaged. Records are not looked at if the index is whole.
    pub damage: Vec<Damage>,
}

/// Tells what is in a segment.
pub fn inspect(disk: &dyn Disk, id: u64) -> Result<Report, SegmentError> {
    let (segment, runs, damage) = Segment::open(disk, id)?;
    let extents = (0..).zip(segment.extents()).map(|(number, extent)| ExtentReport {
        number,
        offset: extent.offset,
        len: extent.len,
        records: extent.records,
        is_zeros: segment.is_zeros(extent),
    });
    let extents = extents.collect();
    Ok(Report { id, file_bytes: segment.file_bytes(), extents, runs, damage })
}

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

/// What a salvage found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// How many records were handed out.
    pub records: u64,
    /// What could not be.
    pub damage: Vec<Damage>,
}

/// Hands every record that can be read to `each`, in file order, with nothing but the records
/// needed: header and index may be gone.
pub fn salvage(
    disk: &dyn Disk,
    id: u64,
    each: &mut dyn FnMut(RecordHead, Bytes),
) -> Result<Salvaged, SegmentError> {
    let file = disk.open(&file_name(id), Access::Buffered).map_err(SegmentError::io(id))?;
    let len = file.len().map_err(SegmentError::io(id))?;
    let (header, _) = read_through(&*file, 0, BLOCK.min(len as usize));
    let id = match format::check_header(&header, id) {
        Ok(_) => id,
        Err(SegmentError::Misplaced { found, .. }) => found,
        Err(error) => return Err(error),
    };
    let segment = Segment::new(id, file, len, Vec::new());
    let mut scanner = Scanner::new(segment.file(), id, len);
    let (mut records, mut damage) = (0, Vec::new());
    while let Some((offset, head)) = scanner.next() {
        let data = scanner.data(offset, &head).ok_or(Damaged::Data);
        let data = match data {
            Ok(data) if head.is_reference => match format::decode_reference(&data) {
                Some(to) => segment.shared(to),
                None => Err(Damaged::Reference),
            },
            other => other,
        };
        match data {
            Ok(data) => {
                records += 1;
                each(head.record, data);
            }
            Err(what) => {
                let RecordHead { queue, level, seq, .. } = head.record;
                damage.push(Damage::Record { queue, level, seq, what });
            }
        }
    }
    damage.extend(scanner.into_damage());
    Ok(Salvaged { records, damage })
}
