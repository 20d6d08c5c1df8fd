//! A queue whose memory is far too small, on a log that keeps and crashes, against a model that
//! keeps everything in a sorted list: order, counts and flags agree, nothing is lost, nothing comes
//! twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::messages::{Place, Wanted};
use super::*;
use crate::ids::{ConsumerId, QueueId, Seq};
use crate::keeping_log::KeepingLog;
use crate::log::Fetched;
use crate::message::{FieldTable, FieldValue, Message, MessageBuilder};
use std::sync::Arc;

const MAX_PRIORITY: u8 = 2;

/// Priority, persistent, length, and the time to live if it has one.
type Sent = (u8, bool, usize, Option<u64>);

#[derive(Debug, Clone)]
enum Step {
    /// Publishes, and room for deliveries in the same batch.
    Turn {
        publishes: Vec<Sent>,
        room: usize,
        no_ack: bool,
    },
    Get {
        no_ack: bool,
    },
    /// Settles what is out at these indices.
    Settle(Vec<usize>, Settlement),
    Purge,
    PageOut(u64),
    /// It is settled what to ask the log.
    Ask,
    /// The log looks.
    Look,
    /// Its answer comes.
    Answer,
    Window(usize),
    SpillRoom(usize),
    /// Time passes, and the queue's alarm rings.
    Pass(u64),
    /// What stands at these indices is taken out and dropped.
    Take(Vec<usize>),
    /// The queue is to learn again when everything expires.
    Scan,
    /// Goes back to what was in the log so many steps ago.
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let ttl = prop::option::weighted(0.4, 1..200_u64);
    let publish = (0..4_u8, any::<bool>(), 0..300_usize, ttl);
    let how = prop_oneof![
        4 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        3 => Just(Settlement::Requeue),
    ];
    let indices = prop::collection::vec(any::<usize>(), 1..6);
    let windows = prop_oneof![Just(0), 1..3000_usize, Just(usize::MAX)];
    prop_oneof![
        8 => (prop::collection::vec(publish, 0..8), 0..6_usize, any::<bool>())
            .prop_map(|(publishes, room, no_ack)| Step::Turn { publishes, room, no_ack }),
        4 => any::<bool>().prop_map(|no_ack| Step::Get { no_ack }),
        6 => (indices, how).prop_map(|(indices, how)| Step::Settle(indices, how)),
        1 => Just(Step::Purge).boxed(),
        3 => (0..2000_u64).prop_map(Step::PageOut),
        3 => Just(Step::Ask),
        3 => Just(Step::Look),
        3 => Just(Step::Answer),
        2 => windows.prop_map(Step::Window),
        1 => (0..20_usize).prop_map(Step::SpillRoom),
        3 => (1..100_u64).prop_map(Step::Pass),
        2 => prop::collection::vec(any::<usize>(), 1..6).prop_map(Step::Take),
        1 => Just(Step::Scan),
        2 => (0..5_usize).prop_map(Step::Crash),
    ]
}

/// A connection with room for so many deliveries.
#[derive(Default)]
struct Sink {
    room: AtomicUsize,
    got: Mutex<Vec<(Seq, u64, bool)>>,
}

impl Outlet for Sink {
    fn reserve(&self, _bytes: usize) -> bool {
        let take = |room: usize| room.checked_sub(1);
        self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        for one in deliveries.drain(..) {
            self.got.lock().unwrap().push((one.seq, number(&one.message), one.redelivered));
        }
    }

    fn cancelled(&self, _consumer: ConsumerId) {}
}

/// A message that carries a number.
fn message(number: u64, (priority, persistent, len, ttl): Sent) -> Message {
    // Delivery mode (bit 12), priority (bit 11) and expiration (bit 8).
    let mut properties = vec![0x18, 0x00, 1 + u8::from(persistent), priority];
    if let Some(ttl) = ttl {
        properties[0] |= 0x01;
        let digits = ttl.to_string();
        properties.push(digits.len() as u8);
        properties.extend(digits.bytes());
    }
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + len, 0);
    let size = body.len() as u64;
    let mut builder = MessageBuilder::new("", "q", &properties, size, Some("guest"), None).unwrap();
    builder.push(&body).unwrap();
    builder.finish().0
}

fn number(message: &Message) -> u64 {
    u64::from_le_bytes(message.body()[..8].try_into().unwrap())
}

