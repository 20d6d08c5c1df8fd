//! Bytes to frames and back, sans-I/O, one folder a protocol.
//!
//! Owns the byte formats and nothing else: no sockets, no clock, no tasks. Invariants: no function
//! panics on any input, nothing recurses deeper than [`amqp091::table::DEPTH_MAX`], and what is
//! decoded borrows from the caller's buffer. Called by the server's sessions, by the broker's
//! message type and by the client.

pub mod amqp091;
pub mod proxy_protocol;
pub mod x509;
