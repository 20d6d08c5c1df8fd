//! Every operation, with every single permission missing: the code and the text; and what becomes
//! of open connections when users, vhosts and permissions change.

use leveret_broker::broker::Credential;
use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_publish};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};

use super::tests::{Peer, World, start_ok_of};
use crate::options::Options;

/// One operation, as frames, with what it needs: a permission and the resource it is for.
struct Case {
    name: &'static str,
    frames: Vec<u8>,
    needs: &'static [(&'static str, &'static str)],
    /// Any of these is enough.
    any: bool,
}

fn frames(method: &Method<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    method.encode_frame(1, &mut bytes);
    bytes
}

pub(super) fn publish(exchange: &str, key: &str, properties: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_publish(&mut bytes, 1, exchange, key, false);
    write_content_header(&mut bytes, 1, 1, properties);
    write_body_frame_header(&mut bytes, 1, 1);
    bytes.extend_from_slice(b"x\xCE");
    bytes
}

fn text_argument(key: &str, value: &str) -> Vec<u8> {
    FieldTable(vec![(key.to_owned(), FieldValue::LongStr(value.into()))]).to_content()
}

fn declare_queue(queue: &str, passive: bool, arguments: &[u8]) -> Vec<u8> {
    frames(&Method::QueueDeclare {
        queue,
        passive,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: Table::parse(arguments).unwrap(),
    })
}

fn declare_exchange(exchange: &str, passive: bool, arguments: &[u8]) -> Vec<u8> {
    frames(&Method::ExchangeDeclare {
        exchange,
        r#type: "fanout",
        passive,
        durable: false,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: Table::parse(arguments).unwrap(),
    })
}

fn case(name: &'static str, frames: Vec<u8>, needs: &'static [(&str, &str)]) -> Case {
    Case { name, frames, needs, any: false }
}

const QUEUE: &str = "queue 'q' in vhost '/'";
const SOURCE: &str = "exchange 'x' in vhost '/'";
const TARGET: &str = "exchange 'y' in vhost '/'";

fn declarations() -> Vec<Case> {
    let (alternate, dead) =
        (text_argument("alternate-exchange", "y"), text_argument("x-dead-letter-exchange", "y"));
    let any = |name, frames, needs| Case { any: true, ..case(name, frames, needs) };
    const NEW_QUEUE: &str = "queue 'new' in vhost '/'";
    const NEW_EXCHANGE: &str = "exchange 'new' in vhost '/'";
    vec![
        case("declare queue", declare_queue("new", false, &[]), &[("configure", NEW_QUEUE)]),
        case("declare queue again", declare_queue("q", false, &[]), &[("configure", QUEUE)]),
        case(
            "declare queue with dead letters",
            declare_queue("new", false, &dead),
            &[("configure", NEW_QUEUE), ("read", NEW_QUEUE), ("write", TARGET)],
        ),
        case(
            "declare exchange",
            declare_exchange("new", false, &[]),
            &[("configure", NEW_EXCHANGE)],
        ),
        case(
            "declare exchange with alternate",
            declare_exchange("new", false, &alternate),
            &[("configure", NEW_EXCHANGE), ("read", NEW_EXCHANGE), ("write", TARGET)],
        ),
        any(
            "look for queue",
            declare_queue("q", true, &[]),
            &[("read", QUEUE), ("write", QUEUE), ("configure", QUEUE)],
        ),
        any(
            "look for exchange",
            declare_exchange("x", true, &[]),
            &[("read", SOURCE), ("write", SOURCE), ("configure", SOURCE)],
        ),
        case(
            "delete queue",
            frames(&Method::QueueDelete {
                queue: "q",
                if_unused: false,
                if_empty: false,
                no_wait: false,
            }),
            &[("configure", QUEUE)],
        ),
        case(
            "delete exchange",
            frames(&Method::ExchangeDelete { exchange: "x", if_unused: false, no_wait: false }),
            &[("configure", SOURCE)],
        ),
    ]
}

fn bindings() -> Vec<Case> {
    let (exchange, routing_key, arguments) = ("x", "k", Table::EMPTY);
    let (queue, destination, source, no_wait) = ("q", "y", "x", false);
    const OF_QUEUE: &[(&str, &str)] = &[("write", QUEUE), ("read", SOURCE)];
    const OF_EXCHANGE: &[(&str, &str)] = &[("write", TARGET), ("read", SOURCE)];
    vec![
        case(
            "bind queue",
            frames(&Method::QueueBind { queue, exchange, routing_key, no_wait, arguments }),
            OF_QUEUE,
        ),
        case(
            "unbind queue",
            frames(&Method::QueueUnbind { queue, exchange, routing_key, arguments }),
            OF_QUEUE,
        ),
        case(
            "bind exchange",
            frames(&Method::ExchangeBind { destination, source, routing_key, no_wait, arguments }),
            OF_EXCHANGE,
        ),
        case(
            "unbind exchange",
            frames(&Method::ExchangeUnbind {
                destination,
                source,
                routing_key,
                no_wait,
                arguments,
            }),
            OF_EXCHANGE,
        ),
    ]
}

