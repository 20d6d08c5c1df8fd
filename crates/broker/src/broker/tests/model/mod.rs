//! The broker with several queues against a naive one: after each step both have the same messages
//! in the same order, with the same flags and deaths; after a crash at any group of the log the
//! broker has one of the states that the naive one went through.
//!
//! `LEVERET_MODEL_OPERATIONS` sets how many operations are played. What a failure prints is the
//! shortest list of steps that was found.

mod config;
mod naive;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};

use super::*;
use crate::definitions::{PolicyKind, PolicyRequest};
use crate::ids::Seq;
use crate::message::{HeaderTable, Value};
use config::{Config, Overlay, PAIRS, QUEUES, config, overlay};
use naive::{CONSUMERS, History, NEVER, Naive, One, Queue, Sent, is_no_ack, priority_of};

/// How many ready messages a queue has at most when something is published to it.
const READY_MAX: usize = 25;
/// How many steps a crash may undo.
const CRASH_MAX: usize = 6;

/// Priority, persistent, length, and the time to live if it has one.
type Words = (u8, bool, usize, Option<u64>);

#[derive(Debug, Clone)]
enum Step {
    /// To one queue, or to two; and a consumer of the first has room for so many.
    Publish {
        to: usize,
        and: Option<usize>,
        words: Vec<Words>,
        room: (usize, usize),
    },
    /// A consumer has room.
    Deliver {
        queue: usize,
        consumer: usize,
        room: usize,
    },
    Get {
        queue: usize,
        no_ack: bool,
    },
    /// What is out at these indices.
    Settle {
        queue: usize,
        indices: Vec<usize>,
        how: Settlement,
    },
    Purge(usize),
    PageOut {
        queue: usize,
        keep: u64,
    },
    Load,
    Budget(u64),
    SpillRoom(usize),
    Pass(u64),
    /// A consumer goes, or comes back.
    Toggle {
        queue: usize,
        consumer: usize,
    },
    Policy {
        queue: usize,
        overlay: Option<Overlay>,
    },
    /// It is deleted and declared anew.
    Declare {
        queue: usize,
        config: Config,
    },
    /// The groups of the log behind one of the last are lost.
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let ttl = prop::option::weighted(0.3, 0..150_u64);
    let words = prop::collection::vec((0..4_u8, any::<bool>(), 0..100_usize, ttl), 1..6);
    let how = prop_oneof![
        2 => Just(Settlement::Ack),
        3 => Just(Settlement::Reject),
        2 => Just(Settlement::Requeue),
        1 => Just(Settlement::Release),
    ];
    let indices = prop::collection::vec(any::<usize>(), 1..6);
    let room = (0..CONSUMERS, prop_oneof![3 => Just(0), 1 => 1..4_usize]);
    let budget = prop_oneof![Just(1), Just(u64::MAX)];
    let (queue, consumer) = (|| 0..QUEUES, || 0..CONSUMERS);
    prop_oneof![
        12 => (queue(), prop::option::weighted(0.2, queue()), words, room)
            .prop_map(|(to, and, words, room)| Step::Publish { to, and, words, room }),
        6 => (queue(), consumer(), 1..6_usize)
            .prop_map(|(queue, consumer, room)| Step::Deliver { queue, consumer, room }),
        4 => (queue(), prop::bool::weighted(0.2))
            .prop_map(|(queue, no_ack)| Step::Get { queue, no_ack }),
        10 => (queue(), indices, how)
            .prop_map(|(queue, indices, how)| Step::Settle { queue, indices, how }),
        1 => queue().prop_map(Step::Purge),
        4 => (queue(), 0..2000_u64).prop_map(|(queue, keep)| Step::PageOut { queue, keep }),
        3 => Just(Step::Load),
        1 => budget.prop_map(Step::Budget),
        1 => (0..20_usize).prop_map(Step::SpillRoom),
        5 => prop_oneof![4 => 1..60_u64, 1 => 1000..5000_u64].prop_map(Step::Pass),
        2 => (queue(), consumer()).prop_map(|(queue, consumer)| Step::Toggle { queue, consumer }),
        2 => (queue(), prop::option::weighted(0.7, overlay()))
            .prop_map(|(queue, overlay)| Step::Policy { queue, overlay }),
        1 => (queue(), config()).prop_map(|(queue, config)| Step::Declare { queue, config }),
        3 => any::<usize>().prop_map(Step::Crash),
    ]
}

