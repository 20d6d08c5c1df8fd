//! `/health/checks` and `/aliveness-test`: whether all is well, for who watches.

use std::collections::BTreeSet;

use leveret_broker::broker::{QueueRequest, Transaction};
use leveret_broker::message::{FieldTable, MessageBuilder};
use leveret_broker::routing::RoutingInput;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::auth::Level::Management;
use crate::date;
use crate::node::Certificate;
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "health/checks/alarms", Management, alarms),
    route("GET", "health/checks/local-alarms", Management, alarms),
    route("GET", "health/checks/virtual-hosts", Management, fine),
    route("GET", "health/checks/is-in-service", Management, fine),
    route("GET", "health/checks/ready-to-serve-clients", Management, fine),
    route("GET", "health/checks/below-node-connection-limit", Management, below_limit),
    route("GET", "health/checks/node-is-quorum-critical", Management, single),
    route("GET", "health/checks/node-is-mirror-sync-critical", Management, single),
    route("GET", "health/checks/port-listener/*", Management, port),
    route("GET", "health/checks/protocol-listener/*", Management, protocol),
    route("GET", "health/checks/certificate-expiration/*/*", Management, certificates),
    route("GET", "healthchecks/node", Management, fine),
    route("GET", "healthchecks/node/*", Management, fine),
    route("GET", "aliveness-test/*", Management, alive),
];

fn well(mut value: Value) -> Outcome {
    value["status"] = json!("ok");
    Ok(Answer::json(&value))
}

fn fine(_call: &Call<'_>) -> Outcome {
    well(json!({}))
}

fn single(_call: &Call<'_>) -> Outcome {
    well(json!({ "reason": "single node cluster" }))
}

fn alarms(call: &Call<'_>) -> Outcome {
    let facts = call.app.node.facts();
    let on = [("memory", facts.memory_alarm), ("disk", facts.disk_alarm)];
    let on: Vec<Value> = on
        .iter()
        .filter(|(_, on)| *on)
        .map(|(resource, _)| json!({ "node": call.app.node_name, "resource": resource }))
        .collect();
    if on.is_empty() {
        return well(json!({}));
    }
    let reason = "There are alarms in effect in the cluster";
    Err(Answer::failed(json!({ "reason": reason, "alarms": on })))
}

fn below_limit(call: &Call<'_>) -> Outcome {
    let (open, most) = (call.app.node.connection_count(), call.app.node.facts().connection_max);
    if (open as u64) < most {
        return well(json!({}));
    }
    let reason = "node connection limit is reached";
    Err(Answer::failed(json!({ "reason": reason, "connections": open })))
}

fn port(call: &Call<'_>) -> Outcome {
    let Ok(port) = call.name(0).parse::<u16>() else {
        return Err(Answer::bad("the port must be a number from 0 to 65535"));
    };
    let ports = call.app.node.listeners().into_iter().map(|one| one.address.port());
    let ports: BTreeSet<u16> = ports.collect();
    if ports.contains(&port) {
        return well(json!({ "port": port }));
    }
    let value = json!({ "reason": "No active listener", "missing": port, "ports": ports });
    Err(Answer::failed(value))
}

fn protocol(call: &Call<'_>) -> Outcome {
    let asked = call.name(0);
    let wanted = match asked.to_ascii_lowercase().as_str() {
        "amqp091" | "amqp10" | "amqp0.9.1" | "amqp1.0" => "amqp".to_owned(),
        "amqps" => "amqp/ssl".to_owned(),
        other => other.to_owned(),
    };
    let listeners = call.app.node.listeners();
    let protocols: BTreeSet<String> = listeners.iter().map(crate::node::Listener::name).collect();
    if protocols.contains(&wanted) {
        return well(json!({ "protocol": wanted }));
    }
    let reason = "No active listener";
    let value = json!({ "reason": reason, "missing": asked, "protocols": protocols });
    Err(Answer::failed(value))
}

const DAY_S: u64 = 86_400;
/// Seconds in a unit of time; a month is the twelfth part of a year.
const UNITS: [(&str, u64); 4] =
    [("days", DAY_S), ("weeks", 7 * DAY_S), ("months", 365 * DAY_S / 12), ("years", 365 * DAY_S)];

/// Whether a certificate that is in use runs out within a time.
fn certificates(call: &Call<'_>) -> Outcome {
    let Ok(within) = call.name(0).parse::<u32>() else {
        return Err(Answer::bad("Invalid expiration value."));
    };
    let unit = call.name(1).to_ascii_lowercase();
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let reason = "Time unit not recognised. Supported units: days, weeks, months, years.";
        return Err(Answer::bad(reason));
    };
    let until = call.now().0 / 1000 + u64::from(within) * seconds;
    let mut expiring = call.app.node.certificates();
    expiring.retain(|certificate| certificate.not_after_s < until);
    if expiring.is_empty() {
        return well(json!({}));
    }
    let one = |certificate: &Certificate| {
        let expires_on = date::text(certificate.not_after_s.saturating_mul(1000));
        json!({
            "node": call.app.node_name, "certfile": certificate.file,
            "certfile_expires_on": [expires_on],
        })
    };
    let expired: Value = expiring.iter().map(one).collect();
    Err(Answer::failed(json!({ "reason": "Certificates expiring", "expired": expired })))
}

/// Declares a queue, publishes to it and gets the message again.
fn alive(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0)).map_err(|refused| match refused.status {
        hyper::StatusCode::NOT_FOUND => Answer::not_found(),
        _ => refused,
    })?;
    let who = call.principal(&vhost.name);
    let broker = call.app.broker();
    let request = QueueRequest {
        name: "aliveness-test",
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::default(),
    };
    let name = request.name;
    broker.declare_queue(&who, request, call.now())?;
    let failed = |reason: &str| Answer::failed(json!({ "reason": reason }));
    let built = MessageBuilder::whole("", name, &[0, 0], b"test_message", Some(&who.user), None);
    let (message, _) = built.map_err(|_| failed("the message cannot be built"))?;
    let topology = broker.topology().clone();
    let input = RoutingInput {
        routing_key: name,
        extra_keys: &[],
        message: Some(&message),
        now: call.now(),
    };
    broker.permit_publish(&topology, &who, "")?;
    let route = broker.route(&topology, &who, "", &input)?;
    let mut transaction = Transaction::default();
    transaction.publish(&message, &route);
    broker.commit(transaction, call.now());
    let queue = broker.readable_queue(&who, name)?;
    match broker.get(&queue, true, call.now()) {
        Some(_) => well(json!({})),
        None => Err(failed("the message did not come back")),
    }
}
