//! The log: a ring of preallocated files, filled with batches by one writer.
//!
//! `record` makes up a `batch`, which goes to a place in the `ring`; `scan` reads the ring again
//! after a stop of any kind, and `recover` makes it ready to be written on. `walk` goes through one
//! file for people, whatever is around it.

pub(crate) mod batch;
pub(crate) mod kept;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod ring;
pub(crate) mod scan;
pub(crate) mod walk;

/// Why a record whose checksums are right cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogDamage {
    /// A newer version wrote it; if `required`, nothing behind it may be trusted.
    UnknownKind { kind: u8, required: bool },
    /// Its body is not what its kind says.
    Malformed,
}
