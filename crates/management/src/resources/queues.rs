//! `/queues`: listing, declaring, deleting and purging queues.

use std::sync::Arc;

use hyper::StatusCode;
use leveret_broker::broker::{QueueRequest, table_to_json};
use leveret_broker::ids::Timestamp;
use leveret_broker::message::FieldValue;
use leveret_broker::queue::QueueHandle;
use serde_json::{Map, Value, json};

use super::{bindings, consumers, missing_or};
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Management;
use crate::date;
use crate::list::{self, Item, Key};
use crate::rates::{Depth, QUEUE_STATS, Ranges, Source, Thing, queue_numbers};
use crate::request::{Call, table, text, truth};
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "queues", Management, all),
    route("GET", "queues/detailed", Management, all),
    route("GET", "queues/*", Management, all),
    route("GET", "queues/*/*", Management, one),
    route("PUT", "queues/*/*", Management, put),
    route("DELETE", "queues/*/*", Management, delete),
    route("GET", "queues/*/*/bindings", Management, bindings::of_queue),
    route("DELETE", "queues/*/*/contents", Management, purge),
    route("POST", "queues/*/*/actions", Management, act),
];

/// A queue, and the present.
struct Row(Arc<QueueHandle>, Timestamp);

/// The type that a queue was declared with.
pub(crate) fn kind(queue: &QueueHandle) -> String {
    match queue.spec.arguments.get("x-queue-type") {
        Some(FieldValue::LongStr(kind)) => String::from_utf8_lossy(kind).into_owned(),
        _ => "classic".to_owned(),
    }
}

impl Item for Row {
    fn name(&self) -> String {
        self.0.spec.name.to_string()
    }

    fn key(&self, column: &str) -> Option<Key> {
        let (spec, report) = (&self.0.spec, || self.0.report());
        let pace = || self.0.pace(self.1);
        // What is not known comes before what is none.
        let age = |age: Option<u64>| Key::Number(age.map_or(-1.0, |millis| millis as f64));
        let share = |share: Option<f64>| Key::Number(share.unwrap_or(-1.0));
        Some(match column {
            "name" => Key::from(&*spec.name),
            "vhost" => Key::from(&*spec.vhost),
            "durable" => Key::from(spec.durable),
            "auto_delete" => Key::from(spec.auto_delete),
            "exclusive" => Key::from(spec.owner.is_some()),
            "type" => Key::Text(kind(&self.0)),
            "state" => Key::from("running"),
            "messages" => Key::from(report().ready + report().resting + report().unacked),
            "messages_ready" => Key::from(report().ready + report().resting),
            "messages_unacknowledged" => Key::from(report().unacked),
            "consumers" => Key::from(report().consumers),
            "memory" => Key::from(report().memory_bytes),
            "message_bytes" => Key::from(report().ready_bytes + report().unacked_bytes),
            "oldest_ready_age_ms" => age(pace().oldest_ready_age_ms),
            "oldest_unacked_age_ms" => age(pace().oldest_unacked_age_ms),
            "consumer_capacity" | "consumer_utilisation" => share(pace().consumer_capacity),
            "time_in_queue_ms" => share(pace().time_in_queue_ms),
            "message_stats.publish" => Key::from(report().totals.publish),
            "message_stats.ack" => Key::from(report().totals.ack),
            _ => return None,
        })
    }

    fn render(&self, call: &Call<'_>) -> Value {
        let totals_only = call.query.is_true("disable_stats");
        if totals_only {
            return Value::Object(brief(call, &self.0, call.query.is_true("enable_queue_totals")));
        }
        Value::Object(render(call, &self.0, Depth::Short))
    }
}

/// What a queue is, without what it does.
fn brief(call: &Call<'_>, queue: &QueueHandle, totals: bool) -> Map<String, Value> {
    let spec = &queue.spec;
    let value = json!({
        "name": *spec.name, "vhost": *spec.vhost, "durable": spec.durable,
        "auto_delete": spec.auto_delete, "exclusive": spec.owner.is_some(),
        "arguments": table_to_json(&spec.arguments), "node": call.app.node_name,
        "state": "running", "type": kind(queue),
    });
    let Value::Object(mut fields) = value else { return Map::new() };
    if totals {
        let report = queue.report();
        let ready = report.ready + report.resting;
        fields.insert("messages".to_owned(), json!(ready + report.unacked));
        fields.insert("messages_ready".to_owned(), json!(ready));
        fields.insert("messages_unacknowledged".to_owned(), json!(report.unacked));
    }
    fields
}

fn add_policies(call: &Call<'_>, queue: &QueueHandle, fields: &mut Map<String, Value>) {
    let spec = &queue.spec;
    let policy = call.app.broker().queue_policy(&spec.vhost, &spec.name).unwrap_or_default();
    let name = |name: Option<Arc<str>>| name.map_or(Value::Null, |name| json!(*name));
    fields.insert("policy".to_owned(), name(policy.policy));
    fields.insert("operator_policy".to_owned(), name(policy.operator_policy));
    fields.insert("effective_policy_definition".to_owned(), table_to_json(&policy.definition));
}

fn add_sizes(call: &Call<'_>, queue: &QueueHandle, fields: &mut Map<String, Value>) {
    let report = queue.report();
    let bytes = report.ready_bytes + report.unacked_bytes;
    let value = json!({
        "consumers": report.consumers,
        "exclusive_consumer_tag": null, "single_active_consumer_tag": null,
        "memory": report.memory_bytes, "message_bytes": bytes,
        "message_bytes_ready": report.ready_bytes,
        "message_bytes_unacknowledged": report.unacked_bytes,
        "messages_delayed": report.resting,
        "messages_dead_lettering": report.leaving,
        "head_message_timestamp": null, "idle_since": date::text(report.active_at.0),
        "storage_last_position": report.last_seq,
    });
    if let Value::Object(value) = value {
        fields.extend(value);
    }
    add_pace(call, queue, fields);
    if kind(queue) != "classic" {
        let node = &call.app.node_name;
        fields.insert("leader".to_owned(), json!(node));
        fields.insert("members".to_owned(), json!([node]));
        fields.insert("online".to_owned(), json!([node]));
    }
}

