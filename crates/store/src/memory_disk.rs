//! A data directory in memory whose bytes a test can change. Nothing in it ever fails by itself.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Access, Disk, DiskFile, LockError};

type Contents = Arc<Mutex<Vec<u8>>>;

/// Files by name. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, Contents>>>,
    /// Reads that touch these bytes of any file fail.
    bad: Arc<Mutex<Option<std::ops::Range<u64>>>>,
    /// The calls that matter for durability, in order.
    calls: Arc<Mutex<Vec<String>>>,
}

struct MemoryFile {
    name: String,
    contents: Contents,
    disk: MemoryDisk,
}

impl MemoryDisk {
    fn contents(&self, name: &str) -> io::Result<Contents> {
        let files = self.files.lock().unwrap();
        files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.contents(name).unwrap().lock().unwrap().clone()
    }

    /// Gives a file these bytes, whether it is there or not.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut files = self.files.lock().unwrap();
        files.insert(name.to_owned(), Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// Lets reads of these bytes of any file fail.
    pub(crate) fn fail_reads(&self, bytes: std::ops::Range<u64>) {
        *self.bad.lock().unwrap() = Some(bytes);
    }

    /// The calls so far that matter for durability, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn call(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }

    fn file(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let contents = self.contents(name)?;
        Ok(Box::new(MemoryFile { name: name.to_owned(), contents, disk: self.clone() }))
    }
}

impl MemoryFile {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.contents.lock().unwrap()
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = offset + buffer.len() as u64;
        let bad = self.disk.bad.lock().unwrap().clone();
        if bad.is_some_and(|bad| offset < bad.end && bad.start < end) {
            return Err(io::ErrorKind::Other.into());
        }
        let contents = self.lock();
        let rest = contents.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut contents = self.lock();
        let end = offset as usize + bytes.len();
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(format!("sync {}", self.name));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.lock().resize(len as usize, 0);
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut contents = self.lock();
        let end = ((offset + len) as usize).min(contents.len());
        contents[offset as usize..end].fill(0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len() as u64)
    }

    fn is_direct(&self) -> bool {
        false
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let files = self.files.lock().unwrap();
        let names = files.keys().filter_map(|name| match dir {
            "" => Some(name.split('/').next().unwrap_or(name)),
            _ => name.strip_prefix(dir)?.strip_prefix('/'),
        });
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }

    fn create(&self, name: &str, _: Access) -> io::Result<Box<dyn DiskFile>> {
        if self.contents(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.put(name, &[]);
        self.file(name)
    }

    fn open(&self, name: &str, _: Access) -> io::Result<Box<dyn DiskFile>> {
        self.file(name)
    }

    fn temporary(&self) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let contents = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), contents);
        self.call(format!("rename {from} {to}"));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.files.lock().unwrap().remove(name);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.call(format!("sync_dir {dir}"));
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        Ok(Box::new(()))
    }
}
