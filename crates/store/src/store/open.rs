//! Opening a data directory: the manifest, its segments, then the log behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;

use super::upkeep::Pending;
use super::{Core, Options, Store};
use crate::buffer::Buffer;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::index::tail::Entry;
use crate::index::{Held, Index, Segments};
use crate::log::batch::Batch;
use crate::log::kept::{Kept, Pile};
use crate::log::record::Record;
use crate::log::recover::recover;
use crate::log::ring::{self, Ring};
use crate::manifest::{self, MANIFEST, Manifest, ManifestError, SegmentEntry};
use crate::report::{Damage, Report};
use crate::segment::{self, Segment, SegmentError, Space};
use crate::spill::Spill;
use crate::{QueueId, Seq, SeqRange};

/// What a store kept of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveredQueue {
    /// The queue.
    pub queue: QueueId,
    /// The last place that was ever given.
    pub last_seq: Seq,
    /// Its messages by level, in order.
    pub levels: Vec<(u8, Vec<SeqRange>)>,
    /// The sum of their weights (estimated where parts of a segment were settled out of order).
    pub weight: u64,
    /// Messages that came back after a delivery, with how often.
    pub returns: Vec<(Seq, u32)>,
    /// Messages up to here may have been delivered.
    pub delivered: Seq,
}

/// What opening gives.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The snapshot of the definitions, once there is one.
    pub definitions: Option<Bytes>,
    /// The changes of the definitions behind it.
    pub changes: Vec<Bytes>,
    /// What there is of each queue.
    pub queues: Vec<RecoveredQueue>,
    /// The largest queue id that was ever used.
    pub last_queue: QueueId,
    /// What was found and done.
    pub report: Report,
}

impl From<ManifestError> for OpenError {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Io { file, error } => Self::io(format!("read {file}"), error),
            ManifestError::Damaged { file, what } => Self::damaged(file, what),
            ManifestError::Format { file, found, known } => {
                Self::format(&file, u32::from(found), u32::from(known))
            }
        }
    }
}

fn segment_error(id: u64, error: SegmentError) -> OpenError {
    match error {
        SegmentError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => {
            OpenError::damaged(format!("segment {id}"), "its file is missing")
        }
        SegmentError::Io { error, .. } => OpenError::io(format!("open segment {id}"), error),
        SegmentError::Format { found, known, .. } => {
            OpenError::format("segment", u32::from(found), u32::from(known))
        }
        other => OpenError::damaged(format!("segment {id}"), other),
    }
}

/// The manifest; a directory with nothing in it gets its first one.
fn read_manifest(disk: &dyn Disk, store_id: [u8; 16]) -> Result<Manifest, OpenError> {
    if let Some(manifest) = Manifest::read(disk)? {
        return Ok(manifest);
    }
    let used = |dir| disk.list(dir).is_ok_and(|names| !names.is_empty());
    if used(ring::DIR) || used(segment::DIRECTORY) {
        return Err(OpenError::damaged(MANIFEST, "it is missing, and there are messages"));
    }
    let manifest = Manifest { store_id, replay_from: 1, next_segment: 1, ..Manifest::default() };
    manifest.write(disk)?;
    Ok(manifest)
}

/// Opens the segments that the manifest names.
fn open_segments(
    disk: &dyn Disk,
    manifest: &Manifest,
    index: &mut Index,
    report: &mut Report,
) -> Result<Segments, OpenError> {
    let mut segments = Segments::new();
    for entry in &manifest.segments {
        let held = open_segment(disk, entry, index, report)?;
        segments.insert(entry.id, held);
    }
    report.segments = segments.len() as u64;
    // Those that no manifest names were not finished, or were given back.
    let failed = |error| OpenError::io("remove a segment that is not used", error);
    for id in segment::list(disk).map_err(failed)? {
        if !segments.contains_key(&id) {
            Segment::remove(disk, id).map_err(failed)?;
        }
    }
    Ok(segments)
}

/// Opens one segment that the manifest names; what of it lives goes to `index`.
pub(crate) fn open_segment(
    disk: &dyn Disk,
    entry: &SegmentEntry,
    index: &mut Index,
    report: &mut Report,
) -> Result<Held, OpenError> {
    let (segment, runs, damage) =
        Segment::open(disk, entry.id).map_err(|error| segment_error(entry.id, error))?;
    for damage in damage {
        let why = damage.to_string();
        report.damages.push(Damage::SegmentIndex { segment: entry.id, why });
    }
    let restored = manifest::restore(entry, runs)?;
    for lost in restored.lost {
        let (queue, first, last) = (lost.queue, lost.first, lost.last);
        report.damages.push(Damage::Messages { queue, first, last });
    }
    let space = Space::new(&segment, &restored.runs, &entry.punched);
    for run in restored.runs {
        index.queue(run.queue()).runs.insert((run.level(), run.first()), run);
    }
    Ok(Held { segment: Arc::new(segment), space })
}

