//! Queues with consumers, driven through the broker with a fake clock and fake connections.

mod keeping_up;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::broker::{Broker, Outgoing, Principal, QueueRequest, Route, Transaction};
use crate::error::RefusalKind;
use crate::ids::{ConsumerId, Seq};
use crate::log::{Entry, Log, Position, Wake};
use crate::message::{FieldTable, FieldValue, Message, MessageBuilder};

/// A connection with room for so many deliveries.
#[derive(Default)]
struct Sink {
    room: AtomicUsize,
    got: Mutex<Vec<(u64, String, bool)>>,
    seqs: Mutex<Vec<Seq>>,
    cancelled: Mutex<Vec<ConsumerId>>,
}

impl Sink {
    fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self { room: AtomicUsize::new(room), ..Self::default() })
    }

    /// What came since the last call: consumer and body.
    fn take(&self) -> Vec<(u64, String)> {
        let got = std::mem::take(&mut *self.got.lock().unwrap());
        got.into_iter().map(|(consumer, body, _)| (consumer, body)).collect()
    }

    fn bodies(&self) -> Vec<String> {
        self.take().into_iter().map(|(_, body)| body).collect()
    }

    fn take_seqs(&self) -> Vec<Seq> {
        std::mem::take(&mut *self.seqs.lock().unwrap())
    }
}

impl Outlet for Sink {
    fn reserve(&self, _bytes: usize) -> bool {
        let take = |room: usize| room.checked_sub(1);
        self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        for delivery in deliveries.drain(..) {
            let body = String::from_utf8_lossy(delivery.message.body()).into_owned();
            self.got.lock().unwrap().push((delivery.consumer.0, body, delivery.redelivered));
            self.seqs.lock().unwrap().push(delivery.seq);
        }
    }

    fn cancelled(&self, consumer: ConsumerId) {
        self.cancelled.lock().unwrap().push(consumer);
    }
}

/// A log that remembers.
#[derive(Default)]
struct MemoryLog(Mutex<Vec<Vec<Entry>>>);

impl Log for MemoryLog {
    fn append(&self, entries: &[Entry]) -> Position {
        let mut groups = self.0.lock().unwrap();
        groups.push(entries.to_vec());
        Position(groups.len() as u64)
    }

    fn durable(&self) -> Position {
        Position(u64::MAX)
    }

    fn notify(&self, _position: Position, waker: Arc<dyn Wake>) {
        waker.wake();
    }
}

struct World {
    broker: Broker,
    log: Arc<MemoryLog>,
    who: Principal,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let log = Arc::new(MemoryLog::default());
        let broker = Broker::new(log.clone(), [7; 32]);
        broker.add_vhost("/");
        broker.set_password_cost(crate::auth::Cost::LEAST);
        broker.put_administrator("guest", "guest", "/").unwrap();
        let connection = broker.new_connection();
        let who = Principal::new(connection).in_vhost("guest", "/");
        Self { broker, log, who, now: Timestamp(1_000_000) }
    }

    fn queue(&self, name: &str, arguments: &[(&str, FieldValue)]) -> Arc<QueueHandle> {
        self.declare(name, false, false, arguments)
    }

    fn declare(
        &self,
        name: &str,
        durable: bool,
        auto_delete: bool,
        arguments: &[(&str, FieldValue)],
    ) -> Arc<QueueHandle> {
        let table = arguments.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let arguments = FieldTable(table.collect());
        let request = QueueRequest { name, durable, exclusive: false, auto_delete, arguments };
        self.broker.declare_queue(&self.who, request, self.now).unwrap().created.unwrap()
    }

    fn exists(&self, name: &str) -> bool {
        self.broker.find_queue(&self.who, name).is_ok()
    }

    fn publish(&self, queue: &Arc<QueueHandle>, bodies: &[&str]) -> Vec<u64> {
        let mut outgoing = Outgoing::default();
        let route =
            Route { queues: vec![Arc::clone(queue)], cacheable: true, memory: None, traffic: None };
        for (mark, body) in bodies.iter().enumerate() {
            outgoing.push(message(body, &[0, 0]), &route, mark as u64);
        }
        self.broker.flush(&mut outgoing, self.now).rejected
    }

    fn consume(&self, queue: &Arc<QueueHandle>, sink: &Arc<Sink>, prefetch: u32) -> ConsumerId {
        self.consume_as(queue, sink, |spec| spec.prefetch = prefetch).unwrap()
    }

    fn consume_as(
        &self,
        queue: &Arc<QueueHandle>,
        sink: &Arc<Sink>,
        change: impl FnOnce(&mut ConsumerSpec),
    ) -> Result<ConsumerId, Refusal> {
        let id = self.broker.new_consumer();
        let mut spec = ConsumerSpec {
            id,
            outlet: sink.clone(),
            limit: Arc::default(),
            prefetch: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
        };
        change(&mut spec);
        self.broker.consume(queue, spec, self.now)?;
        Ok(id)
    }

    fn settle(&self, queue: &Arc<QueueHandle>, seqs: &[Seq], how: Settlement) {
        self.broker.settle(queue, seqs, how, self.now);
    }

    fn get(&self, queue: &Arc<QueueHandle>) -> Option<String> {
        let got = self.broker.get(queue, true, self.now)?;
        Some(String::from_utf8_lossy(got.message.body()).into_owned())
    }

    fn drain(&self, queue: &Arc<QueueHandle>) -> Vec<String> {
        std::iter::from_fn(|| self.get(queue)).collect()
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(millis);
        self.broker.tick(self.now);
    }
}

