//! The seam between the broker's meaning and whatever makes it durable.
//!
//! Everything that must survive is an [`Entry`]; a [`Log`] takes entries in groups that are durable
//! together or not at all, and answers with a [`Position`]. Whoever promised something to a client
//! (a confirm, a declare-ok) waits until [`Log::durable`] has passed that position. Queues that are
//! not durable never call the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::definitions::Command;
use crate::ids::{QueueId, Seq, Timestamp};
use crate::message::Message;

/// A place in the log; everything up to it is durable once [`Log::durable`] has reached it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position(pub u64);

impl Position {
    /// Before everything: what has this position needs no log.
    pub const START: Self = Self(0);
}

/// One durable change. New kinds are added at the end: the index is the wire form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A change of the definitions.
    Define(Command),
    /// A message entered a queue.
    Publish {
        /// The queue.
        queue: QueueId,
        /// The place that the message got.
        seq: Seq,
        /// The message with its protocol's own bytes.
        message: Message,
        /// When it expires, whether the broker runs or not.
        expires_at: Timestamp,
    },
    /// Messages left a queue for good: acknowledged, rejected, expired or dropped.
    Settle {
        /// The queue.
        queue: QueueId,
        /// The messages.
        seqs: Vec<Seq>,
    },
    /// Messages came back to their places after a delivery.
    Return {
        /// The queue.
        queue: QueueId,
        /// The messages.
        seqs: Vec<Seq>,
    },
}

/// Told when a position is durable.
pub trait Wake: Send + Sync {
    /// Called once, from any thread; must not block.
    fn wake(&self);
}

/// Where durable changes go.
pub trait Log: Send + Sync {
    /// Appends `entries` as one group, durable together or not at all; the order of calls is the
    /// order of the log.
    fn append(&self, entries: &[Entry]) -> Position;

    /// Everything up to here is durable.
    fn durable(&self) -> Position;

    /// Calls `waker` once `position` is durable (at once, if it already is).
    fn notify(&self, position: Position, waker: Arc<dyn Wake>);
}

/// A log that keeps nothing and calls everything durable: what a broker without storage has.
#[derive(Debug, Default)]
pub struct NoLog {
    appended: AtomicU64,
}

impl Log for NoLog {
    fn append(&self, entries: &[Entry]) -> Position {
        let count = entries.len() as u64;
        Position(self.appended.fetch_add(count, Ordering::AcqRel) + count)
    }

    fn durable(&self) -> Position {
        Position(u64::MAX)
    }

    fn notify(&self, _position: Position, waker: Arc<dyn Wake>) {
        waker.wake();
    }
}
