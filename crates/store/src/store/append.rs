//! Appending: a group of changes goes into the open batch and into the index.

use std::sync::atomic::Ordering;

use super::{Core, Store};
use crate::buffer::Buffer;
use crate::index::tail::Entry;
use crate::log::batch::Batch;
use crate::{QueueId, Seq, SeqRange, Target};

/// Buffers that are kept to be used again, and how large one may be.
const BUFFERS_MAX: usize = 4;
const BUFFER_SIZE_MAX: usize = 16 << 20;

/// Changes that are durable together or not at all.
pub struct Group<'a> {
    core: &'a mut Core,
}

impl std::fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("batch", &self.core.open.number).finish_non_exhaustive()
    }
}

impl Group<'_> {
    /// A change of the definitions.
    pub fn define(&mut self, bytes: &[u8]) {
        self.core.defined += 1;
        self.core.open.define(self.core.defined, bytes);
    }

    /// A message enters queues. Its data comes in two parts; `weight` is what a queue counts of it.
    pub fn publish(&mut self, weight: u32, targets: &[Target], data: [&[u8]; 2]) {
        let batch = self.core.open.number;
        let (offset, len) = self.core.open.publish(weight, targets, data);
        for target in targets {
            let place = (batch, offset, len);
            let entry = Entry::new(target.seq, target.level, weight, place);
            self.core.index.publish(target.queue, entry);
        }
    }

    /// Messages leave a queue for good.
    pub fn settle(&mut self, queue: QueueId, seqs: &[SeqRange]) {
        self.core.open.settle(queue, seqs);
        let Core { index, segments, .. } = &mut *self.core;
        index.settle(queue, seqs, segments);
    }

    /// Messages came back after a delivery, each with how often by now.
    pub fn returned(&mut self, queue: QueueId, returns: &[(Seq, u32)]) {
        self.core.open.returned(queue, returns);
        self.core.index.returned(queue, returns);
    }

    /// Messages up to `through` may have been delivered, and none behind it.
    pub fn delivered(&mut self, queue: QueueId, through: Seq) {
        self.core.open.delivered(queue, through);
        self.core.index.delivered(queue, through);
    }

    /// A queue is gone with its messages.
    pub fn drop_queue(&mut self, queue: QueueId) {
        self.core.open.dropped(queue);
        let Core { index, segments, .. } = &mut *self.core;
        index.drop_queue(queue, segments);
    }
}

impl Core {
    /// A new open batch in place of the present one.
    pub(super) fn next_batch(&mut self, size: usize) -> Batch {
        let number = self.open.number + 1;
        let buffer = self.buffers.pop().unwrap_or_else(|| Buffer::with_capacity(size / 4));
        std::mem::replace(&mut self.open, Batch::new(number, buffer))
    }

    /// Takes a buffer back.
    pub(super) fn reuse(&mut self, buffer: Buffer) {
        if self.buffers.len() < BUFFERS_MAX && buffer.capacity() <= BUFFER_SIZE_MAX {
            self.buffers.push(buffer);
        }
    }
}

impl Store {
    /// Appends what `write` puts into the group; the batch that it is in (the one before, if that
    /// is nothing). It is durable once
    /// [`Store::durable`] has reached that.
    pub fn append(&self, write: impl FnOnce(&mut Group<'_>)) -> u64 {
        let mut core = self.core();
        let before = core.open.len();
        write(&mut Group { core: &mut core });
        let (position, len) = (core.open.number, core.open.len());
        if len == before {
            return position - 1;
        }
        self.pending_bytes.fetch_add(len - before, Ordering::Relaxed);
        if len >= self.options.batch_size {
            let full = core.next_batch(self.options.batch_size);
            core.closed.push_back(full);
        }
        let wake = std::mem::take(&mut core.writer_waits);
        drop(core);
        if wake {
            self.work.notify_one();
        }
        position
    }
}