fn message(body: &str, properties: &[u8]) -> Message {
    let size = body.len() as u64;
    let mut builder =
        MessageBuilder::new("x", "key", properties, size, Some("guest"), None).unwrap();
    builder.push(body.as_bytes()).unwrap();
    builder.finish().0
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.as_bytes().to_vec())
}

#[test]
fn consumers_take_turns_within_their_prefetch() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(100);
    let one = world.consume(&queue, &sink, 1).0;
    let two = world.consume(&queue, &sink, 2).0;
    world.publish(&queue, &["a", "b", "c", "d"]);
    let expected = [(one, "a"), (two, "b"), (two, "c")].map(|(id, body)| (id, body.to_owned()));
    assert_eq!(sink.take(), expected);
    let seqs = sink.take_seqs();
    world.settle(&queue, &seqs[..1], Settlement::Ack);
    assert_eq!(sink.take(), [(one, "d".to_owned())]);
}

#[test]
fn a_higher_priority_gets_everything_while_it_has_room() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let (low, high) = (Sink::with_room(100), Sink::with_room(2));
    world.consume(&queue, &low, 0);
    world.consume_as(&queue, &high, |spec| spec.priority = 5).unwrap();
    world.publish(&queue, &["a", "b", "c"]);
    assert_eq!(high.bodies(), ["a", "b"]);
    assert_eq!(low.bodies(), ["c"]);
}

#[test]
fn a_connection_without_room_is_passed_over_until_it_resumes() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(1);
    world.consume(&queue, &sink, 0);
    world.publish(&queue, &["a", "b"]);
    assert_eq!(sink.bodies(), ["a"]);
    sink.room.store(5, Ordering::SeqCst);
    world.broker.resume(&queue, world.now);
    assert_eq!(sink.bodies(), ["b"]);
}

#[test]
fn a_channel_limit_is_shared_by_its_consumers() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(100);
    let limit: Arc<ChannelLimit> = Arc::default();
    limit.set(2);
    for _ in 0..2 {
        world.consume_as(&queue, &sink, |spec| spec.limit = Arc::clone(&limit)).unwrap();
    }
    world.publish(&queue, &["a", "b", "c"]);
    assert_eq!(sink.bodies(), ["a", "b"]);
    assert!(limit.release(1), "a queue was refused");
    world.broker.resume(&queue, world.now);
    assert_eq!(sink.bodies(), ["c"]);
    assert!(!limit.release(1), "nobody was refused since");
}

#[test]
fn what_comes_back_is_delivered_again_from_its_place() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(100);
    let consumer = world.consume(&queue, &sink, 0);
    world.publish(&queue, &["a", "b", "c"]);
    let seqs = sink.take_seqs();
    sink.take();
    world.broker.cancel(&queue, consumer, world.now);
    world.publish(&queue, &["d"]);
    world.settle(&queue, &[seqs[2], seqs[0]], Settlement::Requeue);
    world.settle(&queue, &[seqs[1]], Settlement::Ack);
    let got = world.broker.get(&queue, true, world.now).unwrap();
    assert!(got.redelivered);
    assert_eq!(got.remaining, 2);
    assert_eq!(world.drain(&queue), ["c", "d"]);
}