/// Takes so many deliveries, and keeps them to be compared.
#[derive(Default)]
struct Eater {
    room: AtomicUsize,
    got: Mutex<Vec<(u64, Message, bool)>>,
}

impl Outlet for Eater {
    fn reserve(&self, _bytes: usize) -> bool {
        let take = |room: usize| room.checked_sub(1);
        self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        let seen = deliveries.drain(..).map(|one| (one.seq.0, one.message, one.redelivered));
        self.got.lock().unwrap().extend(seen);
    }

    fn cancelled(&self, _consumer: ConsumerId) {}
}

fn message(sent: &Sent) -> Message {
    // Delivery mode (bit 12), priority (bit 11) and expiration (bit 8).
    let mut properties = vec![0x18, 0x00, 1 + u8::from(sent.persistent), sent.priority];
    if let Some(ttl) = sent.ttl {
        properties[0] |= 0x01;
        let digits = ttl.to_string();
        properties.push(digits.len() as u8);
        properties.extend(digits.bytes());
    }
    let mut body = sent.number.to_le_bytes().to_vec();
    body.resize(sent.len, 0);
    let size = body.len() as u64;
    let mut builder = MessageBuilder::new("", "k", &properties, size, Some("guest"), None).unwrap();
    builder.push(&body).unwrap();
    builder.finish().0
}

fn number(message: &Message) -> u64 {
    u64::from_le_bytes(message.body()[..8].try_into().unwrap())
}

/// Queue, reason and count of each death, as the message tells them.
fn deaths(headers: &HeaderTable<'_>) -> Vec<(String, String, i64)> {
    let Some(FieldValue::Array(all)) = headers.get("x-death").map(|value| value.to_owned()) else {
        return Vec::new();
    };
    let read = |death: FieldValue| {
        let FieldValue::Table(death) = death else { panic!("{death:?}") };
        let text = |key: &str| death.get(key).unwrap().as_str().unwrap().to_owned();
        (text("queue"), text("reason"), death.get("count").unwrap().as_integer().unwrap())
    };
    all.into_iter().map(read).collect()
}

/// A message as a client gets it, with the count of its returns if it is to be told, with all that
/// the naive broker knows of it.
fn compare(message: &Message, one: &One, count: Option<u32>) {
    let sent = &one.sent;
    let headers = message.headers();
    let told = headers.as_ref().and_then(|headers| headers.get("x-delivery-count"));
    assert_eq!(told, count.map(|count| Value::I64(count.into())));
    assert_eq!(number(message), sent.number);
    assert_eq!((message.body_len(), message.priority), (sent.len, sent.priority));
    assert_eq!((message.persistent, message.expiration_ms), (sent.persistent, sent.ttl));
    let Some(first) = sent.first_death else {
        assert!(sent.deaths.is_empty(), "{:?}", sent.deaths);
        assert_eq!(headers.is_some(), count.is_some());
        return;
    };
    let headers = headers.expect("a death makes headers");
    let name = |at: usize| format!("q{at}");
    let expected =
        sent.deaths.iter().map(|(at, reason, count)| (name(*at), reason.name().to_owned(), *count));
    assert_eq!(deaths(&headers), expected.collect::<Vec<_>>());
    let text = |key: &str| match headers.get(key) {
        Some(Value::LongStr(text)) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text("x-first-death-queue"), name(first.0));
    assert_eq!(text("x-first-death-reason"), first.1.name());
}

/// What the naive broker went through in a step, and where the log ended after it.
struct Past {
    groups: usize,
    states: Vec<Naive>,
    /// A crash within the step would leave half of its definitions.
    is_whole: bool,
}

struct Both {
    world: World,
    eaters: [[(Arc<Eater>, ConsumerId); CONSUMERS]; QUEUES],
    naive: History,
    past: VecDeque<Past>,
    numbers: u64,
    operations: u64,
}

impl Both {
    fn new(configs: &[Config]) -> Self {
        let world = World::new();
        (0..PAIRS.len()).for_each(|pair| world.exchange(&format!("fan{pair}"), true));
        let mut both = Self {
            naive: History::default(),
            eaters: std::array::from_fn(|_| {
                std::array::from_fn(|_| (Arc::default(), ConsumerId(0)))
            }),
            past: VecDeque::new(),
            numbers: 0,
            operations: 0,
            world,
        };
        both.naive.present.now = both.world.now.0;
        for (at, config) in configs.iter().enumerate() {
            let id = both.declare(at, config);
            both.naive.present.queues.push(Queue::new(id, config.clone()));
            (0..CONSUMERS).for_each(|consumer| both.subscribe(at, consumer));
        }
        both.remember(true);
        both
    }

