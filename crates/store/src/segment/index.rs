//! The index of a segment: its extents and runs, built from records in file order, and its bytes.
//!
//! Invariant: an [`Index`] that was decoded fits its file. Extents and granules lie within it and
//! ascend, and every number that refers to another thing refers to one that exists.

use bytes::Bytes;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::format::{HEAD_BYTES, Head, UNIT};
use super::run::{Granule, Run, RunParts, Shared};
use super::{SEGMENT_BYTES_MAX, block_up};
use crate::disk::BLOCK;

/// A granule is closed before it is longer than this, in bytes.
const GRANULE_BYTES: u64 = 64 << 10;

/// A part of the file that is given back as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extent {
    /// Where it begins: a multiple of [`BLOCK`].
    pub(crate) offset: u64,
    /// Its length in bytes, up to the end of its last record.
    pub(crate) len: u64,
    pub(crate) records: u32,
}

impl Extent {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// The number of the extent in which `offset` lies.
pub(super) fn extent_of(extents: &[Extent], offset: u64) -> Option<u32> {
    let number = extents.partition_point(|extent| extent.offset <= offset).checked_sub(1)?;
    (offset < extents[number].end()).then_some(number as u32)
}

/// Extents and runs.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) extents: Vec<Extent>,
    pub(super) runs: Vec<Run>,
}

/// Makes an [`Index`] of records in file order.
#[derive(Debug)]
pub(super) struct IndexBuilder {
    segment: u64,
    extents: Vec<Extent>,
    runs: Vec<Run>,
    open: Option<RunParts>,
    /// The last records of the open run whose places are side by side, from the first to the last
    /// of them: they are noted as present together, which costs much less than one by one.
    stretch: Option<(u32, u32)>,
    /// Where the granule under way ends.
    granule_end: u64,
}

impl IndexBuilder {
    pub(super) fn new(segment: u64) -> IndexBuilder {
        IndexBuilder {
            segment,
            extents: Vec::new(),
            runs: Vec::new(),
            open: None,
            stretch: None,
            granule_end: 0,
        }
    }

    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Begins the next extent at `offset`.
    pub(super) fn begin_extent(&mut self, offset: u64) {
        self.extents.push(Extent { offset, len: 0, records: 0 });
    }

    /// Whether a record is behind all others that have its queue and level, or is of a later one.
    pub(super) fn ascends(&self, head: &Head) -> bool {
        self.open.as_ref().is_none_or(|run| {
            let record = &head.record;
            (run.queue, run.level, run.last) < (record.queue, record.level, record.seq)
        })
    }

    /// Adds a record at `offset` to the last extent. `shared` is the extent of the data that it
    /// refers to.
    pub(super) fn push(&mut self, head: &Head, offset: u64, shared: Option<u32>) {
        let Some(extent) = self.extents.last_mut() else { return };
        let end = offset + head.total();
        extent.len = end - extent.offset;
        extent.records += 1;
        let record = &head.record;
        let joins = self.open.as_ref().is_some_and(|run| {
            (run.queue, run.level) == (record.queue, record.level)
                && run.last < record.seq
                && record.seq - run.first <= u64::from(u32::MAX)
        });
        if !joins {
            self.close_run();
            self.open = Some(RunParts {
                segment: self.segment,
                queue: record.queue,
                level: record.level,
                first: record.seq,
                last: record.seq,
                granules: Vec::new(),
                shared: Vec::new(),
                present: RoaringBitmap::new(),
            });
        }
        let number = (self.extents.len() - 1) as u32;
        if let Some(run) = &mut self.open {
            let delta = add(run, head, Place { offset, end, extent: number }, shared);
            match &mut self.stretch {
                Some((_, last)) if last.checked_add(1) == Some(delta) => *last = delta,
                stretch => {
                    let before = stretch.replace((delta, delta));
                    note(&mut run.present, before);
                }
            }
        }
        self.granule_end = end;
    }

    fn close_run(&mut self) {
        if let Some(run) = &mut self.open {
            note(&mut run.present, self.stretch.take());
        }
        self.runs.extend(self.open.take().map(Run::new));
    }

    pub(super) fn finish(mut self) -> Index {
        self.close_run();
        Index { extents: self.extents, runs: self.runs }
    }
}

struct Place {
    offset: u64,
    end: u64,
    extent: u32,
}

/// Adds a record to the run that it belongs to; its place relative to the run's first.
fn add(run: &mut RunParts, head: &Head, place: Place, shared: Option<u32>) -> u32 {
    let delta = (head.record.seq - run.first) as u32;
    let previous = (run.last - run.first) as u32;
    run.last = head.record.seq;
    let granule = run.granules.last_mut().filter(|granule| {
        granule.extent == place.extent
            && place.end - granule.offset() <= GRANULE_BYTES
            && granule.weight.checked_add(head.record.weight).is_some()
    });
    let units = |bytes: u64| (bytes / UNIT) as u32;
    match granule {
        Some(granule) => {
            granule.len_units = units(place.end - granule.offset());
            granule.count += 1;
            granule.weight += head.record.weight;
        }
        None => run.granules.push(Granule {
            first: delta,
            offset_units: units(place.offset),
            len_units: units(place.end - place.offset),
            extent: place.extent,
            count: 1,
            weight: head.record.weight,
        }),
    }
    let Some(extent) = shared else { return delta };
    match run.shared.last_mut() {
        Some(last) if last.extent == extent && last.last == previous => {
            last.last = delta;
        }
        _ => run.shared.push(Shared { first: delta, last: delta, extent }),
    }
    delta
}

