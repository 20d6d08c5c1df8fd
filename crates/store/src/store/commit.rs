//! Committing: one batch is written and made durable.

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::quality::FixedState;

use super::{Core, Durability, Store};
use crate::buffer::Buffer;
use crate::error::Fatal;
use crate::log::batch::{Batch, HEADER_LEN};
use crate::log::kept;
use crate::log::ring::{Handles, Place};

/// What a commit did.
#[derive(Debug)]
pub enum Committed {
    /// There was nothing to write.
    Nothing,
    /// This batch is durable now.
    Batch(u64),
    /// The disk has no room for the batch, which waits for it.
    NoRoom(io::Error),
}

impl Core {
    /// The next batch that is to be written.
    fn take_batch(&mut self, size: usize) -> Option<Batch> {
        if let Some(batch) = self.closed.pop_front() {
            return Some(batch);
        }
        (!self.open.is_empty()).then(|| self.next_batch(size))
    }

    /// Batch `first` begins a file of the log. It is kept in memory if it will be moved soon by an
    /// upkeep that is in a hurry, and has not much to move before it.
    fn begin_file(&mut self, first: u64, size: u64) {
        let hurry = !self.pile.is_slow();
        self.pile.file_begun(self.index.published, self.index.settled);
        if self.pile.grows() && hurry && self.ring.files.len() <= kept::FILES_MAX {
            self.kept.begin(first, size as usize);
        }
    }
}

/// A new file's epoch: no earlier use of the same bytes may have had it. `first` is its first
/// batch, whose number the life of a process gives once.
fn epoch(seed: &[u8; 16], first: u64) -> u64 {
    let mut hasher = FixedState::with_seed(first).build_hasher();
    hasher.write(seed);
    hasher.write_u64(first);
    hasher.finish()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Store {
    /// Writes one batch, if there is one, and makes it durable. To be called by one thread at a
    /// time. After an error nothing may be confirmed any more, and the process must end.
    pub fn commit(&self) -> Result<Committed, Fatal> {
        let mut core = self.core();
        let Some(mut batch) = core.take_batch(self.options.batch_size) else {
            return Ok(Committed::Nothing);
        };
        if !core.ring.has_room(batch.len()) {
            let size = core.ring.size_for(batch.len());
            let id = core.ring.next_id;
            core.ring.next_id += 1;
            core.flying = Some(batch.number);
            drop(core);
            // Without zeros: it is needed now.
            let created = Handles::create(&*self.disk, id, size, false);
            core = self.core();
            match created {
                Ok(handles) => core.ring.spares.push_front(handles),
                Err(error) => return Ok(Self::put_back(&mut core, batch, error)),
            }
        }
        let (number, len, files) = (batch.number, batch.len(), core.ring.files.len());
        let Some(place) = core.ring.place(number, len, epoch(&self.options.seed, number)) else {
            let error = io::Error::other("there is no file for the batch");
            return Ok(Self::put_back(&mut core, batch, error));
        };
        core.flying = Some(number);
        if core.ring.files.len() > files {
            core.begin_file(number, place.size);
        }
        let first = core.ring.files.back().map_or(0, |file| file.first);
        let mut image = core.kept.lend(first);
        drop(core);
        let written = self.write(&mut batch, &place, image.as_mut());
        let mut core = self.core();
        if let Some(image) = image {
            core.kept.put(first, image);
        }
        if let Err(error) = written {
            return Ok(Self::put_back(&mut core, batch, error.filter_full()?));
        }
        core.ring.note(number, place.offset, len);
        core.flying = None;
        core.reuse(batch.into_buffer());
        self.pending_bytes.fetch_sub(len - HEADER_LEN, Ordering::Relaxed);
        drop(core);
        self.set_durable(number);
        self.progress.notify_all();
        Ok(Committed::Batch(number))
    }

    fn put_back(core: &mut Core, batch: Batch, error: io::Error) -> Committed {
        core.flying = None;
        core.closed.push_front(batch);
        Committed::NoRoom(error)
    }

    /// Writes a batch to its place, and to the image of its file if that is kept.
    fn write(
        &self,
        batch: &mut Batch,
        place: &Place,
        image: Option<&mut Buffer>,
    ) -> Result<(), WriteError> {
        let sealed = batch.seal(place.epoch);
        if let Some(header) = &place.header {
            place.file.write_at(header.bytes(), 0).map_err(WriteError::Write)?;
        }
        place.file.write_at(sealed, place.offset).map_err(WriteError::Write)?;
        if self.options.durability == Durability::Sync {
            place.file.sync().map_err(WriteError::Sync)?;
        }
        if let Some(image) = image.filter(|image| image.len() as u64 == place.offset) {
            image.push(sealed);
        }
        Ok(())
    }

    /// Waits until there is something to write, at most for `timeout`.
    pub(crate) fn wait_for_work(&self, timeout: Duration) {
        let mut core = self.core();
        if core.open.is_empty() && core.closed.is_empty() && !self.is_stopping() {
            core.writer_waits = true;
            let waited = self.work.wait_timeout(core, timeout);
            waited.unwrap_or_else(PoisonError::into_inner).0.writer_waits = false;
        }
    }

    /// Waits until a batch becomes durable or the store stops, at most for `timeout`, unless batch
    /// `position` is durable already; false if nothing happened.
    pub(crate) fn wait_for_progress(&self, position: u64, timeout: Duration) -> bool {
        let core = self.core();
        if self.durable() >= position || self.is_stopping() {
            return true;
        }
        let waited = self.progress.wait_timeout(core, timeout);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Has the threads end once everything is written.
    pub(crate) fn stop(&self) {
        let core = self.core();
        self.stopping.store(true, Ordering::Release);
        drop(core);
        self.work.notify_all();
        self.progress.notify_all();
    }
}

enum WriteError {
    Write(io::Error),
    Sync(io::Error),
}

impl WriteError {
    /// A full disk is a state that ends; everything else is not. A failed sync is never repeated:
    /// the kernel may say that all is well the second time, over data that it has dropped.
    fn filter_full(self) -> Result<io::Error, Fatal> {
        match self {
            Self::Write(error) if is_full(&error) => Ok(error),
            Self::Write(error) | Self::Sync(error) => Err(Fatal(error)),
        }
    }
}
