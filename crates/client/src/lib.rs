//! A small blocking AMQP 0-9-1 client on wire, for perf, shovel and tests.
//!
//! One [`Connection`] is one socket used by one thread: [`Connection::call`] waits for its reply
//! and keeps what else arrives for [`Connection::next`]. Publishes and acks gather in an out-buffer
//! that is written when it is full or flushed. A load generator that wants the bytes themselves
//! takes the connection apart with [`Connection::split`], which TLS cannot be. Not here: recovery,
//! heartbeats (none are negotiated).

mod connection;
mod error;
mod inbox;
mod methods;
mod received;
mod split;
mod uri;
mod wire_stream;

pub use connection::{Channel, Connection, Options};
pub use error::{Closed, Error};
pub use inbox::Inbox;
pub use leveret_wire as wire;
pub use methods::{ConsumeOptions, Declared, ExchangeOptions, Publish, QueueOptions};
pub use received::{Delivery, Incoming, Reply, Returned};
pub use rustls::ClientConfig as TlsConfig;
pub use split::{Receiver, Sender, delivery_tag};
pub use uri::{Uri, UriError};
