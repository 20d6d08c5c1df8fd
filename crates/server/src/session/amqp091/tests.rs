//! Sessions without sockets: bytes in, frames out, with a log whose disk is slow and a fake clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use leveret_broker::broker::Broker;
use leveret_broker::ids::Timestamp;
use leveret_broker::log::{Entry, Log, Position, Wake};
use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::frame::{
    Decoder, Event, write_body_frame_header, write_content_header, write_publish,
};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

use super::Session;
use crate::options::Options;
use crate::shared::Shared;

/// A log whose entries become durable when the test says so.
#[derive(Default)]
pub(crate) struct SlowLog {
    appended: AtomicU64,
    durable: AtomicU64,
    waiting: Mutex<Vec<(Position, Arc<dyn Wake>)>>,
    /// How often somebody asked to be woken.
    pub(super) asked: AtomicU64,
    /// What each entry that is not durable counts as.
    pub(super) entry_bytes: AtomicU64,
}

impl SlowLog {
    pub(super) fn appended(&self) -> Position {
        Position(self.appended.load(Ordering::SeqCst))
    }

    /// Makes everything durable; whether there was anything to do.
    pub(crate) fn sync(&self) -> bool {
        let before = self.durable();
        self.sync_to(self.appended());
        self.durable() > before
    }

    pub(super) fn sync_to(&self, position: Position) {
        let mut waiting = self.waiting.lock().unwrap();
        self.durable.fetch_max(position.0, Ordering::SeqCst);
        let durable = self.durable();
        let due = waiting.extract_if(.., |(position, _)| *position <= durable);
        due.for_each(|(_, waker)| waker.wake());
    }
}

impl Log for SlowLog {
    fn append(&self, entries: &[Entry]) -> Position {
        let count = entries.len() as u64;
        Position(self.appended.fetch_add(count, Ordering::SeqCst) + count)
    }

    fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::SeqCst))
    }

    fn notify(&self, position: Position, waker: Arc<dyn Wake>) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut waiting = self.waiting.lock().unwrap();
        if position <= self.durable() {
            return waker.wake();
        }
        waiting.push((position, waker));
    }

    fn pending_bytes(&self) -> usize {
        let entries = self.appended().0 - self.durable().0;
        (entries * self.entry_bytes.load(Ordering::SeqCst)) as usize
    }
}

pub(super) struct World {
    pub(super) log: Arc<SlowLog>,
    pub(super) shared: Arc<Shared>,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let log = Arc::new(SlowLog::default());
        let broker = Broker::new(log.clone(), [3; 32]);
        broker.add_vhost("/");
        broker.set_password_cost(leveret_broker::auth::Cost::LEAST);
        broker.put_administrator("guest", "guest", "/").unwrap();
        log.sync();
        let shared = Arc::new(Shared::new(broker, options));
        shared.watch_timeouts();
        Self { log, shared }
    }

    pub(super) fn session(&self) -> Peer {
        self.session_from(([127, 0, 0, 1], 40_000).into())
    }

    /// A connection from that address.
    pub(super) fn session_from(&self, from: std::net::SocketAddr) -> Peer {
        let now = Timestamp(1_000_000);
        let session = Session::new(Arc::clone(&self.shared), crate::session::Peer::new(from), now);
        self.shared.connect(Arc::clone(session.mailbox()), Arc::clone(session.stats()));
        Peer { session, now }
    }

    /// A connection that is open, with channel 1 open.
    pub(super) fn open(&self) -> Peer {
        let mut peer = self.session();
        peer.shake_hands("guest", 131_072, 60);
        assert_eq!(peer.send(1, &Method::ChannelOpen {}), ["channel.open-ok"]);
        peer
    }
}

/// A client at the other end.
pub(super) struct Peer {
    pub(super) session: Session,
    pub(super) now: Timestamp,
}