/// How the queue keeps up; what is not known is left out, but for what RabbitMQ's tools expect.
fn add_pace(call: &Call<'_>, queue: &QueueHandle, fields: &mut Map<String, Value>) {
    let pace = queue.pace(call.now());
    let capacity = pace.consumer_capacity.map_or(json!(0), |share| json!(share));
    fields.insert("consumer_capacity".to_owned(), capacity.clone());
    fields.insert("consumer_utilisation".to_owned(), capacity);
    let known = [
        ("oldest_ready_age_ms", pace.oldest_ready_age_ms.map(|millis| json!(millis))),
        ("oldest_unacked_age_ms", pace.oldest_unacked_age_ms.map(|millis| json!(millis))),
        ("time_in_queue_ms", pace.time_in_queue_ms.map(|millis| json!(millis))),
    ];
    fields.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
}

/// All of a queue but who consumes it.
fn render(call: &Call<'_>, queue: &Arc<QueueHandle>, depth: Depth) -> Map<String, Value> {
    let mut fields = brief(call, queue, false);
    add_policies(call, queue, &mut fields);
    add_sizes(call, queue, &mut fields);
    let source = Source::Queue(Arc::downgrade(queue));
    let of = (Thing::Queue(queue.spec.id), source, depth);
    let numbers = queue_numbers(queue);
    let ranges = Ranges::read(&call.query);
    let mut counted = call.app.rates.numbers(of, &numbers, &ranges, call.now());
    for (name, _) in &numbers[QUEUE_STATS..] {
        for name in [(*name).to_owned(), format!("{name}_details")] {
            if let Some(value) = counted.remove(&name) {
                fields.insert(name, value);
            }
        }
    }
    if numbers[..QUEUE_STATS].iter().any(|(_, value)| *value > 0) {
        fields.insert("message_stats".to_owned(), Value::Object(counted));
    }
    let dead = call.app.is_dead_letter_queue(queue);
    fields.insert("dead_letter_queue".to_owned(), json!(dead));
    fields
}

fn all(call: &Call<'_>) -> Outcome {
    let vhosts = call.vhosts_of_path()?;
    let row = |queue: &Arc<QueueHandle>| Row(Arc::clone(queue), call.now());
    let queues = vhosts.iter().flat_map(|vhost| vhost.queues.values().map(row));
    list::paged(call, queues.collect())
}

fn one(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let queue = vhost.queue(call.name(1)).map_err(missing_or)?;
    let mut fields = render(call, queue, Depth::Long);
    let details = consumers::of_queue(call, queue);
    let active = queue.active_consumers();
    if queue.settings().single_active_consumer {
        let tag = details.iter().find(|(consumer, _)| active.contains(&consumer.id));
        let tag = tag.map_or(Value::Null, |(consumer, _)| json!(*consumer.tag));
        fields.insert("single_active_consumer_tag".to_owned(), tag);
    }
    if let Some((consumer, _)) = details.iter().find(|(consumer, _)| consumer.exclusive) {
        fields.insert("exclusive_consumer_tag".to_owned(), json!(*consumer.tag));
    }
    let details = details.into_iter().map(|(_, value)| value);
    fields.insert("consumer_details".to_owned(), details.collect());
    fields.insert("incoming".to_owned(), json!([]));
    fields.insert("deliveries".to_owned(), json!([]));
    list::one(call, Value::Object(fields))
}

fn put(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let fields = call.object()?;
    let request = QueueRequest {
        name: call.name(1),
        durable: truth(&fields, "durable", true)?,
        exclusive: false,
        auto_delete: truth(&fields, "auto_delete", false)?,
        arguments: table(&fields, "arguments")?,
    };
    if request.name.is_empty() || request.name.len() > 255 {
        return Err(Answer::bad("a queue's name must have 1 to 255 bytes"));
    }
    let who = call.principal(&vhost.name);
    let declared = call.app.broker().declare_queue(&who, request, call.now())?;
    call.audit("queue declared", &format!("{}/{}", vhost.name, call.name(1)));
    Ok(Answer::put(declared.created.is_some(), declared.position))
}

fn delete(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    vhost.queue(call.name(1)).map_err(missing_or)?;
    let (if_unused, if_empty) = (call.query.is_true("if-unused"), call.query.is_true("if-empty"));
    let who = call.principal(&vhost.name);
    let (_, position) =
        call.app.broker().delete_queue(&who, call.name(1), if_unused, if_empty, call.now())?;
    call.audit("queue deleted", &format!("{}/{}", vhost.name, call.name(1)));
    Ok(Answer::done(position))
}

fn purge(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let who = call.principal(&vhost.name);
    let (_, position) = call.app.broker().purge_queue(&who, call.name(1), call.now())?;
    call.audit("queue purged", &format!("{}/{}", vhost.name, call.name(1)));
    Ok(Answer::done(position))
}

/// Mirrors, which there are none of: nothing is to be done.
fn act(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    vhost.queue(call.name(1)).map_err(missing_or)?;
    let fields = call.object_with(&["action"])?;
    match text(&fields, "action")? {
        "sync" | "cancel_sync" => Ok(Answer::empty(StatusCode::NO_CONTENT)),
        other => Err(Answer::bad(format!("unknown action {other:?}"))),
    }
}
