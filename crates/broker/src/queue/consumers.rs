//! Who consumes a queue, and whose turn it is: highest priority first, round robin within one.
//!
//! Invariant: a consumer that can take a message, and may (single active consumer), stands in
//! `turns` exactly once; one that cannot stands nowhere and is `Full` (its own prefetch) or
//! `Parked` (its channel's limit, or its connection's out-buffer).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::ids::{ConsumerId, Seq};
use crate::message::Message;

/// A message on its way to a consumer.
#[derive(Debug)]
pub struct Delivery {
    /// Whose.
    pub consumer: ConsumerId,
    /// Its place in the queue, to settle it by.
    pub seq: Seq,
    /// It was out before.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
    /// The room that was reserved for it, in bytes: what is to be released.
    pub claimed: usize,
}

/// A connection, as a queue sees it: a bounded place for deliveries.
pub trait Outlet: Send + Sync {
    /// Claims room for a delivery of `bytes`; false when the bound is reached: the connection then
    /// asks for a [`resume`](super::QueueHandle::resume) once it has room.
    fn reserve(&self, bytes: usize) -> bool;

    /// Takes deliveries, for which room was reserved, leaving the vector empty.
    fn deliver(&self, deliveries: &mut Vec<Delivery>);

    /// Tells that the queue is gone, and the consumer with it.
    fn cancelled(&self, consumer: ConsumerId);
}

/// The limit of unacknowledged deliveries that all consumers of a channel share
/// (`basic.qos` with global, as RabbitMQ reads it). A limit of 0 is none.
#[derive(Debug, Default)]
pub struct ChannelLimit {
    limit: AtomicU32,
    used: AtomicU32,
    blocked: AtomicBool,
}

impl ChannelLimit {
    /// Sets the limit; what is out already counts.
    pub fn set(&self, limit: u32) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    /// Notes `count` deliveries as settled; true when a queue was refused meanwhile and is to be
    /// resumed.
    pub fn release(&self, count: u32) -> bool {
        self.used.fetch_sub(count, Ordering::SeqCst);
        self.take_blocked()
    }

    /// Whether a queue was refused since the last call.
    pub fn take_blocked(&self) -> bool {
        self.blocked.load(Ordering::SeqCst) && self.blocked.swap(false, Ordering::SeqCst)
    }

    /// Gives back a claim that was not used.
    fn unclaim(&self, count: u32) {
        self.used.fetch_sub(count, Ordering::SeqCst);
    }

    /// Claims `count` (0 or 1) places. The flag is set before the second look, and a release looks
    /// at the flag after it has made room: one of the two sees the other.
    fn acquire(&self, count: u32) -> bool {
        if self.try_acquire(count) {
            return true;
        }
        self.blocked.store(true, Ordering::SeqCst);
        self.try_acquire(count)
    }

    fn try_acquire(&self, count: u32) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        if limit == 0 {
            // Mostly: no loop, and nothing at all for a delivery that does not count.
            if count > 0 {
                self.used.fetch_add(count, Ordering::SeqCst);
            }
            return true;
        }
        let claim = |used: u32| (used < limit).then_some(used + count);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, claim).is_ok()
    }
}

/// What a consumer asked for.
pub struct ConsumerSpec {
    /// Its identity.
    pub id: ConsumerId,
    /// Where its deliveries go.
    pub outlet: Arc<dyn Outlet>,
    /// Its channel's shared limit.
    pub limit: Arc<ChannelLimit>,
    /// Its own most unacknowledged deliveries; 0 is no limit.
    pub prefetch: u32,
    /// Deliveries count as acknowledged when they are sent.
    pub no_ack: bool,
    /// Refuses all others.
    pub exclusive: bool,
    /// Higher ones get messages first.
    pub priority: i64,
}

impl std::fmt::Debug for ConsumerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerSpec").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Stands in `turns`.
    Ready,
    /// Has as many deliveries out as it may.
    Full,
    /// Its channel or connection had no room.
    Parked,
    /// Another is the single active one.
    Inactive,
}

#[derive(Debug)]
struct Consumer {
    spec: ConsumerSpec,
    in_flight: u32,
    state: State,
    /// Picked in this batch, not handed to the outlet yet.
    pending: Vec<Delivery>,
}

impl Consumer {
    fn is_full(&self) -> bool {
        self.spec.prefetch != 0 && self.in_flight >= self.spec.prefetch
    }

