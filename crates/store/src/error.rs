//! Why a store cannot be opened, or goes no further.

use std::io;

use crate::disk::LockError;

/// Why a data directory cannot be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0}")]
    Locked(LockError),
    /// The disk refused something.
    #[error("cannot {doing}: {error}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        error: io::Error,
    },
    /// Another version wrote it.
    #[error(
        "the {what} has format {found}, and this version of Leveret reads format {known} only: \
         start the version that wrote it"
    )]
    Format {
        /// Which file.
        what: String,
        /// Its format.
        found: u32,
        /// The one that is known.
        known: u32,
    },
    /// A newer version wrote a kind of record that must be understood.
    #[error(
        "batch {batch} of the log has records of the unknown kind {kind}: start the version of \
         Leveret that wrote it, or a newer one"
    )]
    UnknownRecord {
        /// The kind.
        kind: u8,
        /// Where.
        batch: u64,
    },
    /// A file of another data directory.
    #[error("the {what} belongs to another data directory; it was copied here by mistake")]
    Foreign {
        /// Which file.
        what: String,
    },
    /// A file that everything else depends on is damaged.
    #[error(
        "{what} cannot be used: {why}. Nothing was changed. `leveret store check` says more, \
         `leveret store salvage` gets the messages out"
    )]
    Damaged {
        /// Which file.
        what: String,
        /// What is wrong.
        why: String,
    },
}

impl From<LockError> for OpenError {
    fn from(error: LockError) -> Self {
        Self::Locked(error)
    }
}

impl OpenError {
    pub(crate) fn io(doing: impl Into<String>, error: io::Error) -> Self {
        Self::Io { doing: doing.into(), error }
    }

    pub(crate) fn format(what: &str, found: u32, known: u32) -> Self {
        Self::Format { what: what.to_owned(), found, known }
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Damaged { what: what.into(), why: why.to_string() }
    }
}

/// The log cannot be made durable any more: what was not confirmed by now must never be, and the
/// process must end. A restart loses nothing that was confirmed.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be made durable: {0}")]
pub struct Fatal(#[source] pub io::Error);
