//! The newest files of the log, in memory: what is about to be moved to a segment is not read back
//! from the disk.
//!
//! Invariants: a file is kept from its start to the last batch that was written, or not at all.
//! Their memory is used again, since fresh memory costs a page fault a page, until upkeep is in no
//! hurry any more.

use std::collections::VecDeque;

use crate::buffer::Buffer;
use crate::disk::BLOCK;

/// More files than these are not of use: the one that is being written, the one that is being
/// moved, and one between them.
pub(crate) const FILES_MAX: usize = 3;
/// Messages pile up when more than so many come for each that leaves.
const PILE: u64 = 4;
/// Upkeep that had nothing to do so often while a file was written is not in a hurry.
const IDLE_MIN: u32 = 3;

struct KeptFile {
    /// The number of its first batch.
    first: u64,
    /// What is in it; the first block is not filled in.
    image: Buffer,
}

pub(crate) struct Kept {
    files_max: usize,
    files: VecDeque<KeptFile>,
    /// Whether one more is being moved.
    moving: bool,
    /// Memory to be used again.
    free: Vec<Buffer>,
}

impl Kept {
    /// Keeps at most so many files, the one that is being moved among them.
    pub(crate) fn new(files_max: usize) -> Self {
        let (files, free) = (VecDeque::new(), Vec::new());
        Self { files_max: files_max.min(FILES_MAX), files, moving: false, free }
    }

    /// From here on the file of `size` bytes is kept whose first batch is `first`, if there is
    /// room.
    pub(crate) fn begin(&mut self, first: u64, size: usize) {
        if self.files.len() + usize::from(self.moving) >= self.files_max {
            return;
        }
        let mut image = self.memory(size);
        image.resize(BLOCK);
        self.files.push_back(KeptFile { first, image });
    }

    /// What is kept of the file that begins with batch `first`, which is the newest. It is to be
    /// put back; until then it counts as empty.
    pub(crate) fn lend(&mut self, first: u64) -> Option<Buffer> {
        let file = self.files.back_mut().filter(|file| file.first == first)?;
        Some(std::mem::take(&mut file.image))
    }

    /// Puts back what was lent, unless that file is kept no longer.
    pub(crate) fn put(&mut self, first: u64, image: Buffer) {
        if let Some(file) = self.files.back_mut().filter(|file| file.first == first) {
            file.image = image;
        }
    }

    /// Memory for the file of `size` bytes that begins with batch `first`, which is going to be
    /// moved: with what is in it, if it was kept. Those before it are not wanted any more.
    pub(crate) fn take(&mut self, first: u64, size: usize) -> Buffer {
        self.moving = true;
        while let Some(file) = self.files.pop_front_if(|file| file.first <= first) {
            if file.first == first {
                return file.image;
            }
        }
        self.memory(size)
    }

    /// Takes memory back: the file has been moved.
    pub(crate) fn moved(&mut self, memory: Buffer) {
        self.moving = false;
        if self.files.len() + self.free.len() < self.files_max.max(1) {
            self.free.push(memory);
        }
    }

    fn memory(&mut self, size: usize) -> Buffer {
        let mut buffer = self.free.pop().unwrap_or_else(|| Buffer::with_capacity(size));
        buffer.clear();
        buffer
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.files_max);
    }
}

/// Whether messages pile up: more and more live, and it is of no use to wait for those in the log
/// to be settled before they are moved.
#[derive(Default)]
pub(crate) struct Pile {
    published: u64,
    settled: u64,
    /// How often upkeep had nothing to do since the present file was begun.
    idle: u32,
    grows: bool,
}

impl Pile {
    /// A file is begun, when so many messages have entered queues and left them altogether.
    pub(crate) fn file_begun(&mut self, published: u64, settled: u64) {
        let (more, less) = (published - self.published, settled - self.settled);
        self.grows = more > less.saturating_mul(PILE);
        (self.published, self.settled, self.idle) = (published, settled, 0);
    }

    pub(crate) fn was_idle(&mut self) {
        self.idle = self.idle.saturating_add(1);
    }

    /// Whether upkeep has time enough to read from the disk what it moves.
    pub(crate) fn is_slow(&self) -> bool {
        self.idle >= IDLE_MIN
    }

    /// Whether at most one message in [`PILE`] left while the last file was written.
    pub(crate) fn grows(&self) -> bool {
        self.grows
    }
}
