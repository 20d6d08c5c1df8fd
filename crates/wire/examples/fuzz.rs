//! A seeded mutation fuzzer for the whole crate: `fuzz --inputs 10000000 --seed 1`.
//!
//! Each input is a valid frame stream, method payload, table, property list or content header with
//! a few mutations, or plain random bytes. Frame streams go through [`Decoder`] in random splits,
//! the rest through its decoder. Checked: nothing panics, every event consumes bytes, what is kept
//! between reads stays below the frame limit, what decodes encodes to something that decodes, and
//! the short ways (a publish as a whole, the essential properties) find what the long ones do.
//! A failure prints the seed and the input's number; `--first N` starts there.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

use std::time::Instant;

use leveret_wire::amqp091::frame::{
    ContentHeader, Decoder, Event, FRAME_END, Publish, write_body_frame_header,
    write_content_header, write_deliver, write_heartbeat, write_publish,
};
use leveret_wire::amqp091::method::{ALL_METHODS, Method};
use leveret_wire::amqp091::properties::{
    BasicProperties, Essentials, Properties, ShortString, peek_flags,
};
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

/// The limit that fuzzed decoders have, as frames over the whole.
const FRAME_MAX: u32 = 4096;

/// xorshift64*: enough for a fuzzer, the same everywhere.
struct Random(u64);

impl Random {
    fn of_input(seed: u64, number: u64) -> Random {
        let mixed = (seed ^ number.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Random((mixed ^ (mixed >> 29) ^ number) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }
}

/// What is valid, to be mutated.
struct Corpus {
    methods: Vec<Vec<u8>>,
    tables: Vec<Vec<u8>>,
    properties: Vec<Vec<u8>>,
}

impl Corpus {
    fn new() -> Corpus {
        let tables = vec![Vec::new(), sample_table(0).to_content(), sample_table(3).to_content()];
        let mut methods = zero_methods();
        methods.extend(sample_methods(&tables[1]));
        let mut properties = vec![vec![0, 0], b"\x00\x01\x00\x00".to_vec()];
        for depth in 0..3 {
            let mut raw = Vec::new();
            sample_properties(depth).encode(&mut raw);
            properties.push(raw);
        }
        Corpus { methods, tables, properties }
    }
}

/// Every method with all fields zero or empty.
fn zero_methods() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for &(class_id, method_id, _) in ALL_METHODS {
        let mut bytes = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
        while Method::decode(&bytes).is_err() {
            bytes.push(0);
        }
        found.push(bytes);
    }
    found
}

fn sample_methods(table: &[u8]) -> Vec<Vec<u8>> {
    let arguments = Table::parse(table).unwrap_or_default();
    let (exchange, routing_key) = ("events", "user.created");
    let methods = [
        Method::ConnectionStartOk {
            client_properties: arguments,
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
        },
        Method::QueueDeclare {
            queue: "tasks",
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: true,
            arguments,
        },
        Method::QueueBind { queue: "tasks", exchange, routing_key, no_wait: false, arguments },
        Method::BasicPublish { exchange, routing_key, mandatory: true, immediate: false },
        Method::BasicAck { delivery_tag: u64::MAX, multiple: true },
    ];
    let encoded = methods.iter().map(|method| {
        let mut out = Vec::new();
        method.encode(&mut out);
        out
    });
    encoded.collect()
}

fn sample_table(depth: usize) -> FieldTable {
    let mut table: FieldTable = [("x-max-length", 10), ("x-message-ttl", -1)].into_iter().collect();
    table.insert("text", "grüße");
    table.insert("yes", true);
    table.insert("double", 1.5f64);
    table.insert("float", f32::NAN);
    table.insert("decimal", FieldValue::Decimal { scale: 2, value: 314 });
    table.insert("time", FieldValue::Timestamp(1 << 33));
    table.insert("void", FieldValue::Void);
    table.insert("bytes", FieldValue::Bytes(vec![0, 255]));
    table.insert("small", vec![FieldValue::I8(-1), 2u8.into(), (-3i16).into(), 4u16.into()]);
    table.insert("large", vec![FieldValue::U32(5), FieldValue::I64(6)]);
    if depth > 0 {
        table.insert("nested", sample_table(depth - 1));
    }
    table
}

fn sample_properties(depth: usize) -> BasicProperties {
    let text = |content: &str| Some(ShortString::from(content));
    BasicProperties {
        content_type: text("application/json"),
        headers: (depth > 0).then(|| sample_table(depth - 1)),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: text("2f1c"),
        expiration: text("60000"),
        timestamp: Some(1_700_000_000),
        user_id: text("guest"),
        cluster_id: (depth > 1).then(ShortString::default),
        ..BasicProperties::default()
    }
}

/// Changes up to six places: bits, bytes, length octets, cuts, repeats.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(7) {
        let at = random.below(bytes.len() + 1);
        match (random.below(8), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << random.below(8),
            (1, Some(byte)) => *byte = random.byte(),
            (2, Some(byte)) => *byte = [0, 1, 0x7F, 0x80, 0xCE, 0xFF][random.below(6)],
            (3, Some(byte)) => *byte = b"StFAIlLTVxDdfbBsui"[random.below(18)],
            (4, _) => bytes.truncate(at),
            (5, _) => bytes.insert(at, random.byte()),
            (6, Some(_)) => drop(bytes.remove(at)),
            _ => {
                let end = (at + random.below(24)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
        }
    }
}

fn pick<'c>(random: &mut Random, from: &'c [Vec<u8>]) -> &'c [u8] {
    &from[random.below(from.len())]
}

