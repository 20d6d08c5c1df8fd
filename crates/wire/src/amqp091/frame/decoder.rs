//! The incremental, zero-copy frame reader.
//!
//! Method, header and heartbeat frames are handed out whole, body frames as their bytes come, so
//! that a body never has to fit a buffer. Invariants: no call reads beyond its input; a call either
//! consumes bytes, or returns an event, or returns none and wants more; a frame's end octet is
//! checked before the frame is reported complete; the size is checked before the payload is
//! awaited.

use super::super::constants::{
    FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEADER_LEN, FRAME_HEARTBEAT, FRAME_METHOD,
    FRAME_OVERHEAD,
};
use super::FrameError;

/// The largest payload of a frame other than a body when `frame_max` is 0, since such a frame has
/// to be held whole.
pub const UNLIMITED_PAYLOAD_MAX: u32 = 16 << 20;

/// How much of an unknown frame's payload its error keeps.
const PAYLOAD_KEPT: usize = 64;

/// How much of a body frame's payload is kept for the case that its end octet is wrong.
const BODY_KEPT: usize = 16;

/// What the decoder found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole method frame.
    Method {
        /// Channel number.
        channel: u16,
        /// For [`super::super::method::Method::decode`].
        payload: &'a [u8],
    },
    /// A whole content header frame.
    Header {
        /// Channel number.
        channel: u16,
        /// For [`super::ContentHeader::decode`].
        payload: &'a [u8],
    },
    /// A piece of a body frame.
    Body {
        /// Channel number.
        channel: u16,
        /// The piece; may be empty.
        chunk: &'a [u8],
        /// Whether the frame ended here, its end octet checked.
        end_of_frame: bool,
    },
    /// A heartbeat frame; valid only on channel 0.
    Heartbeat {
        /// Channel number.
        channel: u16,
        /// Should be empty.
        payload: &'a [u8],
    },
}

/// The body frame that is under way.
#[derive(Debug, Clone, Copy)]
struct Body {
    channel: u16,
    size: u32,
    remaining: u32,
    kept: [u8; BODY_KEPT],
}

/// The first seven octets of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) frame_type: u8,
    pub(super) channel: u16,
    pub(super) size: u32,
}

impl Head {
    #[inline]
    pub(super) fn read(input: &[u8]) -> Option<Head> {
        let &[frame_type, c1, c0, s3, s2, s1, s0] = input.first_chunk()?;
        Some(Head {
            frame_type,
            channel: u16::from_be_bytes([c1, c0]),
            size: u32::from_be_bytes([s3, s2, s1, s0]),
        })
    }
}

/// Cuts a byte stream into frames, keeping no bytes but a body frame's position.
#[derive(Debug)]
pub struct Decoder {
    frame_max: u32,
    body: Option<Body>,
}

impl Decoder {
    /// A decoder at a frame boundary; `frame_max` counts the whole frame, 0 is unlimited.
    pub const fn new(frame_max: u32) -> Decoder {
        Decoder { frame_max, body: None }
    }

    /// Changes the limit for the frames that follow.
    pub const fn set_frame_max(&mut self, frame_max: u32) {
        self.frame_max = frame_max;
    }

    /// Takes the next event off the front of `input`. None means that more bytes are needed; what
    /// is then left in `input` has to be presented again with more behind it. After an error the
    /// decoder must not be used again.
    #[inline]
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, FrameError> {
        if self.body.is_some() {
            return self.next_body(input);
        }
        let Some(head) = Head::read(input) else { return Ok(None) };
        self.check_size(head)?;
        if head.frame_type == FRAME_BODY {
            return self.start_body(head, input);
        }
        let size = head.size as usize;
        let Some(&end) = input.get(FRAME_HEADER_LEN + size) else { return Ok(None) };
        let (payload, rest) = split(input, FRAME_HEADER_LEN, size);
        if end != FRAME_END {
            return Err(bad_end(head.frame_type, payload, head.size, end));
        }
        let channel = head.channel;
        let event = match head.frame_type {
            FRAME_METHOD => Event::Method { channel, payload },
            FRAME_HEADER => Event::Header { channel, payload },
            FRAME_HEARTBEAT => Event::Heartbeat { channel, payload },
            frame_type => return Err(unknown(frame_type, channel, payload, head.size)),
        };
        *input = rest;
        Ok(Some(event))
    }

