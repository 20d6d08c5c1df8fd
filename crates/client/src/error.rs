//! What can go wrong between the client and a server.

use std::fmt;

use leveret_wire::amqp091::DecodeError;
use leveret_wire::amqp091::frame::FrameError;

use super::UriError;

/// What a server said when it closed a channel or the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Reply code, such as 404.
    pub reply_code: u16,
    /// Reply text, with the code's name in front.
    pub reply_text: String,
    /// Class of the method at fault, or 0.
    pub class_id: u16,
    /// Method at fault, or 0.
    pub method_id: u16,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reply_code, self.reply_text)
    }
}

/// Any failure of the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] std::io::Error),
    /// The server closed the socket without saying why.
    #[error("the server closed the connection")]
    Disconnected,
    /// The server speaks another protocol; these are the eight bytes it offers.
    #[error("the server wants protocol header {0:?}")]
    Protocol([u8; 8]),
    /// The server sent something that is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The server sent a frame that makes no sense.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A URI that cannot be used.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The server closed the connection.
    #[error("connection closed by the server: {0}")]
    ConnectionClosed(Closed),
    /// The server closed a channel.
    #[error("channel {channel} closed by the server: {closed}")]
    ChannelClosed {
        /// Channel number.
        channel: u16,
        /// What it said.
        closed: Closed,
    },
    /// A reply that does not fit what was asked.
    #[error("expected {expected}, got {got}")]
    Unexpected {
        /// What was awaited.
        expected: &'static str,
        /// The method that came.
        got: &'static str,
    },
    /// The server refused messages that were to be confirmed.
    #[error("{0} messages were not confirmed")]
    NotConfirmed(u64),
    /// Something did not come in time.
    #[error("timed out waiting for {0}")]
    Timeout(&'static str),
    /// `amqps` without settings for TLS.
    #[error("there are no settings for TLS")]
    NoTls,
    /// Something that cannot be done over TLS.
    #[error("this cannot be done over TLS; use amqp://")]
    NotOverTls,
    /// More channels than the connection may have.
    #[error("no channel number is free")]
    NoChannel,
}
