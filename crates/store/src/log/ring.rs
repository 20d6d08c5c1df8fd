//! The files of the log. Each is written from its start to its end, and used again under a new
//! epoch once nothing in it is needed.
//!
//! ```text
//! 0    magic "LVRTLOG1"        32 epoch         u64 (by chance)
//! 8    checksum of 12 to 56    40 size          u64
//! 12   format u16, reserved    48 first batch   u64
//! 16   store id, 16 bytes      56 reserved, zero
//! 4096 batches, each from a block on
//! ```
//!
//! Invariants: `files` are in the order of their batches, which have dense numbers; the last one is
//! being written. A file's header is written with its first batch, and so is as durable as that.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::record::{u32_at, u64_at};
use crate::buffer::{Buffer, blocks};
use crate::disk::{Access, BLOCK, Disk, DiskFile};

/// The directory of the log's files.
pub(crate) const DIR: &str = "log";
const MAGIC: &[u8; 8] = b"LVRTLOG1";
/// The format that this version writes, and the only one that it reads.
pub(crate) const FORMAT: u16 = 1;
/// How much is written at once when a file is filled with zeros.
const ZEROS: usize = 1 << 20;
/// A batch that is not there.
const NO_OFFSET: u32 = u32::MAX;

/// The name of a log file.
pub(crate) fn name(id: u64) -> String {
    format!("{DIR}/{id:08}.log")
}

/// The id in a file's name (without its directory).
pub(crate) fn id_of(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

/// A file that can be written: for writes past the page cache, and for reads through it.
#[derive(Clone)]
pub(crate) struct Handles {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) write: Arc<dyn DiskFile>,
    pub(crate) read: Arc<dyn DiskFile>,
}

impl Handles {
    pub(crate) fn open(disk: &dyn Disk, id: u64) -> io::Result<Self> {
        let write: Arc<dyn DiskFile> = disk.open(&name(id), Access::Direct)?.into();
        let read = disk.open(&name(id), Access::Buffered)?.into();
        let size = write.len()?;
        Ok(Self { id, size, write, read })
    }

    /// Creates a file. With `zeros` its space is written, so that later syncs have no metadata to
    /// write; without, it is there at once.
    pub(crate) fn create(disk: &dyn Disk, id: u64, size: u64, zeros: bool) -> io::Result<Self> {
        let created = Self::create_file(disk, id, size, zeros);
        if created.is_err() {
            // What was begun must not hold space; that it may not be removable changes nothing.
            let _ = disk.remove(&name(id));
        }
        created
    }

    fn create_file(disk: &dyn Disk, id: u64, size: u64, zeros: bool) -> io::Result<Self> {
        let file = disk.create(&name(id), Access::Direct)?;
        file.allocate(size)?;
        if zeros {
            let mut buffer = Buffer::with_capacity(ZEROS);
            buffer.resize(ZEROS);
            let mut at = 0;
            while at < size {
                let step = (size - at).min(ZEROS as u64) as usize;
                file.write_at(&buffer.bytes()[..step], at)?;
                at += step as u64;
            }
        }
        file.sync()?;
        disk.sync_dir(DIR)?;
        drop(file);
        Self::open(disk, id)
    }
}

/// What a file's first block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: u16,
    pub(crate) store_id: [u8; 16],
    pub(crate) epoch: u64,
    pub(crate) size: u64,
    pub(crate) first: u64,
}

impl Header {
    fn encode(&self) -> Buffer {
        let mut buffer = Buffer::with_capacity(BLOCK);
        buffer.push(MAGIC);
        buffer.push(&[0; 4]);
        buffer.push(&self.format.to_le_bytes());
        buffer.push(&[0; 2]);
        buffer.push(&self.store_id);
        buffer.push(&self.epoch.to_le_bytes());
        buffer.push(&self.size.to_le_bytes());
        buffer.push(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&buffer.bytes()[12..56]);
        buffer.bytes_mut()[8..12].copy_from_slice(&crc.to_le_bytes());
        buffer.padded();
        buffer.resize(BLOCK);
        buffer
    }

    /// Reads a header; none if it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..56)?;
        let whole = &bytes[..8] == MAGIC && u32_at(bytes, 8) == crc32c::crc32c(&bytes[12..]);
        whole.then(|| Self {
            format: u16::from_le_bytes([bytes[12], bytes[13]]),
            store_id: bytes[16..32].try_into().unwrap_or_default(),
            epoch: u64_at(bytes, 32),
            size: u64_at(bytes, 40),
            first: u64_at(bytes, 48),
        })
    }
}

/// A file with batches in it.
pub(crate) struct LogFile {
    pub(crate) handles: Handles,
    pub(crate) epoch: u64,
    /// The number of its first batch.
    pub(crate) first: u64,
    /// Where each batch starts, in blocks.
    offsets: Vec<u32>,
    /// Where the next batch goes.
    pub(crate) end: u64,
    /// Something in it could not be read: it is set aside and not used again.
    pub(crate) damaged: bool,
}

