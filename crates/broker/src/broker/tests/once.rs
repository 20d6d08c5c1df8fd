//! Deduplication on a log that crashes: whatever is published again is there once, at any end of
//! the log; and a repeated publish is confirmed when the first one is.

use proptest::prelude::*;

use super::*;
use crate::queue::Got;
use crate::routing::RoutingInput;

/// A message with these headers.
fn with_headers(body: &str, persistent: bool, headers: &[(&str, FieldValue)]) -> Message {
    let table: FieldTable =
        headers.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut properties = vec![0x30, 0x00];
    table.encode(&mut properties);
    properties.push(1 + u8::from(persistent));
    let size = body.len() as u64;
    let mut builder = MessageBuilder::new("", "q", &properties, size, Some("guest"), None).unwrap();
    builder.push(body.as_bytes()).unwrap();
    builder.finish().0
}

/// A persistent message whose body is its identity.
fn once(id: &str) -> Message {
    with_headers(id, true, &[("x-deduplication-header", text(id))])
}

fn numbered(producer: &str, number: i64) -> Message {
    let headers =
        [("x-producer-id", text(producer)), ("x-producer-sequence", FieldValue::I64(number))];
    with_headers(&format!("{producer}{number}"), true, &headers)
}

fn deduplicating(size: i32) -> Vec<(&'static str, FieldValue)> {
    vec![
        ("x-message-deduplication", FieldValue::Bool(true)),
        ("x-cache-size", FieldValue::I32(size)),
    ]
}

impl World {
    fn deduplicating_exchange(&self, name: &str, kind: &str, arguments: &[(&str, FieldValue)]) {
        let table = arguments.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let request = ExchangeRequest {
            name,
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: FieldTable(table.collect()),
        };
        self.broker.declare_exchange(&self.who, request).unwrap();
    }

    fn route_of(&self, exchange: &str, message: &Message) -> Route {
        let message = Some(message);
        let input = RoutingInput { routing_key: "k", extra_keys: &[], message, now: self.now };
        self.broker.route(&self.broker.topology(), &self.who, exchange, &input).unwrap()
    }

    /// Publishes to an exchange; those that were refused are known by their index.
    fn send_all(&self, exchange: &str, messages: &[Message]) -> Flushed {
        let mut outgoing = Outgoing::default();
        for (index, message) in messages.iter().enumerate() {
            let route = self.route_of(exchange, message);
            outgoing.push(message.clone(), &route, index as u64);
        }
        self.broker.flush(&mut outgoing, self.now)
    }

    fn run_for(&mut self, millis: u64) {
        self.now = self.now.after(millis);
        for _ in 0..20 {
            self.broker.tick(self.now);
            self.load_all();
        }
    }

    fn take_got(&self, queue: &str) -> Option<Got> {
        self.broker.get(&self.queue(queue), false, self.now)
    }

    /// The world after a crash behind so many groups.
    fn after(&self, groups: usize) -> Self {
        let (log, recovered) = self.log.crash(groups);
        let broker = Broker::recover(log.clone(), SEED, recovered, self.now);
        assert_eq!(broker.orphans(), [], "after {groups}");
        Self::with(broker, log, self.now)
    }

    /// Moves all from one queue to another, each in a transaction of its own.
    fn work(&self, from: &str, to: &str) {
        while let Some(got) = self.take_got(from) {
            let mut transaction = Transaction::default();
            let route = Route { queues: vec![self.queue(to)], ..Route::default() };
            transaction.publish(&got.message, &route);
            transaction.settle(&self.queue(from), got.seq, Settlement::Ack);
            self.broker.commit(transaction, self.now);
        }
    }
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{number:02}")).collect()
}

