//! The broker on a log that keeps messages: what is appended together, what a restart gives back,
//! and who is read to.

mod access;
mod browsing;
mod dead_letters;
mod delayed;
mod exchange_types;
mod model;
mod once;
mod parameters;
mod policies;
mod retries;

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::keeping_log::KeepingLog;
use crate::log::{Recovered, RecoveredQueue, SeqRange};
use crate::message::{FieldTable, FieldValue, Message, MessageBuilder};
use crate::queue::{ConsumerSpec, Delivery, Outlet, Settlement};
use crate::routing::Destination;

const SEED: [u8; 32] = [7; 32];

#[derive(Default)]
struct Sink {
    room: AtomicUsize,
    got: Mutex<Vec<(String, bool)>>,
}

impl Sink {
    fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self { room: AtomicUsize::new(room), ..Self::default() })
    }

    fn take(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}

impl Outlet for Sink {
    fn reserve(&self, _bytes: usize) -> bool {
        let take = |room: usize| room.checked_sub(1);
        self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        let seen = deliveries.drain(..).map(|one| (text_of(&one.message), one.redelivered));
        self.got.lock().unwrap().extend(seen);
    }

    fn cancelled(&self, _consumer: ConsumerId) {}
}

fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).trim_end().to_owned()
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.as_bytes().to_vec())
}

/// A persistent message, or with `expiration_ms` one that expires too.
fn persistent(body: &str, expiration_ms: Option<u64>) -> Message {
    let mut properties = vec![0x10, 0x00, 2];
    if let Some(millis) = expiration_ms {
        let digits = millis.to_string();
        properties = vec![0x11, 0x00, 2, digits.len() as u8];
        properties.extend(digits.bytes());
    }
    let size = body.len() as u64;
    let mut builder = MessageBuilder::new("", "q", &properties, size, Some("guest"), None).unwrap();
    builder.push(body.as_bytes()).unwrap();
    builder.finish().0
}

/// A body of 20 KiB that begins with a word.
fn large(word: &str) -> String {
    format!("{word:<20480}")
}

struct World {
    broker: Broker,
    log: Arc<KeepingLog>,
    who: Principal,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let log = KeepingLog::new();
        let broker = Broker::new(log.clone(), SEED);
        broker.add_vhost("/");
        broker.set_password_cost(crate::auth::Cost::LEAST);
        broker.put_administrator("guest", "secret", "/").unwrap();
        Self::with(broker, log, Timestamp(1_000_000))
    }

    fn with(broker: Broker, log: Arc<KeepingLog>, now: Timestamp) -> Self {
        let connection = broker.new_connection();
        let who = Principal::new(connection).in_vhost("guest", "/");
        Self { broker, log, who, now }
    }

    /// The world after a crash at this moment.
    fn crashed(&self) -> Self {
        let (log, recovered) = self.log.crash(self.log.len());
        let broker = Broker::recover(log.clone(), SEED, recovered, self.now);
        Self::with(broker, log, self.now)
    }

    fn declare(&self, name: &str, durable: bool, arguments: &[(&str, FieldValue)]) {
        let table = arguments.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let arguments = FieldTable(table.collect());
        let request =
            QueueRequest { name, durable, exclusive: false, auto_delete: false, arguments };
        self.broker.declare_queue(&self.who, request, self.now).unwrap();
    }

    fn queue(&self, name: &str) -> Arc<QueueHandle> {
        self.broker.find_queue(&self.who, name).unwrap()
    }

    fn exchange(&self, name: &str, durable: bool) {
        let request = ExchangeRequest {
            name,
            kind: "fanout",
            durable,
            auto_delete: false,
            internal: false,
            arguments: FieldTable::default(),
        };
        self.broker.declare_exchange(&self.who, request).unwrap();
    }

    fn bind(&self, source: &str, queue: &str) {
        let destination = Destination::Queue(queue.into());
        let arguments = FieldTable::default();
        let request = BindRequest { source, destination, routing_key: "k", arguments };
        self.broker.bind(&self.who, request, self.now).unwrap();
    }

    fn publish_to(&self, queues: &[&str], messages: &[Message]) -> Position {
        self.flush(queues, messages).position
    }

    fn flush(&self, queues: &[&str], messages: &[Message]) -> Flushed {
        let mut outgoing = Outgoing::default();
        let queues = queues.iter().map(|name| self.queue(name)).collect();
        let route = Route { queues, cacheable: true, memory: None, traffic: None };
        for message in messages {
            outgoing.push(message.clone(), &route, 0);
        }
        self.broker.flush(&mut outgoing, self.now)
    }

    fn publish(&self, queue: &str, bodies: &[&str]) {
        let messages: Vec<_> = bodies.iter().map(|body| persistent(body, None)).collect();
        self.publish_to(&[queue], &messages);
    }

    fn consume(&self, queue: &str, sink: &Arc<Sink>, no_ack: bool) {
        let spec = ConsumerSpec {
            id: self.broker.new_consumer(),
            outlet: sink.clone(),
            limit: Arc::default(),
            prefetch: 0,
            no_ack,
            exclusive: false,
            priority: 0,
        };
        self.broker.consume(&self.queue(queue), spec, self.now).unwrap();
    }

    fn get(&self, queue: &str) -> Option<String> {
        let got = self.broker.get(&self.queue(queue), true, self.now)?;
        Some(text_of(&got.message))
    }

    fn load_all(&self) -> usize {
        (0..1000).take_while(|_| self.broker.load_next(self.now)).count()
    }
}

