//! `/vhosts`: listing, adding and removing vhosts.

use std::sync::Arc;

use leveret_broker::auth::Permissions;
use leveret_broker::definitions::Vhost;
use serde_json::{Map, Value, json};

use super::overview::{lengths, message_numbers};
use super::{missing_or, permissions, topic_permissions};
use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Management};
use crate::list::{self, Item};
use crate::node::MessageCounts;
use crate::rates::{Depth, Ranges, Source, Thing};
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "vhosts", Management, all),
    route("GET", "vhosts/*", Management, one),
    route("PUT", "vhosts/*", Administrator, put),
    route("DELETE", "vhosts/*", Administrator, delete),
    route("GET", "vhosts/*/permissions", Administrator, permissions::of_vhost),
    route("GET", "vhosts/*/topic-permissions", Administrator, topic_permissions::of_vhost),
    route("POST", "vhosts/*/start/*", Administrator, start),
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
    let value = json!({
        "name": *vhost.name, "description": "", "tags": [], "default_queue_type": "undefined",
        "metadata": { "description": "", "tags": [] }, "tracing": false,
        "cluster_state": { (call.app.node_name.as_str()): "running" },
        "protected_from_deletion": false,
    });
    let Value::Object(mut fields) = value else { return Map::new() };
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
    if name.is_empty() || name.len() > 255 {
        return Err(Answer::bad("a vhost's name must have 1 to 255 bytes"));
    }
    call.object()?;
    let broker = call.app.broker();
    let is_new = !broker.topology().vhosts.contains_key(name);
    let mut position = broker.add_vhost(name);
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

fn delete(call: &Call<'_>) -> Outcome {
    let name = call.name(0);
    let position = call.app.broker().delete_vhost(name, call.now()).map_err(missing_or)?;
    call.audit("vhost deleted", name);
    Ok(Answer::done(position))
}

/// A vhost always runs.
fn start(call: &Call<'_>) -> Outcome {
    call.vhost(call.name(0))?;
    Ok(Answer::empty(hyper::StatusCode::NO_CONTENT))
}
