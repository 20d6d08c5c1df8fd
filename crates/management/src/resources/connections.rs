//! `/connections`: who is connected, and closing a connection.

use hyper::StatusCode;
use leveret_broker::broker::table_to_json;
use serde_json::{Map, Value, json};

use super::channels;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Management;
use crate::declare::Gives::{Nothing, One, Page};
use crate::list::{self, Item, Key};
use crate::node::Connection;
use crate::rates::{Depth, Ranges, Source, Thing};
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "connections", Management, all).gives(Page, "Connections").histories(),
    route("GET", "connections/{connection}", Management, one)
        .gives(One, "A connection")
        .histories(),
    route("DELETE", "connections/{connection}", Management, close)
        .gives(Nothing, "Closes a connection"),
    route("GET", "connections/{connection}/channels", Management, channels::of_connection)
        .gives(Page, "Channels of a connection")
        .histories(),
    route("GET", "connections/username/{user}", Management, of_user)
        .gives(Page, "Connections of a user"),
    route("DELETE", "connections/username/{user}", Management, close_user)
        .gives(Nothing, "Closes a user's connections"),
    route("GET", "vhosts/{vhost}/connections", Management, of_vhost)
        .gives(Page, "Connections to a vhost")
        .histories(),
];

struct Row(Connection);

impl Item for Row {
    fn name(&self) -> String {
        self.0.name()
    }

    fn key(&self, column: &str) -> Option<Key> {
        Some(match column {
            "name" => Key::Text(self.0.name()),
            "user" => Key::from(&*self.0.user),
            "vhost" => Key::from(&*self.0.vhost),
            "channels" => Key::from(self.0.channels.len()),
            "connected_at" => Key::from(self.0.connected_at.0),
            "recv_oct" => Key::from(self.0.received.0),
            "send_oct" => Key::from(self.0.sent.0),
            _ => return None,
        })
    }

    fn render(&self, call: &Call<'_>) -> Value {
        Value::Object(render(call, &self.0, Depth::Short))
    }
}

/// Bytes that came in and went out.
pub(crate) fn numbers(connection: &Connection) -> [(&'static str, u64); 2] {
    [("recv_oct", connection.received.0), ("send_oct", connection.sent.0)]
}

fn render(call: &Call<'_>, one: &Connection, depth: Depth) -> Map<String, Value> {
    let properties = table_to_json(&one.client_properties);
    let given = properties.get("connection_name").cloned().unwrap_or(json!(""));
    let value = json!({
        "name": one.name(), "user": *one.user, "vhost": *one.vhost,
        "user_who_performed_action": *one.user, "node": call.app.node_name,
        "protocol": one.protocol, "type": "network", "auth_mechanism": one.mechanism,
        "connected_at": one.connected_at.0,
        "state": if one.blocked { "blocked" } else { "running" },
        "peer_host": one.peer.ip().to_string(), "peer_port": one.peer.port(),
        "host": one.local.ip().to_string(), "port": one.local.port(),
        "channels": one.channels.len(), "channel_max": one.channel_max,
        "frame_max": one.frame_max, "timeout": one.heartbeat_secs,
        "client_properties": properties, "user_provided_name": given,
        "recv_cnt": one.received.1, "send_cnt": one.sent.1, "send_pend": 0,
        "ssl": one.tls.is_some(), "ssl_protocol": one.tls.unwrap_or(""), "ssl_cipher": "",
        "ssl_hash": "", "ssl_key_exchange": "",
        "peer_cert_subject": "", "peer_cert_issuer": "", "peer_cert_validity": "",
    });
    let Value::Object(mut fields) = value else { return Map::new() };
    let of = (Thing::Connection(one.id), Source::Others, depth);
    let ranges = Ranges::read(&call.query);
    fields.extend(call.app.rates.numbers(of, &numbers(one), &ranges, call.now()));
    fields
}

/// The connections that the caller may see, in the order of their names.
pub(crate) fn visible(call: &Call<'_>) -> Vec<Connection> {
    let mut all = call.app.node.connections();
    if !call.caller.is_monitor() {
        all.retain(|one| one.user == call.caller.user.name);
    }
    all.sort_by_key(|one| one.connected_at);
    all
}

/// The connection that the path names.
pub(crate) fn find(call: &Call<'_>) -> Result<Connection, Answer> {
    let found = visible(call).into_iter().find(|one| one.name() == call.name(0));
    found.ok_or_else(Answer::not_found)
}

fn all(call: &Call<'_>) -> Outcome {
    list::paged(call, visible(call).into_iter().map(Row).collect())
}

fn of_vhost(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let of = visible(call).into_iter().filter(|one| one.vhost == vhost.name);
    list::paged(call, of.map(Row).collect())
}

fn of_user(call: &Call<'_>) -> Outcome {
    let one = |one: Connection| {
        json!({
            "name": one.name(), "vhost": *one.vhost, "user": *one.user,
            "node": call.app.node_name,
        })
    };
    let of = visible(call).into_iter().filter(|one| *one.user == *call.name(0));
    list::values(call, of.map(one).collect())
}

fn one(call: &Call<'_>) -> Outcome {
    let found = find(call)?;
    list::one(call, Value::Object(render(call, &found, Depth::Long)))
}

fn end(call: &Call<'_>, connection: &Connection) -> Result<(), Answer> {
    if !call.caller.is_administrator() && connection.user != call.caller.user.name {
        return Err(Answer::not_authorised("Not administrator user"));
    }
    let reason = "Closed via management plugin";
    call.app.node.close_connection(connection.id, reason);
    call.audit("connection closed", &connection.name());
    Ok(())
}

fn close(call: &Call<'_>) -> Outcome {
    end(call, &find(call)?)?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn close_user(call: &Call<'_>) -> Outcome {
    for connection in visible(call).iter().filter(|one| *one.user == *call.name(0)) {
        end(call, connection)?;
    }
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