fn kinds(group: &[Entry]) -> Vec<&'static str> {
    let kind = |entry: &Entry| match entry {
        Entry::Define(_) => "define",
        Entry::Publish { .. } => "publish",
        Entry::Settle { .. } => "settle",
        Entry::Return { .. } => "return",
        Entry::Delivered { .. } => "delivered",
        Entry::Drop { .. } => "drop",
    };
    group.iter().map(kind).collect()
}

#[test]
fn what_leaves_in_the_batch_in_which_it_came_is_not_logged() {
    let world = World::new();
    world.declare("taken", true, &[]);
    world.declare("short", true, &[("x-max-length", FieldValue::I32(1))]);
    let sink = Sink::with_room(2);
    world.consume("taken", &sink, true);
    let before = world.log.len();
    let both = [persistent("a", None), persistent("b", None)];
    assert_eq!(world.publish_to(&["taken"], &both), Position::START);
    assert_eq!(sink.take().len(), 2);
    assert_eq!(world.log.len(), before, "nothing to be durable");
    world.publish("taken", &["c"]);
    world.publish("short", &["d", "e", "f"]);
    let groups: Vec<_> = world.log.groups(before).iter().map(|group| kinds(group)).collect();
    assert_eq!(groups, [vec!["publish", "delivered"], vec!["publish"]]);
    assert_eq!(world.get("short").unwrap(), "f");
}

#[test]
fn deliveries_are_logged_once_a_batch() {
    let world = World::new();
    world.declare("q", true, &[]);
    let sink = Sink::with_room(100);
    world.consume("q", &sink, false);
    let before = world.log.len();
    world.publish("q", &["a", "b", "c"]);
    assert_eq!(kinds(&world.log.groups(before)[0]), ["publish", "publish", "publish", "delivered"]);
    world.broker.settle(&world.queue("q"), &[crate::ids::Seq(2)], Settlement::Requeue, world.now);
    let group = &world.log.groups(before)[1];
    assert_eq!(kinds(group), ["return"], "it is known that this one was out");
}

#[test]
fn a_deleted_queue_goes_with_its_messages_at_once() {
    let world = World::new();
    for name in ["deleted", "leased"] {
        world.declare(name, true, &[("x-expires", FieldValue::I32(100))]);
        world.publish(name, &["a"]);
    }
    let before = world.log.len();
    let gone = world.queue("deleted");
    world.broker.delete_queue(&world.who, "deleted", false, false, world.now).unwrap();
    world.broker.tick(world.now.after(100));
    let groups: Vec<_> = world.log.groups(before).iter().map(|group| kinds(group)).collect();
    assert_eq!(groups, [["drop", "define"], ["drop", "define"]]);
    let mut outgoing = Outgoing::default();
    let route = Route { queues: vec![gone], cacheable: true, memory: None, traffic: None };
    outgoing.push(persistent("late", None), &route, 0);
    let position = world.broker.flush(&mut outgoing, world.now).position;
    assert_eq!(position, Position(before as u64 + 1), "not confirmed before the queue is gone");
    assert_eq!(world.log.messages(), 0);
}