    fn queue(&self, at: usize) -> Arc<QueueHandle> {
        self.world.queue(&format!("q{at}"))
    }

    fn now(&self) -> Timestamp {
        self.world.now
    }

    fn declare(&self, at: usize, config: &Config) -> u64 {
        let name = format!("q{at}");
        let request = QueueRequest {
            name: &name,
            durable: config.durable,
            exclusive: false,
            auto_delete: false,
            arguments: config.arguments(),
        };
        self.world.broker.declare_queue(&self.world.who, request, self.now()).unwrap();
        for (number, pair) in PAIRS.iter().enumerate() {
            if pair.contains(&at) {
                self.world.bind(&format!("fan{number}"), &name);
            }
        }
        self.queue(at).spec.id.0
    }

    fn subscribe(&mut self, at: usize, consumer: usize) {
        let id = self.world.broker.new_consumer();
        let eater: Arc<Eater> = Arc::default();
        let spec = ConsumerSpec {
            id,
            outlet: eater.clone(),
            limit: Arc::default(),
            prefetch: 0,
            no_ack: is_no_ack(consumer),
            exclusive: false,
            priority: priority_of(consumer),
        };
        self.world.broker.consume(&self.queue(at), spec, self.now()).unwrap();
        self.eaters[at][consumer] = (eater, id);
        self.naive.present.queues[at].subscribe(consumer);
    }

    /// Notes the states of a step.
    fn remember(&mut self, is_whole: bool) {
        let mut states = std::mem::take(&mut self.naive.states);
        states.push(self.naive.present.clone());
        self.past.push_back(Past { groups: self.world.log.len(), states, is_whole });
        if self.past.len() > CRASH_MAX {
            self.past.pop_front();
        }
    }

    fn publish(&mut self, to: &[usize], words: &[Words], (consumer, room): (usize, usize)) {
        if self.naive.present.queues.iter().any(|queue| queue.ready.len() > READY_MAX) {
            return;
        }
        if room > 0 {
            self.open(to[0], consumer, room);
        }
        let mut all = Vec::new();
        for &(priority, persistent, len, ttl) in words {
            self.numbers += 1;
            let (number, deaths, first_death) = (self.numbers, Vec::new(), None);
            let len = len + 8;
            all.push(Sent { number, priority, persistent, len, ttl, deaths, first_death });
        }
        let queues = to.iter().map(|at| self.queue(*at)).collect();
        let route = Route { queues, cacheable: true, memory: None, traffic: None };
        let mut outgoing = Outgoing::default();
        all.iter().for_each(|sent| outgoing.push(message(sent), &route, sent.number));
        let mut rejected = self.world.broker.flush(&mut outgoing, self.now()).rejected;
        rejected.sort_unstable();
        assert_eq!(rejected, self.naive.publish_all(to, &all));
        self.close(to[0], consumer);
    }

    /// A consumer has room, and takes what is there.
    fn open(&mut self, at: usize, consumer: usize, room: usize) {
        let eater = Arc::clone(&self.eaters[at][consumer].0);
        eater.room.store(room, Ordering::SeqCst);
        self.world.broker.resume(&self.queue(at), self.now());
        while eater.room.load(Ordering::SeqCst) > 0 && self.world.broker.load_next(self.now()) {}
        self.naive.make_room(at, consumer, room);
    }

    /// It has no room any more: compares what it got.
    fn close(&mut self, at: usize, consumer: usize) {
        let eater = &self.eaters[at][consumer].0;
        eater.room.store(0, Ordering::SeqCst);
        let got = std::mem::take(&mut *eater.got.lock().unwrap());
        self.naive.make_room(at, consumer, 0);
        let expected = std::mem::take(&mut self.naive.present.delivered);
        let places = |(seq, _, redelivered): &(u64, Message, bool)| (at, *seq, *redelivered);
        let places: Vec<_> = got.iter().map(places).collect();
        let wanted: Vec<_> =
            expected.iter().map(|(at, one)| (*at, one.seq, one.was_out())).collect();
        assert_eq!(places, wanted);
        let is_quorum = self.naive.present.queues[at].config.quorum;
        for ((_, message, _), (_, one)) in got.iter().zip(&expected) {
            compare(message, one, (is_quorum && one.returns > 0).then_some(one.returns));
        }
    }

