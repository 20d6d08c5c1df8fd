//! Records: what a batch is made of. A head of [`HEAD_LEN`] bytes with checksums of its own, then
//! the body.
//!
//! ```text
//! 0  head checksum  over bytes 4 to 16, the batch's number and the record's offset in it
//! 4  body checksum
//! 8  body length    u32
//! 12 kind           u8
//! 13 flags          u8: 1 = a reader that does not know the kind must refuse the log
//! 14 reserved       u16
//! ```
//!
//! The head knows its place, so a record that is read alone, later, cannot be taken for another.
//! All numbers are little-endian.

use bytes::Bytes;

use super::LogDamage;
use crate::{QueueId, Seq, SeqRange};

/// The length of a record's head.
pub(crate) const HEAD_LEN: usize = 16;
/// A reader that does not know the kind must not go on.
const REQUIRED: u8 = 1;
/// A target of a publish: queue, seq, expiry, level.
const TARGET_LEN: usize = 25;

/// Where in a queue a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The queue.
    pub queue: QueueId,
    /// Its place there; larger than any before.
    pub seq: Seq,
    /// When it expires, in the caller's time.
    pub expires: u64,
    /// The level that it stands in.
    pub level: u8,
}

/// A record as it is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// The `number`th change of the definitions.
    Define { number: u64, bytes: Bytes },
    /// A message for one queue or several.
    Publish { weight: u32, targets: Vec<Target>, data: Bytes },
    /// Messages are gone.
    Settle { queue: QueueId, seqs: Vec<SeqRange> },
    /// Messages came back, each with how often by now.
    Return { queue: QueueId, returns: Vec<(Seq, u32)> },
    /// Messages up to there may have been delivered.
    Delivered { queue: QueueId, through: Seq },
    /// The queue is gone.
    Drop { queue: QueueId },
}

/// The kinds of records, as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Define = 1,
    Publish = 2,
    Settle = 3,
    Return = 4,
    Delivered = 5,
    Drop = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all =
            [Self::Define, Self::Publish, Self::Settle, Self::Return, Self::Delivered, Self::Drop];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A head without its checksums, which come when the batch is sealed.
pub(crate) fn unsealed_head(kind: Kind, len: u32) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[8..12].copy_from_slice(&len.to_le_bytes());
    head[12] = kind as u8;
    head[13] = REQUIRED;
    head
}

/// Writes the checksums of a record at `offset` of batch `batch` whose bytes start at `record`;
/// its whole length.
pub(crate) fn seal(record: &mut [u8], batch: u64, offset: u32) -> usize {
    let len = u32_at(record, 8) as usize;
    let body = crc32c::crc32c(&record[HEAD_LEN..HEAD_LEN + len]);
    record[4..8].copy_from_slice(&body.to_le_bytes());
    let head = head_crc(&record[..HEAD_LEN], batch, offset);
    record[..4].copy_from_slice(&head.to_le_bytes());
    HEAD_LEN + len
}

fn head_crc(head: &[u8], batch: u64, offset: u32) -> u32 {
    // In one piece: three calls cost more than the sum itself.
    let mut all = [0; HEAD_LEN - 4 + 12];
    all[..12].copy_from_slice(&head[4..HEAD_LEN]);
    all[12..20].copy_from_slice(&batch.to_le_bytes());
    all[20..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c(&all)
}

/// The body's length, if the head at `offset` of batch `batch` is whole.
pub(crate) fn check_head(head: &[u8], batch: u64, offset: u32) -> Option<usize> {
    let head = head.get(..HEAD_LEN)?;
    (head_crc(head, batch, offset) == u32_at(head, 0)).then(|| u32_at(head, 8) as usize)
}

/// Whether a record with a whole head has a whole body.
pub(crate) fn check_body(record: &[u8]) -> bool {
    crc32c::crc32c(&record[HEAD_LEN..]) == u32_at(record, 4)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// What stands in front of a publish's data.
pub(crate) fn publish_prefix(weight: u32, targets: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&weight.to_le_bytes());
    out.extend_from_slice(&(targets as u32).to_le_bytes());
}

pub(crate) fn target(target: &Target, out: &mut Vec<u8>) {
    out.extend_from_slice(&target.queue.to_le_bytes());
    out.extend_from_slice(&target.seq.to_le_bytes());
    out.extend_from_slice(&target.expires.to_le_bytes());
    out.push(target.level);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u64(&mut self) -> Option<u64> {
        let value = self.bytes.get(self.at..self.at + 8)?;
        self.at += 8;
        Some(u64::from_le_bytes(value.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        let value = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        Some(u32::from_le_bytes(value.try_into().ok()?))
    }

    fn u8(&mut self) -> Option<u8> {
        let value = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(value)
    }

    /// A count of things of `len` bytes each that really are there.
    fn count(&mut self, len: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count.checked_mul(len)? <= self.bytes.len() - self.at).then_some(count)
    }
}

impl Record {
    /// Reads a whole record (head and body), whose checksums are right.
    pub(crate) fn decode(record: &Bytes) -> Result<Self, LogDamage> {
        let Some(kind) = Kind::from_byte(record[12]) else {
            let required = record[13] & REQUIRED != 0;
            return Err(LogDamage::UnknownKind { kind: record[12], required });
        };
        Self::body(kind, record.slice(HEAD_LEN..)).ok_or(LogDamage::Malformed)
    }

    /// Reads the body of a publish.
    pub(crate) fn publish(body: Bytes) -> Option<Self> {
        Self::body(Kind::Publish, body)
    }

    fn body(kind: Kind, body: Bytes) -> Option<Self> {
        let mut reader = Reader { bytes: &body, at: 0 };
        Some(match kind {
            Kind::Define => Self::Define { number: reader.u64()?, bytes: body.slice(8..) },
            Kind::Publish => {
                let weight = reader.u32()?;
                let count = reader.count(TARGET_LEN)?;
                let mut targets = Vec::with_capacity(count);
                for _ in 0..count {
                    let (queue, seq) = (reader.u64()?, reader.u64()?);
                    let (expires, level) = (reader.u64()?, reader.u8()?);
                    targets.push(Target { queue, seq, expires, level });
                }
                let at = reader.at;
                Self::Publish { weight, targets, data: body.slice(at..) }
            }
            Kind::Settle => {
                let queue = reader.u64()?;
                let count = reader.count(12)?;
                let mut seqs = Vec::with_capacity(count);
                for _ in 0..count {
                    let first = reader.u64()?;
                    let more = u64::from(reader.u32()?);
                    seqs.push(SeqRange { first, last: first.saturating_add(more) });
                }
                Self::Settle { queue, seqs }
            }
            Kind::Return => {
                let queue = reader.u64()?;
                let count = reader.count(12)?;
                let mut returns = Vec::with_capacity(count);
                for _ in 0..count {
                    returns.push((reader.u64()?, reader.u32()?));
                }
                Self::Return { queue, returns }
            }
            Kind::Delivered => Self::Delivered { queue: reader.u64()?, through: reader.u64()? },
            Kind::Drop => Self::Drop { queue: reader.u64()? },
        })
    }
}
