//! The two halves of a connection whose owner deals with frames itself: a load generator.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use leveret_wire::amqp091::frame::Event;
use leveret_wire::amqp091::method::Method;

use super::{Closed, Error, Inbox};

/// The writing half.
#[derive(Debug)]
pub struct Sender {
    stream: TcpStream,
}

impl Sender {
    pub(crate) const fn new(stream: TcpStream) -> Sender {
        Sender { stream }
    }

    /// Writes whole frames, blocking until the kernel has them.
    pub fn write(&mut self, frames: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(frames)?)
    }

    /// Another handle to the same socket; its owner must not write between the frames of a message.
    pub fn try_clone(&self) -> Result<Sender, Error> {
        Ok(Sender { stream: self.stream.try_clone()? })
    }

    /// Ends the socket for both halves; a blocked read or write returns.
    pub fn shutdown(&self) {
        // The other side may have been faster.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The reading half.
#[derive(Debug)]
pub struct Receiver {
    stream: TcpStream,
    inbox: Inbox,
}

impl Receiver {
    pub(crate) const fn new(stream: TcpStream, inbox: Inbox) -> Receiver {
        Receiver { stream, inbox }
    }

    /// Reads once, blocking; false at the end of the stream.
    pub fn read(&mut self) -> Result<bool, Error> {
        loop {
            match self.inbox.fill(&mut self.stream) {
                Ok(got) => return Ok(got > 0),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hands every event that has been read to `take`.
    pub fn drain(&mut self, take: impl FnMut(Event<'_>) -> Result<(), Error>) -> Result<(), Error> {
        self.inbox.drain(take)
    }
}

/// The delivery tag of a `basic.deliver` payload, without decoding the rest; none if the method is
/// another one.
#[inline]
pub fn delivery_tag(payload: &[u8]) -> Option<u64> {
    let (&[0, 60, 0, 60, len], rest) = payload.split_first_chunk::<5>()? else { return None };
    let tag = rest.get(usize::from(len)..)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*tag))
}

impl Closed {
    /// The error that a `close` method means, if it is one.
    pub fn of_method(channel: u16, method: &Method<'_>) -> Option<Error> {
        match *method {
            Method::ConnectionClose { reply_code, reply_text, class_id, method_id } => {
                let reply_text = reply_text.to_owned();
                Some(Error::ConnectionClosed(Closed {
                    reply_code,
                    reply_text,
                    class_id,
                    method_id,
                }))
            }
            Method::ChannelClose { reply_code, reply_text, class_id, method_id } => {
                let reply_text = reply_text.to_owned();
                let closed = Closed { reply_code, reply_text, class_id, method_id };
                Some(Error::ChannelClosed { channel, closed })
            }
            _ => None,
        }
    }
}
