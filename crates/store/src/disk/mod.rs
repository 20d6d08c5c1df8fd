//! The files of a data directory, as far as the store needs them: a real directory ([`RealDisk`])
//! or one in memory that loses power and fails on purpose ([`FaultyDisk`]).
//!
//! Names are paths relative to the data directory, such as `log/00000001.log`.

mod faulty;
mod real;

use std::any::Any;
use std::io;

pub use faulty::{Fault, FaultyDisk, Kind, Random, Survival};
pub use real::RealDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Through the page cache.
    Buffered,
    /// Past the page cache (`O_DIRECT`): offsets, lengths and memory are aligned to [`BLOCK`].
    /// Where the filesystem has no such thing the file is opened as [`Access::Buffered`].
    Direct,
}

/// The unit of direct access, in bytes.
pub const BLOCK: usize = 4096;

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads at `offset` until `buffer` is full or the file ends; how many bytes were read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. After an error any part of it may be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable (`fdatasync`). After an error nothing that was written since
    /// the last success may be relied on, whatever a read says.
    fn sync(&self) -> io::Result<()>;

    /// Reserves space for `len` bytes; the file becomes that long, and reads as zeros where nothing
    /// was written.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Gives the space of a part back, which then reads as zeros; the length stays. A disk that
    /// cannot do so leaves the part as it is.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether it really bypasses the page cache.
    fn is_direct(&self) -> bool;
}

/// Why a data directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("it is in use by {holder}")]
    Held {
        /// Who, as far as is known.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A data directory.
pub trait Disk: Send + Sync {
    /// Creates a directory (`""` is the data directory itself, with its parents); one that exists
    /// is fine.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// The names of the files and directories in `dir`, sorted, without `dir` in front.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Creates a file, which must not exist, for reading and writing.
    fn create(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading only, through the page cache.
    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name, Access::Buffered)
    }

    /// Creates a file without a name, which is gone when it is closed.
    fn temporary(&self) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, replacing a file of that name at once or not at all.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// The bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Locks the directory for this process until the guard is dropped.
    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError>;

    /// Who has the directory locked, as far as is known; none if nobody has. Changes nothing.
    fn holder(&self) -> Result<Option<String>, LockError> {
        match self.lock() {
            Ok(_) => Ok(None),
            Err(LockError::Held { holder }) => Ok(Some(holder)),
            Err(error) => Err(error),
        }
    }
}

/// Whether a name stays within the data directory: plain parts with single slashes between.
fn is_within(name: &str) -> bool {
    name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// An error for a call that no disk could serve.
fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
