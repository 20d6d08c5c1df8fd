//! Shows what is in a data directory. What cannot be read is a field, not the end.

use bytes::Bytes;
use serde::Serialize;

use super::contents::{Contents, read_manifest};
use super::read_only::ReadOnly;
use super::{Finding, Severity};
use crate::disk::Disk;
use crate::log::ring;
use crate::log::walk::{Start, Walk};
use crate::manifest::Manifest;
use crate::report::Report;
use crate::segment::{self, Run, Segment, Space};
use crate::store::open::recovered_queues;
use crate::{QueueId, Seq};

/// What is in a data directory. Sizes are in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Who has it open; then what is here may have been on its way.
    pub in_use_by: Option<String>,
    /// What the manifest says; none if it cannot be read, and a finding says why.
    pub manifest: Option<ManifestInspection>,
    /// The definitions, as far as there are any.
    pub definitions: DefinitionsInspection,
    /// The files of the log, in the order of their batches; spares come last.
    pub log: Vec<LogFileInspection>,
    /// The last batch of the log that counts, 0 without one.
    pub log_end: u64,
    /// A torn end of the log: its batch, and the bytes it should have.
    pub torn: Option<(u64, u64)>,
    /// The segments.
    pub segments: Vec<SegmentInspection>,
    /// The queues that are known; none without a manifest.
    pub queues: Vec<QueueInspection>,
    /// Sums.
    pub totals: Totals,
    /// What was seen to be wrong on the way. Bodies in segments were not looked at.
    pub findings: Vec<Finding>,
}

/// What the manifest says.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestInspection {
    /// Its format.
    pub format: u16,
    /// Which store it is, in hexadecimal digits.
    pub store_id: String,
    /// The first batch of the log that counts.
    pub replay_from: u64,
    /// The id of the next segment.
    pub next_segment: u64,
    /// The highest id that a queue had when it was written.
    pub last_queue: u64,
}

/// The definitions.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DefinitionsInspection {
    /// The file with the snapshot.
    pub file: Option<String>,
    /// The length of the snapshot; none if it cannot be read.
    pub bytes: Option<u64>,
    /// How many changes are in it.
    pub through: u64,
    /// How many changes are in the log behind it.
    pub changes: usize,
    /// The snapshot itself.
    #[serde(skip)]
    pub snapshot: Option<Bytes>,
    /// The changes themselves, in order.
    #[serde(skip)]
    pub behind: Vec<Bytes>,
}

/// What a file of the log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFileUse {
    /// It has batches that count.
    Needed,
    /// It waits to be written to; what is in it does not count.
    Spare,
    /// Cannot be told without the manifest.
    Unknown,
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogFileInspection {
    /// The number in its name.
    pub id: u64,
    /// Its length.
    pub size: u64,
    /// What it is for.
    pub r#use: LogFileUse,
    /// Which use of the file its batches are of, by chance; none if it has none.
    pub epoch: Option<u64>,
    /// Its first batch.
    pub first_batch: Option<u64>,
    /// How many batches have a whole header.
    pub batches: u64,
    /// Up to the end of its last batch.
    pub used_bytes: u64,
    /// Its header cannot be read, or there are bytes between its batches that are none, or parts
    /// of them were seen to be damaged.
    pub damaged: bool,
}

/// A segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentInspection {
    /// Its id.
    pub id: u64,
    /// The length of its file, with what was given back.
    pub file_bytes: u64,
    /// Whether the manifest names it.
    pub named: bool,
    /// Its extents.
    pub extents: Vec<ExtentInspection>,
    /// How many runs of messages of one queue and level were written to it.
    pub runs: usize,
    /// How many of its messages live; all of them without a manifest.
    pub live_messages: u64,
    /// About how many bytes of records live.
    pub live_bytes: u64,
    /// About how many bytes nobody needs and were not given back.
    pub garbage_bytes: u64,
    /// Why nothing else is known of it.
    pub error: Option<String>,
}

/// A part of a segment that is given back as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct ExtentInspection {
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// How many messages were written to it.
    pub records: u32,
    /// How many of them, and of others that share their data, live.
    pub live: u64,
    /// Whether it reads as zeros, as it does after it was given back.
    pub given_back: bool,
}

