//! An open file of a faulty disk.

use std::io;
use std::sync::{Arc, MutexGuard};

use rustix::io::Errno;

use super::FaultyDisk;
use super::plan::{Kind, PowerLost};
use super::state::{Part, State};
use super::trace::Call;
use crate::disk::DiskFile;

/// A handle of a file, which is dead after a crash or a kill.
pub struct FaultyFile {
    pub disk: FaultyDisk,
    pub inode: u64,
    /// The epoch that it was opened in.
    pub epoch: u64,
    pub direct: bool,
    /// The name by which it was opened.
    pub name: Arc<str>,
}

impl FaultyFile {
    /// The disk, if this handle is alive.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.epoch == self.epoch { Ok(state) } else { Err(Errno::IO.into()) }
    }

    fn part(&self, offset: u64, len: usize) -> Part {
        Part { offset, len: len as u64, direct: self.direct }
    }

    fn call(&self, kind: Kind, offset: u64, len: u64) -> Call {
        Call::part(kind, &self.name, offset, len)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let part = self.part(offset, buffer.len());
        let call = self.call(Kind::Read, offset, part.len);
        self.state()?.operate(call, |state| state.read(self.inode, part, buffer))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let part = self.part(offset, bytes.len());
        let call = self.call(Kind::Write, offset, part.len);
        let write = |state: &mut State, extent| state.write(self.inode, part, bytes, extent);
        self.state()?.attempt(call, write)
    }

    fn sync(&self) -> io::Result<()> {
        let call = self.call(Kind::Sync, 0, 0);
        self.state()?.attempt(call, |state, extent| state.sync(self.inode, extent))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let call = self.call(Kind::Allocate, 0, len);
        self.state()?.operate(call, |state| state.allocate(self.inode, len))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let call = self.call(Kind::Punch, offset, len);
        self.state()?.operate(call, |state| state.punch(self.inode, offset, len))
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        if state.plan.is_off() {
            return Err(PowerLost.into());
        }
        Ok(state.inode(self.inode)?.len())
    }

    fn is_direct(&self) -> bool {
        self.direct
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state() {
            state.close(self.inode);
        }
    }
}
