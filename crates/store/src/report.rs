//! What opening a store found and did.

use std::fmt;

use crate::{QueueId, Seq};

/// Something that was durable once and cannot be read now. It is never deleted: the file that it is
/// in is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The first block of a log file; its batches were found without it.
    LogHeader {
        /// The file's number.
        file: u64,
    },
    /// Parts of a batch of the log.
    LogBatch {
        /// The batch.
        batch: u64,
        /// The bytes that are not whole records.
        lost_bytes: u64,
    },
    /// Whole batches of the log.
    LogBatches {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A record whose checksums are right, and whose contents are not.
    LogRecord {
        /// Its batch.
        batch: u64,
        /// Its place in it.
        offset: u32,
    },
    /// A segment's index, which was made again from its records.
    SegmentIndex {
        /// The segment.
        segment: u64,
        /// What is wrong.
        why: String,
    },
    /// Messages.
    Messages {
        /// Their queue.
        queue: QueueId,
        /// The first of their places there.
        first: Seq,
        /// The last.
        last: Seq,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogHeader { file } => write!(f, "log file {file}: its header is damaged"),
            Self::LogBatch { batch, lost_bytes } => {
                write!(f, "log batch {batch}: {lost_bytes} bytes are damaged")
            }
            Self::LogBatches { first, last } => {
                write!(f, "log batches {first} to {last} are missing")
            }
            Self::LogRecord { batch, offset } => {
                write!(f, "log batch {batch}: the record at {offset} makes no sense")
            }
            Self::SegmentIndex { segment, why } => {
                write!(f, "segment {segment}: its index was made again ({why})")
            }
            Self::Messages { queue, first, last } => {
                write!(f, "queue {queue}: the messages {first} to {last} are lost")
            }
        }
    }
}

/// What opening a store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches of the log that were read.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// The number of the last batch, 0 without one.
    pub log_end: u64,
    /// A torn end of the log that was cut: the batch's number, and the bytes it should have had.
    pub torn: Option<(u64, u64)>,
    /// Queues with messages.
    pub queues: u64,
    /// Messages.
    pub messages: u64,
    /// Segment files.
    pub segments: u64,
    /// What cannot be read.
    pub damages: Vec<Damage>,
}
