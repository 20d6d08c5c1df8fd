//! `/overview`: all of the server at a glance.

use leveret_broker::broker::stored;
use leveret_broker::routing::ExchangeKind;
use serde_json::{Map, Value, json};

use crate::answer::Outcome;
use crate::app::App;
use crate::auth::Level::Management;
use crate::list;
use crate::node::{Churn, Facts, Listener, MessageCounts};
use crate::rates::{Depth, Numbers, Ranges, Source, Thing};
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[route("GET", "overview", Management, one)];

/// The version of RabbitMQ whose interface this is, for clients that look at it.
pub(crate) const RABBITMQ_VERSION: &str = "3.13.0";

/// How many of the numbers of the totals are of `message_stats`, and then of `churn_rates`.
const STATS: usize = 12;
const CHURN: usize = 7;

/// Counts of messages with RabbitMQ's names.
pub(crate) fn message_numbers(counts: &MessageCounts) -> Vec<(&'static str, u64)> {
    let got = counts.deliver + counts.deliver_no_ack + counts.get + counts.get_no_ack;
    vec![
        ("publish", counts.publish),
        ("confirm", counts.confirm),
        ("return_unroutable", counts.return_unroutable),
        ("drop_unroutable", counts.drop_unroutable),
        ("deliver_get", got),
        ("deliver", counts.deliver),
        ("deliver_no_ack", counts.deliver_no_ack),
        ("get", counts.get),
        ("get_no_ack", counts.get_no_ack),
        ("get_empty", counts.get_empty),
        ("ack", counts.ack),
        ("redeliver", counts.redeliver),
    ]
}

fn churn_numbers(churn: &Churn) -> [(&'static str, u64); CHURN] {
    [
        ("connection_created", churn.connections.0),
        ("connection_closed", churn.connections.1),
        ("channel_created", churn.channels.0),
        ("channel_closed", churn.channels.1),
        ("queue_declared", churn.queues.0),
        ("queue_created", churn.queues.1),
        ("queue_deleted", churn.queues.2),
    ]
}

/// Messages that are ready, and that are out, in some queues.
pub(crate) fn lengths<'a>(
    queues: impl Iterator<Item = &'a std::sync::Arc<leveret_broker::queue::QueueHandle>>,
) -> [(&'static str, u64); 3] {
    let (mut ready, mut unacked) = (0, 0);
    for report in queues.map(|queue| queue.report()) {
        ready += (report.ready + report.resting) as u64;
        unacked += report.unacked as u64;
    }
    [("messages", ready + unacked), ("messages_ready", ready), ("messages_unacknowledged", unacked)]
}

/// The numbers of the whole server.
pub(crate) fn totals(app: &App) -> Vec<(&'static str, u64)> {
    let topology = app.broker().topology().clone();
    let mut numbers = message_numbers(&app.node.counts().0);
    numbers.extend(churn_numbers(&app.node.churn()));
    numbers.extend(lengths(topology.vhosts.values().flat_map(|vhost| vhost.queues.values())));
    numbers
}

pub(crate) fn exchange_types() -> Value {
    let one = |kind: ExchangeKind| {
        let name = kind.name();
        let description = format!("Exchange of the type {name}");
        json!({ "name": name, "description": description, "enabled": true })
    };
    ExchangeKind::ALL.into_iter().map(one).collect()
}

pub(crate) fn listeners(app: &App) -> Value {
    let one = |one: &Listener| {
        let (ip, port) = (one.address.ip().to_string(), one.address.port());
        json!({
            "node": app.node_name, "protocol": one.name(), "ip_address": ip, "port": port,
            "socket_opts": {},
        })
    };
    app.node.listeners().iter().map(one).collect()
}

/// What the global parameter of that name says.
fn cluster_tags(app: &App) -> Value {
    let topology = app.broker().topology();
    let tags = topology.global_parameters.get("cluster_tags").map(|value| stored(value));
    tags.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

/// What stands in the overview and does not move.
fn head(app: &App, facts: &Facts) -> Map<String, Value> {
    let value = json!({
        "management_version": RABBITMQ_VERSION, "rates_mode": "basic",
        "sample_retention_policies": {
            "global": [600, 86_400], "basic": [600, 3_600], "detailed": [600],
        },
        "exchange_types": exchange_types(), "product_name": "Leveret",
        "product_version": facts.version, "rabbitmq_version": RABBITMQ_VERSION,
        "cluster_name": facts.cluster_name, "erlang_version": "none",
        "erlang_full_version": "none: written in Rust", "disable_stats": false,
        "enable_queue_totals": false, "release_series_support_status": "supported",
        "statistics_db_event_queue": 0, "node": app.node_name,
        "crypto_lib_version": "none", "cluster_tags": cluster_tags(app), "node_tags": {},
        "default_queue_type": "classic",
    });
    let Value::Object(fields) = value else { return Map::new() };
    fields
}

fn add_totals(call: &Call<'_>, fields: &mut Map<String, Value>) {
    let numbers = totals(call.app);
    let ranges = Ranges::read(&call.query);
    let of = (Thing::Totals, Source::Others, Depth::Totals);
    let mut counted = call.app.rates.numbers(of, &numbers, &ranges, call.now());
    let mut take = |numbers: Numbers<'_>| {
        let mut taken = Map::new();
        for (name, _) in numbers {
            for name in [(*name).to_owned(), format!("{name}_details")] {
                let value = counted.remove(&name).unwrap_or(Value::Null);
                taken.insert(name, value);
            }
        }
        Value::Object(taken)
    };
    fields.insert("message_stats".to_owned(), take(&numbers[..STATS]));
    fields.insert("churn_rates".to_owned(), take(&numbers[STATS..STATS + CHURN]));
    fields.insert("queue_totals".to_owned(), take(&numbers[STATS + CHURN..]));
}

fn one(call: &Call<'_>) -> Outcome {
    let app = call.app;
    let facts = app.node.facts();
    let mut fields = head(app, &facts);
    let topology = app.broker().topology().clone();
    let connections = app.node.connections();
    let channels = || connections.iter().flat_map(|one| one.channels.iter());
    let vhosts = call.vhosts();
    let count = |of: fn(&leveret_broker::definitions::Vhost) -> usize| -> usize {
        vhosts.iter().map(|vhost| of(vhost)).sum()
    };
    let consumers: usize = channels().map(|channel| channel.consumers.len()).sum();
    let objects = json!({
        "connections": connections.len(), "channels": channels().count(), "consumers": consumers,
        "exchanges": count(|vhost| vhost.exchanges.len()),
        "queues": count(|vhost| vhost.queues.len()),
    });
    drop(topology);
    fields.insert("object_totals".to_owned(), objects);
    add_totals(call, &mut fields);
    let is_monitor = call.caller.is_monitor();
    fields.insert("listeners".to_owned(), if is_monitor { listeners(app) } else { json!([]) });
    let contexts = app.node.listeners().into_iter().filter(|one| one.protocol == "http");
    let context = |one: Listener| {
        json!({
            "node": app.node_name, "description": "RabbitMQ Management", "path": "/",
            "ip": one.address.ip().to_string(), "port": one.address.port().to_string(),
            "ssl_opts": [], "cowboy_opts": "[]", "protocol": one.name(),
        })
    };
    fields.insert("contexts".to_owned(), contexts.map(context).collect());
    list::one(call, Value::Object(fields))
}
