//! A channel's deliveries that wait for an acknowledgement, in the order of their tags.
//!
//! Invariant: tags rise; the first entry is not settled; at most half of the entries (beyond a
//! few) are settled ones that wait to be swept, so that one slow message pins no memory.

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_broker::ids::Seq;
use leveret_broker::queue::QueueHandle;

/// A delivery.
#[derive(Debug, Clone)]
pub(super) struct Unacked {
    pub(super) tag: u64,
    pub(super) queue: Arc<QueueHandle>,
    pub(super) seq: Seq,
    /// It went to a consumer, and so counts against the channel's limit; a get does not.
    pub(super) by_consumer: bool,
}

#[derive(Debug, Default)]
pub(super) struct UnackedList {
    entries: VecDeque<(u64, Option<Unacked>)>,
    settled: usize,
}

impl UnackedList {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Unacked> {
        self.entries.iter().filter_map(|(_, unacked)| unacked.as_ref())
    }

    /// Adds the newest delivery.
    pub(super) fn push(&mut self, unacked: Unacked) {
        self.entries.push_back((unacked.tag, Some(unacked)));
    }

    /// Takes one delivery.
    pub(super) fn take(&mut self, tag: u64) -> Option<Unacked> {
        if self.entries.front()?.0 == tag {
            let (_, taken) = self.entries.pop_front()?;
            self.drop_settled_head();
            return taken;
        }
        let at = self.entries.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        let taken = self.entries[at].1.take()?;
        self.settled += 1;
        if self.settled > 64 && self.settled * 2 > self.entries.len() {
            self.entries.retain(|(_, unacked)| unacked.is_some());
            self.settled = 0;
        }
        Some(taken)
    }

    fn drop_settled_head(&mut self) {
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
            self.settled -= 1;
        }
        if self.entries.is_empty() && self.entries.capacity() > 1024 {
            self.entries = VecDeque::new();
        }
    }

    /// Takes all up to and with `tag`; none if that tag is not there.
    pub(super) fn take_through(&mut self, tag: u64) -> Option<Vec<Unacked>> {
        let at = self.entries.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.entries[at].1.as_ref()?;
        let mut taken = Vec::with_capacity(at + 1);
        for (_, unacked) in self.entries.drain(..=at) {
            match unacked {
                Some(unacked) => taken.push(unacked),
                None => self.settled -= 1,
            }
        }
        self.drop_settled_head();
        Some(taken)
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> Vec<Unacked> {
        self.settled = 0;
        self.entries.drain(..).filter_map(|(_, unacked)| unacked).collect()
    }

    /// Puts deliveries back that were taken, for a rollback.
    pub(super) fn put_back(&mut self, unacked: Vec<Unacked>) {
        let mut all = self.take_all();
        all.extend(unacked);
        all.sort_by_key(|unacked| unacked.tag);
        self.entries = all.into_iter().map(|unacked| (unacked.tag, Some(unacked))).collect();
    }
}
