//! Limits of users and vhosts, their quotas, and consumer timeouts: who is let in, who waits, who
//! is closed.

use std::time::Duration;

use leveret_broker::definitions::{
    PolicyKind, PolicyRequest, Quota, QuotaOf, UserLimits, VhostLimits,
};
use leveret_broker::ids::Timestamp;
use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_publish};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

use super::tests::{Peer, World, start_ok_of};
use crate::net::mailbox::Notice;
use crate::options::Options;

const CLOSE: Method<'_> =
    Method::ConnectionClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };

const GET: Method<'_> = Method::BasicGet { queue: "q", no_ack: false };

const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xCE];

fn world() -> World {
    let world = World::new(Options::default());
    world.shared.broker.put_administrator("other", "other", "/").unwrap();
    world.shared.broker.add_vhost("elsewhere");
    world.shared.broker.grant("guest", "elsewhere", [".*", ".*", ".*"]).unwrap();
    world.log.sync();
    world.log.sync();
    world
}

fn limit_user(world: &World, max_connections: Option<u64>, max_channels: Option<u64>) {
    let limits = UserLimits { max_connections, max_channels };
    world.shared.broker.limit_user("guest", limits).unwrap();
}

fn messages_a_second(rate: u64) -> Quota {
    Quota { messages_per_second: Some(rate), bytes_per_second: None }
}

fn set_quota(world: &World, quota: Quota) {
    world.shared.broker.set_quota(QuotaOf::User("guest".into()), quota).unwrap();
}

/// Logs in and opens the vhost; what came back.
fn enter(world: &World, user: &str, vhost: &str) -> (Peer, (String, String)) {
    let mut peer = world.session();
    peer.give(&PROTOCOL_HEADER);
    peer.give(&start_ok_of(user, user));
    peer.send(0, &Method::ConnectionTuneOk { channel_max: 9, frame_max: 0, heartbeat: 60 });
    let mut bytes = Vec::new();
    Method::ConnectionOpen { virtual_host: vhost }.encode_frame(0, &mut bytes);
    peer.session.receive(&bytes, peer.now);
    let (_, name, text) = peer.written().remove(0);
    (peer, (name, text))
}

fn open_ok() -> (String, String) {
    ("connection.open-ok".to_owned(), String::new())
}

/// An open connection of that user, with channel 1.
fn open(world: &World, user: &str) -> Peer {
    let (mut peer, answer) = enter(world, user, "/");
    assert_eq!(answer, open_ok());
    assert_eq!(peer.send(1, &Method::ChannelOpen {}), ["channel.open-ok"]);
    peer
}

/// The connections and channels of the user `guest` and the vhost `/`.
fn counts(world: &World) -> [(u64, u64); 2] {
    let (tenants, now) = (&world.shared.tenants, Timestamp(1_000_000));
    [tenants.user(&"guest".into(), now).counts(), tenants.vhost(&"/".into(), now).counts()]
}

#[test]
fn a_vhost_takes_no_more_connections_than_it_may_have() {
    let world = world();
    let limits = |max_connections| VhostLimits { max_connections, max_queues: None };
    world.shared.broker.limit_vhost("/", limits(Some(2))).unwrap();
    let (first, _second) = (open(&world, "guest"), open(&world, "other"));
    let (_, answer) = enter(&world, "guest", "/");
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (2) \
                is reached";
    assert_eq!(answer, ("connection.close".to_owned(), text.to_owned()));
    assert_eq!(enter(&world, "guest", "elsewhere").1, open_ok());
    drop(first);
    let (_third, answer) = enter(&world, "guest", "/");
    assert_eq!(answer, open_ok());
    world.shared.broker.limit_vhost("/", limits(None)).unwrap();
    let (mut fourth, answer) = enter(&world, "guest", "/");
    assert_eq!(answer, open_ok());
    world.shared.broker.limit_vhost("/", limits(Some(0))).unwrap();
    assert_eq!(enter(&world, "guest", "/").1.0, "connection.close");
    assert_eq!(fourth.send(1, &Method::ChannelOpen {}), ["channel.open-ok"], "it stays");
}

#[test]
fn a_user_has_no_more_connections_than_it_may_have() {
    let world = world();
    limit_user(&world, Some(1), None);
    let (first, answer) = enter(&world, "guest", "/");
    assert_eq!(answer, open_ok());
    let (_, answer) = enter(&world, "guest", "elsewhere");
    let text = "NOT_ALLOWED - connection refused for user 'guest': user connection limit (1) is \
                reached";
    assert_eq!(answer, ("connection.close".to_owned(), text.to_owned()));
    assert_eq!(enter(&world, "other", "/").1, open_ok());
    drop(first);
    assert_eq!(enter(&world, "guest", "elsewhere").1, open_ok(), "who was refused has no seat");
    limit_user(&world, Some(0), None);
    assert_eq!(enter(&world, "guest", "/").1.0, "connection.close");
}