impl Peer {
    /// Gives bytes to the session; the names of what comes back.
    pub(super) fn give(&mut self, bytes: &[u8]) -> Vec<String> {
        let used = self.session.receive(bytes, self.now);
        assert!(used <= bytes.len());
        self.answers()
    }

    pub(super) fn answers(&mut self) -> Vec<String> {
        self.take_mail();
        self.written().iter().map(|(_, name, _)| name.clone()).collect()
    }

    pub(super) fn take_mail(&mut self) {
        if self.session.mailbox().take_signal() {
            self.session.take_mail(self.now);
        }
    }

    /// What the session writes in one go.
    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        {
            let mut slices = crate::net::out_buffer::OutBuffer::no_slices();
            let count = self.session.out().slices(&mut slices);
            slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
        }
        self.session.out().advance(bytes.len());
        self.session.release_room();
        bytes
    }

    /// The same, as frames.
    pub(super) fn written(&mut self) -> Vec<(u16, String, String)> {
        let bytes = self.bytes();
        let mut rest = &bytes[..];
        let frames = frames(&mut rest);
        assert!(rest.is_empty(), "only whole frames are written");
        frames
    }

    pub(super) fn send(&mut self, channel: u16, method: &Method<'_>) -> Vec<String> {
        let mut bytes = Vec::new();
        method.encode_frame(channel, &mut bytes);
        self.give(&bytes)
    }

    pub(super) fn shake_hands(
        &mut self,
        password: &str,
        frame_max: u32,
        heartbeat: u16,
    ) -> Vec<String> {
        self.log_in(&start_ok(password), frame_max, heartbeat)
    }

    /// The whole handshake, with that answer to `connection.start`.
    pub(super) fn log_in(
        &mut self,
        start_ok: &[u8],
        frame_max: u32,
        heartbeat: u16,
    ) -> Vec<String> {
        assert_eq!(self.give(&PROTOCOL_HEADER), ["connection.start"]);
        let tune = self.give(start_ok);
        if tune != ["connection.tune"] {
            return tune;
        }
        let tune_ok = Method::ConnectionTuneOk { channel_max: 2047, frame_max, heartbeat };
        self.send(0, &tune_ok);
        self.send(0, &Method::ConnectionOpen { virtual_host: "/" })
    }

    pub(super) fn declare(&mut self, name: &str, durable: bool) -> Vec<String> {
        self.send(
            1,
            &Method::QueueDeclare {
                queue: name,
                passive: false,
                durable,
                exclusive: false,
                auto_delete: false,
                no_wait: false,
                arguments: Table::EMPTY,
            },
        )
    }

    pub(super) fn publish(&mut self, queue: &str, persistent: bool, body: &[u8]) -> Vec<String> {
        let mut bytes = Vec::new();
        write_publish(&mut bytes, 1, "", queue, true);
        let properties: &[u8] = if persistent { &[0x10, 0, 2] } else { &[0, 0] };
        write_content_header(&mut bytes, 1, body.len() as u64, properties);
        write_body_frame_header(&mut bytes, 1, body.len() as u32);
        bytes.extend_from_slice(body);
        bytes.push(0xCE);
        self.give(&bytes)
    }

    pub(super) fn consume(&mut self, queue: &str) -> Vec<String> {
        self.send(
            1,
            &Method::BasicConsume {
                queue,
                consumer_tag: "c",
                no_local: false,
                no_ack: false,
                exclusive: false,
                no_wait: false,
                arguments: Table::EMPTY,
            },
        )
    }
}

/// The answer to `connection.start`, with all capabilities.
pub(super) fn start_ok(password: &str) -> Vec<u8> {
    start_ok_of("guest", password)
}

