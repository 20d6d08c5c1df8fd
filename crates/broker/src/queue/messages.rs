//! The messages of one queue in order: those ready, and those out for delivery.
//!
//! Invariants: a message is in exactly one of `fresh`, `returned`, `unacked`. Every seq in a
//! level's `returned` is smaller than every seq in its `fresh`, so a message that comes back is
//! delivered again from its original place (RabbitMQ: Message Ordering).

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::ids::{ConsumerId, Seq, Timestamp};
use crate::message::Message;

/// A message with what its queue knows of it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) seq: Seq,
    pub(super) message: Message,
    pub(super) expires_at: Timestamp,
    /// How often it was delivered and came back.
    pub(super) returns: u32,
}

/// A message that is out.
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) slot: Slot,
    /// Whose delivery; none for a get.
    pub(super) consumer: Option<ConsumerId>,
}

/// The memory of a message in a queue.
fn cost(slot: &Slot) -> u64 {
    (slot.message.size() + size_of::<Slot>() - size_of::<Message>()) as u64
}

#[derive(Debug, Default)]
struct Level {
    fresh: VecDeque<Slot>,
    returned: BTreeMap<Seq, Slot>,
}

impl Level {
    fn head(&self) -> Option<&Slot> {
        self.returned.values().next().or_else(|| self.fresh.front())
    }

    fn pop(&mut self) -> Option<Slot> {
        match self.returned.pop_first() {
            Some((_, slot)) => Some(slot),
            None => self.fresh.pop_front(),
        }
    }
}

/// The ordered set of a queue's messages.
#[derive(Debug)]
pub(super) struct Messages {
    /// One a priority, lowest first; one only without priorities.
    levels: Vec<Level>,
    unacked: HashMap<Seq, Unacked, FixedState>,
    last_seq: u64,
    ready: usize,
    /// Of bodies, for length limits.
    ready_bytes: u64,
    /// Of everything, ready and out.
    memory_bytes: u64,
}

impl Messages {
    pub(super) fn new(max_priority: u8) -> Self {
        let levels = (0..=usize::from(max_priority)).map(|_| Level::default()).collect();
        Self {
            levels,
            unacked: HashMap::default(),
            last_seq: 0,
            ready: 0,
            ready_bytes: 0,
            memory_bytes: 0,
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    pub(super) fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    /// Memory of all messages, ready and out.
    pub(super) fn bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(super) fn unacked(&self) -> usize {
        self.unacked.len()
    }

    fn level_of(&mut self, priority: u8) -> &mut Level {
        let index = usize::from(priority).min(self.levels.len() - 1);
        &mut self.levels[index]
    }

    fn count_in(&mut self, slot: &Slot) {
        self.ready += 1;
        self.ready_bytes += slot.message.body_len() as u64;
        self.memory_bytes += cost(slot);
    }

    fn count_out(&mut self, slot: &Slot) {
        self.ready -= 1;
        self.ready_bytes -= slot.message.body_len() as u64;
        self.memory_bytes -= cost(slot);
    }

    /// Adds a message at the end.
    pub(super) fn push(&mut self, message: Message, expires_at: Timestamp) -> Seq {
        self.last_seq += 1;
        let slot = Slot { seq: Seq(self.last_seq), message, expires_at, returns: 0 };
        self.count_in(&slot);
        let seq = slot.seq;
        self.level_of(slot.message.priority).fresh.push_back(slot);
        seq
    }

    /// Takes the next message: highest priority first, oldest first within one.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        if self.ready == 0 {
            return None;
        }
        let slot = self.levels.iter_mut().rev().find_map(Level::pop)?;
        self.count_out(&slot);
        self.shrink();
        Some(slot)
    }

    /// What delivering the next message takes of an out-buffer, in bytes: [`Message::size`].
    pub(super) fn next_cost(&self) -> usize {
        let head = self.levels.iter().rev().find_map(Level::head);
        head.map_or(0, |slot| slot.message.size())
    }

    /// Takes a message at the head of a level that has expired at `now`.
    pub(super) fn pop_expired(&mut self, now: Timestamp) -> Option<Slot> {
        let expired = |level: &&mut Level| level.head().is_some_and(|slot| slot.expires_at <= now);
        let slot = self.levels.iter_mut().find(expired)?.pop()?;
        self.count_out(&slot);
        Some(slot)
    }

    /// When the first head expires.
    pub(super) fn next_expiry(&self) -> Timestamp {
        let heads = self.levels.iter().filter_map(Level::head);
        heads.map(|slot| slot.expires_at).min().unwrap_or(Timestamp::NEVER)
    }

    /// Notes a message as out for delivery.
    pub(super) fn hold(&mut self, slot: Slot, consumer: Option<ConsumerId>) {
        self.memory_bytes += cost(&slot);
        self.unacked.insert(slot.seq, Unacked { slot, consumer });
    }

    /// Takes a message that was out.
    pub(super) fn take_unacked(&mut self, seq: Seq) -> Option<Unacked> {
        let taken = self.unacked.remove(&seq);
        if let Some(taken) = &taken {
            self.memory_bytes -= cost(&taken.slot);
        }
        if self.unacked.is_empty() && self.unacked.capacity() > 1024 {
            self.unacked.shrink_to(64);
        }
        taken
    }

    /// Puts a message back to its original place.
    pub(super) fn put_back(&mut self, mut slot: Slot) {
        slot.returns = slot.returns.saturating_add(1);
        self.count_in(&slot);
        self.level_of(slot.message.priority).returned.insert(slot.seq, slot);
    }

    /// Takes all ready messages, for a purge.
    pub(super) fn drain_ready(&mut self) -> Vec<Slot> {
        let mut all = Vec::with_capacity(self.ready);
        while let Some(slot) = self.pop() {
            all.push(slot);
        }
        all
    }

    /// Gives memory back once a backlog is gone.
    fn shrink(&mut self) {
        if self.ready == 0 {
            for level in &mut self.levels {
                if level.fresh.capacity() > 4096 {
                    level.fresh.shrink_to(64);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
