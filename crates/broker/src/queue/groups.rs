//! Message groups: messages with the same value of a header go to one consumer, in order, while
//! different values spread over the consumers.
//!
//! A group belongs to the consumer that has deliveries of it out or parked; one at rest, to the
//! consumer that rendezvous hashing gives it, so that nothing is kept for it, and that a consumer
//! that comes or goes moves only its share. A message whose consumer has no room is
//! parked among the messages that came back, and others pass it.
//!
//! Invariants: every parked message stands in exactly one of `waiting`, `anyone`, `orphaned`,
//! `undecided`; these may also name places that have been taken meanwhile, which is found out when
//! their turn comes. At most [`PARKED_MAX`] messages are passed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::batch::Batch;
use super::consumers::Consumers;
use super::messages::{Head, Slot};
use crate::ids::{ConsumerId, Name, Seq};
use crate::message::{Message, Value};

/// How many messages may be passed by others because their consumer has no room.
const PARKED_MAX: usize = 4096;
/// Their bytes, and those of messages that came back; less than what is read ahead, so that there
/// is always something to go on with.
const PARKED_BYTES: u64 = 512 << 10;

/// A group, by the hash of its value. Two that share one are treated as one.
type Key = u64;

/// The groups of one queue.
#[derive(Debug)]
pub(super) struct Groups {
    header: Name,
    /// Groups with messages out or waiting: whose, and how many.
    owners: HashMap<Key, (ConsumerId, usize), FixedState>,
    /// The group of each delivery that is out.
    keys: HashMap<Seq, Key, FixedState>,
    /// Parked for one consumer.
    waiting: BTreeMap<ConsumerId, BTreeMap<Seq, Key>>,
    /// Parked, of no group.
    anyone: BTreeSet<Seq>,
    /// Parked, of groups whose consumer has gone while its deliveries are still out.
    orphaned: HashMap<Key, BTreeSet<Seq>, FixedState>,
    /// Came back, or parked for somebody who has gone.
    undecided: BTreeSet<Seq>,
    parked: usize,
}

/// Where a message belongs.
enum Belongs {
    Anyone,
    To(ConsumerId, Key),
    Orphaned(Key),
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Groups {
    pub(super) fn new(header: Name) -> Self {
        Self {
            header,
            owners: HashMap::default(),
            keys: HashMap::default(),
            waiting: BTreeMap::new(),
            anyone: BTreeSet::new(),
            orphaned: HashMap::default(),
            undecided: BTreeSet::new(),
            parked: 0,
        }
    }

    /// The group of a message; none without the header, or if that is neither text, bytes nor a
    /// whole number. A number and its digits are one group.
    fn key(&self, message: &Message) -> Option<Key> {
        let hash = |bytes: &[u8]| Some(FixedState::default().hash_one(bytes));
        match message.headers()?.get(&self.header)? {
            Value::LongStr(bytes) | Value::Bytes(bytes) => hash(bytes),
            other => hash(other.as_integer()?.to_string().as_bytes()),
        }
    }

    fn owner(&self, key: Option<Key>, consumers: &Consumers) -> Belongs {
        let Some(key) = key else { return Belongs::Anyone };
        if let Some((owner, _)) = self.owners.get(&key) {
            let here = consumers.contains(*owner);
            return if here { Belongs::To(*owner, key) } else { Belongs::Orphaned(key) };
        }
        let weight = |id: &ConsumerId| (mix(key ^ mix(id.0)), *id);
        match consumers.active().max_by_key(weight) {
            Some(owner) => Belongs::To(owner, key),
            None => Belongs::Anyone,
        }
    }

    fn is_full(&self) -> bool {
        self.parked >= PARKED_MAX
    }

    fn park(&mut self, seq: Seq, belongs: &Belongs) {
        self.parked += 1;
        match belongs {
            Belongs::Anyone => drop(self.anyone.insert(seq)),
            Belongs::To(owner, key) => {
                self.waiting.entry(*owner).or_default().insert(seq, *key);
                self.own(*owner, *key);
            }
            Belongs::Orphaned(key) => {
                self.orphaned.entry(*key).or_default().insert(seq);
            }
        }
    }

    fn own(&mut self, owner: ConsumerId, key: Key) {
        self.owners.entry(key).or_insert((owner, 0)).1 += 1;
    }

    /// One message less of a group; without any, it may move.
    fn disown(&mut self, key: Key) {
        let Some((_, count)) = self.owners.get_mut(&key) else { return };
        *count -= 1;
        if *count == 0 {
            self.owners.remove(&key);
            let orphaned = self.orphaned.remove(&key).unwrap_or_default();
            self.parked -= orphaned.len();
            self.undecided.extend(orphaned);
        }
    }

    fn has_waiting(&self, owner: ConsumerId) -> bool {
        self.waiting.get(&owner).is_some_and(|waiting| !waiting.is_empty())
    }

    /// A delivery went out.
    fn went_out(&mut self, seq: Seq, key: Key, owner: ConsumerId) {
        self.own(owner, key);
        self.keys.insert(seq, key);
    }

    /// A delivery was settled.
    pub(super) fn settled(&mut self, seq: Seq) {
        if let Some(key) = self.keys.remove(&seq) {
            self.disown(key);
        }
    }

    /// A message came back to its place.
    pub(super) fn came_back(&mut self, seq: Seq) {
        self.undecided.insert(seq);
    }

    /// A consumer came or went: whoever is parked is looked at anew.
    pub(super) fn consumers_changed(&mut self) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            self.parked -= waiting.len();
            for (seq, key) in waiting {
                self.undecided.insert(seq);
                self.disown(key);
            }
        }
        self.parked -= self.anyone.len();
        self.undecided.append(&mut self.anyone);
    }

    /// The first that waits for `owner`, without its group; taken off the list by the caller.
    fn first_waiting(&self, owner: ConsumerId) -> Option<(Seq, Key)> {
        let (seq, key) = self.waiting.get(&owner)?.first_key_value()?;
        Some((*seq, *key))
    }

    /// One is not parked for `owner` any more.
    fn leave(&mut self, owner: ConsumerId, seq: Seq) {
        let Some(waiting) = self.waiting.get_mut(&owner) else { return };
        let left = waiting.remove(&seq);
        if waiting.is_empty() {
            self.waiting.remove(&owner);
        }
        if let Some(key) = left {
            self.parked -= 1;
            self.disown(key);
        }
    }
}