/// A stream of one to four frames, valid before mutation.
fn write_frames(random: &mut Random, corpus: &Corpus, out: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let channel = random.byte().into();
        match random.below(7) {
            0 | 1 => {
                let payload = pick(random, &corpus.methods);
                out.extend_from_slice(&[1, 0, random.byte()]);
                out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
                out.extend_from_slice(payload);
                out.push(FRAME_END);
            }
            2 => write_content_header(out, channel, 11, pick(random, &corpus.properties)),
            3 => {
                let len = random.below(90);
                write_body_frame_header(out, channel, len as u32);
                out.extend((0..len).map(|i| i as u8));
                out.push(FRAME_END);
            }
            4 => write_deliver(out, channel, "ctag", random.next(), true, "events", "user.created"),
            5 => {
                write_publish(out, channel, "events", "user.created", true);
                write_content_header(out, channel, 2, pick(random, &corpus.properties));
                write_body_frame_header(out, channel, 2);
                out.extend_from_slice(&[random.byte(), random.byte(), FRAME_END]);
            }
            _ => write_heartbeat(out),
        }
    }
}

/// Feeds `stream` in random pieces; returns how many events came out.
fn run_decoder(random: &mut Random, stream: &[u8], kept: &mut Vec<u8>) -> u64 {
    let frame_max = if random.below(16) == 0 { 0 } else { FRAME_MAX };
    let mut decoder = Decoder::new(frame_max);
    let limit = if stream.len() > FRAME_MAX as usize { stream.len() } else { FRAME_MAX as usize };
    let (mut rest, mut events) = (stream, 0);
    kept.clear();
    while !rest.is_empty() {
        let size = if random.below(3) == 0 { rest.len() } else { 1 + random.below(rest.len()) };
        let (piece, tail) = rest.split_at(size);
        rest = tail;
        kept.extend_from_slice(piece);
        let mut input = kept.as_slice();
        loop {
            let before = input.len();
            if let Some((publish, behind)) = decoder.whole_publish(input) {
                check_publish(frame_max, input, &publish, behind);
            }
            let Ok(event) = decoder.next(&mut input) else { return events };
            let Some(event) = event else { break };
            assert!(input.len() < before, "an event that consumed nothing");
            look_into(event);
            events += 1;
        }
        assert!(input.len() < decoder.wanted(input), "whole frames are not left behind");
        let used = kept.len() - input.len();
        kept.drain(..used);
        assert!(kept.len() <= limit, "more is kept than a frame");
    }
    events
}

/// The frames one by one are the publish that was found in one go.
fn check_publish(frame_max: u32, input: &[u8], publish: &Publish<'_>, behind: &[u8]) {
    let (mut decoder, mut rest) = (Decoder::new(frame_max), input);
    let mut next = || decoder.next(&mut rest).expect("a right frame").expect("a whole frame");
    let (method, header, body) = (next(), next(), next());
    assert_eq!(rest, behind, "where the publish ends");
    let channel = publish.channel;
    assert_eq!(body, Event::Body { channel, chunk: publish.body, end_of_frame: true });
    let Event::Header { payload, .. } = header else { panic!("{header:?}") };
    let decoded = ContentHeader::decode(payload).expect("a right header");
    assert_eq!(decoded.properties, publish.properties);
    assert_eq!((decoded.class_id, decoded.body_size), (60, publish.body.len() as u64));
    let Event::Method { payload, .. } = method else { panic!("{method:?}") };
    let (exchange, routing_key) =
        (str::from_utf8(publish.exchange), str::from_utf8(publish.routing_key));
    let (Ok(exchange), Ok(routing_key)) = (exchange, routing_key) else { return };
    let (mandatory, immediate) = (publish.mandatory, publish.immediate);
    let expected = Method::BasicPublish { exchange, routing_key, mandatory, immediate };
    assert_eq!(Method::decode(payload), Ok(expected));
}

