//! A file of a faulty disk, whatever names it has: what reads see, what is durable, and the
//! un-synced changes between the two.
//!
//! Outside of the sectors of un-synced changes, both images are the same.

use std::ops::Range;

use super::change::{Change, Share, sectors, subtract};
use super::image::{Image, SECTOR, page_bytes};
use super::random::Random;
use super::ranges::Ranges;
use crate::disk::BLOCK;

const BLOCK_BYTES: u64 = BLOCK as u64;

/// How much a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing of it.
    Nothing,
    /// All of it, but for what a failed sync has lost.
    Everything,
    /// Each file, change and sector as chance decides.
    ByChance,
}

/// A file.
#[derive(Default)]
pub struct Inode {
    /// How many names it has now.
    pub links: u32,
    /// How many handles are open.
    pub handles: u32,
    /// It never had a name, so a crash leaves nothing of it.
    nameless: bool,
    /// What reads see.
    cache: Image,
    len: u64,
    /// The blocks that it holds.
    held: Ranges,
    durable: Image,
    durable_len: u64,
    durable_held: Ranges,
    /// Un-synced changes, in order.
    journal: Vec<Change>,
    /// Changes that a failed sync took for written, older than the journal, in order.
    lost: Vec<Change>,
    /// The values of the length that are not durable, in order.
    lens: Vec<u64>,
    /// The next sync writes the length.
    len_dirty: bool,
    /// The next sync writes what blocks are held.
    held_dirty: bool,
}

impl Inode {
    /// A file with one name.
    pub fn named() -> Self {
        Inode { links: 1, ..Inode::default() }
    }

    /// A file without a name.
    pub fn nameless() -> Self {
        Inode { nameless: true, ..Inode::default() }
    }

    /// In bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How many blocks it holds.
    pub fn held(&self) -> u64 {
        self.held.count()
    }

    /// How many more blocks it would hold with those of `range`.
    pub fn missing(&self, range: Range<u64>) -> u64 {
        self.held.missing(&blocks(range))
    }