pub(super) fn start_ok_of(user: &str, password: &str) -> Vec<u8> {
    let capability = |name: &str| (name.to_owned(), FieldValue::Bool(true));
    let capabilities = FieldTable(vec![
        capability("connection.blocked"),
        capability("consumer_cancel_notify"),
        capability("authentication_failure_close"),
    ]);
    let properties = FieldTable(vec![("capabilities".to_owned(), FieldValue::Table(capabilities))]);
    let content = properties.to_content();
    let response = format!("\0{user}\0{password}");
    let start_ok = Method::ConnectionStartOk {
        client_properties: Table::parse(&content).unwrap(),
        mechanism: "PLAIN",
        response: response.as_bytes(),
        locale: "en_US",
    };
    let mut bytes = Vec::new();
    start_ok.encode_frame(0, &mut bytes);
    bytes
}

/// Whole frames: channel, method name (or kind of frame), the text of a close or the reason of a
/// block. What is behind them stays in `rest`.
pub(super) fn frames(rest: &mut &[u8]) -> Vec<(u16, String, String)> {
    let mut decoder = Decoder::new(0);
    let mut found = Vec::new();
    while let Some(event) = decoder.next(rest).unwrap() {
        found.push(match event {
            Event::Method { channel, payload } => {
                let method = Method::decode(payload).unwrap();
                let text = match method {
                    Method::ConnectionClose { reply_text, .. }
                    | Method::ChannelClose { reply_text, .. } => reply_text.to_owned(),
                    Method::ConnectionBlocked { reason } => reason.to_owned(),
                    _ => String::new(),
                };
                (channel, method.name().to_owned(), text)
            }
            Event::Header { channel, .. } => (channel, "header".to_owned(), String::new()),
            Event::Body { channel, .. } => (channel, "body".to_owned(), String::new()),
            Event::Heartbeat { channel, .. } => (channel, "heartbeat".to_owned(), String::new()),
        });
    }
    found
}

#[test]
fn a_confirm_waits_until_the_log_is_durable() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    assert!(peer.declare("q", true).is_empty(), "the declaration is not durable");
    world.log.sync();
    assert_eq!(peer.answers(), ["queue.declare-ok"]);
    assert_eq!(peer.send(1, &Method::ConfirmSelect { no_wait: false }), ["confirm.select-ok"]);
    assert!(peer.publish("q", true, b"a").is_empty());
    assert!(peer.publish("q", true, b"b").is_empty());
    world.log.sync();
    assert_eq!(peer.answers(), ["basic.ack"], "one ack for both");
    assert_eq!(peer.publish("q", false, b"transient"), ["basic.ack"]);
}

#[test]
fn a_commit_waits_until_the_log_is_durable() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.declare("q", true);
    world.log.sync();
    peer.answers();
    assert_eq!(peer.send(1, &Method::TxSelect {}), ["tx.select-ok"]);
    peer.publish("q", true, b"a");
    assert!(peer.send(1, &Method::TxCommit {}).is_empty());
    assert!(peer.session.wants_input());
    world.log.sync();
    assert_eq!(peer.answers(), ["tx.commit-ok"]);
}

#[test]
fn an_unroutable_message_returns_before_its_confirm() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.send(1, &Method::ConfirmSelect { no_wait: true });
    let answers = peer.publish("nowhere", false, b"a");
    assert_eq!(answers, ["basic.return", "header", "body", "basic.ack"]);
}

#[test]
fn deliveries_stop_at_the_out_buffer_and_go_on() {
    let world = World::new(Options { out_buffer_max_bytes: 4096, ..Options::default() });
    let mut publisher = world.open();
    publisher.declare("q", false);
    let mut consumer = world.open();
    assert_eq!(consumer.consume("q"), ["basic.consume-ok"]);
    for _ in 0..100 {
        publisher.publish("q", false, &[0; 512]);
    }
    // The consumer's task looks at its mail, but its socket takes nothing.
    consumer.session.mailbox().take_signal();
    consumer.session.take_mail(consumer.now);
    assert!(consumer.session.out().len() < 8192, "bounded: {}", consumer.session.out().len());
    let mut delivered = 0;
    for _ in 0..100 {
        let written = consumer.written();
        delivered += written.iter().filter(|(_, name, _)| name == "basic.deliver").count();
        consumer.session.mailbox().take_signal();
        consumer.session.take_mail(consumer.now);
    }
    assert_eq!(delivered, 100);
}

