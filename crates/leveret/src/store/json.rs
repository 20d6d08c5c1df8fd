//! Salvaged definitions and messages as JSON, one object a line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_client::wire::amqp091::properties::{BasicProperties, Properties};
use leveret_server::durable_tools::{Definition, ReadMessage};
use serde_json::{Map, Value, json};

use crate::amqp_json::{properties, table};

/// A definition.
pub(super) fn definition(definition: &Definition) -> Value {
    let mut value = match definition {
        Definition::Vhost { name } => json!({"kind": "vhost", "name": name}),
        Definition::User { name } => json!({"kind": "user", "name": name}),
        Definition::Exchange { vhost, name, kind, durable, auto_delete, internal, arguments } => {
            json!({
                "kind": "exchange", "vhost": vhost, "name": name, "exchange_type": kind,
                "durable": durable, "auto_delete": auto_delete, "internal": internal,
                "arguments": table(arguments),
            })
        }
        Definition::Queue { vhost, name, id, durable, auto_delete, arguments } => json!({
            "kind": "queue", "vhost": vhost, "name": name, "queue_id": id, "durable": durable,
            "auto_delete": auto_delete, "arguments": table(arguments),
        }),
        Definition::Binding { vhost, source, destination, to_queue, routing_key, arguments } => {
            json!({
                "kind": "binding", "vhost": vhost, "source": source, "destination": destination,
                "destination_type": if *to_queue { "queue" } else { "exchange" },
                "routing_key": routing_key, "arguments": table(arguments),
            })
        }
        Definition::Policy { vhost, name, operator, pattern, apply_to, priority, definition } => {
            json!({
                "kind": if *operator { "operator_policy" } else { "policy" }, "vhost": vhost,
                "name": name, "pattern": pattern, "apply-to": apply_to, "priority": priority,
                "definition": table(definition),
            })
        }
        Definition::Limits { of_user, name, quota, limits } => {
            let of = if *of_user { "user" } else { "vhost" };
            let what = if *quota { "quota" } else { "limits" };
            let limits: Map<String, Value> =
                limits.iter().map(|(name, most)| ((*name).to_owned(), json!(most))).collect();
            json!({"kind": format!("{of}-{what}"), "name": name, "limits": limits})
        }
    };
    value["type"] = json!("definition");
    value
}

/// A message.
pub(super) fn message(message: &ReadMessage) -> Value {
    let readable = Properties::parse(&message.properties)
        .map_or(Value::Null, |parsed| properties(&BasicProperties::from(&parsed)));
    json!({
        "type": "message",
        "vhost": message.queue.as_ref().map(|(vhost, _)| vhost),
        "queue": message.queue.as_ref().map(|(_, name)| name),
        "queue_id": message.queue_id,
        "seq": message.seq,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "priority": message.priority,
        "expires_ms": message.expires_ms,
        "properties": readable,
        "properties_raw": STANDARD.encode(&message.properties),
        "body": STANDARD.encode(&message.body),
        "certain": message.certain,
    })
}
