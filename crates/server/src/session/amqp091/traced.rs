//! Sessions while OpenTelemetry is on: which spans there are, and what becomes of headers.

use leveret_broker::message::{BasicProperties, FieldTable, FieldValue};
use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_publish};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::Table;
use tokio::sync::mpsc::Receiver;

use super::tests::{Peer, World};
use crate::options::Options;
use crate::telemetry::{Attribute, Span, Telemetry, attach};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SENDER: [u8; 8] = [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];

fn traced(ratio: f64) -> (World, Receiver<Span>) {
    let world = World::new(Options::default());
    let (telemetry, spans) = Telemetry::new(ratio);
    attach(&world.shared, &telemetry);
    (world, spans)
}

fn publish(peer: &mut Peer, routing_key: &str, parent: Option<&str>) -> Vec<String> {
    let headers = parent.map(|text| {
        let value = FieldValue::LongStr(text.as_bytes().to_vec());
        FieldTable(vec![("traceparent".to_owned(), value)])
    });
    let mut properties = Vec::new();
    BasicProperties { headers, ..BasicProperties::default() }.encode(&mut properties);
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "", routing_key, false);
    write_content_header(&mut bytes, 1, 1, &properties);
    write_body_frame_header(&mut bytes, 1, 1);
    bytes.extend_from_slice(b"x\xCE");
    peer.give(&bytes)
}

fn declare(peer: &mut Peer, queue: &str, arguments: &[(&str, &str)]) {
    let text = |text: &str| FieldValue::LongStr(text.as_bytes().to_vec());
    let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
    let content = FieldTable(arguments.collect()).to_content();
    let answer = peer.send(
        1,
        &Method::QueueDeclare {
            queue,
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: Table::parse(&content).unwrap(),
        },
    );
    assert_eq!(answer, ["queue.declare-ok"]);
}

fn taken(spans: &mut Receiver<Span>) -> Vec<Span> {
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn get(peer: &mut Peer, queue: &str) {
    let answers = peer.send(1, &Method::BasicGet { queue, no_ack: false });
    assert_eq!(answers, ["basic.get-ok", "header", "body"]);
}

#[test]
fn the_spans_of_a_message_hang_below_its_sender() {
    let (world, mut received) = traced(0.0);
    let mut peer = world.open();
    declare(&mut peer, "dead", &[]);
    let letters = [("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "dead")];
    declare(&mut peer, "q", &letters);
    peer.consume("q");
    publish(&mut peer, "q", Some(PARENT));
    let spans = taken(&mut received);
    assert_eq!(names(&spans), ["route q", "publish q", "deliver q"]);
    let [route, publish_span, deliver] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(publish_span.parent, Some(SENDER));
    assert_eq!(route.parent, Some(publish_span.context.span));
    assert_eq!(deliver.parent, Some(SENDER));
    assert!(publish_span.start_ns <= route.start_ns && route.end_ns <= publish_span.end_ns);
    assert!(deliver.attributes.contains(&("leveret.queue", Attribute::from("q"))));
    let reject = Method::BasicReject { delivery_tag: 1, requeue: false };
    peer.send(1, &reject);
    let after = taken(&mut received);
    assert_eq!(names(&after), ["reject q", "dead_letter q"]);
    assert_eq!(after[0].parent, Some(deliver.context.span));
    assert_eq!(after[1].parent, Some(SENDER));
    let reason = ("leveret.dead_letter.reason", Attribute::from("rejected"));
    assert!(after[1].attributes.contains(&reason));
    // The letter goes on where it died.
    get(&mut peer, "dead");
    peer.send(1, &Method::BasicAck { delivery_tag: 2, multiple: false });
    let last = taken(&mut received);
    assert_eq!(names(&last), ["get dead", "ack dead"]);
    assert_eq!(last[0].parent, Some(after[1].context.span));
    let ids = spans.iter().chain(&after).chain(&last).map(|span| span.context.span);
    let ids: std::collections::HashSet<[u8; 8]> = ids.collect();
    assert_eq!(ids.len(), 7, "each has an id of its own");
}

#[test]
fn what_its_sender_does_not_record_is_not_recorded() {
    let (world, mut received) = traced(1.0);
    let mut peer = world.open();
    declare(&mut peer, "q", &[]);
    let unsampled = format!("{}00", &PARENT[..53]);
    publish(&mut peer, "q", Some(&unsampled));
    get(&mut peer, "q");
    peer.send(1, &Method::BasicAck { delivery_tag: 1, multiple: true });
    assert!(taken(&mut received).is_empty());
}

#[test]
fn a_message_without_a_trace_begins_one() {
    let (world, mut received) = traced(1.0);
    let mut peer = world.open();
    declare(&mut peer, "q", &[]);
    publish(&mut peer, "q", None);
    get(&mut peer, "q");
    let spans = taken(&mut received);
    assert_eq!(names(&spans), ["route q", "publish q", "get q"]);
    assert_eq!((spans[1].parent, spans[2].parent), (None, Some(spans[1].context.span)));
    assert!(spans.iter().all(|span| span.context.trace == spans[1].context.trace));
}

#[test]
fn a_refused_publish_says_so_and_what_goes_back_by_itself_has_no_span() {
    let (world, mut received) = traced(0.0);
    let mut peer = world.open();
    declare(&mut peer, "q", &[]);
    publish(&mut peer, "q", Some(PARENT));
    peer.consume("q");
    taken(&mut received);
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "nowhere", "q", false);
    let headers = FieldTable(vec![(
        "traceparent".to_owned(),
        FieldValue::LongStr(PARENT.as_bytes().to_vec()),
    )]);
    let mut properties = Vec::new();
    BasicProperties { headers: Some(headers), ..BasicProperties::default() }
        .encode(&mut properties);
    write_content_header(&mut bytes, 1, 0, &properties);
    assert_eq!(peer.give(&bytes), ["channel.close"]);
    let spans = taken(&mut received);
    assert_eq!(names(&spans), ["route nowhere", "publish nowhere"]);
    assert!(spans.iter().all(|span| span.error == Some("NOT_FOUND")), "{spans:?}");
}
