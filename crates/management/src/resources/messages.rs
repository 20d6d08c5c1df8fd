//! Publishing a message to an exchange, and getting some from a queue.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use leveret_broker::broker::{Transaction, table_to_json};
use leveret_broker::log::Position;
use leveret_broker::message::{
    BasicProperties, Message, MessageBuilder, PublishRefusal, ShortString, excess_headers,
};
use leveret_broker::queue::{Got, Settlement};
use leveret_broker::routing::RoutingInput;
use serde_json::{Map, Value, json};

use super::missing_or;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Management;
use crate::node::MessageCounts;
use crate::request::{Call, number, table, text, truth};
use crate::router::{Route, large, route};

pub(crate) const ROUTES: &[Route] = &[
    large(route("POST", "exchanges/*/*/publish", Management, publish)),
    route("POST", "queues/*/*/get", Management, get),
];

/// The most bytes of bodies in one answer; what is beyond stays in the queue.
const GET_MAX: usize = 16 << 20;

/// Properties with RabbitMQ's names.
pub(crate) fn properties_to_json(properties: &BasicProperties) -> Value {
    let mut fields = Map::new();
    let texts = [
        ("content_type", &properties.content_type),
        ("content_encoding", &properties.content_encoding),
        ("correlation_id", &properties.correlation_id),
        ("reply_to", &properties.reply_to),
        ("expiration", &properties.expiration),
        ("message_id", &properties.message_id),
        ("type", &properties.r#type),
        ("user_id", &properties.user_id),
        ("app_id", &properties.app_id),
        ("cluster_id", &properties.cluster_id),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            let text = String::from_utf8_lossy(value.as_bytes());
            fields.insert(name.to_owned(), json!(text));
        }
    }
    let numbers = [
        ("delivery_mode", properties.delivery_mode.map(u64::from)),
        ("priority", properties.priority.map(u64::from)),
        ("timestamp", properties.timestamp),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(headers) = &properties.headers {
        fields.insert("headers".to_owned(), table_to_json(headers));
    }
    Value::Object(fields)
}

fn short(fields: &Map<String, Value>, key: &str) -> Result<Option<ShortString>, Answer> {
    let text = match fields.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.to_string(),
        _ => text(fields, key)?.to_owned(),
    };
    let short = ShortString::from_bytes(text.as_bytes());
    short.map(Some).ok_or_else(|| Answer::bad(format!("{key} is longer than 255 bytes")))
}

fn small(fields: &Map<String, Value>, key: &str) -> Result<Option<u8>, Answer> {
    let number = number(fields, key)?;
    let small = |number: i64| {
        u8::try_from(number).map_err(|_| Answer::bad(format!("{key} must be from 0 to 255")))
    };
    number.map(small).transpose()
}

fn properties_from_json(fields: &Map<String, Value>) -> Result<BasicProperties, Answer> {
    let headers = match fields.get("headers") {
        Some(Value::Object(headers)) if !headers.is_empty() => Some(table(fields, "headers")?),
        _ => None,
    };
    let timestamp = number(fields, "timestamp")?.map(u64::try_from).transpose();
    Ok(BasicProperties {
        content_type: short(fields, "content_type")?,
        content_encoding: short(fields, "content_encoding")?,
        headers,
        delivery_mode: small(fields, "delivery_mode")?,
        priority: small(fields, "priority")?,
        correlation_id: short(fields, "correlation_id")?,
        reply_to: short(fields, "reply_to")?,
        expiration: short(fields, "expiration")?,
        message_id: short(fields, "message_id")?,
        timestamp: timestamp.map_err(|_| Answer::bad("timestamp must not be negative"))?,
        r#type: short(fields, "type")?,
        user_id: short(fields, "user_id")?,
        app_id: short(fields, "app_id")?,
        cluster_id: short(fields, "cluster_id")?,
    })
}

fn payload(fields: &Map<String, Value>) -> Result<Vec<u8>, Answer> {
    let payload = text(fields, "payload")?;
    match text(fields, "payload_encoding")? {
        "string" => Ok(payload.as_bytes().to_vec()),
        "base64" => STANDARD.decode(payload).map_err(|_| Answer::bad("payload is no base64")),
        other => Err(Answer::bad(format!("unsupported encoding: {other}"))),
    }
}

