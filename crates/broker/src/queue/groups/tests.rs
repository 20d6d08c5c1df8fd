//! Groups under random publishes, acknowledgements, returns, and consumers that come and go: one
//! consumer at a time has a group, its messages go out in order, and nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use crate::broker::{Broker, Outgoing, Principal, QueueRequest, Route};
use crate::ids::{ConsumerId, Seq, Timestamp};
use crate::log::NoLog;
use crate::message::{FieldTable, FieldValue, Message, MessageBuilder};
use crate::queue::{ChannelLimit, ConsumerSpec, Delivery, Outlet, QueueHandle, Settlement};

const HEADER: &str = "account";

/// A consumer with room for so many deliveries.
#[derive(Default)]
struct Sink {
    room: AtomicUsize,
    got: Mutex<Vec<(Seq, u32, bool)>>,
}

impl Outlet for Sink {
    fn reserve(&self, _bytes: usize) -> bool {
        let take = |room: usize| room.checked_sub(1);
        self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        for delivery in deliveries.drain(..) {
            let number = u32::from_be_bytes(delivery.message.body().try_into().unwrap());
            self.got.lock().unwrap().push((delivery.seq, number, delivery.redelivered));
        }
    }

    fn cancelled(&self, _consumer: ConsumerId) {}
}

fn message(group: Option<u8>, number: u32) -> Message {
    let mut properties = vec![0, 0];
    if let Some(group) = group {
        let mut table = FieldTable::default();
        // A number and its digits are the same group.
        let value = match number % 2 {
            0 => FieldValue::LongStr(group.to_string().into_bytes()),
            _ => FieldValue::I32(i32::from(group)),
        };
        table.insert(HEADER, value);
        properties = vec![0x20, 0];
        table.encode(&mut properties);
    }
    let body = number.to_be_bytes();
    let size = body.len() as u64;
    let mut builder = MessageBuilder::new("", "q", &properties, size, Some("guest"), None).unwrap();
    builder.push(&body).unwrap();
    builder.finish().0
}

struct World {
    broker: Broker,
    queue: Arc<QueueHandle>,
    now: Timestamp,
    consumers: BTreeMap<ConsumerId, Arc<Sink>>,
    /// What is out: to whom, which message.
    out: BTreeMap<Seq, (ConsumerId, u32)>,
    /// The group of each message, by number.
    groups: Vec<Option<u8>>,
    /// The last first delivery of each group.
    last: BTreeMap<u8, u32>,
    done: BTreeSet<u32>,
}

impl World {
    fn new() -> Self {
        let broker = Broker::new(Arc::new(NoLog::default()), [7; 32]);
        broker.add_vhost("/");
        broker.set_password_cost(crate::auth::Cost::LEAST);
        broker.put_administrator("guest", "guest", "/").unwrap();
        let connection = broker.new_connection();
        let who = Principal::new(connection).in_vhost("guest", "/");
        let mut arguments = FieldTable::default();
        let header = FieldValue::LongStr(HEADER.into());
        arguments.insert("x-message-group-header", header);
        let (durable, exclusive, auto_delete) = (false, false, false);
        let request = QueueRequest { name: "q", durable, exclusive, auto_delete, arguments };
        let now = Timestamp(1_000);
        let queue = broker.declare_queue(&who, request, now).unwrap().created.unwrap();
        let (consumers, out) = (BTreeMap::new(), BTreeMap::new());
        let (groups, last, done) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { broker, queue, now, consumers, out, groups, last, done }
    }

    fn publish(&mut self, groups: &[Option<u8>]) {
        let mut outgoing = Outgoing::default();
        let route = Route { queues: vec![Arc::clone(&self.queue)], ..Route::default() };
        for group in groups {
            let number = self.groups.len() as u32;
            outgoing.push(message(*group, number), &route, 0);
            self.groups.push(*group);
        }
        self.broker.flush(&mut outgoing, self.now);
        self.look();
    }

    fn consume(&mut self, prefetch: u32) -> ConsumerId {
        let id = self.broker.new_consumer();
        let sink = Arc::new(Sink { room: AtomicUsize::new(usize::MAX), ..Sink::default() });
        let limit = Arc::new(ChannelLimit::default());
        let (no_ack, exclusive, priority) = (false, false, 0);
        let outlet = sink.clone();
        let spec = ConsumerSpec { id, outlet, limit, prefetch, no_ack, exclusive, priority };
        self.broker.consume(&self.queue, spec, self.now).unwrap();
        self.consumers.insert(id, sink);
        self.look();
        id
    }

    /// The consumer's channel is closed: first it goes, then its deliveries come back.
    fn leave(&mut self, id: ConsumerId) {
        self.broker.cancel(&self.queue, id, self.now);
        self.look();
        self.consumers.remove(&id);
        let back = self.out.iter().filter(|(_, (owner, _))| *owner == id);
        let back: Vec<Seq> = back.map(|(seq, _)| *seq).collect();
        self.settle(&back, Settlement::Requeue);
    }

