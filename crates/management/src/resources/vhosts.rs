//! `/vhosts`: listing, adding and removing vhosts.

use std::sync::Arc;

use hyper::StatusCode;
use leveret_broker::auth::Permissions;
use leveret_broker::broker::metadata_to_json;
use leveret_broker::definitions::{Vhost, VhostMetadata};
use serde_json::{Map, Value, json};

use super::overview::{lengths, message_numbers};
use super::{missing_or, permissions, topic_permissions, users};
use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Management};
use crate::list::{self, Item};
use crate::node::MessageCounts;
use crate::rates::{Depth, Ranges, Source, Thing};
use crate::request::{Call, text};
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "vhosts", Management, all),
    route("GET", "vhosts/*", Management, one),
    route("PUT", "vhosts/*", Administrator, put),
    route("DELETE", "vhosts/*", Administrator, delete),
    route("GET", "vhosts/*/permissions", Administrator, permissions::of_vhost),
    route("GET", "vhosts/*/topic-permissions", Administrator, topic_permissions::of_vhost),
    route("POST", "vhosts/*/start/*", Administrator, start),
    route("POST", "vhosts/*/deletion/protection", Administrator, |call| protect(call, true)),
    route("DELETE", "vhosts/*/deletion/protection", Administrator, |call| protect(call, false)),
];

struct Row(Arc<Vhost>, MessageCounts);

impl Item for Row {
    fn name(&self) -> String {
        self.0.name.to_string()
    }

    fn render(&self, call: &Call<'_>) -> Value {
        Value::Object(render(call, &self.0, &self.1))
    }
}

/// The numbers of a vhost.
pub(crate) fn numbers(vhost: &Vhost, counts: &MessageCounts) -> Vec<(&'static str, u64)> {
    let mut numbers = message_numbers(counts);
    numbers.extend(lengths(vhost.queues.values()));
    numbers
}

fn render(call: &Call<'_>, vhost: &Vhost, counts: &MessageCounts) -> Map<String, Value> {
    let mut fields = metadata_to_json(&vhost.metadata);
    fields.entry("default_queue_type").or_insert(json!("undefined"));
    let mut metadata = fields.clone();
    metadata.remove("protected_from_deletion");
    let state = json!({ (call.app.node_name.as_str()): "running" });
    for (name, value) in [
        ("name", json!(*vhost.name)),
        ("metadata", Value::Object(metadata)),
        ("tracing", json!(false)),
        ("cluster_state", state),
    ] {
        fields.insert(name.to_owned(), value);
    }
    let numbers = numbers(vhost, counts);
    let of = (Thing::Vhost(vhost.name.clone()), Source::Others, Depth::Long);
    let ranges = Ranges::read(&call.query);
    let mut counted = call.app.rates.numbers(of, &numbers, &ranges, call.now());
    for name in ["messages", "messages_ready", "messages_unacknowledged"] {
        for name in [name.to_owned(), format!("{name}_details")] {
            fields.extend(counted.remove(&name).map(|value| (name, value)));
        }
    }
    fields.insert("message_stats".to_owned(), Value::Object(counted));
    fields
}

fn rows(call: &Call<'_>, vhosts: Vec<Arc<Vhost>>) -> Vec<Row> {
    let counts = call.app.node.counts().1;
    let of = |vhost: &Vhost| counts.get(&vhost.name).copied().unwrap_or_default();
    vhosts
        .into_iter()
        .map(|vhost| {
            let counts = of(&vhost);
            Row(vhost, counts)
        })
        .collect()
}

fn all(call: &Call<'_>) -> Outcome {
    list::paged(call, rows(call, call.vhosts()))
}

fn one(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    match rows(call, vec![vhost]).pop() {
        Some(row) => list::one(call, row.render(call)),
        None => Err(Answer::not_found()),
    }
}

fn put(call: &Call<'_>) -> Outcome {
    let name = call.name(0);
    let fields = call.object()?;
    let description = fields.get("description").map(|_| text(&fields, "description"));
    let description: Option<Arc<str>> = description.transpose()?.map(Arc::from);
    let tags = fields.get("tags").filter(|tags| !tags.is_null());
    let tags = tags.map(|_| users::tags_of(&fields)).transpose()?;
    let kind = text(&fields, "default_queue_type")?;
    let broker = call.app.broker();
    let change = |metadata: &mut VhostMetadata| {
        if let Some(words) = description {
            metadata.description = words;
        }
        if let Some(tags) = &tags {
            metadata.tags = tags.iter().map(|tag| Arc::from(&**tag)).collect();
        }
        if !kind.is_empty() {
            metadata.default_queue_type = (kind != "undefined").then(|| kind.into());
        }
    };
    let (is_new, mut position) = broker.put_vhost(name, change)?;
    if is_new {
        // Who adds it may use it, as in RabbitMQ; a token says itself what it may use.
        if call.caller.scopes.is_none() {
            let user = &call.caller.user.name;
            position = position.max(broker.set_permissions(user, name, Permissions::all())?);
        }
        call.audit("vhost added", name);
    }
    Ok(Answer::put(is_new, position))
}

/// Protects a vhost from deletion, or does so no more.
fn protect(call: &Call<'_>, protected: bool) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let change = |metadata: &mut VhostMetadata| metadata.protected = protected;
    let (_, position) = call.app.broker().put_vhost(&vhost.name, change)?;
    call.audit(
        if protected { "vhost protected" } else { "vhost no longer protected" },
        &vhost.name,
    );
    Ok(Answer::done(position))
}

fn delete(call: &Call<'_>) -> Outcome {
    let name = call.name(0);
    if call.vhost(name)?.metadata.protected {
        let reason = format!("Cannot delete virtual host '{name}': it is protected from deletion");
        let status = StatusCode::PRECONDITION_FAILED;
        return Err(Answer::error(status, "precondition_failed", reason));
    }
    let position = call.app.broker().delete_vhost(name, call.now()).map_err(missing_or)?;
    call.audit("vhost deleted", name);
    Ok(Answer::done(position))
}

/// A vhost always runs.
fn start(call: &Call<'_>) -> Outcome {
    call.vhost(call.name(0))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
