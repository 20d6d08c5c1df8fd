//! What a batch has for the log.
//!
//! Invariant: a message that enters and leaves its queue for good in the same batch never reaches
//! the log.

use super::messages::normalise;
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::{Entry, Position, SeqRange};
use crate::message::Message;

/// How far ahead of deliveries it is logged that they may have happened, so that a delivery need
/// not wait for the log; also, how far off the flag may be after a crash.
const AHEAD: u64 = 65_536;

/// Up to where deliveries of a queue may have happened, as the log knows it.
///
/// A delivery leaves before anything of its batch is durable. So what is logged runs ahead: a
/// message of a queue that has consumers is marked in the group of its own publish, and what is
/// there when the first consumer comes is marked before that is answered.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// What the log knows.
    marked: u64,
    /// The highest place that went out.
    out: u64,
    /// The highest place that a durable message got.
    last_durable: u64,
    /// Somebody gets messages from it.
    pub(super) polled: bool,
    /// When what is marked is durable.
    pub(super) position: Position,
    /// There is a mark in the batch.
    is_new: bool,
}

impl Delivered {
    /// As it was when the log ended.
    pub(super) fn recover(marked: Seq, last: Seq) -> Self {
        Self { marked: marked.0, last_durable: last.0, ..Self::default() }
    }

    /// The place to log, if the log knows too little.
    fn mark(&mut self) -> Option<Seq> {
        let least = self.last_durable.min(self.out.saturating_add(AHEAD / 2));
        if self.marked >= least {
            return None;
        }
        self.marked = self.last_durable.min(self.out.saturating_add(AHEAD));
        self.is_new = true;
        Some(Seq(self.marked))
    }

    /// The batch was appended there.
    pub(super) fn appended(&mut self, position: Position) {
        if std::mem::take(&mut self.is_new) {
            self.position = position;
        }
    }

    /// The mark for a stop in good order, after which every message knows by itself whether it was
    /// out: `through` is what was not known before.
    pub(super) fn settle(&mut self, through: Seq) -> Option<Seq> {
        let changed = self.marked != through.0;
        self.marked = through.0;
        changed.then_some(through)
    }
}

/// The durable changes of one queue in one batch.
#[derive(Debug)]
pub(super) struct Entries {
    queue: QueueId,
    /// One for each place from `first` on; a settlement of nothing where there is no durable
    /// message, or where that is gone again.
    publishes: Vec<Entry>,
    first: u64,
    holes: usize,
    settled: Vec<SeqRange>,
    returns: Vec<(Seq, u32)>,
    /// The highest place that went out.
    delivered: Seq,
    /// What the log is to know in any case.
    marked: Option<Seq>,
    dropped: bool,
}

impl Entries {
    pub(super) fn new(queue: QueueId) -> Self {
        Self {
            queue,
            publishes: Vec::new(),
            first: 0,
            holes: 0,
            settled: Vec::new(),
            returns: Vec::new(),
            delivered: Seq(0),
            marked: None,
            dropped: false,
        }
    }

    fn hole(&self) -> Entry {
        Entry::Settle { queue: self.queue, seqs: Vec::new() }
    }

    /// A message entered.
    pub(super) fn publish(&mut self, seq: Seq, level: u8, message: Message, expires_at: Timestamp) {
        if self.publishes.is_empty() {
            self.first = seq.0;
        }
        while self.first + (self.publishes.len() as u64) < seq.0 {
            self.publishes.push(self.hole());
            self.holes += 1;
        }
        let queue = self.queue;
        self.publishes.push(Entry::Publish { queue, seq, level, message, expires_at });
    }

    fn index(&self, seq: Seq) -> Option<usize> {
        let index = seq.0.checked_sub(self.first)? as usize;
        (index < self.publishes.len()).then_some(index)
    }

    /// The message at a place, if it entered in this batch.
    pub(super) fn published(&self, seq: Seq) -> Option<(&Message, Timestamp)> {
        match &self.publishes[self.index(seq)?] {
            Entry::Publish { message, expires_at, .. } => Some((message, *expires_at)),
            _ => None,
        }
    }

    /// A durable message is gone for good.
    pub(super) fn settle(&mut self, seq: Seq) {
        if let Some(index) = self.index(seq) {
            self.publishes[index] = self.hole();
            self.holes += 1;
        } else {
            SeqRange::push(&mut self.settled, seq);
        }
    }

    /// Whatever durable message stands at a place is gone for good, if there is one.
    pub(super) fn settle_place(&mut self, seq: Seq) {
        let is_hole = self.index(seq).is_some() && self.published(seq).is_none();
        if !is_hole {
            self.settle(seq);
        }
    }

    /// All durable messages at these places are gone; none of them entered in this batch.
    pub(super) fn settle_ranges(&mut self, mut ranges: Vec<SeqRange>) {
        self.settled.append(&mut ranges);
    }

    /// A durable message came back.
    pub(super) fn put_back(&mut self, seq: Seq, returns: u32) {
        self.returns.push((seq, returns));
    }

    /// A durable message went out.
    pub(super) fn deliver(&mut self, seq: Seq) {
        self.delivered = self.delivered.max(seq);
    }

    /// Deliveries happened up to this place, and not beyond.
    pub(super) fn mark(&mut self, through: Seq) {
        self.marked = Some(through);
    }

    /// The queue is gone.
    pub(super) fn drop_queue(&mut self) {
        self.dropped = true;
    }

    /// All of it, in an order that a replay can follow. `watched` says that somebody may be given
    /// messages.
    pub(super) fn take(&mut self, delivered: &mut Delivered, watched: bool) -> Vec<Entry> {
        let queue = self.queue;
        let batch = std::mem::replace(self, Self::new(queue));
        if batch.dropped {
            return vec![Entry::Drop { queue }];
        }
        let mut entries = batch.publishes;
        if batch.holes == entries.len() {
            entries.clear();
        } else if batch.holes > 0 {
            entries.retain(|entry| matches!(entry, Entry::Publish { .. }));
        }
        if let Some(Entry::Publish { seq, .. }) = entries.last() {
            delivered.last_durable = seq.0;
        }
        // What came back may have been dropped after that.
        if !batch.returns.is_empty() {
            entries.push(Entry::Return { queue, returns: batch.returns });
        }
        if !batch.settled.is_empty() {
            let mut seqs = batch.settled;
            normalise(&mut seqs);
            entries.push(Entry::Settle { queue, seqs });
        }
        delivered.out = delivered.out.max(batch.delivered.0);
        if let Some(through) = batch.marked {
            entries.push(Entry::Delivered { queue, through });
        } else if watched && let Some(through) = delivered.mark() {
            entries.push(Entry::Delivered { queue, through });
        }
        entries
    }
}
