//! The scenarios: who publishes what to whom, and one turn of it.
//!
//! Invariant: after each turn nothing is under way, so that every turn does the same.

use std::sync::Arc;

use leveret_server::durable::StoreLog;
use leveret_server::hot_path::World;
use leveret_store::{Committed, Options, Store};
use leveret_wire::amqp091::frame::{write_ack, write_nack};

use crate::client::{Client, properties, publish};
use crate::feature::Feature;
use crate::null_disk::NullDisk;

/// Messages of one read, and deliveries of one acknowledgement.
const BATCH: usize = 50;
/// Queues of the scenarios for routing.
const QUEUES: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    /// The default exchange, to one queue.
    One,
    /// A topic exchange with [`QUEUES`] times [`QUEUES`] bindings of which one matches, and as many
    /// routing keys, so that a connection cannot remember where all of them lead.
    Topic,
    /// A fanout exchange to [`QUEUES`] queues, consumed by ten connections.
    Fanout,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// Neither confirms nor acknowledgements.
    None,
    /// Both.
    Settled,
    /// Both, and messages and queues survive.
    Durable,
}

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    /// Publishes that are counted.
    pub messages: usize,
    body_len: usize,
    route: Route,
    promise: Promise,
    feature: Feature,
}

const fn scenario(name: &'static str, body_len: usize, promise: Promise) -> Scenario {
    let feature = Feature::None;
    Scenario { name, messages: 20_000, body_len, route: Route::One, promise, feature }
}

const fn routing(name: &'static str, messages: usize, route: Route) -> Scenario {
    let (promise, feature) = (Promise::None, Feature::None);
    Scenario { name, messages, body_len: 24, route, promise, feature }
}

/// As `confirmed-24`, with something that few use.
const fn using(name: &'static str, feature: Feature) -> Scenario {
    Scenario { feature, ..scenario(name, 24, Promise::Settled) }
}

/// All scenarios.
pub const SCENARIOS: [Scenario; 18] = [
    scenario("transient-24", 24, Promise::None),
    scenario("transient-1024", 1024, Promise::None),
    scenario("confirmed-24", 24, Promise::Settled),
    scenario("confirmed-1024", 1024, Promise::Settled),
    scenario("durable-24", 24, Promise::Durable),
    scenario("durable-1024", 1024, Promise::Durable),
    routing("topic-10000", 20_000, Route::Topic),
    routing("fanout-100", 1_000, Route::Fanout),
    using("used-queue-ttl", Feature::QueueTtl),
    using("used-message-ttl", Feature::MessageTtl),
    using("used-max-length", Feature::MaxLength),
    using("used-drop-head", Feature::DropHead),
    using("used-priority", Feature::Priority),
    using("used-dead-letter", Feature::DeadLetter),
    using("used-groups", Feature::Groups),
    using("used-policies", Feature::Policies),
    using("used-traces", Feature::Traces),
    using("used-traces-recorded", Feature::Recorded),
];

impl Scenario {
    pub fn turns(&self) -> usize {
        self.messages / BATCH
    }

    pub fn warm_up_turns(&self) -> usize {
        self.turns() / 10
    }

    /// Deliveries of one message.
    fn copies(&self) -> usize {
        match self.feature {
            Feature::DropHead => 0,
            Feature::DeadLetter => 2,
            _ if self.route == Route::Fanout => QUEUES,
            _ => 1,
        }
    }

    fn queues(&self) -> usize {
        match self.feature {
            Feature::DeadLetter => 2,
            _ if self.route == Route::One => 1,
            _ => QUEUES,
        }
    }

    /// Their queues are given to them in turns.
    fn consumers(&self) -> usize {
        match self.feature {
            Feature::DropHead => 0,
            Feature::DeadLetter => 2,
            _ if self.route == Route::Fanout => 10,
            _ => 1,
        }
    }

    /// What the publisher sends, in reads.
    fn reads(&self) -> Vec<Vec<u8>> {
        let body = vec![b'x'; self.body_len];
        let persistent = self.promise == Promise::Durable;
        let keys = if self.route == Route::Topic { QUEUES * QUEUES } else { BATCH };
        let numbers: Vec<usize> = (0..keys).collect();
        let read = |numbers: &[usize]| {
            let mut bytes = Vec::new();
            for number in numbers {
                let key = format!("a{}.b.c{}", number % QUEUES, number / QUEUES);
                let to = match self.route {
                    Route::One => ("", "q0"),
                    Route::Topic => ("amq.topic", key.as_str()),
                    Route::Fanout => ("amq.fanout", ""),
                };
                let mut properties = properties(persistent);
                self.feature.mark(&mut properties, *number);
                publish(&mut bytes, to, properties, &body);
            }
            bytes
        };
        numbers.chunks(BATCH).map(read).collect()
    }
}

