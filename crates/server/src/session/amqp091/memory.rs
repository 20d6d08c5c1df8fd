//! Memory and flow: the watermark over the whole process, messages that are half received, who
//! takes nothing, and what one turn may do.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use leveret_broker::definitions::{Quota, QuotaOf};
use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_publish};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::Table;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tests::{Peer, World, start_ok_of};
use crate::net::connection::{Transport, serve};
use crate::options::Options;

const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xCE];

fn with_watermark(memory_high_watermark_bytes: u64) -> World {
    World::new(Options { memory_high_watermark_bytes, ..Options::default() })
}

#[test]
fn the_memory_of_the_process_blocks_publishers_and_nobody_else() {
    let world = with_watermark(1_000_000);
    let (mut publisher, mut consumer) = (world.open(), world.open());
    publisher.declare("q", false);
    consumer.consume("q");
    publisher.publish("q", false, b"a");
    assert_eq!(consumer.answers(), ["basic.deliver", "header", "body"]);
    world.shared.note_process(1_000_001);
    world.shared.check_memory(publisher.now);
    assert_eq!(publisher.answers(), ["connection.blocked"]);
    assert!(!publisher.session.wants_input() && consumer.session.wants_input());
    // It ends with a twentieth to spare, so that it does not come and go.
    for bytes in [1_000_000, 950_001] {
        world.shared.note_process(bytes);
        assert!(!world.shared.relax_memory(publisher.now));
    }
    world.shared.note_process(950_000);
    assert!(world.shared.relax_memory(publisher.now));
    assert_eq!(publisher.answers(), ["connection.unblocked"]);
    assert!(publisher.session.wants_input() && consumer.answers().is_empty());
}

#[test]
fn a_blocked_client_is_sent_heartbeats_and_is_not_missed() {
    let world = with_watermark(1_000_000);
    let mut peer = world.open();
    peer.declare("q", false);
    peer.publish("q", false, b"a");
    world.shared.note_process(2_000_000);
    world.shared.check_memory(peer.now);
    assert_eq!(peer.answers(), ["connection.blocked"]);
    peer.session.on_written(peer.now);
    let end = peer.now.after(600_000);
    let mut heartbeats = 0;
    while peer.now < end {
        peer.now = peer.session.deadline().unwrap();
        peer.session.on_time(peer.now);
        heartbeats += peer.answers().iter().filter(|name| *name == "heartbeat").count();
        peer.session.on_written(peer.now);
        assert!(!peer.session.is_ended() && !peer.session.wants_input());
    }
    assert!((18..=22).contains(&heartbeats), "{heartbeats} in 600 s");
    world.shared.note_process(0);
    assert!(world.shared.relax_memory(peer.now));
    assert_eq!(peer.answers(), ["connection.unblocked"]);
    assert!(peer.session.wants_input());
    peer.give(&HEARTBEAT);
}

#[test]
fn when_memory_is_used_up_nobody_gets_more_but_those_who_make_room() {
    let world = with_watermark(1_000_000);
    let mut peer = world.open();
    peer.declare("q", false);
    world.shared.note_process(1_250_001);
    for number in 2..=16 {
        assert_eq!(peer.send(number, &Method::ChannelOpen {}), ["channel.open-ok"]);
    }
    peer.declare("q", false);
    peer.consume("q");
    let declare = |queue| Method::QueueDeclare {
        queue,
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: Table::EMPTY,
    };
    assert_eq!(peer.send(2, &declare("q")), ["queue.declare-ok"]);
    let mut bytes = Vec::new();
    declare("other").encode_frame(2, &mut bytes);
    peer.session.receive(&bytes, peer.now);
    let text = "PRECONDITION_FAILED - no memory for a queue: the broker uses 1250001 bytes";
    assert_eq!(peer.written(), [(2, "channel.close".to_owned(), text.to_owned())]);
    assert_eq!(peer.send(17, &Method::ChannelOpen {}), ["connection.close"]);
    world.shared.note_process(1_250_000);
    assert_eq!(world.open().send(1, &declare("other")), ["queue.declare-ok"]);
}