fn messages() -> Vec<Case> {
    const DEFAULT: &str = "exchange 'amq.default' in vhost '/'";
    vec![
        case("publish", publish("x", "k", b"\0\0"), &[("write", SOURCE)]),
        case("publish to a queue", publish("", "q", b"\0\0"), &[("write", DEFAULT)]),
        case(
            "publish to nothing",
            publish("none", "q", b"\0\0"),
            &[("write", "exchange 'none' in vhost '/'")],
        ),
        case("get", frames(&Method::BasicGet { queue: "q", no_ack: true }), &[("read", QUEUE)]),
        case(
            "purge",
            frames(&Method::QueuePurge { queue: "q", no_wait: false }),
            &[("read", QUEUE)],
        ),
        case(
            "consume",
            frames(&Method::BasicConsume {
                queue: "q",
                consumer_tag: "c",
                no_local: false,
                no_ack: true,
                exclusive: false,
                no_wait: false,
                arguments: Table::EMPTY,
            }),
            &[("read", QUEUE)],
        ),
    ]
}

/// A world with a user of names full of regular expressions, and what the operations are for.
fn world() -> World {
    world_with(Options::default())
}

pub(super) fn world_with(options: Options) -> World {
    let world = World::new(options);
    let broker = &world.shared.broker;
    broker.put_user("sh.p", Credential::Password("pw"), &[]).unwrap();
    broker.grant("sh.p", "/", [".*", ".*", ".*"]).unwrap();
    world.log.sync();
    let mut guest = world.open();
    guest.declare("q", false);
    for exchange in ["x", "y"] {
        assert_eq!(guest.give(&declare_exchange(exchange, false, &[])), ["exchange.declare-ok"]);
    }
    world
}

fn open(world: &World) -> Peer {
    open_with(world, "pw")
}

/// A connection of the user with that password, or token.
pub(super) fn open_with(world: &World, password: &str) -> Peer {
    world.log.sync();
    let mut peer = world.session();
    let opened = peer.log_in(&start_ok_of("sh.p", password), 131_072, 0);
    assert_eq!(opened, ["connection.open-ok"]);
    assert_eq!(peer.send(1, &Method::ChannelOpen {}), ["channel.open-ok"]);
    peer
}

/// What is wrong, if something is.
pub(super) fn complaint(peer: &mut Peer, frames: &[u8]) -> Option<String> {
    peer.session.receive(frames, peer.now);
    peer.take_mail();
    let written = peer.written();
    let closes = |name: &str| name == "channel.close" || name == "connection.close";
    written
        .into_iter()
        .find(|(_, name, _)| closes(name))
        .map(|(_, name, text)| format!("{name} {text}"))
}

/// The name in a resource's text.
pub(super) fn name(resource: &str) -> &str {
    resource.split('\'').nth(1).unwrap()
}

/// Grants exactly `needs`, but for the one at `without`; the password.
fn grant(world: &World, needs: &[(&str, &str)], without: Option<usize>) -> String {
    let pattern = |permission: &str| {
        let names = needs.iter().enumerate();
        let names = names.filter(|(at, need)| need.0 == permission && Some(*at) != without);
        let names: Vec<&str> = names.map(|(_, need)| name(need.1)).collect();
        if names.is_empty() { String::new() } else { format!("^({})$", names.join("|")) }
    };
    let patterns = [pattern("configure"), pattern("write"), pattern("read")];
    let patterns = patterns.each_ref().map(String::as_str);
    world.shared.broker.grant("sh.p", "/", patterns).unwrap();
    "pw".to_owned()
}

pub(super) fn refusal(permission: &str, resource: &str) -> String {
    format!(
        "channel.close ACCESS_REFUSED - {permission} access to {resource} refused for user 'sh.p'"
    )
}

#[test]
fn each_operation_needs_just_its_permissions() {
    check_each_operation(&Options::default(), grant);
}

