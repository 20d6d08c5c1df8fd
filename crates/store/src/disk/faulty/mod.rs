//! A disk in memory that loses power and fails on purpose; for tests, and the same for the same
//! seed.
//!
//! What it keeps to:
//! - A file has what reads see (the page cache) and what is durable, by sectors of 512 bytes. A
//!   sync makes bytes, length and space of the file durable, but not its name.
//! - A new, changed or removed name is durable once its directory was synced.
//! - A crash leaves of each un-synced sector the newest, an older or the durable version. Sectors
//!   survive one by one, or a write as a whole does or does not; which is decided for each file
//!   and each write alone, so they are torn and reordered. The length is any between the durable
//!   one and the last. Of a directory's un-synced changes the first few survive, in order.
//! - After a failed sync reads return what was written, further syncs say nothing, and a crash
//!   leaves it or not.
//! - A handle is dead after a crash or a kill: it reports EIO for ever.
//!
//! The data directory itself is always there. All is done under one lock: operations of several
//! threads happen one after the other.

mod change;
mod file;
mod image;
mod inode;
mod plan;
mod random;
mod ranges;
mod state;
#[cfg(test)]
mod tests;
mod trace;
mod tree;

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

pub use inode::Survival;
pub use plan::{Fault, Kind};
pub use random::Random;

use super::{Access, BLOCK, Disk, DiskFile, LockError, invalid, is_within};
use file::FaultyFile;
use plan::PowerLost;
use state::State;
use trace::Call;

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

impl FaultyDisk {
    /// An empty disk whose chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        FaultyDisk { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Power.

    /// Loses power and gets it back; how much survives is left to chance, and sometimes it is
    /// nothing or all. Handles and locks are dead, planned faults stay.
    pub fn crash(&self) {
        let survival = match self.state().random.below(8) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            _ => Survival::ByChance,
        };
        self.crash_keeping(survival);
    }

    /// Loses power and gets it back.
    pub fn crash_keeping(&self, survival: Survival) {
        let mut state = self.state();
        state.trace.note(format!("crash, {survival:?} survives"));
        state.crash(survival);
    }

    /// Ends the process (`kill -9`) while the system lives on: all that was written is there, but
    /// what was not synced is still not durable. Handles and locks are dead, temporary files gone.
    pub fn kill(&self) {
        let mut state = self.state();
        state.trace.note("kill".to_owned());
        state.kill();
    }

    /// Takes the power off at the operation of that number (see [`FaultyDisk::operations`]), or at
    /// the next if it is over: that one may be done in part, it and all later ones fail until
    /// [`FaultyDisk::crash`] or [`FaultyDisk::kill`] is called. They are not counted.
    pub fn crash_at(&self, operation: u64) {
        self.state().plan.crash_at(operation);
    }

    /// Whether [`FaultyDisk::crash_at`] has taken the power off.
    pub fn is_off(&self) -> bool {
        self.state().plan.is_off()
    }

    /// Whether an operation failed because the power is off.
    pub fn is_power_loss(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<PowerLost>())
    }

    /// Whether, after a crash, garbage is read instead of zeros where a file became longer but its
    /// bytes did not survive; false at first.
    pub fn set_garbage(&self, garbage: bool) {
        self.state().garbage = garbage;
    }

    // Faults.

    /// How many operations there were, of all kinds, failed ones too. It is the number of the next.
    pub fn operations(&self) -> u64 {
        self.state().plan.operations()
    }

    /// How many operations of a kind there were. It is the number of the next of that kind.
    pub fn operations_of(&self, kind: Kind) -> u64 {
        self.state().plan.operations_of(kind)
    }

    /// Makes the operation of that number fail. Of several faults for one operation, the one that
    /// was planned first counts.
    pub fn fail(&self, at: u64, fault: Fault) {
        self.state().plan.fail(at, fault);
    }

    /// Makes the operation of a kind fail that has the number `nth` among its kind (see
    /// [`FaultyDisk::operations_of`]).
    pub fn fail_kind(&self, kind: Kind, nth: u64, fault: Fault) {
        self.state().plan.fail_kind(kind, nth, fault);
    }

    /// Makes all operations of `kinds` (see [`Kind::ALL`]) fail, from the operation of number `at`
    /// on, until [`FaultyDisk::heal`].
    pub fn fail_from(&self, at: u64, fault: Fault, kinds: &[Kind]) {
        self.state().plan.fail_from(at, fault, kinds);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.state().plan.heal();
    }

    /// Sets the room on the disk, which is counted in whole blocks. A write for which there is not
    /// enough does what it can and reports ENOSPC; an allocation does nothing.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes / BLOCK as u64);
    }

    /// Whether files that are opened from now on can be accessed directly; true at first.
    pub fn set_direct(&self, direct: bool) {
        self.state().direct = direct;
    }

    // What a test does by hand: not counted, and possible without power.

    /// Takes a file as synced, and turns over the bit `bit % 8` of its byte `bit / 8`.
    pub fn flip_bit(&self, name: &str, bit: u64) -> io::Result<()> {
        let flipped = self.state().named(name)?.flip_bit(bit);
        if flipped { Ok(()) } else { Err(invalid(format!("`{name}` has no bit {bit}"))) }
    }

    /// Takes a file as synced, and cuts it to `len` bytes, or extends it by zeros.
    pub fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.state().named(name)?.truncate(len);
        Ok(())
    }

    /// Takes a file as synced, and makes `len` bytes zeros; its length stays.
    pub fn zero(&self, name: &str, offset: u64, len: u64) -> io::Result<()> {
        self.state().named(name)?.zero(offset, len);
        Ok(())
    }

    /// All that a file holds, as reads see it.
    pub fn read_all(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let file = state.named(name)?;
        let len = usize::try_from(file.len()).map_err(|_| invalid(format!("`{name}` is huge")))?;
        let mut bytes = vec![0; len];
        file.read(&mut bytes, 0);
        Ok(bytes)
    }

    /// The names of all files in all directories, sorted.
    pub fn names(&self) -> Vec<String> {
        self.state().tree.files().map(|(name, _)| name.to_owned()).collect()
    }

    /// The last operations with their numbers, a line each.
    pub fn trace(&self) -> String {
        self.state().trace.text()
    }

    /// Does an operation on a name that gives a file, and opens a handle of it.
    fn handle(
        &self,
        call: Call,
        access: Access,
        run: impl FnOnce(&mut State) -> io::Result<u64>,
    ) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let name = Arc::clone(&call.name);
        let inode = state.operate(call, run)?;
        state.inode(inode)?.handles += 1;
        let direct = access == Access::Direct && state.direct;
        let (disk, epoch) = (self.clone(), state.epoch);
        Ok(Box::new(FaultyFile { disk, inode, epoch, direct, name }))
    }
}

