//! Memory that direct access can write from: it starts at a block and is a whole number of blocks.
//!
//! Invariant: `memory[start..]` begins at a multiple of [`BLOCK`], and holds `len` bytes rounded up
//! to blocks. Safe code only: a little too much is allocated and the start is moved.

use crate::disk::BLOCK;

/// Rounds up to whole blocks.
pub(crate) fn blocks(len: usize) -> usize {
    len.next_multiple_of(BLOCK)
}

/// A growing buffer whose bytes start at a block.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// A buffer for `capacity` bytes, all zero, of which none are used.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let memory = vec![0; blocks(capacity) + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { memory, start, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many bytes fit without more memory.
    pub(crate) fn capacity(&self) -> usize {
        self.memory.len().saturating_sub(BLOCK)
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    fn grow(&mut self, more: usize) {
        if self.len + more > self.capacity() {
            let mut larger = Self::with_capacity((self.len + more).max(self.capacity() * 2));
            larger.push(self.bytes());
            *self = larger;
        }
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        let at = self.start + self.len;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Forgets the bytes before `from`.
    pub(crate) fn keep_from(&mut self, from: usize) {
        self.bytes_mut().copy_within(from.., 0);
        self.len -= from;
    }

    /// Makes it `len` bytes long, to be written to; what is new is whatever was there.
    pub(crate) fn resize(&mut self, len: usize) {
        self.grow(len.saturating_sub(self.len));
        self.len = len;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// The bytes up to the end of their last block, zeros behind them.
    pub(crate) fn padded(&mut self) -> &[u8] {
        let end = blocks(self.len);
        self.grow(end - self.len);
        self.memory[self.start + self.len..self.start + end].fill(0);
        &self.memory[self.start..self.start + end]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_start_at_a_block_however_they_grow() {
        let mut buffer = Buffer::with_capacity(10);
        let mut expected = Vec::new();
        for round in 0..200_u8 {
            let bytes = vec![round; usize::from(round) * 7];
            buffer.push(&bytes);
            expected.extend(bytes);
            assert_eq!(buffer.bytes(), expected);
            let padded = buffer.padded();
            assert_eq!(padded.as_ptr().align_offset(BLOCK), 0);
            assert_eq!(padded.len() % BLOCK, 0);
            assert!(padded[expected.len()..].iter().all(|byte| *byte == 0));
        }
    }
}
