//! Reading messages back, from wherever they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Core, Store};
use crate::disk::DiskFile;
use crate::index::queue::{Queue, Whereabouts};
use crate::index::tail::Entry;
use crate::log::batch::Published;
use crate::log::record::HEAD_LEN;
use crate::segment::{Damaged, ReadPlan, Run, Segment};
use crate::spill::{Place, Source};
use crate::{QueueId, Seq, SeqRange, Target};

/// Neighbours in the log up to this far apart are read at once, and at most this much.
const GAP: u64 = 64 << 10;
const READ: u64 = 1 << 20;
/// How long to wait at once for a batch that is being written.
const WAIT: Duration = Duration::from_millis(100);
/// Messages that one look under the mutex plans for.
const PLAN_MAX: usize = 8192;

/// A message that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its place in the queue.
    pub seq: Seq,
    /// When it expires.
    pub expires: u64,
    /// Its data; none if it cannot be read.
    pub data: Option<Bytes>,
}

impl Fetched {
    fn lost(seq: Seq) -> Self {
        Self { seq, expires: u64::MAX, data: None }
    }
}

/// One thing to read.
enum Step {
    /// It was in memory.
    Have(Fetched),
    /// Spilled, at a place in a file.
    Spilled { seq: Seq, expires: u64, file: Arc<dyn DiskFile>, at: u64, len: u32 },
    /// In the log: the entry, and where its batch starts.
    Logged { entry: Entry, file: Arc<dyn DiskFile>, batch_at: u64 },
    /// In a segment, several at once.
    Segment { segment: Arc<Segment>, plan: ReadPlan },
    /// In a batch that is being written right now.
    Wait(u64),
}

struct Planner<'a> {
    core: &'a Core,
    id: QueueId,
    queue: &'a Queue,
    budget: u64,
    steps: Vec<Step>,
    count: usize,
}

impl Planner<'_> {
    fn is_full(&self) -> bool {
        self.budget == 0 || self.count >= PLAN_MAX
    }

    fn take(&mut self, bytes: u64, step: Step) {
        self.budget = self.budget.saturating_sub(bytes);
        self.count += 1;
        self.steps.push(step);
    }

    fn range(&mut self, range: SeqRange) {
        let mut from = range.first;
        while !self.is_full() {
            let Some((seq, at)) = self.queue.next(from, range.last) else { return };
            let last = match at {
                Whereabouts::Log(entry) => self.logged(entry),
                Whereabouts::Spill(entry) => self.spilled(entry),
                Whereabouts::Run(level, first) => self.run(level, first, seq, range.last),
            };
            match last.and_then(|last| last.checked_add(1)) {
                Some(next) => from = next,
                None => return,
            }
        }
    }

    /// Plans for one message of the log; its seq.
    fn logged(&mut self, entry: Entry) -> Option<Seq> {
        let bytes = u64::from(entry.len);
        let unwritten = self.core.closed.iter().chain([&self.core.open]);
        let step = if let Some(batch) = unwritten.into_iter().find(|b| b.number == entry.batch) {
            let body = Bytes::copy_from_slice(batch.body(entry.offset, entry.len));
            Step::Have(unsealed(&entry, self.id, body))
        } else if let Some((file, batch_at)) = self.core.ring.locate(entry.batch) {
            Step::Logged { entry, file, batch_at }
        } else if self.core.flying == Some(entry.batch) {
            self.budget = 0;
            if self.steps.is_empty() {
                self.steps.push(Step::Wait(entry.batch));
            }
            return None;
        } else {
            Step::Have(Fetched::lost(entry.seq))
        };
        self.take(bytes, step);
        Some(entry.seq)
    }

    fn spilled(&mut self, entry: Entry) -> Option<Seq> {
        let (seq, expires) = (entry.seq, expires_of(self.queue, &entry));
        let place = Place { file: entry.batch, offset: entry.offset, len: entry.len };
        let step = match self.core.spill.source(place) {
            Some(Source::Memory(data)) => Step::Have(Fetched { seq, expires, data: Some(data) }),
            Some(Source::File(file, at)) => {
                Step::Spilled { seq, expires, file, at, len: place.len }
            }
            None => Step::Have(Fetched::lost(seq)),
        };
        self.take(u64::from(entry.len), step);
        Some(seq)
    }

    /// Plans for what a run has up to the next message that is elsewhere; the last seq of it.
    fn run(&mut self, level: u8, first: Seq, seq: Seq, last: Seq) -> Option<Seq> {
        let run = self.queue.runs.get(&(level, first))?;
        let last = self.before_others(run, seq, last);
        let wanted: Vec<Seq> =
            run.live_from(seq).take_while(|seq| *seq <= last).take(PLAN_MAX).collect();
        let plan = run.plan(&wanted, usize::try_from(self.budget).unwrap_or(usize::MAX));
        let last = plan.wanted().last().copied();
        // The plan keeps to the budget by estimates: a part of the wanted is the end of it.
        if plan.wanted().len() < wanted.len() {
            self.budget = 0;
        }
        self.count += plan.wanted().len();
        let segment = Arc::clone(&self.core.segments.get(&run.segment())?.segment);
        let bytes = plan.bytes();
        self.budget = self.budget.saturating_sub(bytes);
        self.steps.push(Step::Segment { segment, plan });
        last
    }

    /// The last seq from `seq` to `last` before which nothing is outside of the run.
    fn before_others(&self, run: &Run, seq: Seq, last: Seq) -> Seq {
        let last = last.min(run.last());
        let elsewhere = |tail: Option<&Entry>| tail.map_or(Seq::MAX, |entry| entry.seq - 1);
        let tail = elsewhere(self.queue.tail.range(seq, last).next());
        let spilled = elsewhere(self.queue.spilled.range(seq, last).next());
        let others = self.queue.runs.iter().filter(|((level, _), _)| *level != run.level());
        let others = others.filter_map(|(_, other)| other.live_from(seq).next()).map(|seq| seq - 1);
        others.chain([tail, spilled]).min().unwrap_or(last).min(last)
    }
}

