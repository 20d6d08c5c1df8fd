//! A publish that is there as a whole goes a shorter way than one whose frames come in pieces: the
//! same bytes, cut at every place, come to the same.

use leveret_wire::amqp091::frame::{
    Decoder, Event, write_body_frame_header, write_content_header, write_heartbeat, write_publish,
};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

use super::tests::{Peer, World};
use crate::options::Options;

const QUEUES: [&str; 2] = ["q", "q2"];

/// What came of a stream: what the client was told, up to which tag its publishes are confirmed,
/// and what the queues have.
#[derive(Debug, PartialEq)]
struct Told {
    frames: Vec<u8>,
    confirmed: u64,
    messages: Vec<u8>,
}

fn written(peer: &mut Peer) -> Vec<u8> {
    peer.take_mail();
    let mut bytes = Vec::new();
    let mut slices = crate::net::out_buffer::OutBuffer::no_slices();
    let count = peer.session.out().slices(&mut slices);
    slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
    peer.session.out().advance(bytes.len());
    bytes
}

/// Gives `stream` to a connection in pieces that end at `ends`.
fn play(stream: &[u8], ends: impl IntoIterator<Item = usize>) -> Told {
    let world = World::new(Options { max_message_size: 1000, ..Options::default() });
    let mut reader = world.open();
    for queue in QUEUES {
        reader.declare(queue, false);
        let (exchange, arguments) = ("amq.fanout", Table::EMPTY);
        let bind = Method::QueueBind { queue, exchange, routing_key: "", no_wait: true, arguments };
        reader.send(1, &bind);
    }
    let mut peer = world.session();
    peer.shake_hands("guest", 4096, 0);
    for channel in [1, 2] {
        peer.send(channel, &Method::ChannelOpen {});
    }
    // The first publish always goes the long way.
    peer.publish("q2", false, b"first");
    let mut told = Told { frames: Vec::new(), confirmed: 0, messages: Vec::new() };
    let (mut kept, mut start) = (Vec::new(), 0);
    for end in ends.into_iter().chain([stream.len()]) {
        kept.extend_from_slice(&stream[start..end]);
        start = end;
        let used = peer.session.receive(&kept, peer.now);
        kept.drain(..used);
        note(&written(&mut peer), &mut told);
    }
    for queue in QUEUES {
        let mut get = Vec::new();
        Method::BasicGet { queue, no_ack: true }.encode_frame(1, &mut get);
        // More often than there are messages.
        for _ in 0..8 {
            reader.session.receive(&get, reader.now);
            told.messages.extend(written(&mut reader));
        }
    }
    told
}

/// Pieces have other turns, and so other confirms: what counts is how far they go.
fn note(mut written: &[u8], told: &mut Told) {
    let mut decoder = Decoder::new(0);
    loop {
        let before = written;
        let Some(event) = decoder.next(&mut written).expect("right frames") else { break };
        if let Event::Method { payload, .. } = event
            && let Ok(Method::BasicAck { delivery_tag, .. }) = Method::decode(payload)
        {
            told.confirmed = told.confirmed.max(delivery_tag);
        } else {
            told.frames.extend_from_slice(&before[..before.len() - written.len()]);
        }
    }
}

fn method(method: &Method<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    method.encode_frame(1, &mut bytes);
    bytes
}

fn header(channel: u16, size: usize, properties: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_content_header(&mut bytes, channel, size as u64, properties);
    bytes
}

fn body(channel: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_body_frame_header(&mut bytes, channel, body.len() as u32);
    [&bytes[..], body, b"\xCE"].concat()
}

fn start(channel: u16, exchange: &str, key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_publish(&mut bytes, channel, exchange, key, true);
    bytes
}

/// A publish on channel 1 by way of an exchange.
fn publish(exchange: &str, key: &str, properties: &[u8], text: &[u8]) -> Vec<u8> {
    [start(1, exchange, key), header(1, text.len(), properties), body(1, text)].concat()
}

fn properties(properties: &BasicProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    properties.encode(&mut bytes);
    bytes
}

fn copy_to(key: &str) -> Vec<u8> {
    let keys = FieldValue::Array(vec![FieldValue::LongStr(key.as_bytes().to_vec())]);
    let headers = Some(FieldTable(vec![("CC".to_owned(), keys)]));
    properties(&BasicProperties { headers, priority: Some(3), ..BasicProperties::default() })
}

/// The frames of a publish, the last byte of the one at `frame` changed from the end by `back`.
fn spoilt(frame: usize, back: usize, byte: u8) -> Vec<u8> {
    let mut frames = [start(1, "", "q"), header(1, 3, b"\0\0"), body(1, b"bad")];
    let at = frames[frame].len() - 1 - back;
    frames[frame][at] = byte;
    frames.concat()
}

fn fanned(text: &str) -> Vec<u8> {
    publish("amq.fanout", "", b"\0\0", text.as_bytes())
}

