//! The messages of one queue in order: those ready, and those out for delivery. Memory holds a
//! window of them; the rest is places only, whose messages the log gives back when their turn
//! comes.
//!
//! Invariants: a message is in exactly one of a level's `returned`, `fresh`, `stored`, `behind`, or
//! in `unacked`, or rests, or is leaving. In a level every seq in `returned` is smaller than every
//! one in `fresh`, and those are smaller than the others, so a message that comes back is delivered
//! again from its original place (RabbitMQ: Message Ordering). Slots in `fresh` and `behind` have
//! their message in memory; one without stands in `returned` or `unacked`, rests or is leaving, and
//! is durable.

mod ahead;
mod bound;
mod late;
mod leaving;
mod level;
mod looking;
mod paging;
mod parking;
mod places;
mod resting;
mod scan;
mod taking;

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Context;
use crate::ids::{ConsumerId, QueueId, Seq, Timestamp};
use crate::message::Message;

use ahead::Ahead;
use bound::ExpiryBound;
use late::Late;
pub(crate) use late::Place;
use leaving::Departures;
use level::Level;
pub(crate) use looking::Seen;
pub use looking::{Cursor, Out};
pub(crate) use paging::Wanted;
pub(super) use paging::normalise;
use resting::Resting;
pub(super) use scan::Scan;
pub(super) use taking::TakenPlaces;

/// A message, or what its queue must know of one that is only in the log.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// In memory.
    Here(Message),
    /// In the log. With the length of the body, and the message's [`Message::size`].
    Away { body_len: usize, size: usize },
    /// It was taken out of the middle, and this is what it has left there.
    Gone,
}

/// A message with what its queue knows of it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) seq: Seq,
    pub(super) body: Body,
    pub(super) expires_at: Timestamp,
    /// How often it was delivered and came back.
    pub(super) returns: u32,
    /// It may have been delivered before the broker started.
    pub(super) redelivered: bool,
    /// The log has it.
    pub(super) durable: bool,
    pub(super) level: u8,
}

/// How many windows transient messages may fill: a durable one is in the log anyway, a transient
/// one must be written in order to leave memory.
const TRANSIENT_TIMES: usize = 8;

/// The memory of a slot beside its message.
const SLOT_BYTES: u64 = (size_of::<Slot>() - size_of::<Message>()) as u64;

impl Slot {
    pub(super) fn message(&self) -> Option<&Message> {
        match &self.body {
            Body::Here(message) => Some(message),
            Body::Away { .. } | Body::Gone => None,
        }
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self.body, Body::Here(_))
    }

    fn is_gone(&self) -> bool {
        matches!(self.body, Body::Gone)
    }

    /// Whether it was, or may have been, out before.
    pub(super) fn was_out(&self) -> bool {
        self.redelivered || self.returns > 0
    }

    fn body_len(&self) -> u64 {
        match &self.body {
            Body::Here(message) => message.body_len() as u64,
            Body::Away { body_len, .. } => *body_len as u64,
            Body::Gone => 0,
        }
    }

    /// [`Message::size`], wherever the message is.
    fn size(&self) -> usize {
        match &self.body {
            Body::Here(message) => message.size(),
            Body::Away { size, .. } => *size,
            Body::Gone => 0,
        }
    }

    /// The memory of the message.
    fn resident(&self) -> u64 {
        match &self.body {
            Body::Here(message) => message.size() as u64,
            Body::Away { .. } | Body::Gone => size_of::<Message>() as u64,
        }
    }

    /// Leaves the message to the log; how much memory that frees.
    fn drop_body(&mut self) -> u64 {
        let before = self.resident();
        if let Body::Here(message) = &self.body {
            let (body_len, size) = (message.body_len(), message.size());
            self.body = Body::Away { body_len, size };
        }
        before - self.resident()
    }
}

/// A message that is out.
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) slot: Slot,
    /// Whose delivery; that of nobody for a get.
    holder: ConsumerId,
    /// When it went out.
    pub(super) since: Timestamp,
}

/// In place of who got a message by asking for it: ids begin with 1.
const NOBODY: ConsumerId = ConsumerId(0);

impl Unacked {
    /// Whose delivery; none for a get.
    #[inline]
    pub(super) fn consumer(&self) -> Option<ConsumerId> {
        (self.holder != NOBODY).then_some(self.holder)
    }
}

/// What stands at the head of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Empty,
    /// A message in memory, with its [`Message::size`].
    Here(usize),
    /// A message that must be read back first.
    Away(Seq),
}