/// A message's expiry is in its record; a spilled one's is beside it.
fn expires_of(queue: &Queue, entry: &Entry) -> u64 {
    queue.spill_expiries.get(&entry.seq).copied().unwrap_or(u64::MAX)
}

/// A message whose batch has no checksums yet.
fn unsealed(entry: &Entry, queue: QueueId, body: Bytes) -> Fetched {
    let published = Published::unsealed(body);
    published.map_or(Fetched::lost(entry.seq), |published| pick(published, queue, entry.seq))
}

/// The message of one queue in a publish.
fn pick(published: Published, queue: QueueId, seq: Seq) -> Fetched {
    let mine = |target: &&Target| target.queue == queue && target.seq == seq;
    match published.targets.iter().find(mine) {
        Some(target) => Fetched { seq, expires: target.expires, data: Some(published.data) },
        None => Fetched::lost(seq),
    }
}

impl Store {
    /// Reads messages of a queue, in the order of `wanted`, as many as `max_bytes` hold, but one at
    /// least. Blocks on the disk. Places without a message are not in the answer.
    pub fn fetch(&self, queue: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Vec<Fetched> {
        loop {
            let steps = self.plan(queue, wanted, max_bytes);
            if let Some(Step::Wait(batch)) = steps.first() {
                self.wait_for_progress(*batch, WAIT);
                continue;
            }
            let (fetched, unsure) = carry_out(queue, steps);
            // What is not where it was may have been moved meanwhile; at its new place it is sure.
            if unsure.is_empty() || !self.has_moved(queue, &unsure) {
                return fetched;
            }
        }
    }

    fn plan(&self, id: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Vec<Step> {
        let core = self.core();
        let Some(queue) = core.index.queues.get(&id) else { return Vec::new() };
        let budget = (max_bytes as u64).max(1);
        let (steps, count) = (Vec::new(), 0);
        let mut planner = Planner { core: &core, id, queue, budget, steps, count };
        for range in wanted {
            if planner.is_full() {
                break;
            }
            planner.range(*range);
        }
        planner.steps
    }

    /// Whether one of these messages of the log is elsewhere by now.
    fn has_moved(&self, queue: QueueId, unsure: &[Entry]) -> bool {
        let core = self.core();
        let Some(queue) = core.index.queues.get(&queue) else { return false };
        unsure.iter().any(|entry| queue.tail.get(entry.seq) != Some(entry))
    }

    /// Puts a message aside that need not survive.
    pub fn spill(&self, target: &Target, data: [&[u8]; 2]) -> std::io::Result<()> {
        let mut core = self.core();
        let place = core.spill.add(&*self.disk, data)?;
        let at = (place.file, place.offset, place.len);
        let queue = core.index.queue(target.queue);
        queue.spilled.push(Entry::new(target.seq, target.level, 0, at));
        if target.expires != u64::MAX {
            queue.spill_expiries.insert(target.seq, target.expires);
        }
        Ok(())
    }

    /// Forgets spilled messages.
    pub fn unspill(&self, queue: QueueId, seqs: &[SeqRange]) {
        let mut core = self.core();
        let Core { index, spill, .. } = &mut *core;
        let Some(found) = index.queues.get_mut(&queue) else { return };
        for range in seqs {
            found.spilled.settle(range.first, range.last, |entry| spill.remove(entry.batch));
        }
        if found.spilled.is_empty() {
            found.spill_expiries = Default::default();
        } else if !found.spill_expiries.is_empty() {
            let spilled = &found.spilled;
            if found.spill_expiries.len() > spilled.len() * 2 {
                found.spill_expiries.retain(|seq, _| spilled.get(*seq).is_some());
            }
        }
        if found.is_unused() {
            index.queues.remove(&queue);
        }
    }
}

/// Reads what was planned; beside it the entries of the log that were not where they should be.
fn carry_out(queue: QueueId, steps: Vec<Step>) -> (Vec<Fetched>, Vec<Entry>) {
    let (mut fetched, mut unsure) = (Vec::new(), Vec::new());
    let mut window = Window::default();
    let mut steps = steps.into_iter().peekable();
    let mut logged = Vec::new();
    while let Some(step) = steps.next() {
        match step {
            Step::Have(message) => fetched.push(message),
            Step::Spilled { seq, expires, file, at, len } => {
                let mut data = vec![0; len as usize];
                let read = file.read_at(&mut data, at);
                let data = matches!(read, Ok(read) if read == data.len()).then(|| data.into());
                fetched.push(Fetched { seq, expires, data });
            }
            Step::Logged { entry, file, batch_at } => {
                logged.push((entry, file, batch_at));
                if !matches!(steps.peek(), Some(Step::Logged { .. })) {
                    read_logged(queue, &mut window, &logged, &mut fetched, &mut unsure);
                    logged.clear();
                }
            }
            Step::Segment { segment, plan } => {
                // It may end early, at its budget; what stands behind must not overtake.
                if !read_segment(&segment, &plan, &mut fetched) {
                    break;
                }
            }
            Step::Wait(_) => {}
        }
    }
    (fetched, unsure)
}

/// Reads what a plan asks for; whether that was all.
fn read_segment(segment: &Segment, plan: &ReadPlan, fetched: &mut Vec<Fetched>) -> bool {
    let records = segment.read(plan);
    let all = records.len() == plan.wanted().len();
    for record in records {
        if let Err(damaged) = &record.data {
            report(segment.id(), record.seq, damaged);
        }
        let (seq, expires) = (record.seq, record.expires);
        fetched.push(Fetched { seq, expires, data: record.data.ok() });
    }
    all
}

fn report(segment: u64, seq: Seq, damaged: &Damaged) {
    tracing::error!(segment, seq, %damaged, "a stored message cannot be read");
}

/// A part of a log file in memory.
#[derive(Default)]
struct Window {
    bytes: Bytes,
    start: u64,
    file: Option<Arc<dyn DiskFile>>,
}

impl Window {
    /// The bytes of a record; `end` is how far it is worth to read on.
    fn record(&mut self, file: &Arc<dyn DiskFile>, at: u64, len: usize, end: u64) -> Option<Bytes> {
        let same = self.file.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, file));
        let inside = at >= self.start && at + len as u64 <= self.start + self.bytes.len() as u64;
        if !same || !inside {
            let mut bytes = vec![0; (end - at) as usize];
            let read = file.read_at(&mut bytes, at).ok()?;
            bytes.truncate(read);
            (self.bytes, self.start) = (bytes.into(), at);
            self.file = Some(Arc::clone(file));
        }
        let from = (at - self.start) as usize;
        (from + len <= self.bytes.len()).then(|| self.bytes.slice(from..from + len))
    }
}

