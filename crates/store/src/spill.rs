//! Messages that need not survive, put aside because memory is short: files without a name, gone
//! with the process. Written through the page cache and never synced.
//!
//! Invariant: a file with no living message is closed, and so gives its space back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};

/// A file takes no more once it has this many bytes.
const FILE_BYTES: u64 = 16 << 20;
/// What is gathered before it is written.
const WRITE_BYTES: usize = 256 << 10;

/// A spilled message's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u64,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

struct SpillFile {
    file: Arc<dyn DiskFile>,
    live: u64,
}

/// Where to read a spilled message.
pub(crate) enum Source {
    Memory(Bytes),
    File(Arc<dyn DiskFile>, u64),
}

#[derive(Default)]
pub(crate) struct Spill {
    files: BTreeMap<u64, SpillFile>,
    /// The number of the file that is written, 0 before the first.
    current: u64,
    /// Of the current file: what is not written yet, and where it goes.
    gathered: Vec<u8>,
    written: u64,
}

impl Spill {
    /// Adds a message.
    pub(crate) fn add(&mut self, disk: &dyn Disk, data: [&[u8]; 2]) -> io::Result<Place> {
        if !self.files.contains_key(&self.current) || self.written >= FILE_BYTES {
            self.begin(disk)?;
        }
        let offset = self.written + self.gathered.len() as u64;
        let len = data[0].len() + data[1].len();
        if len >= WRITE_BYTES || self.gathered.len() + len > WRITE_BYTES {
            self.write_out()?;
        }
        if len >= WRITE_BYTES {
            let file = self.file()?;
            file.write_at(data[0], offset)?;
            file.write_at(data[1], offset + data[0].len() as u64)?;
            self.written = offset + len as u64;
        } else {
            self.gathered.extend_from_slice(data[0]);
            self.gathered.extend_from_slice(data[1]);
        }
        if let Some(file) = self.files.get_mut(&self.current) {
            file.live += 1;
        }
        Ok(Place { file: self.current, offset: offset as u32, len: len as u32 })
    }

    fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        let current = self.files.get(&self.current).map(|file| Arc::clone(&file.file));
        current.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn begin(&mut self, disk: &dyn Disk) -> io::Result<()> {
        self.write_out()?;
        let file = disk.temporary()?.into();
        let previous = self.current;
        self.current += 1;
        self.written = 0;
        self.files.insert(self.current, SpillFile { file, live: 0 });
        self.close_if_dead(previous);
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.file()?.write_at(&self.gathered, self.written)?;
            self.written += self.gathered.len() as u64;
            self.gathered.clear();
        }
        Ok(())
    }

    /// A message is not needed any more.
    pub(crate) fn remove(&mut self, file: u64) {
        if let Some(found) = self.files.get_mut(&file) {
            found.live -= 1;
            self.close_if_dead(file);
        }
    }

    fn close_if_dead(&mut self, number: u64) {
        if self.files.get(&number).is_some_and(|file| file.live == 0) {
            self.files.remove(&number);
            if number == self.current {
                self.gathered = Vec::new();
            }
        }
    }

    /// Where to read a message.
    pub(crate) fn source(&self, place: Place) -> Option<Source> {
        let offset = u64::from(place.offset);
        if place.file == self.current && offset >= self.written {
            let start = (offset - self.written) as usize;
            let bytes = self.gathered.get(start..start + place.len as usize)?;
            return Some(Source::Memory(Bytes::copy_from_slice(bytes)));
        }
        Some(Source::File(Arc::clone(&self.files.get(&place.file)?.file), offset))
    }

    /// Files that are open.
    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }
}
