//! What can be wrong with a frame as such, and RabbitMQ's words for it.

use std::fmt::Write;

/// A frame that cannot be taken; the connection has to be closed with 501.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The payload is larger than the negotiated frame size allows.
    #[error("{}", self.reply_text())]
    TooLarge {
        /// Type octet.
        frame_type: u8,
        /// Size of the payload as announced.
        size: u32,
        /// The largest payload allowed.
        max: u32,
    },
    /// A frame of a type that 0-9-1 does not have.
    #[error("{}", self.reply_text())]
    UnknownFrame {
        /// Type octet.
        frame_type: u8,
        /// Channel number.
        channel: u16,
        /// The head of the payload.
        payload: Vec<u8>,
        /// Size of the whole payload.
        size: u32,
    },
    /// The octet after the payload is not `0xCE`.
    #[error("{}", self.reply_text())]
    BadFrameEnd {
        /// Type octet.
        frame_type: u8,
        /// The head of the payload.
        payload: Vec<u8>,
        /// Size of the whole payload.
        size: u32,
        /// What came instead.
        got: u8,
    },
}

impl FrameError {
    /// The reply text with which RabbitMQ closes the connection (`rabbit_reader:frame_error/5`).
    pub fn reply_text(&self) -> String {
        match self {
            FrameError::TooLarge { frame_type, size, max } => format!(
                "FRAME_ERROR - type {frame_type}, all octets = <<>>: \
                 {{frame_too_large,{size},{max}}}"
            ),
            FrameError::UnknownFrame { frame_type, payload, size, .. } => {
                format!(
                    "FRAME_ERROR - type {frame_type}, {}: unknown_frame",
                    octets(payload, *size)
                )
            }
            FrameError::BadFrameEnd { frame_type, payload, size, got } => format!(
                "FRAME_ERROR - type {frame_type}, {}: {{invalid_frame_end_marker,{got}}}",
                octets(payload, *size)
            ),
        }
    }
}

/// RabbitMQ's payload snippet: all of it up to 16 octets, else the first 16.
fn octets(payload: &[u8], size: u32) -> String {
    let shown = payload.get(..payload.len().min(16)).unwrap_or_default();
    let which = if size <= 16 { "all" } else { "first 16" };
    format!("{which} octets = {}", erlang_binary(shown))
}

/// A binary as Erlang's `~p` prints it: `<<"text">>` if all of it is printable, else `<<1,2,3>>`.
pub fn erlang_binary(bytes: &[u8]) -> String {
    let printable =
        |byte: &u8| matches!(byte, 8..=13 | 27 | 32..=126 | 160..=255) && !bytes.is_empty();
    if bytes.is_empty() {
        return "<<>>".to_owned();
    }
    let mut text = String::from("<<");
    if bytes.iter().all(printable) {
        text.push('"');
        for &byte in bytes {
            push_escaped(&mut text, byte);
        }
        text.push('"');
    } else {
        for (index, byte) in bytes.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{byte}");
        }
    }
    text.push_str(">>");
    text
}

fn push_escaped(text: &mut String, byte: u8) {
    let escape = match byte {
        8 => 'b',
        9 => 't',
        10 => 'n',
        11 => 'v',
        12 => 'f',
        13 => 'r',
        27 => 'e',
        b'"' | b'\\' => char::from(byte),
        _ => return text.push(char::from(byte)),
    };
    text.push('\\');
    text.push(escape);
}