#[test]
fn a_message_for_several_durable_queues_is_one_group() {
    let world = World::new();
    world.declare("b", true, &[]);
    world.declare("a", true, &[]);
    world.declare("t", false, &[]);
    let before = world.log.len();
    world.publish_to(&["a", "t", "b"], &[persistent("x", None)]);
    let groups = world.log.groups(before);
    assert_eq!(groups.len(), 1);
    let [Entry::Publish { message: one, .. }, Entry::Publish { message: other, .. }] =
        &groups[0][..]
    else {
        panic!("{groups:?}");
    };
    assert_eq!(one.block().as_ptr(), other.block().as_ptr(), "the same memory");
    for name in ["a", "t", "b"] {
        assert_eq!(world.get(name).unwrap(), "x");
    }
}

#[test]
fn definitions_rebuild_what_is_durable() {
    let world = World::new();
    world.broker.add_vhost("other");
    for durable in [true, false] {
        let exchange = format!("exchange {durable}");
        world.exchange(&exchange, durable);
        world.declare(&format!("queue {durable}"), durable, &[]);
        for to in [true, false] {
            if durable || !to {
                world.declare(&format!("queue {to}"), to, &[]);
                world.bind(&exchange, &format!("queue {to}"));
            }
        }
    }
    world.bind("amq.fanout", "queue true");
    let commands = world.broker.definitions();
    let after = Broker::recover(
        KeepingLog::new(),
        SEED,
        Recovered { commands: commands.clone(), ..Recovered::default() },
        world.now,
    );
    assert_eq!(after.definitions(), commands);
    assert!(after.has_users() && after.has_vhosts());
    assert!(after.authenticate("guest", b"secret").is_some());
    let topology = after.topology();
    let vhost = &topology.vhosts["/"];
    assert!(vhost.exchange("exchange true").is_ok() && vhost.exchange("exchange false").is_err());
    assert!(vhost.queue("queue true").is_ok() && vhost.queue("queue false").is_err());
    assert_eq!(vhost.incoming.len(), 2, "from the durable exchange and from the predeclared one");
    let replayed = world.crashed().broker;
    assert_eq!(replayed.definitions(), commands, "the log says the same");
    assert!(!Broker::new(KeepingLog::new(), SEED).has_vhosts());
}

#[test]
fn a_restart_gives_messages_back() {
    let world = World::new();
    world.declare("q", true, &[("x-max-priority", FieldValue::I32(3))]);
    world.publish("q", &["a", "b", "c"]);
    let queue = world.queue("q");
    let got = world.broker.get(&queue, false, world.now).unwrap();
    world.broker.settle(&queue, &[got.seq], Settlement::Requeue, world.now);
    world.broker.get(&queue, false, world.now).unwrap();
    world.broker.get(&queue, false, world.now).unwrap();
    let after = world.crashed();
    assert_eq!(after.queue("q").counts().ready, 3);
    let sink = Sink::with_room(100);
    after.consume("q", &sink, false);
    assert!(sink.take().is_empty(), "a consumer does not wait for the disk");
    after.load_all();
    // What is in a queue that is read may have been delivered: the crash has taken the knowledge.
    let expected = [("a", true), ("b", true), ("c", true)];
    assert_eq!(sink.take(), expected.map(|(body, again)| (body.to_owned(), again)));
    assert!(!after.broker.load_next(after.now));
    after.publish("q", &["d"]);
    assert_eq!(sink.take(), [("d".to_owned(), false)]);
}

