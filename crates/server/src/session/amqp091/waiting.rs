//! Messages that wait, as clients see them: those that came back and rest, and those of a delayed
//! exchange in a transaction.

use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_publish};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

use super::tests::{Peer, World};
use crate::options::Options;

const GET: Method<'_> = Method::BasicGet { queue: "q", no_ack: false };

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.as_bytes().to_vec())
}

/// Declares `q`, whose messages rest for a second after such a return.
fn declare_resting(peer: &mut Peer, returns: &str) {
    let arguments = FieldTable(vec![
        ("x-delayed-retry-type".to_owned(), text(returns)),
        ("x-delayed-retry-min".to_owned(), FieldValue::I64(1_000)),
    ]);
    let arguments = arguments.to_content();
    let declare = Method::QueueDeclare {
        queue: "q",
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: true,
        arguments: Table::parse(&arguments).unwrap(),
    };
    assert!(peer.send(1, &declare).is_empty());
}

fn pass(world: &World, peer: &mut Peer, millis: u64) {
    peer.now = peer.now.after(millis);
    world.shared.broker.tick(peer.now);
}

fn close_channel(peer: &mut Peer) {
    let close = Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
    assert_eq!(peer.send(1, &close), ["channel.close-ok"]);
    assert_eq!(peer.send(1, &Method::ChannelOpen {}), ["channel.open-ok"]);
}

#[test]
fn what_a_closed_channel_leaves_rests() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    declare_resting(&mut peer, "returned");
    peer.publish("q", false, b"a");
    assert_eq!(peer.send(1, &GET)[0], "basic.get-ok");
    close_channel(&mut peer);
    assert_eq!(peer.send(1, &GET), ["basic.get-empty"]);
    pass(&world, &mut peer, 999);
    assert_eq!(peer.send(1, &GET), ["basic.get-empty"]);
    pass(&world, &mut peer, 1);
    assert_eq!(peer.send(1, &GET)[0], "basic.get-ok");
}

#[test]
fn what_a_lost_connection_leaves_rests() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    declare_resting(&mut peer, "all");
    peer.publish("q", false, b"a");
    let mut lost = world.open();
    assert_eq!(lost.send(1, &GET)[0], "basic.get-ok");
    lost.session.release_all();
    assert_eq!(peer.send(1, &GET), ["basic.get-empty"]);
    pass(&world, &mut peer, 1_000);
    assert_eq!(peer.send(1, &GET)[0], "basic.get-ok");
}

#[test]
fn what_is_returned_does_not_rest_where_only_failures_do() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    declare_resting(&mut peer, "failed");
    peer.publish("q", false, b"a");
    assert_eq!(peer.send(1, &GET)[0], "basic.get-ok");
    close_channel(&mut peer);
    assert_eq!(peer.send(1, &GET)[0], "basic.get-ok");
}

/// Publishes to `later` with a delay of one second.
fn publish_later(peer: &mut Peer) -> Vec<String> {
    let headers = Some(FieldTable(vec![("x-delay".to_owned(), FieldValue::I64(1_000))]));
    let mut properties = Vec::new();
    BasicProperties { headers, ..BasicProperties::default() }.encode(&mut properties);
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "later", "q", false);
    write_content_header(&mut bytes, 1, 1, &properties);
    write_body_frame_header(&mut bytes, 1, 1);
    bytes.extend_from_slice(b"a\xCE");
    peer.give(&bytes)
}

#[test]
fn a_delay_counts_from_the_commit_of_its_transaction() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.declare("q", false);
    let kind = FieldTable(vec![("x-delayed-type".to_owned(), text("direct"))]).to_content();
    let declare = Method::ExchangeDeclare {
        exchange: "later",
        r#type: "x-delayed-message",
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        no_wait: true,
        arguments: Table::parse(&kind).unwrap(),
    };
    assert!(peer.send(1, &declare).is_empty());
    let bind = Method::QueueBind {
        queue: "q",
        exchange: "later",
        routing_key: "q",
        no_wait: true,
        arguments: Table::EMPTY,
    };
    assert!(peer.send(1, &bind).is_empty());
    assert_eq!(peer.send(1, &Method::TxSelect {}), ["tx.select-ok"]);

    publish_later(&mut peer);
    assert_eq!(peer.send(1, &Method::TxRollback {}), ["tx.rollback-ok"]);
    let waiting = || world.shared.broker.scheduled_counts("/", "later").unwrap().ready;
    assert_eq!(waiting(), 0, "it was rolled back");

    publish_later(&mut peer);
    pass(&world, &mut peer, 700);
    assert_eq!(waiting(), 0, "it is not committed");
    assert_eq!(peer.send(1, &Method::TxCommit {}), ["tx.commit-ok"]);
    assert_eq!(waiting(), 1);
    pass(&world, &mut peer, 999);
    assert_eq!(peer.send(1, &GET), ["basic.get-empty"]);
    pass(&world, &mut peer, 1);
    assert_eq!(peer.send(1, &GET)[0], "basic.get-ok");
}
