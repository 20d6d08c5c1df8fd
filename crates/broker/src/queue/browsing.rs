//! A locked queue for who looks through it, and takes out what was picked.

use super::Batch;
use super::messages::{Out, Place, Seen, TakenPlaces};
use crate::ids::Seq;
use crate::log::SeqRange;
use crate::queue::Cursor;

impl Batch<'_> {
    /// Where the order of delivery begins.
    pub(crate) fn start(&self) -> Cursor {
        Cursor { level: self.queue.messages.top(), seq: Seq(0) }
    }

    /// Up to `max` ready messages from a place on, in the order of delivery.
    pub(crate) fn look(&self, from: Cursor, max: usize) -> Vec<Seen> {
        self.queue.messages.look(from, max)
    }

    /// Those of `seqs` that are ready.
    pub(crate) fn look_up(&self, seqs: &[Seq]) -> Vec<Seen> {
        self.queue.messages.look_up(seqs)
    }

    /// Up to `max` messages that are out, from a place on.
    pub(crate) fn look_out(&self, from: Seq, max: usize) -> Vec<Out> {
        self.queue.messages.look_out(from, max)
    }

    /// The last place that was given.
    pub(crate) fn last_seq(&self) -> Seq {
        self.queue.messages.last_seq()
    }

    /// Whether a message is ready, wherever it stands.
    pub(crate) fn is_ready(&self, seq: Seq) -> bool {
        !self.queue.messages.look_up(&[seq]).is_empty()
    }

    /// Takes ready messages out for good; how many were there. `places` are in order.
    pub(crate) fn remove(&mut self, places: &[Place]) -> usize {
        let TakenPlaces { slots, stored, spilled } = self.queue.messages.take_places(places);
        for slot in &slots {
            self.forget(slot);
        }
        let mut unspill = Vec::new();
        for slot in &stored {
            SeqRange::push(&mut unspill, slot.seq);
            if slot.durable {
                self.entries.settle_place(slot.seq);
            }
        }
        if spilled && !unspill.is_empty() {
            self.context.log.unspill(self.handle.spec.id, &unspill);
        }
        slots.len() + stored.len()
    }
}
