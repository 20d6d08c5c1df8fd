//! A window with its records in the log: each a tiny message of a queue of its own, so that the
//! store knows nothing of it.
//!
//! Invariant: the log holds one record for each identity in the window that is durable, and none
//! for one that has left it. Whoever has the lock over a memory appends its entries before they let
//! go of it.

use super::identity::{Identity, Key};
use super::window::Window;
use crate::definitions::Deduplication;
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::{Entry, Log, Position, RecoveredQueue, SeqRange};
use crate::message::Message;

/// How much is read back at once, in bytes.
const READ_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Where its records are; without it nothing survives a restart.
    id: Option<QueueId>,
    last_seq: u64,
    window: Window,
    /// Records that are not appended yet: their places are the last ones.
    records: Vec<Entry>,
    /// Places of records that are of no use any more.
    forgotten: Vec<Seq>,
    /// When all that was appended is durable.
    position: Position,
    appending: bool,
    /// The owner is gone, and the log is to be told.
    dropping: bool,
}

impl Memory {
    /// One whose records are in that queue of the log, if it is to have any.
    pub(crate) fn new(id: Option<QueueId>) -> Self {
        Self { id, ..Self::default() }
    }

    /// Where its records are.
    pub(crate) fn id(&self) -> Option<QueueId> {
        self.id
    }

    /// Has its records in that queue of the log from now on.
    pub(crate) fn settle_in(&mut self, id: QueueId) {
        self.id = Some(id);
    }

    /// Whether the same was taken before; if so, when that is durable.
    pub(crate) fn knows(&self, identity: &Identity, now: Timestamp) -> Option<Position> {
        self.window.knows(&identity.key, now).then_some(self.position)
    }

    /// Remembers what was taken, for as long as its message is kept if that is not `durable`.
    pub(crate) fn remember(
        &mut self,
        identity: &Identity,
        limits: &Deduplication,
        now: Timestamp,
        durable: bool,
    ) {
        let expires_at = identity.expires_at(now, limits.cache_ttl_ms);
        let mut seq = Seq(0);
        if let (true, Some(queue)) = (durable, self.id) {
            self.last_seq += 1;
            seq = Seq(self.last_seq);
            let message = Message::record(identity.key.encode());
            self.records.push(Entry::Publish { queue, seq, level: 0, message, expires_at });
        }
        let forgotten = &mut self.forgotten;
        let mut forget = |seq| forgotten.push(seq);
        self.window.remember(identity.key, seq, expires_at, &mut forget);
        self.window.trim(limits, now, &mut forget);
    }

    /// The owner is gone: so is all of this.
    pub(crate) fn close(&mut self) {
        *self = Self { id: self.id, dropping: self.id.is_some(), ..Self::default() };
    }

    /// Moves what is to be appended behind `entries`.
    pub(crate) fn take_entries(&mut self, entries: &mut Vec<Entry>) {
        let Some(queue) = self.id else { return };
        if std::mem::take(&mut self.dropping) {
            entries.push(Entry::Drop { queue });
            return;
        }
        if self.records.is_empty() && self.forgotten.is_empty() {
            return;
        }
        self.appending = true;
        let mut forgotten = std::mem::take(&mut self.forgotten);
        forgotten.sort_unstable();
        // What came and went in one batch never reaches the log.
        let old = self.last_seq - self.records.len() as u64;
        let brief = forgotten.split_off(forgotten.partition_point(|seq| seq.0 <= old));
        let is_brief = |entry: &Entry| match entry {
            Entry::Publish { seq, .. } => brief.binary_search(seq).is_ok(),
            _ => false,
        };
        entries.extend(self.records.drain(..).filter(|entry| brief.is_empty() || !is_brief(entry)));
        let mut seqs = Vec::new();
        forgotten.into_iter().for_each(|seq| SeqRange::push(&mut seqs, seq));
        if !seqs.is_empty() {
            entries.push(Entry::Settle { queue, seqs });
        }
    }

    /// What was taken by [`Self::take_entries`] was appended there.
    pub(crate) fn appended(&mut self, position: Position) {
        if std::mem::take(&mut self.appending) {
            self.position = position;
        }
    }

    /// The memory that it takes, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.window.bytes()
    }

    /// Takes in a record that the log kept; they come in order.
    pub(crate) fn restore(&mut self, seq: Seq, record: &Message, expires_at: Timestamp) {
        let Some(key) = Key::decode(record.body()) else { return };
        let forgotten = &mut self.forgotten;
        self.window.remember(key, seq, expires_at, &mut |seq| forgotten.push(seq));
    }

    /// No place up to this one may be given again.
    pub(crate) fn start_behind(&mut self, last: Seq) {
        self.last_seq = self.last_seq.max(last.0);
    }
}

/// Reads the records of a memory back, in pieces. One that cannot be read is passed over: its
/// identity is forgotten, and the log has reported it.
pub(crate) fn read_back(
    log: &dyn Log,
    kept: &RecoveredQueue,
    mut each: impl FnMut(Seq, &Message, Timestamp),
) {
    let mut wanted: Vec<SeqRange> =
        kept.levels.iter().flat_map(|(_, ranges)| ranges.iter().copied()).collect();
    while !wanted.is_empty() {
        let found = log.fetch(kept.queue, &wanted, READ_BYTES);
        let Some(last) = found.last().map(|last| last.seq) else { return };
        for one in &found {
            if let Some((message, expires_at)) = &one.message {
                each(one.seq, message, *expires_at);
            }
        }
        wanted.retain(|range| range.last > last);
        if let Some(first) = wanted.first_mut() {
            first.first = first.first.max(Seq(last.0 + 1));
        }
    }
}
