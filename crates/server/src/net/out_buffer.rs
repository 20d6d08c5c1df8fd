//! Bytes on their way out: small things are copied together, large bodies stay where they are and
//! go out by a vectored write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Bodies from this size on are not copied.
pub(crate) const SHARE_FROM: usize = 8 * 1024;
/// Most slices of one vectored write.
const SLICES_MAX: usize = 64;
/// A tail of this size is closed, so that it can be given back once written.
const TAIL_MAX: usize = 256 * 1024;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct OutBuffer {
    closed: VecDeque<Bytes>,
    closed_len: usize,
    tail: Vec<u8>,
    /// What of the tail is written already.
    tail_start: usize,
}

impl OutBuffer {
    /// Bytes that are not written yet.
    pub(crate) fn len(&self) -> usize {
        self.closed_len + self.tail.len() - self.tail_start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where to append small things.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.len() >= TAIL_MAX {
            self.close_tail();
        }
        &mut self.tail
    }

    /// Appends `bytes` without a copy.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        self.close_tail();
        self.closed_len += bytes.len();
        self.closed.push_back(bytes);
    }

    fn close_tail(&mut self) {
        if self.tail.len() > self.tail_start {
            let mut bytes = Bytes::from(std::mem::take(&mut self.tail));
            bytes.advance(self.tail_start);
            self.closed_len += bytes.len();
            self.closed.push_back(bytes);
        }
        self.tail.clear();
        self.tail_start = 0;
    }

    /// The slices for a vectored write, in order; none when it is empty.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        for bytes in self.closed.iter().take(SLICES_MAX) {
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        if count < SLICES_MAX && self.tail.len() > self.tail_start {
            slices[count] = IoSlice::new(&self.tail[self.tail_start..]);
            count += 1;
        }
        count
    }

    /// Room for [`Self::slices`].
    pub(crate) fn no_slices<'a>() -> [IoSlice<'a>; SLICES_MAX] {
        [IoSlice::new(&[]); SLICES_MAX]
    }

    /// Forgets `written` bytes from the front.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.closed.front_mut() {
            if front.len() > written {
                front.advance(written);
                self.closed_len -= written;
                return;
            }
            written -= front.len();
            self.closed_len -= front.len();
            self.closed.pop_front();
        }
        self.tail_start += written;
        if self.tail_start == self.tail.len() {
            self.tail.clear();
            self.tail_start = 0;
        }
    }

    /// Gives the memory of an empty buffer back, for connections that went quiet.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(buffer: &OutBuffer) -> Vec<u8> {
        let mut slices = OutBuffer::no_slices();
        let count = buffer.slices(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn keeps_the_order_of_copied_and_shared_bytes() {
        let mut buffer = OutBuffer::default();
        buffer.tail().extend_from_slice(b"ab");
        buffer.push_shared(Bytes::from_static(b"cd"));
        buffer.tail().extend_from_slice(b"ef");
        assert_eq!(gather(&buffer), b"abcdef");
        buffer.advance(3);
        assert_eq!(gather(&buffer), b"def");
        assert_eq!(buffer.len(), 3);
        buffer.advance(2);
        buffer.push_shared(Bytes::from_static(b"gh"));
        assert_eq!(gather(&buffer), b"fgh");
        buffer.advance(3);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_half_written_tail_is_closed_without_what_is_written() {
        let mut buffer = OutBuffer::default();
        buffer.tail().extend_from_slice(b"abcd");
        buffer.advance(3);
        buffer.push_shared(Bytes::from_static(b"x"));
        assert_eq!(gather(&buffer), b"dx");
        assert_eq!(buffer.len(), 2);
    }
}
