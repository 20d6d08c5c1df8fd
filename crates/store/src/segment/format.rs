//! The bytes of a segment's header block, records and trailer.
//!
//! Invariant: decoding gives nothing but what encoding wrote for the same segment and place.
//!
//! ```text
//! header   magic 8 | format u16 | zero 6 | id u64 | crc u32 of the 24 bytes before |
//!          zeros to 4096
//! record   head crc u32 | data crc u32 | data len u32 | kind u8 | level u8 | zero u16 |
//!          queue u64 | seq u64 | expires u64 | weight u32 | extent u32 | data |
//!          zeros to a multiple of 8
//! trailer  magic 8 | format u16 | zero 6 | id u64 | index offset u64 | index len u64 |
//!          index crc u32 | crc u32 of the 44 bytes before
//! ```
//! A head's crc is over the rest of the head, the segment's id and the record's offset. The data of
//! a reference is the offset (u64), data length (u32) and data crc (u32) of the record it shares.

use crc32c::{crc32c, crc32c_append};

use super::{DATA_BYTES_MAX, SegmentError};
use crate::disk::BLOCK;

/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u16 = 1;
const HEADER_MAGIC: [u8; 8] = *b"LVRTSEGM";
const TRAILER_MAGIC: [u8; 8] = *b"LVRTSEGT";

/// The length of a record's head, in bytes.
pub(super) const HEAD_BYTES: usize = 48;
/// The length of a reference's data, in bytes.
pub(super) const REFERENCE_BYTES: usize = 16;
/// The length of the trailer, in bytes.
pub(super) const TRAILER_BYTES: usize = 48;
/// Records begin at multiples of this.
pub(super) const UNIT: u64 = 8;
/// How much of the header block says something.
const HEADER_BYTES: usize = 28;

const KIND_DATA: u8 = 1;
const KIND_REFERENCE: u8 = 2;

/// What a segment keeps of a message beside its data. Only queue, level and seq mean anything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// The queue.
    pub queue: u64,
    /// The seq, rising in the queue.
    pub seq: u64,
    /// The priority level.
    pub level: u8,
    /// The message's share in its queue's sums, such as its bytes.
    pub weight: u32,
    /// When it expires, in the caller's terms.
    pub expires: u64,
}

/// Where the data of a record is, for others in the same segment to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRef {
    /// The offset of the record's head in the file.
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) crc: u32,
}

impl DataRef {
    /// Where the data itself begins and ends in the file; `None` if there can be no such place.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        let begin = self.offset.checked_add(HEAD_BYTES as u64)?;
        Some((begin, begin.checked_add(self.len.into())?))
    }
}

/// A whole head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) record: RecordHead,
    pub(super) is_reference: bool,
    pub(super) data_len: u32,
    pub(super) data_crc: u32,
    pub(super) extent: u32,
}

impl Head {
    /// The length of the record in the file, padding included.
    pub(super) fn total(&self) -> u64 {
        total(self.data_len as usize)
    }
}

/// The length in the file of a record with so much data, padding included.
pub(super) fn total(data_len: usize) -> u64 {
    ((HEAD_BYTES + data_len) as u64).next_multiple_of(UNIT)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn head_crc(head: &[u8], id: u64, offset: u64) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&id.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c_append(crc32c(&head[4..HEAD_BYTES]), &place)
}

/// The bytes of the head of a record at `offset` of segment `id`.
pub(super) fn encode_head(head: &Head, id: u64, offset: u64) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[4..8].copy_from_slice(&head.data_crc.to_le_bytes());
    bytes[8..12].copy_from_slice(&head.data_len.to_le_bytes());
    bytes[12] = if head.is_reference { KIND_REFERENCE } else { KIND_DATA };
    bytes[13] = head.record.level;
    bytes[16..24].copy_from_slice(&head.record.queue.to_le_bytes());
    bytes[24..32].copy_from_slice(&head.record.seq.to_le_bytes());
    bytes[32..40].copy_from_slice(&head.record.expires.to_le_bytes());
    bytes[40..44].copy_from_slice(&head.record.weight.to_le_bytes());
    bytes[44..48].copy_from_slice(&head.extent.to_le_bytes());
    let crc = head_crc(&bytes, id, offset);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The head at the beginning of `bytes`, which are at `offset` of segment `id`; `None` if there is