#[test]
fn no_end_of_a_connection_leaves_a_seat_taken() {
    let world = world();
    for end in 0..6 {
        let mut peer = open(&world, "guest");
        peer.send(2, &Method::ChannelOpen {});
        assert_eq!(counts(&world), [(1, 2), (1, 0)]);
        match end {
            0 => assert_eq!(peer.send(0, &CLOSE), ["connection.close-ok"]),
            1 => {
                peer.session.mailbox().notify(Notice::Cut);
                peer.take_mail();
            }
            2 => assert_eq!(peer.send(3, &GET), ["connection.close"]),
            3 => assert_eq!(peer.give(&[1, 0, 0, 0, 0, 0, 0, 9]), ["connection.close"]),
            4 => peer.session.release_all(),
            _ => drop(peer),
        }
        assert_eq!(counts(&world), [(0, 0), (0, 0)], "end {end}");
    }
}

#[test]
fn a_user_has_no_more_channels_than_it_may_have_over_all_connections() {
    let world = world();
    let (mut first, mut second) = (open(&world, "guest"), open(&world, "guest"));
    limit_user(&world, None, Some(3));
    assert_eq!(second.send(2, &Method::ChannelOpen {}), ["channel.open-ok"]);
    let close = Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
    assert_eq!(second.send(2, &close), ["channel.close-ok"]);
    assert_eq!(first.send(2, &Method::ChannelOpen {}), ["channel.open-ok"]);
    // A channel that failed is no longer one, though its close-ok is not there.
    assert_eq!(first.send(2, &GET), ["channel.close"]);
    assert_eq!(first.send(3, &Method::ChannelOpen {}), ["channel.open-ok"]);
    assert_eq!(counts(&world), [(2, 3), (2, 0)]);
    assert_eq!(open(&world, "other").send(2, &Method::ChannelOpen {}), ["channel.open-ok"]);
    let mut bytes = Vec::new();
    Method::ChannelOpen {}.encode_frame(4, &mut bytes);
    first.session.receive(&bytes, first.now);
    let text = "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum \
                allowed user limit of (3)";
    assert_eq!(first.written(), [(0, "connection.close".to_owned(), text.to_owned())]);
    assert_eq!(counts(&world), [(1, 1), (1, 0)]);
    limit_user(&world, None, Some(0));
    assert_eq!(second.send(1, &GET), ["channel.close"], "it stayed open");
    assert_eq!(second.send(2, &Method::ChannelOpen {}), ["connection.close"]);
}

/// Has the peer's time go on, as its task would see it, and what it says on the way.
fn wait(peer: &mut Peer, millis: u64) -> Vec<(u16, String, String)> {
    let end = peer.now.after(millis);
    let mut said = Vec::new();
    let mut turns = 0;
    while let Some(at) = peer.session.deadline().filter(|at| *at <= end) {
        turns += 1;
        assert!(turns < 1_000, "a busy loop");
        peer.now = peer.now.max(at);
        peer.session.on_time(peer.now);
        peer.take_mail();
        said.extend(peer.written());
        peer.session.on_written(peer.now);
        if peer.session.wants_input() {
            peer.session.receive(&HEARTBEAT, peer.now);
        }
    }
    peer.now = end;
    said.retain(|(_, name, _)| name != "heartbeat");
    said
}

fn declare_with_timeout(peer: &mut Peer, queue: &str, millis: i64) {
    let arguments =
        FieldTable(vec![("x-consumer-timeout".to_owned(), FieldValue::I64(millis))]).to_content();
    let declare = Method::QueueDeclare {
        queue,
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: true,
        arguments: Table::parse(&arguments).unwrap(),
    };
    assert!(peer.send(1, &declare).is_empty());
}

fn timed_out(millis: u64) -> (u16, String, String) {
    let text = format!(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value \
         used: {millis} ms. This timeout value can be configured, see consumers doc guide to \
         learn more"
    );
    (1, "channel.close".to_owned(), text)
}

