//! A publish that is in the input as a whole: its method, its content header and one body frame,
//! taken in one go.
//!
//! Invariant: what is found here is what [`Decoder::next`], `Method::decode` and
//! `ContentHeader::decode` find in three steps. Whatever they would refuse, whatever is not whole,
//! and whatever is unusual (no body, several body frames) is not found, and left to them.

use super::super::constants::{
    CLASS_BASIC, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEADER_LEN, FRAME_METHOD,
};
use super::Decoder;
use super::decoder::Head;

/// A `basic.publish` with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Channel number.
    pub channel: u16,
    /// A short string, not checked to be UTF-8, as methods want it.
    pub exchange: &'a [u8],
    /// A short string, not checked to be UTF-8.
    pub routing_key: &'a [u8],
    /// To be returned if no queue gets it.
    pub mandatory: bool,
    /// To be delivered at once or not at all.
    pub immediate: bool,
    /// For [`super::super::properties::Properties::parse`].
    pub properties: &'a [u8],
    /// All of the body; not empty.
    pub body: &'a [u8],
}

impl Decoder {
    /// The publish that `input` begins with, if it is there as a whole, and what lies behind it.
    /// Takes nothing.
    #[inline]
    pub fn whole_publish<'a>(&self, input: &'a [u8]) -> Option<(Publish<'a>, &'a [u8])> {
        // Type, channel, size; class 60, method 40.
        let &[FRAME_METHOD, c1, c0, _, _, _, _, 0, 60, 0, 40] = input.first_chunk()? else {
            return None;
        };
        if !self.is_between_frames() {
            return None;
        }
        let channel = u16::from_be_bytes([c1, c0]);
        let (method, behind) = self.whole_frame(FRAME_METHOD, channel, input)?;
        let (header, behind) = self.whole_frame(FRAME_HEADER, channel, behind)?;
        let (body, behind) = self.whole_frame(FRAME_BODY, channel, behind)?;
        // The ids, and a field that is reserved.
        let (exchange, rest) = short_bytes(method.get(6..)?)?;
        let (routing_key, &[bits]) = short_bytes(rest)? else { return None };
        let (fixed, properties) = header.split_first_chunk::<12>()?;
        let [k1, k0, 0, 0, size @ ..] = *fixed else { return None };
        let fits = u16::from_be_bytes([k1, k0]) == CLASS_BASIC
            && u64::from_be_bytes(size) == body.len() as u64
            && !body.is_empty();
        let (mandatory, immediate) = (bits & 1 != 0, bits & 2 != 0);
        let publish =
            Publish { channel, exchange, routing_key, mandatory, immediate, properties, body };
        fits.then_some((publish, behind))
    }

    /// The payload of the frame that `input` begins with, if it is right and wholly there, and what
    /// lies behind it.
    #[inline]
    fn whole_frame<'a>(
        &self,
        frame_type: u8,
        channel: u16,
        input: &'a [u8],
    ) -> Option<(&'a [u8], &'a [u8])> {
        let head = Head::read(input)?;
        if head.frame_type != frame_type || head.channel != channel || self.is_too_large(head) {
            return None;
        }
        let (payload, behind) =
            input.get(FRAME_HEADER_LEN..)?.split_at_checked(head.size as usize)?;
        let (&end, behind) = behind.split_first()?;
        (end == FRAME_END).then_some((payload, behind))
    }
}

/// A short string, and what lies behind it.
#[inline]
fn short_bytes(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = input.split_first()?;
    rest.split_at_checked(usize::from(len))
}