#[test]
fn after_a_stop_in_good_order_only_what_was_out_is_redelivered() {
    let world = World::new();
    world.declare("q", true, &[]);
    world.publish("q", &["a", "b", "c"]);
    let queue = world.queue("q");
    let got = world.broker.get(&queue, false, world.now).unwrap();
    assert!(got.position > Position::START, "the log must know of it first");
    world.broker.settle(&queue, &[got.seq], Settlement::Requeue, world.now);
    world.broker.settle_marks(world.now);
    let after = world.crashed();
    let sink = Sink::with_room(100);
    after.consume("q", &sink, false);
    after.load_all();
    let expected = [("a", true), ("b", false), ("c", false)];
    assert_eq!(sink.take(), expected.map(|(body, again)| (body.to_owned(), again)));
}

#[test]
fn a_publisher_is_told_when_consumers_wait_for_the_disk() {
    let world = World::new();
    world.declare("q", true, &[]);
    world.publish("q", &["a", "b"]);
    let after = world.crashed();
    let one = [persistent("c", None)];
    assert!(!after.flush(&["q"], &one).starved, "nobody wants what is away");
    let sink = Sink::with_room(100);
    after.consume("q", &sink, false);
    assert!(after.flush(&["q"], &one).starved, "the consumer could take what is away");
    after.load_all();
    assert!(!after.flush(&["q"], &one).starved, "all was read back");
    let full = Sink::with_room(0);
    let again = world.crashed();
    again.consume("q", &full, false);
    again.load_all();
    assert!(!again.flush(&["q"], &one).starved, "a consumer without room is no reason");
}

#[test]
fn a_restart_begins_behind_every_identity() {
    let world = World::new();
    world.declare("q", true, &[]);
    let used = world.queue("q").spec.id;
    let queue = RecoveredQueue { queue: QueueId(900), ..RecoveredQueue::default() };
    let (log, mut recovered) = world.log.crash(world.log.len());
    recovered.queues.push(queue);
    recovered.last_queue = QueueId(500);
    let broker = Broker::recover(log, SEED, recovered, world.now);
    assert_eq!(broker.orphans(), [QueueId(900)]);
    assert!(broker.new_connection().0 > 900);
    let alone = world.crashed();
    assert!(alone.who.connection.0 > used.0);
}