#[test]
fn a_repeated_publish_is_confirmed_with_the_first_and_costs_nothing() {
    let world = World::new();
    world.declare("q", true, &deduplicating(10));
    let first = world.publish_to(&["q"], &[once("a"), once("a"), once("b")]);
    let (groups, memory) = (world.log.len(), world.broker.memory_bytes());
    assert_eq!(kinds(&world.log.groups(groups - 1)[0]), ["publish"; 4]);
    let again = world.flush(&["q"], &[once("b"), once("a")]);
    assert_eq!((again.position, again.rejected), (first, vec![]));
    assert_eq!((world.log.len(), world.broker.memory_bytes()), (groups, memory));
    assert_eq!(world.drain("q"), ["a", "b"]);
    world.publish_to(&["q"], &[once("a")]);
    assert_eq!(world.get("q"), None, "also when the first is consumed");
    world.publish("q", &["plain", "plain"]);
    assert_eq!(world.drain("q").len(), 2);
}

#[test]
fn what_leaves_the_window_leaves_the_log() {
    let mut world = World::new();
    let mut arguments = deduplicating(2);
    arguments.push(("x-cache-ttl", FieldValue::I32(1000)));
    world.declare("q", true, &arguments);
    world.publish_to(&["q"], &[once("a"), once("b"), once("c")]);
    world.drain("q");
    assert_eq!(world.log.messages(), 2, "two records");
    world.publish_to(&["q"], &[once("a")]);
    assert_eq!(world.drain("q"), ["a"]);
    world.now = world.now.after(1000);
    world.publish_to(&["q"], &[once("c")]);
    assert_eq!((world.drain("q"), world.log.messages()), (vec!["c".to_owned()], 1));
    let mut longer = once("x");
    for _ in 0..2 {
        let headers =
            [("x-deduplication-header", text("x")), ("x-cache-ttl", FieldValue::I32(5000))];
        longer = with_headers("x", true, &headers);
        world.publish_to(&["q"], std::slice::from_ref(&longer));
        world.now = world.now.after(3000);
    }
    assert_eq!(world.drain("q").len(), 1, "{longer:?}");
}

#[test]
fn a_producer_counts_up() {
    let world = World::new();
    world.declare("q", true, &deduplicating(2));
    let all = [("a", 1), ("a", 2), ("a", 1), ("b", 1), ("a", 2), ("a", 5), ("a", 4), ("b", 1)];
    let all: Vec<Message> = all.iter().map(|(name, number)| numbered(name, *number)).collect();
    world.publish_to(&["q"], &all);
    assert_eq!(world.drain("q"), ["a1", "a2", "b1", "a5"]);
    assert_eq!(world.log.messages(), 2, "one record a producer");
    let world = world.crashed();
    world.publish_to(&["q"], &[numbered("a", 5), numbered("b", 1), numbered("c", 1)]);
    assert_eq!(world.drain("q"), ["c1"]);
    world.publish_to(&["q"], &[numbered("a", 5), numbered("b", 1)]);
    assert_eq!(world.drain("q"), ["b1"], "the one that was not heard of for longest is forgotten");
}

#[test]
fn what_a_queue_refused_is_not_remembered() {
    let world = World::new();
    let mut arguments = deduplicating(10);
    arguments.push(("x-max-length", FieldValue::I32(1)));
    arguments.push(("x-overflow", text("reject-publish")));
    world.declare("q", true, &arguments);
    world.declare("wide", true, &[]);
    world.deduplicating_exchange("x", "fanout", &deduplicating(10));
    world.bind("x", "q");
    world.bind("x", "wide");
    assert_eq!(world.send_all("x", &[once("a"), once("b"), once("a")]).rejected, [1]);
    assert_eq!(world.drain("wide"), ["a"], "all queues have it, or none");
    assert_eq!(world.drain("q"), ["a"]);
    assert_eq!(world.send_all("x", &[once("b")]).rejected, [0; 0]);
    assert_eq!((world.drain("wide"), world.drain("q")), (ids_of("b"), ids_of("b")));
    let flushed = world.flush(&["q"], &[once("c"), once("d"), once("c")]);
    assert_eq!(flushed.rejected.len(), 1);
    assert_eq!(world.drain("q"), ["c"]);
}

fn ids_of(id: &str) -> Vec<String> {
    vec![id.to_owned()]
}