    /// Claims room for a message of `bytes`: what the consumer is then, `Ready` if it was given.
    fn claim(&self, bytes: usize) -> State {
        let no_ack = self.spec.no_ack;
        if !no_ack && self.is_full() {
            State::Full
        } else if !self.spec.limit.acquire(u32::from(!no_ack)) {
            State::Parked
        } else if !self.spec.outlet.reserve(bytes) {
            self.spec.limit.unclaim(u32::from(!no_ack));
            State::Parked
        } else {
            State::Ready
        }
    }
}

/// The consumers of one queue.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    /// By id.
    #[expect(clippy::vec_box, reason = "one in the middle of thousands goes cheaply")]
    all: Vec<Box<Consumer>>,
    /// By priority, the highest last, where it is at hand; mostly there is one.
    turns: Vec<(i64, VecDeque<ConsumerId>)>,
    /// In the order of arrival; only kept for single active consumer.
    arrivals: Vec<ConsumerId>,
    /// Who waits for room, longest first; may name some that wait no more.
    parked: VecDeque<ConsumerId>,
    single_active: bool,
    touched: Vec<ConsumerId>,
}

/// The consumer with this id, of those that stand in order.
#[inline]
fn find(all: &mut [Box<Consumer>], id: ConsumerId) -> Option<&mut Consumer> {
    let at = all.binary_search_by_key(&id, |consumer| consumer.spec.id).ok()?;
    Some(&mut all[at])
}

/// Puts a consumer at the end of the turns of its priority.
fn enter_turns(turns: &mut Vec<(i64, VecDeque<ConsumerId>)>, priority: i64, id: ConsumerId) {
    match turns.binary_search_by_key(&priority, |(priority, _)| *priority) {
        Ok(at) => turns[at].1.push_back(id),
        Err(at) => turns.insert(at, (priority, VecDeque::from([id]))),
    }
}

/// A consumer that may take the next message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) consumer: ConsumerId,
    pub(super) no_ack: bool,
}

