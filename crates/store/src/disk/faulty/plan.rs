//! What is to go wrong, and at which operation.
//!
//! Operations are counted from 0, all together and by kind, whether they succeed or not. While the
//! power is off nothing is counted.

use std::io;

use rustix::io::Errno;

use super::random::Random;

/// What a disk is asked to do. Asking for a length or for the free space is none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Disk::create_dir`](crate::disk::Disk::create_dir).
    CreateDir,
    /// [`Disk::list`](crate::disk::Disk::list).
    List,
    /// [`Disk::create`](crate::disk::Disk::create).
    Create,
    /// [`Disk::open`](crate::disk::Disk::open).
    Open,
    /// [`Disk::temporary`](crate::disk::Disk::temporary).
    Temporary,
    /// [`Disk::rename`](crate::disk::Disk::rename).
    Rename,
    /// [`Disk::remove`](crate::disk::Disk::remove).
    Remove,
    /// [`Disk::sync_dir`](crate::disk::Disk::sync_dir).
    SyncDir,
    /// [`Disk::lock`](crate::disk::Disk::lock).
    Lock,
    /// [`DiskFile::read_at`](crate::disk::DiskFile::read_at).
    Read,
    /// [`DiskFile::write_at`](crate::disk::DiskFile::write_at).
    Write,
    /// [`DiskFile::sync`](crate::disk::DiskFile::sync).
    Sync,
    /// [`DiskFile::allocate`](crate::disk::DiskFile::allocate).
    Allocate,
    /// [`DiskFile::punch`](crate::disk::DiskFile::punch).
    Punch,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 14] = [
        Kind::CreateDir,
        Kind::List,
        Kind::Create,
        Kind::Open,
        Kind::Temporary,
        Kind::Rename,
        Kind::Remove,
        Kind::SyncDir,
        Kind::Lock,
        Kind::Read,
        Kind::Write,
        Kind::Sync,
        Kind::Allocate,
        Kind::Punch,
    ];
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing and reports EIO.
    Eio,
    /// It does nothing and reports ENOSPC.
    Enospc,
    /// A write does a random part, from the start on, and reports ENOSPC or EIO; any other
    /// operation does nothing.
    ShortWrite,
    /// It is done, and reports EIO all the same.
    Late,
}

/// The power is off, and every operation fails with this.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the power is off")]
pub struct PowerLost;

impl From<PowerLost> for io::Error {
    fn from(lost: PowerLost) -> Self {
        io::Error::other(lost)
    }
}

/// How much of an operation is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Some of it, if it is a write; otherwise nothing.
    Part,
    /// Nothing.
    Nothing,
    /// Whatever came to the disk before the power went off.
    Interrupted,
}

/// What becomes of an operation.
pub struct Verdict {
    /// How much of it is done.
    pub extent: Extent,
    /// What it reports whatever comes of it; always there if it is not done as a whole.
    pub error: Option<io::Error>,
}

enum When {
    /// The operation with that number.
    At(u64),
    /// The operation of a kind with that number among its kind.
    Nth(Kind, u64),
    /// All operations of some kinds from that number on.
    From(u64, Vec<Kind>),
}

/// The faults to come.
#[derive(Default)]
pub struct Plan {
    operations: u64,
    by_kind: [u64; Kind::ALL.len()],
    faults: Vec<(When, Fault)>,
    crash_at: Option<u64>,
    off: bool,
}

impl Plan {
    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// How many operations of a kind there were.
    pub fn operations_of(&self, kind: Kind) -> u64 {
        self.by_kind[kind as usize]
    }

    /// Plans a fault for one operation.
    pub fn fail(&mut self, at: u64, fault: Fault) {
        self.faults.push((When::At(at), fault));
    }

    /// Plans a fault for one operation of a kind.
    pub fn fail_kind(&mut self, kind: Kind, nth: u64, fault: Fault) {
        self.faults.push((When::Nth(kind, nth), fault));
    }

    /// Plans a fault for all operations of some kinds.
    pub fn fail_from(&mut self, at: u64, fault: Fault, kinds: &[Kind]) {
        self.faults.push((When::From(at, kinds.to_vec()), fault));
    }

    /// Forgets all faults.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// Plans that the power goes off.
    pub fn crash_at(&mut self, operation: u64) {
        self.crash_at = Some(operation);
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Puts the power on.
    pub fn restart(&mut self) {
        self.off = false;
        self.crash_at = None;
    }

    /// Counts an operation and says what becomes of it.
    pub fn begin(&mut self, kind: Kind, random: &mut Random) -> Verdict {
        let (at, nth) = (self.operations, self.by_kind[kind as usize]);
        self.operations += 1;
        self.by_kind[kind as usize] += 1;
        if self.crash_at.is_some_and(|crash| crash <= at) {
            self.off = true;
            return Verdict { extent: Extent::Interrupted, error: Some(PowerLost.into()) };
        }
        let hits = |when: &When| match when {
            When::At(number) => *number == at,
            When::Nth(of, number) => *of == kind && *number == nth,
            When::From(number, kinds) => *number <= at && kinds.contains(&kind),
        };
        let fault = self.faults.iter().find(|(when, _)| hits(when)).map(|(_, fault)| *fault);
        let (extent, error) = match fault {
            None => return Verdict { extent: Extent::Whole, error: None },
            Some(Fault::Eio) => (Extent::Nothing, Errno::IO),
            Some(Fault::Enospc) => (Extent::Nothing, Errno::NOSPC),
            Some(Fault::ShortWrite) if random.coin() => (Extent::Part, Errno::IO),
            Some(Fault::ShortWrite) => (Extent::Part, Errno::NOSPC),
            Some(Fault::Late) => (Extent::Whole, Errno::IO),
        };
        Verdict { extent, error: Some(error.into()) }
    }
}
