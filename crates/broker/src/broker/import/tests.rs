//! What a file of RabbitMQ comes to, and what is refused, with nothing changed.

use serde_json::{Value, json};

use super::*;
use crate::broker::Principal;
use crate::definitions::PolicyKind;
use crate::ids::ConnectionId;
use crate::keeping_log::KeepingLog;
use crate::message::FieldValue;

/// As `rabbitmqctl export_definitions` of RabbitMQ 3.10.8 wrote it.
const FILE: &[u8] = include_bytes!("rabbitmq-3.10.8.json");
const NOW: Timestamp = Timestamp(1_000_000);

fn broker() -> (Broker, Arc<KeepingLog>) {
    let log = KeepingLog::new();
    (Broker::new(log.clone(), [7; 32]), log)
}

fn of(user: &str) -> Principal {
    Principal::new(ConnectionId(1)).in_vhost(user, "")
}

fn check(broker: &Broker) {
    let topology = broker.topology();
    let vhost = &topology.vhosts["orders"];
    assert_eq!(vhost.limits.max_queues, Some(20));
    assert_eq!(vhost.limits.max_connections, None, "-1 is no limit");
    assert_eq!(topology.user_limits["shop"].max_channels, Some(7));
    assert!(broker.authenticate("shop", b"open sesame").is_some());
    assert!(broker.authenticate("guest", b"guest").is_some());
    assert!(broker.authenticate("shop", b"guest").is_none());
    let payments = vhost.queue("retry.payments").unwrap();
    let settings = payments.settings();
    assert_eq!(settings.max_length, Some(500), "by the operator policy");
    assert_eq!(settings.message_ttl_ms, Some(60_000));
    assert_eq!(settings.dead_letter_exchange.as_deref(), Some("dead"));
    assert_eq!(settings.delivery_limit, Some(5));
    assert!(settings.quorum);
    let plain = vhost.queue("plain").unwrap();
    assert_eq!(plain.settings().max_priority, 5);
    assert_eq!(plain.settings().message_ttl_ms, None);
    let kept = plain.spec.arguments.get("x-unknown").unwrap();
    let FieldValue::Array(kept) = kept else { panic!("{kept:?}") };
    assert_eq!(kept[0], FieldValue::I64(1));
    assert_eq!(kept[2], FieldValue::Bool(true));
    assert_eq!(vhost.incoming.len(), 3);
    assert_eq!(vhost.exchange("shop").unwrap().alternate().as_deref(), Some("dead"));
    let root = &topology.vhosts["/"];
    assert_eq!(root.exchange("amq.topic").unwrap().alternate().as_deref(), Some("spare"));
    assert_eq!(broker.policies(PolicyKind::Operator, "orders").unwrap().len(), 1);
}

#[test]
fn a_file_of_rabbitmq_is_taken_over_and_survives() {
    let (broker, log) = broker();
    let imported = broker.import(FILE, NOW).unwrap();
    assert_eq!(imported.changed, 19);
    assert!(imported.ignored.is_empty());
    check(&broker);
    let (log, recovered) = log.crash(log.len());
    let after = Broker::recover(log, [7; 32], recovered, NOW);
    check(&after);
    let again = after.import(FILE, NOW).unwrap();
    assert_eq!(again.changed, 2, "those whose hash a login has made stronger");
    assert_eq!(after.import(FILE, NOW).unwrap().changed, 0, "all of it is there");
}

#[test]
fn the_lease_of_a_new_queue_begins_with_the_import() {
    let (broker, _) = broker();
    broker.import(FILE, NOW).unwrap();
    broker.tick(NOW.after(3_599_999));
    assert!(broker.topology().vhosts["orders"].queue("plain").is_ok());
    broker.tick(NOW.after(3_600_000));
    assert!(broker.topology().vhosts["orders"].queue("plain").is_err());
}

/// The file with one more entry in a section.
fn with(section: &str, entry: Value) -> Vec<u8> {
    let mut file: Value = serde_json::from_slice(FILE).unwrap();
    file[section].as_array_mut().unwrap().push(entry);
    serde_json::to_vec(&file).unwrap()
}