#[test]
fn a_delivery_that_is_not_acknowledged_in_time_closes_its_channel_and_returns() {
    let world = world();
    let mut peer = open(&world, "guest");
    declare_with_timeout(&mut peer, "q", 5_000);
    peer.consume("q");
    assert_eq!(peer.publish("q", false, b"slow"), ["basic.deliver", "header", "body"]);
    assert!(wait(&mut peer, 4_999).is_empty());
    assert_eq!(wait(&mut peer, 1_001), [timed_out(5_000)]);
    peer.send(1, &Method::ChannelCloseOk {});
    peer.send(1, &Method::ChannelOpen {});
    assert_eq!(peer.send(1, &GET)[0], "basic.get-ok", "it is back");
    // What was got counts, too.
    assert!(wait(&mut peer, 4_999).is_empty());
    assert_eq!(wait(&mut peer, 1_001), [timed_out(5_000)]);
}

#[test]
fn who_acknowledges_in_time_is_left_alone() {
    let world = world();
    let mut peer = open(&world, "guest");
    declare_with_timeout(&mut peer, "q", 2_000);
    peer.consume("q");
    for tag in 1..=20 {
        peer.publish("q", false, b"a");
        assert!(wait(&mut peer, 1_000).is_empty());
        if tag > 1 {
            peer.send(1, &Method::BasicAck { delivery_tag: tag - 1, multiple: false });
        }
    }
    peer.send(1, &Method::BasicAck { delivery_tag: 20, multiple: false });
    assert!(wait(&mut peer, 10_000).is_empty());
    let deadline = peer.session.deadline().unwrap();
    assert!(deadline >= peer.now.after(20_000), "nothing but heartbeats to wait for");
    assert!(peer.publish("q", false, b"late").len() == 3);
    assert_eq!(wait(&mut peer, 3_000), [timed_out(2_000)]);
}

#[test]
fn only_the_late_delivery_counts_among_many() {
    let world = world();
    let mut peer = open(&world, "guest");
    peer.declare("patient", false);
    peer.consume("patient");
    for _ in 0..200 {
        peer.publish("patient", false, b"a");
        assert!(wait(&mut peer, 1_000).is_empty());
    }
    declare_with_timeout(&mut peer, "q", 5_000);
    let consume = Method::BasicConsume {
        queue: "q",
        consumer_tag: "d",
        no_local: false,
        no_ack: false,
        exclusive: false,
        no_wait: true,
        arguments: Table::EMPTY,
    };
    peer.send(1, &consume);
    for _ in 0..200 {
        peer.publish("patient", false, b"a");
        assert!(wait(&mut peer, 1_000).is_empty());
    }
    peer.publish("q", false, b"a");
    for _ in 0..4 {
        peer.publish("patient", false, b"a");
        assert!(wait(&mut peer, 1_000).is_empty());
    }
    assert_eq!(wait(&mut peer, 2_000), [timed_out(5_000)]);
}

#[test]
fn the_default_counts_for_queues_without_a_time_of_their_own() {
    let consumer_timeout = Some(Duration::from_secs(3));
    let world = World::new(Options { consumer_timeout, ..Options::default() });
    let mut peer = world.open();
    peer.declare("q", false);
    peer.consume("q");
    peer.publish("q", false, b"a");
    assert_eq!(wait(&mut peer, 4_000), [timed_out(3_000)]);
}

#[test]
fn a_default_that_is_set_later_counts_from_then() {
    let world = world();
    let mut peer = open(&world, "guest");
    peer.declare("q", false);
    peer.consume("q");
    peer.publish("q", false, b"a");
    assert!(wait(&mut peer, 3_600_000).is_empty());
    let consumer_timeout = Some(Duration::from_secs(7));
    world.shared.options.store(Options { consumer_timeout, ..Options::default() }.into());
    peer.give(&HEARTBEAT);
    assert!(wait(&mut peer, 6_999).is_empty());
    assert_eq!(wait(&mut peer, 1_001), [timed_out(7_000)]);
}

#[test]
fn a_timeout_that_comes_by_policy_reaches_a_silent_connection() {
    let world = world();
    let mut peer = world.session();
    // Without heartbeats nothing else wakes it.
    peer.shake_hands("guest", 131_072, 0);
    peer.send(1, &Method::ChannelOpen {});
    peer.declare("q", false);
    peer.consume("q");
    peer.publish("q", false, b"a");
    wait(&mut peer, 60_000);
    assert_eq!(peer.session.deadline(), None);
    put_timeout(&world, &peer, 0);
    assert!(wait(&mut peer, 60_000).is_empty(), "0 is for ever");
    put_timeout(&world, &peer, 5_000);
    peer.take_mail();
    assert!(wait(&mut peer, 4_999).is_empty());
    assert_eq!(wait(&mut peer, 1_001), [timed_out(5_000)]);
}