impl Batch<'_> {
    /// [`Self::dispatch`] for a queue with groups.
    pub(super) fn dispatch_groups(&mut self, groups: &mut Groups) {
        loop {
            if self.queue.messages.next_expiry() < self.context.now {
                if self.expiries_left == 0 {
                    return;
                }
                self.expire();
                continue;
            }
            if self.queue.consumers.is_empty() {
                return;
            }
            self.give_parked(groups);
            self.give_to_anyone(groups);
            if !self.queue.consumers.has_turn() || !self.decide_next(groups) {
                return;
            }
        }
    }

    /// Gives consumers with room what is parked for them.
    fn give_parked(&mut self, groups: &mut Groups) {
        let owners: Vec<ConsumerId> = groups.waiting.keys().copied().collect();
        for owner in owners {
            while let Some((seq, key)) = groups.first_waiting(owner) {
                match self.queue.messages.parked(seq) {
                    Head::Empty => groups.leave(owner, seq),
                    Head::Away(_) => {
                        self.effects.load = true;
                        break;
                    }
                    Head::Here(size) => {
                        let Some(turn) = self.queue.consumers.turn_of(owner, size) else { break };
                        let Some(slot) = self.queue.messages.take_parked(seq) else { break };
                        if !turn.no_ack {
                            groups.went_out(seq, key, owner);
                        }
                        groups.leave(owner, seq);
                        self.give(turn, slot);
                    }
                }
            }
        }
    }

    /// Gives what is parked without a group to whose turn it is.
    fn give_to_anyone(&mut self, groups: &mut Groups) {
        while let Some(&seq) = groups.anyone.first() {
            match self.queue.messages.parked(seq) {
                Head::Empty => {}
                Head::Away(_) => {
                    self.effects.load = true;
                    return;
                }
                Head::Here(size) => {
                    let Some(turn) = self.queue.consumers.next(size) else { return };
                    if let Some(slot) = self.queue.messages.take_parked(seq) {
                        self.give(turn, slot);
                    }
                }
            }
            groups.anyone.pop_first();
            groups.parked -= 1;
        }
    }

    /// Gives or parks the next message; false if there is none, or none that may be passed.
    fn decide_next(&mut self, groups: &mut Groups) -> bool {
        while let Some(&seq) = groups.undecided.first() {
            match self.queue.messages.parked(seq) {
                Head::Empty => {
                    groups.undecided.pop_first();
                }
                Head::Away(_) => {
                    self.effects.load = true;
                    return false;
                }
                Head::Here(_) => {
                    groups.undecided.pop_first();
                    if let Some(slot) = self.queue.messages.take_parked(seq) {
                        self.decide(groups, slot);
                    }
                    return true;
                }
            }
        }
        let full = groups.is_full() || self.queue.messages.parked_bytes() > PARKED_BYTES;
        match self.queue.messages.next_fresh() {
            Head::Empty => false,
            Head::Here(_) if full => false,
            Head::Here(_) => match self.queue.messages.pop_fresh() {
                Some(slot) => {
                    self.decide(groups, slot);
                    true
                }
                None => false,
            },
            Head::Away(_) => {
                self.effects.load = true;
                false
            }
        }
    }

    /// Gives a message to whom it belongs, or parks it.
    fn decide(&mut self, groups: &mut Groups, slot: Slot) {
        let (seq, size) = (slot.seq, slot.message().map_or(0, Message::size));
        let key = slot.message().and_then(|message| groups.key(message));
        let belongs = groups.owner(key, &self.queue.consumers);
        let turn = match belongs {
            Belongs::Anyone => self.queue.consumers.next(size),
            Belongs::To(owner, _) if !groups.has_waiting(owner) => {
                self.queue.consumers.turn_of(owner, size)
            }
            Belongs::To(..) | Belongs::Orphaned(_) => None,
        };
        let Some(turn) = turn else {
            groups.park(seq, &belongs);
            self.queue.messages.park(slot);
            return;
        };
        if let (Belongs::To(owner, key), false) = (belongs, turn.no_ack) {
            groups.went_out(seq, key, owner);
        }
        self.give(turn, slot);
    }
}

#[cfg(test)]
mod tests;