    fn get(&mut self, at: usize, no_ack: bool) -> bool {
        let got = self.world.broker.get(&self.queue(at), no_ack, self.now());
        let expected = self.naive.get(at, no_ack);
        assert_eq!(got.is_some(), expected.is_some());
        let (Some(got), Some(one)) = (got, expected) else { return false };
        assert_eq!((got.seq.0, got.redelivered), (one.seq, one.was_out()));
        assert_eq!(got.remaining, self.naive.present.queues[at].ready.len());
        // A get tells the first delivery's count too.
        let is_quorum = self.naive.present.queues[at].config.quorum;
        compare(&got.message, &one, is_quorum.then_some(one.returns));
        true
    }

    fn settle(&mut self, at: usize, indices: &[usize], how: Settlement) {
        let out: Vec<u64> = self.naive.present.queues[at].out.iter().map(|one| one.seq).collect();
        if out.is_empty() {
            return;
        }
        let seqs: Vec<u64> = indices.iter().map(|index| out[index % out.len()]).collect();
        let all: Vec<Seq> = seqs.iter().copied().map(Seq).collect();
        self.world.broker.settle(&self.queue(at), &all, how, self.now());
        self.naive.settle(at, &seqs, how);
    }

    /// Reads what is away, at a moment at which nothing has expired.
    fn load_whole(&self) {
        let past = Timestamp(0);
        for at in 0..QUEUES {
            let queue = self.queue(at);
            loop {
                let mut batch = queue.lock(self.world.broker.context(past));
                let wanted = batch.wanted();
                let fetched = self.world.log.fetch(queue.spec.id, &wanted.ranges, usize::MAX);
                batch.loaded_ahead(&wanted, fetched);
                let finished = batch.finish();
                self.world.broker.finished(&queue, finished, past);
                if wanted.ranges.is_empty() {
                    break;
                }
            }
        }
    }

    /// Has each queue know when its messages expire.
    fn scan(&self) {
        for at in 0..QUEUES {
            let queue = self.queue(at);
            let mut batch = queue.lock(self.world.broker.context(self.now()));
            batch.want_scan();
            self.world.broker.finished(&queue, batch.finish(), self.now());
        }
        self.world.load_all();
    }

    fn ring(&mut self) {
        while self.world.broker.next_alarm().is_some_and(|at| at <= self.now()) {
            self.world.broker.tick(self.now());
        }
    }

    /// Time passes from one event to the next. The order of what happens at the same moment may
    /// hang on what is in memory, unless all is.
    fn pass(&mut self, millis: u64) {
        let until = self.now().0 + millis;
        loop {
            self.scan();
            let (at, count) = self.naive.next_event();
            if at > until {
                break;
            }
            if at > self.now().0 + 1 {
                self.go_to(at - 1);
            }
            if count > 1 {
                self.world.broker.set_memory_budget(u64::MAX);
                self.load_whole();
            }
            self.go_to(at);
        }
        self.go_to(until);
    }

    fn go_to(&mut self, at: u64) {
        self.world.now = Timestamp(at);
        self.naive.present.now = at;
        self.ring();
        self.naive.tick();
    }

    fn policy(&mut self, at: usize, overlay: Option<Overlay>) {
        let config = &self.naive.present.queues[at].config;
        let overlay = overlay.map(|overlay| overlay.for_queue(config));
        let definition = overlay.as_ref().and_then(Overlay::definition);
        let name = format!("p{at}");
        if let Some(definition) = definition {
            let pattern = format!("^q{at}$");
            let request =
                PolicyRequest { pattern: &pattern, apply_to: "all", definition, priority: 0 };
            let put = PolicyKind::Policy;
            self.world.broker.put_policy(put, "/", &name, &request, self.now()).unwrap();
        } else {
            // There may be none.
            drop(self.world.broker.delete_policy(PolicyKind::Policy, "/", &name, self.now()));
        }
        self.naive.put_policy(at, overlay);
    }

