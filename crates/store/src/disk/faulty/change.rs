//! A change of a file's bytes that has not been synced, and what a crash leaves of it.

use std::ops::Range;

use super::image::{Image, SECTOR, is_zero, page_bytes};
use super::random::Random;

/// What the bytes became.
enum Content {
    /// These; as long as the range.
    Bytes(Vec<u8>),
    /// Zeros, in space that is held.
    Zeros,
    /// Zeros, and the space was given back.
    Hole,
}

/// A change of whole sectors.
pub struct Change {
    /// In bytes, at sectors.
    range: Range<u64>,
    content: Content,
}

/// How much of a change survives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Share {
    All,
    /// Each sector for itself, in so many of 8 cases.
    Eighths(u64),
    None,
}

impl Change {
    /// What was written to `range`, as `cache` has it now: with the rest of its sectors.
    pub fn written(cache: &Image, range: &Range<u64>) -> Self {
        let range = sectors(range);
        if cache.pages_in(&range).is_empty() {
            return Change { range, content: Content::Zeros };
        }
        let len = usize::try_from(range.end - range.start).expect("a slice was that long");
        let mut bytes = vec![0; len];
        cache.read(&mut bytes, range.start);
        let content = if is_zero(&bytes) { Content::Zeros } else { Content::Bytes(bytes) };
        Change { range, content }
    }

    /// A range of whole sectors that was given back.
    pub fn hole(range: Range<u64>) -> Self {
        Change { range, content: Content::Hole }
    }

    /// In bytes, at sectors.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Whether the space was given back.
    pub fn is_hole(&self) -> bool {
        matches!(self.content, Content::Hole)
    }

    /// Changes `image` as far as the change survives.
    pub fn land(&self, image: &mut Image, share: Share, random: &mut Random) {
        let parts = match share {
            Share::None => return,
            Share::All => return self.land_sectors(image, self.range()),
            Share::Eighths(parts) => parts,
        };
        match self.content {
            Content::Bytes(_) => self.land_some(image, self.range(), parts, random),
            Content::Zeros | Content::Hole => {
                for page in image.pages_in(&self.range) {
                    let bytes = intersection(&page_bytes(page), &self.range);
                    self.land_some(image, bytes, parts, random);
                }
            }
        }
    }

    fn land_some(&self, image: &mut Image, range: Range<u64>, parts: u64, random: &mut Random) {
        let mut start = range.start;
        while start < range.end {
            if random.eighths(parts) {
                self.land_sectors(image, start..start + SECTOR);
            }
            start += SECTOR;
        }
    }

    fn land_sectors(&self, image: &mut Image, range: Range<u64>) {
        match &self.content {
            Content::Bytes(bytes) => image.write(&bytes[self.places(&range)], range.start),
            Content::Zeros | Content::Hole => image.zero(range),
        }
    }

    /// Where a part of the range is in the bytes.
    fn places(&self, part: &Range<u64>) -> Range<usize> {
        let place = |at: u64| {
            usize::try_from(at - self.range.start).expect("the bytes are as long as the range")
        };
        place(part.start)..place(part.end)
    }

    /// What is left of the change without the sectors of `range`.
    fn without(self, range: &Range<u64>) -> Vec<Change> {
        let cut = intersection(&self.range, range);
        if cut.is_empty() {
            return vec![self];
        }
        let rests = [self.range.start..cut.start, cut.end..self.range.end];
        let rests = rests.into_iter().filter(|rest| !rest.is_empty());
        let part = |rest: Range<u64>| {
            let content = match &self.content {
                Content::Bytes(bytes) => Content::Bytes(bytes[self.places(&rest)].to_vec()),
                Content::Zeros => Content::Zeros,
                Content::Hole => Content::Hole,
            };
            Change { range: rest, content }
        };
        rests.map(part).collect()
    }
}

/// Takes the sectors of `range` out of all changes.
pub fn subtract(changes: &mut Vec<Change>, range: &Range<u64>) {
    *changes = changes.drain(..).flat_map(|change| change.without(range)).collect();
}

/// The whole sectors that a range of bytes touches.
pub fn sectors(range: &Range<u64>) -> Range<u64> {
    range.start / SECTOR * SECTOR..range.end.next_multiple_of(SECTOR)
}

fn intersection(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}