/// none. Its numbers are those that were written, and are bounded: the data by [`DATA_BYTES_MAX`],
/// the extent by the blocks before `offset`.
pub(super) fn decode_head(bytes: &[u8], id: u64, offset: u64) -> Option<Head> {
    let bytes = bytes.get(..HEAD_BYTES)?;
    let kind = bytes[12];
    // What costs nothing comes first: this is also how a damaged part is searched.
    if !matches!(kind, KIND_DATA | KIND_REFERENCE) || !offset.is_multiple_of(UNIT) {
        return None;
    }
    let head = Head {
        record: RecordHead {
            queue: u64_at(bytes, 16),
            seq: u64_at(bytes, 24),
            level: bytes[13],
            weight: u32_at(bytes, 40),
            expires: u64_at(bytes, 32),
        },
        is_reference: kind == KIND_REFERENCE,
        data_len: u32_at(bytes, 8),
        data_crc: u32_at(bytes, 4),
        extent: u32_at(bytes, 44),
    };
    let plausible = (kind == KIND_DATA && head.data_len as usize <= DATA_BYTES_MAX)
        || (kind == KIND_REFERENCE && head.data_len as usize == REFERENCE_BYTES);
    let plausible =
        plausible && u16_at(bytes, 14) == 0 && u64::from(head.extent) < offset / BLOCK as u64;
    (plausible && u32_at(bytes, 0) == head_crc(bytes, id, offset)).then_some(head)
}

/// The data of a reference.
pub(super) fn encode_reference(to: &DataRef) -> [u8; REFERENCE_BYTES] {
    let mut bytes = [0; REFERENCE_BYTES];
    bytes[..8].copy_from_slice(&to.offset.to_le_bytes());
    bytes[8..12].copy_from_slice(&to.len.to_le_bytes());
    bytes[12..].copy_from_slice(&to.crc.to_le_bytes());
    bytes
}

/// What the data of a reference says.
pub(super) fn decode_reference(bytes: &[u8]) -> Option<DataRef> {
    (bytes.len() == REFERENCE_BYTES).then(|| DataRef {
        offset: u64_at(bytes, 0),
        len: u32_at(bytes, 8),
        crc: u32_at(bytes, 12),
    })
}

/// The header block of segment `id`.
pub(super) fn encode_header(id: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..8].copy_from_slice(&HEADER_MAGIC);
    block[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    block[16..24].copy_from_slice(&id.to_le_bytes());
    let crc = crc32c(&block[..HEADER_BYTES - 4]);
    block[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    block
}

/// Checks the header block of segment `id`: whether it is whole. An error says that it is, and is
/// of another format or segment.
pub(super) fn check_header(block: &[u8], id: u64) -> Result<bool, SegmentError> {
    let whole = block.len() >= HEADER_BYTES
        && block[..8] == HEADER_MAGIC
        && crc32c(&block[..HEADER_BYTES - 4]) == u32_at(block, HEADER_BYTES - 4);
    if !whole {
        return Ok(false);
    }
    check_identity(u16_at(block, 8), u64_at(block, 16), id)?;
    Ok(true)
}

fn check_identity(format: u16, found: u64, id: u64) -> Result<(), SegmentError> {
    if format != FORMAT {
        return Err(SegmentError::Format { id, found: format, known: FORMAT });
    }
    if found != id {
        return Err(SegmentError::Misplaced { id, found });
    }
    Ok(())
}

/// Where the index is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trailer {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// The trailer of segment `id`.
pub(super) fn encode_trailer(trailer: &Trailer, id: u64) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..8].copy_from_slice(&TRAILER_MAGIC);
    bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&trailer.offset.to_le_bytes());
    bytes[32..40].copy_from_slice(&trailer.len.to_le_bytes());
    bytes[40..44].copy_from_slice(&trailer.crc.to_le_bytes());
    let crc = crc32c(&bytes[..44]);
    bytes[44..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The trailer in `bytes`; `None` if it is damaged. An error says that it is whole, and is of
/// another format or segment.
pub(super) fn decode_trailer(bytes: &[u8], id: u64) -> Result<Option<Trailer>, SegmentError> {
    let whole = bytes.len() == TRAILER_BYTES
        && bytes[..8] == TRAILER_MAGIC
        && crc32c(&bytes[..44]) == u32_at(bytes, 44);
    if !whole {
        return Ok(None);
    }
    check_identity(u16_at(bytes, 8), u64_at(bytes, 16), id)?;
    Ok(Some(Trailer { offset: u64_at(bytes, 24), len: u64_at(bytes, 32), crc: u32_at(bytes, 40) }))
}
