//! The content header: class, body size and the property bytes as they came.

use super::super::codec::with_length;
use super::super::constants::{FRAME_END, FRAME_HEADER};
use super::super::error::DecodeError;

/// A content header frame's payload; `properties` is flags and list, not parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// Class id; must be that of the method.
    pub class_id: u16,
    /// Size of the body in all its frames.
    pub body_size: u64,
    /// For [`super::super::properties::Properties::parse`].
    pub properties: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Reads the fixed part; the weight is ignored, as RabbitMQ does.
    pub fn decode(payload: &'a [u8]) -> Result<ContentHeader<'a>, DecodeError> {
        let (fixed, properties) = payload.split_first_chunk::<12>().ok_or(DecodeError::TooShort)?;
        let [k1, k0, _, _, s7, s6, s5, s4, s3, s2, s1, s0] = *fixed;
        Ok(ContentHeader {
            class_id: u16::from_be_bytes([k1, k0]),
            body_size: u64::from_be_bytes([s7, s6, s5, s4, s3, s2, s1, s0]),
            properties,
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.class_id.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.body_size.to_be_bytes());
        out.extend_from_slice(self.properties);
    }

    /// Appends the whole frame.
    pub fn encode_frame(&self, channel: u16, out: &mut Vec<u8>) {
        out.push(FRAME_HEADER);
        out.extend_from_slice(&channel.to_be_bytes());
        with_length(out, |out| self.encode(out));
        out.push(FRAME_END);
    }
}
