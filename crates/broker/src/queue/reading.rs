//! Messages of a locked queue that are not in memory: reading them back at once, and asking that
//! somebody reads them ahead.

use super::Batch;
use super::messages::{Head, Scan, Slot, Wanted};
use crate::ids::Seq;
use crate::log::{Fetched, SeqRange};

/// How much of what consumers get next is kept in memory, in bytes, where the window allows it.
const READ_AHEAD: usize = 1 << 20;
/// How much is kept without a consumer, once the head was read back.
const READ_HEAD: usize = 64 << 10;
/// How much is read at once while the queue is locked.
pub(crate) const READ_LOCKED: usize = 256 << 10;
/// How much of what is due soon is read at once.
pub(super) const READ_AHEAD_OF_TIME: usize = 1 << 20;

impl Batch<'_> {
    /// How much to read ahead, in bytes.
    pub(crate) fn read_ahead(&self) -> usize {
        let most = if self.queue.consumers.is_empty() { READ_HEAD } else { READ_AHEAD };
        most.min(self.context.window)
    }

    /// What is to be read back for this queue.
    pub(crate) fn wanted(&self) -> Wanted {
        self.queue.messages.wanted(self.read_ahead())
    }

    /// Takes in what was read back; see [`Messages::loaded`](super::messages::Messages::loaded).
    fn loaded(&mut self, wanted: &Wanted, fetched: Vec<Fetched>) -> bool {
        let loaded = self.queue.messages.loaded(wanted, fetched);
        if !loaded.unspill.is_empty() {
            self.context.log.unspill(self.handle.spec.id, &loaded.unspill);
        }
        loaded.progress
    }

    /// Takes in what was read back ahead. A log that answers nothing of use to the very question
    /// that is still to be asked is not asked again at once.
    pub(crate) fn loaded_ahead(&mut self, wanted: &Wanted, fetched: Vec<Fetched>) {
        let progress = self.loaded(wanted, fetched);
        self.stalled = !progress && !wanted.ranges.is_empty() && self.wanted() == *wanted;
    }

    /// What is to be read for a scan.
    pub(super) fn scan_next(&mut self) -> Option<(Scan, Vec<SeqRange>)> {
        self.queue.messages.scan_next()
    }

    /// Takes in what was read for a scan.
    pub(super) fn scanned(&mut self, scan: Scan, ranges: &[SeqRange], found: &[Fetched]) {
        self.queue.messages.scanned(scan, ranges, found);
    }

    /// What a schedule is to read ahead.
    pub(super) fn ahead_next(&self) -> Vec<SeqRange> {
        self.queue.messages.ahead_next()
    }

    /// That was read, up to this place or all of it, and is in the system's cache.
    pub(super) fn ahead_read(&mut self, ranges: &[SeqRange], last: Option<Seq>) {
        self.queue.messages.read_ahead(ranges, last);
    }

    /// Asks to be read to, if what is in memory is too little, or something is due soon.
    pub(super) fn ask_ahead(&mut self) {
        if self.handle.is_schedule() {
            self.queue.messages.look_ahead(self.context.now);
        }
        let messages = &self.queue.messages;
        let short = messages.lacks_head()
            || !self.queue.consumers.is_empty() && messages.is_short(self.read_ahead() as u64 / 2);
        let wanted = (self.effects.load || short) && !self.stalled;
        self.effects.load = wanted || messages.is_scanning() || messages.is_reading_ahead();
    }

    /// Brings the head into memory, if it entered in this very batch. The log does not have it yet.
    pub(super) fn load_own(&mut self) -> bool {
        let Head::Away(head) = self.queue.messages.head() else { return false };
        if self.entries.published(head).is_none() {
            return false;
        }
        let wanted = self.queue.messages.wanted(READ_LOCKED);
        let (mut ranges, mut answers, mut bytes) = (Vec::new(), Vec::new(), 0);
        for seq in wanted.places() {
            let Some((message, expires_at)) = self.entries.published(seq) else { break };
            if bytes > READ_LOCKED {
                break;
            }
            bytes += message.size();
            SeqRange::push(&mut ranges, seq);
            answers.push(Fetched { seq, message: Some((message.clone(), expires_at)) });
        }
        self.loaded(&wanted.prefix(ranges), answers)
    }

    /// Brings the head into memory, blocking on the disk; false if that cannot be done.
    pub(super) fn load_now(&mut self) -> bool {
        if self.load_own() {
            return true;
        }
        let wanted = self.queue.messages.wanted(READ_LOCKED);
        let mut ranges = Vec::new();
        for seq in wanted.places() {
            if self.entries.published(seq).is_some() {
                break;
            }
            SeqRange::push(&mut ranges, seq);
        }
        let wanted = wanted.prefix(ranges);
        let id = self.handle.spec.id;
        let fetched = self.context.log.fetch(id, &wanted.ranges, READ_LOCKED);
        self.loaded(&wanted, fetched)
    }

    /// Takes the next message, reading it back if it must be.
    pub(super) fn take_head(&mut self) -> Option<Slot> {
        loop {
            match self.queue.messages.head() {
                Head::Empty => return None,
                Head::Here(_) => return self.queue.messages.pop(),
                Head::Away(_) => {
                    if !self.load_now() {
                        return None;
                    }
                }
            }
        }
    }
}