#[test]
fn input_in_any_pieces_means_the_same() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.declare("q", false);
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "", "q", false);
    write_content_header(&mut bytes, 1, 5, &[0, 0]);
    write_body_frame_header(&mut bytes, 1, 5);
    bytes.extend_from_slice(b"hello\xCE");
    Method::BasicGet { queue: "q", no_ack: true }.encode_frame(1, &mut bytes);
    for size in 1..bytes.len() {
        let mut kept = Vec::new();
        let mut answers = Vec::new();
        for piece in bytes.chunks(size) {
            kept.extend_from_slice(piece);
            let used = peer.session.receive(&kept, peer.now);
            kept.drain(..used);
            answers.extend(peer.answers());
        }
        assert_eq!(answers, ["basic.get-ok", "header", "body"], "in pieces of {size}");
    }
}

#[test]
fn a_large_body_is_split_to_the_negotiated_frames() {
    let world = World::new(Options::default());
    let mut peer = world.session();
    peer.shake_hands("guest", 4096, 0);
    peer.send(1, &Method::ChannelOpen {});
    peer.declare("q", false);
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "", "q", false);
    let body = vec![7; 20_000];
    write_content_header(&mut bytes, 1, body.len() as u64, &[0, 0]);
    for chunk in body.chunks(4088) {
        write_body_frame_header(&mut bytes, 1, chunk.len() as u32);
        bytes.extend_from_slice(chunk);
        bytes.push(0xCE);
    }
    peer.give(&bytes);
    let answers = peer.send(1, &Method::BasicGet { queue: "q", no_ack: true });
    assert_eq!(answers.iter().filter(|name| *name == "body").count(), 5);
}

#[test]
fn a_wrong_password_is_told_to_clients_that_can_read_it() {
    let world = World::new(Options::default());
    assert_eq!(world.session().shake_hands("wrong", 0, 0), ["connection.close"]);
}

#[test]
fn who_has_failed_too_often_is_told_late() {
    let world = World::new(Options::default());
    for _ in 0..3 {
        assert_eq!(world.session().shake_hands("wrong", 0, 0), ["connection.close"], "at once");
    }
    let mut peer = world.session();
    assert!(peer.shake_hands("wrong", 0, 0).is_empty(), "not yet");
    assert!(!peer.session.wants_input());
    peer.now = peer.now.after(2_999);
    peer.session.on_time(peer.now);
    assert!(peer.answers().is_empty() && !peer.session.is_ended());
    assert_eq!(peer.session.deadline(), Some(peer.now.after(1)));
    peer.now = peer.now.after(1);
    peer.session.on_time(peer.now);
    assert_eq!(peer.answers(), ["connection.close"]);
    peer.now = peer.now.after(10_000);
    peer.session.on_time(peer.now);
    assert!(peer.session.is_ended());
}

#[test]
fn an_error_closes_the_channel_which_then_absorbs_what_comes() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    let ack = Method::BasicAck { delivery_tag: 99, multiple: false };
    let mut bytes = Vec::new();
    ack.encode_frame(1, &mut bytes);
    peer.session.receive(&bytes, peer.now);
    let (_, name, text) = peer.written().remove(0);
    assert_eq!(name, "channel.close");
    assert_eq!(text, "PRECONDITION_FAILED - unknown delivery tag 99");
    assert!(peer.publish("q", false, b"absorbed").is_empty());
    assert!(peer.send(1, &Method::ChannelCloseOk {}).is_empty());
    assert_eq!(peer.send(1, &Method::ChannelOpen {}), ["channel.open-ok"]);
}