/// A message in the model.
#[derive(Debug, Clone, PartialEq)]
struct One {
    level: u8,
    seq: u64,
    number: u64,
    durable: bool,
    len: usize,
    returns: u32,
    redelivered: bool,
    expires_at: u64,
}

/// What survives of the model.
#[derive(Debug, Clone)]
struct Snapshot {
    groups: usize,
    durable: Vec<One>,
    delivered: u64,
}

struct World {
    queue: QueueHandle,
    log: Arc<KeepingLog>,
    window: usize,
    waits: Histogram,
    /// The first acknowledges, the second does not.
    sinks: [Arc<Sink>; 2],
    under_way: Option<(Wanted, Option<Vec<Fetched>>)>,
    max_length: Option<usize>,
    // The model from here on.
    now: u64,
    ready: Vec<One>,
    out: Vec<One>,
    last_seq: u64,
    delivered: u64,
    numbers: u64,
    snapshots: Vec<Snapshot>,
}

fn new_queue(max_length: Option<usize>) -> QueueHandle {
    let mut arguments =
        vec![("x-max-priority".to_owned(), FieldValue::I64(i64::from(MAX_PRIORITY)))];
    if let Some(most) = max_length {
        arguments.push(("x-max-length".to_owned(), FieldValue::I64(most as i64)));
    }
    QueueHandle::new(QueueSpec {
        id: QueueId(7),
        vhost: "/".into(),
        name: "q".into(),
        durable: true,
        auto_delete: false,
        owner: None,
        arguments: FieldTable(arguments),
    })
}

impl World {
    fn new(window: usize, max_length: Option<usize>) -> Self {
        let mut world = Self {
            queue: new_queue(max_length),
            max_length,
            log: KeepingLog::new(),
            window,
            waits: Default::default(),
            sinks: [Arc::default(), Arc::default()],
            under_way: None,
            now: 1,
            ready: Vec::new(),
            out: Vec::new(),
            last_seq: 0,
            delivered: 0,
            numbers: 0,
            snapshots: Vec::new(),
        };
        world.subscribe();
        world.note();
        world
    }