/// Refuses a name that a real disk refuses.
fn check(name: &str) -> io::Result<()> {
    if is_within(name) { Ok(()) } else { Err(Errno::INVAL.into()) }
}

/// Refuses the name of a directory that a real disk refuses.
fn check_dir(dir: &str) -> io::Result<()> {
    if dir.is_empty() { Ok(()) } else { check(dir) }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        check_dir(dir)?;
        self.state().operate(Call::on(Kind::CreateDir, dir), |state| state.create_dir(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        check_dir(dir)?;
        self.state().operate(Call::on(Kind::List, dir), |state| state.tree.list(dir))
    }

    fn create(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        check(name)?;
        self.handle(Call::on(Kind::Create, name), access, |state| state.create(name))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        check(name)?;
        self.handle(Call::on(Kind::Open, name), access, |state| state.tree.file(name))
    }

    fn temporary(&self) -> io::Result<Box<dyn DiskFile>> {
        let call = Call::on(Kind::Temporary, "(temporary)");
        self.handle(call, Access::Buffered, |state| Ok(state.temporary()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check(from)?;
        check(to)?;
        let call = Call { to: Some(to.into()), ..Call::on(Kind::Rename, from) };
        self.state().operate(call, |state| state.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check(name)?;
        self.state().operate(Call::on(Kind::Remove, name), |state| state.remove(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        check_dir(dir)?;
        self.state().operate(Call::on(Kind::SyncDir, dir), |state| state.sync_dir(dir))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        if state.plan.is_off() {
            return Err(PowerLost.into());
        }
        Ok(state.free_blocks() * BLOCK as u64)
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        let mut state = self.state();
        let free = state.operate(Call::on(Kind::Lock, "lock"), |state| {
            // As on a real disk, a file by that name stays.
            if state.tree.node("lock").is_none() {
                state.create("lock")?;
            }
            Ok(!state.locked)
        })?;
        if !free {
            return Err(LockError::Held { holder: "another user of this faulty disk".to_owned() });
        }
        state.locked = true;
        Ok(Box::new(Guard { disk: self.clone(), epoch: state.epoch }))
    }
}

/// Holds the lock of a disk.
struct Guard {
    disk: FaultyDisk,
    epoch: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        // A lock of before a crash is gone already.
        if state.epoch == self.epoch {
            state.locked = false;
        }
    }
}