fn put_timeout(world: &World, peer: &Peer, millis: i64) {
    let definition = FieldTable(vec![("consumer-timeout".to_owned(), FieldValue::I64(millis))]);
    let request = PolicyRequest { pattern: "^q$", apply_to: "queues", definition, priority: 0 };
    let broker = &world.shared.broker;
    broker.put_policy(PolicyKind::Policy, "/", "slow", &request, peer.now).unwrap();
}

#[test]
fn a_timeout_of_0_of_a_queue_goes_before_the_default() {
    let consumer_timeout = Some(Duration::from_secs(3));
    let world = World::new(Options { consumer_timeout, ..Options::default() });
    let mut peer = world.open();
    declare_with_timeout(&mut peer, "q", 0);
    peer.consume("q");
    peer.publish("q", false, b"a");
    assert!(wait(&mut peer, 3_600_000).is_empty());
}

#[test]
fn who_is_not_read_cannot_acknowledge() {
    let options = Options { memory_high_watermark_bytes: 100_000, ..Options::default() };
    let world = World::new(options);
    let mut peer = world.open();
    declare_with_timeout(&mut peer, "q", 1_000);
    peer.consume("q");
    peer.publish("q", false, b"a");
    world.shared.broker.count_memory(200_000);
    world.shared.check_memory(peer.now);
    assert!(!peer.session.wants_input());
    assert!(wait(&mut peer, 10_000).iter().all(|(_, name, _)| name == "connection.blocked"));
    world.shared.broker.count_memory(-200_000);
    assert!(world.shared.relax_memory(peer.now));
    assert_eq!(peer.answers(), ["connection.unblocked"]);
    assert!(wait(&mut peer, 400).is_empty());
    assert_eq!(wait(&mut peer, 600), [timed_out(1_000)]);
}

/// Some publishes to `q`, one behind the other.
fn publishes(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        write_publish(&mut bytes, 1, "", "q", false);
        write_content_header(&mut bytes, 1, 10, &[0, 0]);
        write_body_frame_header(&mut bytes, 1, 10);
        bytes.extend_from_slice(b"0123456789\xCE");
    }
    bytes
}

/// What a publish with these headers is answered, its frames in pieces that end at `cut`, too.
fn publish_headers(options: Options, headers: &FieldTable, cut: Option<usize>) -> Vec<String> {
    let world = World::new(options);
    let mut peer = world.open();
    peer.declare("q", false);
    let mut properties = Vec::new();
    let headers = Some(headers.clone());
    BasicProperties { headers, ..BasicProperties::default() }.encode(&mut properties);
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, "", "q", false);
    write_content_header(&mut bytes, 1, 10, &properties);
    write_body_frame_header(&mut bytes, 1, 10);
    bytes.extend_from_slice(b"0123456789\xCE");
    let cut = cut.map_or(bytes.len(), |cut| cut.min(bytes.len()));
    let used = peer.session.receive(&bytes[..cut], peer.now);
    peer.session.receive(&bytes[used..], peer.now);
    let texts: Vec<_> = peer.written().into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(ready(&world, "q"), usize::from(texts.is_empty()));
    texts
}

#[test]
fn headers_are_limited_in_count_and_depth() {
    let deep = FieldValue::Array(vec![FieldValue::Array(vec![FieldValue::Bool(true)])]);
    let headers =
        FieldTable(vec![("a".to_owned(), FieldValue::Bool(true)), ("b".to_owned(), deep)]);
    let limited = |count, depth| Options {
        header_count_max: count,
        header_depth_max: depth,
        ..Options::default()
    };
    for cut in [None, Some(30), Some(60)] {
        for (count, depth) in [(None, 64), (Some(4), 3), (Some(5), 4), (None, 3)] {
            let told = publish_headers(limited(count, depth), &headers, cut);
            assert!(told.is_empty(), "{count:?} {depth}: {told:?}");
        }
        for (count, depth, wanted) in [
            (Some(3), 64, "message has 4 headers, more than the configured 3"),
            (None, 2, "message has headers nested 3 deep, more than the configured 2"),
        ] {
            let told = publish_headers(limited(count, depth), &headers, cut);
            assert!(told.len() == 1 && told[0].contains(wanted), "{told:?}");
        }
    }
}

fn ready(world: &World, queue: &str) -> usize {
    let topology = world.shared.broker.topology();
    topology.vhosts["/"].queues[queue].counts().ready
}

