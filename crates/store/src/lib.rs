//! Keeps what must survive: one checksummed, group-committed log for all queues, segment files for
//! what stays long, and the manifest that ties them together. What a message means is none of its
//! business.
//!
//! Everything goes through a [`disk::Disk`], so that the same code runs over a real directory and
//! over one that fails on purpose.

mod buffer;
pub mod disk;
mod error;
mod index;
mod log;
mod manifest;
mod report;
mod segment;
mod spill;
mod store;
mod threads;
pub mod tools;

#[cfg(test)]
mod memory_disk;

pub use error::{Fatal, OpenError};
pub use log::record::Target;
pub use report::{Damage, Report};
pub use store::{
    Committed, Definitions, Durability, Fetched, Group, Opened, Options, RecoveredQueue, Status,
    Store, Upkeep,
};
pub use threads::{Events, Threads};

/// A queue's number, never used again for another one.
pub type QueueId = u64;

/// A message's place in its queue, rising.
pub type Seq = u64;

/// Places from `first` up to and with `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// The first.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}
