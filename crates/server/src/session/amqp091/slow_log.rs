//! Sessions while the log is behind: what waits for it, what does not, and that all of it has an
//! end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use leveret_broker::log::Position;
use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_publish};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

use super::tests::{Peer, World, frames, start_ok};
use crate::net::listener::{Port, accept, listen};
use crate::net::mailbox::Notice;
use crate::options::{Options, StoreOptions};

fn declaration(queue: &str, durable: bool, no_wait: bool) -> Method<'_> {
    Method::QueueDeclare {
        queue,
        passive: false,
        durable,
        exclusive: false,
        auto_delete: false,
        no_wait,
        arguments: Table::EMPTY,
    }
}

const QOS: Method<'_> = Method::BasicQos { prefetch_size: 0, prefetch_count: 10, global: false };

const CLOSE: Method<'_> =
    Method::ConnectionClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };

fn declare_many(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        let channel = 1 + number as u16 % 2;
        declaration(&format!("q{number}"), true, false).encode_frame(channel, &mut bytes);
    }
    bytes
}

fn with_pending_max(log_pending_max_bytes: usize) -> World {
    let store = StoreOptions { log_pending_max_bytes, ..StoreOptions::default() };
    World::new(Options { store, ..Options::default() })
}

/// A world with the durable queue `q` in it.
fn with_queue(world: World) -> World {
    world.open().declare("q", true);
    world.log.sync();
    world
}

#[test]
fn pipelined_declares_are_answered_in_order_after_one_sync() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.send(2, &Method::ChannelOpen {});
    assert!(peer.give(&declare_many(100)).is_empty());
    assert!(peer.session.wants_input());
    assert_eq!(world.log.asked.load(Ordering::SeqCst), 1, "one wake-up for the first of them");
    world.log.sync();
    peer.take_mail();
    let written = peer.written();
    let expected = (0..100).map(|number| (1 + number as u16 % 2, "queue.declare-ok"));
    assert!(written.iter().map(|(channel, name, _)| (*channel, &**name)).eq(expected));
}

#[test]
fn each_step_of_the_log_lets_go_what_it_has_passed() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.send(2, &Method::ChannelOpen {});
    let before = world.log.appended();
    peer.give(&declare_many(10));
    for (step, answers) in [(3, 3), (3, 0), (4, 1), (10, 6)] {
        world.log.sync_to(Position(before.0 + step));
        assert_eq!(peer.answers().len(), answers, "at {step}");
    }
    assert!(world.log.asked.load(Ordering::SeqCst) <= 3, "asked once for each position");
}

#[test]
fn output_before_the_mark_leaves_at_once() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    let mut bytes = Vec::new();
    QOS.encode_frame(1, &mut bytes);
    declaration("q", true, false).encode_frame(1, &mut bytes);
    Method::ChannelOpen {}.encode_frame(2, &mut bytes);
    assert_eq!(peer.give(&bytes), ["basic.qos-ok"]);
    world.log.sync();
    assert_eq!(peer.answers(), ["queue.declare-ok", "channel.open-ok"]);
}

