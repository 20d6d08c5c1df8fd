//! Finds the records of a segment file without its index.
//!
//! Invariants: each step goes forward, by a record whose head is right or by one unit. A record
//! that is found was written at this place of this segment.

use bytes::Bytes;
use crc32c::crc32c;

use super::Damage;
use super::block_up;
use super::format::{self, HEAD_BYTES, Head, UNIT};
use super::index::{Index, IndexBuilder, extent_of};
use super::reader::read_through;
use crate::disk::{BLOCK, DiskFile};

/// How much is looked at at once, in bytes.
const WINDOW_BYTES: u64 = 1 << 20;

/// Goes through the records of a file.
pub(super) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    id: u64,
    len: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Whether a part of the window could not be read.
    unreadable: bool,
    /// Where the bytes that are no record begin, and whether any of them is not zero.
    gap: Option<(u64, bool)>,
    damage: Vec<Damage>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, id: u64, len: u64) -> Scanner<'a> {
        Scanner {
            file,
            id,
            len,
            at: BLOCK as u64,
            window: Vec::new(),
            window_at: 0,
            unreadable: false,
            gap: None,
            damage: Vec::new(),
        }
    }

    /// The next record and its offset. All of it is within the file.
    pub(super) fn next(&mut self) -> Option<(u64, Head)> {
        while self.at < self.len {
            let (id, at) = (self.id, self.at);
            let bytes = self.head_bytes();
            let zeros = bytes.iter().take(UNIT as usize).all(|byte| *byte == 0);
            let head = format::decode_head(bytes, id, at);
            if let Some(head) = head.filter(|head| at + head.total() <= self.len) {
                self.end_gap();
                self.at += head.total();
                return Some((at, head));
            }
            let suspect = !zeros || self.unreadable;
            let gap = self.gap.get_or_insert((at, false));
            gap.1 |= suspect;
            self.at += UNIT;
        }
        self.at = self.at.min(self.len);
        self.end_gap();
        None
    }

    /// What lies at the present place, as long as a head if the file is.
    fn head_bytes(&mut self) -> &[u8] {
        let end = (self.at + HEAD_BYTES as u64).min(self.len);
        if self.at < self.window_at || end > self.window_at + self.window.len() as u64 {
            let len = (self.len - self.at).min(WINDOW_BYTES) as usize;
            let (window, error) = read_through(self.file, self.at, len);
            (self.window, self.window_at) = (window, self.at);
            self.unreadable = error.is_some();
            if self.window.len() < len {
                self.len = self.at + self.window.len() as u64;
            }
        }
        let from = ((self.at - self.window_at) as usize).min(self.window.len());
        let to = (from + HEAD_BYTES).min(self.window.len());
        &self.window[from..to]
    }

    fn end_gap(&mut self) {
        if let Some((offset, true)) = self.gap.take() {
            self.damage.push(Damage::Bytes { offset, len: self.at - offset });
        }
    }

    /// The data of a record, if it is as it was written.
    pub(super) fn data(&self, offset: u64, head: &Head) -> Option<Bytes> {
        let len = head.data_len as usize;
        let (bytes, _) = read_through(self.file, offset + HEAD_BYTES as u64, len);
        (bytes.len() == len && crc32c(&bytes) == head.data_crc).then(|| bytes.into())
    }

    /// The bytes passed so far that are no records and not zero.
    pub(super) fn into_damage(self) -> Vec<Damage> {
        self.damage
    }
}

/// Makes the index of a file anew from the records that are there, and says which bytes are none.
pub(super) fn rebuild(file: &dyn DiskFile, id: u64, len: u64) -> (Index, Vec<Damage>) {
    let mut scanner = Scanner::new(file, id, len);
    let mut builder = IndexBuilder::new(id);
    while let Some((offset, head)) = scanner.next() {
        if !enter_extent(&mut builder, &head, offset) {
            continue;
        }
        let data = if head.is_reference { scanner.data(offset, &head) } else { None };
        let to = data.and_then(|data| format::decode_reference(&data));
        let shared = to.and_then(|to| extent_of(builder.extents(), to.offset));
        builder.push(&head, offset, shared);
    }
    (builder.finish(), scanner.into_damage())
}

/// Begins the extent of a record at `offset` where it is the first one seen of it. Extents of which
/// nothing is left are kept as empty ones, so that the others have their numbers. Whether the
/// record's extent can be.
fn enter_extent(builder: &mut IndexBuilder, head: &Head, offset: u64) -> bool {
    let number = head.extent as usize;
    let count = builder.extents().len();
    if number < count {
        return number + 1 == count;
    }
    let free = builder.extents().last().map_or(BLOCK as u64, |extent| block_up(extent.end()));
    let begin = offset - offset % BLOCK as u64;
    if begin < free {
        return false;
    }
    for _ in count..number {
        builder.begin_extent(free);
    }
    builder.begin_extent(begin);
    true
}
