//! Opens a segment and reads records.
//!
//! Invariant: data is handed out only when its checksum is right and its head says the queue, level
//! and seq that were asked for. What cannot be read is reported for its seq, never left out.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use crc32c::crc32c;

use super::format::{self, DataRef, HEAD_BYTES, Head, TRAILER_BYTES};
use super::index::{self, Extent, Index};
use super::run::{Piece, ReadPlan, Run};
use super::scan;
use super::{Damage, Damaged, SegmentError, file_name};
use crate::disk::{Access, BLOCK, Disk, DiskFile};

/// How much is read at once, in bytes, unless one granule or record is longer.
const READ_BYTES: u64 = 1 << 20;

/// References whose data is so near are read together, in bytes.
const REFERENCE_GAP_BYTES: u64 = 64 << 10;

/// An open segment.
pub struct Segment {
    id: u64,
    file: Box<dyn DiskFile>,
    len: u64,
    extents: Vec<Extent>,
}

/// A record that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRecord {
    /// Its seq.
    pub seq: u64,
    /// When it expires, in the writer's terms; zero if it is damaged.
    pub expires: u64,
    /// Its data.
    pub data: Result<Bytes, Damaged>,
}

impl Segment {
    pub(super) fn new(id: u64, file: Box<dyn DiskFile>, len: u64, extents: Vec<Extent>) -> Segment {
        Segment { id, file, len, extents }
    }

    /// Opens a segment that was finished: the runs of all its records, and what of its header and
    /// index is damaged. With a damaged index the runs are those of the records that are still
    /// there.
    pub fn open(
        disk: &dyn Disk,
        id: u64,
    ) -> Result<(Segment, Vec<Run>, Vec<Damage>), SegmentError> {
        let file = disk.open(&file_name(id), Access::Buffered).map_err(SegmentError::io(id))?;
        let len = file.len().map_err(SegmentError::io(id))?;
        let mut damage = Vec::new();
        let (header, _) = read_through(&*file, 0, BLOCK.min(len as usize));
        if !format::check_header(&header, id)? {
            damage.push(Damage::Header);
        }
        let index = match read_index(&*file, id, len)? {
            Ok(index) => index,
            Err(why) => {
                damage.push(Damage::Index(why));
                let (index, gaps) = scan::rebuild(&*file, id, len);
                damage.extend(gaps);
                index
            }
        };
        Ok((Segment::new(id, file, len, index.extents), index.runs, damage))
    }

