//! A batch: what is written with one write and made durable with one sync, all or nothing.
//!
//! ```text
//! 0  magic "LVB1"
//! 4  checksum of bytes 8 to 64
//! 8  epoch of the file   u64   a batch of the file's earlier use is not taken for one of this
//! 16 number              u64   dense: n + 1 is written once n is durable
//! 24 length              u32   of the whole, without padding
//! 28 records             u32
//! 32 checksum of all records' heads (which have their bodies')
//! 36 reserved, zero
//! 64 records
//! ```

use bytes::Bytes;

use super::LogDamage;
use super::record::{self, HEAD_LEN, Kind, Record, Target, u32_at, u64_at};
use crate::buffer::Buffer;
use crate::{QueueId, Seq, SeqRange};

/// The length of a batch's header.
pub(crate) const HEADER_LEN: usize = 64;
const MAGIC: [u8; 4] = *b"LVB1";

/// A batch that is being filled.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Its number.
    pub(crate) number: u64,
    records: u32,
    buffer: Buffer,
    scratch: Vec<u8>,
}

impl Batch {
    pub(crate) fn new(number: u64, mut buffer: Buffer) -> Self {
        buffer.clear();
        buffer.resize(HEADER_LEN);
        Self { number, records: 0, buffer, scratch: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// The body of the record at `offset`, of `len` bytes.
    pub(crate) fn body(&self, offset: u32, len: u32) -> &[u8] {
        let start = offset as usize + HEAD_LEN;
        &self.buffer.bytes()[start..start + len as usize]
    }

    /// Appends a record; its offset and the length of its body.
    fn record(&mut self, kind: Kind, parts: &[&[u8]]) -> (u32, u32) {
        let offset = self.buffer.len() as u32;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.buffer.push(&record::unsealed_head(kind, len as u32));
        for part in parts {
            self.buffer.push(part);
        }
        self.records += 1;
        (offset, len as u32)
    }

    pub(crate) fn define(&mut self, number: u64, bytes: &[u8]) {
        self.record(Kind::Define, &[&number.to_le_bytes(), bytes]);
    }

    pub(crate) fn publish(
        &mut self,
        weight: u32,
        targets: &[Target],
        data: [&[u8]; 2],
    ) -> (u32, u32) {
        let mut prefix = std::mem::take(&mut self.scratch);
        prefix.clear();
        record::publish_prefix(weight, targets.len(), &mut prefix);
        targets.iter().for_each(|target| record::target(target, &mut prefix));
        let place = self.record(Kind::Publish, &[&prefix, data[0], data[1]]);
        self.scratch = prefix;
        place
    }

    pub(crate) fn settle(&mut self, queue: QueueId, seqs: &[SeqRange]) {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        body.extend_from_slice(&queue.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        let mut count = 0_u32;
        for range in seqs {
            let (mut first, last) = (range.first, range.last);
            // One piece holds 32 bits; only a purge of a queue with gaps needs more than one.
            while first <= last {
                let more = (last - first).min(u64::from(u32::MAX)) as u32;
                body.extend_from_slice(&first.to_le_bytes());
                body.extend_from_slice(&more.to_le_bytes());
                count += 1;
                match first.checked_add(u64::from(more) + 1) {
                    Some(next) => first = next,
                    None => break,
                }
            }
        }
        body[8..12].copy_from_slice(&count.to_le_bytes());
        self.record(Kind::Settle, &[&body]);
        self.scratch = body;
    }

    pub(crate) fn returned(&mut self, queue: QueueId, returns: &[(Seq, u32)]) {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        body.extend_from_slice(&queue.to_le_bytes());
        body.extend_from_slice(&(returns.len() as u32).to_le_bytes());
        for (seq, count) in returns {
            body.extend_from_slice(&seq.to_le_bytes());
            body.extend_from_slice(&count.to_le_bytes());
        }
        self.record(Kind::Return, &[&body]);
        self.scratch = body;
    }

    pub(crate) fn delivered(&mut self, queue: QueueId, through: Seq) {
        self.record(Kind::Delivered, &[&queue.to_le_bytes(), &through.to_le_bytes()]);
    }

    pub(crate) fn dropped(&mut self, queue: QueueId) {
        self.record(Kind::Drop, &[&queue.to_le_bytes()]);
    }

    /// Writes header and checksums; then the batch can go to a file of that epoch.
    pub(crate) fn seal(&mut self, epoch: u64) -> &[u8] {
        let (number, len, records) = (self.number, self.buffer.len(), self.records);
        let bytes = self.buffer.bytes_mut();
        let mut at = HEADER_LEN;
        self.scratch.clear();
        while at < len {
            let next = at + record::seal(&mut bytes[at..], number, at as u32);
            self.scratch.extend_from_slice(&bytes[at..at + HEAD_LEN]);
            at = next;
        }
        let heads = crc32c::crc32c(&self.scratch);
        let header = &mut bytes[..HEADER_LEN];
        header.fill(0);
        header[..4].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&epoch.to_le_bytes());
        header[16..24].copy_from_slice(&number.to_le_bytes());
        header[24..28].copy_from_slice(&(len as u32).to_le_bytes());
        header[28..32].copy_from_slice(&records.to_le_bytes());
        header[32..36].copy_from_slice(&heads.to_le_bytes());
        let crc = crc32c::crc32c(&header[8..]);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        self.buffer.padded()
    }
}

/// A batch's header as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u64,
    /// Of the whole batch, without padding.
    pub(crate) len: usize,
    records: u32,
    heads: u32,
}

impl Header {
    /// Reads a header of that epoch; none if there is none.
    pub(crate) fn decode(bytes: &[u8], epoch: u64) -> Option<Self> {
        let bytes = bytes.get(..HEADER_LEN)?;
        let whole = bytes[..4] == MAGIC
            && u32_at(bytes, 4) == crc32c::crc32c(&bytes[8..])
            && u64_at(bytes, 8) == epoch;
        let len = u32_at(bytes, 24) as usize;
        (whole && len >= HEADER_LEN).then(|| Self {
            number: u64_at(bytes, 16),
            len,
            records: u32_at(bytes, 28),
            heads: u32_at(bytes, 32),
        })
    }

