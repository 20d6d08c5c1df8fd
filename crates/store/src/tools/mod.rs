//! For people with a data directory, whole or damaged: [`inspect`] shows it, [`check`] verifies it,
//! and a [`Salvage`] gets out what can be read.
//!
//! Invariants: nothing is ever written; a directory that is in use may be looked at. No bytes in a
//! directory make this module panic. Bodies are read a few at a time; what is kept is an index.

mod check;
mod contents;
mod inspect;
mod read_only;
mod salvage;

use std::fmt;

use serde::Serialize;

use crate::{QueueId, SeqRange};

pub use check::check;
pub use inspect::{
    DefinitionsInspection, ExtentInspection, Inspection, LogFileInspection, LogFileUse,
    ManifestInspection, QueueInspection, SegmentInspection, Totals, inspect,
};
pub use salvage::{Salvage, Salvaged, SalvagedMessage};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing that was confirmed and is needed is concerned.
    Note,
    /// Something is not as it was written; messages may be lost.
    Damage,
    /// It could not be looked at: the disk refused, or another version wrote it.
    Unreadable,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Damage => "DAMAGE",
            Self::Unreadable => "UNREADABLE",
        })
    }
}

/// Something in a data directory that is worth to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as its name in the data directory.
    pub file: String,
    /// What is wrong.
    pub what: String,
    /// The messages concerned, if that can be told: their queue, and the first and last seq.
    pub messages: Option<Messages>,
}

/// Messages of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Messages {
    /// The queue.
    pub queue: QueueId,
    /// The first seq.
    pub first: u64,
    /// The last seq. Not every one between need be concerned.
    pub last: u64,
}

impl Messages {
    fn new(queue: QueueId, seqs: SeqRange) -> Self {
        Self { queue, first: seqs.first, last: seqs.last }
    }
}

impl Finding {
    fn new(severity: Severity, file: impl Into<String>, what: impl fmt::Display) -> Self {
        Self { severity, file: file.into(), what: what.to_string(), messages: None }
    }

    fn note(file: impl Into<String>, what: impl fmt::Display) -> Self {
        Self::new(Severity::Note, file, what)
    }

    fn damage(file: impl Into<String>, what: impl fmt::Display) -> Self {
        Self::new(Severity::Damage, file, what)
    }

    fn of(mut self, queue: QueueId, first: u64, last: u64) -> Self {
        self.messages = Some(Messages::new(queue, SeqRange { first, last }));
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, what, messages } = self;
        write!(f, "{severity:<10}  {file}: {what}")?;
        match messages {
            Some(Messages { queue, first, last }) if first == last => {
                write!(f, " (queue {queue}, message {first})")
            }
            Some(Messages { queue, first, last }) => {
                write!(f, " (queue {queue}, messages {first} to {last})")
            }
            None => Ok(()),
        }
    }
}
