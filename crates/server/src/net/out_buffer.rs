//! Bytes on their way out: small things are copied together, large bodies stay where they are and
//! go out by a vectored write. What promises something that the log has to keep stands behind a
//! mark, and leaves once the mark's position is durable.
//!
//! Invariants: the positions of the marks rise; `marked` is the sum of their `after`, and at most
//! the length.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use leveret_broker::log::Position;

/// Bodies from this size on are not copied.
pub(crate) const SHARE_FROM: usize = 8 * 1024;
/// Most slices of one vectored write.
const SLICES_MAX: usize = 64;
/// A tail of this size is closed, so that it can be given back once written.
const TAIL_MAX: usize = 256 * 1024;

/// What stands behind this place waits until a position is durable.
#[derive(Debug)]
struct Mark {
    /// The bytes between the mark before it, or the front, and this one.
    after: usize,
    position: Position,
}

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct OutBuffer {
    closed: VecDeque<Bytes>,
    closed_len: usize,
    tail: Vec<u8>,
    /// What of the tail is written already.
    tail_start: usize,
    marks: VecDeque<Mark>,
    /// The bytes before the last mark.
    marked: usize,
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

    /// Holds back everything that is appended from now on until `position` is durable.
    pub(crate) fn hold(&mut self, position: Position) {
        if self.marks.back().is_some_and(|last| last.position >= position) {
            return;
        }
        let after = self.len() - self.marked;
        match self.marks.back_mut() {
            // Nothing stands between the two.
            Some(last) if after == 0 => last.position = position,
            _ => self.marks.push_back(Mark { after, position }),
        }
        self.marked += after;
    }

    /// The position that the first held byte waits for.
    pub(crate) fn waits_for(&self) -> Option<Position> {
        self.marks.front().map(|mark| mark.position)
    }

    /// Lets go what waits for positions up to `durable`.
    pub(crate) fn release(&mut self, durable: Position) {
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.position <= durable) {
            match self.marks.front_mut() {
                Some(next) => next.after += mark.after,
                None => self.marked = 0,
            }
        }
    }

    /// Bytes that may be written now.
    pub(crate) fn writable(&self) -> usize {
        self.marks.front().map_or(self.len(), |mark| mark.after)
    }

    /// Whether there are bytes, and the first of them waits for the log.
    pub(crate) fn is_held(&self) -> bool {
        self.writable() == 0 && !self.is_empty()
    }

    /// Puts a whole frame in front of what is held. Marks stand between frames, so this may only be
    /// called while [`Self::is_held`].
    pub(crate) fn overtake(&mut self, frame: Bytes) {
        debug_assert!(self.is_held(), "a frame must not be cut by another");
        self.closed_len += frame.len();
        if let Some(front) = self.marks.front_mut() {
            front.after += frame.len();
            self.marked += frame.len();
        }
        self.closed.push_front(frame);
    }

    /// The slices for a vectored write of what may be written, in order.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut room = self.writable();
        let mut count = 0;
        let closed = self.closed.iter().map(|bytes| &bytes[..]);
        for bytes in closed.chain([&self.tail[self.tail_start..]]) {
            if room == 0 || count == SLICES_MAX {
                break;
            }
            let bytes = &bytes[..bytes.len().min(room)];
            slices[count] = IoSlice::new(bytes);
            count += 1;
            room -= bytes.len();
        }
        count
    }

    /// Room for [`Self::slices`].
    pub(crate) fn no_slices<'a>() -> [IoSlice<'a>; SLICES_MAX] {
        [IoSlice::new(&[]); SLICES_MAX]
    }

    /// Forgets `written` bytes from the front; at most those that may be written.
    pub(crate) fn advance(&mut self, mut written: usize) {
        debug_assert!(written <= self.writable(), "held bytes are not written");
        if let Some(mark) = self.marks.front_mut() {
            mark.after -= written;
            self.marked -= written;
        }
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
        if self.is_empty() && self.marks.is_empty() {
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

    /// Writes all that may be written, in bites of `bite` bytes.
    fn drain(buffer: &mut OutBuffer, bite: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while buffer.writable() > 0 {
            let front = gather(buffer);
            let bite = bite.min(front.len());
            written.extend_from_slice(&front[..bite]);
            buffer.advance(bite);
        }
        written
    }

    #[test]
    fn what_stands_behind_a_mark_waits_for_its_position() {
        for bite in 1..5 {
            let mut buffer = OutBuffer::default();
            buffer.tail().extend_from_slice(b"ab");
            buffer.hold(Position(5));
            buffer.tail().extend_from_slice(b"cd");
            buffer.push_shared(Bytes::from_static(b"ef"));
            buffer.hold(Position(7));
            buffer.push_shared(Bytes::from_static(b"gh"));
            assert_eq!(drain(&mut buffer, bite), b"ab");
            assert!(buffer.is_held());
            buffer.release(Position(4));
            assert_eq!((buffer.writable(), buffer.waits_for()), (0, Some(Position(5))));
            buffer.release(Position(6));
            assert_eq!(drain(&mut buffer, bite), b"cdef");
            assert_eq!(buffer.waits_for(), Some(Position(7)));
            buffer.release(Position(7));
            assert_eq!(drain(&mut buffer, bite), b"gh");
            assert!(buffer.is_empty() && buffer.marks.is_empty() && buffer.marked == 0);
        }
    }

    #[test]
    fn one_step_of_the_log_opens_all_marks_that_it_passes() {
        let mut buffer = OutBuffer::default();
        for position in 1..=100 {
            buffer.hold(Position(position));
            buffer.tail().push(position as u8);
        }
        assert!(buffer.is_held());
        buffer.release(Position(99));
        assert_eq!(drain(&mut buffer, 7), (1..=99).collect::<Vec<u8>>());
    }

    #[test]
    fn marks_without_bytes_between_them_are_one() {
        let mut buffer = OutBuffer::default();
        buffer.tail().push(1);
        for position in [3, 2, 4, 9] {
            buffer.hold(Position(position));
        }
        assert_eq!((buffer.marks.len(), buffer.waits_for()), (1, Some(Position(9))));
        buffer.tail().push(2);
        buffer.hold(Position(8));
        assert_eq!(buffer.marks.len(), 1, "it waits for more already");
        assert_eq!(buffer.writable(), 1);
    }

    #[test]
    fn a_frame_overtakes_only_what_is_held() {
        let mut buffer = OutBuffer::default();
        buffer.tail().extend_from_slice(b"ab");
        buffer.hold(Position(5));
        buffer.tail().extend_from_slice(b"cd");
        buffer.advance(2);
        buffer.overtake(Bytes::from_static(b"beat"));
        assert_eq!(drain(&mut buffer, 3), b"beat");
        buffer.release(Position(5));
        assert_eq!(drain(&mut buffer, 3), b"cd");
    }
}