    fn context(&self) -> Context<'_> {
        let now = Timestamp(self.now);
        Context { now, log: &*self.log, window: self.window, waits: &self.waits }
    }

    fn subscribe(&mut self) {
        self.sinks = [Arc::default(), Arc::default()];
        let mut batch = self.queue.lock(self.context());
        for (index, sink) in self.sinks.iter().enumerate() {
            let spec = ConsumerSpec {
                id: ConsumerId(index as u64),
                outlet: sink.clone(),
                limit: Arc::default(),
                prefetch: 0,
                no_ack: index == 1,
                exclusive: false,
                priority: 0,
            };
            batch.subscribe(spec).unwrap();
        }
        batch.finish();
    }

    fn turn(&mut self, publishes: &[Sent], mut room: usize, no_ack: bool) {
        if self.max_length.is_some() && !publishes.is_empty() {
            // Whether a message is delivered or dropped may hang on where it is.
            room = 0;
        }
        let sink = Arc::clone(&self.sinks[usize::from(no_ack)]);
        sink.room.store(room, Ordering::SeqCst);
        let mut batch = self.queue.lock(self.context());
        batch.resume();
        let first = self.numbers + 1;
        for (index, sent) in publishes.iter().enumerate() {
            batch.publish(message(first + index as u64, *sent));
        }
        let mut more = batch.finish().effects.load;
        while more && sink.room.load(Ordering::SeqCst) > 0 {
            more = self.queue.load(self.context()).effects.load;
        }
        sink.room.store(0, Ordering::SeqCst);
        for &(priority, durable, len, ttl) in publishes {
            self.numbers += 1;
            self.last_seq += 1;
            self.ready.push(One {
                level: priority.min(MAX_PRIORITY),
                seq: self.last_seq,
                number: self.numbers,
                durable,
                len: len + 8,
                returns: 0,
                redelivered: false,
                expires_at: ttl.map_or(u64::MAX, |ttl| self.now + ttl),
            });
            self.model_drop();
        }
        let expected: Vec<_> = (0..room).map_while(|_| self.model_pop(no_ack)).collect();
        assert_eq!(std::mem::take(&mut *sink.got.lock().unwrap()), expected);
    }

    /// Takes the next one in the model, which goes out.
    fn model_pop(&mut self, no_ack: bool) -> Option<(Seq, u64, bool)> {
        let key = |one: &One| (one.level, u64::MAX - one.seq);
        let at = (0..self.ready.len()).max_by_key(|at| key(&self.ready[*at]))?;
        let one = self.ready.remove(at);
        let seen = (Seq(one.seq), one.number, one.redelivered || one.returns > 0);
        if !no_ack {
            if one.durable {
                self.delivered = self.delivered.max(one.seq);
            }
            self.out.push(one);
        }
        Some(seen)
    }

    /// Drops the head while the queue is too long.
    fn model_drop(&mut self) {
        while self.max_length.is_some_and(|most| self.ready.len() > most) {
            self.model_pop(true);
        }
    }

    fn get(&mut self, no_ack: bool) -> bool {
        let mut batch = self.queue.lock(self.context());
        let got = batch.get(no_ack).map(|got| (got.seq, number(&got.message), got.redelivered));
        batch.finish();
        assert_eq!(got, self.model_pop(no_ack));
        got.is_some()
    }

    fn settle(&mut self, indices: &[usize], how: Settlement) {
        let mut seqs = Vec::new();
        for index in indices {
            if self.out.is_empty() {
                break;
            }
            let at = index % self.out.len();
            if how == Settlement::Requeue && self.out[at].expires_at <= self.now {
                // Whether it goes at once hangs on what stands in front of it.
                continue;
            }
            let mut one = self.out.remove(at);
            seqs.push(Seq(one.seq));
            if how == Settlement::Requeue {
                one.returns += 1;
                self.ready.push(one);
            }
        }
        let mut batch = self.queue.lock(self.context());
        batch.settle(&seqs, how);
        batch.finish();
        if how == Settlement::Requeue {
            self.model_drop();
        }
    }

    /// Time passes, but stands still while something is on its way from the log; all that is due
    /// is gone then, wherever it stands.
    fn pass(&mut self, millis: u64) {
        self.scan();
        self.now += millis;
        let mut batch = self.queue.lock(self.context());
        batch.expire_all();
        // The next one is at the head then, and shows its time once it is there.
        let more = batch.finish().effects.load;
        self.load_all(more);
        let now = self.now;
        self.ready.retain(|one| one.expires_at > now);
    }

    /// Reads all through, so that each time is known.
    fn scan(&mut self) {
        let mut batch = self.queue.lock(self.context());
        batch.want_scan();
        let more = batch.finish().effects.load;
        self.load_all(more);
    }

    fn load_all(&self, mut more: bool) {
        for _ in 0..1000 {
            if !more {
                break;
            }
            more = self.queue.load(self.context()).effects.load;
        }
    }

    fn take(&mut self, indices: &[usize]) {
        let mut picked = std::collections::BTreeMap::new();
        for index in indices.iter().filter(|_| !self.ready.is_empty()) {
            let one = &self.ready[index % self.ready.len()];
            picked.insert(one.seq, one.clone());
        }
        let place = |one: &One| Place {
            seq: Seq(one.seq),
            expires_at: Timestamp(one.expires_at),
            body_len: one.len as u64,
        };
        let mut places: Vec<Place> = picked.values().map(place).collect();
        places.push(Place { seq: Seq(self.last_seq + 9), expires_at: Timestamp(1), body_len: 1 });
        let mut batch = self.queue.lock(self.context());
        let taken = batch.queue.messages.take_places(&places);
        assert_eq!(taken.slots.len() + taken.stored.len(), picked.len());
        for slot in taken.slots.iter().chain(&taken.stored) {
            let one = &picked[&slot.seq.0];
            assert_eq!((slot.returns, slot.redelivered), (one.returns, one.redelivered));
            assert_eq!(slot.level, one.level);
        }
        batch.bury_taken(taken, DeathReason::Rejected);
        batch.finish();
        self.ready.retain(|one| !picked.contains_key(&one.seq));
    }

    fn ask(&mut self) {
        let batch = self.queue.lock(self.context());
        let wanted = batch.wanted();
        drop(batch);
        self.under_way = Some((wanted, None));
    }

    fn look(&mut self) {
        if let Some((wanted, answer)) = &mut self.under_way {
            *answer = Some(self.log.fetch(self.queue.spec.id, &wanted.ranges, 700));
        }
    }

    fn answer(&mut self) {
        let Some((wanted, Some(fetched))) = self.under_way.take() else { return };
        let mut batch = self.queue.lock(self.context());
        batch.loaded_ahead(&wanted, fetched);
        batch.finish();
    }

    fn crash(&mut self, back: usize) {
        let at = self.snapshots.len().saturating_sub(1 + back);
        self.snapshots.truncate(at + 1);
        let snapshot = self.snapshots[at].clone();
        let (log, recovered) = self.log.crash(snapshot.groups);
        (self.log, self.queue, self.under_way) = (log, new_queue(self.max_length), None);
        let kept = recovered.queues.into_iter().next();
        self.last_seq = kept.as_ref().map_or(0, |queue| queue.last_seq.0);
        // What was out must be known; what the log knows beyond that may have been.
        self.delivered = snapshot.delivered;
        if let Some(kept) = kept {
            let marked = kept.delivered.0;
            let out =
                snapshot.durable.iter().map(|one| one.seq).filter(|seq| *seq <= self.delivered);
            assert!(out.max().unwrap_or(0) <= marked, "{:?} of {marked}", self.delivered);
            self.delivered = marked;
            self.queue.recover(kept);
        }
        self.out.clear();
        self.ready = snapshot.durable;
        for one in &mut self.ready {
            one.redelivered = one.seq <= self.delivered;
        }
        self.subscribe();
        // Perhaps time was up while it was out.
        self.pass(0);
    }

    fn note(&mut self) {
        let all = self.ready.iter().chain(&self.out);
        let durable = all.filter(|one| one.durable).cloned().collect();
        let groups = self.log.len();
        self.snapshots.push(Snapshot { groups, durable, delivered: self.delivered });
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Turn { publishes, room, no_ack } => self.turn(publishes, *room, *no_ack),
            Step::Get { no_ack } => drop(self.get(*no_ack)),
            Step::Settle(indices, how) => self.settle(indices, *how),
            Step::Purge => {
                let mut batch = self.queue.lock(self.context());
                assert_eq!(batch.purge(), self.ready.len());
                batch.finish();
                self.ready.clear();
            }
            Step::PageOut(keep) => {
                let mut batch = self.queue.lock(self.context());
                batch.page_out(*keep);
                batch.finish();
            }
            Step::Ask => self.ask(),
            Step::Look => self.look(),
            Step::Answer => self.answer(),
            Step::Window(window) => self.window = *window,
            Step::SpillRoom(room) => self.log.set_spill_room(*room),
            Step::Pass(millis) => self.pass(*millis),
            Step::Take(indices) => self.take(indices),
            Step::Scan => self.scan(),
            Step::Crash(back) => self.crash(*back),
        }
        self.check();
        self.note();
    }

    fn check(&self) {
        let counts = self.queue.counts();
        let expected = (self.ready.len(), self.out.len(), 0);
        assert_eq!((counts.ready, counts.unacked, counts.unreadable), expected);
        let state = self.queue.state();
        state.messages.check();
        let bytes: usize = self.ready.iter().map(|one| one.len).sum();
        assert_eq!(state.messages.ready_bytes(), bytes as u64);
        let all = self.ready.iter().chain(&self.out);
        assert_eq!(self.log.messages(), all.filter(|one| one.durable).count());
    }

    /// Takes all that is left: after that nothing is anywhere.
    fn drain(&mut self) {
        while self.get(true) {}
        self.settle(&vec![0; self.out.len()], Settlement::Ack);
        self.check();
        assert_eq!(self.log.spilled(), 0);
        assert_eq!(self.queue.state().messages.bytes(), 0);
    }
}

proptest! {
    #[test]
    fn agrees_with_the_model(
        window in 0..2000_usize,
        max_length in prop::option::weighted(0.3, 0..12_usize),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(window, max_length);
        for step in &steps {
            world.apply(step);
        }
        world.drain();
    }
}

#[test]
fn an_answer_that_was_overtaken_takes_nothing_out() {
    let mut world = World::new(0, None);
    world.apply(&Step::Turn { publishes: vec![(0, false, 10, None); 3], room: 0, no_ack: false });
    world.apply(&Step::Window(usize::MAX));
    world.apply(&Step::Ask);
    // This brings all of them into memory.
    world.apply(&Step::Get { no_ack: true });
    world.apply(&Step::Look);
    world.apply(&Step::PageOut(0));
    world.apply(&Step::Answer);
    world.drain();
}