/// What the log adds to what the manifest says.
pub(crate) struct Replay<'a> {
    index: &'a mut Index,
    segments: &'a mut Segments,
    /// Changes of the definitions up to this one are in the snapshot.
    through: u64,
    /// The number of the last change.
    pub(crate) defined: u64,
    /// The changes behind the snapshot.
    pub(crate) changes: Vec<Bytes>,
}

impl<'a> Replay<'a> {
    /// A replay onto what `manifest` says, which is in `index` and `segments` already.
    pub(crate) fn new(
        manifest: &Manifest,
        index: &'a mut Index,
        segments: &'a mut Segments,
    ) -> Self {
        let through = manifest.definitions.as_ref().map_or(0, |file| file.through);
        Self { index, segments, through, defined: through, changes: Vec::new() }
    }

    /// Takes a record of the log.
    pub(crate) fn apply(&mut self, batch: u64, offset: u32, len: u32, record: Record) {
        match record {
            Record::Define { number, bytes } => {
                self.defined = self.defined.max(number);
                if number > self.through {
                    // A copy, so that a small change does not keep its batch in memory.
                    self.changes.push(Bytes::copy_from_slice(&bytes));
                }
            }
            Record::Publish { weight, targets, .. } => {
                for target in targets {
                    let place = (batch, offset, len);
                    let entry = Entry::new(target.seq, target.level, weight, place);
                    self.index.publish(target.queue, entry);
                }
            }
            Record::Settle { queue, seqs } => self.index.settle(queue, &seqs, self.segments),
            Record::Return { queue, returns } => self.index.returned(queue, &returns),
            Record::Delivered { queue, through } => self.index.delivered(queue, through),
            Record::Drop { queue } => self.index.drop_queue(queue, self.segments),
        }
    }
}

/// What there is of each queue, by id.
pub(crate) fn recovered_queues(index: &mut Index, report: &mut Report) -> Vec<RecoveredQueue> {
    let mut queues = Vec::with_capacity(index.queues.len());
    for (id, queue) in &mut index.queues {
        queue.forget_settled_returns();
        let levels = queue.levels_and_ranges();
        let ranges = levels.iter().flat_map(|(_, ranges)| ranges);
        let messages: u64 = ranges.map(|range| range.last - range.first + 1).sum();
        report.messages += messages;
        report.queues += u64::from(messages > 0);
        queues.push(RecoveredQueue {
            queue: *id,
            last_seq: queue.last_seq,
            levels,
            weight: queue.weight(),
            returns: queue.returns.iter().map(|(seq, count)| (*seq, *count)).collect(),
            delivered: queue.delivered,
        });
    }
    queues.sort_unstable_by_key(|queue| queue.queue);
    queues
}

impl Store {
    /// Opens a data directory, or makes a new one.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Opened, OpenError> {
        let create = |error| OpenError::io("create the data directory", error);
        disk.create_dir("").map_err(create)?;
        let lock = disk.lock()?;
        let manifest = read_manifest(&*disk, options.seed)?;
        for dir in [ring::DIR, segment::DIRECTORY] {
            disk.create_dir(dir).map_err(create)?;
        }
        disk.sync_dir("").map_err(create)?;
        let definitions = match &manifest.definitions {
            Some(file) => Some(manifest::read_definitions(&*disk, file.number)?),
            None => None,
        };
        let (mut report, mut index) = (Report::default(), Index::default());
        index.begin(&manifest);
        let mut segments = open_segments(&*disk, &manifest, &mut index, &mut report)?;
        let mut ring = Ring::new(manifest.store_id, options.log_file_size);
        let mut replay = Replay::new(&manifest, &mut index, &mut segments);
        let mut apply = |batch, offset, len, record| replay.apply(batch, offset, len, record);
        let next = recover(&*disk, &mut ring, manifest.replay_from, &mut apply, &mut report)?;
        let (changes, defined) = (replay.changes, replay.defined);
        let queues = recovered_queues(&mut index, &mut report);
        let last_queue = index.last_queue;
        let buffer = Buffer::with_capacity(options.batch_size / 4);
        let core = Core {
            open: Batch::new(next, buffer),
            closed: VecDeque::new(),
            flying: None,
            buffers: Vec::new(),
            ring,
            kept: Kept::new(options.kept_files),
            pile: Pile::default(),
            index,
            segments,
            spill: Spill::default(),
            defined,
            writer_waits: false,
        };
        let pending = Pending::new(manifest.definitions, manifest.next_segment);
        let store = Self {
            disk,
            options,
            core: Mutex::new(core),
            work: Condvar::new(),
            progress: Condvar::new(),
            durable: AtomicU64::new(next - 1),
            pending_bytes: AtomicUsize::new(0),
            awaited: AtomicU64::new(0),
            waiting: Mutex::default(),
            upkeep: Mutex::new(pending),
            definitions: Mutex::default(),
            stopping: AtomicBool::new(false),
            _lock: lock,
        };
        Ok(Opened { store, definitions, changes, queues, last_queue, report })
    }
}
