//! Sessions under random input: sensible methods in senseless order, and bytes with errors in them.
//!
//! A seed is printed with every failure. `LEVERET_STORM_INPUTS` sets how many inputs are played
//! (methods, content frames and pieces of broken bytes), `LEVERET_STORM_SEED` where to begin.

use leveret_broker::log::{Log, Position};
use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_publish};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

use super::tests::{Peer, World};
use crate::options::Options;

/// xorshift64*: good enough to vary tests, and repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

const QUEUES: [&str; 5] = ["", "q1", "q2", "amq.rabbitmq.reply-to", "nope"];
const EXCHANGES: [&str; 7] = ["", "amq.topic", "amq.headers", "amq.fanout", "x1", "x2", "nowhere"];
const KEYS: [&str; 5] = ["", "q1", "a.b", "#.*", "amq.rabbitmq.reply-to.x"];
const TAGS: [&str; 3] = ["", "c1", "c2"];

fn arguments(random: &mut Random) -> Vec<u8> {
    let text = |text: &str| FieldValue::LongStr(text.as_bytes().to_vec());
    let mut table = FieldTable::default();
    for _ in 0..random.below(3) {
        let (key, value) = match random.below(9) {
            0 => ("x-max-length", FieldValue::I32(random.below(4) as i32)),
            1 => ("x-message-ttl", FieldValue::I64(random.below(40) as i64)),
            2 => ("x-dead-letter-exchange", text(random.pick(&EXCHANGES))),
            3 => ("x-max-priority", FieldValue::U8(random.below(5) as u8)),
            4 => ("x-single-active-consumer", FieldValue::Bool(true)),
            5 => ("x-match", text(random.pick(&["any", "all", "most"]))),
            6 => ("x-expires", FieldValue::I32(random.below(100) as i32)),
            7 => ("alternate-exchange", text(random.pick(&EXCHANGES))),
            _ => ("x-priority", FieldValue::I16(random.below(3) as i16)),
        };
        table.0.push((key.to_owned(), value));
    }
    table.to_content()
}

/// A method that changes the definitions.
fn definition<'a>(random: &mut Random, table: Table<'a>) -> Method<'a> {
    let queue = random.pick(&QUEUES);
    let exchange = random.pick(&EXCHANGES);
    let routing_key = random.pick(&KEYS);
    let no_wait = random.below(4) == 0;
    match random.below(10) {
        0..=2 => Method::QueueDeclare {
            queue,
            passive: random.below(5) == 0,
            durable: random.flag(),
            exclusive: random.below(4) == 0,
            auto_delete: random.below(3) == 0,
            no_wait,
            arguments: table,
        },
        3 => Method::QueueBind { queue, exchange, routing_key, no_wait, arguments: table },
        4 => Method::QueueUnbind { queue, exchange, routing_key, arguments: table },
        5 => Method::QueuePurge { queue, no_wait },
        6 => Method::QueueDelete { queue, if_unused: random.flag(), if_empty: false, no_wait },
        7 => Method::ExchangeDeclare {
            exchange,
            r#type: random.pick(&["direct", "fanout", "topic", "headers", "direct", "odd"]),
            passive: random.below(5) == 0,
            durable: random.flag(),
            auto_delete: random.flag(),
            internal: random.below(5) == 0,
            no_wait,
            arguments: table,
        },
        8 => Method::ExchangeDelete { exchange, if_unused: random.flag(), no_wait },
        _ => Method::ExchangeBind {
            destination: random.pick(&EXCHANGES),
            source: exchange,
            routing_key,
            no_wait,
            arguments: table,
        },
    }
}

fn method<'a>(random: &mut Random, table: Table<'a>) -> Method<'a> {
    let queue = random.pick(&QUEUES);
    let no_wait = random.below(4) == 0;
    let delivery_tag = random.below(6);
    match random.below(30) {
        0..=9 => definition(random, table),
        10..=13 => Method::BasicConsume {
            queue,
            consumer_tag: random.pick(&TAGS),
            no_local: false,
            no_ack: random.flag(),
            exclusive: random.below(6) == 0,
            no_wait,
            arguments: table,
        },
        14 => Method::BasicCancel { consumer_tag: random.pick(&TAGS), no_wait },
        15 | 16 => Method::BasicGet { queue, no_ack: random.flag() },
        17..=19 => Method::BasicAck { delivery_tag, multiple: random.flag() },
        20 => Method::BasicNack { delivery_tag, multiple: random.flag(), requeue: random.flag() },
        21 => Method::BasicReject { delivery_tag, requeue: random.flag() },
        22 => Method::BasicQos {
            prefetch_size: 0,
            prefetch_count: random.below(4) as u16,
            global: random.flag(),
        },
        23 => Method::BasicRecover { requeue: random.below(8) != 0 },
        24 => Method::ConfirmSelect { no_wait },
        25 => Method::TxSelect {},
        26 => Method::TxCommit {},
        27 => Method::TxRollback {},
        28 => Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 },
        _ => Method::ChannelCloseOk {},
    }
}

