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

/// Places side by side, from `first` up to and with `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeqRange {
    /// The first.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

impl SeqRange {
    /// All places that there can be.
    pub const ALL: Self = Self { first: Seq(0), last: Seq(u64::MAX) };

    /// One place.
    #[must_use]
    pub fn one(seq: Seq) -> Self {
        Self { first: seq, last: seq }
    }

    /// Adds `seq` to ordered ranges: the last one grows if `seq` is the next place behind it.
    pub fn push(ranges: &mut Vec<Self>, seq: Seq) {
        match ranges.last_mut() {
            Some(range) if range.last.0 + 1 == seq.0 => range.last = seq,
            _ => ranges.push(Self::one(seq)),
        }
    }

    /// How many places.
    pub fn count(&self) -> u64 {
        (self.last.0 - self.first.0).saturating_add(1)
    }
}

/// One durable change.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A change of the definitions.
    Define(Command),
    /// A message entered a queue. Entries of one group with the same message (by its memory) keep
    /// its bytes once.
    Publish {
        /// The queue.
        queue: QueueId,
        /// The place that the message got: larger than any before it in this queue.
        seq: Seq,
        /// The level that it stands in: its priority, as far as the queue has priorities.
        level: u8,
        /// The message with its protocol's own bytes.
        message: Message,
        /// When it expires, whether the broker runs or not.
        expires_at: Timestamp,
    },
    /// Messages left a queue for good: acknowledged, rejected, expired or dropped. Places that hold
    /// no durable message are passed over.
    Settle {
        /// The queue.
        queue: QueueId,
        /// The messages.
        seqs: Vec<SeqRange>,
    },
    /// Messages came back to their places after a delivery, each with how often by now.
    Return {
        /// The queue.
        queue: QueueId,
        /// The messages.
        returns: Vec<(Seq, u32)>,
    },
    /// Messages up to this place may have been delivered, and none behind it: after a restart they
    /// are redelivered.
    Delivered {
        /// The queue.
        queue: QueueId,
        /// The last of them.
        through: Seq,
    },
    /// The queue is gone with all its messages.
    Drop {
        /// The queue.
        queue: QueueId,
    },
}

/// A message that is read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// Its place.
    pub seq: Seq,
    /// What there is at this place; none if it cannot be read: it is damaged, or its disk fails.
    /// The log has reported it, and keeps it for a later start or a salvage.
    pub message: Option<(Message, Timestamp)>,
}

/// What a log kept of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveredQueue {
    /// The queue.
    pub queue: QueueId,
    /// The last place that was ever given: none may be given again.
    pub last_seq: Seq,
    /// The messages that are there, by level, in order.
    pub levels: Vec<(u8, Vec<SeqRange>)>,
    /// The bytes of their bodies (an estimate where many of a backlog were settled out of order).
    pub body_bytes: u64,
    /// Those that came back after a delivery, with how often.
    pub returns: Vec<(Seq, u32)>,
    /// Messages up to here may have been delivered.
    pub delivered: Seq,
}

/// What a log kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// Applied in order they give the definitions.
    pub commands: Vec<Command>,
    /// Each queue once.
    pub queues: Vec<RecoveredQueue>,
    /// The largest queue id that was ever logged.
    pub last_queue: QueueId,
}

/// Told when a position is durable.
pub trait Wake: Send + Sync {
    /// Called once, from any thread; must not block.
    fn wake(&self);
}

/// Where durable changes go, and where messages are put that memory shall not hold.
pub trait Log: Send + Sync {
    /// Appends `entries` as one group, durable together or not at all; the order of calls is the
    /// order of the log.
    fn append(&self, entries: &[Entry]) -> Position;

    /// Everything up to here is durable.
    fn durable(&self) -> Position;

    /// Calls `waker` once `position` is durable (at once, if it already is).
    fn notify(&self, position: Position, waker: Arc<dyn Wake>);

    /// Whether messages can be read back, so that queues need not hold them in memory.
    fn keeps_messages(&self) -> bool {
        false
    }

    /// Reads messages of `wanted` back (in its order, which need not be sorted), as many as
    /// `max_bytes` hold, but one at least. Blocks on the disk. Each place that was looked at is in
    /// the answer, unless there is no message at it.
    fn fetch(&self, queue: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Vec<Fetched> {
        let _ = (queue, wanted, max_bytes);
        Vec::new()
    }

    /// Reads messages as [`Self::fetch`] does, only so that the system has them at hand when they
    /// are fetched soon; the last place that was looked at, if there was a message at any. What
    /// cannot be read is not reported.
    fn prefetch(&self, queue: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Option<Seq> {
        self.fetch(queue, wanted, max_bytes).last().map(|found| found.seq)
    }

    /// Puts a message that is not durable aside, to be fetched later; gone with the process. False
    /// if there is no room for it.
    fn spill(&self, queue: QueueId, seq: Seq, message: &Message, expires_at: Timestamp) -> bool {
        let _ = (queue, seq, message, expires_at);
        false
    }

    /// Forgets spilled messages; places that hold none are passed over.
    fn unspill(&self, queue: QueueId, seqs: &[SeqRange]) {
        let _ = (queue, seqs);
    }

    /// Bytes that were appended and are not durable yet.
    fn pending_bytes(&self) -> usize {
        0
    }
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