    /// Checks every record; each with its offset if all are whole.
    pub(crate) fn records(&self, batch: &Bytes) -> Option<Vec<(u32, Bytes)>> {
        let mut records = Vec::with_capacity((self.records as usize).min(self.len / HEAD_LEN));
        let (mut at, mut heads) = (HEADER_LEN, 0);
        while at < self.len {
            let record = whole_record(batch, self.number, at, self.len)?;
            heads = crc32c::crc32c_append(heads, &record[..HEAD_LEN]);
            let next = at + record.len();
            records.push((at as u32, record));
            at = next;
        }
        (heads == self.heads && records.len() == self.records as usize).then_some(records)
    }

    /// The records of a damaged batch that are whole, and how many bytes are not.
    pub(crate) fn salvage(&self, batch: &Bytes) -> (Vec<(u32, Bytes)>, usize) {
        let mut records = Vec::new();
        let (mut at, mut lost) = (HEADER_LEN, 0);
        while at < self.len {
            if let Some(record) = whole_record(batch, self.number, at, self.len) {
                let next = at + record.len();
                records.push((at as u32, record));
                at = next;
                continue;
            }
            // A head that is whole says where the next record is; otherwise it is looked for.
            let head = batch.get(at..).and_then(|b| record::check_head(b, self.number, at as u32));
            let step = head.map_or(1, |len| HEAD_LEN + len).min(self.len - at);
            lost += step;
            at += step;
        }
        (records, lost)
    }
}

fn whole_record(batch: &Bytes, number: u64, at: usize, end: usize) -> Option<Bytes> {
    let len = record::check_head(batch.get(at..end)?, number, at as u32)?;
    let record = batch.get(at..at.checked_add(HEAD_LEN)?.checked_add(len)?)?;
    (at + record.len() <= end && record::check_body(record)).then(|| batch.slice_ref(record))
}

/// A publish that is read alone.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) weight: u32,
    pub(crate) targets: Vec<Target>,
    pub(crate) data: Bytes,
}

impl Published {
    /// Reads the body of a record that is not sealed yet, and so cannot be checked.
    pub(crate) fn unsealed(body: Bytes) -> Option<Self> {
        match Record::publish(body)? {
            Record::Publish { weight, targets, data } => Some(Self { weight, targets, data }),
            _ => None,
        }
    }

    /// Reads the record at `offset` of batch `number`, head and body; none if it is not that one.
    pub(crate) fn read(record: &Bytes, number: u64, offset: u32) -> Option<Self> {
        let len = record::check_head(record, number, offset)?;
        if record.len() != HEAD_LEN + len || !record::check_body(record) {
            return None;
        }
        match Record::decode(record) {
            Ok(Record::Publish { weight, targets, data }) => Some(Self { weight, targets, data }),
            Ok(_) | Err(LogDamage::UnknownKind { .. } | LogDamage::Malformed) => None,
        }
    }
}

/// Whether these bytes were a batch's header of this epoch once, and are not any more.
pub(crate) fn is_damaged_header(bytes: &[u8], epoch: u64) -> bool {
    let Some(bytes) = bytes.get(..HEADER_LEN) else { return false };
    let is_whole = u32_at(bytes, 4) == crc32c::crc32c(&bytes[8..]);
    let has_magic = bytes[..4] == MAGIC;
    // With a right checksum it is one of the file's earlier use if the epoch is another.
    has_magic != is_whole && (has_magic || u64_at(bytes, 8) == epoch)
}