    fn settle(&mut self, seqs: &[Seq], how: Settlement) {
        for seq in seqs {
            let (_, number) = self.out.remove(seq).unwrap();
            if how == Settlement::Requeue {
                // From there on its group begins anew.
                if let Some(last) =
                    self.groups[number as usize].and_then(|one| self.last.get_mut(&one))
                {
                    *last = (*last).min(number.wrapping_sub(1));
                }
            } else {
                self.done.insert(number);
            }
        }
        self.broker.settle(&self.queue, seqs, how, self.now);
        self.look();
    }

    /// Takes in what was delivered, and checks it.
    fn look(&mut self) {
        for (id, sink) in &self.consumers {
            for (seq, number, redelivered) in std::mem::take(&mut *sink.got.lock().unwrap()) {
                assert!(!self.done.contains(&number), "{number} came twice");
                if let Some(group) = self.groups[number as usize] {
                    let of_group = |other: u32| self.groups[other as usize] == Some(group);
                    let mut others = self.out.values().filter(|(_, other)| of_group(*other));
                    assert!(others.all(|(owner, _)| owner == id), "group {group} is in two places");
                    let last = self.last.get(&group).copied();
                    let in_order = last.is_none_or(|last| last == u32::MAX || last < number);
                    assert!(redelivered || in_order, "{number} came after {last:?}");
                    self.last.insert(group, number);
                }
                assert!(self.out.insert(seq, (*id, number)).is_none());
            }
        }
    }

    fn finish(&mut self) {
        if self.consumers.is_empty() {
            self.consume(3);
        }
        while !self.out.is_empty() {
            let seqs: Vec<Seq> = self.out.keys().copied().collect();
            self.settle(&seqs, Settlement::Ack);
        }
        assert_eq!(self.done.len(), self.groups.len(), "all have been delivered");
        let counts = self.queue.counts();
        assert_eq!((counts.ready, counts.unacked), (0, 0));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish(Vec<Option<u8>>),
    Consume(u32),
    Leave(usize),
    Ack(usize),
    Requeue(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let group = prop::option::weighted(0.9, 0..7_u8);
    prop_oneof![
        5 => prop::collection::vec(group, 1..9).prop_map(Step::Publish),
        1 => (1..5_u32).prop_map(Step::Consume),
        1 => any::<usize>().prop_map(Step::Leave),
        6 => any::<usize>().prop_map(Step::Ack),
        1 => any::<usize>().prop_map(Step::Requeue),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_group_is_in_one_place_and_in_order(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            let nth = |index: usize, out: &BTreeMap<Seq, _>| {
                out.keys().nth(index % out.len().max(1)).copied()
            };
            match step {
                Step::Publish(groups) => world.publish(&groups),
                Step::Consume(prefetch) => drop(world.consume(prefetch)),
                Step::Leave(index) => {
                    let count = world.consumers.len().max(1);
                    if let Some(id) = world.consumers.keys().nth(index % count).copied() {
                        world.leave(id);
                    }
                }
                Step::Ack(index) => {
                    nth(index, &world.out).inspect(|seq| world.settle(&[*seq], Settlement::Ack));
                }
                Step::Requeue(index) => {
                    let back = nth(index, &world.out);
                    back.inspect(|seq| world.settle(&[*seq], Settlement::Requeue));
                }
            }
        }
        world.finish();
    }
}

#[test]
fn groups_spread_and_pass_each_other() {
    let mut world = World::new();
    let (one, other) = (world.consume(1), world.consume(1));
    let groups: Vec<Option<u8>> = (0..40).map(|number| Some(number % 20)).collect();
    world.publish(&groups);
    let owners: BTreeSet<ConsumerId> = world.out.values().map(|(owner, _)| *owner).collect();
    assert_eq!(owners, BTreeSet::from([one, other]), "both have one");
    // While one sits on its message, the other gets all of its groups.
    let mut by_other = BTreeSet::new();
    while let Some((seq, number)) =
        world.out.iter().find(|(_, (owner, _))| *owner == other).map(|(seq, out)| (*seq, out.1))
    {
        by_other.insert(number % 20);
        world.settle(&[seq], Settlement::Ack);
    }
    assert!((4..=16).contains(&by_other.len()), "{by_other:?}");
    assert_eq!(world.done.len(), by_other.len() * 2);
    world.leave(one);
    assert_eq!(world.out.len(), 1, "its groups have moved");
    world.finish();
}

#[test]
fn no_more_than_a_bound_is_passed() {
    let mut world = World::new();
    world.consume(1);
    world.publish(&[Some(1); 3]);
    let owner = world.out.values().next().unwrap().0;
    // Somebody with room, whose groups come behind very many of the other one.
    world.consume(1);
    let mine = |world: &World| world.out.values().any(|(id, _)| *id != owner);
    world.publish(&vec![Some(1); 10_000]);
    world.publish(&(2..40).map(Some).collect::<Vec<_>>());
    assert!(!mine(&world), "they stand behind more than may be passed");
    while !mine(&world) {
        let seqs: Vec<Seq> = world.out.keys().copied().collect();
        world.settle(&seqs, Settlement::Ack);
    }
    world.finish();
}