/// Publishes that are right, and are between others.
fn right() -> Vec<(&'static str, Vec<u8>)> {
    let (none, good) = (b"\0\0", publish("", "q", b"\x90\x00\x01t\x01", b"good"));
    let mut heartbeat = Vec::new();
    write_heartbeat(&mut heartbeat);
    let text = |text: &str| Some(text.into());
    let lasting = BasicProperties {
        delivery_mode: Some(2),
        expiration: text("60000"),
        user_id: text("guest"),
        ..BasicProperties::default()
    };
    let confirms = method(&Method::ConfirmSelect { no_wait: false });
    let (select, commit) = (method(&Method::TxSelect {}), method(&Method::TxCommit {}));
    vec![
        ("several", [&good[..], &good, &publish("", "q2", none, b"x")].concat()),
        ("confirmed", [&confirms[..], &good, &publish("", "nobody", none, b"x"), &good].concat()),
        ("committed", [&select[..], &good, &good, &commit].concat()),
        ("copied", publish("", "q", &copy_to("q2"), b"twice")),
        ("all looked at", publish("", "q", &properties(&lasting), b"x")),
        ("to all and to one", [fanned("1"), fanned("2"), good.clone(), fanned("3")].concat()),
        ("to one and to all", [good.clone(), fanned("1"), good.clone()].concat()),
        ("by topic", publish("amq.topic", "a.b", none, b"x")),
        (
            "empty body",
            [publish("", "q", none, b"x"), start(1, "", "q"), header(1, 0, none)].concat(),
        ),
        (
            "two bodies",
            [start(1, "", "q"), header(1, 4, none), body(1, b"ab"), body(1, b"cd")].concat(),
        ),
        (
            "two channels",
            [
                start(1, "", "q"),
                start(2, "", "q2"),
                header(2, 1, none),
                header(1, 1, none),
                body(1, b"1"),
                body(2, b"2"),
                good.clone(),
            ]
            .concat(),
        ),
        ("heartbeat", [start(1, "", "q"), heartbeat, header(1, 1, none), body(1, b"1")].concat()),
    ]
}

/// Publishes that are refused, each with a right one behind it.
fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    let (none, wants_reply) = (b"\0\0", b"\x02\x00\x15amq.rabbitmq.reply-to");
    vec![
        ("no exchange", publish("none", "q", none, b"x")),
        ("delivery mode", publish("", "q", b"\x10\x00\x03", b"x")),
        ("user", publish("", "q", b"\x00\x10\x01u", b"x")),
        ("malformed", publish("", "q", b"\x10\x00", b"x")),
        ("too large", publish("", "q", none, &[1; 1001])),
        ("no reply consumer", publish("", "q", wants_reply, b"x")),
        ("reply to nobody", publish("", "amq.rabbitmq.reply-to.none", none, b"x")),
        ("immediate", spoilt(0, 1, 3)),
        ("key of no text", spoilt(0, 2, 0xFF)),
        ("bad end of method", spoilt(0, 0, 0)),
        ("bad end of body", spoilt(2, 0, 0)),
        ("weight", spoilt(1, 11, 1)),
        ("larger than the header says", spoilt(1, 3, 2)),
        ("no such channel", [start(9, "", "q"), header(9, 1, none), body(9, b"x")].concat()),
        ("large frame", [start(1, "", "q"), header(1, 900, none), body(1, &[0; 5000])].concat()),
        ("no header", [start(1, "", "q"), body(1, b"x")].concat()),
        ("header twice", [start(1, "", "q"), header(1, 1, none), header(1, 1, none)].concat()),
        ("no content", start(1, "", "q")),
        ("method twice", [start(1, "", "q"), start(1, "", "q")].concat()),
    ]
}

fn check(name: &str, stream: &[u8]) {
    let whole = play(stream, []);
    assert_eq!(play(stream, 1..stream.len()), whole, "{name}, byte by byte");
    // The middle of a large body is like its beginning.
    let places = (1..stream.len()).filter(|place| *place < 200 || place % 61 == 0);
    for place in places {
        assert_eq!(play(stream, [place]), whole, "{name}, cut at {place}");
    }
}

#[test]
fn a_right_publish_means_the_same_as_a_whole_and_in_pieces() {
    for (name, stream) in right() {
        check(name, &stream);
        let told = play(&stream, []);
        let delivered =
            told.messages.windows(4).filter(|window| *window == b"\0\x3c\0\x47").count();
        let unroutable = if name == "by topic" { 0 } else { 1 };
        assert!(delivered > unroutable, "{name}: {delivered} messages are there");
    }
    let confirmed = play(&right()[1].1, []).confirmed;
    assert_eq!(confirmed, 3);
}

#[test]
fn a_wrong_publish_means_the_same_as_a_whole_and_in_pieces() {
    for (name, stream) in wrong() {
        let stream = [stream, publish("", "q", b"\0\0", b"behind")].concat();
        check(name, &stream);
        assert!(!play(&stream, []).frames.is_empty(), "{name}: the client is told");
    }
}