impl LogFile {
    pub(crate) fn new(handles: Handles, epoch: u64, first: u64) -> Self {
        let (offsets, end) = (Vec::new(), BLOCK as u64);
        Self { handles, epoch, first, offsets, end, damaged: false }
    }

    /// The number behind its last batch.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }

    /// Its last batch; none if it has none.
    pub(crate) fn last(&self) -> Option<u64> {
        self.next().checked_sub(1).filter(|last| *last >= self.first)
    }

    /// Notes a batch of `len` bytes at `offset`; batches before it that were not noted are missing.
    pub(crate) fn note(&mut self, number: u64, offset: u64, len: usize) {
        let missing = number.saturating_sub(self.next()) as usize;
        self.offsets.extend(std::iter::repeat_n(NO_OFFSET, missing));
        self.offsets.push((offset / BLOCK as u64) as u32);
        self.end = offset + blocks(len) as u64;
    }

    fn offset(&self, number: u64) -> Option<u64> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let offset = *self.offsets.get(at)?;
        (offset != NO_OFFSET).then_some(u64::from(offset) * BLOCK as u64)
    }
}

/// Where a batch goes.
pub(crate) struct Place {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
    /// The size of the file.
    pub(crate) size: u64,
    /// To be written first: the header of a file that is begun.
    pub(crate) header: Option<Buffer>,
}

/// The files of the log.
pub(crate) struct Ring {
    pub(crate) store_id: [u8; 16],
    pub(crate) files: VecDeque<LogFile>,
    /// Files that are ready to be used.
    pub(crate) spares: VecDeque<Handles>,
    pub(crate) next_id: u64,
    /// The size of a file, in bytes.
    pub(crate) file_size: u64,
}

impl Ring {
    pub(crate) fn new(store_id: [u8; 16], file_size: u64) -> Self {
        let (files, spares) = (VecDeque::new(), VecDeque::new());
        Self { store_id, files, spares, next_id: 1, file_size }
    }

    /// Whether a batch of `len` bytes fits in the present file or in a spare.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let len = blocks(len) as u64;
        self.files.back().is_some_and(|file| file.end + len <= file.handles.size)
            || self.spares.iter().any(|spare| BLOCK as u64 + len <= spare.size)
    }

    /// The size that a file needs for a batch of `len` bytes.
    pub(crate) fn size_for(&self, len: usize) -> u64 {
        self.file_size.max((BLOCK + blocks(len)) as u64)
    }

    /// Where batch `number` of `len` bytes goes; a spare becomes the present file if it must.
    pub(crate) fn place(&mut self, number: u64, len: usize, epoch: u64) -> Option<Place> {
        let size = blocks(len) as u64;
        if let Some(file) = self.files.back().filter(|file| file.end + size <= file.handles.size) {
            // A file that was begun and whose first write failed gets its header again.
            let header = file.offsets.is_empty().then(|| self.header(file));
            return Some(Self::at_end(file, header));
        }
        let fits = |spare: &Handles| BLOCK as u64 + size <= spare.size;
        let at = self.spares.iter().position(fits)?;
        let file = LogFile::new(self.spares.remove(at)?, epoch, number);
        let place = Self::at_end(&file, Some(self.header(&file)));
        self.files.push_back(file);
        Some(place)
    }

    /// What the first block of a file must be.
    pub(crate) fn header(&self, file: &LogFile) -> Buffer {
        let (store_id, size) = (self.store_id, file.handles.size);
        Header { format: FORMAT, store_id, epoch: file.epoch, size, first: file.first }.encode()
    }

    fn at_end(file: &LogFile, header: Option<Buffer>) -> Place {
        let (write, size) = (Arc::clone(&file.handles.write), file.handles.size);
        Place { file: write, epoch: file.epoch, offset: file.end, size, header }
    }

    /// Notes a batch that was written to its place.
    pub(crate) fn note(&mut self, number: u64, offset: u64, len: usize) {
        if let Some(file) = self.files.back_mut() {
            file.note(number, offset, len);
        }
    }

    /// The file that has batch `number`, to read from, and where the batch starts.
    pub(crate) fn locate(&self, number: u64) -> Option<(Arc<dyn DiskFile>, u64)> {
        let (file, offset) = locate(&self.files, number)?;
        Some((Arc::clone(&file.handles.read), offset))
    }
}

/// Of files in order, the one that has batch `number`, and where in it the batch starts.
pub(crate) fn locate(files: &VecDeque<LogFile>, number: u64) -> Option<(&LogFile, u64)> {
    let after = files.partition_point(|file| file.first <= number);
    let file = files.get(after.checked_sub(1)?)?;
    Some((file, file.offset(number)?))
}