fn look_into(event: Event<'_>) {
    match event {
        Event::Method { payload, .. } => run_method(payload),
        Event::Header { payload, .. } => run_header(payload),
        Event::Body { .. } | Event::Heartbeat { .. } => {}
    }
}

fn run_method(payload: &[u8]) {
    match Method::decode(payload) {
        Ok(method) => {
            let mut again = Vec::with_capacity(payload.len() + 8);
            method.encode(&mut again);
            assert!(Method::decode(&again).is_ok(), "re-encoded method does not decode");
        }
        Err(error) => drop(error.ids()),
    }
}

fn run_table(bytes: &[u8]) {
    if let Ok(table) = Table::parse(bytes) {
        let _ = table.get("nested");
        let content = table.to_owned().to_content();
        // A key that is not UTF-8 may grow beyond 255 bytes when converted, so only validity
        // counts.
        assert!(Table::parse(&content).is_ok(), "re-encoded table does not decode");
    }
}

fn run_properties(raw: &[u8]) {
    let _ = peek_flags(raw);
    let essentials = Properties::parse(raw).map(|all| Essentials::from(&all));
    assert_eq!(Essentials::parse(raw), essentials);
    if let Ok(properties) = Properties::parse(raw) {
        let (mut borrowed, mut owned) = (Vec::new(), Vec::new());
        properties.encode(&mut borrowed);
        assert!(Properties::parse(&borrowed).is_ok(), "re-encoded properties do not decode");
        BasicProperties::from(&properties).encode(&mut owned);
        assert!(Properties::parse(&owned).is_ok(), "owned properties do not decode");
    }
}

fn run_header(payload: &[u8]) {
    if let Ok(header) = ContentHeader::decode(payload) {
        run_properties(header.properties);
    }
}

/// Makes and runs one input; returns how many frame events came of it.
fn run_input(random: &mut Random, corpus: &Corpus, bytes: &mut Vec<u8>, kept: &mut Vec<u8>) -> u64 {
    bytes.clear();
    let kind = random.below(8);
    match kind {
        0 => bytes.extend_from_slice(pick(random, &corpus.methods)),
        1 => bytes.extend_from_slice(pick(random, &corpus.tables)),
        2 => bytes.extend_from_slice(pick(random, &corpus.properties)),
        3 => {
            let len = random.below(120);
            bytes.extend((0..len).map(|_| random.byte()));
        }
        _ => write_frames(random, corpus, bytes),
    }
    mutate(random, bytes);
    match kind {
        0 => run_method(bytes),
        1 => run_table(bytes),
        2 => run_properties(bytes),
        3 => {
            run_method(bytes);
            run_table(bytes);
            run_header(bytes);
            return run_decoder(random, bytes, kept);
        }
        _ => return run_decoder(random, bytes, kept),
    }
    0
}

/// Prints where the run was if it panics.
struct Position {
    seed: u64,
    number: u64,
}

impl Drop for Position {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("failed: --seed {} --first {} --inputs 1", self.seed, self.number);
        }
    }
}

fn option(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() {
    let (inputs, seed) = (option("--inputs", 1_000_000), option("--seed", 1));
    let first = option("--first", 0);
    let corpus = Corpus::new();
    let (mut bytes, mut kept, mut events) = (Vec::new(), Vec::new(), 0);
    let mut position = Position { seed, number: first };
    let started = Instant::now();
    for number in first..first + inputs {
        position.number = number;
        let mut random = Random::of_input(seed, number);
        events += run_input(&mut random, &corpus, &mut bytes, &mut kept);
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = inputs as f64 / seconds.max(1e-9);
    println!(
        "{inputs} inputs, seed {seed}: {seconds:.1} s, {rate:.0} inputs/s, {events} events, \
         largest buffer {} bytes",
        kept.capacity().max(bytes.capacity())
    );
}