    fn declare_anew(&mut self, at: usize, config: &Config) {
        // A policy may not fit the other type.
        self.policy(at, None);
        let (broker, who) = (&self.world.broker, &self.world.who);
        let name = format!("q{at}");
        let (dropped, _) = broker.delete_queue(who, &name, false, false, self.now()).unwrap();
        assert_eq!(dropped, self.naive.present.queues[at].ready.len());
        let id = self.declare(at, config);
        self.naive.present.queues[at] = Queue::new(id, config.clone());
        (0..CONSUMERS).for_each(|consumer| self.subscribe(at, consumer));
    }

    fn toggle(&mut self, at: usize, consumer: usize) {
        if !self.naive.present.queues[at].has_consumer(consumer) {
            return self.subscribe(at, consumer);
        }
        let id = self.eaters[at][consumer].1;
        self.world.broker.cancel(&self.queue(at), id, self.now());
        self.naive.present.queues[at].cancel(consumer);
    }

    /// The states of the naive broker of which a crash behind so many groups may leave one.
    fn candidates(&self, groups: usize) -> (usize, Vec<Naive>) {
        let at = self.past.iter().position(|past| past.groups >= groups).expect("it was seen");
        let (past, before) = (&self.past[at], at.checked_sub(1).map(|at| &self.past[at]));
        let last = |past: &Past| past.states.last().cloned();
        if past.groups == groups || past.is_whole {
            return (past.groups, last(past).into_iter().collect());
        }
        let before = before.and_then(last);
        (groups, before.into_iter().chain(past.states.iter().cloned()).collect())
    }

    fn crash(&mut self, choice: usize) {
        let oldest = self.past[0].groups;
        let groups = oldest + choice % (self.world.log.len() - oldest + 1);
        let (groups, candidates) = self.candidates(groups);
        let (log, recovered) = self.world.log.crash(groups);
        let fits = |naive: &&Naive| {
            let mut queues = naive.queues.iter().filter(|queue| queue.config.durable);
            queues.all(|queue| {
                let kept = log.contents(QueueId(queue.id));
                let durable = queue.durable();
                let same = kept.iter().zip(durable.values()).all(|(kept, one)| {
                    let (seq, level, message, returns) = kept;
                    (seq.0, *level, *returns) == (one.seq, one.level, one.returns)
                        && number(message) == one.sent.number
                });
                same && kept.len() == durable.len()
            })
        };
        let found = candidates.iter().find(fits);
        let mut naive = found.unwrap_or_else(|| panic!("no state fits {groups}")).clone();
        let logged: Vec<(u64, u64)> = naive
            .queues
            .iter()
            .map(|queue| {
                let mut queues = recovered.queues.iter();
                let kept = queues.find(|kept| kept.queue.0 == queue.id);
                kept.map_or((0, 0), |kept| (kept.last_seq.0, kept.delivered.0))
            })
            .collect();
        // If much is overdue, the clock is put back: what happens together has no order.
        let until = naive.now;
        naive.now = naive.start_after_crash();
        let now = Timestamp(naive.now);
        naive.crash(&logged);
        let broker = Broker::recover(log.clone(), SEED, recovered, now);
        self.world = World::with(broker, log, now);
        self.naive = History { present: naive, states: Vec::new() };
        for at in 0..QUEUES {
            if !self.naive.present.queues[at].config.durable {
                let config = self.naive.present.queues[at].config.clone();
                let id = self.declare(at, &config);
                self.naive.present.queues[at].id = id;
            }
        }
        self.load_whole();
        self.go_to(now.0);
        self.pass(until - now.0);
        for at in 0..QUEUES {
            (0..CONSUMERS).for_each(|consumer| self.subscribe(at, consumer));
        }
        self.check();
        self.past.clear();
        self.remember(true);
    }