#[test]
fn leases_start_anew_and_old_backlogs_expire_without_a_consumer() {
    let world = World::new();
    world.declare("leased", true, &[("x-expires", FieldValue::I32(100))]);
    world.declare("dead", true, &[]);
    let dead_letters =
        [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    world.declare("q", true, &dead_letters);
    let bodies: Vec<String> = (0..20).map(|index| large(&format!("{index}"))).collect();
    let messages: Vec<_> = bodies.iter().map(|body| persistent(body, Some(500))).collect();
    world.publish_to(&["q"], &messages);
    let mut after = world.crashed();
    assert_eq!(after.broker.next_alarm(), Some(after.now.after(100)), "of the lease");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    after.broker.on_load_wanted(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the queue with messages asked before");
    assert_eq!(after.load_all(), 1, "the head is enough");
    after.now = after.now.after(500);
    after.broker.tick(after.now);
    after.load_all();
    assert_eq!(after.queue("q").counts().ready, 0);
    let died: Vec<_> = std::iter::from_fn(|| after.get("dead")).collect();
    assert_eq!(died, (0..20).map(|index| index.to_string()).collect::<Vec<_>>());
    assert_eq!(after.log.messages(), 0);
    assert!(after.broker.find_queue(&after.who, "leased").is_err());
}

#[test]
fn scarce_memory_leaves_messages_to_the_log() {
    let world = World::new();
    world.declare("q", true, &[]);
    let bodies: Vec<String> = (0..20).map(|index| large(&format!("{index}"))).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    world.publish("q", &bodies);
    let full = world.broker.memory_bytes();
    assert!(full > 20 * 20_000);
    world.broker.page_out(world.now);
    let paged = world.broker.memory_bytes();
    assert!((20_000..100_000).contains(&paged), "{paged}");
    world.broker.set_memory_budget(paged);
    world.publish("q", &bodies);
    assert!(world.broker.memory_bytes() < paged + 1000);
    for _ in 0..2 {
        for body in &bodies {
            assert_eq!(world.get("q").as_deref(), Some(body.trim_end()));
        }
    }
    assert_eq!((world.broker.memory_bytes(), world.log.messages()), (0, 0));
}

#[test]
fn the_dead_are_read_back() {
    let world = World::new();
    world.declare("dead", false, &[]);
    let arguments = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("dead")),
        ("x-max-length", FieldValue::I32(4)),
    ];
    world.declare("q", true, &arguments);
    world.broker.set_memory_budget(1);
    let queue = world.queue("q");
    let bodies: Vec<String> = (0..4).map(|index| large(&format!("{index}"))).collect();
    world.publish("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let out: Vec<_> =
        (0..2).map(|_| world.broker.get(&queue, false, world.now).unwrap().seq).collect();
    world.broker.page_out(world.now);
    world.log.damage(out[1]);
    world.broker.settle(&queue, &out, Settlement::Reject, world.now);
    assert_eq!(world.get("dead").as_deref(), Some("0"));
    assert_eq!(world.get("dead"), None);
    assert_eq!(queue.counts().unreadable, 1);
    assert_eq!(world.log.messages(), 3, "what cannot be read stays in the log");
    let more: Vec<String> = (4..9).map(|index| large(&format!("{index}"))).collect();
    world.publish("q", &more.iter().map(String::as_str).collect::<Vec<_>>());
    let died: Vec<_> = std::iter::from_fn(|| world.get("dead")).collect();
    assert_eq!(died, ["2", "3", "4"], "of seven, four fit");
}

#[test]
fn what_was_out_and_could_not_be_read_comes_back_as_redelivered() {
    let world = World::new();
    world.declare("q", true, &[("x-dead-letter-exchange", text(""))]);
    world.broker.set_memory_budget(1);
    let queue = world.queue("q");
    world.publish("q", &[&large("a")]);
    let out = world.broker.get(&queue, false, world.now).unwrap().seq;
    world.broker.page_out(world.now);
    world.publish("q", &[&large("b"), &large("c"), &large("d"), &large("e")]);
    world.broker.page_out(world.now);
    world.log.damage(out);
    world.broker.settle(&queue, &[out], Settlement::Reject, world.now);
    assert_eq!(queue.counts().unreadable, 1);
    world.broker.settle_marks(world.now);
    let after = world.crashed();
    let again = after.broker.get(&after.queue("q"), false, after.now).unwrap();
    assert_eq!((again.seq, again.redelivered), (out, true));
}

#[test]
fn what_cannot_be_read_is_passed_over_and_stays() {
    let world = World::new();
    world.declare("q", true, &[]);
    world.publish("q", &["a", "b", "c", "d", "e"]);
    let after = world.crashed();
    let queue = after.queue("q");
    let [b, e] = [2, 5].map(crate::ids::Seq);
    after.log.damage(b);
    after.log.lose(queue.spec.id, e);
    let sink = Sink::with_room(100);
    after.consume("q", &sink, true);
    after.load_all();
    let bodies: Vec<String> = sink.take().into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, ["a", "c", "d"]);
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.unreadable), (0, 2));
    assert_eq!(after.log.messages(), 1, "the damaged one");
}

