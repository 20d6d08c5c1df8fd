//! Reading the log again: every whole batch from a given number on. Nothing is written here.
//!
//! Batch n + 1 is written once n is durable. So a batch that is not whole with none behind it is a
//! torn end, never confirmed, and is cut; with one behind it, it was whole once, and is damage:
//! what is whole of it is used, the rest is reported.

use std::collections::VecDeque;

use bytes::Bytes;

use super::LogDamage;
use super::batch::{self, Header as BatchHeader};
use super::record::{HEAD_LEN, Record};
use super::ring::{DIR, FORMAT, Handles, Header, LogFile, id_of, locate};
use crate::buffer::blocks;
use crate::disk::{BLOCK, Disk};
use crate::error::OpenError;
use crate::report::{Damage, Report};
use crate::segment::read_through;

/// Told of every record, with the number of its batch, its offset in it and its body's length.
pub(crate) type Apply<'a> = dyn FnMut(u64, u32, u32, Record) + 'a;

/// Told of what cannot be read as it should be: an error ends the scan, otherwise it goes on
/// without (a file is left out, bytes that cannot be read are taken as zeros).
pub(crate) type Refuse<'a> = dyn FnMut(OpenError) -> Result<(), OpenError> + 'a;

/// What a scan found.
#[derive(Default)]
pub(crate) struct Scanned {
    /// The files from which batches are needed, in order.
    pub(crate) files: VecDeque<LogFile>,
    /// Files with nothing that is needed.
    pub(crate) spares: Vec<Handles>,
    /// Files behind the log's end that were begun, and of which nothing was ever confirmed.
    pub(crate) unused: Vec<Unused>,
    /// Larger than the ids of all files.
    pub(crate) next_id: u64,
    /// The number of the next batch.
    pub(crate) next: u64,
}

/// A file that was begun.
pub(crate) struct Unused {
    pub(crate) file: LogFile,
    /// Its header cannot be read, although its first batch has one.
    pub(crate) headless: bool,
}

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

/// The epoch and number of the first batch of a file whose header cannot be read.
pub(crate) fn headless(blocks: &[u8]) -> Option<(u64, u64)> {
    let batch = blocks.get(BLOCK..)?;
    let epoch = super::record::u64_at(batch, 8);
    BatchHeader::decode(batch, epoch).map(|header| (epoch, header.number))
}

/// A scan to be made.
pub(crate) struct Scan<'a, 'b> {
    pub(crate) store_id: [u8; 16],
    /// The first batch that counts.
    pub(crate) from: u64,
    pub(crate) apply: &'a mut Apply<'b>,
    pub(crate) refuse: &'a mut Refuse<'b>,
    pub(crate) report: &'a mut Report,
}

impl Scan<'_, '_> {
    /// Reads all batches that count.
    pub(crate) fn run(mut self, disk: &dyn Disk) -> Result<Scanned, OpenError> {
        let mut scanned = Scanned { next_id: 1, ..Scanned::default() };
        let mut found = self.find(disk, &mut scanned)?;
        found.sort_by_key(|file| file.first);
        // The last file that begins at or before `from` is the first that matters.
        let begin = found.iter().rposition(|file| file.first <= self.from);
        let needed = match begin {
            Some(at) => found.split_off(at),
            None => std::mem::take(&mut found),
        };
        scanned.spares.extend(found.into_iter().map(|old| old.handles));
        let firsts: Vec<u64> = needed.iter().map(|file| file.first).collect();
        let from = self.from;
        let mut walk = Walk { scan: &mut self, files: VecDeque::new(), expected: from };
        for (at, file) in needed.into_iter().enumerate() {
            let headless = file.headless;
            if let Some(file) = walk.file(file, firsts.get(at + 1).copied())? {
                scanned.unused.push(Unused { file, headless });
            }
        }
        (scanned.files, scanned.next) = (walk.files, walk.expected);
        let last = scanned.files.back().and_then(LogFile::last);
        if let Some(last) = last.filter(|last| locate(&scanned.files, *last).is_some()) {
            self.report.log_end = last;
        }
        Ok(scanned)
    }

    /// Opens all files; those without batches become spares.
    fn find(&mut self, disk: &dyn Disk, scanned: &mut Scanned) -> Result<Vec<Found>, OpenError> {
        let names = disk.list(DIR).map_err(|error| OpenError::io("list the log's files", error));
        let names = match names {
            Ok(names) => names,
            Err(error) => {
                (self.refuse)(error)?;
                return Ok(Vec::new());
            }
        };
        let mut found = Vec::new();
        for id in names.iter().filter_map(|name| id_of(name)) {
            scanned.next_id = scanned.next_id.max(id.saturating_add(1));
            match self.find_one(disk, id, scanned) {
                Ok(file) => found.extend(file),
                Err(error) => (self.refuse)(error)?,
            }
        }
        Ok(found)
    }