#[test]
fn only_one_consumer_is_active_and_the_next_takes_over() {
    let world = World::new();
    let queue = world.queue("q", &[("x-single-active-consumer", FieldValue::Bool(true))]);
    let (one, two) = (Sink::with_room(100), Sink::with_room(100));
    let first = world.consume(&queue, &one, 0);
    world.consume(&queue, &two, 0);
    world.publish(&queue, &["a", "b"]);
    assert_eq!(one.bodies(), ["a", "b"]);
    world.broker.cancel(&queue, first, world.now);
    world.publish(&queue, &["c"]);
    assert_eq!(two.bodies(), ["c"]);
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(1);
    world.consume_as(&queue, &sink, |spec| spec.exclusive = true).unwrap();
    let refused = world.consume_as(&queue, &sink, |_| {}).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::AccessRefused);
    assert_eq!(refused.text, "queue 'q' in vhost '/' in exclusive use");
}

#[test]
fn a_purge_leaves_what_is_out() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(1);
    world.consume(&queue, &sink, 0);
    world.publish(&queue, &["a", "b", "c"]);
    assert_eq!(world.broker.purge_queue(&world.who, "q", world.now).unwrap().0, 2);
    world.settle(&queue, &sink.take_seqs(), Settlement::Requeue);
    assert_eq!(queue.counts().ready, 1);
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let world = World::new();
    let queue = world.declare("q", false, true, &[]);
    let sink = Sink::with_room(1);
    let one = world.consume(&queue, &sink, 0);
    let two = world.consume(&queue, &sink, 0);
    world.broker.cancel(&queue, one, world.now);
    assert!(world.exists("q"));
    world.broker.cancel(&queue, two, world.now);
    assert!(!world.exists("q"));
}

#[test]
fn a_deleted_queue_tells_its_consumers() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(1);
    let id = world.consume(&queue, &sink, 0);
    world.publish(&queue, &["a", "b"]);
    let deleted = world.broker.delete_queue(&world.who, "q", false, false, world.now).unwrap().0;
    assert_eq!(deleted, 1);
    assert_eq!(*sink.cancelled.lock().unwrap(), [id]);
    assert_eq!(world.broker.memory_bytes(), 0);
}

#[test]
fn a_lease_runs_out_unless_it_is_used() {
    let mut world = World::new();
    let queue = world.queue("q", &[("x-expires", FieldValue::I32(100))]);
    world.pass(80);
    assert!(world.get(&queue).is_none());
    world.pass(80);
    assert!(world.exists("q"), "the get renewed the lease");
    let sink = Sink::with_room(1);
    let consumer = world.consume(&queue, &sink, 0);
    world.pass(500);
    assert!(world.exists("q"), "a consumer holds it");
    world.broker.cancel(&queue, consumer, world.now);
    world.pass(99);
    assert!(world.exists("q"));
    world.pass(2);
    assert!(!world.exists("q"));
}

#[test]
fn messages_expire_and_die_with_a_record_of_it() {
    let mut world = World::new();
    let dead = world.queue("dead", &[]);
    let queue = world.queue(
        "q",
        &[
            ("x-message-ttl", FieldValue::I64(50)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("dead")),
        ],
    );
    world.publish(&queue, &["a"]);
    world.pass(49);
    assert_eq!((queue.counts().ready, dead.counts().ready), (1, 0));
    world.pass(1);
    assert_eq!((queue.counts().ready, dead.counts().ready), (0, 1));
    let got = world.broker.get(&dead, true, world.now).unwrap();
    let headers = got.message.headers().unwrap();
    assert_eq!(headers.get("x-first-death-reason").unwrap().to_owned(), text("expired"));
    let FieldValue::Array(deaths) = headers.get("x-death").unwrap().to_owned() else {
        panic!("x-death is no array");
    };
    let FieldValue::Table(death) = &deaths[0] else { panic!("a death is no table") };
    assert_eq!(death.get("queue"), Some(&text("q")));
    assert_eq!(death.get("count"), Some(&FieldValue::I64(1)));
}

#[test]
fn an_automatic_cycle_ends_and_one_with_a_rejection_goes_on() {
    let mut world = World::new();
    let queue = world.queue(
        "q",
        &[
            ("x-message-ttl", FieldValue::I32(10)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("q")),
        ],
    );
    world.publish(&queue, &["a"]);
    for _ in 0..3 {
        let got = world.broker.get(&queue, false, world.now).unwrap();
        world.settle(&queue, &[got.seq], Settlement::Reject);
        assert_eq!(queue.counts().ready, 1, "a rejected message goes round as often as it likes");
    }
    world.pass(10);
    assert_eq!(queue.counts().ready, 0, "expiry alone would go round for ever");
}

