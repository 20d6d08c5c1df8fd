//! Tests of segments: what was written comes back, and nothing else ever does.

mod damage;
mod model;
mod whole;

use bytes::Bytes;

use super::reader::ReadRecord;
use super::{Damaged, DataRef, RecordHead, Run, Segment, SegmentWriter};
use crate::memory_disk::MemoryDisk;

/// A record as a test wrote it.
#[derive(Debug, Clone)]
struct Written {
    head: RecordHead,
    data: Vec<u8>,
    /// Where in the file its bytes are, those that it shares included.
    places: Vec<std::ops::Range<u64>>,
}

fn head(queue: u64, level: u8, seq: u64) -> RecordHead {
    let weight = (seq % 1000) as u32 + 1;
    RecordHead { queue, seq, level, weight, expires: seq * 7 + 1 }
}

/// Bytes that depend on everything, and that have no zeros.
fn body(queue: u64, seq: u64, len: usize) -> Vec<u8> {
    let mut state = queue.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seq;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8 | 1
    };
    (0..len).map(|_| next()).collect()
}

/// Writes records as they are asked for, and remembers them.
struct Author<'a> {
    writer: SegmentWriter<'a>,
    written: Vec<Written>,
}

impl<'a> Author<'a> {
    fn new(disk: &'a MemoryDisk, id: u64, extent_bytes: usize) -> Author<'a> {
        let writer = SegmentWriter::create(disk, id, extent_bytes).unwrap();
        Author { writer, written: Vec::new() }
    }

    fn add(&mut self, head: RecordHead, len: usize) -> (DataRef, usize) {
        let data = body(head.queue, head.seq, len);
        let to = self.writer.add(&head, &data).unwrap();
        let end = self.writer.file_bytes();
        let begin = end - super::format::total(len);
        self.written.push(Written { head, data, places: std::iter::once(begin..end).collect() });
        (to, self.written.len() - 1)
    }

    fn refer(&mut self, head: RecordHead, (to, number): (DataRef, usize)) {
        self.writer.add_reference(&head, to).unwrap();
        let end = self.writer.file_bytes();
        let begin = end - super::format::total(super::format::REFERENCE_BYTES);
        let target = self.written[number].clone();
        let places = vec![begin..end, target.places[0].clone()];
        self.written.push(Written { head, data: target.data, places });
    }
}

/// A small segment with all there is: several queues and levels, gaps, references, an empty body,
/// several extents, and a record longer than an extent.
fn small(disk: &MemoryDisk, id: u64) -> Vec<Written> {
    let mut author = Author::new(disk, id, 600);
    let mut shared = Vec::new();
    for seq in [1, 2, 3, 5, 8] {
        shared.push(author.add(head(1, 0, seq), 40 + seq as usize));
    }
    author.add(head(1, 4, 6), 0);
    author.add(head(1, 4, 7), 700);
    for (seq, to) in [(10, 0), (11, 0), (12, 1), (13, 4)] {
        author.refer(head(2, 0, seq), shared[to]);
    }
    author.add(head(2, 0, 14), 30);
    author.add(head(3, 255, u64::MAX / 8), 64);
    author.writer.finish().unwrap();
    author.written
}

/// Everything that a plan of all live seqs gives.
fn read_all(segment: &Segment, run: &Run, budget: usize) -> Vec<ReadRecord> {
    let mut records = Vec::new();
    let wanted: Vec<u64> = run.live_from(0).collect();
    let mut rest = &wanted[..];
    while !rest.is_empty() {
        let read = segment.read(&run.plan(rest, budget));
        assert!(!read.is_empty(), "each read goes forward");
        for (record, seq) in read.iter().zip(rest) {
            assert_eq!(record.seq, *seq, "no seq is left out");
        }
        rest = &rest[read.len()..];
        records.extend(read);
    }
    records
}

/// What is read for a record: `None` if no run has it.
fn find(segment: &Segment, runs: &[Run], head: &RecordHead) -> Option<Result<Bytes, Damaged>> {
    let run = runs.iter().find(|run| {
        (run.queue(), run.level()) == (head.queue, head.level) && run.contains(head.seq)
    })?;
    let read = segment.read(&run.plan(&[head.seq], 1));
    assert_eq!(read.len(), 1);
    if read[0].data.is_ok() {
        assert_eq!(read[0].expires, head.expires);
    }
    Some(read[0].data.clone())
}