    /// How many bytes the pending frame needs in all, counted from the front of `input`: what a
    /// buffer must be able to hold for [`Decoder::next`] to report it whole.
    pub fn wanted(&self, input: &[u8]) -> usize {
        match (self.body, Head::read(input)) {
            (Some(body), _) => body.remaining as usize + 1,
            (None, Some(head)) => (head.size as usize).saturating_add(FRAME_OVERHEAD),
            (None, None) => FRAME_HEADER_LEN,
        }
    }

    /// Whether no body frame is under way.
    #[inline]
    pub(super) const fn is_between_frames(&self) -> bool {
        self.body.is_none()
    }

    /// The largest payload of a frame of this type.
    #[inline]
    fn payload_max(&self, frame_type: u8) -> u32 {
        match (self.frame_max, frame_type) {
            (0, FRAME_BODY) => u32::MAX,
            (0, _) => UNLIMITED_PAYLOAD_MAX,
            (frame_max, _) => frame_max.saturating_sub(FRAME_OVERHEAD as u32),
        }
    }

    #[inline]
    pub(super) fn is_too_large(&self, head: Head) -> bool {
        // RabbitMQ forgives clients that leave the frame's own head out of the sum.
        head.size > self.payload_max(head.frame_type).saturating_add(FRAME_OVERHEAD as u32)
    }

    #[inline]
    fn check_size(&self, head: Head) -> Result<(), FrameError> {
        if self.is_too_large(head) {
            let max = self.payload_max(head.frame_type);
            return Err(FrameError::TooLarge { frame_type: head.frame_type, size: head.size, max });
        }
        Ok(())
    }

    /// Reports a body frame at once if all of it is there, else begins to stream it.
    #[inline]
    fn start_body<'a>(
        &mut self,
        head: Head,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, FrameError> {
        let size = head.size as usize;
        if let Some(&end) = input.get(FRAME_HEADER_LEN.saturating_add(size)) {
            let (chunk, rest) = split(input, FRAME_HEADER_LEN, size);
            if end != FRAME_END {
                return Err(bad_end(FRAME_BODY, chunk, head.size, end));
            }
            *input = rest;
            return Ok(Some(Event::Body { channel: head.channel, chunk, end_of_frame: true }));
        }
        *input = input.get(FRAME_HEADER_LEN..).unwrap_or_default();
        self.body = Some(Body {
            channel: head.channel,
            size: head.size,
            remaining: head.size,
            kept: [0; BODY_KEPT],
        });
        self.next_body(input)
    }

    /// Hands out what there is of the body frame under way.
    fn next_body<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, FrameError> {
        let Some(body) = &mut self.body else { return Ok(None) };
        if input.is_empty() {
            return Ok(None);
        }
        let (chunk, rest) = input.split_at(input.len().min(body.remaining as usize));
        let done = (body.size - body.remaining) as usize;
        if let Some(kept) = body.kept.get_mut(done..) {
            kept.iter_mut().zip(chunk).for_each(|(slot, byte)| *slot = *byte);
        }
        body.remaining -= chunk.len() as u32;
        let channel = body.channel;
        *input = rest;
        let end_of_frame = match rest.split_first() {
            Some((&FRAME_END, after)) => {
                *input = after;
                self.body = None;
                true
            }
            Some((&got, _)) => {
                let kept = body.kept.get(..body.size as usize).unwrap_or(&body.kept);
                return Err(bad_end(FRAME_BODY, kept, body.size, got));
            }
            None => false,
        };
        Ok(Some(Event::Body { channel, chunk, end_of_frame }))
    }
}

/// Cuts `size` bytes at `at` out of `input`, and what lies behind them and the end octet.
#[inline]
fn split(input: &[u8], at: usize, size: usize) -> (&[u8], &[u8]) {
    let payload = input.get(at..at + size).unwrap_or_default();
    (payload, input.get(at + size + 1..).unwrap_or_default())
}

#[cold]
fn bad_end(frame_type: u8, payload: &[u8], size: u32, got: u8) -> FrameError {
    FrameError::BadFrameEnd { frame_type, payload: head_of(payload), size, got }
}

#[cold]
fn unknown(frame_type: u8, channel: u16, payload: &[u8], size: u32) -> FrameError {
    FrameError::UnknownFrame { frame_type, channel, payload: head_of(payload), size }
}

fn head_of(payload: &[u8]) -> Vec<u8> {
    payload.get(..payload.len().min(PAYLOAD_KEPT)).unwrap_or_default().to_vec()
}
