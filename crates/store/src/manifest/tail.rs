//! The messages of a queue that are only in the log, compactly: a clean stop leaves millions.
//!
//! Invariant: decoding gives what was encoded, and no bytes make it panic or allocate more than a
//! multiple of their length.
//!
//! An entry is a byte that says what it shares with the one before (`SAME_…`), then what it does
//! not, as variable-length numbers. Seqs, batches and offsets are differences.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ManifestError, damaged};

/// The level is the same; else it follows.
const SAME_LEVEL: u8 = 1;
/// The weight is the same; else it follows.
const SAME_WEIGHT: u8 = 2;
/// The batch is the same; else the difference follows.
const SAME_BATCH: u8 = 4;
/// The length is the same; else it follows.
const SAME_LEN: u8 = 8;
/// The seq is the next one; else the difference follows.
const NEXT_SEQ: u8 = 16;
/// The offset is where the one before ends; else the difference from there follows.
const NEXT_OFFSET: u8 = 32;

/// A message that is only in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TailEntry {
    /// Its seq.
    pub seq: u64,
    /// Its priority level.
    pub level: u8,
    /// Its weight.
    pub weight: u32,
    /// The batch of the log that it is in.
    pub batch: u64,
    /// Where it is, in the log's terms.
    pub offset: u64,
    /// Its length in the log, in bytes.
    pub len: u32,
}

/// The messages of one queue that are only in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueTail {
    /// The queue.
    pub queue: u64,
    entries: Bytes,
}

impl QueueTail {
    /// Encodes the messages of `queue`. They are smallest in the order of their seqs.
    pub fn new(queue: u64, entries: impl IntoIterator<Item = TailEntry>) -> QueueTail {
        let mut bytes = Vec::new();
        let mut before = TailEntry::default();
        for entry in entries {
            encode(&mut bytes, &before, &entry);
            before = entry;
        }
        QueueTail { queue, entries: bytes.into() }
    }

    /// The messages, as they were given.
    pub fn entries(&self) -> Result<Vec<TailEntry>, ManifestError> {
        let mut rest = &self.entries[..];
        let mut entries = Vec::new();
        let mut before = TailEntry::default();
        while !rest.is_empty() {
            before = decode(&mut rest, &before)
                .ok_or_else(|| damaged(super::MANIFEST, "a queue's tail cannot be decoded"))?;
            entries.push(before);
        }
        Ok(entries)
    }
}

fn next_offset(entry: &TailEntry) -> u64 {
    entry.offset.wrapping_add(entry.len.into())
}

fn encode(bytes: &mut Vec<u8>, before: &TailEntry, entry: &TailEntry) {
    let seq = entry.seq.wrapping_sub(before.seq);
    let batch = entry.batch.wrapping_sub(before.batch);
    let offset = entry.offset.wrapping_sub(next_offset(before));
    let parts = [
        (SAME_LEVEL, entry.level == before.level, u64::from(entry.level)),
        (SAME_WEIGHT, entry.weight == before.weight, u64::from(entry.weight)),
        (SAME_BATCH, batch == 0, signed(batch)),
        (SAME_LEN, entry.len == before.len, u64::from(entry.len)),
        (NEXT_SEQ, seq == 1, signed(seq)),
        (NEXT_OFFSET, offset == 0, signed(offset)),
    ];
    let flags = parts.iter().filter(|(_, same, _)| *same).fold(0, |all, (flag, ..)| all | flag);
    bytes.push(flags);
    for (_, _, number) in parts.iter().filter(|(_, same, _)| !same) {
        put_number(bytes, *number);
    }
}

fn decode(bytes: &mut &[u8], before: &TailEntry) -> Option<TailEntry> {
    let (flags, rest) = bytes.split_first()?;
    *bytes = rest;
    let mut part = |flag: u8| match flags & flag {
        0 => take_number(bytes).map(Some),
        _ => Some(None),
    };
    let level = match part(SAME_LEVEL)? {
        Some(level) => u8::try_from(level).ok()?,
        None => before.level,
    };
    let weight = match part(SAME_WEIGHT)? {
        Some(weight) => u32::try_from(weight).ok()?,
        None => before.weight,
    };
    let batch = part(SAME_BATCH)?.map_or(0, unsigned);
    let len = match part(SAME_LEN)? {
        Some(len) => u32::try_from(len).ok()?,
        None => before.len,
    };
    let seq = part(NEXT_SEQ)?.map_or(1, unsigned);
    let offset = part(NEXT_OFFSET)?.map_or(0, unsigned);
    Some(TailEntry {
        seq: before.seq.wrapping_add(seq),
        level,
        weight,
        batch: before.batch.wrapping_add(batch),
        offset: next_offset(before).wrapping_add(offset),
        len,
    })
}

/// Makes a small difference, up or down, a small number.
fn signed(difference: u64) -> u64 {
    (difference << 1) ^ (((difference as i64) >> 63) as u64)
}

/// The difference that [`signed`] was given.
fn unsigned(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