/// What is known of the places that no slot stands for.
#[derive(Debug, Default)]
struct Away {
    count: usize,
    /// Of bodies; after a restart an estimate.
    bytes: u64,
    /// How often they came back, and whether they may have been out before a restart.
    marks: BTreeMap<Seq, (u32, bool)>,
    /// Up to here all may have been out before the restart.
    redelivered_through: Seq,
    /// Some of them are not in the log, but spilled.
    spilled: bool,
}

impl Away {
    /// A place becomes a slot, or is lost: what is known of it.
    fn leave(&mut self, seq: Seq, body_len: u64) -> (u32, bool) {
        self.count -= 1;
        self.bytes = self.bytes.saturating_sub(body_len);
        let mark = self.marks.remove(&seq).unwrap_or_default();
        if self.count == 0 {
            self.bytes = 0;
            self.spilled = false;
        }
        (mark.0, mark.1 || seq <= self.redelivered_through)
    }
}

/// The ordered set of a queue's messages.
#[derive(Debug)]
pub(super) struct Messages {
    id: QueueId,
    /// The queue is durable, and so are persistent messages in it.
    durable: bool,
    /// One a priority, lowest first; one only without priorities.
    levels: Vec<Level>,
    unacked: HashMap<Seq, Unacked, FixedState>,
    last_seq: u64,
    /// All places: slots and those that are away.
    ready: usize,
    /// Of the bodies of ready slots.
    slot_bytes: u64,
    /// Memory of the messages in ready slots.
    resident: u64,
    /// Memory of the messages that are out.
    out_resident: u64,
    /// Of the bodies of what is out.
    out_bytes: u64,
    slots: usize,
    away: Away,
    late: Late,
    departures: Departures,
    resting: Resting,
    scan: Option<Scan>,
    ahead: Ahead,
    /// Grows when places move in a way that makes an answer under way stale.
    epoch: u64,
    unreadable: u64,
    bound: ExpiryBound,
}

