//! Gets messages out of a damaged data directory.
//!
//! With a whole manifest these are the live messages that can be read. Without one they are all
//! that can be read, wherever they are, but those for which the log says that they are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::contents::{Contents, read_manifest};
use super::read_only::ReadOnly;
use super::{Finding, Severity};
use crate::disk::{Disk, DiskFile};
use crate::log::batch::Published;
use crate::log::record::{HEAD_LEN, Record};
use crate::log::ring;
use crate::log::walk::{Start, Walk};
use crate::manifest;
use crate::segment::{self, Run, Segment, read_through};
use crate::store::upkeep::QUARANTINE;
use crate::{QueueId, Seq, SeqRange};

/// How many messages are looked up at once.
const READ_MESSAGES: usize = 4096;
/// How many bytes of data are read at once, unless one message is longer.
const READ_BYTES: usize = 1 << 20;
/// How many ranges of settled seqs are kept before they are joined.
const JOIN_FROM: usize = 4096;

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvagedMessage {
    /// Its queue.
    pub queue: QueueId,
    /// Its place there.
    pub seq: Seq,
    /// The level that it stands in.
    pub level: u8,
    /// When it expires, in the terms of who stored it.
    pub expires: u64,
    /// Its data.
    pub data: Bytes,
    /// Whether it is known to be live; otherwise it may have been consumed.
    pub certain: bool,
}

/// What came of reading the messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// How many were handed out.
    pub messages: u64,
    /// How many of them are not known to be live.
    pub uncertain: u64,
    /// How many could not be read, although it is known where they were.
    pub lost: u64,
    /// Which ones, and what else went wrong.
    pub findings: Vec<Finding>,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// In this run.
    Run(u32),
    /// In this record of the log.
    Log(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    seq: Seq,
    source: Source,
    level: u8,
}

/// A record of the log.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: u32,
    /// Where in the file the record is.
    at: u64,
    batch: u64,
    /// Where in the batch it is.
    offset: u32,
    /// The length of its body.
    len: u32,
}

#[derive(Default)]
struct Wanted {
    runs: Vec<u32>,
    log: Vec<(Seq, u8, u32)>,
    /// Gone, as the log says.
    settled: Vec<SeqRange>,
    join_at: usize,
}

/// What there is to be got out of a data directory.
#[derive(Default)]
pub struct Salvage {
    /// Whether a whole manifest says what is live.
    pub by_manifest: bool,
    /// The snapshot of the definitions, if one can be read.
    pub definitions: Option<Bytes>,
    /// The changes of the definitions in the log behind it, in order.
    pub changes: Vec<Bytes>,
    /// What is wrong with the directory, as far as it has been seen.
    pub findings: Vec<Finding>,
    certain: bool,
    queues: BTreeMap<QueueId, Wanted>,
    dropped: BTreeSet<QueueId>,
    segments: BTreeMap<u64, Segment>,
    runs: Vec<Run>,
    files: Vec<Box<dyn DiskFile>>,
    places: Vec<Place>,
}

impl std::fmt::Debug for Salvage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salvage").field("by_manifest", &self.by_manifest).finish_non_exhaustive()
    }
}

impl Salvage {
    /// Looks for everything there is; bodies are not kept. It changes nothing.
    pub fn open(disk: &dyn Disk) -> Self {
        let disk = ReadOnly(disk);
        let mut salvage = match read_manifest(&disk) {
            Ok(manifest) => Self::by_manifest(&disk, Contents::find(&disk, manifest)),
            Err(finding) => Self::without_manifest(&disk, finding),
        };
        if let Ok(Some(holder)) = disk.holder() {
            let what = format!("in use by {holder}: what is found may be incomplete");
            salvage.findings.insert(0, Finding::note("lock", what));
        }
        salvage
    }