/// A queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QueueInspection {
    /// Its id.
    pub queue: QueueId,
    /// How many messages there are by level.
    pub levels: Vec<(u8, u64)>,
    /// All its messages.
    pub messages: u64,
    /// Those in the log alone.
    pub in_log: u64,
    /// Those in segments.
    pub in_segments: u64,
    /// The sum of their weights, estimated: their bodies' bytes.
    pub bytes: u64,
    /// The first message that is there.
    pub first_seq: Option<Seq>,
    /// The last message that is there.
    pub last_seq: Option<Seq>,
    /// The last seq that was ever given.
    pub last_given: Seq,
    /// How many messages came back after a delivery.
    pub returned: usize,
    /// Messages up to here may have been delivered.
    pub delivered: Seq,
}

/// Sums over everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Queues with messages.
    pub queues: u64,
    /// Messages.
    pub messages: u64,
    /// Their weights, estimated: their bodies' bytes.
    pub message_bytes: u64,
    /// The lengths of the log's files.
    pub log_bytes: u64,
    /// The lengths of the segments' files, with what was given back.
    pub segment_bytes: u64,
    /// What in segments nobody needs and was not given back.
    pub garbage_bytes: u64,
}

/// Tells what is in a data directory, which may be in use or damaged. It changes nothing.
pub fn inspect(disk: &dyn Disk) -> Inspection {
    let disk = ReadOnly(disk);
    let in_use_by = disk.holder().ok().flatten();
    let (manifest, mut contents) = match read_manifest(&disk) {
        Ok(manifest) => {
            let said = inspect_manifest(&manifest);
            (Some(said), Contents::find(&disk, manifest))
        }
        Err(finding) => (None, Contents { findings: vec![finding], ..Contents::default() }),
    };
    let known = manifest.is_some();
    let log = log_files(&disk, &contents, known);
    let segments = segments(&disk, &contents, known);
    let mut report = Report::default();
    let queues = queues(&mut contents, &mut report);
    let totals = Totals {
        queues: report.queues,
        messages: report.messages,
        message_bytes: queues.iter().map(|queue| queue.bytes).sum(),
        log_bytes: log.iter().map(|file| file.size).sum(),
        segment_bytes: segments.iter().map(|segment| segment.file_bytes).sum(),
        garbage_bytes: segments.iter().map(|segment| segment.garbage_bytes).sum(),
    };
    Inspection {
        in_use_by,
        manifest,
        definitions: definitions(&contents),
        log,
        log_end: contents.report.log_end,
        torn: contents.report.torn,
        segments,
        queues,
        totals,
        findings: contents.findings,
    }
}

fn inspect_manifest(manifest: &Manifest) -> ManifestInspection {
    ManifestInspection {
        format: crate::manifest::MANIFEST_FORMAT,
        store_id: manifest.store_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        replay_from: manifest.replay_from,
        next_segment: manifest.next_segment,
        last_queue: manifest.last_queue,
    }
}

fn definitions(contents: &Contents) -> DefinitionsInspection {
    let file = contents.manifest.definitions;
    DefinitionsInspection {
        file: file.map(|file| crate::manifest::definitions_name(file.number)),
        bytes: contents.definitions.as_ref().map(|bytes| bytes.len() as u64),
        through: file.map_or(0, |file| file.through),
        changes: contents.changes.len(),
        snapshot: contents.definitions.clone(),
        behind: contents.changes.clone(),
    }
}

fn log_files(disk: &ReadOnly<'_>, contents: &Contents, known: bool) -> Vec<LogFileInspection> {
    let names = disk.list(ring::DIR).unwrap_or_default();
    let mut files: Vec<_> = names
        .iter()
        .filter_map(|name| ring::id_of(name))
        .map(|id| log_file(disk, contents, known, id))
        .collect();
    files.sort_by_key(|file| (file.r#use == LogFileUse::Spare, file.first_batch, file.id));
    files
}

fn log_file(disk: &ReadOnly<'_>, contents: &Contents, known: bool, id: u64) -> LogFileInspection {
    let needed = contents.log.files.iter().find(|file| file.handles.id == id);
    let mut inspection = LogFileInspection {
        id,
        size: 0,
        r#use: match needed {
            Some(_) => LogFileUse::Needed,
            None if known => LogFileUse::Spare,
            None => LogFileUse::Unknown,
        },
        epoch: None,
        first_batch: None,
        batches: 0,
        used_bytes: 0,
        damaged: needed.is_some_and(|file| file.damaged),
    };
    let Ok(file) = disk.open_to_read(&ring::name(id)) else {
        inspection.damaged = true;
        return inspection;
    };
    inspection.size = file.len().unwrap_or_default();
    let Some(start) = Start::read(&*file) else { return inspection };
    (inspection.epoch, inspection.first_batch) = (Some(start.epoch), Some(start.first));
    if start.unknown_format.is_some() {
        return inspection;
    }
    let mut walk = Walk::new(&*file, inspection.size, &start);
    while walk.next().is_some() {
        inspection.batches += 1;
    }
    inspection.used_bytes = walk.end;
    inspection.damaged |= walk.gaps > 0 || start.store_id.is_none();
    inspection
}

fn segments(disk: &ReadOnly<'_>, contents: &Contents, known: bool) -> Vec<SegmentInspection> {
    let mut ids = segment::list(disk).unwrap_or_default();
    ids.extend(contents.manifest.segments.iter().map(|entry| entry.id));
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| one_segment(disk, contents, known, id)).collect()
}

