//! Reading the log again: every whole batch from a given number on.
//!
//! Batch n + 1 is written once n is durable. So a batch that is not whole with none behind it is a
//! torn end, never confirmed, and is cut; with one behind it, it was whole once, and is damage:
//! what is whole of it is used, the rest is reported.

use std::io;

use bytes::Bytes;

use super::LogDamage;
use super::batch::{self, Header as BatchHeader};
use super::record::{HEAD_LEN, Record};
use super::ring::{DIR, FORMAT, Handles, Header, LogFile, Ring, id_of};
use crate::buffer::{Buffer, blocks};
use crate::disk::{BLOCK, Disk};
use crate::error::OpenError;
use crate::report::{Damage, Report};

/// Told of every record, with the number of its batch, its offset in it and its body's length.
pub(crate) type Apply<'a> = dyn FnMut(u64, u32, u32, Record) + 'a;

/// A file as it is found.
struct Found {
    handles: Handles,
    epoch: u64,
    first: u64,
    /// Its header cannot be read; what it should say was found in its first batch.
    headless: bool,
}

/// What one look at a place gives.
enum Look {
    /// A whole batch: its records and its length.
    Whole(Vec<(u32, Bytes)>, usize),
    /// The header of this batch, and not all behind it.
    Broken(BatchHeader, Bytes),
    Nothing,
}

/// Reads all batches from `from` on. The ring then has the files that are still needed, the others
/// as spares; the number of the next batch comes back.
pub(crate) fn recover(
    disk: &dyn Disk,
    ring: &mut Ring,
    from: u64,
    apply: &mut Apply<'_>,
    report: &mut Report,
) -> Result<u64, OpenError> {
    let mut found = find(disk, ring)?;
    found.sort_by_key(|file| file.first);
    // The last file that begins at or before `from` is the first that matters.
    let begin = found.iter().rposition(|file| file.first <= from);
    let needed = match begin {
        Some(at) => found.split_off(at),
        None => std::mem::take(&mut found),
    };
    for old in found {
        ring.spares.push_back(old.handles);
    }
    let mut scan = Scan { ring, apply, report, from, expected: from };
    let firsts: Vec<u64> = needed.iter().map(|file| file.first).collect();
    let mut unused = Vec::new();
    for (at, file) in needed.into_iter().enumerate() {
        let next_first = firsts.get(at + 1).copied();
        if let Some(handles) = scan.file(file, next_first)? {
            unused.push(handles);
        }
    }
    let next = scan.expected;
    for handles in unused {
        // Its header, and what is there of its first batch, name a number that will be given again,
        // perhaps elsewhere.
        let mut block = Buffer::with_capacity(BLOCK * 2);
        block.resize(BLOCK * 2);
        let failed = |error| OpenError::io("clear an unused log file", error);
        handles.write.write_at(block.bytes(), 0).map_err(failed)?;
        handles.write.sync().map_err(failed)?;
        ring.spares.push_back(handles);
    }
    keep_last(ring, report)?;
    Ok(next)
}

/// After a crash the kernel may give back a page that never reached the disk. Only the last batch,
/// and the header that was written with it, can be such: they are written again before anything is
/// built on them.
fn keep_last(ring: &Ring, report: &mut Report) -> Result<(), OpenError> {
    let Some(file) = ring.files.back() else { return Ok(()) };
    let Some(last) = file.next().checked_sub(1).filter(|last| *last >= file.first) else {
        return Ok(());
    };
    let Some((read, offset)) = ring.locate(last) else { return Ok(()) };
    let len = (file.end - offset) as usize;
    let mut buffer = Buffer::with_capacity(len);
    buffer.resize(len);
    let failed = |error| OpenError::io("write the log's last batch again", error);
    let read = read.read_at(buffer.bytes_mut(), offset).map_err(failed)?;
    if read == len {
        file.handles.write.write_at(ring.header(file).bytes(), 0).map_err(failed)?;
        file.handles.write.write_at(buffer.bytes(), offset).map_err(failed)?;
        file.handles.write.sync().map_err(failed)?;
    }
    report.log_end = last;
    Ok(())
}

