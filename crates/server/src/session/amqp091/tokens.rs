//! Connections whose password is a token: what they may, until when, and how they renew it.

use std::sync::Arc;
use std::time::Duration;

use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::method::Method;
use serde_json::{Value, json};

use super::permissions::{
    check_each_operation, complaint, name, open_with, publish, refusal, told, world_with,
};
use super::tests::{Peer, World, start_ok_of};
use crate::oauth::OAuthOptions;
use crate::oauth::tests::{EC, KeyFile, OTHER_EC, RSA, claims, key_set, serve};
use crate::options::Options;

const REFUSED: &str = "connection.close ACCESS_REFUSED - Login was refused using authentication \
                       mechanism PLAIN. For details see the broker logfile.";
const NOT_TAKEN: &str =
    "connection.close NOT_ALLOWED - New secret was refused by one of the backends";

fn options(file: &KeyFile) -> Options {
    Options { oauth: Some(Arc::new(file.options())), ..Options::default() }
}

/// A token of the user `sh.p`.
fn token(scopes: &str, replaced: Value) -> String {
    let mut replaced = replaced;
    for (name, value) in [("sub", "sh.p"), ("scope", scopes)] {
        if replaced.get(name).is_none() {
            replaced[name] = json!(value);
        }
    }
    EC.token(&claims(replaced))
}

const ALL: &str = "rabbitmq.read:*/* rabbitmq.write:*/* rabbitmq.configure:*/*";

fn update(secret: &str) -> Vec<u8> {
    frames_of_connection(&Method::ConnectionUpdateSecret {
        new_secret: secret.as_bytes(),
        reason: "due",
    })
}

fn frames_of_connection(method: &Method<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    method.encode_frame(0, &mut bytes);
    bytes
}

/// Replaces the token; what is wrong, if something is.
fn renew(peer: &mut Peer, secret: &str) -> Option<String> {
    complaint(peer, &update(secret))
}

#[test]
fn each_operation_needs_just_its_scopes() {
    let file = KeyFile::new(&key_set(&[&EC]));
    check_each_operation(&options(&file), |_, needs, without| {
        let needs = needs.iter().enumerate().filter(|(at, _)| Some(*at) != without);
        let scope = |need: &(&str, &str)| format!("rabbitmq.{}:%2F/{}", need.0, name(need.1));
        let mut scopes: Vec<String> = needs.map(|(_, need)| scope(need)).collect();
        // To enter the vhost, and a scope of somebody else.
        scopes.push("rabbitmq.read:*/ other.configure:*/*".to_owned());
        token(&scopes.join(" "), json!({}))
    });
}

#[test]
fn the_token_says_who_comes_and_the_name_beside_it_nothing() {
    let file = KeyFile::new(&key_set(&[&EC, &RSA]));
    let world = world_with(options(&file));
    let log_in = |user: &str, password: &str| {
        let mut peer = world.session_from("192.0.2.1:5000".parse().unwrap());
        peer.give(&PROTOCOL_HEADER);
        complaint(&mut peer, &start_ok_of(user, password)).unwrap_or_default()
    };
    for user in ["", "sh.p", "nobody", "guest"] {
        assert_eq!(log_in(user, &token(ALL, json!({}))), "", "{user}");
    }
    assert_eq!(log_in("sh.p", "pw"), "", "users with passwords are there, too");
    assert_eq!(log_in("", &RSA.token(&claims(json!({})))), "");
    for bad in [
        token(ALL, json!({"exp": 999})),
        token(ALL, json!({"aud": "other"})),
        token(ALL, json!({"sub": "guest"})),
        OTHER_EC.token(&claims(json!({}))),
    ] {
        for _ in 0..4 {
            assert_eq!(log_in("sh.p", &bad), REFUSED);
        }
    }
    assert_eq!(log_in("sh.p", "e30.e30.e30"), REFUSED, "no token, but a wrong password");
    assert_eq!(log_in("sh.p", &token(ALL, json!({}))), "", "bad tokens cost no time");
    let off = world_with(Options::default());
    let mut peer = off.session();
    peer.give(&PROTOCOL_HEADER);
    let told = complaint(&mut peer, &start_ok_of("sh.p", &token(ALL, json!({}))));
    assert_eq!(told.as_deref(), Some(REFUSED), "where tokens are off");
}

#[test]
fn what_definitions_say_of_a_user_of_that_name_does_not_count() {
    let file = KeyFile::new(&key_set(&[&EC]));
    let world = world_with(options(&file));
    crate::tell_of_access(&world.shared);
    let mut peer = open_with(&world, &token("rabbitmq.write:*/y", json!({})));
    assert_eq!(complaint(&mut peer, &publish("y", "k", b"\0\0")), None);
    world.shared.broker.delete_user("sh.p").unwrap();
    assert!(told(&mut peer).is_empty(), "another one of that name");
    let told = complaint(&mut peer, &publish("x", "k", b"\0\0"));
    assert_eq!(told, Some(refusal("write", "exchange 'x' in vhost '/'")));
    world.log.sync();
    let mut peer = world.session();
    let opened = peer.log_in(&start_ok_of("", &token("rabbitmq.read:v/*", json!({}))), 131_072, 0);
    assert_eq!(opened, ["connection.close"], "no scope for the vhost");
}

