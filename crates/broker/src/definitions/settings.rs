//! What a queue's arguments and policies come to: the settings that are in force.
//!
//! Invariant: settings are derived, never stored, so that a replay of the definitions gives the
//! same ones again.

use std::sync::{Arc, LazyLock};

use crate::ids::Name;

/// What to do with a message for which a length limit leaves no room (RabbitMQ: Queue Length
/// Limit).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Drop or dead-letter the oldest.
    #[default]
    DropHead,
    /// Refuse the new one (a negative confirm).
    RejectPublish,
    /// Refuse the new one, and dead-letter it.
    RejectPublishDlx,
}

/// What a dead-lettered message may suffer on its way (RabbitMQ: Quorum Queues, "Dead lettering").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeadLetterStrategy {
    /// It may be lost.
    #[default]
    AtMostOnce,
    /// It stays in its queue until all targets have it.
    AtLeastOnce,
}

/// Which returns to the queue are delayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryKind {
    /// Each.
    All,
    /// Those of messages whose processing failed, which counts against a delivery limit.
    Failed,
    /// Those of messages that were given back unprocessed.
    Returned,
}

/// How a delay grows with the number of returns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backoff {
    /// The least delay, times the count.
    #[default]
    Linear,
    /// Always the least delay.
    Fixed,
    /// The least delay, doubled each time.
    Exponential,
}

/// Messages that come back wait before they are delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayedRetry {
    /// Which returns.
    pub kind: RetryKind,
    /// The delay of the first return, in milliseconds; at least 1.
    pub min_ms: u64,
    /// The longest delay, in milliseconds; at least `min_ms`.
    pub max_ms: u64,
    /// How it grows.
    pub backoff: Backoff,
    /// By how much chance changes it, in per cent of the delay.
    pub jitter_percent: u8,
}

/// Messages whose deduplication header was seen before are not taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deduplication {
    /// How many headers are remembered.
    pub cache_size: u64,
    /// For how long, in milliseconds; for ever without it.
    pub cache_ttl_ms: Option<u64>,
}

/// The settings of a queue that are in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueSettings {
    /// Deleted after this time without use, in milliseconds.
    pub expires_ms: Option<u64>,
    /// How long a message may wait, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// Most ready messages.
    pub max_length: Option<u64>,
    /// Most bytes of ready bodies.
    pub max_length_bytes: Option<u64>,
    /// Highest priority; 0 is a queue without priorities. By argument only: never changes.
    pub max_priority: u8,
    /// What to do at a length limit.
    pub overflow: Overflow,
    /// Where dead letters go.
    pub dead_letter_exchange: Option<Name>,
    /// Their routing key instead of their own.
    pub dead_letter_routing_key: Option<Name>,
    /// How surely they get there.
    pub dead_letter_strategy: DeadLetterStrategy,
    /// Only one consumer at a time gets messages. By argument only: never changes.
    pub single_active_consumer: bool,
    /// A message that came back more often than this is dead (quorum queues).
    pub delivery_limit: Option<u64>,
    /// Declared as a quorum queue.
    pub quorum: bool,
    /// Messages that come back wait first.
    pub delayed_retry: Option<DelayedRetry>,
    /// How long a consumer may keep a delivery, in milliseconds; not at all limited without it, or
    /// with 0.
    pub consumer_timeout_ms: Option<u64>,
    /// The header whose value makes messages a group. By argument only.
    pub message_group_header: Option<Name>,
    /// Deduplication of what is published.
    pub deduplication: Option<Deduplication>,
}

impl QueueSettings {
    /// These in an [`Arc`]; one for all queues that have nothing set, which most have not.
    pub(crate) fn shared(self) -> Arc<Self> {
        static NOTHING_SET: LazyLock<Arc<QueueSettings>> = LazyLock::new(Arc::default);
        if self == **NOTHING_SET { Arc::clone(&NOTHING_SET) } else { Arc::new(self) }
    }
}