    fn apply(&mut self, step: &Step) {
        self.operations += 1;
        let mut is_whole = false;
        match step {
            Step::Publish { to, and, words, room } => {
                self.operations += words.len() as u64 - 1;
                let mut queues = vec![*to];
                queues.extend(and.filter(|and| and != to));
                self.publish(&queues, words, *room);
            }
            Step::Deliver { queue, consumer, room } => {
                self.open(*queue, *consumer, *room);
                self.close(*queue, *consumer);
            }
            Step::Get { queue, no_ack } => drop(self.get(*queue, *no_ack)),
            Step::Settle { queue, indices, how } => {
                self.operations += indices.len() as u64 - 1;
                self.settle(*queue, indices, *how);
            }
            Step::Purge(at) => {
                let name = format!("q{at}");
                let (broker, who) = (&self.world.broker, &self.world.who);
                let purged = broker.purge_queue(who, &name, self.now()).unwrap().0;
                assert_eq!(purged, self.naive.purge(*at));
            }
            Step::PageOut { queue, keep } => {
                let queue = self.queue(*queue);
                let mut batch = queue.lock(self.world.broker.context(self.now()));
                batch.page_out(*keep);
                self.world.broker.finished(&queue, batch.finish(), self.now());
            }
            Step::Load => drop(self.world.broker.load_next(self.now())),
            Step::Budget(bytes) => self.world.broker.set_memory_budget(*bytes),
            Step::SpillRoom(room) => self.world.log.set_spill_room(*room),
            Step::Pass(millis) => self.pass(*millis),
            Step::Toggle { queue, consumer } => self.toggle(*queue, *consumer),
            Step::Policy { queue, overlay } => {
                is_whole = true;
                self.policy(*queue, overlay.clone());
            }
            Step::Declare { queue, config } => {
                is_whole = true;
                self.declare_anew(*queue, config);
            }
            Step::Crash(choice) => return self.crash(*choice),
        }
        self.ring();
        self.naive.tick();
        self.check();
        self.remember(is_whole);
    }

    fn check(&self) {
        let mut durable = 0;
        for (at, expected) in self.naive.present.queues.iter().enumerate() {
            let queue = self.queue(at);
            let counts = queue.counts();
            assert_eq!((counts.leaving, counts.unreadable), (expected.waiting.len(), 0), "q{at}");
            assert_eq!(counts.delayed, expected.resting.len(), "q{at}");
            let (ready, out) = (expected.ready.len(), expected.out.len());
            assert_eq!((counts.ready, counts.unacked), (ready, out), "q{at}");
            queue.check();
            let batch = queue.lock(self.world.broker.context(self.now()));
            let seen = batch.look(batch.start(), usize::MAX);
            let places = seen.iter().map(|seen| (seen.at.level, seen.at.seq.0, seen.redelivered));
            let wanted = expected.ready.iter().map(|one| (one.level, one.seq, one.was_out()));
            assert_eq!(places.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "q{at}");
            for (seen, one) in seen.iter().zip(&expected.ready) {
                if let Some((message, expires_at)) = &seen.message {
                    assert_eq!((number(message), expires_at.0), (one.sent.number, one.expires_at));
                }
            }
            durable += expected.durable().len();
        }
        assert_eq!(self.world.log.messages(), durable);
    }

    /// Takes all that is left: after that nothing is anywhere.
    fn drain(&mut self) {
        for at in 0..QUEUES {
            self.policy(at, None);
            self.settle(at, &(0..1000).collect::<Vec<_>>(), Settlement::Ack);
        }
        // What nobody takes would wait for ever.
        for at in 0..QUEUES {
            while self.get(at, true) {}
            self.declare_anew(at, &Config::default());
            self.check();
        }
        assert!(self.naive.present.queues.iter().all(|queue| queue.waiting.is_empty()));
        assert_eq!((self.world.log.messages(), self.world.log.spilled()), (0, 0));
        assert_eq!(self.world.broker.memory_bytes(), 0);
        assert!(self.naive.next_event().0 == NEVER);
    }
}

#[test]
fn a_model_of_several_queues_agrees() {
    let setting = std::env::var("LEVERET_MODEL_OPERATIONS").ok();
    let wanted: u64 = setting.map_or(20_000, |number| number.parse().expect("a number"));
    let played = AtomicU64::new(0);
    let configs = prop::collection::vec(config(), QUEUES);
    let input = (configs, prop::collection::vec(step(), 1..150));
    while played.load(Ordering::SeqCst) < wanted {
        let settings = RunnerConfig {
            cases: 50,
            max_shrink_iters: 20_000,
            failure_persistence: None,
            ..Default::default()
        };
        let found = TestRunner::new(settings).run(&input, |(configs, steps)| {
            let mut both = Both::new(&configs);
            steps.iter().for_each(|step| both.apply(step));
            both.drain();
            played.fetch_add(both.operations, Ordering::SeqCst);
            Ok(())
        });
        if let Err(error) = found {
            panic!("{error}");
        }
    }
}