fn one_segment(
    disk: &ReadOnly<'_>,
    contents: &Contents,
    known: bool,
    id: u64,
) -> SegmentInspection {
    let entry = contents.manifest.segments.iter().find(|entry| entry.id == id);
    let mut inspection = SegmentInspection {
        id,
        file_bytes: 0,
        named: entry.is_some(),
        extents: Vec::new(),
        runs: 0,
        live_messages: 0,
        live_bytes: 0,
        garbage_bytes: 0,
        error: None,
    };
    let (segment, runs) = match Segment::open(disk, id) {
        Ok((segment, runs, _)) => (segment, runs),
        Err(error) => {
            inspection.error = Some(error.to_string());
            return inspection;
        }
    };
    let all;
    let space = match contents.segments.get(&id) {
        Some(held) => &held.space,
        None if known => {
            // Nothing in it lives.
            all = Space::new(&segment, [], &[]);
            &all
        }
        None => {
            all = Space::new(&segment, &runs, &[]);
            &all
        }
    };
    inspection.file_bytes = segment.file_bytes();
    inspection.runs = runs.len();
    let live = space.live_by_extent();
    let extents = segment.extents().iter().zip(live.iter().copied().chain(std::iter::repeat(0)));
    inspection.extents = extents
        .map(|(extent, live)| ExtentInspection {
            offset: extent.offset,
            len: extent.len,
            records: extent.records,
            live,
            given_back: segment.is_zeros(extent),
        })
        .collect();
    inspection.live_messages = match known {
        true => live_messages(contents, id),
        false => runs.iter().map(Run::live_count).sum(),
    };
    (inspection.live_bytes, inspection.garbage_bytes) = (space.live_bytes(), space.garbage_bytes());
    inspection
}

fn live_messages(contents: &Contents, segment: u64) -> u64 {
    let queues = contents.index.queues.values();
    let runs = queues.flat_map(|queue| queue.runs.values());
    runs.filter(|run| run.segment() == segment).map(Run::live_count).sum()
}

fn queues(contents: &mut Contents, report: &mut Report) -> Vec<QueueInspection> {
    let mut queues: Vec<QueueInspection> = Vec::new();
    for found in recovered_queues(&mut contents.index, report) {
        let count = |ranges: &[crate::SeqRange]| -> u64 {
            ranges.iter().map(|range| range.last - range.first + 1).sum()
        };
        let levels: Vec<_> =
            found.levels.iter().map(|(level, ranges)| (*level, count(ranges))).collect();
        let ranges = || found.levels.iter().flat_map(|(_, ranges)| ranges);
        let messages = levels.iter().map(|(_, count)| count).sum();
        let queue = contents.index.queues.get(&found.queue);
        let in_log = queue.map_or(0, |queue| queue.tail.len() as u64);
        queues.push(QueueInspection {
            queue: found.queue,
            messages,
            in_log,
            in_segments: messages - in_log.min(messages),
            bytes: found.weight,
            first_seq: ranges().map(|range| range.first).min(),
            last_seq: ranges().map(|range| range.last).max(),
            last_given: found.last_seq,
            returned: found.returns.len(),
            delivered: found.delivered,
            levels,
        });
    }
    queues
}

impl Inspection {
    /// How bad the worst finding is.
    pub fn severity(&self) -> Severity {
        let severities = self.findings.iter().map(|finding| finding.severity);
        severities.max().unwrap_or(Severity::Note)
    }
}