type Logged = (Entry, Arc<dyn DiskFile>, u64);

fn place((entry, _, batch_at): &Logged) -> (u64, u64) {
    let at = batch_at + u64::from(entry.offset);
    (at, at + HEAD_LEN as u64 + u64::from(entry.len))
}

fn read_logged(
    queue: QueueId,
    window: &mut Window,
    logged: &[Logged],
    fetched: &mut Vec<Fetched>,
    unsure: &mut Vec<Entry>,
) {
    for (number, one) in logged.iter().enumerate() {
        let (entry, file, _) = one;
        let (at, mut end) = place(one);
        let len = (end - at) as usize;
        for next in &logged[number + 1..] {
            let (next_at, next_end) = place(next);
            let near = next_at >= end && next_at - end <= GAP && next_end - at <= READ;
            if !near || !Arc::ptr_eq(file, &next.1) {
                break;
            }
            end = next_end;
        }
        let record = window.record(file, at, len, end);
        let found = record.and_then(|record| Published::read(&record, entry.batch, entry.offset));
        match found {
            // A message keeps what it is read from: it shall not keep a whole window.
            Some(published) => {
                let data = Bytes::copy_from_slice(&published.data);
                fetched.push(pick(Published { data, ..published }, queue, entry.seq));
            }
            None => {
                unsure.push(*entry);
                fetched.push(Fetched::lost(entry.seq));
            }
        }
    }
}
