//! A message with its protocol's own bytes in one block: exchange, routing key, properties, body.
//!
//! This is the only folder of the broker that may name `wire`: what a message's bytes mean is
//! looked up here (headers for routing, CC and BCC, expiration, priority), and nowhere else.

mod builder;
mod death;
mod delay;
mod delivery_count;
mod filter;
mod headers;
mod trace;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use builder::{MessageBuilder, PublishRefusal};
pub use death::{Burial, Buried};
pub use filter::{Comparison, Condition, Field, Filter};
pub use headers::{HeaderTable, excess_headers};
pub use leveret_wire::amqp091::properties::{BasicProperties, ShortString};
pub use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table, Value};
pub use trace::TraceContext;

use crate::ids::Timestamp;

/// A message as it was published. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    block: Bytes,
    exchange_len: u8,
    routing_key_len: u8,
    properties_len: u32,
    /// The priority property, 0 without one.
    pub priority: u8,
    /// Delivery mode 2: survives a restart in a durable queue.
    pub persistent: bool,
    /// The expiration property in milliseconds.
    pub expiration_ms: Option<u64>,
}

impl Message {
    /// How long [`Self::encode_head`] is.
    pub const HEAD_LEN: usize = 16;

    /// What a log keeps of the message in front of its [`block`](Self::block).
    #[inline]
    pub fn encode_head(&self) -> [u8; Self::HEAD_LEN] {
        let mut head = [0; Self::HEAD_LEN];
        head[0] = self.exchange_len;
        head[1] = self.routing_key_len;
        head[2] = self.priority;
        head[3] = u8::from(self.persistent) | u8::from(self.expiration_ms.is_some()) << 1;
        head[4..8].copy_from_slice(&self.properties_len.to_le_bytes());
        head[8..].copy_from_slice(&self.expiration_ms.unwrap_or(0).to_le_bytes());
        head
    }

    /// A record that is kept like a message: a body alone, persistent.
    pub(crate) fn record(body: Vec<u8>) -> Self {
        Self {
            block: body.into(),
            exchange_len: 0,
            routing_key_len: 0,
            properties_len: 0,
            priority: 0,
            persistent: true,
            expiration_ms: None,
        }
    }

    /// All its bytes in one block.
    pub fn block(&self) -> &Bytes {
        &self.block
    }

    /// The message from its head with its block behind it; none if they do not fit together.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < Self::HEAD_LEN {
            return None;
        }
        let head = bytes.split_to(Self::HEAD_LEN);
        let expiration_ms = u64::from_le_bytes(head[8..].try_into().ok()?);
        let message = Self {
            exchange_len: head[0],
            routing_key_len: head[1],
            properties_len: u32::from_le_bytes(head[4..8].try_into().ok()?),
            priority: head[2],
            persistent: head[3] & 1 != 0,
            expiration_ms: (head[3] & 2 != 0).then_some(expiration_ms),
            block: bytes,
        };
        let names = message.block.get(..message.properties_start())?;
        let names = names.split_at(usize::from(message.exchange_len));
        let fits = message.body_start() <= message.block.len()
            && std::str::from_utf8(names.0).is_ok()
            && std::str::from_utf8(names.1).is_ok();
        fits.then_some(message)
    }

    fn key_start(&self) -> usize {
        usize::from(self.exchange_len)
    }

    fn properties_start(&self) -> usize {
        self.key_start() + usize::from(self.routing_key_len)
    }

    fn body_start(&self) -> usize {
        self.properties_start() + self.properties_len as usize
    }

    /// The exchange that it was published to.
    #[inline]
    pub fn exchange(&self) -> &str {
        // The builder took it from a `&str`.
        std::str::from_utf8(&self.block[..self.key_start()]).unwrap_or_default()
    }

    /// Exchange and routing key as they go to a client: checked to be text when they came.
    #[inline]
    pub fn names(&self) -> (&[u8], &[u8]) {
        self.block[..self.properties_start()].split_at(self.key_start())
    }

    /// The routing key that it was published with.
    #[inline]
    pub fn routing_key(&self) -> &str {
        let bytes = &self.block[self.key_start()..self.properties_start()];
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The content header's property flags and list, untouched.
    #[inline]
    pub fn properties(&self) -> &[u8] {
        &self.block[self.properties_start()..self.body_start()]
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &[u8] {
        &self.block[self.body_start()..]
    }

    /// The body, sharing the message's memory.
    pub fn body_shared(&self) -> Bytes {
        self.block.slice(self.body_start()..)
    }

    /// The body's length in bytes.
    #[inline]
    pub fn body_len(&self) -> usize {
        self.block.len() - self.body_start()
    }

    /// The bytes of memory that it holds.
    pub fn size(&self) -> usize {
        self.block.len() + size_of::<Self>()
    }

    /// When it expires if it enters a queue at `now`.
    pub fn expires_at(&self, now: Timestamp) -> Timestamp {
        self.expiration_ms.map_or(Timestamp::NEVER, |millis| now.after(millis))
    }
}