    fn by_manifest(disk: &ReadOnly<'_>, contents: Contents) -> Self {
        let certain = contents.log_is_whole();
        let mut salvage = Self { by_manifest: true, certain, ..Self::default() };
        let mut files: BTreeMap<u64, u32> = BTreeMap::new();
        for (id, queue) in contents.index.queues {
            let mut wanted = Wanted::default();
            for entry in queue.tail.range(0, Seq::MAX) {
                let Some((file, at)) = ring::locate(&contents.log.files, entry.batch) else {
                    continue;
                };
                let file = *files.entry(file.handles.id).or_insert_with(|| {
                    let name = ring::name(file.handles.id);
                    salvage.add_file(disk, &name)
                });
                let (batch, offset, len) = (entry.batch, entry.offset, entry.len);
                let at = at + u64::from(offset);
                let place = salvage.add_place(Place { file, at, batch, offset, len });
                wanted.log.push((entry.seq, entry.level, place));
            }
            for run in queue.runs.into_values() {
                wanted.runs.push(salvage.runs.len() as u32);
                salvage.runs.push(run);
            }
            salvage.queues.insert(id, wanted);
        }
        for id in contents.segments.into_keys() {
            // It was opened a moment ago; its messages are told as lost if it cannot be now.
            if let Ok((segment, _, _)) = Segment::open(disk, id) {
                salvage.segments.insert(id, segment);
            }
        }
        (salvage.definitions, salvage.changes) = (contents.definitions, contents.changes);
        salvage.findings = contents.findings;
        salvage
    }

    fn without_manifest(disk: &ReadOnly<'_>, finding: Finding) -> Self {
        let mut salvage = Self { findings: vec![finding], ..Self::default() };
        let numbers = manifest::list_definitions(disk).unwrap_or_default();
        for number in numbers.into_iter().rev() {
            match manifest::read_definitions(disk, number) {
                Ok(bytes) => {
                    salvage.definitions = Some(bytes);
                    break;
                }
                Err(error) => {
                    let name = manifest::definitions_name(number);
                    salvage.findings.push(Finding::damage(name, error));
                }
            }
        }
        for id in segment::list(disk).unwrap_or_default() {
            salvage.add_segment(disk, id);
        }
        let mut changes = BTreeMap::new();
        for dir in [ring::DIR, QUARANTINE] {
            for name in disk.list(dir).unwrap_or_default() {
                if name.ends_with(".log") {
                    salvage.add_log_file(disk, &format!("{dir}/{name}"), &mut changes);
                }
            }
        }
        salvage.changes = changes.into_values().collect();
        salvage
    }

    fn add_segment(&mut self, disk: &ReadOnly<'_>, id: u64) {
        let file = segment::file_name(id);
        match Segment::open(disk, id) {
            Ok((segment, runs, damages)) => {
                for damage in damages {
                    self.findings.push(Finding::damage(&file, damage));
                }
                for run in runs {
                    let wanted = self.queues.entry(run.queue()).or_default();
                    wanted.runs.push(self.runs.len() as u32);
                    self.runs.push(run);
                }
                self.segments.insert(id, segment);
            }
            Err(error) => self.findings.push(Finding::new(Severity::Unreadable, file, error)),
        }
    }

    /// Opens a file of the log to read from; a file that cannot be is one without bytes.
    fn add_file(&mut self, disk: &ReadOnly<'_>, name: &str) -> u32 {
        match disk.open_to_read(name) {
            Ok(file) => {
                self.files.push(file);
                self.files.len() as u32 - 1
            }
            Err(error) => {
                self.findings.push(Finding::new(Severity::Unreadable, name, error));
                u32::MAX
            }
        }
    }

    fn add_place(&mut self, place: Place) -> u32 {
        self.places.push(place);
        self.places.len() as u32 - 1
    }

    /// Takes note of all that can be read in a file of the log.
    fn add_log_file(
        &mut self,
        disk: &ReadOnly<'_>,
        name: &str,
        changes: &mut BTreeMap<u64, Bytes>,
    ) {
        let number = self.add_file(disk, name);
        let Some(file) = self.files.pop_if(|_| number != u32::MAX) else { return };
        let size = file.len().unwrap_or_default();
        let start = Start::read(&*file);
        if let Some(format) = start.and_then(|start| start.unknown_format) {
            let what = format!("it has format {format}: use the version that wrote it");
            self.findings.push(Finding::new(Severity::Unreadable, name, what));
        } else if let Some(start) = start {
            let mut walk = Walk::new(&*file, size, &start);
            let mut damaged = 0;
            while let Some((header, at)) = walk.next() {
                let (records, lost) = walk.records(&header, at);
                damaged += lost;
                for (offset, record) in records {
                    let len = (record.len() - HEAD_LEN) as u32;
                    let at = at + u64::from(offset);
                    let place = Place { file: number, at, batch: header.number, offset, len };
                    self.take_record(place, &record, changes);
                }
            }
            let lost = walk.gaps + damaged as u64;
            if lost > 0 {
                self.findings.push(Finding::damage(name, format!("{lost} bytes are damaged")));
            }
        }
        self.files.push(file);
    }

