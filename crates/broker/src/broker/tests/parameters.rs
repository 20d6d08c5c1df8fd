//! Vhosts' words, parameters and global parameters across restarts.

use std::sync::Arc;

use serde_json::json;

use super::super::Broker;
use crate::broker::{Principal, QueueRequest};
use crate::ids::{ConnectionId, Timestamp};
use crate::keeping_log::KeepingLog;
use crate::message::FieldTable;

const NOW: Timestamp = Timestamp(1_000_000);

fn after(log: &KeepingLog) -> Broker {
    let (log, recovered) = log.crash(log.len());
    Broker::recover(log, [7; 32], recovered, NOW)
}

fn made() -> (Broker, Arc<KeepingLog>) {
    let log = KeepingLog::new();
    let broker = Broker::new(log.clone(), [7; 32]);
    let (is_new, _) = broker
        .put_vhost("v", |metadata| {
            metadata.description = "for tests".into();
            metadata.tags = vec!["a".into()];
            metadata.default_queue_type = Some("quorum".into());
            metadata.protected = true;
        })
        .unwrap();
    assert!(is_new);
    for name in ["kept", "cleared"] {
        broker.put_parameter("v", "shovel", name, &json!({"name": name})).unwrap();
        broker.put_global_parameter(name, &json!([name, null])).unwrap();
    }
    broker.put_global_parameter("cluster_name", &json!("forest")).unwrap();
    broker.delete_parameter("v", "shovel", "cleared").unwrap();
    broker.delete_global_parameter("cleared").unwrap();
    (broker, log)
}

fn check(broker: &Broker) {
    let topology = broker.topology();
    let vhost = &topology.vhosts["v"];
    assert_eq!(&*vhost.metadata.description, "for tests");
    assert_eq!(vhost.metadata.tags, ["a".into()]);
    let kept: Vec<String> = vhost.parameters.iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(kept, [r#"(("shovel", "kept"), "{\"name\":\"kept\"}")"#]);
    assert_eq!(&*topology.global_parameters["kept"], r#"["kept",null]"#);
    assert_eq!(topology.global_parameters.len(), 2);
    assert_eq!(broker.cluster_name().as_deref(), Some("forest"));
    assert!(broker.delete_vhost("v", NOW).unwrap_err().text.contains("protected"));
}

#[test]
fn what_was_said_is_there_after_a_restart_and_in_a_rebuilt_log() {
    let (broker, log) = made();
    check(&broker);
    check(&after(&log));
    let rebuilt = KeepingLog::new();
    let again = Broker::new(rebuilt.clone(), [7; 32]);
    let mut topology = (**again.topology()).clone();
    for command in broker.definitions() {
        topology.apply(&command);
    }
    again.topology.store(Arc::new(topology));
    check(&again);
}

#[test]
fn the_default_type_is_that_of_queues_that_can_have_it() {
    let (broker, _) = made();
    let who = Principal::new(ConnectionId(1)).in_vhost("anybody", "v");
    broker.put_administrator("anybody", "secret", "v").unwrap();
    let declare = |name: &str, durable, exclusive, auto_delete| {
        let request = QueueRequest {
            name,
            durable,
            exclusive,
            auto_delete,
            arguments: FieldTable::default(),
        };
        broker.declare_queue(&who, request, NOW).unwrap();
        broker.topology().vhosts["v"].queues[name].settings().quorum
    };
    assert!(declare("plain", true, false, false));
    assert!(declare("plain", true, false, false), "the same again");
    assert!(!declare("transient", false, false, false));
    assert!(!declare("exclusive", true, true, false));
    assert!(!declare("auto_delete", true, false, true));
    let file = json!({"queues": [
        {"vhost": "v", "name": "untyped"}, {"vhost": "v", "name": "typed", "type": "classic"},
    ]});
    broker.import(file.to_string().as_bytes(), NOW).unwrap();
    let topology = broker.topology();
    let quorum = |name: &str| topology.vhosts["v"].queues[name].settings().quorum;
    assert_eq!((quorum("untyped"), quorum("typed")), (true, false));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let (broker, log) = made();
    let before = log.len();
    let refused = [
        broker.put_parameter("v", "nosuch", "n", &json!({})),
        broker.put_parameter("v", "shovel", "n", &json!([])),
        broker.put_parameter("v", "shovel", "", &json!({})),
        broker.put_parameter("nowhere", "shovel", "n", &json!({})),
        broker.put_parameter("v", "shovel", "n", &json!({"a": "x".repeat(70_000)})),
        broker.put_global_parameter("cluster_name", &json!("")),
        broker.put_global_parameter(&"n".repeat(256), &json!(1)),
        broker.put_vhost("w", |metadata| metadata.default_queue_type = Some("nope".into())),
        broker.put_vhost("v", |metadata| metadata.tags = vec!["".into()]),
    ];
    for (number, one) in refused.into_iter().enumerate() {
        assert!(one.is_err(), "{number}");
    }
    assert_eq!(log.len(), before, "nothing was logged");
}