#[test]
fn queues_are_read_to_in_turns() {
    let world = World::new();
    let bodies: Vec<String> = (0..150).map(|index| large(&format!("{index}"))).collect();
    for name in ["a", "b"] {
        world.declare(name, true, &[]);
        world.publish(name, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let after = world.crashed();
    let sinks = ["a", "b"].map(|name| {
        let sink = Sink::with_room(1000);
        after.consume(name, &sink, true);
        sink
    });
    let mut turns = Vec::new();
    while after.broker.load_next(after.now) {
        let got = sinks.each_ref().map(|sink| sink.take().len());
        turns.push(got.map(|count| count > 0));
        assert!(got.iter().all(|count| *count < 60), "a megabyte at a time");
    }
    assert!(turns.len() >= 6);
    for (index, turn) in turns.iter().take(6).enumerate() {
        assert_eq!(*turn, [index % 2 == 0, index % 2 == 1]);
    }
}

#[test]
fn a_level_that_the_queue_no_longer_has_is_its_highest() {
    let world = World::new();
    world.declare("q", true, &[("x-max-priority", FieldValue::I32(1))]);
    let id = world.queue("q").spec.id;
    let (log, mut recovered) = world.log.crash(world.log.len());
    let one = |seq| vec![SeqRange::one(crate::ids::Seq(seq))];
    recovered.queues = vec![RecoveredQueue {
        queue: id,
        last_seq: crate::ids::Seq(9),
        levels: vec![(0, one(5)), (1, one(7)), (4, one(2))],
        ..RecoveredQueue::default()
    }];
    let after = World::with(Broker::recover(log, SEED, recovered, world.now), world.log, world.now);
    assert_eq!(after.queue("q").counts().ready, 3);
    assert_eq!(after.get("q"), None, "the log has none of them");
    assert_eq!(after.queue("q").counts().unreadable, 3);
}

#[test]
fn many_that_are_out_are_not_in_memory_and_die_in_order() {
    let world = World::new();
    world.declare("dead", false, &[]);
    let dead_letters =
        [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    world.declare("q", true, &dead_letters);
    world.broker.set_memory_budget(1);
    let queue = world.queue("q");
    let bodies: Vec<String> = (0..40).map(|index| large(&format!("{index}"))).collect();
    world.publish("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let get = || world.broker.get(&queue, false, world.now);
    let out: Vec<_> = std::iter::from_fn(get).map(|got| got.seq).collect();
    assert_eq!(out.len(), 40);
    assert!(world.broker.memory_bytes() < 100_000, "{}", world.broker.memory_bytes());
    world.broker.settle(&queue, &out, Settlement::Reject, world.now);
    let died: Vec<_> = std::iter::from_fn(|| world.get("dead")).collect();
    assert_eq!(died, (0..40).map(|index| index.to_string()).collect::<Vec<_>>());
    assert_eq!((world.log.messages(), world.log.spilled()), (0, 0));
}

#[test]
fn how_often_a_message_came_back_is_not_forgotten() {
    let world = World::new();
    let limit = [("x-queue-type", text("quorum")), ("x-delivery-limit", FieldValue::I32(3))];
    world.declare("q", true, &limit);
    let (a, b) = (large("a"), large("b"));
    world.publish("q", &[&a, &b]);
    let cycle = |world: &World| {
        let queue = world.queue("q");
        let get = || world.broker.get(&queue, false, world.now);
        let out: Vec<_> = std::iter::from_fn(get).map(|got| got.seq).collect();
        world.broker.settle(&queue, &out, Settlement::Requeue, world.now);
        queue.counts().ready
    };
    assert_eq!([cycle(&world), cycle(&world)], [2, 2]);
    let after = world.crashed();
    // Both come into memory, the second leaves it again.
    let queue = after.queue("q");
    let waits = Histogram::default();
    let context = Context { now: after.now, log: &*after.log, window: usize::MAX, waits: &waits };
    after.consume("q", &Sink::with_room(0), false);
    after.load_all();
    let mut batch = queue.lock(context);
    assert!(batch.page_out(1));
    drop(batch);
    assert_eq!([cycle(&after), cycle(&after)], [2, 0]);
}

#[test]
fn nobody_waits_for_ever_when_several_threads_read() {
    const MESSAGES: usize = 1500;
    let world = World::new();
    world.declare("q", true, &[]);
    world.broker.set_memory_budget(1);
    let body = |index: usize| format!("{index:<1024}");
    let publish = |index: usize| world.publish("q", &[&body(index)]);
    (0..MESSAGES / 3).for_each(publish);
    let sink = Sink::with_room(usize::MAX);
    world.consume("q", &sink, true);
    let published = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (MESSAGES / 3..MESSAGES).for_each(publish);
            published.store(true, Ordering::SeqCst);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                // Who finds nothing to do after the last publish is not needed: another one that is
                // at it sees to what it asks for.
                loop {
                    let last = published.load(Ordering::SeqCst);
                    if !world.broker.load_next(world.now) && last {
                        break;
                    }
                    std::thread::yield_now();
                }
            });
        }
    });
    let got: Vec<String> = sink.take().into_iter().map(|(body, _)| body).collect();
    assert_eq!(got, (0..MESSAGES).map(|index| index.to_string()).collect::<Vec<_>>());
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}