#[test]
fn the_dead_and_the_returned_are_never_duplicates() {
    let world = World::new();
    world.declare("q", true, &deduplicating(10));
    let dead = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("q"))];
    world.declare("source", true, &dead);
    world.publish_to(&["q", "source"], &[once("a")]);
    let queue = world.queue("source");
    let got = world.take_got("source").unwrap();
    world.broker.settle(&queue, &[got.seq], Settlement::Reject, world.now);
    assert_eq!(world.drain("q"), ["a", "a"]);
    world.publish_to(&["q"], &[once("b")]);
    let got = world.take_got("q").unwrap();
    world.broker.settle(&world.queue("q"), &[got.seq], Settlement::Requeue, world.now);
    assert_eq!(world.drain("q"), ["b"]);
}

#[test]
fn what_leaves_a_schedule_is_looked_at() {
    let world = World::new();
    let delayed = [("x-delayed-type", text("fanout"))];
    world.declare("q", true, &deduplicating(10));
    world.deduplicating_exchange("later", "x-delayed-message", &delayed);
    world.bind("later", "q");
    world.declare("p", true, &[]);
    let arguments = [&delayed[..], &deduplicating(10)].concat();
    world.deduplicating_exchange("later once", "x-delayed-message", &arguments);
    world.bind("later once", "p");
    let late = |id| {
        let headers = [("x-deduplication-header", text(id)), ("x-delay", FieldValue::I32(100))];
        with_headers(id, true, &headers)
    };
    world.send_all("later", &[late("a"), late("a"), late("b")]);
    world.send_all("later once", &[late("a"), late("a")]);
    world.publish_to(&["q"], &[once("b")]);
    let mut world = world.crashed();
    world.send_all("later once", &[late("a"), late("b")]);
    world.run_for(200);
    assert_eq!(world.drain("q"), ["b", "a"]);
    let mut due = world.drain("p");
    due.sort_unstable();
    assert_eq!(due, ["a", "b"]);
    let world = world.crashed();
    world.publish_to(&["q"], &[once("a")]);
    assert_eq!(world.drain("q"), [""; 0]);
}

#[test]
fn equal_ones_of_a_transaction_are_one() {
    let world = World::new();
    world.declare("q", true, &deduplicating(10));
    world.declare("p", true, &[]);
    world.deduplicating_exchange("x", "fanout", &deduplicating(10));
    world.bind("x", "p");
    let mut transaction = Transaction::default();
    let direct = Route { queues: vec![world.queue("q")], ..Route::default() };
    let through = world.route_of("x", &once("a"));
    for id in ["a", "a", "b"] {
        transaction.publish(&once(id), &direct);
        transaction.publish(&once(id), &through);
    }
    let before = world.log.len();
    assert!(world.broker.commit(transaction, world.now).1);
    assert_eq!(world.log.len(), before + 1);
    world.send_all("x", &[once("b"), once("a")]);
    assert_eq!((world.drain("q"), world.drain("p")), (ids2(), ids2()));
}

fn ids2() -> Vec<String> {
    vec!["a".to_owned(), "b".to_owned()]
}

#[test]
fn an_exchange_of_the_plugins_type_is_a_fanout_that_remembers() {
    let world = World::new();
    world.declare("q", true, &[]);
    world.deduplicating_exchange(
        "x",
        "x-message-deduplication",
        &[("x-cache-size", text("5")), ("x-cache-persistence", text("disk"))],
    );
    world.send_all("x", &[once("a")]);
    world.bind("x", "q");
    world.send_all("x", &[once("a"), once("a"), once("b")]);
    assert_eq!(world.drain("q"), ["a", "b"], "what goes nowhere is not remembered");
    let world = world.crashed();
    world.send_all("x", &[once("a"), once("c")]);
    assert_eq!(world.drain("q"), ["c"]);
    assert!(world.broker.definitions().len() > 3);
    let route = world.route_of("x", &once("a"));
    world.broker.delete_exchange(&world.who, "x", false).unwrap();
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
    // Who has routed before the deletion.
    let mut outgoing = Outgoing::default();
    outgoing.push(once("d"), &route, 0);
    world.broker.flush(&mut outgoing, world.now);
    assert_eq!(world.drain("q"), ["d"]);
    assert_eq!(world.log.messages(), 0);
    assert_eq!(world.crashed().drain("q"), [""; 0]);
}