impl Messages {
    pub(super) fn new(id: QueueId, durable: bool, max_priority: u8) -> Self {
        Self {
            id,
            durable,
            levels: (0..=max_priority).map(|_| Level::default()).collect(),
            unacked: HashMap::default(),
            last_seq: 0,
            ready: 0,
            slot_bytes: 0,
            resident: 0,
            out_resident: 0,
            out_bytes: 0,
            slots: 0,
            away: Away::default(),
            late: Late::default(),
            departures: Departures::default(),
            resting: Resting::default(),
            scan: None,
            ahead: Ahead::default(),
            epoch: 0,
            unreadable: 0,
            bound: ExpiryBound::default(),
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Bytes of ready bodies, for length limits.
    pub(super) fn ready_bytes(&self) -> u64 {
        self.slot_bytes + self.away.bytes
    }

    /// Memory of all messages, ready and out.
    pub(super) fn bytes(&self) -> u64 {
        let held = self.resident + self.out_resident + self.slots as u64 * SLOT_BYTES;
        let held = held + self.late.bytes() + self.resting.bytes() + self.ahead_bytes();
        if self.away.count == 0 { held } else { held + self.places_bytes() }
    }

    /// Bytes of the bodies that are out.
    pub(super) fn unacked_bytes(&self) -> u64 {
        self.out_bytes
    }

    pub(super) fn unacked(&self) -> usize {
        self.unacked.len()
    }

    /// Up to here all may have been out before the start.
    pub(super) fn redelivered_through(&self) -> Seq {
        self.away.redelivered_through
    }

    /// How many messages were taken out because the log could not give them back.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Notes a message that is out as one that the log could not give back.
    pub(super) fn note_unreadable(&mut self) {
        self.unreadable += 1;
    }

    fn level_index(&self, priority: u8) -> usize {
        usize::from(priority).min(self.levels.len() - 1)
    }

    fn count_in(&mut self, slot: &Slot) {
        self.ready += 1;
        self.slots += 1;
        self.slot_bytes += slot.body_len();
        self.resident += slot.resident();
    }

    fn count_out(&mut self, slot: &Slot) {
        self.ready -= 1;
        self.slots -= 1;
        self.slot_bytes -= slot.body_len();
        self.resident -= slot.resident();
    }

    /// Gives a message that is gone at once the next place.
    #[inline]
    pub(super) fn pass(&mut self) -> Seq {
        self.last_seq += 1;
        Seq(self.last_seq)
    }

    /// Gives a message the next place.
    pub(super) fn place(&mut self, message: Message, expires_at: Timestamp) -> Slot {
        let seq = self.pass();
        let index = self.level_index(message.priority);
        let latest = &mut self.levels[index].latest;
        let is_first = || self.ready == 0 && self.unacked.is_empty() && self.resting.is_empty();
        if expires_at >= *latest || is_first() {
            *latest = expires_at;
        }
        Slot {
            seq,
            level: index as u8,
            durable: self.durable && message.persistent,
            body: Body::Here(message),
            expires_at,
            returns: 0,
            redelivered: false,
        }
    }

    /// Adds a message at the end: to memory, or beyond the window's bytes to the log. A durable one
    /// must be appended there by the same batch.
    pub(super) fn push(
        &mut self,
        message: Message,
        expires_at: Timestamp,
        context: &Context<'_>,
    ) -> Seq {
        let slot = self.place(message, expires_at);
        let (seq, index) = (slot.seq, usize::from(slot.level));
        let times = if slot.durable { 1 } else { TRANSIENT_TIMES };
        let fits = self.resident < context.window.saturating_mul(times) as u64;
        self.count_in(&slot);
        self.note_late(&slot);
        if fits && self.levels[index].stored.is_empty() {
            self.levels[index].push_fresh(slot);
        } else {
            self.push_behind(slot, fits, context);
        }
        seq
    }

    /// What stands first: highest priority first, oldest first within one.
    pub(super) fn head(&self) -> Head {
        let level = self.levels.iter().rev().find(|level| !level.is_empty());
        level.map_or(Head::Empty, Level::head)
    }

    /// Takes the next message, if it is in memory.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let level = self.levels.iter_mut().rev().find(|level| !level.is_empty())?;
        if !level.front()?.is_here() {
            return None;
        }
        let slot = level.pop()?;
        self.count_out(&slot);
        self.late.remove(slot.expires_at, slot.seq);
        self.shrink();
        Some(slot)
    }

    /// Takes a message at the head of a level that has expired at `now`; it may be away.
    pub(super) fn pop_expired(&mut self, now: Timestamp) -> Option<Slot> {
        let bound = self.bound;
        let expired =
            |level: &&mut Level| level.front().is_some_and(|slot| bound.expiry(slot) <= now);
        let slot = self.levels.iter_mut().find(expired)?.pop()?;
        self.count_out(&slot);
        self.late.remove(slot.expires_at, slot.seq);
        Some(slot)
    }

    /// When the first head expires; one that no slot stands for is not known to.
    pub(super) fn next_expiry(&self) -> Timestamp {
        let heads = self.levels.iter().filter_map(Level::front);
        heads.map(|slot| self.bound.expiry(slot)).min().unwrap_or(Timestamp::NEVER)
    }

    /// When messages are to be taken that expire behind others.
    pub(super) fn next_late(&self) -> Timestamp {
        self.late.next()
    }

    /// Notes a message as out for delivery. The window's bytes hold for what is out too: beyond
    /// them, what is durable is left to the log.
    pub(super) fn hold(
        &mut self,
        mut slot: Slot,
        consumer: Option<ConsumerId>,
        now: Timestamp,
        window: usize,
    ) {
        if slot.durable && self.resident + self.out_resident >= window as u64 {
            slot.drop_body();
        }
        self.slots += 1;
        self.out_resident += slot.resident();
        self.out_bytes += slot.body_len();
        let holder = consumer.unwrap_or(NOBODY);
        self.unacked.insert(slot.seq, Unacked { slot, holder, since: now });
    }

    /// Takes a message that was out.
    pub(super) fn take_unacked(&mut self, seq: Seq) -> Option<Unacked> {
        let taken = self.unacked.remove(&seq);
        if let Some(taken) = &taken {
            self.slots -= 1;
            self.out_resident -= taken.slot.resident();
            self.out_bytes -= taken.slot.body_len();
        }
        if self.unacked.is_empty() && self.unacked.capacity() > 1024 {
            self.unacked.shrink_to(64);
        }
        taken
    }

    /// Puts a message back to its original place.
    pub(super) fn put_back(&mut self, mut slot: Slot) {
        slot.returns = slot.returns.saturating_add(1);
        self.restore(slot);
    }

    /// The same without a count of it.
    fn restore(&mut self, slot: Slot) {
        self.count_in(&slot);
        self.note_late(&slot);
        self.levels[usize::from(slot.level)].put_back(slot);
    }

    /// Gives memory back once a backlog is gone.
    fn shrink(&mut self) {
        if self.ready == 0 {
            self.late.clear();
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