#[test]
fn a_silent_client_is_cut_and_an_idle_one_gets_heartbeats() {
    let world = World::new(Options::default());
    let mut peer = world.session();
    peer.shake_hands("guest", 0, 1);
    peer.now = peer.now.after(600);
    peer.session.on_time(peer.now);
    assert_eq!(peer.answers(), ["heartbeat"]);
    peer.session.on_written(peer.now);
    peer.now = peer.now.after(1_600);
    peer.session.on_time(peer.now);
    assert!(peer.session.is_ended());
}

#[test]
fn a_handshake_has_an_absolute_deadline() {
    let world = World::new(Options::default());
    let mut peer = world.session();
    peer.give(&PROTOCOL_HEADER);
    peer.now = peer.now.after(9_999);
    peer.session.on_time(peer.now);
    assert!(!peer.session.is_ended());
    peer.give(b"\x01");
    peer.now = peer.now.after(1);
    peer.session.on_time(peer.now);
    assert!(peer.session.is_ended());
}

#[test]
fn publishers_are_told_of_an_alarm_and_of_its_end() {
    let world = World::new(Options { memory_high_watermark_bytes: 10_000, ..Options::default() });
    let mut peer = world.open();
    peer.declare("q", false);
    let mut answers = Vec::new();
    while answers.is_empty() {
        answers = peer.publish("q", false, &[0; 1000]);
    }
    assert_eq!(answers, ["connection.blocked"]);
    assert!(!peer.session.wants_input());
    let mut drain = world.open();
    while drain.send(1, &Method::BasicGet { queue: "q", no_ack: true }).len() > 1 {}
    assert!(world.shared.relax_memory(peer.now));
    assert_eq!(peer.answers(), ["connection.unblocked"]);
    assert!(peer.session.wants_input());
}

#[test]
fn a_second_alarm_is_not_told_and_publishers_wait_for_the_end_of_all() {
    let world = World::new(Options { memory_high_watermark_bytes: 10_000, ..Options::default() });
    let (mut first, mut second, mut third) = (world.open(), world.open(), world.open());
    first.declare("q", false);
    first.publish("q", false, b"a");
    world.shared.set_disk_alarm(true);
    first.take_mail();
    assert_eq!(first.written(), [(0, "connection.blocked".into(), "low on disk".into())]);
    world.shared.broker.count_memory(20_000);
    world.shared.check_memory(first.now);
    assert!(first.answers().is_empty(), "it was told already");
    let blocked = second.publish("q", false, b"a");
    assert_eq!(blocked, ["connection.blocked"]);
    world.shared.set_disk_alarm(false);
    assert!(first.answers().is_empty() && !first.session.wants_input());
    world.shared.broker.count_memory(-20_000);
    assert!(world.shared.relax_memory(first.now));
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.answers(), ["connection.unblocked"]);
        assert!(peer.session.wants_input());
    }
    assert!(third.answers().is_empty() && third.session.wants_input(), "it has not published");
}

#[test]
fn who_starts_to_publish_is_told_all_reasons() {
    let world = World::new(Options { memory_high_watermark_bytes: 10_000, ..Options::default() });
    let mut peer = world.open();
    peer.declare("q", false);
    world.shared.set_disk_alarm(true);
    world.shared.broker.count_memory(20_000);
    world.shared.check_memory(peer.now);
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "", "q", false);
    write_content_header(&mut bytes, 1, 0, &[0, 0]);
    peer.session.receive(&bytes, peer.now);
    let text = "low on memory & disk".to_owned();
    assert_eq!(peer.written(), [(0, "connection.blocked".to_owned(), text)]);
}

#[test]
fn a_lost_connection_gives_everything_back() {
    let world = World::new(Options::default());
    let mut publisher = world.open();
    publisher.declare("q", false);
    let mut consumer = world.open();
    consumer.consume("q");
    publisher.publish("q", false, b"seen");
    consumer.answers();
    publisher.publish("q", false, b"in the mailbox");
    consumer.session.release_all();
    let redelivered = |answers: Vec<String>| answers[0] == "basic.get-ok";
    for _ in 0..2 {
        let get = Method::BasicGet { queue: "q", no_ack: true };
        assert!(redelivered(publisher.send(1, &get)));
    }
}