impl Consumers {
    pub(super) fn new(single_active: bool) -> Self {
        Self { single_active, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether some consumer stands in the turns.
    pub(super) fn has_turn(&self) -> bool {
        !self.turns.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether an exclusive consumer is there: it is alone, then.
    pub(super) fn has_exclusive(&self) -> bool {
        self.all.first().is_some_and(|consumer| consumer.spec.exclusive)
    }

    pub(super) fn add(&mut self, spec: ConsumerSpec) {
        let (id, priority) = (spec.id, spec.priority);
        let active = !self.single_active || self.all.is_empty();
        let state = if active { State::Ready } else { State::Inactive };
        let at = self.all.partition_point(|consumer| consumer.spec.id < id);
        self.all.insert(at, Box::new(Consumer { spec, in_flight: 0, state, pending: Vec::new() }));
        if self.single_active {
            self.arrivals.push(id);
        }
        if active {
            enter_turns(&mut self.turns, priority, id);
        }
    }

    /// Removes a consumer; with single active consumer, the next one becomes active.
    pub(super) fn remove(&mut self, id: ConsumerId) -> bool {
        let found = self.all.binary_search_by_key(&id, |consumer| consumer.spec.id);
        let Ok(at) = found else { return false };
        let consumer = self.all.remove(at);
        self.leave_turns(consumer.spec.priority, id);
        self.parked.retain(|other| *other != id);
        if self.single_active {
            self.arrivals.retain(|other| *other != id);
            if consumer.state != State::Inactive {
                self.activate_next();
            }
        }
        true
    }

    fn activate_next(&mut self) {
        let all = &mut self.all;
        let mut priority = |id: &ConsumerId| find(all, *id).map(|consumer| consumer.spec.priority);
        let best = self.arrivals.iter().map(&mut priority).max();
        let next = self.arrivals.iter().find(|id| Some(priority(id)) == best).copied();
        if let Some(id) = next {
            self.make_ready(id);
        }
    }

    fn leave_turns(&mut self, priority: i64, id: ConsumerId) {
        if let Ok(at) = self.turns.binary_search_by_key(&priority, |(priority, _)| *priority) {
            let ids = &mut self.turns[at].1;
            // From the end, where those of a connection that goes are removed first.
            if let Some(place) = ids.iter().rposition(|other| *other == id) {
                ids.remove(place);
            }
            if ids.is_empty() {
                self.turns.remove(at);
            }
        }
    }

    fn make_ready(&mut self, id: ConsumerId) {
        if let Some(consumer) = find(&mut self.all, id)
            && consumer.state != State::Ready
        {
            consumer.state = State::Ready;
            enter_turns(&mut self.turns, consumer.spec.priority, id);
        }
    }

    /// A delivery of `id` was settled.
    pub(super) fn settled(&mut self, id: ConsumerId) {
        let Some(consumer) = find(&mut self.all, id) else { return };
        consumer.in_flight = consumer.in_flight.saturating_sub(1);
        if consumer.state == State::Full && !consumer.is_full() {
            self.make_ready(id);
        }
    }

    /// Gives every parked consumer another try.
    pub(super) fn resume(&mut self) {
        for id in std::mem::take(&mut self.parked) {
            let parked = |consumer: &mut Consumer| consumer.state == State::Parked;
            if find(&mut self.all, id).is_some_and(parked) {
                self.make_ready(id);
            }
        }
    }

    /// Whose turn it is for a message of `bytes`; its room is claimed. Consumers that have no room
    /// leave the turns on the way.
    pub(super) fn next(&mut self, bytes: usize) -> Option<Turn> {
        loop {
            let (_, turns) = self.turns.last_mut()?;
            let Some(id) = turns.front().copied() else {
                self.turns.pop();
                continue;
            };
            let Some(consumer) = find(&mut self.all, id) else {
                turns.pop_front();
                continue;
            };
            consumer.state = consumer.claim(bytes);
            if consumer.state == State::Ready {
                return Some(Turn { consumer: id, no_ack: consumer.spec.no_ack });
            }
            if consumer.state == State::Parked {
                self.parked.push_back(id);
            }
            turns.pop_front();
        }
    }

    /// The turn of one consumer, whoever stands before it, if it has room for a message of
    /// `bytes`; its room is claimed.
    pub(super) fn turn_of(&mut self, id: ConsumerId, bytes: usize) -> Option<Turn> {
        let consumer = find(&mut self.all, id)?;
        if consumer.state != State::Ready {
            return None;
        }
        consumer.state = consumer.claim(bytes);
        let (state, priority) = (consumer.state, consumer.spec.priority);
        if state == State::Ready {
            return Some(Turn { consumer: id, no_ack: consumer.spec.no_ack });
        }
        if state == State::Parked {
            self.parked.push_back(id);
        }
        self.leave_turns(priority, id);
        None
    }

    /// Whether a consumer is there.
    pub(super) fn contains(&self, id: ConsumerId) -> bool {
        self.all.binary_search_by_key(&id, |consumer| consumer.spec.id).is_ok()
    }

    /// All with what they have out, in the order of their ids.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = (ConsumerId, u32)> {
        self.all.iter().map(|one| (one.spec.id, one.in_flight))
    }

    /// Those that may get messages, whether they have room or not.
    pub(super) fn active(&self) -> impl Iterator<Item = ConsumerId> {
        let active = self.all.iter().filter(|one| one.state != State::Inactive);
        active.map(|one| one.spec.id)
    }

    /// Gives the message to the consumer whose turn it is, and the turn to the next one.
    pub(super) fn give(&mut self, turn: Turn, delivery: Delivery) {
        // Mostly it was found in the last ones; where it was not, a turn more or less is no matter.
        if let Some((_, turns)) = self.turns.last_mut()
            && turns.len() > 1
        {
            turns.rotate_left(1);
        }
        let Some(consumer) = find(&mut self.all, turn.consumer) else { return };
        if !turn.no_ack {
            consumer.in_flight += 1;
        }
        if consumer.pending.is_empty() {
            self.touched.push(turn.consumer);
        }
        consumer.pending.push(delivery);
    }

    /// Hands all that was given to the connections: one hand-over a consumer.
    pub(super) fn flush(&mut self) {
        for id in self.touched.drain(..) {
            if let Some(consumer) = find(&mut self.all, id) {
                consumer.spec.outlet.deliver(&mut consumer.pending);
                if consumer.pending.capacity() > 256 {
                    consumer.pending = Vec::new();
                }
            }
        }
    }

    /// Removes all and tells them that the queue is gone.
    pub(super) fn cancel_all(&mut self) {
        self.flush();
        self.turns.clear();
        self.arrivals.clear();
        for consumer in std::mem::take(&mut self.all) {
            consumer.spec.outlet.cancelled(consumer.spec.id);
        }
    }
}