    fn find_one(
        &mut self,
        disk: &dyn Disk,
        id: u64,
        scanned: &mut Scanned,
    ) -> Result<Option<Found>, OpenError> {
        let failed = |error| OpenError::io(format!("open log file {id}"), error);
        let handles = Handles::open(disk, id).map_err(failed)?;
        let block = self.read(&handles, 0, BLOCK * 2)?;
        match Header::decode(&block) {
            Some(header) if header.format != FORMAT => {
                Err(OpenError::format("log file", u32::from(header.format), FORMAT.into()))
            }
            Some(header) if header.store_id == self.store_id && header.first > 0 => {
                let (epoch, first) = (header.epoch, header.first);
                Ok(Some(Found { handles, epoch, first, headless: false }))
            }
            Some(_) => Err(OpenError::Foreign { what: format!("log file {id}") }),
            None => match headless(&block) {
                Some((epoch, first)) => Ok(Some(Found { handles, epoch, first, headless: true })),
                None => {
                    scanned.spares.push(handles);
                    Ok(None)
                }
            },
        }
    }

    fn read(&mut self, file: &Handles, offset: u64, len: usize) -> Result<Bytes, OpenError> {
        let mut bytes = vec![0; len];
        match file.read.read_at(&mut bytes, offset) {
            Ok(read) => bytes.truncate(read),
            Err(error) => {
                let doing = format!("read log file {} at {offset}", file.id);
                (self.refuse)(OpenError::io(doing, error))?;
                bytes = read_through(&*file.read, offset, len).0;
            }
        }
        Ok(Bytes::from(bytes))
    }

    /// Looks for batch `number` at the file's end as far as it is known; what is before `from` is
    /// not needed, and only stepped over.
    fn look(&mut self, file: &LogFile, number: u64) -> Result<Look, OpenError> {
        let (handles, offset) = (&file.handles, file.end);
        let room = handles.size.saturating_sub(offset);
        let head = self.read(handles, offset, batch::HEADER_LEN)?;
        let Some(header) = BatchHeader::decode(&head, file.epoch) else { return Ok(Look::Nothing) };
        if header.number != number || header.len as u64 > room {
            return Ok(Look::Nothing);
        }
        if number < self.from {
            return Ok(Look::Whole(Vec::new(), header.len));
        }
        let bytes = self.read(handles, offset, header.len)?;
        Ok(match header.records(&bytes) {
            Some(records) => Look::Whole(records, header.len),
            None => Look::Broken(header, bytes),
        })
    }

    /// The first whole batch header behind `number` in the file, and its number.
    fn later(&mut self, file: &LogFile, number: u64) -> Result<Option<(u64, u64)>, OpenError> {
        const STEP: usize = 1 << 20;
        let mut offset = file.end + BLOCK as u64;
        while offset < file.handles.size {
            let bytes = self.read(&file.handles, offset, STEP)?;
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
}

/// A scan on its way through the files.
struct Walk<'a, 'b, 'c> {
    scan: &'a mut Scan<'b, 'c>,
    files: VecDeque<LogFile>,
    /// The number of the next batch.
    expected: u64,
}

impl Walk<'_, '_, '_> {
    /// Reads one file; gives it back if it has nothing that is needed.
    fn file(
        &mut self,
        found: Found,
        next_first: Option<u64>,
    ) -> Result<Option<LogFile>, OpenError> {
        let mut file = LogFile::new(found.handles, found.epoch, found.first);
        if found.headless {
            // A file's header is durable with its first batch: both, or none.
            if next_first.is_none() && self.scan.later(&file, file.first)?.is_none() {
                return Ok(Some(file));
            }
            self.scan.report.damages.push(Damage::LogHeader { file: file.handles.id });
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
            match self.scan.look(&file, number)? {
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
                    let Some((offset, next)) = self.scan.later(&file, number)? else {
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
            return Ok(Some(file));
        }
        self.files.push_back(file);
        Ok(None)
    }

    fn records(&mut self, number: u64, records: Vec<(u32, Bytes)>) -> Result<(), OpenError> {
        if number < self.scan.from {
            return Ok(());
        }
        self.scan.report.batches += 1;
        for (offset, record) in records {
            let len = (record.len() - HEAD_LEN) as u32;
            match Record::decode(&record) {
                Ok(record) => {
                    self.scan.report.records += 1;
                    (self.scan.apply)(number, offset, len, record);
                }
                Err(LogDamage::UnknownKind { kind, required: true }) => {
                    (self.scan.refuse)(OpenError::UnknownRecord { kind, batch: number })?;
                }
                Err(LogDamage::UnknownKind { .. }) => {}
                Err(LogDamage::Malformed) => {
                    self.scan.report.damages.push(Damage::LogRecord { batch: number, offset });
                }
            }
        }
        Ok(())
    }

    /// The end of the log: what is there of the next batch was never confirmed.
    fn torn(&mut self, number: u64, broken: &Look) {
        if let Look::Broken(header, _) = broken {
            self.scan.report.torn = Some((number, header.len as u64));
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
            self.scan.report.damages.push(Damage::LogBatch { batch: number, lost_bytes });
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
        if next > self.scan.from {
            self.scan.report.damages.push(Damage::LogBatches { first, last: next - 1 });
        }
        self.expected = next;
    }
}
