//! `/topic-permissions`: which routing keys a user may use with an exchange.

use std::sync::Arc;

use leveret_broker::auth::TopicPermissions;
use leveret_broker::definitions::Vhost;
use serde_json::{Value, json};

use super::missing_or;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Administrator;
use crate::declare::Gives::{List, Nothing, Put};
use crate::declare::{Field, Kind, must};
use crate::list;
use crate::request::{Call, text};
use crate::router::{Route, route};

const PERMISSIONS: &[Field] =
    &[must("exchange", Kind::Text), must("write", Kind::Text), must("read", Kind::Text)];

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "topic-permissions", Administrator, all).gives(List, "Topic permissions"),
    route("GET", "topic-permissions/{vhost}/{user}", Administrator, both)
        .gives(List, "Topic permissions of a user in a vhost"),
    route("PUT", "topic-permissions/{vhost}/{user}", Administrator, put)
        .gives(Put, "Grants topic permissions")
        .takes(PERMISSIONS),
    route("DELETE", "topic-permissions/{vhost}/{user}", Administrator, delete)
        .gives(Nothing, "Takes all topic permissions of a user in a vhost away"),
    route("DELETE", "topic-permissions/{vhost}/{user}/{exchange}", Administrator, delete)
        .gives(Nothing, "Takes topic permissions for an exchange away"),
];

fn render(vhost: &Vhost, user: &str, exchange: &str, granted: &TopicPermissions) -> Value {
    json!({
        "user": user, "vhost": *vhost.name, "exchange": exchange,
        "write": granted.write.as_str(), "read": granted.read.as_str(),
    })
}

fn of(vhosts: &[Arc<Vhost>], wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let mut found = Vec::new();
    for vhost in vhosts {
        for ((user, exchange), granted) in &vhost.topic_permissions {
            if wanted(user) {
                found.push(render(vhost, user, exchange, granted));
            }
        }
    }
    found
}

fn all(call: &Call<'_>) -> Outcome {
    list::whole(call, of(&call.vhosts(), |_| true))
}

pub(crate) fn of_vhost(call: &Call<'_>) -> Outcome {
    list::whole(call, of(&[call.vhost(call.name(0))?], |_| true))
}

pub(crate) fn of_user(call: &Call<'_>) -> Outcome {
    let user = call.app.broker().user(call.name(0)).map_err(missing_or)?;
    list::whole(call, of(&call.vhosts(), |name| *name == *user.name))
}

fn both(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let found = of(&[vhost], |name| name == call.name(1));
    if found.is_empty() { Err(Answer::not_found()) } else { list::whole(call, found) }
}

fn put(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0)).map_err(|_| Answer::no_vhost())?;
    let fields = call.object()?;
    let (user, exchange) = (call.name(1), text(&fields, "exchange")?);
    let exchange = if exchange == "amq.default" { "" } else { exchange };
    let broker = call.app.broker();
    broker.user(user).map_err(|_| Answer::bad(format!("no such user: {user}")))?;
    let of: (Arc<str>, Arc<str>) = (user.into(), exchange.into());
    let is_new = !vhost.topic_permissions.contains_key(&of);
    let patterns = [text(&fields, "write")?, text(&fields, "read")?];
    let position = broker.grant_topic(user, &vhost.name, exchange, patterns)?;
    call.audit("topic permissions set", &format!("{}/{user}", vhost.name));
    Ok(Answer::put(is_new, position))
}

fn delete(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let user = call.name(1);
    let exchange = (call.names.len() > 2).then(|| call.exchange(2));
    let mut found = vhost.topic_permissions.keys();
    if !found.any(|of| *of.0 == *user && exchange.is_none_or(|exchange| *of.1 == *exchange)) {
        return Err(Answer::not_found());
    }
    let position = call.app.broker().clear_topic_permissions(user, &vhost.name, exchange)?;
    call.audit("topic permissions cleared", &format!("{}/{user}", vhost.name));
    Ok(Answer::done(position))
}