/// Notes places that are side by side as present.
fn note(present: &mut RoaringBitmap, stretch: Option<(u32, u32)>) {
    if let Some((first, last)) = stretch {
        present.insert_range(first..=last);
    }
}

/// A run in the file.
#[derive(Serialize, Deserialize)]
struct RunEntry {
    queue: u64,
    level: u8,
    first: u64,
    last: u64,
    granules: Vec<Granule>,
    shared: Vec<Shared>,
    /// Which seqs there are, relative to the first; `None`: all of them.
    present: Option<Bytes>,
}

/// The bytes of an index. All records of its runs must live.
pub(super) fn encode(index: &Index) -> Vec<u8> {
    let runs: Vec<RunEntry> = index
        .runs
        .iter()
        .map(|run| RunEntry {
            queue: run.queue(),
            level: run.level(),
            first: run.first(),
            last: run.last(),
            granules: run.granules().to_vec(),
            shared: run.shared().to_vec(),
            present: (!run.is_whole()).then(|| run.live_bytes()),
        })
        .collect();
    postcard::to_allocvec(&(&index.extents, runs))
        .expect("an index has no sequence of unknown length")
}

/// The index in `bytes` of segment `id`, whose records end before `end`; an error says what in it
/// cannot be.
pub(super) fn decode(bytes: &[u8], id: u64, end: u64) -> Result<Index, &'static str> {
    let ((extents, entries), rest): ((Vec<Extent>, Vec<RunEntry>), _) =
        postcard::take_from_bytes(bytes).map_err(|_| "not decodable")?;
    if !rest.is_empty() {
        return Err("longer than its contents");
    }
    check_extents(&extents, end)?;
    let mut runs = Vec::new();
    for entry in entries {
        runs.push(decode_run(entry, id, &extents)?);
    }
    Ok(Index { extents, runs })
}

fn check_extents(extents: &[Extent], end: u64) -> Result<(), &'static str> {
    let mut free = BLOCK as u64;
    for extent in extents {
        let fits = extent.offset >= free
            && extent.offset.is_multiple_of(BLOCK as u64)
            && extent.offset.checked_add(extent.len).is_some_and(|last| last <= end)
            && u64::from(extent.records) <= extent.len / HEAD_BYTES as u64;
        if !fits || extent.end() > SEGMENT_BYTES_MAX {
            return Err("an extent out of place");
        }
        free = block_up(extent.end());
    }
    Ok(())
}

fn decode_run(entry: RunEntry, id: u64, extents: &[Extent]) -> Result<Run, &'static str> {
    let span = entry.last.checked_sub(entry.first).and_then(|span| u32::try_from(span).ok());
    let span = span.ok_or("a run with impossible seqs")?;
    let count = check_granules(&entry.granules, span, extents)?;
    let mut next = 0;
    for shared in &entry.shared {
        let fits = shared.first >= next && shared.first <= shared.last && shared.last <= span;
        if !fits || shared.extent as usize >= extents.len() {
            return Err("a reference out of place");
        }
        next = shared.last.saturating_add(1);
    }
    let present = match entry.present {
        None => {
            if count != u64::from(span) + 1 {
                return Err("fewer seqs than its run has");
            }
            let mut all = RoaringBitmap::new();
            all.insert_range(0..=span);
            all
        }
        Some(bytes) => {
            RoaringBitmap::deserialize_from(&bytes[..]).map_err(|_| "seqs not decodable")?
        }
    };
    let same_bounds = present.min() == Some(0) && present.max() == Some(span);
    if !same_bounds || present.len() != count || !granules_hold(&entry.granules, &present) {
        return Err("seqs that do not fit their run");
    }
    Ok(Run::new(RunParts {
        segment: id,
        queue: entry.queue,
        level: entry.level,
        first: entry.first,
        last: entry.last,
        granules: entry.granules,
        shared: entry.shared,
        present,
    }))
}

/// Checks that granules ascend within their extents; how many records they have.
fn check_granules(
    granules: &[Granule],
    span: u32,
    extents: &[Extent],
) -> Result<u64, &'static str> {
    let (mut next, mut free, mut count) = (0, 0, 0);
    for (number, granule) in granules.iter().enumerate() {
        let extent = extents.get(granule.extent as usize).ok_or("a granule without extent")?;
        let fits = (granule.first >= next && granule.first <= span)
            && (number > 0 || granule.first == 0)
            && granule.offset() >= extent.offset.max(free)
            && granule.end() <= extent.end()
            && granule.count > 0
            && u64::from(granule.count) <= granule.len() / HEAD_BYTES as u64;
        if !fits {
            return Err("a granule out of place");
        }
        next = granule.first.saturating_add(1);
        free = granule.end();
        count += u64::from(granule.count);
    }
    Ok(count)
}

/// Whether each granule has as many seqs as it says.
fn granules_hold(granules: &[Granule], present: &RoaringBitmap) -> bool {
    granules.iter().enumerate().all(|(number, granule)| {
        let seqs = match granules.get(number + 1) {
            Some(next) => present.range_cardinality(granule.first..next.first),
            None => present.range_cardinality(granule.first..),
        };
        seqs == u64::from(granule.count) && present.contains(granule.first)
    })
}