#[test]
fn a_connection_has_no_more_consumers_than_it_may_have_over_all_channels() {
    let world = World::new(Options { consumers_per_connection_max: 3, ..Options::default() });
    let mut peer = world.open();
    peer.declare("q", false);
    let mut consume = |channel: u16, consumer_tag: &str| {
        let consume = Method::BasicConsume {
            queue: "q",
            consumer_tag,
            no_local: false,
            no_ack: false,
            exclusive: false,
            no_wait: false,
            arguments: Table::EMPTY,
        };
        let mut bytes = Vec::new();
        consume.encode_frame(channel, &mut bytes);
        peer.session.receive(&bytes, peer.now);
        peer.written().remove(0)
    };
    for tag in ["a", "b", "c"] {
        assert_eq!(consume(1, tag).1, "basic.consume-ok");
    }
    let text = "NOT_ALLOWED - number of consumers on the connection has reached its limit (3)";
    assert_eq!(consume(1, "d"), (0, "connection.close".to_owned(), text.to_owned()));
}

/// A publish whose body is announced with `size` bytes, of which `sent` come.
fn half(size: usize, sent: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "", "q", false);
    write_content_header(&mut bytes, 1, size as u64, &[0, 0]);
    if sent > 0 {
        bytes.extend_from_slice(&more(sent));
    }
    bytes
}

fn more(size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_body_frame_header(&mut bytes, 1, size as u32);
    bytes.resize(bytes.len() + size, b'x');
    bytes.push(0xCE);
    bytes
}

#[test]
fn an_announced_body_takes_next_to_nothing() {
    let world = World::new(Options::default());
    let mut peers: Vec<Peer> = (0..1_000).map(|_| world.open()).collect();
    peers[0].declare("q", false);
    for peer in &mut peers {
        peer.give(&half(16 << 20, 0));
    }
    let used = world.shared.bodies.used();
    assert!(used > 0 && used < 1_000 * 64 * 1024, "{used}");
    drop(peers);
    assert_eq!(world.shared.bodies.used(), 0);
}

#[test]
fn half_received_bodies_have_a_bound_and_who_stalls_goes() {
    let limit = 8 << 20;
    let options = Options { half_received_max_bytes: limit, ..Options::default() };
    let world = World::new(options);
    world.open().declare("q", false);
    let mut stalled: Vec<Peer> = (0..100).map(|_| world.open()).collect();
    for peer in &mut stalled {
        peer.give(&half(4 << 20, 1_000));
        for _ in 0..10 {
            if peer.session.wants_input() {
                peer.give(&more(100_000));
            }
        }
    }
    let used = world.shared.bodies.used();
    assert!(used >= limit && used < limit + (20 << 20), "{used} of {limit}");
    // Small messages are in nobody's way.
    let mut good = world.open();
    for _ in 0..10 {
        good.publish("q", false, &[0; 10_000]);
        assert!(good.session.wants_input());
    }
    let mut large = world.open();
    large.give(&half(200_000, 100_000));
    let mut turns = 0;
    while !large.session.wants_input() {
        turns += 1;
        assert!(turns < 10_000, "it waits for ever");
        for peer in stalled.iter_mut().chain([&mut large]) {
            peer.now = peer.now.after(100);
            if peer.session.deadline().is_some_and(|at| at <= peer.now) {
                peer.session.on_time(peer.now);
            }
            peer.answers();
        }
    }
    large.give(&more(100_000));
    let topology = world.shared.broker.topology();
    assert_eq!(topology.vhosts["/"].queues["q"].counts().ready, 11);
    drop(topology);
    drop((stalled, large));
    assert_eq!(world.shared.bodies.used(), 0);
}

#[test]
fn a_half_message_is_forgotten_with_its_channel() {
    let world = World::new(Options::default());
    let mut peer = world.open();
    peer.declare("q", false);
    peer.give(&half(1 << 20, 100_000));
    assert!(world.shared.bodies.used() >= 100_000);
    let close = Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
    peer.send(1, &close);
    peer.give(&HEARTBEAT);
    assert_eq!(world.shared.bodies.used(), 0);
}

#[test]
fn who_takes_nothing_for_too_long_is_cut_also_without_heartbeats() {
    let send_timeout = Some(Duration::from_secs(9));
    let world = World::new(Options { send_timeout, ..Options::default() });
    let mut peer = world.session();
    peer.shake_hands("guest", 131_072, 0);
    peer.send(1, &Method::ChannelOpen {});
    assert_eq!(peer.session.deadline(), None, "there is nothing to wait for");
    peer.declare("q", false);
    peer.now = peer.now.after(3_600_000);
    peer.session.on_stuck(peer.now);
    peer.session.on_stuck(peer.now.after(5_000));
    assert_eq!(peer.session.deadline(), Some(peer.now.after(9_000)));
    peer.session.on_written(peer.now.after(8_000));
    assert_eq!(peer.session.deadline(), None);
    peer.session.on_stuck(peer.now);
    peer.session.on_time(peer.now.after(8_999));
    assert!(!peer.session.is_ended());
    peer.session.on_time(peer.now.after(9_000));
    assert!(peer.session.is_ended());
}

