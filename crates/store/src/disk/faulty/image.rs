//! The bytes of a file, in pages. A page that is not there reads as zeros, so what was never
//! written costs nothing. Bytes behind the file's end are zeros.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::disk::BLOCK;

/// What a disk writes whole or not at all, in bytes.
pub const SECTOR: u64 = 512;
/// The size of a page, in bytes.
const PAGE: u64 = BLOCK as u64;

type Page = [u8; BLOCK];

static ZEROS: Page = [0; BLOCK];

/// One state of a file's bytes.
#[derive(Default)]
pub struct Image {
    pages: BTreeMap<u64, Box<Page>>,
}

impl Image {
    /// Fills `buffer` from `offset` on.
    pub fn read(&self, buffer: &mut [u8], offset: u64) {
        let mut rest = buffer;
        for (page, within) in parts(offset..offset + rest.len() as u64) {
            let (part, tail) = rest.split_at_mut(within.len());
            match self.pages.get(&page) {
                Some(bytes) => part.copy_from_slice(&bytes[within]),
                None => part.fill(0),
            }
            rest = tail;
        }
    }

    /// Puts `bytes` at `offset`.
    pub fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut rest = bytes;
        for (page, within) in parts(offset..offset + bytes.len() as u64) {
            let (part, tail) = rest.split_at(within.len());
            if is_zero(part) {
                self.zero_page(page, within);
            } else {
                self.page(page)[within].copy_from_slice(part);
            }
            rest = tail;
        }
    }

    /// Makes the bytes of `range` zeros.
    pub fn zero(&mut self, range: Range<u64>) {
        for page in self.pages_in(&range) {
            self.zero_page(page, within(page, &range));
        }
    }

    /// Makes the bytes from `len` on zeros.
    pub fn cut(&mut self, len: u64) {
        self.zero(len..u64::MAX);
    }

    /// Takes the bytes of `range` over from another image.
    pub fn copy(&mut self, from: &Image, range: Range<u64>) {
        for page in self.pages_in(&range) {
            if !from.pages.contains_key(&page) {
                self.zero_page(page, within(page, &range));
            }
        }
        for page in from.pages_in(&range) {
            let within = within(page, &range);
            if let Some(bytes) = from.pages.get(&page) {
                self.page(page)[within.clone()].copy_from_slice(&bytes[within]);
            }
        }
    }

    /// Changes one byte.
    pub fn flip(&mut self, offset: u64, mask: u8) {
        let mut byte = [0];
        self.read(&mut byte, offset);
        self.write(&[byte[0] ^ mask], offset);
    }

    /// The numbers of the pages that are there and overlap with `range`.
    pub fn pages_in(&self, range: &Range<u64>) -> Vec<u64> {
        if range.is_empty() {
            return Vec::new();
        }
        let pages = range.start / PAGE..=(range.end - 1) / PAGE;
        self.pages.range(pages).map(|(&page, _)| page).collect()
    }

    fn page(&mut self, page: u64) -> &mut Page {
        self.pages.entry(page).or_insert_with(|| Box::new(ZEROS))
    }

    fn zero_page(&mut self, page: u64, within: Range<usize>) {
        if within.len() == BLOCK {
            self.pages.remove(&page);
        } else if let Some(bytes) = self.pages.get_mut(&page) {
            bytes[within].fill(0);
        }
    }
}

/// Whether all bytes are zeros.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Comparing slices is quick in a debug build too.
    bytes.chunks(BLOCK).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// The bytes of a page.
pub fn page_bytes(page: u64) -> Range<u64> {
    page * PAGE..(page + 1) * PAGE
}

/// The part of a page that is in `range`, which overlaps with it.
fn within(page: u64, range: &Range<u64>) -> Range<usize> {
    let bytes = page_bytes(page);
    let place = |at: u64| usize::try_from(at - bytes.start).expect("a place in a page is small");
    place(range.start.max(bytes.start))..place(range.end.min(bytes.end))
}

/// The pages of a range, each with its part.
fn parts(range: Range<u64>) -> impl Iterator<Item = (u64, Range<usize>)> {
    (range.start / PAGE..range.end.div_ceil(PAGE)).map(move |page| (page, within(page, &range)))
}