/// Property lists: none, persistent, priority and expiration, headers with CC, a reply-to.
const PROPERTIES: [&[u8]; 5] = [
    &[0, 0],
    &[0x10, 0, 2],
    &[0x09, 0, 3, 1, b'9'],
    b"\x20\0\0\0\0\x0f\x02CCA\0\0\0\x07S\0\0\0\x02q1",
    b"\x02\0\x15amq.rabbitmq.reply-to",
];

fn publish(random: &mut Random, channel: u16, out: &mut Vec<u8>) {
    let (exchange, key) = (random.pick(&EXCHANGES), random.pick(&KEYS));
    write_publish(out, channel, exchange, key, random.flag());
    let body = vec![b'x'; random.below(40) as usize];
    let properties = PROPERTIES[random.below(PROPERTIES.len() as u64) as usize];
    write_content_header(out, channel, body.len() as u64, properties);
    if !body.is_empty() {
        write_body_frame_header(out, channel, body.len() as u32);
        out.extend_from_slice(&body);
        out.push(0xCE);
    }
}

/// One input; sometimes with a byte of it changed.
fn input(random: &mut Random) -> Vec<u8> {
    let channel = random.below(3) as u16;
    let table = arguments(random);
    let table = Table::parse(&table).unwrap();
    let mut bytes = Vec::new();
    match random.below(10) {
        0..=3 => publish(random, channel.max(1), &mut bytes),
        4 => Method::ChannelOpen {}.encode_frame(channel.max(1), &mut bytes),
        _ => method(random, table).encode_frame(channel.max(1), &mut bytes),
    }
    if random.below(400) == 0 {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = random.next() as u8;
    }
    bytes
}

fn reconnect(world: &World, random: &mut Random) -> Peer {
    if random.below(20) == 0 {
        let mut peer = world.session();
        peer.give(&PROTOCOL_HEADER);
        return peer;
    }
    world.open()
}

/// Plays `count` inputs on three connections; afterwards nothing may be left over.
fn storm(seed: u64, count: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let world = World::new(Options::default());
    world.log.sync();
    let mut peers: Vec<(Peer, Vec<u8>)> = (0..3).map(|_| (world.open(), Vec::new())).collect();
    for _ in 0..count {
        let at = random.below(3) as usize;
        let (peer, kept) = &mut peers[at];
        kept.extend(input(&mut random));
        let used = peer.session.receive(kept, peer.now);
        kept.drain(..used);
        if random.below(3) == 0 {
            let (durable, appended) = (world.log.durable().0, world.log.appended().0);
            world.log.sync_to(Position(durable + random.below(appended - durable + 1)));
        }
        peer.answers();
        peer.now = peer.now.after(random.below(3));
        world.shared.broker.tick(peer.now);
        assert!(kept.len() < 1 << 20, "input is used or refused");
        if peer.session.is_ended() || random.below(200) == 0 || !peer.session.is_running() {
            peer.session.release_all();
            peers[at] = (reconnect(&world, &mut random), Vec::new());
        }
    }
    world.log.sync();
    for (peer, _) in &mut peers {
        peer.answers();
        assert!(!peer.session.out().is_held(), "nothing waits for what is durable");
    }
    peers.iter_mut().for_each(|(peer, _)| peer.session.release_all());
    let cleaner = world.open();
    for queue in world.shared.broker.topology().vhosts["/"].queues.values() {
        assert_eq!(queue.counts().consumers, 0, "no consumer outlives its connection");
        assert_eq!(queue.counts().unacked, 0, "no delivery outlives its connection");
        let (who, now) = (cleaner.session.principal(), cleaner.now);
        world.shared.broker.purge_queue(who, &queue.spec.name, now).unwrap();
    }
    assert_eq!(world.shared.broker.memory_bytes(), 0, "memory is counted back to nothing");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn a_storm_leaves_nothing_behind() {
    let inputs = setting("LEVERET_STORM_INPUTS", 40_000);
    let first = setting("LEVERET_STORM_SEED", 1);
    for seed in first..first + inputs.div_ceil(400) {
        let result = std::panic::catch_unwind(|| storm(seed, 400));
        assert!(result.is_ok(), "seed {seed} failed: LEVERET_STORM_SEED={seed}");
    }
}