    /// Removes the file of a segment, finished or not; one that does not exist is fine. That the
    /// name is gone is durable once [`DIRECTORY`](super::DIRECTORY) is synced.
    pub fn remove(disk: &dyn Disk, id: u64) -> io::Result<()> {
        match disk.remove(&file_name(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The length of its file, in bytes, with what was given back.
    pub fn file_bytes(&self) -> u64 {
        self.len
    }

    /// The parts of it that are given back as a whole.
    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    pub(super) fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.punch(offset, len)
    }

    /// Whether a part of the file reads as zeros.
    pub(crate) fn is_zeros(&self, extent: &Extent) -> bool {
        let mut offset = extent.offset;
        while offset < extent.end() {
            let len = (extent.end() - offset).min(READ_BYTES) as usize;
            let (bytes, error) = read_through(&*self.file, offset, len);
            if error.is_some() || bytes.iter().any(|byte| *byte != 0) {
                return false;
            }
            offset += len as u64;
        }
        extent.len > 0
    }

    /// Reads what a plan of one of its runs asks for, in order. The answer may end before the
    /// plan does, once the plan's budget is used up, but has at least one record.
    pub fn read(&self, plan: &ReadPlan) -> Vec<ReadRecord> {
        assert_eq!(plan.segment, self.id, "a plan is carried out where its run lies");
        let mut output = Output { left: plan.budget_bytes as u64, ..Output::default() };
        let mut pieces = &plan.pieces[..];
        while !pieces.is_empty() && !output.is_full() {
            let (now, later) = pieces.split_at(together(pieces));
            let chunk = self.read_chunk(now[0].offset, now[now.len() - 1].end());
            let found: Vec<Found> =
                now.iter().flat_map(|piece| self.find(plan, piece, &chunk)).collect();
            let used: usize = found.iter().map(|found| found.data.len()).sum();
            let share = used * 2 >= chunk.bytes.len();
            for found in found {
                if output.is_full() {
                    break;
                }
                output.push(found, &chunk, share);
            }
            pieces = later;
        }
        self.follow(&mut output);
        output.records
    }

    fn read_chunk(&self, begin: u64, end: u64) -> Chunk {
        let end = end.min(self.len).max(begin);
        let (bytes, error) = read_through(&*self.file, begin, (end - begin) as usize);
        Chunk { begin, bytes: bytes.into(), error }
    }

    /// The wanted records of a piece, in order.
    fn find(&self, plan: &ReadPlan, piece: &Piece, chunk: &Chunk) -> Vec<Found> {
        let wanted = &plan.wanted[piece.wanted.clone()];
        let lost = chunk.error.map_or(Damaged::Missing, Damaged::Unreadable);
        let mut found: Vec<Option<Found>> = wanted.iter().map(|_| None).collect();
        let end = ((piece.end() - chunk.begin) as usize).min(chunk.bytes.len());
        let mut at = (piece.offset - chunk.begin) as usize;
        let mut open = wanted.len();
        while at < end && open > 0 {
            let place = chunk.begin + at as u64;
            let Some(head) = format::decode_head(&chunk.bytes[at..end], self.id, place) else {
                at += format::UNIT as usize;
                continue;
            };
            let record = &head.record;
            let own = (record.queue, record.level) == (plan.queue, plan.level);
            let seq = wanted.binary_search(&record.seq).ok().filter(|_| own);
            if let Some(number) = seq.filter(|number| found[*number].is_none()) {
                let data = at + HEAD_BYTES..at + HEAD_BYTES + head.data_len as usize;
                found[number] = Some(Found::new(head, data, chunk, end));
                open -= 1;
            }
            at = at.saturating_add(head.total() as usize);
        }
        let found = found.into_iter().zip(wanted);
        found.map(|(found, seq)| found.unwrap_or_else(|| Found::lost(*seq, lost))).collect()
    }

    /// Reads the data that references share.
    fn follow(&self, output: &mut Output) {
        let mut references = &output.references[..];
        let mut last: Option<(DataRef, Result<Bytes, Damaged>)> = None;
        while !references.is_empty() {
            let (now, later) = references.split_at(self.near(references));
            let range = now[0].1.range().filter(|(_, end)| *end <= self.len);
            let chunk = range.map(|(begin, _)| {
                let ends = now.iter().filter_map(|(_, to)| Some(to.range()?.1));
                self.read_chunk(begin, ends.max().unwrap_or(begin))
            });
            let used: u64 = now.iter().map(|(_, to)| u64::from(to.len)).sum();
            for (number, to) in now {
                let data = match (&last, &chunk) {
                    (Some((same, data)), _) if same == to => data.clone(),
                    (_, Some(chunk)) => shared_data(to, chunk, used),
                    (_, None) => Err(Damaged::Reference),
                };
                let record = &mut output.records[*number];
                record.expires = if data.is_ok() { record.expires } else { 0 };
                record.data = data.clone();
                last = Some((*to, data));
            }
            references = later;
        }
    }

    /// How many references, at least one, have data so near that it is read at once.
    fn near(&self, references: &[(usize, DataRef)]) -> usize {
        let first = references[0].1.range().filter(|(_, end)| *end <= self.len);
        let Some((begin, mut last)) = first else { return 1 };
        let mut count = 1;
        for (_, to) in &references[1..] {
            let Some((from, end)) = to.range() else { break };
            let near = from >= begin && from <= last.saturating_add(REFERENCE_GAP_BYTES);
            if !near || end > self.len || end > begin.saturating_add(READ_BYTES).max(last) {
                break;
            }
            last = last.max(end);
            count += 1;
        }
        count
    }
}

/// How many pieces, at least one, are read at once.
fn together(pieces: &[Piece]) -> usize {
    let begin = pieces[0].offset;
    let joins = |pair: &[Piece]| {
        pair[1].offset >= pair[0].end()
            && pair[1].offset - pair[0].end() <= BLOCK as u64
            && pair[1].end() - begin <= READ_BYTES
    };
    1 + pieces.windows(2).take_while(|pair| joins(pair)).count()
}

/// Bytes of the file.
struct Chunk {
    begin: u64,
    bytes: Bytes,
    /// Why some of them are zeros and not what the disk has.
    error: Option<io::ErrorKind>,
}

impl Chunk {
    /// A part: shared with the others if most of them are used, so that a few small records do not
    /// keep much memory.
    fn part(&self, range: Range<usize>, share: bool) -> Bytes {
        if share { self.bytes.slice(range) } else { Bytes::copy_from_slice(&self.bytes[range]) }
    }
}

fn shared_data(to: &DataRef, chunk: &Chunk, used: u64) -> Result<Bytes, Damaged> {
    let wrong = chunk.error.map_or(Damaged::Reference, Damaged::Unreadable);
    let (begin, end) = to.range().ok_or(wrong)?;
    let begin = begin.checked_sub(chunk.begin).ok_or(wrong)? as usize;
    let range = begin..(end - chunk.begin) as usize;
    let bytes = chunk.bytes.get(range.clone()).ok_or(wrong)?;
    if crc32c(bytes) != to.crc {
        return Err(wrong);
    }
    Ok(chunk.part(range, used * 2 >= chunk.bytes.len() as u64))
}

/// A record in a chunk.
struct Found {
    seq: u64,
    expires: u64,
    is_reference: bool,
    data: Range<usize>,
    damaged: Option<Damaged>,
}

impl Found {
    fn lost(seq: u64, why: Damaged) -> Found {
        Found { seq, expires: 0, is_reference: false, data: 0..0, damaged: Some(why) }
    }

    /// A record whose head is right, with its data checked.
    fn new(head: Head, data: Range<usize>, chunk: &Chunk, end: usize) -> Found {
        let wrong = chunk.error.map_or(Damaged::Data, Damaged::Unreadable);
        let bytes = chunk.bytes.get(data.clone()).filter(|_| data.end <= end);
        if bytes.is_none_or(|bytes| crc32c(bytes) != head.data_crc) {
            return Found::lost(head.record.seq, wrong);
        }
        Found {
            seq: head.record.seq,
            expires: head.record.expires,
            is_reference: head.is_reference,
            data,
            damaged: None,
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Output {
    records: Vec<ReadRecord>,
    /// The records whose data is elsewhere, and where.
    references: Vec<(usize, DataRef)>,
    /// How many bytes of data may still come.
    left: u64,
}

impl Output {
    fn is_full(&self) -> bool {
        self.left == 0 && !self.records.is_empty()
    }

    fn push(&mut self, found: Found, chunk: &Chunk, share: bool) {
        let mut bytes = found.data.len() as u64;
        let data = match found.damaged {
            Some(why) => Err(why),
            None if found.is_reference => {
                let to = format::decode_reference(&chunk.bytes[found.data]);
                if let Some(to) = to {
                    bytes = u64::from(to.len);
                    self.references.push((self.records.len(), to));
                }
                Err(Damaged::Reference)
            }
            None => Ok(chunk.part(found.data, share)),
        };
        self.left = self.left.saturating_sub(bytes);
        self.records.push(ReadRecord { seq: found.seq, expires: found.expires, data });
    }
}

/// Reads the index of segment `id`; the inner error says how it is damaged.
fn read_index(
    file: &dyn DiskFile,
    id: u64,
    len: u64,
) -> Result<Result<Index, &'static str>, SegmentError> {
    let Some(end) = len.checked_sub(TRAILER_BYTES as u64).filter(|end| *end >= BLOCK as u64) else {
        return Ok(Err("too short for a trailer"));
    };
    let (bytes, _) = read_through(file, end, TRAILER_BYTES);
    let Some(trailer) = format::decode_trailer(&bytes, id)? else {
        return Ok(Err("no valid trailer"));
    };
    let fits = trailer.offset >= BLOCK as u64
        && trailer.offset.checked_add(trailer.len).is_some_and(|last| last == end);
    if !fits {
        return Ok(Err("not where the trailer says"));
    }
    let (bytes, _) = read_through(file, trailer.offset, trailer.len as usize);
    if bytes.len() as u64 != trailer.len || crc32c(&bytes) != trailer.crc {
        return Ok(Err("wrong checksum"));
    }
    Ok(index::decode(&bytes, id, trailer.offset))
}

/// Reads a part of a file, up to its end. Where the disk fails it is read block by block, and what
/// cannot be read is zeros; the error is the last one then.
pub(crate) fn read_through(
    file: &dyn DiskFile,
    offset: u64,
    len: usize,
) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut bytes = vec![0; len];
    if let Ok(read) = file.read_at(&mut bytes, offset) {
        bytes.truncate(read);
        return (bytes, None);
    }
    let (mut error, mut at) = (None, 0);
    while at < len {
        let place = offset + at as u64;
        let next = (super::block_up(place + 1) - offset).min(len as u64) as usize;
        let block = &mut bytes[at..next];
        match file.read_at(block, place) {
            Ok(read) if read < block.len() => {
                bytes.truncate(at + read);
                return (bytes, error);
            }
            Ok(_) => {}
            Err(failed) => {
                block.fill(0);
                error = Some(failed.kind());
            }
        }
        at = next;
    }
    (bytes, error)
}