#[test]
fn a_deleted_queue_takes_its_memory_along() {
    let world = World::new();
    world.declare("q", true, &deduplicating(10));
    world.publish_to(&["q"], &[once("a")]);
    let gone = world.queue("q");
    world.broker.delete_queue(&world.who, "q", false, false, world.now).unwrap();
    let mut outgoing = Outgoing::default();
    let route = Route { queues: vec![gone], ..Route::default() };
    outgoing.push(once("b"), &route, 0);
    world.broker.flush(&mut outgoing, world.now);
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
    world.declare("q", true, &deduplicating(10));
    world.publish_to(&["q"], &[once("a")]);
    assert_eq!(world.crashed().drain("q"), ["a"]);
}

#[test]
fn a_snapshot_of_the_definitions_knows_where_the_memories_are() {
    let world = World::new();
    world.declare("q", true, &deduplicating(10));
    world.declare("plain", true, &[]);
    world.deduplicating_exchange("x", "direct", &deduplicating(10));
    let remembers = |commands: &[Command]| {
        let is = |one: &&Command| matches!(one, Command::Remember(..));
        commands.iter().filter(is).cloned().collect::<Vec<_>>()
    };
    let snapshot = remembers(&world.broker.definitions());
    assert_eq!(snapshot.len(), 2);
    assert_eq!(remembers(&world.crashed().broker.definitions()), snapshot);
    // A log of a version that did not remember.
    let (log, mut recovered) = world.log.crash(world.log.len());
    recovered.commands.retain(|one| !matches!(one, Command::Remember(..)));
    let broker = Broker::recover(log.clone(), SEED, recovered, world.now);
    let world = World::with(broker, log, world.now);
    assert_eq!(remembers(&world.broker.definitions()).len(), 2);
    world.publish_to(&["q"], &[once("a")]);
    let world = world.crashed();
    world.publish_to(&["q"], &[once("a")]);
    assert_eq!(world.drain("q"), ["a"]);
}

#[test]
fn a_policy_turns_it_on_and_off() {
    let world = World::new();
    world.declare("q", true, &[]);
    let definition = FieldTable(
        deduplicating(10).into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    );
    let request = crate::definitions::PolicyRequest {
        pattern: "^q$",
        apply_to: "queues",
        priority: 0,
        definition,
    };
    let kind = crate::definitions::PolicyKind::Policy;
    world.broker.put_policy(kind, "/", "once", &request, world.now).unwrap();
    world.publish_to(&["q"], &[once("a"), once("a")]);
    let world = world.crashed();
    world.publish_to(&["q"], &[once("a")]);
    assert_eq!(world.drain("q"), ["a"]);
    world.broker.delete_policy(kind, "/", "once", world.now).unwrap();
    world.publish_to(&["q"], &[once("a"), once("a")]);
    assert_eq!(world.drain("q"), ["a", "a"]);
}

