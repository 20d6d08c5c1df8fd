//! Writes a segment.
//!
//! Invariants: records come in the order of queue, level and seq. Nothing is a segment before
//! [`SegmentWriter::finish`] has synced it and the owner has named it in the manifest; a file that
//! was begun and not finished is removed by the owner.

use crc32c::crc32c;

use super::format::{self, DataRef, HEAD_BYTES, Head, RecordHead, TRAILER_BYTES, Trailer, UNIT};
use super::index::{self, IndexBuilder, extent_of};
use super::reader::Segment;
use super::run::Run;
use super::{DATA_BYTES_MAX, DIRECTORY, SEGMENT_BYTES_MAX, SegmentError, block_up, file_name};
use crate::buffer::Buffer;
use crate::disk::{Access, BLOCK, Disk, DiskFile};

/// How much is written at once, in bytes.
const WRITE_BYTES: usize = 1 << 20;

const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// A segment under way. After an error it is of no more use.
pub struct SegmentWriter<'a> {
    disk: &'a dyn Disk,
    id: u64,
    file: Box<dyn DiskFile>,
    extent_bytes: u64,
    builder: IndexBuilder,
    /// What is not written yet, and where it goes.
    buffer: Buffer,
    buffer_at: u64,
    /// What went wrong; nothing is written after it.
    failed: Option<std::io::ErrorKind>,
}

impl<'a> SegmentWriter<'a> {
    /// Creates the file of segment `id`, which must not exist. An extent ends with the record that
    /// makes it `extent_bytes` long or longer.
    pub fn create(
        disk: &'a dyn Disk,
        id: u64,
        extent_bytes: usize,
    ) -> Result<SegmentWriter<'a>, SegmentError> {
        disk.create_dir(DIRECTORY).map_err(SegmentError::io(id))?;
        // Past the page cache: what is moved here is not wanted soon, and copies cost.
        let file = disk.create(&file_name(id), Access::Direct).map_err(SegmentError::io(id))?;
        let mut buffer = Buffer::with_capacity(WRITE_BYTES * 2);
        buffer.push(&format::encode_header(id));
        Ok(SegmentWriter {
            disk,
            id,
            file,
            extent_bytes: extent_bytes as u64,
            builder: IndexBuilder::new(id),
            buffer,
            buffer_at: 0,
            failed: None,
        })
    }

    /// How long the file is so far, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.buffer_at + self.buffer.len() as u64
    }

    /// Adds a record; where its data is, for others to share.
    pub fn add(&mut self, head: &RecordHead, data: &[u8]) -> Result<DataRef, SegmentError> {
        if data.len() > DATA_BYTES_MAX {
            return Err(SegmentError::TooLong { id: self.id });
        }
        self.put_record(head, data, None)
    }

    /// Adds a record that shares the data of another one, which was added to this segment.
    pub fn add_reference(&mut self, head: &RecordHead, to: DataRef) -> Result<(), SegmentError> {
        self.put_record(head, &format::encode_reference(&to), Some(to)).map(|_| ())
    }

    fn put_record(
        &mut self,
        record: &RecordHead,
        data: &[u8],
        to: Option<DataRef>,
    ) -> Result<DataRef, SegmentError> {
        let total = format::total(data.len());
        self.make_room(total)?;
        let mut head = Head {
            record: *record,
            is_reference: to.is_some(),
            data_len: data.len() as u32,
            data_crc: crc32c(data),
            extent: 0,
        };
        if !self.builder.ascends(&head) {
            let RecordHead { queue, seq, .. } = *record;
            return Err(SegmentError::Unsorted { id: self.id, queue, seq });
        }
        let offset = self.file_bytes();
        head.extent = (self.builder.extents().len() - 1) as u32;
        self.put(&format::encode_head(&head, self.id, offset))?;
        self.put(data)?;
        self.pad(UNIT)?;
        let shared = to.and_then(|to| extent_of(self.builder.extents(), to.offset));
        self.builder.push(&head, offset, shared);
        Ok(DataRef { offset, len: head.data_len, crc: head.data_crc })
    }

    /// Sees to it that there is an extent for `total` bytes more. A record that fills an extent
    /// gets one of its own, so that small ones do not wait for it.
    fn make_room(&mut self, total: u64) -> Result<(), SegmentError> {
        let full = self.builder.extents().last().is_none_or(|extent| {
            extent.len >= self.extent_bytes || (extent.len > 0 && total >= self.extent_bytes)
        });
        let begin = if full { block_up(self.file_bytes()) } else { self.file_bytes() };
        if begin + total > SEGMENT_BYTES_MAX {
            return Err(SegmentError::TooLong { id: self.id });
        }
        if full {
            self.pad(ZEROS.len() as u64)?;
            self.builder.begin_extent(begin);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SegmentError> {
        self.buffer.push(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn pad(&mut self, unit: u64) -> Result<(), SegmentError> {
        let end = self.file_bytes();
        self.put(&ZEROS[..(end.next_multiple_of(unit) - end) as usize])
    }

    /// Writes the whole blocks of the buffer.
    fn flush(&mut self) -> Result<(), SegmentError> {
        if let Some(kind) = self.failed {
            return Err(SegmentError::Io { id: self.id, error: kind.into() });
        }
        let len = self.buffer.len() / BLOCK * BLOCK;
        let written = self.file.write_at(&self.buffer.bytes()[..len], self.buffer_at);
        self.failed = written.as_ref().err().map(std::io::Error::kind);
        self.buffer_at += len as u64;
        self.buffer.keep_from(len);
        written.map_err(SegmentError::io(self.id))
    }

    /// Writes the index and makes the file durable. All records of the runs live.
    pub fn finish(mut self) -> Result<(Segment, Vec<Run>), SegmentError> {
        let index = std::mem::replace(&mut self.builder, IndexBuilder::new(self.id)).finish();
        let bytes = index::encode(&index);
        // No block has both an extent, which may be given back, and the index. The trailer ends
        // with the file, and the file with a block.
        self.pad(ZEROS.len() as u64)?;
        let end = block_up(self.file_bytes() + (bytes.len() + TRAILER_BYTES) as u64);
        let offset = end - (bytes.len() + TRAILER_BYTES) as u64;
        self.put(&ZEROS[..(offset - self.file_bytes()) as usize])?;
        self.put(&bytes)?;
        let trailer = Trailer { offset, len: bytes.len() as u64, crc: crc32c(&bytes) };
        self.put(&format::encode_trailer(&trailer, self.id))?;
        self.flush()?;
        let len = self.file_bytes();
        self.file.sync().map_err(SegmentError::io(self.id))?;
        self.disk.sync_dir(DIRECTORY).map_err(SegmentError::io(self.id))?;
        let open = self.disk.open(&file_name(self.id), Access::Buffered);
        let file = open.map_err(SegmentError::io(self.id))?;
        Ok((Segment::new(self.id, file, len, index.extents), index.runs))
    }
}

/// The shortest record must fit what an extent's count of records is checked against.
const _: () = assert!(HEAD_BYTES.is_multiple_of(UNIT as usize));
