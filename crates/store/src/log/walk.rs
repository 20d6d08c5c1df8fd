//! Going through one file of the log by itself, for people: without a manifest, and whatever is
//! around the file. Nothing is written, and nothing is an error: what cannot be read is zeros.

use bytes::Bytes;

use super::batch::{self, Header as BatchHeader};
use super::ring::{FORMAT, Header};
use super::scan::headless;
use crate::buffer::blocks;
use crate::disk::{BLOCK, DiskFile};
use crate::segment::read_through;

/// How much is searched at once for the next batch, in bytes.
const STEP: usize = 1 << 20;

/// What the beginning of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// The store; none if only the first batch tells what the file is.
    pub(crate) store_id: Option<[u8; 16]>,
    /// Of another version, so that its batches are not looked at.
    pub(crate) unknown_format: Option<u16>,
    pub(crate) epoch: u64,
    /// The number of its first batch.
    pub(crate) first: u64,
}

impl Start {
    /// Reads it; none if the file has no batches that can be found.
    pub(crate) fn read(file: &dyn DiskFile) -> Option<Self> {
        let (block, _) = read_through(file, 0, BLOCK * 2);
        if let Some(header) = Header::decode(&block) {
            return Some(Self {
                store_id: Some(header.store_id),
                unknown_format: (header.format != FORMAT).then_some(header.format),
                epoch: header.epoch,
                first: header.first,
            });
        }
        let (epoch, first) = headless(&block)?;
        Some(Self { store_id: None, unknown_format: None, epoch, first })
    }
}

/// The batches of a file, by their headers.
pub(crate) struct Walk<'a> {
    file: &'a dyn DiskFile,
    size: u64,
    epoch: u64,
    /// Behind the last batch.
    pub(crate) end: u64,
    last: u64,
    /// Bytes between batches that are none.
    pub(crate) gaps: u64,
}

impl<'a> Walk<'a> {
    /// From the start of `file`, which is `size` bytes long.
    pub(crate) fn new(file: &'a dyn DiskFile, size: u64, start: &Start) -> Self {
        let last = start.first.saturating_sub(1);
        Self { file, size, epoch: start.epoch, end: BLOCK as u64, last, gaps: 0 }
    }

    /// The next batch that has a whole header, and where it is.
    pub(crate) fn next(&mut self) -> Option<(BatchHeader, u64)> {
        let at = self.end;
        let (head, _) = read_through(self.file, at, batch::HEADER_LEN);
        let (header, at) = match self.fits(&head, at) {
            Some(header) => (header, at),
            None => self.search()?,
        };
        self.gaps += at - self.end;
        (self.end, self.last) = (at + blocks(header.len) as u64, header.number);
        Some((header, at))
    }

    fn fits(&self, bytes: &[u8], at: u64) -> Option<BatchHeader> {
        let room = self.size.saturating_sub(at);
        let header = BatchHeader::decode(bytes, self.epoch)?;
        (header.number > self.last && header.len as u64 <= room).then_some(header)
    }

    fn search(&self) -> Option<(BatchHeader, u64)> {
        let mut offset = self.end + BLOCK as u64;
        while offset < self.size {
            let (bytes, _) = read_through(self.file, offset, STEP);
            if bytes.is_empty() {
                return None;
            }
            for (number, block) in bytes.chunks(BLOCK).enumerate() {
                let at = offset + (number * BLOCK) as u64;
                if let Some(header) = self.fits(block, at) {
                    return Some((header, at));
                }
            }
            offset += blocks(bytes.len()) as u64;
        }
        None
    }

    /// The records of a batch that are whole, each with its offset, and how many bytes are not.
    pub(crate) fn records(&self, header: &BatchHeader, at: u64) -> (Vec<(u32, Bytes)>, usize) {
        let bytes = Bytes::from(read_through(self.file, at, header.len).0);
        match header.records(&bytes) {
            Some(records) => (records, 0),
            None => header.salvage(&bytes),
        }
    }
}
