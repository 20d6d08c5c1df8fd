//! The exchange types beyond the four of the specification: shares, movement, determinism, and what
//! they refuse.

use std::collections::BTreeMap;

use super::*;
use crate::message::{FieldValue, MessageBuilder};

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.as_bytes().to_vec())
}

fn table(arguments: &[(&str, FieldValue)]) -> FieldTable {
    FieldTable(arguments.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn router(kind: ExchangeKind, arguments: &[(&str, FieldValue)], seed: u64) -> Router {
    let spec = ExchangeSpec {
        name: "x".into(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: table(arguments),
    };
    Router::new(&spec, seed)
}

fn hashing(weights: &[(&str, &str)]) -> Router {
    let mut router = router(ExchangeKind::ConsistentHash, &[], 0);
    for (queue, weight) in weights {
        router.bind(&Binding::to_queue("x", queue, weight));
    }
    router
}

fn route_input(router: &Router, input: &RoutingInput<'_>) -> Vec<String> {
    let mut queues = Vec::new();
    router.route(input, &mut |destination| {
        let (Destination::Queue(name) | Destination::Exchange(name)) = destination;
        queues.push(name.to_string());
    });
    queues
}

fn route_key(router: &Router, key: &str) -> Vec<String> {
    route_input(
        router,
        &RoutingInput { routing_key: key, extra_keys: &[], message: None, now: Timestamp(0) },
    )
}

/// Where each of many keys goes.
fn map(router: &Router) -> Vec<String> {
    let one = |number| route_key(router, &format!("customer.{number}")).swap_remove(0);
    (0..20_000).map(one).collect()
}

fn shares(map: &[String]) -> BTreeMap<&str, f64> {
    let mut shares = BTreeMap::new();
    for queue in map {
        *shares.entry(queue.as_str()).or_insert(0.0) += 1.0 / map.len() as f64;
    }
    shares
}

fn assert_shares(map: &[String], wanted: &[(&str, f64)]) {
    let shares = shares(map);
    assert_eq!(shares.len(), wanted.len());
    for (queue, share) in wanted {
        let off = shares[queue] / share - 1.0;
        assert!(off.abs() < 0.05, "{queue} has {} of {share}", shares[queue]);
    }
}

/// From the property flags and the properties as they are encoded.
fn message(flags: u16, properties: &[u8]) -> Message {
    let encoded = [&flags.to_be_bytes()[..], properties].concat();
    MessageBuilder::new("x", "key", &encoded, 0, Some("guest"), None).unwrap().finish().0
}

fn plain() -> Message {
    message(0, &[])
}

fn with_header(name: &str, value: FieldValue) -> Message {
    let mut encoded = Vec::new();
    table(&[(name, value)]).encode(&mut encoded);
    message(1 << 13, &encoded)
}

/// With a correlation id, a message id and a timestamp.
fn identified(id: &str, timestamp: u64) -> Message {
    let short = [&[id.len() as u8], id.as_bytes()].concat();
    let encoded = [&short[..], &short, &timestamp.to_be_bytes()].concat();
    message(1 << 10 | 1 << 7 | 1 << 6, &encoded)
}

fn route_message(router: &Router, message: &Message) -> Vec<String> {
    let input = RoutingInput {
        routing_key: "key",
        extra_keys: &[],
        message: Some(message),
        now: Timestamp(0),
    };
    route_input(router, &input)
}

#[test]
fn kinds_keep_their_names_and_their_stored_form() {
    for (index, kind) in ExchangeKind::ALL.into_iter().enumerate() {
        assert_eq!(ExchangeKind::from_name(kind.name()), Some(kind));
        assert_eq!(postcard::to_allocvec(&kind).unwrap(), [index as u8]);
    }
    assert_eq!(ExchangeKind::from_name("x-banana"), None);
}

#[test]
fn weights_are_shares() {
    let all = map(&hashing(&[("one", "1"), ("two", "2"), ("three", "3"), ("four", "4")]));
    assert_shares(&all, &[("one", 0.1), ("two", 0.2), ("three", 0.3), ("four", 0.4)]);
}

/// The queues of the plugin for the same keys and weights, on Erlang/OTP 25.
#[test]
fn keys_go_where_the_plugin_sends_them() {
    let router = hashing(&[("a", "3"), ("b", "4"), ("c", "3")]);
    let went: String =
        (0..24).map(|number| route_key(&router, &format!("k{number}")).join("")).collect();
    assert_eq!(went, PLUGIN);
}

const PLUGIN: &str = "ccbcabacbccbaaaacbaabbba";

#[test]
fn keys_move_only_to_what_is_new_and_only_from_what_goes() {
    let mut router = hashing(&[("m", "2"), ("z", "3"), ("k", "5")]);
    let before = map(&router);
    // Its name comes first, its buckets last.
    let new = Binding::to_queue("x", "a", "5");
    router.bind(&new);
    let after = map(&router);
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new);
    assert!(moved.clone().all(|(_, new)| new == "a"));
    let share = moved.count() as f64 / before.len() as f64;
    assert!((share / (5.0 / 15.0) - 1.0).abs() < 0.05, "{share} moved");
    router.unbind(&new);
    assert_eq!(map(&router), before);
}

#[test]
fn the_later_ones_move_down_when_one_goes() {
    let mut router = hashing(&[("a", "2"), ("b", "3"), ("c", "5")]);
    router.unbind(&Binding::to_queue("x", "b", "3"));
    assert_eq!(map(&router), map(&hashing(&[("a", "2"), ("c", "5")])));
    router.unbind(&Binding::to_queue("x", "a", "2"));
    router.unbind(&Binding::to_queue("x", "a", "2"));
    router.unbind(&Binding::to_queue("x", "c", "5"));
    assert_eq!(route_key(&router, "k"), Vec::<String>::new());
}

#[test]
fn a_destination_counts_once() {
    let mut router = hashing(&[("a", "1"), ("b", "1"), ("a", "7")]);
    let once = map(&hashing(&[("a", "1"), ("b", "1")]));
    assert_eq!(map(&router), once);
    router.unbind(&Binding::to_queue("x", "a", "1"));
    assert_eq!(map(&router), map(&hashing(&[("a", "7"), ("b", "1")])));
    router.unbind(&Binding::to_queue("x", "a", "7"));
    assert_eq!(shares(&map(&router)).len(), 1);
}

#[test]
fn headers_and_properties_are_hashed_as_keys_are() {
    let bound = [("a", "3"), ("b", "4"), ("c", "3")];
    let by_key = hashing(&bound);
    let by = |argument: &str, value: &str| {
        let mut router = router(ExchangeKind::ConsistentHash, &[(argument, text(value))], 0);
        bound.iter().for_each(|(queue, key)| router.bind(&Binding::to_queue("x", queue, key)));
        assert!(router.varies());
        router
    };
    assert!(!by_key.varies());
    let (header, message_id) = (by("hash-header", "user"), by("hash-property", "message_id"));
    let (correlation, timestamp) =
        (by("hash-property", "correlation_id"), by("hash-property", "timestamp"));
    for number in 0..100_u64 {
        let value = number.to_string();
        let wanted = route_key(&by_key, &value);
        assert_eq!(route_message(&header, &with_header("user", text(&value))), wanted);
        let message = identified(&value, number);
        for router in [&message_id, &correlation, &timestamp] {
            assert_eq!(route_message(router, &message), wanted);
        }
    }
    let short = with_header("user", FieldValue::I16(-5));
    let long = with_header("user", FieldValue::I64(-5));
    assert_eq!(route_message(&header, &short), route_message(&header, &long));
    let other = with_header("other", text("7"));
    for router in [&header, &message_id, &timestamp] {
        assert_eq!(route_message(router, &other), route_key(router, "without a message"));
    }
}

fn refusal(result: Result<(), Refusal>) -> String {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.kind, crate::error::RefusalKind::PreconditionFailed);
    refusal.text
}

#[test]
fn binding_keys_must_be_weights() {
    let vhost = Vhost::new("/".into(), 0);
    let check = |key: &str| {
        ExchangeKind::ConsistentHash.check_binding(&Binding::to_queue("x", "q", key), &vhost)
    };
    for key in ["1", "+7", "0000000000000000000000000000002", "10000"] {
        assert_eq!(check(key), Ok(()), "{key}");
    }
    for (key, shown) in [("a\"b", "<<\"a\\\"b\">>"), ("", "<<>>"), ("1.5", "<<\"1.5\">>")] {
        let text = format!("The binding key must be an integer: {shown}");
        assert_eq!(refusal(check(key)), text);
    }
    assert_eq!(refusal(check("é")), "The binding key must be an integer: <<195,169>>");
    for key in ["0", "-0", "-1", "-99999999999999999999999"] {
        assert_eq!(refusal(check(key)), "The binding key must be greater than 0", "{key}");
    }
    for key in ["10001", "99999999999999999999999"] {
        assert_eq!(refusal(check(key)), "The binding key must not exceed 10000");
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let check = |kind: ExchangeKind, arguments: &[(&str, FieldValue)]| {
        refusal(kind.check_arguments(&table(arguments)))
    };
    let hash = ExchangeKind::ConsistentHash;
    assert_eq!(check(hash, &[("hash-property", text("app_id"))]), "Unsupported property: app_id");
    assert_eq!(
        check(hash, &[("hash-header", text("h")), ("hash-property", text("banana"))]),
        "hash-header and hash-property are mutually exclusive"
    );
    assert_eq!(
        check(hash, &[("hash-header", FieldValue::I32(1))]),
        "invalid type 'signedint' for arg 'hash-header'"
    );
    let history = ExchangeKind::RecentHistory;
    let wrong = [
        (FieldValue::I32(0), "0"),
        (FieldValue::I64(-3), "-3"),
        (text("5"), "<<\"5\">>"),
        (FieldValue::U8(5), "5"),
    ];
    for (value, shown) in wrong {
        assert_eq!(
            check(history, &[("x-recent-history-length", value)]),
            format!(
                "Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
            )
        );
    }
}

#[test]
fn a_modulus_is_a_share_of_each_binding() {
    let mut router = router(ExchangeKind::ModulusHash, &[], 0);
    assert_eq!(route_key(&router, "k"), Vec::<String>::new());
    for (queue, key) in [("c", "x"), ("a", "y"), ("b", "z"), ("b", "zz")] {
        router.bind(&Binding::to_queue("x", queue, key));
    }
    assert!(!router.varies());
    assert_shares(&map(&router), &[("a", 0.25), ("b", 0.5), ("c", 0.25)]);
    router.unbind(&Binding::to_queue("x", "b", "z"));
    assert_shares(&map(&router), &[("a", 1.0 / 3.0), ("b", 1.0 / 3.0), ("c", 1.0 / 3.0)]);
}

#[test]
fn chance_is_fair_and_repeats_with_the_seed() {
    for kind in [ExchangeKind::Random, ExchangeKind::LocalRandom] {
        let build = |seed| {
            let mut router = router(kind, &[], seed);
            for queue in ["a", "b", "c"] {
                router.bind(&Binding::to_queue("x", queue, ""));
            }
            router
        };
        let (first, second) = (map(&build(1)), map(&build(1)));
        assert_shares(&first, &[("a", 1.0 / 3.0), ("b", 1.0 / 3.0), ("c", 1.0 / 3.0)]);
        assert_eq!(first, second);
        assert_ne!(first, map(&build(2)));
        let router = build(1);
        assert!(router.varies());
        // A clone goes on where the other is.
        let (one, other) = (map(&router), map(&router.clone()));
        assert_ne!(one, other);
    }
}

#[test]
fn local_random_bindings_have_no_key_and_lead_to_queues() {
    let vhost = Vhost::new("/".into(), 0);
    let check =
        |binding: &Binding| refusal(ExchangeKind::LocalRandom.check_binding(binding, &vhost));
    let with_key = Binding::to_queue("x", "q", "k");
    assert_eq!(check(&with_key), "Non empty binding 'k' key not permitted");
    let destination = Destination::Exchange("amq.fanout".into());
    let to_exchange = Binding::new("x".into(), destination, Name::default(), FieldTable::default());
    assert_eq!(check(&to_exchange), "Destination not found");
}

#[test]
fn a_history_is_bounded_in_number_and_bytes() {
    let length = [("x-recent-history-length", FieldValue::I32(3))];
    let router = router(ExchangeKind::RecentHistory, &length, 0);
    let history = router.history().unwrap();
    let grow = |message: &Message| {
        let input = RoutingInput {
            routing_key: "k",
            extra_keys: &[],
            message: Some(message),
            now: Timestamp(0),
        };
        router.route(&input, &mut |_| {})
    };
    let once = grow(&plain());
    assert!(once > 0);
    let unkept = with_header("x-recent-history-no-store", FieldValue::Bool(true));
    assert_eq!(grow(&unkept), 0);
    let kept = with_header("x-recent-history-no-store", FieldValue::Bool(false));
    let more = grow(&kept);
    assert_eq!((grow(&plain()), grow(&plain())), (once, 0));
    let messages: Vec<Message> = history.messages().into_iter().map(|past| past.message).collect();
    assert_eq!(messages, [kept, plain(), plain()]);

    let body = vec![0; 24 << 20];
    let mut large =
        MessageBuilder::new("x", "", b"\0\0", body.len() as u64, Some("guest"), None).unwrap();
    large.push(&body).unwrap();
    let large = large.finish().0;
    let grown: i64 = (0..4).map(|_| grow(&large)).sum();
    assert_eq!(history.messages().len(), 2);
    assert_eq!(history.close() as i64, 2 * once + more + grown);
    assert_eq!((grow(&plain()), history.messages().len()), (0, 0));
}
