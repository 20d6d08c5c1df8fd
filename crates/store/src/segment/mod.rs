//! Segment files: the messages that outlived their log file, sorted by queue, level and seq.
//!
//! A segment is written once ([`SegmentWriter`]) and never changed; what is no longer needed is
//! given back by extent ([`Space`]). [`Segment`] reads; a [`Run`] is what memory holds of the
//! messages of one queue and level in one segment.
//!
//! Invariants: a record lies in exactly one extent. A record's checksum covers the segment's id and
//! the record's place, so that bytes in a wrong place are no record. What is read is the data that
//! was written, or reported as [`Damaged`]. No bytes of a file make this module panic, allocate
//! more than a small multiple of the file's length, or loop.
//!
//! The file, numbers little-endian: a header block; extents, each at a multiple of [`BLOCK`]; the
//! index (`index.rs`); a trailer of fixed length that says where the index is.

mod check;
mod format;
mod index;
mod reader;
mod run;
mod scan;
mod space;
#[cfg(test)]
mod tests;
mod writer;

use std::io;

use crate::disk::{BLOCK, Disk};

pub use check::check;
pub(crate) use check::check_records;
pub use format::{DataRef, RecordHead};
pub use reader::Segment;
pub(crate) use reader::read_through;
pub use run::{ReadPlan, Run};
pub use space::Space;
pub use writer::SegmentWriter;

/// The directory of the segment files.
pub const DIRECTORY: &str = "segments";

/// The longest data of a record, in bytes.
pub const DATA_BYTES_MAX: usize = 1 << 31;

/// The longest segment file, in bytes: places are kept as `u32`, in units of eight bytes.
pub const SEGMENT_BYTES_MAX: u64 = 32 << 30;

/// Why a segment cannot be written or opened.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The disk failed.
    #[error("segment {id}: {error}")]
    Io {
        /// The segment.
        id: u64,
        /// How it failed.
        error: io::Error,
    },
    /// Another version of the broker wrote it.
    #[error(
        "segment {id} has format {found}, and this version of Leveret reads format {known} only: \
         use the version that wrote it"
    )]
    Format {
        /// The segment.
        id: u64,
        /// The format that the file says.
        found: u16,
        /// The format that this version writes and reads.
        known: u16,
    },
    /// The file is whole, but is another segment than its name says.
    #[error("the file of segment {id} holds segment {found}")]
    Misplaced {
        /// The segment that was asked for.
        id: u64,
        /// The one that the file holds.
        found: u64,
    },
    /// A record was not behind the one before it.
    #[error("segment {id}: queue {queue}, seq {seq} is out of order")]
    Unsorted {
        /// The segment.
        id: u64,
        /// The queue of the record.
        queue: u64,
        /// Its seq.
        seq: u64,
    },
    /// A record or the file would be longer than may be.
    #[error("segment {id}: too long")]
    TooLong {
        /// The segment.
        id: u64,
    },
}

impl SegmentError {
    /// Binds an error of the disk to a segment.
    fn io(id: u64) -> impl Fn(io::Error) -> SegmentError {
        move |error| SegmentError::Io { id, error }
    }
}

/// Why a record's data cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// No valid record of that seq is where it should be.
    #[error("no valid record is there")]
    Missing,
    /// The record is there, and its data is not what was written.
    #[error("the data does not fit its checksum")]
    Data,
    /// The data that it shares is not what was written.
    #[error("the shared data does not fit its checksum")]
    Reference,
    /// The disk did not give the bytes; another try may succeed.
    #[error("the disk cannot read it ({0})")]
    Unreadable(io::ErrorKind),
}

/// Something in a segment file that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The header block. All that it says is known from elsewhere.
    #[error("the header is damaged")]
    Header,
    /// The index or the trailer; it was rebuilt from the records.
    #[error("the index is damaged ({0}); it was rebuilt from the records")]
    Index(&'static str),
    /// Bytes between records that are none, and not zero.
    #[error("{len} bytes at {offset} are no record")]
    Bytes {
        /// Where they begin.
        offset: u64,
        /// How many there are.
        len: u64,
    },
    /// An extent that reads as zeros: it was given back, which the manifest knows, or is lost.
    #[error("extent {extent} ({len} bytes at {offset}, {records} records) is zeros")]
    Zeros {
        /// The number of the extent.
        extent: u32,
        /// Where it begins.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// How many records it had.
        records: u32,
    },
    /// A record.
    #[error("queue {queue}, level {level}, seq {seq}: {what}")]
    Record {
        /// Its queue.
        queue: u64,
        /// Its level.
        level: u8,
        /// Its seq.
        seq: u64,
        /// What is wrong with it.
        what: Damaged,
    },
}

/// The name of a segment's file.
pub fn file_name(id: u64) -> String {
    format!("{DIRECTORY}/{id:08}.seg")
}

/// The ids of all segment files there are, finished or not, ascending.
pub fn list(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let names = match disk.list(DIRECTORY) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut ids: Vec<u64> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".seg")?.parse().ok())
        .filter(|id| names.binary_search(&format!("{id:08}.seg")).is_ok())
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Rounds up to a multiple of [`BLOCK`].
fn block_up(offset: u64) -> u64 {
    offset.next_multiple_of(BLOCK as u64)
}
