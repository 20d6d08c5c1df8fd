//! The receive buffer: large reads in, frames out without a copy.
//!
//! Invariant: between reads only the tail of an unfinished method or header frame is kept, since
//! bodies are streamed; it is moved to the front before the next read.

use std::io::Read;

use leveret_wire::amqp091::frame::{Decoder, Event};

use super::Error;

/// A buffer that is filled from a socket and cut into frames.
#[derive(Debug)]
pub struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    decoder: Decoder,
}

impl Inbox {
    /// An inbox that reads at most `capacity` bytes at a time.
    pub fn new(capacity: usize) -> Inbox {
        Inbox { buffer: vec![0; capacity.max(4096)], start: 0, end: 0, decoder: Decoder::new(0) }
    }

    /// Sets the negotiated frame size.
    pub const fn set_frame_max(&mut self, frame_max: u32) {
        self.decoder.set_frame_max(frame_max);
    }

    /// Reads once; returns how many bytes came, none at the end of the stream.
    pub fn fill(&mut self, stream: &mut impl Read) -> std::io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            let wanted = self.decoder.wanted(&self.buffer);
            self.buffer.resize(wanted.max(self.buffer.len() + 4096), 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let got = stream.read(room)?;
        self.end += got;
        Ok(got)
    }

    /// Hands every event that is there to `take`.
    pub fn drain(
        &mut self,
        mut take: impl FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let unread = self.unread();
        let len = unread.len();
        let mut input = self.buffer.get(self.start..self.end).unwrap_or_default();
        while let Some(event) = self.decoder.next(&mut input)? {
            take(event)?;
        }
        self.start += len - input.len();
        Ok(())
    }

    /// The bytes that have been read and not yet handed out.
    pub fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}