#[test]
fn topics_and_the_tag_impersonator_come_from_scopes() {
    let file = KeyFile::new(&key_set(&[&EC]));
    let world = world_with(options(&file));
    let with = |scopes: &str, exchange: &str, key: &str, properties: &[u8]| {
        let mut peer = open_with(&world, &token(scopes, json!({})));
        complaint(&mut peer, &publish(exchange, key, properties)).unwrap_or_default()
    };
    let topic = "rabbitmq.write:*/amq.topic/{sub}.*";
    assert_eq!(with(topic, "amq.topic", "sh.p.x", b"\0\0"), "");
    let told = with(topic, "amq.topic", "shxp.x", b"\0\0");
    assert!(
        told.contains("write access to topic 'shxp.x' in exchange topic 'amq.topic'"),
        "{told}"
    );
    let told = with(ALL, "amq.topic", "sh.p.x", b"\0\0");
    assert!(told.contains("write access to topic"), "{told}");
    let as_other = b"\x00\x10\x05other";
    assert!(with(ALL, "x", "k", as_other).contains("user_id property set to 'other'"));
    let tagged = format!("{ALL} rabbitmq.tag:impersonator");
    assert_eq!(with(&tagged, "x", "k", as_other), "");
}

#[test]
fn a_new_token_replaces_permissions_and_expiry() {
    let file = KeyFile::new(&key_set(&[&EC]));
    let world = world_with(options(&file));
    let mut peer = open_with(&world, &token(ALL, json!({"exp": 1010})));
    assert_eq!(peer.consume("q"), ["basic.consume-ok"]);
    for _ in 0..3 {
        assert_eq!(complaint(&mut peer, &publish("x", "k", b"\0\0")), None);
    }
    let less = token("rabbitmq.write:*/y", json!({"exp": 1020}));
    peer.session.receive(&update(&less), peer.now);
    let names: Vec<String> = told(&mut peer).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["connection.update-secret-ok", "basic.cancel"], "it may not read any more");
    let refused = complaint(&mut peer, &publish("x", "k", b"\0\0"));
    assert_eq!(
        refused,
        Some(refusal("write", "exchange 'x' in vhost '/'")),
        "though it knew a way"
    );
    peer.session.on_time(peer.now.after(19_999));
    assert!(peer.session.is_running(), "the old one has expired, the new one not");
    peer.session.on_time(peer.now.after(20_000));
    let close =
        ("connection.close".to_owned(), "CONNECTION_FORCED - credential expired".to_owned());
    assert_eq!(told(&mut peer), [close]);
}

#[test]
fn a_new_secret_that_is_not_as_good_ends_the_connection() {
    let file = KeyFile::new(&key_set(&[&EC]));
    let world = world_with(options(&file));
    let renew = |secret: &str| renew(&mut open_with(&world, &token(ALL, json!({}))), secret);
    assert_eq!(renew(&token(ALL, json!({"exp": 9_999}))), None);
    let giant = format!("{}AAAA", "A".repeat(100_000));
    for bad in [
        token(ALL, json!({"sub": "other"})),
        token(ALL, json!({"exp": 1_000})),
        token(ALL, json!({"aud": "other"})),
        OTHER_EC.token(&claims(json!({"sub": "sh.p"}))),
        "pw".to_owned(),
        String::new(),
        giant,
    ] {
        assert_eq!(renew(&bad).as_deref(), Some(NOT_TAKEN));
    }
    let elsewhere = renew(&token("rabbitmq.read:v/*", json!({}))).unwrap();
    let text = "connection.close NOT_ALLOWED - access to vhost '/' refused for user 'sh.p'";
    assert_eq!(elsewhere, text);
    // Who came with a password has nothing to replace, and becomes nobody else.
    let mut peer = open_with(&world, "pw");
    assert_eq!(super::tokens::renew(&mut peer, &token("", json!({}))), None);
    peer.session.on_time(peer.now.after(1 << 40));
    let told = told(&mut peer);
    assert!(told.iter().all(|(_, text)| !text.contains("expired")), "{told:?}");
}

/// Waits for what the threads of the logins say.
async fn answer(peer: &mut Peer) -> Vec<String> {
    loop {
        let answers = peer.answers();
        if !answers.is_empty() {
            return answers;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn with_threads_keys_are_fetched_once_for_a_storm() {
    let (address, asked) = serve(vec![("/keys".to_owned(), key_set(&[&EC]))]);
    let jwks_url = Some(format!("{address}/keys").parse().unwrap());
    let oauth = Arc::new(OAuthOptions { jwks_url, ..OAuthOptions::new("rabbitmq") });
    let world: World = world_with(Options { oauth: Some(oauth), ..Options::default() });
    crate::login::start(&world.shared);
    let good = token(ALL, json!({"exp": 4e9}));
    let strange =
        |number: usize| OTHER_EC.token(&claims(json!({"sub": number.to_string(), "exp": 4e9})));
    // The keys are read at the start, by the clock: whoever comes by it finds them.
    let mut peers: Vec<(Peer, Vec<String>, &str)> = Vec::new();
    for number in 0..20 {
        let mut peer = world.session();
        peer.now = crate::clock::now();
        peer.give(&PROTOCOL_HEADER);
        let (token, answer) = match number % 2 {
            0 => (good.clone(), "connection.tune"),
            _ => (strange(number), "connection.close"),
        };
        let answers = peer.give(&start_ok_of("", &token));
        peers.push((peer, answers, answer));
    }
    for (peer, answers, expected) in &mut peers {
        if answers.is_empty() {
            *answers = answer(peer).await;
        }
        assert_eq!(answers, &[*expected]);
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    // What was good is known by now; what was not is asked for again, and refused.
    let again = |token: &str| {
        let mut peer = world.session();
        peer.now = crate::clock::now();
        peer.give(&PROTOCOL_HEADER);
        (peer.give(&start_ok_of("", token)), peer)
    };
    assert_eq!(again(&good).0, ["connection.tune"]);
    let (mut answers, mut peer) = again(&strange(0));
    if answers.is_empty() {
        answers = answer(&mut peer).await;
    }
    assert_eq!(answers, ["connection.close"]);
}