/// A client that is never at a loss for publishes, and takes all that it is sent.
struct Endless {
    opening: Vec<u8>,
    publishes: Vec<u8>,
    /// How far it is in what it says.
    at: usize,
    read: Arc<AtomicUsize>,
}

impl Endless {
    fn new(user: &str, queue: &str) -> (Self, Arc<AtomicUsize>) {
        let mut opening = PROTOCOL_HEADER.to_vec();
        opening.extend_from_slice(&start_ok_of(user, user));
        let tune_ok = Method::ConnectionTuneOk { channel_max: 9, frame_max: 131_072, heartbeat: 0 };
        tune_ok.encode_frame(0, &mut opening);
        Method::ConnectionOpen { virtual_host: "/" }.encode_frame(0, &mut opening);
        Method::ChannelOpen {}.encode_frame(1, &mut opening);
        let mut publishes = Vec::new();
        for _ in 0..5_000 {
            write_publish(&mut publishes, 1, "", queue, false);
            write_content_header(&mut publishes, 1, 0, &[0, 0]);
        }
        let read = Arc::new(AtomicUsize::new(0));
        (Self { opening, publishes, at: 0, read: Arc::clone(&read) }, read)
    }
}

impl Transport for Endless {
    const BUFFERS: bool = false;
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // What a quota is becomes known when the vhost is open.
        let only_opening = self.at < self.opening.len();
        while buffer.remaining() > 0 && (!only_opening || self.at < self.opening.len()) {
            let (opening, at) = (self.opening.len(), self.at);
            let rest = match self.opening.get(at..).filter(|rest| !rest.is_empty()) {
                Some(rest) => rest,
                None => &self.publishes[(at - opening) % self.publishes.len()..],
            };
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..count]);
            self.at += count;
            self.read.fetch_add(count, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn ready(world: &World, queue: &str) -> usize {
    let topology = world.shared.broker.topology();
    topology.vhosts["/"].queues[queue].counts().ready
}

/// Two clients on one thread, each of which would publish for ever: both get their turns, and only
/// the one with a quota is held to it.
#[tokio::test(flavor = "current_thread")]
async fn a_quota_slows_the_guilty_tenant_only() {
    let world = World::new(Options::default());
    world.shared.broker.put_administrator("other", "other", "/").unwrap();
    let mut peer = world.open();
    peer.declare("held", false);
    peer.declare("free", false);
    let quota = Quota { messages_per_second: Some(1_000), bytes_per_second: None };
    world.shared.broker.set_quota(QuotaOf::User("guest".into()), quota).unwrap();
    let (held, read_of_held) = Endless::new("guest", "held");
    let (free, read_of_free) = Endless::new("other", "free");
    let mut held = pin!(serve(held, world.session().session));
    let mut free = pin!(serve(free, world.session().session));
    let mut context = Context::from_waker(Waker::noop());
    let started = std::time::Instant::now();
    // Passwords are checked by another thread.
    while [&read_of_held, &read_of_free].iter().any(|read| read.load(Ordering::SeqCst) < 1_000) {
        assert!(held.as_mut().poll(&mut context).is_pending());
        assert!(free.as_mut().poll(&mut context).is_pending());
        std::thread::sleep(Duration::from_millis(1));
    }
    for turn in 0..20 {
        for (task, read) in [(&mut held, &read_of_held), (&mut free, &read_of_free)] {
            let before = read.load(Ordering::SeqCst);
            assert!(task.as_mut().poll(&mut context).is_pending());
            let read = read.load(Ordering::SeqCst) - before;
            assert!(read <= 2 * 128 * 1024, "{read} bytes in turn {turn}");
        }
    }
    // The burst, the time, and one read.
    let most = 1_000 + started.elapsed().as_millis() as usize + 200;
    let (held, free) = (ready(&world, "held"), ready(&world, "free"));
    assert!((1_000..=most).contains(&held), "{held} messages, of at most {most}");
    assert!(free > 20_000, "{free} messages without a quota");
    assert!(read_of_free.load(Ordering::SeqCst) >= 19 * 128 * 1024);
}