    fn take_record(&mut self, place: Place, record: &Bytes, changes: &mut BTreeMap<u64, Bytes>) {
        match Record::decode(record) {
            Ok(Record::Define { number, bytes }) => {
                changes.insert(number, Bytes::copy_from_slice(&bytes));
            }
            Ok(Record::Publish { targets, .. }) => {
                let place = self.add_place(place);
                for target in targets {
                    let wanted = self.queues.entry(target.queue).or_default();
                    wanted.log.push((target.seq, target.level, place));
                }
            }
            Ok(Record::Settle { queue, seqs }) => {
                self.queues.entry(queue).or_default().settle(&seqs);
            }
            Ok(Record::Drop { queue }) => {
                self.dropped.insert(queue);
            }
            Ok(Record::Return { .. } | Record::Delivered { .. }) | Err(_) => {}
        }
    }

    /// Reads all messages, by queue and seq, and hands each to `each` until that breaks off.
    pub fn messages(&self, each: &mut dyn FnMut(SalvagedMessage) -> ControlFlow<()>) -> Salvaged {
        let mut output = Output { each, salvaged: Salvaged::default(), queue: 0, failed: None };
        for (queue, wanted) in &self.queues {
            if self.dropped.contains(queue) {
                continue;
            }
            output.queue = *queue;
            let ended = self.queue(wanted, &mut output);
            output.end_failed();
            if ended.is_break() {
                break;
            }
        }
        output.salvaged
    }

    fn queue(&self, wanted: &Wanted, output: &mut Output<'_>) -> ControlFlow<()> {
        let (first_choice, others) = self.entries(wanted);
        let mut entries = &first_choice[..];
        while let Some(first) = entries.first() {
            let same = entries.iter().take(READ_MESSAGES);
            let same = same.take_while(|entry| entry.source == first.source).count();
            let read = match first.source {
                Source::Log(place) => {
                    let message = self.read_log(place, output.queue, first.seq);
                    output.push(self.finish(first, message), &others, self)?;
                    1
                }
                Source::Run(run) => self.read_run(run, &entries[..same], &others, output)?,
            };
            entries = &entries[read.max(1)..];
        }
        ControlFlow::Continue(())
    }

    /// The messages of a queue in order, each once, and where else some of them are.
    fn entries(&self, wanted: &Wanted) -> (Vec<Entry>, Vec<Entry>) {
        let mut entries = Vec::new();
        for number in &wanted.runs {
            let Some(run) = self.runs.get(*number as usize) else { continue };
            let (source, level) = (Source::Run(*number), run.level());
            entries.extend(run.live_from(0).map(|seq| Entry { seq, source, level }));
        }
        let log = wanted.log.iter();
        entries.extend(log.map(|(seq, level, place)| Entry {
            seq: *seq,
            source: Source::Log(*place),
            level: *level,
        }));
        entries.sort_unstable();
        let settled = joined(wanted.settled.clone());
        let mut settled = settled.iter().peekable();
        entries.retain(|entry| {
            while settled.next_if(|range| range.last < entry.seq).is_some() {}
            settled.peek().is_none_or(|range| range.first > entry.seq)
        });
        let (mut first_choice, mut others) = (Vec::<Entry>::new(), Vec::new());
        for entry in entries {
            match first_choice.last() {
                Some(last) if last.seq == entry.seq => others.push(entry),
                _ => first_choice.push(entry),
            }
        }
        (first_choice, others)
    }

    /// Reads the first of these messages of one run; how many were read.
    fn read_run(
        &self,
        run: u32,
        entries: &[Entry],
        others: &[Entry],
        output: &mut Output<'_>,
    ) -> ControlFlow<(), usize> {
        let found = self.runs.get(run as usize);
        let found = found.and_then(|run| Some((run, self.segments.get(&run.segment())?)));
        let Some((run, segment)) = found else {
            for entry in entries {
                let lost = self.finish(entry, Err("its segment cannot be read".to_owned()));
                output.push(lost, others, self)?;
            }
            return ControlFlow::Continue(entries.len());
        };
        let seqs: Vec<Seq> = entries.iter().map(|entry| entry.seq).collect();
        let records = segment.read(&run.plan(&seqs, READ_BYTES));
        let count = records.len();
        for (entry, record) in entries.iter().zip(records) {
            let message = record.data.map(|data| (data, record.expires));
            let message = message.map_err(|why| why.to_string());
            output.push(self.finish(entry, message), others, self)?;
        }
        ControlFlow::Continue(count)
    }

