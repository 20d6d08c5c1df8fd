//! A disk that takes everything at once and keeps nothing but the names of its files, so that a
//! count has the store's work in it and no disk's.

use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leveret_store::disk::{Access, Disk, DiskFile, LockError};

/// An empty data directory.
#[derive(Default)]
pub struct NullDisk(Mutex<BTreeSet<String>>);

#[derive(Default)]
struct NullFile {
    len: AtomicU64,
}

impl DiskFile for NullFile {
    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::Error::other("nothing is kept"))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.len.fetch_max(offset + bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.len.fetch_max(len, Ordering::Relaxed);
        Ok(())
    }

    fn punch(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        // Log files are opened again once they are created, and must have their size.
        Ok(self.len.load(Ordering::Relaxed).max(1 << 30))
    }

    fn is_direct(&self) -> bool {
        true
    }
}

impl NullDisk {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for NullDisk {
    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _dir: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create(&self, name: &str, _access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.names().insert(name.to_owned());
        Ok(Box::new(NullFile::default()))
    }

    fn open(&self, name: &str, _access: Access) -> io::Result<Box<dyn DiskFile>> {
        if !self.names().contains(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(NullFile::default()))
    }

    fn temporary(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NullFile::default()))
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.names().remove(name);
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        Ok(Box::new(()))
    }
}