#[test]
fn a_length_limit_drops_the_head_or_refuses_the_tail() {
    let world = World::new();
    let drop = world.queue("drop", &[("x-max-length", FieldValue::I32(2))]);
    assert!(world.publish(&drop, &["a", "b", "c"]).is_empty());
    assert_eq!(world.drain(&drop), ["b", "c"]);
    let refuse = world.queue(
        "refuse",
        &[("x-max-length", FieldValue::I32(2)), ("x-overflow", text("reject-publish"))],
    );
    assert_eq!(world.publish(&refuse, &["a", "b", "c"]), [2]);
    assert_eq!(world.drain(&refuse), ["a", "b"]);
}

#[test]
fn a_transaction_is_one_group_of_the_log() {
    let world = World::new();
    let from = world.declare("from", true, false, &[]);
    let to = world.declare("to", true, false, &[]);
    // Delivery mode 2 alone (bit 12).
    let persistent = |body: &str| message(body, &[0x10, 0x00, 2]);
    let mut outgoing = Outgoing::default();
    let route = |queue: &Arc<QueueHandle>| Route {
        queues: vec![queue.clone()],
        cacheable: true,
        memory: None,
        traffic: None,
    };
    outgoing.push(persistent("in"), &route(&from), 0);
    world.broker.flush(&mut outgoing, world.now);
    let got = world.broker.get(&from, false, world.now).unwrap();
    let before = world.log.0.lock().unwrap().len();
    let mut transaction = Transaction::default();
    transaction.settle(&from, got.seq, Settlement::Ack);
    transaction.publish(&persistent("out"), &route(&to));
    assert!(world.broker.commit(transaction, world.now).1);
    let groups = world.log.0.lock().unwrap();
    assert_eq!(groups.len(), before + 1);
    let kinds: Vec<bool> =
        groups[before].iter().map(|entry| matches!(entry, Entry::Publish { .. })).collect();
    assert_eq!(kinds, [false, true], "the settlement and the publish");
}

#[test]
fn transient_messages_never_reach_the_log() {
    let world = World::new();
    let durable = world.declare("durable", true, false, &[]);
    let before = world.log.0.lock().unwrap().len();
    world.publish(&durable, &["transient in a durable queue"]);
    world.drain(&durable);
    let transient = world.queue("transient", &[]);
    world.publish(&transient, &["a"]);
    assert_eq!(world.log.0.lock().unwrap().len(), before);
}

#[test]
fn too_many_returns_are_a_death() {
    let world = World::new();
    let queue = world.declare(
        "q",
        true,
        false,
        &[("x-queue-type", text("quorum")), ("x-delivery-limit", FieldValue::I32(1))],
    );
    world.publish(&queue, &["a"]);
    for left in [1, 0] {
        let got = world.broker.get(&queue, false, world.now).unwrap();
        world.settle(&queue, &[got.seq], Settlement::Requeue);
        assert_eq!(queue.counts().ready, left);
    }
}

#[test]
fn a_requeue_drops_nothing_where_publishes_are_refused() {
    let world = World::new();
    let queue = world.queue(
        "q",
        &[("x-max-length", FieldValue::I32(1)), ("x-overflow", text("reject-publish"))],
    );
    world.publish(&queue, &["a"]);
    let got = world.broker.get(&queue, false, world.now).unwrap();
    assert!(world.publish(&queue, &["b"]).is_empty());
    world.settle(&queue, &[got.seq], Settlement::Requeue);
    assert_eq!(world.drain(&queue), ["a", "b"]);
}

#[test]
fn a_waiting_consumer_makes_room_before_a_publish_is_refused() {
    let world = World::new();
    let queue = world.queue(
        "q",
        &[("x-max-length", FieldValue::I32(1)), ("x-overflow", text("reject-publish"))],
    );
    let sink = Sink::with_room(100);
    world.consume(&queue, &sink, 0);
    assert!(world.publish(&queue, &["a", "b", "c"]).is_empty());
    assert_eq!(sink.bodies(), ["a", "b", "c"]);
}

#[test]
fn memory_counts_headers_too() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let mut outgoing = Outgoing::default();
    let mut properties = vec![0x20, 0, 0, 0, 0x10, 0x07, 1, b'a', b'S', 0, 0, 0x10, 0];
    properties.extend(std::iter::repeat_n(b'x', 4096));
    let route =
        Route { queues: vec![Arc::clone(&queue)], cacheable: true, memory: None, traffic: None };
    outgoing.push(message("", &properties), &route, 0);
    world.broker.flush(&mut outgoing, world.now);
    assert!(world.broker.memory_bytes() > 4096);
    world.drain(&queue);
    assert_eq!(world.broker.memory_bytes(), 0);
}

