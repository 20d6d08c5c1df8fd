//! Protocol sessions: bytes in, verbs of the broker, bytes out. One folder a protocol.

pub(crate) mod amqp091;
mod peer;

pub(crate) use peer::{Peer, Tls};
