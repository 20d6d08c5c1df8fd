//! What lives where: for each queue its messages in the log (the tail), in segments (the runs) and
//! in spill files.
//!
//! Invariants: a seq is in one of the three. The tail's seqs are larger than those of the runs of
//! the same level. A message that is settled is in none. A queue that has none of anything is
//! still there, for its last seq, until it is dropped.

pub(crate) mod queue;
pub(crate) mod tail;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::manifest::Manifest;
use crate::segment::{Run, Segment, Space};
use crate::{QueueId, Seq, SeqRange};
use queue::Queue;
use tail::Entry;

/// An open segment with what lives in it.
pub(crate) struct Held {
    pub(crate) segment: Arc<Segment>,
    pub(crate) space: Space,
}

pub(crate) type Segments = BTreeMap<u64, Held>;

/// All queues.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) queues: HashMap<QueueId, Queue, FixedState>,
    /// Queues with a tail.
    tails: BTreeSet<QueueId>,
    tail_len: usize,
    /// How many messages ever entered a queue, and how many were settled.
    pub(crate) published: u64,
    pub(crate) settled: u64,
    /// The largest queue id ever seen.
    pub(crate) last_queue: QueueId,
}

impl Index {
    /// Takes over what the manifest says of queues beside their messages.
    pub(crate) fn begin(&mut self, manifest: &Manifest) {
        self.last_queue = self.last_queue.max(manifest.last_queue);
        for state in &manifest.queues {
            let queue = self.queue(state.queue);
            (queue.last_seq, queue.delivered) = (state.last_seq, state.delivered);
            queue.returns = state.returns.iter().copied().collect();
        }
    }

    /// Messages in the log alone.
    pub(crate) fn tail_len(&self) -> usize {
        self.tail_len
    }

    pub(crate) fn queue(&mut self, id: QueueId) -> &mut Queue {
        self.last_queue = self.last_queue.max(id);
        self.queues.entry(id).or_default()
    }

    pub(crate) fn publish(&mut self, id: QueueId, entry: Entry) {
        let queue = self.queue(id);
        queue.last_seq = queue.last_seq.max(entry.seq);
        let first = queue.tail.is_empty();
        if queue.tail.push(entry) {
            self.tail_len += 1;
            self.published += 1;
        }
        if first {
            self.tails.insert(id);
        }
    }

    pub(crate) fn settle(&mut self, id: QueueId, seqs: &[SeqRange], segments: &mut Segments) {
        let last = seqs.last().map_or(0, |range| range.last);
        let known = self.queues.contains_key(&id);
        if !known && last == Seq::MAX {
            return;
        }
        let queue = self.queue(id);
        if last < Seq::MAX {
            // Places of messages that are not durable are given, too.
            queue.last_seq = queue.last_seq.max(last);
        }
        let before = queue.tail.len();
        let Some(queue) = self.queues.get_mut(&id) else { return };
        for range in seqs {
            self.settled += queue.settle(range.first, range.last, segments);
        }
        self.tail_len -= before - queue.tail.len();
        if before > 0 && queue.tail.is_empty() {
            self.tails.remove(&id);
        }
    }

    pub(crate) fn returned(&mut self, id: QueueId, returns: &[(Seq, u32)]) {
        self.queue(id).returns.extend(returns.iter().copied());
    }

    pub(crate) fn delivered(&mut self, id: QueueId, through: Seq) {
        self.queue(id).delivered = through;
    }

    /// Forgets a queue. Its spilled messages are not looked at: their owner forgets them.
    pub(crate) fn drop_queue(&mut self, id: QueueId, segments: &mut Segments) {
        // One that never had a message is not known, and yet its number was used.
        self.last_queue = self.last_queue.max(id);
        let everything = SeqRange { first: 0, last: Seq::MAX };
        self.settle(id, &[everything], segments);
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.forget();
        if queue.is_unused() {
            self.queues.remove(&id);
        }
    }

    /// Queues with messages in batches before `batch` that are in the log alone, in order.
    pub(crate) fn queues_before(&self, batch: u64) -> Vec<QueueId> {
        let first = |id: &QueueId| self.queues.get(id).and_then(|queue| queue.tail.first_batch());
        let mut ids: Vec<_> = self.tails.iter().copied().collect();
        ids.retain(|id| first(id).is_some_and(|first| first < batch));
        ids
    }

    /// The first batch that has a message which is in the log alone.
    pub(crate) fn first_batch(&self) -> Option<u64> {
        let first = |id: &QueueId| self.queues.get(id).and_then(|queue| queue.tail.first_batch());
        self.tails.iter().filter_map(first).min()
    }

    /// What was in the log before `batch` is in a segment now, as these runs say, all of whose
    /// messages live. What was settled meanwhile is settled in them.
    pub(crate) fn move_to_segment(&mut self, batch: u64, runs: Vec<Run>, held: &mut Held) {
        for mut run in runs {
            let Some(queue) = self.queues.get_mut(&run.queue()) else {
                held.space.settle_range(&mut run, 0, Seq::MAX);
                continue;
            };
            let mut dead = Vec::new();
            for (first, last) in run.live_ranges() {
                queue.missing(first, last, run.level(), &mut dead);
            }
            for range in dead {
                held.space.settle_range(&mut run, range.first, range.last);
            }
            if run.live_count() > 0 {
                queue.runs.insert((run.level(), run.first()), run);
            }
        }
        for id in self.queues_before(batch) {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            self.tail_len -= queue.tail.cut_before(batch);
            if queue.tail.is_empty() {
                self.tails.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_never_had_a_message_has_used_its_number() {
        let mut index = Index::default();
        index.drop_queue(7, &mut Segments::new());
        assert_eq!((index.last_queue, index.queues.len()), (7, 0));
    }
}