/// A broker with its connections, all set.
pub struct Stage {
    store: Arc<Store>,
    publisher: Client,
    consumers: Vec<Client>,
    reads: Vec<Vec<u8>>,
    settles: bool,
    durable: bool,
    feature: Feature,
    /// Deliveries that were acknowledged.
    acked: u64,
    /// Empty between turns; keeps its memory.
    ack: Vec<u8>,
    /// Bytes written to the publisher and to the consumers since the last check.
    written: (usize, usize),
    /// The least that a turn must write to either.
    expected: (usize, usize),
}

fn commit_all(store: &Store) {
    while matches!(store.commit(), Ok(Committed::Batch(_))) {}
}

impl Stage {
    pub fn new(scenario: &Scenario) -> Self {
        let opened = StoreLog::open(Arc::new(NullDisk::default()), Options::default())
            .expect("an empty directory opens");
        let store = Arc::clone(opened.log.store());
        let mut world = World::new(opened.log, opened.recovered);
        let feature = scenario.feature;
        if feature.traces() {
            world.trace();
        }
        feature.policies().into_iter().for_each(|(name, policy)| world.put_policy(&name, &policy));
        let client = || {
            let store = Arc::clone(&store);
            Client::open(&world, move || commit_all(&store))
        };
        let settles = scenario.promise != Promise::None;
        let mut publisher = client();
        if settles {
            publisher.select_confirms();
        }
        let mut consumers: Vec<Client> = (0..scenario.consumers()).map(|_| client()).collect();
        set_up(scenario, &mut publisher, &mut consumers);
        commit_all(&store);
        let delivered = BATCH * scenario.copies() * scenario.body_len;
        let expected = (if settles { 21 } else { 0 }, delivered);
        Self {
            publisher,
            consumers,
            reads: scenario.reads(),
            settles,
            durable: scenario.promise == Promise::Durable,
            feature,
            acked: 0,
            ack: Vec::new(),
            written: (0, 0),
            expected,
            store,
        }
    }

    /// The publisher sends a read, the log is committed, the consumers take and acknowledge what
    /// is there, and the publisher gets its confirms.
    pub fn turn(&mut self, turn: usize) {
        let read = &self.reads[turn % self.reads.len()];
        assert_eq!(self.publisher.peer.receive(read), read.len(), "all is read");
        if self.durable {
            commit_all(&self.store);
        }
        self.acked += BATCH as u64;
        for (index, consumer) in self.consumers.iter_mut().enumerate() {
            self.written.1 += consumer.peer.write();
            if self.settles {
                self.ack.clear();
                if self.feature == Feature::DeadLetter && index == 0 {
                    write_nack(&mut self.ack, 1, self.acked, true, false);
                } else {
                    write_ack(&mut self.ack, 1, self.acked, true);
                }
                consumer.peer.receive(&self.ack);
            }
        }
        self.written.0 += self.publisher.peer.write();
    }

    /// That `turns` did what they should.
    pub fn check(&mut self, turns: usize) {
        let (confirms, delivered) = std::mem::take(&mut self.written);
        assert!(confirms >= turns * self.expected.0, "publishes were confirmed: {confirms}");
        assert!(delivered >= turns * self.expected.1, "messages were delivered: {delivered}");
        let answers: usize = self.consumers.iter_mut().map(|one| one.peer.write()).sum();
        assert_eq!(answers, 0, "nothing is left, and nobody was thrown out");
    }
}

/// Declares the queues and consumes them.
fn set_up(scenario: &Scenario, publisher: &mut Client, consumers: &mut [Client]) {
    let settles = scenario.promise != Promise::None;
    let count = consumers.len();
    for queue in 0..scenario.queues() {
        let name = format!("q{queue}");
        let arguments = scenario.feature.arguments(queue);
        publisher.declare_queue(&name, scenario.promise == Promise::Durable, &arguments);
        bind(publisher, scenario.route, queue, &name);
        if count == 0 {
            continue;
        }
        let consumer = &mut consumers[queue % count];
        if settles {
            consumer.limit_prefetch(BATCH as u16 * 4);
        }
        consumer.consume(&name, !settles);
    }
}

fn bind(client: &mut Client, route: Route, queue: usize, name: &str) {
    match route {
        Route::One => {}
        Route::Topic => {
            for number in 0..QUEUES {
                client.bind(name, "amq.topic", &format!("a{queue}.*.c{number}"));
            }
        }
        Route::Fanout => client.bind(name, "amq.fanout", ""),
    }
}