#[test]
fn nothing_waits_for_a_declare_without_an_answer() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    assert!(peer.send(1, &declaration("q", true, true)).is_empty());
    assert_eq!(peer.send(1, &QOS), ["basic.qos-ok"]);
    assert_eq!(world.log.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn commits_of_several_channels_share_a_sync() {
    let world = with_queue(World::new(Options::default()));
    let mut peer = world.open();
    peer.send(2, &Method::ChannelOpen {});
    let mut bytes = Vec::new();
    for channel in [1, 2] {
        Method::TxSelect {}.encode_frame(channel, &mut bytes);
        write_publish(&mut bytes, channel, "", "q", false);
        write_content_header(&mut bytes, channel, 1, &[0x10, 0, 2]);
        write_body_frame_header(&mut bytes, channel, 1);
        bytes.extend_from_slice(b"x\xCE");
    }
    assert_eq!(peer.give(&bytes), ["tx.select-ok", "tx.select-ok"]);
    assert!(peer.send(1, &Method::TxCommit {}).is_empty());
    let first = world.log.appended();
    assert!(peer.send(2, &Method::TxCommit {}).is_empty());
    world.log.sync_to(Position(first.0 - 1));
    assert!(peer.answers().is_empty());
    world.log.sync();
    assert_eq!(peer.answers(), ["tx.commit-ok", "tx.commit-ok"]);
}

#[test]
fn deliveries_behind_a_mark_wait_and_those_of_others_do_not() {
    let world = World::new(Options::default());
    let (mut peer, mut other, mut publisher) = (world.open(), world.open(), world.open());
    publisher.declare("t", false);
    peer.consume("t");
    other.consume("t");
    peer.declare("q", true);
    publisher.publish("t", false, b"a");
    publisher.publish("t", false, b"b");
    assert!(peer.answers().is_empty());
    assert_eq!(other.answers(), ["basic.deliver", "header", "body"]);
    world.log.sync();
    assert_eq!(peer.answers(), ["queue.declare-ok", "basic.deliver", "header", "body"]);
}

#[test]
fn a_confirm_stands_behind_a_mark_that_was_there_first() {
    let world = with_queue(World::new(Options::default()));
    let mut peer = world.open();
    peer.send(1, &Method::ConfirmSelect { no_wait: false });
    peer.publish("q", true, b"a");
    let published = world.log.appended();
    peer.declare("other", true);
    world.log.sync_to(published);
    assert!(peer.answers().is_empty());
    world.log.sync();
    assert_eq!(peer.answers(), ["queue.declare-ok", "basic.ack"]);
}

#[test]
fn answers_that_wait_have_a_bound() {
    let world = World::new(Options { out_buffer_max_bytes: 4096, ..Options::default() });
    let mut peer = world.open();
    peer.send(2, &Method::ChannelOpen {});
    let bytes = declare_many(1000);
    let used = peer.session.receive(&bytes, peer.now);
    assert!(used < bytes.len() && peer.session.stopped_early());
    assert!(peer.session.out().len() < 4096 + 100, "{}", peer.session.out().len());
    let mut rest = &bytes[used..];
    let mut answers = 0;
    while !rest.is_empty() {
        world.log.sync();
        answers += peer.answers().len();
        rest = &rest[peer.session.receive(rest, peer.now)..];
    }
    world.log.sync();
    assert_eq!(answers + peer.answers().len(), 1000);
}

#[test]
fn confirms_that_wait_have_a_bound() {
    let options = Options { out_buffer_max_bytes: 4096, ..Options::default() };
    let world = with_queue(World::new(options));
    let mut peer = world.open();
    peer.send(1, &Method::ConfirmSelect { no_wait: false });
    let mut published = 0;
    while peer.session.wants_input() {
        assert!(peer.publish("q", true, b"a").is_empty());
        published += 1;
        assert!(published < 1000, "the wait for confirms has no bound");
    }
    assert!(published > 10);
    world.log.sync();
    assert_eq!(peer.answers(), ["basic.ack"]);
    assert!(peer.session.wants_input());
    assert_eq!(peer.session.confirms_bytes, 0);
}

#[test]
fn rejected_publishes_that_wait_have_a_bound_and_are_told_in_order() {
    let options = Options { out_buffer_max_bytes: 4096, ..Options::default() };
    let world = with_queue(World::new(options));
    let mut peer = world.open();
    let text = |text: &str| FieldValue::LongStr(text.into());
    let arguments = FieldTable(vec![
        ("x-max-length".to_owned(), FieldValue::I32(0)),
        ("x-overflow".to_owned(), text("reject-publish")),
    ]);
    let content = arguments.to_content();
    let full = Method::QueueDeclare {
        queue: "full",
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: Table::parse(&content).unwrap(),
    };
    assert_eq!(peer.send(1, &full), ["queue.declare-ok"]);
    peer.send(1, &Method::ConfirmSelect { no_wait: false });
    peer.publish("q", true, b"waits");
    let mut rejected = 0;
    while peer.session.wants_input() {
        assert!(peer.publish("full", false, b"a").is_empty(), "it waits for the one before it");
        rejected += 1;
        assert!(rejected < 1000, "the wait for confirms has no bound");
    }
    world.log.sync();
    let answers = peer.answers();
    assert_eq!(answers[0], "basic.ack");
    assert_eq!(answers[1..], vec!["basic.nack"; rejected]);
    assert!(peer.session.wants_input());
}

#[test]
fn who_fills_a_log_that_is_behind_is_not_read() {
    let world = with_queue(with_pending_max(1000));
    world.log.entry_bytes.store(400, Ordering::SeqCst);
    let mut publisher = world.open();
    let mut transient = world.open();
    transient.declare("t", false);
    for _ in 0..2 {
        publisher.publish("q", true, b"a");
        assert!(publisher.session.wants_input());
    }
    publisher.publish("q", true, b"a");
    assert!(!publisher.session.wants_input());
    let mine = world.log.appended();
    transient.publish("t", false, b"a");
    assert!(transient.session.wants_input(), "it has nothing in the log");
    let asked = world.log.asked.load(Ordering::SeqCst);
    world.log.sync_to(Position(mine.0 - 1));
    publisher.take_mail();
    assert!(!publisher.session.wants_input());
    assert_eq!(world.log.asked.load(Ordering::SeqCst), asked, "it waits for one wake-up");
    assert!(!publisher.session.mailbox().take_signal(), "no busy loop");
    world.log.sync();
    assert!(publisher.session.mailbox().take_signal());
    assert!(publisher.session.wants_input());
}

#[test]
fn definitions_without_an_answer_stop_too() {
    let world = with_pending_max(1000);
    world.log.entry_bytes.store(400, Ordering::SeqCst);
    let mut peer = world.open();
    let mut bytes = Vec::new();
    for number in 0..100 {
        declaration(&format!("q{number}"), true, true).encode_frame(1, &mut bytes);
    }
    let used = peer.session.receive(&bytes, peer.now);
    assert!(used < bytes.len() / 10, "{used} of {}", bytes.len());
    world.log.sync();
    peer.take_mail();
    assert!(peer.session.receive(&bytes[used..], peer.now) > 0);
}

#[test]
fn who_only_lets_messages_go_is_read_longer_but_not_for_ever() {
    let world = with_queue(with_pending_max(1000));
    let mut publisher = world.open();
    for _ in 0..10 {
        publisher.publish("q", true, b"a");
    }
    let mut consumer = world.open();
    consumer.declare("its own", true);
    world.log.sync();
    consumer.answers();
    world.log.entry_bytes.store(400, Ordering::SeqCst);
    let get = Method::BasicGet { queue: "q", no_ack: true };
    let ack = Method::BasicAck { delivery_tag: 0, multiple: true };
    let get_unacked = Method::BasicGet { queue: "q", no_ack: false };
    // The first one waits until the log knows that messages of this queue are read.
    assert_eq!(consumer.send(1, &get_unacked), [""; 0]);
    world.log.sync();
    assert_eq!(consumer.answers()[0], "basic.get-ok");
    let mut turns = 0;
    while consumer.session.wants_input() {
        let mut bytes = Vec::new();
        get_unacked.encode_frame(1, &mut bytes);
        ack.encode_frame(1, &mut bytes);
        assert_eq!(consumer.give(&bytes)[0], "basic.get-ok");
        turns += 1;
    }
    assert!(turns > 3, "held after {turns} turns");
    world.log.sync();
    consumer.take_mail();
    assert!(consumer.session.wants_input());
    assert_eq!(consumer.send(1, &get)[0], "basic.get-ok");
}

/// A connection with a heartbeat of 10 seconds and an answer that waits for the log.
fn held(world: &World) -> Peer {
    let mut peer = world.session();
    peer.shake_hands("guest", 0, 10);
    peer.send(1, &Method::ChannelOpen {});
    peer.session.on_written(peer.now);
    assert!(peer.declare("q", true).is_empty());
    peer
}

#[test]
fn heartbeats_overtake_what_is_held() {
    let world = World::new(Options::default());
    let mut peer = held(&world);
    for _ in 0..10 {
        let due = peer.session.deadline().unwrap();
        assert_eq!(due, peer.now.after(5_000), "half of the interval");
        peer.now = due;
        peer.session.on_time(due);
        assert_eq!(peer.answers(), ["heartbeat"]);
        peer.session.on_written(due);
        peer.session.receive(&[8, 0, 0, 0, 0, 0, 0, 0xCE], due);
    }
    assert!(!peer.session.is_ended());
    world.log.sync();
    assert_eq!(peer.answers(), ["queue.declare-ok"]);
}

#[test]
fn a_silent_client_is_cut_also_while_its_answer_waits() {
    let world = World::new(Options::default());
    let mut peer = held(&world);
    peer.now = peer.now.after(21_000);
    peer.session.on_time(peer.now);
    assert!(peer.session.is_ended());
}

#[test]
fn a_client_that_is_not_read_is_not_silent() {
    let world = with_pending_max(100);
    world.log.entry_bytes.store(400, Ordering::SeqCst);
    let mut peer = held(&world);
    assert!(!peer.session.wants_input());
    for _ in 0..10 {
        peer.now = peer.session.deadline().unwrap();
        peer.session.on_time(peer.now);
        if !peer.answers().is_empty() {
            peer.session.on_written(peer.now);
        }
        assert!(peer.session.deadline().unwrap() > peer.now, "no busy loop");
    }
    assert!(!peer.session.is_ended());
}

#[test]
fn a_close_behind_a_mark_gets_its_whole_time_once_it_has_left() {
    let world = World::new(Options::default());
    for server_closes in [false, true] {
        let mut peer = held(&world);
        if server_closes {
            peer.session.mailbox().notify(Notice::Close("test".to_owned()));
            assert!(peer.answers().is_empty());
        } else {
            assert!(peer.send(0, &CLOSE).is_empty());
        }
        for _ in 0..3 {
            peer.now = peer.session.deadline().unwrap();
            peer.session.on_time(peer.now);
            assert!(peer.session.deadline().unwrap() > peer.now, "no busy loop");
            assert!(peer.session.out().is_held(), "it waits for the log");
        }
        peer.now = peer.now.after(4_000);
        world.log.sync();
        peer.take_mail();
        assert_eq!(peer.session.deadline().unwrap(), peer.now.after(5_000));
        let close = if server_closes { "connection.close" } else { "connection.close-ok" };
        assert_eq!(peer.answers(), ["queue.declare-ok", close]);
        let delete =
            Method::QueueDelete { queue: "q", if_unused: false, if_empty: false, no_wait: true };
        world.open().send(1, &delete);
        world.log.sync();
    }
}

#[test]
fn a_connection_that_is_cut_waits_for_nothing() {
    let world = World::new(Options::default());
    let mut peer = held(&world);
    peer.session.mailbox().notify(Notice::Cut);
    peer.take_mail();
    assert!(peer.session.is_ended() && peer.session.out().is_empty());
}

/// Over a socket, with a disk that takes 5 milliseconds: the wake-ups arrive, and pipelined
/// declares share syncs.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pipelining_client_does_not_pay_a_sync_for_each_declare() {
    const DECLARES: usize = 300;
    let world = World::new(Options::default());
    let (stop, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let disk = {
        let (log, stop, syncs) = (world.log.clone(), stop.clone(), syncs.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
                syncs.fetch_add(u64::from(log.sync()), Ordering::SeqCst);
            }
        })
    };
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = listen(address, &Options::default()).unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let server = tokio::spawn(accept(listener, Port::plain(&world.shared)));
    let mut bytes = PROTOCOL_HEADER.to_vec();
    bytes.extend_from_slice(&start_ok("guest"));
    let tune_ok = Method::ConnectionTuneOk { channel_max: 9, frame_max: 131_072, heartbeat: 0 };
    tune_ok.encode_frame(0, &mut bytes);
    Method::ConnectionOpen { virtual_host: "/" }.encode_frame(0, &mut bytes);
    for channel in [1, 2] {
        Method::ChannelOpen {}.encode_frame(channel, &mut bytes);
    }
    bytes.extend_from_slice(&declare_many(DECLARES));
    socket.write_all(&bytes).unwrap();
    let mut received = Vec::new();
    // Start, tune, open-ok, two channels.
    while frames(&mut &received[..]).len() < 5 + DECLARES {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).unwrap();
        assert!(count > 0, "the connection has ended");
        received.extend_from_slice(&piece[..count]);
    }
    let syncs = syncs.load(Ordering::SeqCst);
    assert!(syncs < DECLARES as u64 / 4, "{syncs} syncs");
    stop.store(true, Ordering::SeqCst);
    disk.join().unwrap();
    server.abort();
}
