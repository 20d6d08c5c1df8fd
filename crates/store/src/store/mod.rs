//! The store: a log for all queues, and what became of what it held.
//!
//! Appending only fills the open batch, in memory; [`Store::commit`] writes one batch and makes it
//! durable; [`Store::upkeep`] keeps the log short. Each is one step, so that a test can take them
//! in any order in one thread; [`crate::Threads`] takes them for a running broker.
//!
//! One mutex covers the open batch and the index, so that the index is always that of a point in
//! the log. Nothing under it waits for a disk, except a spill that the page cache does not take.

mod append;
mod commit;
mod fetch;
mod flush;
pub(crate) mod open;
pub(crate) mod upkeep;
mod waiting;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub use append::Group;
pub use commit::Committed;
pub use fetch::Fetched;
pub use open::{Opened, RecoveredQueue};
pub use upkeep::Upkeep;

use crate::buffer::Buffer;
use crate::disk::Disk;
use crate::index::{Held, Index};
use crate::log::batch::Batch;
use crate::log::kept::{self, Kept, Pile};
use crate::log::ring::Ring;
use crate::spill::Spill;
use upkeep::Pending;
use waiting::Waiting;

/// When a batch counts as durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once the disk has it (`fdatasync`): it survives a power cut.
    #[default]
    Sync,
    /// Once the operating system has it: it survives the end of the process.
    Os,
}

/// How a store works. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// When a batch counts as durable.
    pub durability: Durability,
    /// The size of a file of the log.
    pub log_file_size: u64,
    /// How many files the log may have before what it holds is moved to segments.
    pub log_files: usize,
    /// A batch takes no further group once it has this size.
    pub batch_size: usize,
    /// The unit in which segments give space back.
    pub extent_size: usize,
    /// How many messages may be in the log alone before they are moved to segments.
    pub log_messages_max: usize,
    /// How many files of the log may be kept in memory while messages pile up; more than three are
    /// of no use.
    pub kept_files: usize,
    /// By chance, another one at each start: what tells bytes of an earlier use of a file apart.
    pub seed: [u8; 16],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            log_file_size: 64 << 20,
            log_files: 16,
            batch_size: 4 << 20,
            extent_size: 4 << 20,
            log_messages_max: 2_000_000,
            kept_files: kept::FILES_MAX,
            seed: [0; 16],
        }
    }
}

/// Everything under the one mutex.
struct Core {
    open: Batch,
    /// Full batches that wait to be written.
    closed: VecDeque<Batch>,
    /// The batch that is being written.
    flying: Option<u64>,
    /// Buffers to be used again.
    buffers: Vec<Buffer>,
    ring: Ring,
    kept: Kept,
    pile: Pile,
    index: Index,
    segments: BTreeMap<u64, Held>,
    spill: Spill,
    /// Changes of the definitions that were ever appended.
    defined: u64,
    /// Someone waits on `work`.
    writer_waits: bool,
}

/// Where the definitions come from when they are to be written as a whole: the bytes, and how many
/// changes of the definitions they include. None if they cannot be had any more.
pub type Definitions = dyn Fn() -> Option<(Vec<u8>, u64)> + Send + Sync;

/// An open data directory.
pub struct Store {
    disk: Arc<dyn Disk>,
    options: Options,
    core: Mutex<Core>,
    /// Told when there is something to write.
    work: Condvar,
    /// Told when a batch is durable.
    progress: Condvar,
    durable: AtomicU64,
    pending_bytes: AtomicUsize,
    /// Upkeep goes on once this batch is durable.
    awaited: AtomicU64,
    waiting: Mutex<Waiting>,
    upkeep: Mutex<Pending>,
    definitions: Mutex<Option<Arc<Definitions>>>,
    stopping: AtomicBool,
    _lock: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("options", &self.options).finish_non_exhaustive()
    }
}

/// How a store is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Bytes that were appended and are not durable.
    pub pending_bytes: usize,
    /// Messages in the log alone.
    pub log_messages: usize,
    /// Files of the log that hold something.
    pub log_files: usize,
    /// Files of the log that are ready to be used.
    pub log_spares: usize,
    /// Segment files.
    pub segments: usize,
    /// Files with spilled messages.
    pub spill_files: usize,
}

impl Store {
    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic under the mutex is a bug; what is there is still the best there is.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in batches up to this one is durable.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Bytes that were appended and are not durable.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    /// Where [`Store::upkeep`] gets the definitions from.
    pub fn set_definitions(&self, definitions: Arc<Definitions>) {
        *self.definitions.lock().unwrap_or_else(PoisonError::into_inner) = Some(definitions);
    }

    /// How many changes of the definitions were appended.
    pub fn defined(&self) -> u64 {
        self.core().defined
    }

    /// By how many files the log is longer than it should be: upkeep cannot keep up. While messages
    /// pile up, that is by one as soon as upkeep is behind what is kept in memory.
    pub(crate) fn files_too_many(&self) -> usize {
        let core = self.core();
        let files = core.ring.files.len();
        let keeps = self.options.kept_files > 0;
        let behind = keeps && core.pile.grows() && files >= kept::FILES_MAX;
        (files + 1).saturating_sub(self.options.log_files).max(usize::from(behind))
    }

    /// Whether upkeep waits for what is appended to be durable.
    pub(crate) fn is_awaited(&self) -> bool {
        self.durable() < self.awaited.load(Ordering::Relaxed)
    }

    /// The bytes that the disk can still take.
    pub fn free_bytes(&self) -> std::io::Result<u64> {
        self.disk.free_bytes()
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let core = self.core();
        Status {
            pending_bytes: self.pending_bytes(),
            log_messages: core.index.tail_len(),
            log_files: core.ring.files.len(),
            log_spares: core.ring.spares.len(),
            segments: core.segments.len(),
            spill_files: core.spill.files(),
        }
    }
}
