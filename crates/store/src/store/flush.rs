//! The late flush: what still lives in one file of the log becomes a segment, sorted by queue,
//! level and place.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::Store;
use super::upkeep::Pending;
use crate::QueueId;
use crate::buffer::Buffer;
use crate::disk::DiskFile;
use crate::index::Held;
use crate::index::tail::Entry;
use crate::log::batch::Published;
use crate::log::record::HEAD_LEN;
use crate::log::ring::Handles;
use crate::segment::{DataRef, RecordHead, SegmentError, SegmentWriter, Space, file_name};

/// A message for several queues has its data in the segment once from this length on; below, a copy
/// a queue is simpler to give back.
const SHARE_FROM: usize = 4096;

/// How much of the log is read at once, in bytes: what is committed meanwhile waits for no more.
const READ_BYTES: usize = 1 << 20;

/// A message that is to be moved, and where its batch starts in the file.
struct Move {
    queue: QueueId,
    entry: Entry,
    batch_at: u64,
}

/// The file that messages are moved from.
struct Plan {
    handles: Handles,
    end: u64,
    /// In the order of the segment.
    moves: Vec<Move>,
    /// Memory for the file; what it has of it already.
    memory: Buffer,
}

/// Memory that several may look into, and one have back afterwards.
struct Shared(Arc<Buffer>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The file, in memory as far as that is worth it.
struct Source {
    bytes: Bytes,
    file: Arc<dyn DiskFile>,
}

impl Plan {
    /// Reads the file, unless it is in memory, or so little of it lives that many reads of parts
    /// are cheaper than one of all.
    fn read(&mut self) -> io::Result<()> {
        let live: u64 = self.moves.iter().map(|one| u64::from(one.entry.len)).sum();
        if self.memory.len() as u64 >= self.end || live * 4 <= self.end {
            return Ok(());
        }
        self.memory.resize(self.end as usize);
        let mut read = 0;
        for piece in self.memory.bytes_mut().chunks_mut(READ_BYTES) {
            let count = self.handles.write.read_at(piece, read as u64)?;
            read += count;
            if count < piece.len() {
                break;
            }
        }
        self.memory.resize(read);
        Ok(())
    }
}

impl Source {
    fn new(memory: &Arc<Buffer>, handles: &Handles) -> Self {
        let bytes = Bytes::from_owner(Shared(Arc::clone(memory)));
        Self { bytes, file: Arc::clone(&handles.read) }
    }

    fn published(&self, one: &Move) -> io::Result<Option<Published>> {
        let start = (one.batch_at + u64::from(one.entry.offset)) as usize;
        let len = HEAD_LEN + one.entry.len as usize;
        let record = if start + len <= self.bytes.len() {
            self.bytes.slice(start..start + len)
        } else {
            let mut bytes = vec![0; len];
            let read = self.file.read_at(&mut bytes, start as u64)?;
            bytes.truncate(read);
            Bytes::from(bytes)
        };
        Ok(Published::read(&record, one.entry.batch, one.entry.offset))
    }
}

fn into_io(error: SegmentError) -> io::Error {
    match error {
        SegmentError::Io { error, .. } => error,
        other => io::Error::other(other),
    }
}

impl Store {
    /// Moves what lives in the file with this number in the ring, all of whose batches are before
    /// `limit`, to a segment.
    pub(super) fn flush_file(
        &self,
        pending: &mut Pending,
        file: usize,
        limit: u64,
    ) -> io::Result<()> {
        let Some(mut plan) = self.plan_moves(file, limit) else { return Ok(()) };
        plan.read()?;
        let memory = Arc::new(plan.memory);
        let id = self.next_segment(pending);
        let source = Source::new(&memory, &plan.handles);
        let written = self.write_segment(id, &source, &plan.moves);
        drop(source);
        let (writer, damaged) = match written {
            Ok(done) => done,
            Err(error) => {
                // What was begun must not hold space that a full disk lacks.
                let _ = self.disk.remove(&file_name(id));
                return Err(into_io(error));
            }
        };
        let (segment, runs) = match writer.finish() {
            Ok(done) => done,
            Err(error) => {
                let _ = self.disk.remove(&file_name(id));
                return Err(into_io(error));
            }
        };
        let space = Space::new(&segment, &runs, &[]);
        let mut held = Held { segment: Arc::new(segment), space };
        let mut core = self.core();
        if let Some(memory) = Arc::into_inner(memory) {
            core.kept.moved(memory);
        }
        core.index.move_to_segment(limit, runs, &mut held);
        core.segments.insert(id, held);
        if damaged && let Some(file) = core.ring.files.get_mut(file) {
            file.damaged = true;
        }
        Ok(())
    }

    /// What is to be moved, if there is anything.
    fn plan_moves(&self, file: usize, limit: u64) -> Option<Plan> {
        let mut core = self.core();
        let mut moves = Vec::new();
        for id in core.index.queues_before(limit) {
            let Some(queue) = core.index.queues.get(&id) else { continue };
            let from = moves.len();
            for entry in queue.tail.before(limit) {
                let Some((_, batch_at)) = core.ring.locate(entry.batch) else { continue };
                moves.push(Move { queue: id, entry: *entry, batch_at });
            }
            moves[from..].sort_by_key(|one| one.entry.level);
        }
        let file = core.ring.files.get(file)?;
        let (handles, first, end) = (file.handles.clone(), file.first, file.end);
        if moves.is_empty() {
            return None;
        }
        Some(Plan { handles, end, moves, memory: core.kept.take(first, end as usize) })
    }

    /// Writes the messages; whether any could not be read.
    fn write_segment<'a>(
        &'a self,
        id: u64,
        source: &Source,
        moves: &[Move],
    ) -> Result<(SegmentWriter<'a>, bool), SegmentError> {
        let failed = |error| SegmentError::Io { id, error };
        let mut writer = SegmentWriter::create(&*self.disk, id, self.options.extent_size)?;
        let mut shared: HashMap<(u64, u32), DataRef> = HashMap::new();
        let mut damaged = false;
        for one in moves {
            let Some(published) = source.published(one).map_err(failed)? else {
                let (queue, seq) = (one.queue, one.entry.seq);
                tracing::error!(queue, seq, "a message in the log is damaged");
                damaged = true;
                continue;
            };
            let mine =
                |target: &&crate::Target| target.queue == one.queue && target.seq == one.entry.seq;
            let Some(target) = published.targets.iter().find(mine) else { continue };
            let head = RecordHead {
                queue: one.queue,
                seq: one.entry.seq,
                level: one.entry.level,
                weight: published.weight,
                expires: target.expires,
            };
            let key = (one.entry.batch, one.entry.offset);
            let shares = published.targets.len() > 1 && published.data.len() >= SHARE_FROM;
            match shared.get(&key) {
                Some(data) => writer.add_reference(&head, *data)?,
                None => {
                    let data = writer.add(&head, &published.data)?;
                    if shares {
                        shared.insert(key, data);
                    }
                }
            }
        }
        Ok((writer, damaged))
    }
}
