//! A data directory that cannot be changed through here, whatever the code above it does.

use std::any::Any;
use std::io;

use crate::disk::{Access, Disk, DiskFile, LockError};

/// A disk of which only what reads goes through.
pub(super) struct ReadOnly<'a>(pub(super) &'a dyn Disk);

struct ReadOnlyFile(Box<dyn DiskFile>);

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it is only looked at"))
}

impl DiskFile for ReadOnlyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn is_direct(&self) -> bool {
        false
    }
}

impl Disk for ReadOnly<'_> {
    fn create_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn create(&self, _: &str, _: Access) -> io::Result<Box<dyn DiskFile>> {
        refused()
    }

    fn open(&self, name: &str, _: Access) -> io::Result<Box<dyn DiskFile>> {
        self.open_to_read(name)
    }

    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(ReadOnlyFile(self.0.open_to_read(name)?)))
    }

    fn temporary(&self) -> io::Result<Box<dyn DiskFile>> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.0.free_bytes()
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        Ok(refused()?)
    }

    fn holder(&self) -> Result<Option<String>, LockError> {
        self.0.holder()
    }
}