/// A section, an entry that is wrong, and what is told.
fn bad_entries() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "queues",
            json!({"name": "q", "vhost": "nowhere"}),
            "queues[2] \"q\": vhost 'nowhere' does not exist",
        ),
        (
            "queues",
            json!({"name": "q", "vhost": "/", "arguments": {"x-max-length": -1}}),
            "queues[2] \"q\": invalid arg 'x-max-length' for queue 'q' in vhost '/': \
             {value_negative,-1}",
        ),
        (
            "queues",
            json!({"name": "q", "vhost": "/", "type": "stream"}),
            "queues[2] \"q\": queue type 'stream' is not offered yet, for queue 'q' in vhost '/'",
        ),
        ("queues", json!({"vhost": "/"}), "queues[2]: missing field `name`"),
        (
            "users",
            json!({"name": "u", "password_hash": "x", "hashing_algorithm":
                "bcrypt"}),
            "users[2] \"u\": hashing algorithm bcrypt is not known; \
             rabbit_password_hashing_sha256, rabbit_password_hashing_sha512, \
             rabbit_password_hashing_md5 and leveret_argon2id are",
        ),
        (
            "users",
            json!({"name": "u", "password_hash": "AAAA"}),
            "users[2] \"u\": password_hash is not base64 of 4 bytes of salt and a hash \
             of 32 bytes",
        ),
        (
            "policies",
            json!({"name": "p", "vhost": "/", "pattern": "", "definition": {"nonsense": 1}}),
            "policies[2] \"p\": [{<<\"nonsense\">>,1}] are not recognised policy settings",
        ),
        (
            "parameters",
            json!({"component": "vhost-limits", "vhost": "/", "name": "limits",
                "value": {"max-queues": "many"}}),
            "parameters[2] \"limits\": max-queues should be integer, actually was \"many\"",
        ),
        (
            "bindings",
            json!({"source": "none", "vhost": "/", "destination": "q",
                "destination_type": "queue"}),
            "bindings[3] \"none\": no exchange 'none' in vhost '/'",
        ),
        (
            "exchanges",
            json!({"name": "e", "vhost": "/", "type": "x-none"}),
            "exchanges[2] \"e\": unknown exchange type 'x-none'",
        ),
    ]
}

#[test]
fn one_bad_entry_is_named_and_changes_nothing() {
    let (broker, log) = broker();
    for (section, entry, expected) in bad_entries() {
        let error = broker.import(&with(section, entry), NOW).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!broker.has_vhosts() && !broker.has_users());
        assert_eq!(log.len(), 0);
    }
    let error = broker.import(b"[]", NOW).unwrap_err().to_string();
    assert!(error.starts_with("the file: no JSON object: "), "{error}");
}

#[test]
fn what_means_nothing_here_is_told() {
    let (broker, _) = broker();
    let strange = json!({"component": "nosuch", "vhost": "/", "name": "up", "value": {}});
    let imported = broker.import(&with("parameters", strange), NOW).unwrap();
    assert_eq!(imported.ignored, ["parameter nosuch 'up'"]);
    let upstream = json!({"component": "federation-upstream", "vhost": "/", "name": "up",
        "value": {}});
    let imported = broker.import(&with("parameters", upstream), NOW).unwrap();
    assert!(imported.ignored.is_empty(), "those of RabbitMQ's plugins are kept");
    let imported = broker.import(br#"{"unknown": [1]}"#, NOW).unwrap();
    assert_eq!(imported.ignored, ["unknown"]);
}

#[test]
fn a_limit_of_queues_holds_for_a_file() {
    let (broker, _) = broker();
    let limit = json!({"component": "vhost-limits", "vhost": "orders", "name": "limits",
        "value": {"max-queues": 1}});
    let error = broker.import(&with("parameters", limit), NOW).unwrap_err();
    assert!(error.reason.ends_with("queue limit in vhost 'orders' (1) is reached"), "{error}");
}

#[test]
fn users_and_permissions_are_taken_over_exported_and_the_same_again() {
    let (broker, _) = broker();
    broker.set_password_cost(crate::auth::Cost::LEAST);
    broker.import(FILE, NOW).unwrap();
    let more = json!({
        "users": [
            {"name": "a.b", "password": "pw", "tags": "administrator, mine"},
            {"name": "none", "password_hash": "", "tags": ["monitoring"]},
        ],
        "permissions": [
            {"user": "a.b", "vhost": "orders", "configure": "", "write": "^a\\.", "read": ".*"},
        ],
        "topic_permissions": [
            {"user": "a.b", "vhost": "orders", "exchange": "dead",
             "write": "{username}", "read": ""},
        ],
    });
    broker.import(more.to_string().as_bytes(), NOW).unwrap();
    assert_eq!(broker.user("a.b").unwrap().tags, ["administrator".into(), "mine".into()]);
    assert!(broker.authenticate("none", b"").is_none());
    let file = broker.export(None).unwrap();
    let again = broker.import(file.to_string().as_bytes(), NOW).unwrap();
    assert_eq!((again.changed, again.ignored), (0, vec![]), "all of it is there");
    let fresh = Broker::new(KeepingLog::new(), [9; 32]);
    fresh.set_password_cost(crate::auth::Cost::LEAST);
    fresh.import(file.to_string().as_bytes(), NOW).unwrap();
    assert_eq!(fresh.export(None).unwrap(), file);
    check(&fresh);
    assert!(fresh.authenticate("a.b", b"pw").is_some());
    assert!(
        fresh.check_vhost(&of("a.b"), "orders").is_ok()
            && fresh.check_vhost(&of("a.b"), "/").is_err()
    );
    let wrong = json!({"users": [], "permissions": [
        {"user": "a.b", "vhost": "orders", "configure": "(", "write": "", "read": ""}]});
    let error = broker.import(wrong.to_string().as_bytes(), NOW).unwrap_err().to_string();
    assert!(error.contains("invalid regular expression '('"), "{error}");
}
