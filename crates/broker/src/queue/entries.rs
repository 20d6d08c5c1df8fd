//! What a batch has for the log.
//!
//! Invariant: a message that enters and leaves its queue for good in the same batch never reaches
//! the log.

use super::messages::normalise;
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::{Entry, SeqRange};
use crate::message::Message;

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

    /// The queue is gone.
    pub(super) fn drop_queue(&mut self) {
        self.dropped = true;
    }

    /// All of it, in an order that a replay can follow. `delivered` is up to where deliveries were
    /// logged before.
    pub(super) fn take(&mut self, delivered: &mut Seq) -> Vec<Entry> {
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
        // What came back may have been dropped after that.
        if !batch.returns.is_empty() {
            entries.push(Entry::Return { queue, returns: batch.returns });
        }
        if !batch.settled.is_empty() {
            let mut seqs = batch.settled;
            normalise(&mut seqs);
            entries.push(Entry::Settle { queue, seqs });
        }
        if batch.delivered > *delivered {
            *delivered = batch.delivered;
            entries.push(Entry::Delivered { queue, through: batch.delivered });
        }
        entries
    }
}