#[test]
fn what_returns_goes_out_before_what_stands_behind_it() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.declare("q", false);
    peer.send(1, &Method::BasicQos { prefetch_size: 0, prefetch_count: 1, global: true });
    peer.consume("q");
    peer.publish("q", false, b"first");
    assert_eq!(peer.publish("q", false, b"second").len(), 0, "one is out");
    let nack = Method::BasicNack { delivery_tag: 1, multiple: false, requeue: true };
    let mut bytes = Vec::new();
    nack.encode_frame(1, &mut bytes);
    peer.session.receive(&bytes, peer.now);
    peer.session.take_mail(peer.now);
    let mut written = Vec::new();
    let mut slices = crate::net::out_buffer::OutBuffer::no_slices();
    let count = peer.session.out().slices(&mut slices);
    slices[..count].iter().for_each(|slice| written.extend_from_slice(slice));
    let text = String::from_utf8_lossy(&written);
    assert!(text.contains("first") && !text.contains("second"), "{text}");
}

#[test]
fn a_slow_reader_is_no_busy_loop_and_a_stuck_one_is_cut() {
    let world = World::new(Options::default());
    let mut peer = world.session();
    peer.shake_hands("guest", 0, 1);
    peer.session.out().tail().extend_from_slice(b"not taken by the socket");
    peer.now = peer.now.after(700);
    assert!(peer.session.deadline().unwrap() > peer.now, "nothing is due yet");
    peer.session.on_written(peer.now);
    peer.session.receive(&[8, 0, 0, 0, 0, 0, 0, 0xCE], peer.now);
    peer.now = peer.now.after(1_999);
    peer.session.on_time(peer.now);
    assert!(!peer.session.is_ended(), "some bytes were taken two intervals ago");
    peer.now = peer.now.after(1);
    peer.session.on_time(peer.now);
    assert!(peer.session.is_ended());
}

#[test]
fn input_that_was_left_is_known_to_be_whole() {
    let world = World::new(Options { out_buffer_max_bytes: 20, ..Options::default() });
    let mut peer = world.open();
    let mut bytes = Vec::new();
    let declare = Method::QueueDeclare {
        queue: "q",
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: Table::EMPTY,
    };
    declare.encode_frame(1, &mut bytes);
    let first = bytes.len();
    Method::BasicGet { queue: "q", no_ack: true }.encode_frame(1, &mut bytes);
    assert_eq!(peer.session.receive(&bytes, peer.now), first);
    assert!(peer.session.stopped_early());
    world.log.sync();
    assert_eq!(peer.answers(), ["queue.declare-ok"]);
    assert_eq!(peer.session.receive(&bytes[first..], peer.now), bytes.len() - first);
    assert!(!peer.session.stopped_early());
    assert_eq!(peer.answers(), ["basic.get-empty"]);
}

#[test]
fn a_client_that_takes_nothing_cannot_keep_its_socket_after_a_close() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    let close =
        Method::ConnectionClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
    let mut bytes = Vec::new();
    close.encode_frame(0, &mut bytes);
    peer.session.receive(&bytes, peer.now);
    assert!(peer.session.is_ended() && !peer.session.out().is_empty());
    peer.now = peer.session.deadline().unwrap();
    peer.session.on_time(peer.now);
    assert!(peer.session.out().is_empty());
}

#[test]
fn a_publisher_rests_for_a_moment_and_goes_on() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    let until = peer.now.after(2);
    peer.session.link.rest_until = Some(until);
    assert!(!peer.session.wants_input());
    assert_eq!(peer.session.deadline(), Some(until));
    peer.session.on_time(peer.now.after(1));
    assert!(!peer.session.wants_input());
    peer.session.on_time(until);
    assert!(peer.session.wants_input());
}