#[test]
fn parked_consumers_get_room_in_turns() {
    let world = World::new();
    let queue = world.queue("q", &[]);
    let sink = Sink::with_room(100);
    let limit: Arc<ChannelLimit> = Arc::default();
    limit.set(1);
    let with_limit = |spec: &mut ConsumerSpec| spec.limit = Arc::clone(&limit);
    let one = world.consume_as(&queue, &sink, with_limit).unwrap().0;
    let two = world.consume_as(&queue, &sink, with_limit).unwrap().0;
    world.publish(&queue, &["a", "b", "c", "d"]);
    for _ in 0..3 {
        world.settle(&queue, &sink.take_seqs(), Settlement::Ack);
        limit.release(1);
        world.broker.resume(&queue, world.now);
    }
    let consumers: Vec<u64> = sink.take().into_iter().map(|(consumer, _)| consumer).collect();
    assert_eq!(consumers.iter().filter(|id| **id == one).count(), 2);
    assert_eq!(consumers.iter().filter(|id| **id == two).count(), 2);
}

#[test]
fn dead_letters_that_multiply_come_to_an_end() {
    let world = World::new();
    let request = crate::broker::ExchangeRequest {
        name: "x",
        kind: "fanout",
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::default(),
    };
    world.broker.declare_exchange(&world.who, request).unwrap();
    let mut first = None;
    for index in 0..12 {
        let name = format!("q{index}");
        let queue = world.queue(
            &name,
            &[("x-max-length", FieldValue::I32(0)), ("x-dead-letter-exchange", text("x"))],
        );
        let bind = crate::broker::BindRequest {
            source: "x",
            destination: crate::routing::Destination::Queue(name.as_str().into()),
            routing_key: "",
            arguments: FieldTable::default(),
        };
        world.broker.bind(&world.who, bind, world.now).unwrap();
        first.get_or_insert(queue);
    }
    world.publish(&first.unwrap(), &["a"]);
    assert_eq!(world.broker.memory_bytes(), 0);
}

#[test]
fn what_goes_by_itself_is_in_the_log() {
    let world = World::new();
    let request = crate::broker::ExchangeRequest {
        name: "x",
        kind: "direct",
        durable: true,
        auto_delete: true,
        internal: false,
        arguments: FieldTable::default(),
    };
    world.broker.declare_exchange(&world.who, request).unwrap();
    world.queue("transient", &[]);
    let bind = crate::broker::BindRequest {
        source: "x",
        destination: crate::routing::Destination::Queue("transient".into()),
        routing_key: "k",
        arguments: FieldTable::default(),
    };
    world.broker.bind(&world.who, bind, world.now).unwrap();
    let before = world.log.0.lock().unwrap().len();
    world.broker.delete_queue(&world.who, "transient", false, false, world.now).unwrap();
    let groups = world.log.0.lock().unwrap();
    let deleted = crate::definitions::Command::DeleteExchange("/".into(), "x".into());
    assert_eq!(groups[before..], [vec![Entry::Define(deleted)]]);
}

#[test]
fn names_longer_than_a_short_string_are_refused() {
    let world = World::new();
    let long = text(&"k".repeat(300));
    let arguments = FieldTable(vec![
        ("x-dead-letter-exchange".to_owned(), text("x")),
        ("x-dead-letter-routing-key".to_owned(), long),
    ]);
    let request =
        QueueRequest { name: "q", durable: false, exclusive: false, auto_delete: false, arguments };
    let refused = world.broker.declare_queue(&world.who, request, world.now).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::PreconditionFailed);
}

#[test]
fn a_late_consumer_gets_nothing_that_expired_behind_the_head() {
    let mut world = World::new();
    let queue = world.queue("q", &[]);
    let mut outgoing = Outgoing::default();
    let route =
        Route { queues: vec![Arc::clone(&queue)], cacheable: true, memory: None, traffic: None };
    // The expiration property alone (bit 8): 500 ms, then 100 ms.
    outgoing.push(message("lasting", b"\x01\x00\x03500"), &route, 0);
    outgoing.push(message("short", b"\x01\x00\x03100"), &route, 0);
    world.broker.flush(&mut outgoing, world.now);
    world.pass(200);
    let sink = Sink::with_room(100);
    world.consume(&queue, &sink, 0);
    assert_eq!(sink.bodies(), ["lasting"]);
}
