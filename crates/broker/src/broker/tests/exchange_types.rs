//! Exchange types that keep something beside their bindings: the past, or an order.

use super::*;
use crate::routing::RoutingInput;

impl World {
    fn exchange_of(&self, name: &str, kind: &str) {
        let arguments = FieldTable::default();
        let (durable, auto_delete, internal) = (true, false, false);
        let request = ExchangeRequest { name, kind, durable, auto_delete, internal, arguments };
        self.broker.declare_exchange(&self.who, request).unwrap();
    }

    fn bind_by(&self, source: &str, destination: Destination, routing_key: &str) {
        let arguments = FieldTable::default();
        let request = BindRequest { source, destination, routing_key, arguments };
        self.broker.bind(&self.who, request, self.now).unwrap();
    }

    fn route(&self, exchange: &str, message: &Message, routing_key: &str) -> Route {
        let input = RoutingInput {
            routing_key,
            extra_keys: &[],
            message: Some(message),
            now: Timestamp(0),
        };
        let topology = self.broker.topology();
        self.broker.route(&topology, &self.who, exchange, &input).unwrap()
    }

    fn send(&self, exchange: &str, body: &str) {
        let message = persistent(body, None);
        let route = self.route(exchange, &message, "q");
        assert!(!route.cacheable);
        let mut outgoing = Outgoing::default();
        outgoing.push(message, &route, 0);
        self.broker.flush(&mut outgoing, self.now);
    }
}

fn queue(name: &str) -> Destination {
    Destination::Queue(name.into())
}

#[test]
fn what_is_bound_gets_the_past_once() {
    let world = World::new();
    world.exchange_of("x", "x-recent-history");
    for name in ["early", "late", "q"] {
        world.declare(name, true, &[]);
    }
    world.bind_by("x", queue("early"), "");
    (0..25).for_each(|number| world.send("x", &number.to_string()));
    world.bind_by("x", queue("late"), "");
    world.bind_by("x", queue("late"), "");
    world.send("x", "new");
    let last: Vec<String> = (5..25).map(|number| number.to_string()).collect();
    assert_eq!(world.drain("late"), [last, vec!["new".to_owned()]].concat());
    assert_eq!(world.drain("early").len(), 26);

    // A new exchange routes the past by its keys: these messages went by "q".
    world.exchange_of("by key", "direct");
    world.bind_by("by key", queue("q"), "q");
    world.bind_by("by key", queue("early"), "other");
    world.bind_by("x", Destination::Exchange("by key".into()), "");
    let past = world.drain("q");
    assert_eq!((past.len(), &*past[0], &*past[19]), (20, "6", "new"));
    assert_eq!(world.drain("early"), [""; 0]);
}

#[test]
fn the_past_is_durable_where_it_comes_to_and_not_in_the_exchange() {
    let world = World::new();
    world.exchange_of("x", "x-recent-history");
    world.declare("before", true, &[]);
    world.declare("after", true, &[]);
    world.send("x", "a");
    world.send("x", "b");
    world.bind_by("x", queue("before"), "");
    let world = world.crashed();
    world.load_all();
    world.bind_by("x", queue("after"), "");
    assert_eq!(world.drain("before"), ["a", "b"]);
    assert_eq!(world.drain("after"), [""; 0]);
}

#[test]
fn the_memory_of_a_past_is_counted_and_freed() {
    let world = World::new();
    world.exchange_of("x", "x-recent-history");
    world.send("x", &large("a"));
    assert!(world.broker.memory_bytes() > 20_000);
    world.broker.delete_exchange(&world.who, "x", false).unwrap();
    assert_eq!(world.broker.memory_bytes(), 0);

    let request = ExchangeRequest {
        name: "goes",
        kind: "x-recent-history",
        durable: false,
        auto_delete: true,
        internal: false,
        arguments: FieldTable::default(),
    };
    world.broker.declare_exchange(&world.who, request).unwrap();
    world.declare("q", false, &[]);
    world.send("goes", &large("a"));
    world.bind_by("goes", queue("q"), "");
    world.broker.delete_queue(&world.who, "q", false, false, world.now).unwrap();
    assert!(world.broker.find_exchange(&world.who, "goes").is_err());
    assert_eq!(world.broker.memory_bytes(), 0);
}

#[test]
fn a_ring_is_the_same_after_a_restart() {
    let world = World::new();
    world.exchange_of("x", "x-consistent-hash");
    let weights = [("m", "2"), ("z", "5"), ("a", "3"), ("k", "1")];
    for (name, weight) in weights {
        world.declare(name, true, &[]);
        world.bind_by("x", queue(name), weight);
    }
    world.bind_by("x", queue("a"), "9");
    let message = persistent("", None);
    let map = |world: &World| {
        let one = |number| {
            let route = world.route("x", &message, &format!("key {number}"));
            assert!(route.cacheable);
            route.queues[0].spec.name.clone()
        };
        (0..2_000).map(one).collect::<Vec<_>>()
    };
    let before = map(&world);
    // From the log of changes, and from the definitions as a whole.
    assert_eq!(map(&world.crashed()), before);
    let commands = world.broker.definitions();
    let recovered = Recovered { commands, ..Recovered::default() };
    let broker = Broker::recover(world.log.clone(), SEED, recovered, world.now);
    let again = World::with(broker, world.log.clone(), world.now);
    assert_eq!(map(&again), before);
}
