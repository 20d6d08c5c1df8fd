//! AMQP 0-9-1 with RabbitMQ's extensions: frames, methods, tables, properties.
//!
//! `frame` cuts a byte stream into frames and writes them, `method` gives a method frame its
//! meaning, `table` and `properties` read what is inside. Where the specification and RabbitMQ
//! differ, RabbitMQ's behaviour is kept, since its clients were written against it.

mod codec;
pub mod constants;
mod error;
pub mod frame;
pub mod method;
pub mod properties;
pub mod table;

pub use constants::{PROTOCOL_HEADER, ReplyCode};
pub use error::DecodeError;