#[test]
fn at_any_crash_what_is_published_again_arrives_once() {
    let world = World::new();
    world.declare("target", true, &[]);
    world.declare("source", true, &deduplicating(100));
    world.declare("copy", true, &[]);
    world.deduplicating_exchange("x", "fanout", &deduplicating(100));
    world.bind("x", "copy");
    world.bind("x", "source");
    let start = world.log.len();
    let all = ids(0..24);
    let messages: Vec<Message> = all.iter().map(|id| once(id)).collect();
    for (round, some) in messages.chunks(3).enumerate() {
        match round % 2 {
            0 => world.send_all("x", some),
            _ => world.flush(&["source"], some),
        };
        if round % 3 == 2 {
            world.work("source", "target");
        }
    }
    assert!(world.log.len() > start + 24);
    for groups in start..=world.log.len() {
        let world = world.after(groups);
        for (round, some) in messages.chunks(3).enumerate() {
            match round % 2 {
                0 => world.send_all("x", some),
                _ => world.flush(&["source"], some),
            };
        }
        world.work("source", "target");
        let mut moved = world.drain("target");
        moved.sort_unstable();
        assert_eq!(moved, all, "after {groups}");
        assert_eq!(world.drain("copy").len(), 12, "after {groups}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Values with their time to live and whether they are persistent.
    Publish(Vec<(u8, Option<i32>, bool)>),
    /// A producer's number, persistent.
    Count(u8, i64),
    Drain,
    Pass(u64),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let publish = (0..12_u8, prop::option::weighted(0.2, 1..300_i32), any::<bool>());
    prop_oneof![
        6 => prop::collection::vec(publish, 1..5).prop_map(Step::Publish),
        4 => (0..5_u8, 0..30_i64).prop_map(|(producer, number)| Step::Count(producer, number)),
        1 => Just(Step::Drain),
        2 => (1..150_u64).prop_map(Step::Pass),
        1 => Just(Step::Crash),
    ]
}

/// What was taken: value, until when, persistent; and each producer's last number.
#[derive(Default)]
struct Taken {
    values: Vec<(u8, u64, bool)>,
    producers: Vec<(u8, i64, u64)>,
}

impl Taken {
    fn trim(&mut self, most: usize, now: u64) {
        let old = |until: Option<u64>, len| len > most || until.is_some_and(|until| until <= now);
        while old(self.values.first().map(|one| one.1), self.values.len()) {
            self.values.remove(0);
        }
        while old(self.producers.first().map(|one| one.2), self.producers.len()) {
            self.producers.remove(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn agrees_with_a_list_across_crashes(
        most in 1..6_i32,
        ttl in 50..400_i32,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        let mut arguments = deduplicating(most);
        arguments.push(("x-cache-ttl", FieldValue::I32(ttl)));
        world.declare("q", true, &arguments);
        let (mut taken, mut ready) = (Taken::default(), Vec::new());
        for step in steps {
            let now = world.now.0;
            let until = now + ttl as u64;
            match step {
                Step::Publish(some) => {
                    let mut messages = Vec::new();
                    for (value, ttl, persistent) in some {
                        let mut headers =
                            vec![("x-deduplication-header", FieldValue::U8(value))];
                        headers.extend(ttl.map(|ttl| ("x-cache-ttl", FieldValue::I32(ttl))));
                        let body = format!("{value}");
                        messages.push(with_headers(&body, persistent, &headers));
                        if taken.values.iter().any(|one| one.0 == value && one.1 > now) {
                            continue;
                        }
                        let until = ttl.map_or(until, |ttl| now + ttl as u64);
                        taken.values.push((value, until, persistent));
                        taken.trim(most as usize, now);
                        ready.push((body, persistent));
                    }
                    world.publish_to(&["q"], &messages);
                }
                Step::Count(producer, number) => {
                    world.publish_to(&["q"], &[numbered(&producer.to_string(), number)]);
                    let mut known = taken.producers.iter();
                    if !known.any(|one| one.0 == producer && one.2 > now && number <= one.1) {
                        taken.producers.retain(|one| one.0 != producer);
                        taken.producers.push((producer, number, until));
                        taken.trim(most as usize, now);
                        ready.push((format!("{producer}{number}"), true));
                    }
                }
                Step::Drain => {
                    let all: Vec<String> = ready.drain(..).map(|(body, _)| body).collect();
                    prop_assert_eq!(world.drain("q"), all);
                }
                Step::Pass(millis) => world.now = world.now.after(millis),
                Step::Crash => {
                    world = world.crashed();
                    taken.values.retain(|one| one.2);
                    ready.retain(|one| one.1);
                }
            }
        }
        let all: Vec<String> = ready.into_iter().map(|(body, _)| body).collect();
        prop_assert_eq!(world.drain("q"), all);
        let records = taken.values.iter().filter(|one| one.2).count() + taken.producers.len();
        prop_assert!(world.log.messages() >= records.min(1));
    }
}
