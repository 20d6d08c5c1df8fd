//! Handshakes that make no sense: any methods in any order, with good, bad and damaged
//! credentials, cut into any pieces. Nobody gets in without a good one, nothing secret comes back,
//! and each comes to its end.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::tests::{Peer, World, frames};
use crate::oauth::tests::{EC, KeyFile, OTHER_EC, claims, key_set};
use crate::options::Options;

/// Nothing that is written may have it.
const WRONG_PASSWORD: &str = "not-the-password-at-all";

static GOOD: LazyLock<String> = LazyLock::new(|| EC.token(&claims(json!({}))));
static BAD: LazyLock<[String; 4]> = LazyLock::new(|| {
    [
        OTHER_EC.token(&claims(json!({}))),
        EC.token(&claims(json!({"exp": 1}))),
        EC.token(&claims(json!({"aud": "other"}))),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJndWVzdCJ9.".to_owned(),
    ]
});

/// What a client gives to prove who it is.
#[derive(Debug, Clone)]
enum Secret {
    Password,
    Token,
    WrongPassword,
    BadToken(Index),
    /// A good token with a byte changed.
    Damaged(Index, u8),
    Bytes(Vec<u8>),
}

impl Secret {
    fn is_good(&self) -> bool {
        matches!(self, Self::Password | Self::Token)
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Password => b"guest".to_vec(),
            Self::Token => GOOD.clone().into_bytes(),
            Self::WrongPassword => WRONG_PASSWORD.as_bytes().to_vec(),
            Self::BadToken(which) => which.get(&*BAD).clone().into_bytes(),
            Self::Damaged(at, change) => {
                let mut token = GOOD.clone().into_bytes();
                let at = at.index(token.len());
                token[at] ^= change;
                token
            }
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// One thing that a client sends.
#[derive(Debug, Clone)]
enum Step {
    Header,
    StartOk { mechanism: String, secret: Secret, can_read_refusal: bool },
    SecureOk(Vec<u8>),
    TuneOk(u16, u32, u16),
    Open(String),
    UpdateSecret(Secret),
    Close,
    OpenChannel(u16),
    Noise(Vec<u8>),
}

fn start_ok(mechanism: &str, secret: &Secret, can_read_refusal: bool) -> Vec<u8> {
    let secret = secret.bytes();
    let response = match mechanism {
        "AMQPLAIN" => {
            let mut response = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS".to_vec();
            response.extend_from_slice(&(secret.len() as u32).to_be_bytes());
            response.extend_from_slice(&secret);
            response
        }
        "PLAIN" => [b"\0guest\0", &secret[..]].concat(),
        _ => secret,
    };
    let can = FieldTable(vec![(
        "authentication_failure_close".to_owned(),
        FieldValue::Bool(can_read_refusal),
    )]);
    let properties = FieldTable(vec![("capabilities".to_owned(), FieldValue::Table(can))]);
    let content = properties.to_content();
    let client_properties = Table::parse(&content).unwrap();
    let method =
        Method::ConnectionStartOk { client_properties, mechanism, response: &response, locale: "" };
    frame(0, &method)
}

fn frame(channel: u16, method: &Method<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    method.encode_frame(channel, &mut bytes);
    bytes
}

impl Step {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Header => PROTOCOL_HEADER.to_vec(),
            Self::StartOk { mechanism, secret, can_read_refusal } => {
                start_ok(mechanism, secret, *can_read_refusal)
            }
            Self::SecureOk(response) => frame(0, &Method::ConnectionSecureOk { response }),
            Self::TuneOk(channel_max, frame_max, heartbeat) => {
                let [channel_max, heartbeat] = [*channel_max, *heartbeat];
                let method =
                    Method::ConnectionTuneOk { channel_max, frame_max: *frame_max, heartbeat };
                frame(0, &method)
            }
            Self::Open(virtual_host) => frame(0, &Method::ConnectionOpen { virtual_host }),
            Self::UpdateSecret(secret) => {
                let new_secret = &secret.bytes()[..];
                frame(0, &Method::ConnectionUpdateSecret { new_secret, reason: "" })
            }
            Self::Close => {
                let (reply_code, reply_text) = (200, "bye");
                frame(
                    0,
                    &Method::ConnectionClose { reply_code, reply_text, class_id: 0, method_id: 0 },
                )
            }
            Self::OpenChannel(channel) => frame(*channel, &Method::ChannelOpen {}),
            Self::Noise(bytes) => bytes.clone(),
        }
    }