/// Tries each operation with what it needs, and with less. `grant` gives the user what it is told,
/// and its password, or token.
pub(super) fn check_each_operation(
    options: &Options,
    grant: impl Fn(&World, &[(&str, &str)], Option<usize>) -> String,
) {
    let cases = [declarations(), bindings(), messages()].into_iter().flatten();
    for Case { name, frames, needs, any } in cases {
        let world = world_with(options.clone());
        let complaint_with = |needs: &[(&str, &str)], without| {
            let password = grant(&world, needs, without);
            complaint(&mut open_with(&world, &password), &frames)
        };
        for at in 0..needs.len() {
            let only = &needs[at..=at];
            if any {
                assert_eq!(complaint_with(only, None), None, "{name} with {only:?}");
                continue;
            }
            let told = complaint_with(needs, Some(at));
            assert_eq!(told, Some(refusal(needs[at].0, needs[at].1)), "{name}");
        }
        let first = if any { needs[needs.len() - 1] } else { needs[0] };
        let told = complaint_with(&[], None);
        assert_eq!(told, Some(refusal(first.0, first.1)), "{name} with nothing");
        let told = complaint_with(needs, None);
        let missing = "channel.close NOT_FOUND - no exchange 'none' in vhost '/'";
        let expected = (name == "publish to nothing").then(|| missing.to_owned());
        assert_eq!(told, expected, "{name} with all that it needs");
    }
}

#[test]
fn keys_of_topics_are_checked_for_publish_and_bind() {
    let world = world();
    let broker = &world.shared.broker;
    broker.grant_topic("sh.p", "/", "amq.topic", ["^a\\.{username}$", "^b\\."]).unwrap();
    let refused = |permission: &str, key: &str| {
        Some(format!(
            "channel.close ACCESS_REFUSED - {permission} access to topic '{key}' in exchange topic \
             'amq.topic' in vhost '/' refused for user 'sh.p'"
        ))
    };
    let mut peer = open(&world);
    assert_eq!(complaint(&mut peer, &publish("amq.topic", "a.sh.p", b"\0\0")), None);
    assert_eq!(complaint(&mut peer, &publish("x", "whatever", b"\0\0")), None, "no topic exchange");
    let told = complaint(&mut peer, &publish("amq.topic", "a.shxp", b"\0\0"));
    assert_eq!(told, refused("write", "a.shxp"), "the dot in the name is a dot");
    let bind = |routing_key| {
        let (queue, exchange, no_wait) = ("q", "amq.topic", false);
        let arguments = Table::EMPTY;
        let bind = Method::QueueBind { queue, exchange, routing_key, no_wait, arguments };
        complaint(&mut open(&world), &frames(&bind))
    };
    assert_eq!(bind("b.c"), None);
    assert_eq!(bind("a.sh.p"), refused("read", "a.sh.p"));
    broker.clear_topic_permissions("sh.p", "/", None).unwrap();
    assert_eq!(bind("a.sh.p"), None);
}

#[test]
fn further_keys_of_a_publish_are_checked_too() {
    let world = world();
    world.shared.broker.grant_topic("sh.p", "/", "amq.topic", ["^a$", ""]).unwrap();
    let keys = FieldValue::Array(vec![FieldValue::LongStr(b"secret".to_vec())]);
    let headers = Some(FieldTable(vec![("CC".to_owned(), keys)]));
    let mut properties = Vec::new();
    leveret_wire::amqp091::properties::BasicProperties { headers, ..Default::default() }
        .encode(&mut properties);
    let told = complaint(&mut open(&world), &publish("amq.topic", "a", &properties)).unwrap();
    assert!(told.contains("write access to topic 'secret' in exchange"), "{told}");
}

#[test]
fn a_change_counts_at_once_for_whom_has_published_before() {
    let world = world();
    let mut peer = open(&world);
    for _ in 0..3 {
        assert_eq!(complaint(&mut peer, &publish("x", "k", b"\0\0")), None);
    }
    world.shared.broker.grant("sh.p", "/", [".*", "", ".*"]).unwrap();
    let told = complaint(&mut peer, &publish("x", "k", b"\0\0"));
    assert_eq!(told, Some(refusal("write", SOURCE)));
}

#[test]
fn only_an_impersonator_names_another_user() {
    let world = world();
    // The flag of user-id, and a short string.
    let as_other = b"\x00\x10\x05other";
    let told = complaint(&mut open(&world), &publish("x", "k", as_other));
    let text = "channel.close PRECONDITION_FAILED - user_id property set to 'other' but \
                authenticated user was 'sh.p'";
    assert_eq!(told.as_deref(), Some(text));
    world.shared.broker.set_tags("sh.p", &["impersonator"]).unwrap();
    assert_eq!(complaint(&mut open(&world), &publish("x", "k", as_other)), None);
}

/// Passes the broker's changes on, as a running server does.
fn connected(world: &World) {
    crate::tell_of_access(&world.shared);
}

pub(super) fn told(peer: &mut Peer) -> Vec<(String, String)> {
    peer.take_mail();
    peer.written().into_iter().map(|(_, name, text)| (name, text)).collect()
}

