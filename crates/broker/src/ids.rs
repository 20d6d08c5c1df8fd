//! Identities that are unique in a broker and mean nothing outside of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a vhost, exchange, queue, user or a routing key: at most 255 bytes.
pub type Name = Arc<str>;

/// A point on the broker's clock, in milliseconds; passed in by the caller, never read here.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Later than everything.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `millis` after this one.
    #[must_use]
    pub fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// A queue's identity: a queue that is deleted and declared again has another.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct QueueId(pub u64);

/// A client connection, for the ownership of exclusive queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// A consumer, unique over all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

/// A message's place in its queue: dense, from 1, never reused.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(pub u64);