    fn is_good_login(&self) -> bool {
        matches!(self, Self::StartOk { secret, .. } if secret.is_good())
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn secret() -> impl Strategy<Value = Secret> {
    prop_oneof![
        3 => Just(Secret::Password),
        3 => Just(Secret::Token),
        1 => Just(Secret::WrongPassword),
        1 => any::<Index>().prop_map(Secret::BadToken),
        1 => (any::<Index>(), 1u8..).prop_map(|(at, change)| Secret::Damaged(at, change)),
        1 => bytes(60).prop_map(Secret::Bytes),
    ]
}

fn start_oks() -> impl Strategy<Value = Step> {
    let known = prop_oneof![
        4 => prop::sample::select(vec!["PLAIN", "AMQPLAIN"]),
        1 => prop::sample::select(vec!["EXTERNAL", "ANONYMOUS", "plain"]),
    ];
    (known, secret(), any::<bool>()).prop_map(|(mechanism, secret, can_read_refusal)| {
        Step::StartOk { mechanism: mechanism.to_owned(), secret, can_read_refusal }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Header),
        start_oks(),
        bytes(40).prop_map(Step::SecureOk),
        any::<(u16, u32, u16)>().prop_map(|(one, two, three)| Step::TuneOk(one, two, three)),
        "(/|other|\\PC{0,9})".prop_map(Step::Open),
        secret().prop_map(Step::UpdateSecret),
        Just(Step::Close),
        (0u16..3).prop_map(Step::OpenChannel),
        bytes(40).prop_map(Step::Noise),
    ]
}

/// The beginning of a handshake that is right but for its credentials, then anything.
fn handshake() -> impl Strategy<Value = Vec<Step>> {
    let rest = prop::collection::vec(step(), 0..8);
    let usual = prop_oneof![0usize..5, Just(4)];
    (usual, start_oks(), rest).prop_map(|(usual, start_ok, rest)| {
        let tune_ok = Step::TuneOk(100, 65_536, 0);
        let usual_steps = [Step::Header, start_ok, tune_ok, Step::Open("/".to_owned())];
        usual_steps.into_iter().take(usual).chain(rest).collect()
    })
}

/// What the session says to all of that, given in pieces of these sizes.
fn play(peer: &mut Peer, sent: &[u8], pieces: &[usize]) -> Vec<u8> {
    let (mut buffer, mut said) = (Vec::new(), Vec::new());
    let mut sizes = pieces.iter().cycle();
    let mut rest = sent;
    while !rest.is_empty() && !peer.session.is_ended() {
        let size = sizes.next().map_or(rest.len(), |size| (*size).min(rest.len()));
        let (piece, behind) = rest.split_at(size);
        rest = behind;
        buffer.extend_from_slice(piece);
        let used = peer.session.receive(&buffer, peer.now);
        buffer.drain(..used);
        peer.take_mail();
        said.append(&mut peer.bytes());
    }
    said
}

/// Lets time pass until the session has ended, if it is not open.
fn come_to_an_end(peer: &mut Peer) -> bool {
    for _ in 0..4 {
        if peer.session.is_ended() || peer.session.is_running() {
            return true;
        }
        let Some(at) = peer.session.deadline() else { return false };
        peer.now = peer.now.max(at);
        peer.session.on_time(peer.now);
    }
    false
}

fn has(said: &[u8], text: &str) -> bool {
    said.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_handshake_of_any_kind_has_an_answer_or_an_end() {
    let file = KeyFile::new(&key_set(&[&EC]));
    let options = Options { oauth: Some(Arc::new(file.options())), ..Options::default() };
    let (opened, refused) = (Cell::new(0), Cell::new(0));
    let damage = prop::option::weighted(0.3, (any::<Index>(), 1u8..));
    let pieces = prop::collection::vec(1usize..400, 1..4);
    let outcome = TestRunner::new(Config::default()).run(
        &(handshake(), damage, pieces),
        |(steps, damage, pieces)| {
            let world = World::new(options.clone());
            let mut peer = world.session();
            let mut sent: Vec<u8> = steps.iter().flat_map(Step::bytes).collect();
            if let (Some((at, change)), false) = (damage, sent.is_empty()) {
                let at = at.index(sent.len());
                sent[at] ^= change;
            }
            let said = play(&mut peer, &sent, &pieces);
            // A header that is not ours is answered with ours, as it is.
            let mut rest = said.strip_suffix(&PROTOCOL_HEADER).unwrap_or(&said);
            let names: Vec<String> =
                frames(&mut rest).into_iter().map(|(_, name, _)| name).collect();
            prop_assert!(rest.is_empty());
            let came_in = names.iter().any(|name| name == "connection.tune");
            prop_assert!(!came_in || steps.iter().any(Step::is_good_login), "{names:?}");
            let signature = GOOD.rsplit('.').next().unwrap();
            prop_assert!(!has(&said, WRONG_PASSWORD) && !has(&said, signature));
            let was_open = names.iter().any(|name| name == "connection.open-ok");
            prop_assert!(was_open || !peer.session.is_running());
            prop_assert!(come_to_an_end(&mut peer), "{names:?}");
            opened.set(opened.get() + usize::from(was_open));
            refused
                .set(refused.get() + usize::from(names.iter().any(|one| one.ends_with("close"))));
            Ok(())
        },
    );
    outcome.unwrap();
    assert!(opened.get() > 0 && refused.get() > 0, "something was tried");
}