fn publish(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let exchange = call.exchange(1);
    vhost.exchange(exchange).map_err(missing_or)?;
    let keys = ["properties", "routing_key", "payload", "payload_encoding"];
    let fields = call.object_with(&keys)?;
    let body = payload(&fields)?;
    let facts = call.app.node.facts();
    if facts.memory_alarm || facts.disk_alarm {
        let reason = "publishers are blocked: an alarm of memory or disk is on";
        return Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE, "blocked", reason));
    }
    let max = facts.message_max_bytes;
    if body.len() as u64 > max {
        let reason = format!("the message is larger than {max} bytes");
        return Err(Answer::bad(reason));
    }
    let properties = match fields.get("properties") {
        Some(Value::Object(properties)) => properties_from_json(properties)?,
        _ => BasicProperties::default(),
    };
    let key = text(&fields, "routing_key")?;
    if key.len() > 255 {
        return Err(Answer::bad("the routing key is longer than 255 bytes"));
    }
    let mut raw = Vec::new();
    properties.encode(&mut raw);
    let (most, deepest) = facts.headers_max;
    if let Some(reason) = excess_headers(&raw, most, deepest) {
        return Err(Answer::bad(reason));
    }
    let who = call.principal(&vhost.name);
    let built = MessageBuilder::whole(exchange, key, &raw, &body, Some(&who.user), None);
    let (message, extra_keys) = built.map_err(|refusal| match refusal {
        PublishRefusal::Malformed => Answer::bad("the properties cannot be encoded"),
        PublishRefusal::Refused(refusal) => refusal.into(),
    })?;
    let broker = call.app.broker();
    let topology = broker.topology().clone();
    broker.permit_publish(&topology, &who, exchange)?;
    let now = call.now();
    let input =
        RoutingInput { routing_key: key, extra_keys: &extra_keys, message: Some(&message), now };
    let route = broker.route(&topology, &who, exchange, &input)?;
    let routed = !route.queues.is_empty();
    let mut transaction = Transaction::default();
    transaction.publish(&message, &route);
    let (position, _) = broker.commit(transaction, call.now());
    if let Some(traffic) = &route.traffic {
        traffic.count(1, route.queues.len() as u64);
    }
    let counts = MessageCounts {
        publish: 1,
        drop_unroutable: u64::from(!routed),
        ..MessageCounts::default()
    };
    call.app.node.count(&vhost.name, &counts);
    Ok(Answer::json(&json!({ "routed": routed })).after(position))
}

/// How a body is shown: as text, if it is text and may be.
pub(crate) fn payload_to_json(
    fields: &mut Map<String, Value>,
    message: &Message,
    as_text: bool,
    truncate: usize,
) {
    let body = message.body();
    let shown = &body[..body.len().min(truncate)];
    let (payload, encoding) = match str::from_utf8(shown) {
        Ok(text) if as_text => (text.to_owned(), "string"),
        // It may have been cut within a character.
        Err(error) if as_text && shown.len() < body.len() && error.error_len().is_none() => {
            (String::from_utf8_lossy(&shown[..error.valid_up_to()]).into_owned(), "string")
        }
        _ => (STANDARD.encode(shown), "base64"),
    };
    fields.insert("payload".to_owned(), json!(payload));
    fields.insert("payload_encoding".to_owned(), json!(encoding));
    fields.insert("payload_bytes".to_owned(), json!(body.len()));
}

/// A message's names and properties.
pub(crate) fn head_to_json(message: &Message) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("exchange".to_owned(), json!(message.exchange()));
    fields.insert("routing_key".to_owned(), json!(message.routing_key()));
    let properties = properties_to_json(&message.basic_properties());
    fields.insert("properties".to_owned(), properties);
    fields
}

fn show(got: &Got, as_text: bool, truncate: usize) -> Value {
    let mut fields = head_to_json(&got.message);
    fields.insert("redelivered".to_owned(), json!(got.redelivered));
    fields.insert("message_count".to_owned(), json!(got.remaining));
    payload_to_json(&mut fields, &got.message, as_text, truncate);
    Value::Object(fields)
}

/// Whether messages go back to the queue.
fn requeues(fields: &Map<String, Value>) -> Result<(bool, Settlement), Answer> {
    if !fields.contains_key("ackmode") {
        let requeue = truth(fields, "requeue", true)?;
        return Ok((requeue, if requeue { Settlement::Requeue } else { Settlement::Ack }));
    }
    match text(fields, "ackmode")? {
        "ack_requeue_true" | "reject_requeue_true" => Ok((true, Settlement::Requeue)),
        "ack_requeue_false" => Ok((false, Settlement::Ack)),
        "reject_requeue_false" => Ok((true, Settlement::Reject)),
        other => Err(Answer::bad(format!("unknown ackmode {other:?}"))),
    }
}

fn get(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    vhost.queue(call.name(1)).map_err(missing_or)?;
    let fields = call.object_with(&["count", "encoding"])?;
    let count = number(&fields, "count")?.unwrap_or(0);
    if count < 0 {
        return Err(Answer::bad("count must not be negative"));
    }
    let (needs_ack, how) = requeues(&fields)?;
    let as_text = match text(&fields, "encoding")? {
        "auto" => true,
        "base64" => false,
        other => return Err(Answer::bad(format!("unknown encoding {other:?}"))),
    };
    let truncate = number(&fields, "truncate")?.map_or(usize::MAX, |most| most.max(0) as usize);
    let who = call.principal(&vhost.name);
    let broker = call.app.broker();
    let queue = broker.readable_queue(&who, call.name(1))?;
    let (mut shown, mut seqs, mut position, mut bytes) =
        (Vec::new(), Vec::new(), Position::START, 0);
    while (shown.len() as i64) < count && bytes < GET_MAX {
        let Some(got) = broker.get(&queue, !needs_ack, call.now()) else { break };
        position = position.max(got.position);
        bytes += got.message.body_len();
        shown.push(show(&got, as_text, truncate));
        seqs.push(got.seq);
    }
    let got = shown.len() as u64;
    let (get, get_no_ack) = if needs_ack { (got, 0) } else { (0, got) };
    let counts = MessageCounts { get, get_no_ack, ..MessageCounts::default() };
    call.app.node.count(&vhost.name, &counts);
    if needs_ack {
        position = position.max(broker.settle(&queue, &seqs, how, call.now()));
    }
    Ok(Answer::json(&Value::Array(shown)).after(position))
}