/// Publishes as fast as the session reads for that long; how many messages.
fn publish_for(peers: &mut [&mut Peer], world: &World, millis: u64) -> usize {
    let before = ready(world, "q");
    let input = publishes(2_000);
    let one = input.len() / 2_000;
    let end = peers[0].now.after(millis);
    let mut rounds = 0;
    while peers[0].now < end {
        for peer in &mut *peers {
            if peer.session.deadline().is_some_and(|at| at <= peer.now) {
                peer.session.on_time(peer.now);
            }
            while peer.session.wants_input() {
                let most = peer.session.read_max().min(input.len()) / one * one;
                let used = peer.session.receive(&input[..most], peer.now);
                rounds += 1;
                if used == 0 || rounds > 10_000 {
                    break;
                }
                assert_eq!(used % one, 0);
            }
            peer.now = peer.now.after(1);
        }
    }
    ready(world, "q") - before
}

#[test]
fn a_quota_lets_through_what_it_says_over_all_connections() {
    for quota in [
        messages_a_second(1_000),
        Quota { messages_per_second: None, bytes_per_second: Some(10_000) },
        Quota { messages_per_second: Some(1_000), bytes_per_second: Some(1 << 40) },
    ] {
        let world = world();
        let (mut one, mut two) = (open(&world, "guest"), open(&world, "guest"));
        one.declare("q", false);
        set_quota(&world, quota);
        let passed = publish_for(&mut [&mut one, &mut two], &world, 3_000);
        assert!((4_000..4_300).contains(&passed), "{passed} in the first three seconds");
        let passed = publish_for(&mut [&mut one, &mut two], &world, 10_000);
        assert!((9_800..10_200).contains(&passed), "{passed} in ten seconds");
    }
}

#[test]
fn a_vhosts_quota_holds_all_users_in_it_and_nobody_else() {
    let world = world();
    let (mut one, mut two) = (open(&world, "guest"), open(&world, "other"));
    one.declare("q", false);
    let of = QuotaOf::Vhost("/".into());
    world.shared.broker.set_quota(of, messages_a_second(1_000)).unwrap();
    let passed = publish_for(&mut [&mut one, &mut two], &world, 3_000);
    assert!((4_000..4_300).contains(&passed), "{passed}");
    let (mut elsewhere, _) = enter(&world, "guest", "elsewhere");
    elsewhere.send(1, &Method::ChannelOpen {});
    elsewhere.declare("q", false);
    let input = publishes(2_000);
    for _ in 0..5 {
        assert_eq!(elsewhere.session.receive(&input, elsewhere.now), input.len());
        assert!(elsewhere.session.wants_input());
    }
}

#[test]
fn who_rests_for_a_quota_shows_life_and_gets_deliveries() {
    let world = world();
    let mut peer = open(&world, "guest");
    peer.declare("q", false);
    peer.declare("in", false);
    peer.consume("in");
    set_quota(&world, messages_a_second(1));
    peer.session.receive(&publishes(200), peer.now);
    assert!(!peer.session.wants_input());
    let mut other = open(&world, "other");
    other.publish("in", false, b"a");
    assert_eq!(peer.answers(), ["basic.deliver", "header", "body"]);
    peer.session.on_written(peer.now);
    let start = peer.now;
    let mut heartbeats = 0;
    while peer.now < start.after(190_000) {
        peer.now = peer.session.deadline().unwrap();
        peer.session.on_time(peer.now);
        let answers = peer.answers();
        heartbeats += answers.len();
        if !answers.is_empty() {
            assert_eq!(answers, ["heartbeat"]);
            peer.session.on_written(peer.now);
        }
        assert!(!peer.session.wants_input() && !peer.session.is_ended());
    }
    assert!((5..=7).contains(&heartbeats), "{heartbeats} in 190 s");
    // A change in place is noticed within a second.
    set_quota(&world, Quota::default());
    peer.session.on_time(peer.now.after(1_000));
    assert!(peer.session.wants_input());
}

#[test]
fn who_only_consumes_is_not_held_and_nobody_pays_for_another() {
    let world = world();
    let mut publisher = open(&world, "guest");
    publisher.declare("q", false);
    let mut consumer = open(&world, "guest");
    consumer.consume("q");
    set_quota(&world, messages_a_second(0));
    publisher.session.receive(&publishes(1), publisher.now);
    assert!(!publisher.session.wants_input());
    assert_eq!(consumer.answers(), ["basic.deliver", "header", "body"]);
    consumer.send(1, &Method::BasicAck { delivery_tag: 1, multiple: false });
    assert!(consumer.session.wants_input());
    let mut other = open(&world, "other");
    other.session.receive(&publishes(2_000), other.now);
    assert!(other.session.wants_input());
    assert_eq!(publisher.session.receive(&publishes(1), publisher.now), 0);
    assert!(publisher.session.stopped_early());
    publisher.session.on_time(publisher.now.after(1_000));
    assert!(!publisher.session.wants_input(), "nothing a second is nothing");
}