    fn read_log(&self, place: u32, queue: QueueId, seq: Seq) -> Result<(Bytes, u64), String> {
        let unreadable = || "its record in the log cannot be read".to_owned();
        let place = self.places.get(place as usize).ok_or_else(unreadable)?;
        let file = self.files.get(place.file as usize).ok_or_else(unreadable)?;
        let (bytes, _) = read_through(&**file, place.at, HEAD_LEN + place.len as usize);
        let published = Published::read(&Bytes::from(bytes), place.batch, place.offset);
        let published = published.ok_or_else(unreadable)?;
        let targets = published.targets.iter();
        let target = targets.clone().find(|target| (target.queue, target.seq) == (queue, seq));
        Ok((published.data, target.ok_or_else(unreadable)?.expires))
    }

    /// Reads one message.
    fn read(&self, entry: &Entry, queue: QueueId) -> Result<(Bytes, u64), String> {
        let run = match entry.source {
            Source::Log(place) => return self.read_log(place, queue, entry.seq),
            Source::Run(run) => self.runs.get(run as usize),
        };
        let found = run.and_then(|run| Some((run, self.segments.get(&run.segment())?)));
        let (run, segment) = found.ok_or("its segment cannot be read")?;
        let mut records = segment.read(&run.plan(&[entry.seq], READ_BYTES));
        let record = records.pop().ok_or("its segment has it no longer")?;
        let expires = record.expires;
        record.data.map(|data| (data, expires)).map_err(|why| why.to_string())
    }

    fn finish(&self, entry: &Entry, message: Result<(Bytes, u64), String>) -> Read {
        let message = message.map(|(data, expires)| SalvagedMessage {
            queue: 0,
            seq: entry.seq,
            level: entry.level,
            expires,
            data,
            certain: self.certain,
        });
        Read { seq: entry.seq, message }
    }
}

impl Wanted {
    fn settle(&mut self, seqs: &[SeqRange]) {
        self.settled.extend_from_slice(seqs);
        if self.settled.len() >= self.join_at.max(JOIN_FROM) {
            self.settled = joined(std::mem::take(&mut self.settled));
            self.join_at = self.settled.len() * 2;
        }
    }
}

/// The ranges in order, those that touch as one.
fn joined(mut ranges: Vec<SeqRange>) -> Vec<SeqRange> {
    ranges.retain(|range| range.first <= range.last);
    ranges.sort_unstable_by_key(|range| range.first);
    let mut joined: Vec<SeqRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// A message as it was read, or why it could not be.
struct Read {
    seq: Seq,
    message: Result<SalvagedMessage, String>,
}

/// Where messages go.
struct Output<'a> {
    each: &'a mut dyn FnMut(SalvagedMessage) -> ControlFlow<()>,
    salvaged: Salvaged,
    queue: QueueId,
    /// Messages in a row that could not be read for the same reason.
    failed: Option<(SeqRange, String)>,
}

impl Output<'_> {
    /// Hands a message out; one that could not be read is tried where else it is.
    fn push(&mut self, read: Read, others: &[Entry], from: &Salvage) -> ControlFlow<()> {
        let (seq, queue) = (read.seq, self.queue);
        let begin = others.partition_point(|entry| entry.seq < seq);
        let others = others[begin..].iter().take_while(|entry| entry.seq == seq);
        let message = read.message.or_else(|why| {
            let mut again = others.map(|entry| from.finish(entry, from.read(entry, queue)).message);
            again.find_map(Result::ok).ok_or(why)
        });
        match message {
            Ok(message) => {
                self.end_failed();
                self.salvaged.messages += 1;
                self.salvaged.uncertain += u64::from(!message.certain);
                (self.each)(SalvagedMessage { queue, ..message })
            }
            Err(why) => {
                self.fail(seq, why);
                ControlFlow::Continue(())
            }
        }
    }

    fn fail(&mut self, seq: Seq, why: String) {
        self.salvaged.lost += 1;
        match &mut self.failed {
            Some((range, same)) if *same == why => range.last = seq,
            _ => {
                self.end_failed();
                self.failed = Some((SeqRange { first: seq, last: seq }, why));
            }
        }
    }

    /// What failed in a row is told as one.
    fn end_failed(&mut self) {
        if let Some((range, why)) = self.failed.take() {
            let finding = Finding::damage("messages", why).of(self.queue, range.first, range.last);
            self.salvaged.findings.push(finding);
        }
    }
}
