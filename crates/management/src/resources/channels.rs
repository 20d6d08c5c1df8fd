//! `/channels`: what is done on connections.

use serde_json::{Map, Value, json};

use super::connections::{find, visible};
use super::consumers::{self, Holders};
use super::overview::message_numbers;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Management;
use crate::list::{self, Item, Key};
use crate::node::{Channel, Connection};
use crate::rates::{Depth, Ranges, Source, Thing};
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "channels", Management, all),
    route("GET", "channels/*", Management, one),
    route("GET", "vhosts/*/channels", Management, of_vhost),
];

struct Row(Connection, Channel);

/// The name by which RabbitMQ's tools know a channel.
pub(crate) fn name(connection: &Connection, number: u16) -> String {
    format!("{} ({number})", connection.name())
}

/// What is said of a channel wherever it is named.
pub(crate) fn details(call: &Call<'_>, connection: &Connection, number: u16) -> Value {
    json!({
        "name": name(connection, number), "number": number, "connection_name": connection.name(),
        "node": call.app.node_name, "peer_host": connection.peer.ip().to_string(),
        "peer_port": connection.peer.port(), "user": *connection.user,
    })
}

impl Item for Row {
    fn name(&self) -> String {
        name(&self.0, self.1.number)
    }

    fn key(&self, column: &str) -> Option<Key> {
        Some(match column {
            "name" => Key::Text(self.name()),
            "user" => Key::from(&*self.0.user),
            "vhost" => Key::from(&*self.0.vhost),
            "consumer_count" => Key::from(self.1.consumers.len()),
            "messages_unacknowledged" => Key::from(self.1.unacked),
            "messages_unconfirmed" => Key::from(self.1.unconfirmed),
            "prefetch_count" => Key::from(self.1.prefetch),
            _ => return None,
        })
    }

    fn render(&self, call: &Call<'_>) -> Value {
        Value::Object(render(call, &self.0, &self.1, Depth::Short))
    }
}

fn render(
    call: &Call<'_>,
    connection: &Connection,
    channel: &Channel,
    depth: Depth,
) -> Map<String, Value> {
    let value = json!({
        "name": name(connection, channel.number), "number": channel.number,
        "user": *connection.user, "user_who_performed_action": *connection.user,
        "vhost": *connection.vhost, "node": call.app.node_name, "state": "running",
        "connection_details": {
            "name": connection.name(), "peer_host": connection.peer.ip().to_string(),
            "peer_port": connection.peer.port(),
        },
        "consumer_count": channel.consumers.len(), "confirm": channel.confirms,
        "transactional": channel.transactional, "prefetch_count": channel.prefetch,
        "global_prefetch_count": channel.global_prefetch,
        "messages_unacknowledged": channel.unacked,
        "messages_unconfirmed": channel.unconfirmed, "messages_uncommitted": 0,
        "acks_uncommitted": 0, "pending_raft_commands": 0,
    });
    let Value::Object(mut fields) = value else { return Map::new() };
    let numbers = message_numbers(&channel.counts);
    if numbers.iter().any(|(_, value)| *value > 0) {
        let of = (Thing::Channel(connection.id, channel.number), Source::Others, depth);
        let ranges = Ranges::read(&call.query);
        let stats = call.app.rates.numbers(of, &numbers, &ranges, call.now());
        fields.insert("message_stats".to_owned(), Value::Object(stats));
    }
    fields
}

fn rows(connections: impl IntoIterator<Item = Connection>) -> Vec<Row> {
    let mut rows = Vec::new();
    for mut connection in connections {
        let channels = std::mem::take(&mut connection.channels);
        rows.extend(channels.into_iter().map(|channel| Row(connection.clone(), channel)));
    }
    rows
}

fn all(call: &Call<'_>) -> Outcome {
    list::paged(call, rows(visible(call)))
}

fn of_vhost(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    list::paged(call, rows(visible(call).into_iter().filter(|one| one.vhost == vhost.name)))
}

pub(crate) fn of_connection(call: &Call<'_>) -> Outcome {
    list::paged(call, rows([find(call)?]))
}

fn one(call: &Call<'_>) -> Outcome {
    let found = rows(visible(call)).into_iter().find(|row| row.name() == call.name(0));
    let Row(connection, channel) = found.ok_or_else(Answer::not_found)?;
    let mut fields = render(call, &connection, &channel, Depth::Long);
    let consumers = channel.consumers.iter();
    let (mut holders, number) = (Holders::default(), channel.number);
    let consumers =
        consumers.filter_map(|one| consumers::render(call, &connection, number, one, &mut holders));
    fields.insert("consumer_details".to_owned(), consumers.collect());
    fields.insert("publishes".to_owned(), json!([]));
    fields.insert("deliveries".to_owned(), json!([]));
    list::one(call, Value::Object(fields))
}