/// Opens all files; those without batches become spares.
fn find(disk: &dyn Disk, ring: &mut Ring) -> Result<Vec<Found>, OpenError> {
    let mut found = Vec::new();
    let failed = |error| OpenError::io("list the log's files", error);
    // A file that was being created at the crash may be there now and gone after the next one.
    disk.sync_dir(DIR).map_err(failed)?;
    let names = disk.list(DIR).map_err(failed)?;
    for id in names.iter().filter_map(|name| id_of(name)) {
        let failed = |error| OpenError::io(format!("open log file {id}"), error);
        ring.next_id = ring.next_id.max(id + 1);
        let handles = Handles::open(disk, id).map_err(failed)?;
        let mut block = vec![0; BLOCK * 2];
        let read = handles.read.read_at(&mut block, 0).map_err(failed)?;
        block.truncate(read);
        match Header::decode(&block) {
            Some(header) if header.format > FORMAT => {
                return Err(OpenError::newer("log file", u32::from(header.format), FORMAT.into()));
            }
            Some(header) if header.store_id == ring.store_id && header.first > 0 => {
                let (epoch, first) = (header.epoch, header.first);
                found.push(Found { handles, epoch, first, headless: false });
            }
            Some(_) => return Err(OpenError::Foreign { what: format!("log file {id}") }),
            None => match headless(&block) {
                Some((epoch, first)) => {
                    found.push(Found { handles, epoch, first, headless: true });
                }
                None => ring.spares.push_back(handles),
            },
        }
    }
    Ok(found)
}

/// The epoch and number of the first batch of a file whose header cannot be read.
fn headless(blocks: &[u8]) -> Option<(u64, u64)> {
    let batch = blocks.get(BLOCK..)?;
    let epoch = super::record::u64_at(batch, 8);
    BatchHeader::decode(batch, epoch).map(|header| (epoch, header.number))
}

struct Scan<'a, 'b> {
    ring: &'a mut Ring,
    apply: &'a mut Apply<'b>,
    report: &'a mut Report,
    from: u64,
    expected: u64,
}

impl Scan<'_, '_> {
    /// Reads one file; gives it back if it has nothing that is needed.
    fn file(
        &mut self,
        found: Found,
        next_first: Option<u64>,
    ) -> Result<Option<Handles>, OpenError> {
        let mut file = LogFile::new(found.handles, found.epoch, found.first);
        if found.headless {
            // A file's header is durable with its first batch: both, or none.
            if next_first.is_none() && later(&file, file.first)?.is_none() {
                return Ok(Some(file.handles));
            }
            self.report.damages.push(Damage::LogHeader { file: file.handles.id });
        }
        if file.first > self.expected {
            // Batches between the last file and this one are gone with their file.
            self.lost(self.expected, file.first);
        } else {
            // Batches before `from` in it are skipped, but must be stepped over.
            self.expected = file.first;
        }
        loop {
            let number = self.expected;
            match look(&file, file.end, number, self.from)? {
                Look::Whole(records, len) => {
                    let at = file.end;
                    file.note(number, at, len);
                    self.records(number, records)?;
                    self.expected += 1;
                }
                broken => {
                    if next_first == Some(number) {
                        break;
                    }
                    let Some((offset, next)) = later(&file, number)? else {
                        match next_first {
                            Some(next) => self.damaged(&mut file, number, next, broken)?,
                            None => self.torn(number, &broken),
                        }
                        break;
                    };
                    self.damaged(&mut file, number, next, broken)?;
                    file.end = offset;
                }
            }
        }
        if file.next() == file.first && !file.damaged {
            return Ok(Some(file.handles));
        }
        self.ring.files.push_back(file);
        Ok(None)
    }