#[test]
fn connections_of_a_deleted_user_and_to_a_deleted_vhost_are_closed() {
    let world = world();
    connected(&world);
    let (mut guest, mut peer) = (world.open(), open(&world));
    world.shared.broker.delete_user("sh.p").unwrap();
    world.shared.broker.put_administrator("sh.p", "pw", "/").unwrap();
    let close = |text: &str| [("connection.close".to_owned(), text.to_owned())];
    assert_eq!(told(&mut peer), close("CONNECTION_FORCED - user 'sh.p' is deleted"));
    world.log.sync();
    assert_eq!(guest.declare("still", false), ["queue.declare-ok"]);
    world.shared.broker.delete_vhost("/", guest.now).unwrap();
    assert_eq!(told(&mut guest), close("CONNECTION_FORCED - vhost '/' is deleted"));
    assert!(world.shared.broker.topology().vhosts.is_empty());
    assert_eq!(world.shared.broker.memory_bytes(), 0);
}

#[test]
fn a_consumer_that_may_not_read_any_more_is_cancelled() {
    let world = world();
    connected(&world);
    let mut peer = open(&world);
    assert_eq!(peer.consume("q"), ["basic.consume-ok"]);
    world.shared.broker.grant("sh.p", "/", [".*", ".*", "^other$"]).unwrap();
    assert_eq!(told(&mut peer), [("basic.cancel".to_owned(), String::new())]);
    world.open().publish("q", false, b"x");
    assert!(told(&mut peer).is_empty());
}

#[test]
fn a_vhost_without_permissions_stays_closed() {
    let world = world();
    let open = |vhost| {
        let mut peer = world.session();
        peer.give(&leveret_wire::amqp091::PROTOCOL_HEADER);
        peer.give(&start_ok_of("sh.p", "pw"));
        let tune = Method::ConnectionTuneOk { channel_max: 0, frame_max: 131_072, heartbeat: 0 };
        peer.send(0, &tune);
        let mut bytes = Vec::new();
        Method::ConnectionOpen { virtual_host: vhost }.encode_frame(0, &mut bytes);
        complaint(&mut peer, &bytes).unwrap_or_default()
    };
    world.shared.broker.add_vhost("v");
    let refused = "NOT_ALLOWED - access to vhost 'v' refused for user 'sh.p'";
    assert_eq!(open("v"), format!("connection.close {refused}"));
    assert_eq!(open("none"), "connection.close NOT_ALLOWED - vhost none not found");
    world.shared.broker.grant("sh.p", "v", ["", "", ""]).unwrap();
    assert_eq!(open("v"), "", "to enter, no pattern need match");
    world.shared.broker.clear_permissions("sh.p", "v").unwrap();
    assert_eq!(open("v"), format!("connection.close {refused}"));
}

#[test]
fn guest_comes_from_this_machine_only() {
    let world = world();
    let refused = "connection.close ACCESS_REFUSED - Login was refused using authentication \
                   mechanism PLAIN. For details see the broker logfile.";
    let log_in = |from: &str, user: &str, password: &str| {
        let mut peer = world.session_from(from.parse().unwrap());
        peer.give(&leveret_wire::amqp091::PROTOCOL_HEADER);
        complaint(&mut peer, &start_ok_of(user, password)).unwrap_or_default()
    };
    assert_eq!(log_in("192.0.2.1:5000", "guest", "guest"), refused);
    assert_eq!(log_in("192.0.2.1:5000", "sh.p", "pw"), "");
    for here in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(log_in(here, "guest", "guest"), "", "{here}");
    }
    assert_eq!(log_in("[::ffff:192.0.2.1]:1", "guest", "guest"), refused);
    // CVE-2016-9877: a user and an empty password.
    assert_eq!(log_in("127.0.0.1:1", "sh.p", ""), refused);
    assert_eq!(log_in("127.0.0.1:1", "nobody", "pw"), refused);
}

#[test]
fn a_new_secret_is_taken_and_a_credential_that_runs_out_ends_the_connection() {
    let world = world();
    let mut peer = open(&world);
    let update = Method::ConnectionUpdateSecret { new_secret: b"new", reason: "due" };
    assert_eq!(peer.send(0, &update), ["connection.update-secret-ok"]);
    peer.session.expire_at(peer.now.after(1_000));
    peer.session.on_time(peer.now.after(999));
    assert!(peer.session.is_running());
    peer.session.on_time(peer.now.after(1_000));
    let close =
        ("connection.close".to_owned(), "CONNECTION_FORCED - credential expired".to_owned());
    assert_eq!(told(&mut peer), [close]);
}
