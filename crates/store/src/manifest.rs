//! The manifest: which segments there are, what of them lives, and from where on the log counts.
//!
//! Invariants: the manifest is replaced as a whole, at once or not at all. One that is damaged or
//! of another format is an error and never taken for an empty one.

mod container;
mod restore;
mod tail;
#[cfg(test)]
mod tests;

use std::io;

use bytes::Bytes;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::segment::Run;
use container::Container;

pub use restore::{Lost, Restored, restore};
pub use tail::{QueueTail, TailEntry};

/// The name of the manifest's file.
pub const MANIFEST: &str = "manifest";

/// The format of the manifest that this version writes, and the only one that it reads.
pub const MANIFEST_FORMAT: u16 = 2;

/// The format of a definitions file that this version writes, and the only one that it reads.
pub const DEFINITIONS_FORMAT: u16 = 2;

const MANIFEST_FILE: Container = Container { magic: *b"LVRTMANI", format: MANIFEST_FORMAT };
const DEFINITIONS_FILE: Container = Container { magic: *b"LVRTDEFS", format: DEFINITIONS_FORMAT };

/// Why a manifest or a definitions file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk failed.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: String,
        /// How it failed.
        error: io::Error,
    },
    /// The file is not what was written.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Another version of the broker wrote it.
    #[error(
        "{file} has format {found}, and this version of Leveret reads format {known} only: use \
         the version that wrote it, or a newer one"
    )]
    Format {
        /// The file.
        file: String,
        /// The format that the file says.
        found: u16,
        /// The format that this version writes and reads.
        known: u16,
    },
}

/// What a store is, beside its log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which store it is, by chance.
    pub store_id: [u8; 16],
    /// The first batch of the log that counts.
    pub replay_from: u64,
    /// The id of the next segment.
    pub next_segment: u64,
    /// The highest id that a queue ever had.
    pub last_queue: u64,
    /// The file with the definitions, once there is one.
    pub definitions: Option<DefinitionsFile>,
    /// All segments.
    pub segments: Vec<SegmentEntry>,
    /// What is known of queues beside their messages.
    pub queues: Vec<QueueState>,
    /// What a clean stop left, so that the log need not be replayed.
    pub clean: Option<CleanStop>,
}

/// A snapshot of the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionsFile {
    /// The number in the file's name.
    pub number: u64,
    /// The last batch of the log whose changes are in it.
    pub through: u64,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its id.
    pub id: u64,
    /// The runs in which something lives.
    pub runs: Vec<RunState>,
    /// The extents that were given back.
    pub punched: Vec<u32>,
}

/// What lives of a run. It needs no segment to tell which seqs these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// The queue.
    pub queue: u64,
    /// The priority level.
    pub level: u8,
    /// The first seq of the run, live or not.
    pub first: u64,
    /// The last seq of the run, live or not.
    pub last: u64,
    /// Which of its seqs live.
    pub live: Live,
}

/// Which seqs of a run live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Live {
    /// Every one from the first to the last.
    All,
    /// Those of a roaring bitmap, relative to the first.
    Some(Bytes),
}

impl RunState {
    /// What lives of `run`; `None` if nothing does.
    pub fn of(run: &Run) -> Option<RunState> {
        let live = match run.live_count() {
            0 => return None,
            _ if run.is_whole() => Live::All,
            _ => Live::Some(run.live_bytes()),
        };
        let (queue, level) = (run.queue(), run.level());
        Some(RunState { queue, level, first: run.first(), last: run.last(), live })
    }

    /// The seqs that live, relative to the first; `None` if the numbers cannot be.
    fn seqs(&self) -> Option<RoaringBitmap> {
        let span = u32::try_from(self.last.checked_sub(self.first)?).ok()?;
        match &self.live {
            Live::All => {
                let mut all = RoaringBitmap::new();
                all.insert_range(0..=span);
                Some(all)
            }
            Live::Some(bytes) => {
                let some = RoaringBitmap::deserialize_from(&bytes[..]).ok()?;
                some.max().is_none_or(|last| last <= span).then_some(some)
            }
        }
    }
}

/// What is known of a queue beside its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// The queue.
    pub queue: u64,
    /// The highest seq that it gave.
    pub last_seq: u64,
    /// The highest seq that it delivered.
    pub delivered: u64,
    /// Messages that came back, and how often.
    pub returns: Vec<(u64, u32)>,
}

/// What a clean stop left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanStop {
    /// The last batch of the log; another one means that the store was used after the stop.
    pub log_end: u64,
    /// The messages that are only in the log, by queue.
    pub tail: Vec<QueueTail>,
}

impl Manifest {
    /// Replaces the manifest and makes that durable. After an error either is there.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), ManifestError> {
        let body =
            postcard::to_allocvec(self).map_err(|_| damaged(MANIFEST, "it cannot be encoded"))?;
        MANIFEST_FILE.replace(disk, MANIFEST, &body)
    }

    /// The manifest, if there is one.
    pub fn read(disk: &dyn Disk) -> Result<Option<Manifest>, ManifestError> {
        let Some(body) = MANIFEST_FILE.read(disk, MANIFEST)? else { return Ok(None) };
        match postcard::take_from_bytes(&body) {
            Ok((manifest, [])) => Ok(Some(manifest)),
            _ => Err(damaged(MANIFEST, "it cannot be decoded")),
        }
    }
}

/// The name of a definitions file.
pub fn definitions_name(number: u64) -> String {
    format!("definitions.{number:08}")
}

/// Writes a definitions file and makes it durable; one of that number is replaced.
pub fn write_definitions(
    disk: &dyn Disk,
    number: u64,
    definitions: &[u8],
) -> Result<(), ManifestError> {
    DEFINITIONS_FILE.replace(disk, &definitions_name(number), definitions)
}

/// What a definitions file holds. That there is none is an error: the manifest named it.
pub fn read_definitions(disk: &dyn Disk, number: u64) -> Result<Bytes, ManifestError> {
    let name = definitions_name(number);
    DEFINITIONS_FILE.read(disk, &name)?.ok_or_else(|| damaged(&name, "the file is missing"))
}

/// The numbers of all definitions files there are, ascending.
pub fn list_definitions(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let names = disk.list("")?;
    let numbers = names.iter().filter_map(|name| {
        let number = name.strip_prefix("definitions.")?.parse().ok()?;
        (*name == definitions_name(number)).then_some(number)
    });
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn damaged(file: &str, what: &'static str) -> ManifestError {
    ManifestError::Damaged { file: file.to_owned(), what }
}