    fn records(&mut self, number: u64, records: Vec<(u32, Bytes)>) -> Result<(), OpenError> {
        if number < self.from {
            return Ok(());
        }
        self.report.batches += 1;
        for (offset, record) in records {
            let len = (record.len() - HEAD_LEN) as u32;
            match Record::decode(&record) {
                Ok(record) => {
                    self.report.records += 1;
                    (self.apply)(number, offset, len, record);
                }
                Err(LogDamage::UnknownKind { kind, required: true }) => {
                    return Err(OpenError::UnknownRecord { kind, batch: number });
                }
                Err(LogDamage::UnknownKind { .. }) => {}
                Err(LogDamage::Malformed) => {
                    self.report.damages.push(Damage::LogRecord { batch: number, offset });
                }
            }
        }
        Ok(())
    }

    /// The end of the log: what is there of the next batch was never confirmed.
    fn torn(&mut self, number: u64, broken: &Look) {
        if let Look::Broken(header, _) = broken {
            self.report.torn = Some((number, header.len as u64));
        }
    }

    /// Batch `number` was whole once, since `next` stands behind it.
    fn damaged(
        &mut self,
        file: &mut LogFile,
        number: u64,
        next: u64,
        broken: Look,
    ) -> Result<(), OpenError> {
        file.damaged = true;
        let mut after = number;
        if let Look::Broken(header, bytes) = broken {
            let (records, lost_bytes) = header.salvage(&bytes);
            file.note(number, file.end, header.len);
            let lost_bytes = lost_bytes as u64;
            self.report.damages.push(Damage::LogBatch { batch: number, lost_bytes });
            self.records(number, records)?;
            after += 1;
        }
        if after < next {
            self.lost(after, next);
        }
        self.expected = next;
        Ok(())
    }

    fn lost(&mut self, first: u64, next: u64) {
        if next > self.from {
            self.report.damages.push(Damage::LogBatches { first, last: next - 1 });
        }
        self.expected = next;
    }
}

fn read(file: &LogFile, offset: u64, len: usize) -> Result<Bytes, OpenError> {
    let mut bytes = vec![0; len];
    let failed = |error: io::Error| {
        OpenError::io(format!("read log file {} at {offset}", file.handles.id), error)
    };
    let read = file.handles.read.read_at(&mut bytes, offset).map_err(failed)?;
    bytes.truncate(read);
    Ok(Bytes::from(bytes))
}

/// Looks for batch `number` at `offset`; what is before `from` is not needed, and stepped over.
fn look(file: &LogFile, offset: u64, number: u64, from: u64) -> Result<Look, OpenError> {
    let room = file.handles.size.saturating_sub(offset);
    let head = read(file, offset, batch::HEADER_LEN)?;
    let Some(header) = BatchHeader::decode(&head, file.epoch) else { return Ok(Look::Nothing) };
    if header.number != number || header.len as u64 > room {
        return Ok(Look::Nothing);
    }
    if number < from {
        return Ok(Look::Whole(Vec::new(), header.len));
    }
    let bytes = read(file, offset, header.len)?;
    Ok(match header.records(&bytes) {
        Some(records) => Look::Whole(records, header.len),
        None => Look::Broken(header, bytes),
    })
}

/// The first whole batch header behind `number` in the file, and its number.
fn later(file: &LogFile, number: u64) -> Result<Option<(u64, u64)>, OpenError> {
    const STEP: usize = 1 << 20;
    let mut offset = file.end + BLOCK as u64;
    while offset < file.handles.size {
        let bytes = read(file, offset, STEP)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        for (at, block) in bytes.chunks(BLOCK).enumerate() {
            let header = BatchHeader::decode(block, file.epoch);
            if let Some(header) = header.filter(|header| header.number > number) {
                return Ok(Some((offset + (at * BLOCK) as u64, header.number)));
            }
        }
        offset += blocks(bytes.len()) as u64;
    }
    Ok(None)
}