    /// Reads until the buffer is full or the file ends.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = rest.min(buffer.len());
        if count > 0 {
            self.cache.read(&mut buffer[..count], offset);
        }
        count
    }

    /// Writes all of `bytes`.
    pub fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let range = offset..offset + bytes.len() as u64;
        self.cache.write(bytes, offset);
        self.hold(blocks(range.clone()));
        self.grow(range.end);
        if !self.nameless {
            self.journal.push(Change::written(&self.cache, &range));
        }
    }

    /// Holds the blocks of the first `len` bytes; the file becomes that long.
    pub fn allocate(&mut self, len: u64) {
        self.hold(blocks(0..len));
        self.grow(len);
    }

    /// Makes a part zeros and gives its whole blocks back.
    pub fn punch(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.len.next_multiple_of(BLOCK_BYTES));
        let range = offset.min(end)..end;
        if range.is_empty() {
            return;
        }
        self.cache.zero(range.clone());
        let inner = range.start.next_multiple_of(BLOCK_BYTES)..end / BLOCK_BYTES * BLOCK_BYTES;
        if inner.is_empty() {
            return self.remember(Change::written(&self.cache, &range));
        }
        self.held_dirty |= self.held.remove(blocks(inner.clone()));
        for edge in [range.start..inner.start, inner.end..range.end] {
            if !edge.is_empty() {
                self.remember(Change::written(&self.cache, &edge));
            }
        }
        self.remember(Change::hole(inner));
    }

    fn remember(&mut self, change: Change) {
        if !self.nameless {
            self.journal.push(change);
        }
    }

    fn hold(&mut self, blocks: Range<u64>) {
        self.held_dirty |= self.held.insert(blocks);
    }

    fn grow(&mut self, len: u64) {
        if len > self.len {
            self.len = len;
            self.lens.push(len);
            self.len_dirty = true;
        }
    }

    /// Makes durable all that no failed sync took for written.
    pub fn sync(&mut self) {
        let mut reach = self.durable_len;
        for change in self.journal.drain(..) {
            let range = change.range();
            reach = reach.max(range.end.min(self.len));
            if !self.lost.is_empty() {
                subtract(&mut self.lost, &range);
            }
            self.durable.copy(&self.cache, range);
        }
        // A length that a failed sync has lost becomes durable as far as data was written anew.
        self.durable_len = if self.len_dirty { self.len } else { reach };
        self.len_dirty = false;
        self.lens.retain(|&len| len > self.durable_len);
        if self.held_dirty {
            self.durable_held = self.held.clone();
            self.held_dirty = false;
        }
    }

    /// A sync failed: what it should have written is taken for written from now on.
    pub fn fail_sync(&mut self) {
        self.lost.append(&mut self.journal);
        self.len_dirty = false;
    }

    /// The power goes off and comes back; `garbage` instead of zeros is in an extension that
    /// survived without its bytes.
    pub fn crash(&mut self, survival: Survival, garbage: bool, random: &mut Random) {
        self.handles = 0;
        if self.is_clean() {
            return;
        }
        let survival = match (survival, random.below(8)) {
            (Survival::ByChance, 0) => Survival::Nothing,
            (Survival::ByChance, 1) => Survival::Everything,
            _ => survival,
        };
        let extension = self.durable_len..self.surviving_len(survival, random);
        let mut held = std::mem::take(&mut self.durable_held);
        let mut touched = Vec::new();
        if garbage && survival == Survival::ByChance && !extension.is_empty() {
            fill(&mut self.durable, &extension, random);
            touched.push(sectors(&extension));
        }
        let parts = 1 + random.below(7);
        let lost = std::mem::take(&mut self.lost).into_iter().map(|change| (change, true));
        let journal = std::mem::take(&mut self.journal).into_iter().map(|change| (change, false));
        for (change, is_lost) in lost.chain(journal) {
            let share = share(survival, is_lost, parts, random);
            change.land(&mut self.durable, share, random);
            if change.is_hole() && share == Share::All {
                held.remove(blocks(change.range()));
            }
            touched.push(change.range());
        }
        self.settle(extension.end, &touched, held);
    }

    fn is_clean(&self) -> bool {
        self.journal.is_empty() && self.lost.is_empty() && self.lens.is_empty() && !self.held_dirty
    }

    /// The length after a crash: never shorter than the durable one.
    fn surviving_len(&self, survival: Survival, random: &mut Random) -> u64 {
        let any = match survival {
            Survival::Nothing => self.durable_len,
            Survival::Everything if self.len_dirty => self.len,
            _ => match (random.below(4), self.lens.len() as u64) {
                (0, _) | (_, 0) => self.durable_len,
                (1, _) => self.len,
                (2, count) => {
                    let index = usize::try_from(random.below(count)).unwrap_or_default();
                    self.lens[index]
                }
                _ => random.below(self.len + 1) / BLOCK_BYTES * BLOCK_BYTES,
            },
        };
        any.max(self.durable_len)
    }

    /// What is durable is all that there is.
    fn settle(&mut self, len: u64, touched: &[Range<u64>], held: Ranges) {
        self.durable.cut(len);
        self.cache.cut(len);
        self.held = held;
        for range in touched {
            self.cache.copy(&self.durable, range.clone());
            for page in self.durable.pages_in(range) {
                self.held.insert(blocks(page_bytes(page)));
            }
        }
        self.len = len;
        self.durable_len = len;
        self.durable_held = self.held.clone();
        self.lens.clear();
        self.len_dirty = false;
        self.held_dirty = false;
    }

    /// Takes all that there is for synced.
    fn settle_cache(&mut self) {
        let touched: Vec<Range<u64>> = self.lost.drain(..).map(|change| change.range()).collect();
        for range in touched {
            self.durable.copy(&self.cache, range);
        }
        self.len_dirty = true;
        self.sync();
    }

    /// Takes the file as synced and turns one bit over; false if it is behind the end.
    pub fn flip_bit(&mut self, bit: u64) -> bool {
        self.settle_cache();
        let (offset, mask) = (bit / 8, 1 << (bit % 8));
        if offset < self.len {
            self.cache.flip(offset, mask);
            self.durable.flip(offset, mask);
        }
        offset < self.len
    }

    /// Takes the file as synced and makes bytes of it zeros.
    pub fn zero(&mut self, offset: u64, len: u64) {
        self.settle_cache();
        let range = offset..offset.saturating_add(len);
        self.cache.zero(range.clone());
        self.durable.zero(range);
    }

    /// Takes the file as synced and makes it shorter, or longer by zeros.
    pub fn truncate(&mut self, len: u64) {
        self.settle_cache();
        let mut held = self.held.clone();
        held.remove(len.div_ceil(BLOCK_BYTES)..u64::MAX);
        self.settle(len, &[], held);
    }
}

/// How much of one change survives.
fn share(survival: Survival, is_lost: bool, parts: u64, random: &mut Random) -> Share {
    match survival {
        Survival::Nothing => Share::None,
        Survival::Everything if !is_lost => Share::All,
        Survival::Everything => Share::Eighths(4),
        // Often a write as a whole came to the disk before another, or did not.
        Survival::ByChance => match random.below(4) {
            0 => Share::None,
            1 => Share::All,
            _ => Share::Eighths(parts),
        },
    }
}

fn fill(image: &mut Image, range: &Range<u64>, random: &mut Random) {
    let mut start = range.start;
    while start < range.end {
        let end = (start / SECTOR * SECTOR + SECTOR).min(range.end);
        let garbage: Vec<u8> =
            (start..end).step_by(8).flat_map(|_| random.number().to_le_bytes()).collect();
        let len = usize::try_from(end - start).expect("a sector is small");
        image.write(&garbage[..len], start);
        start = end;
    }
}

/// The blocks that a range of bytes touches.
fn blocks(range: Range<u64>) -> Range<u64> {
    if range.is_empty() {
        return 0..0;
    }
    range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES)
}
