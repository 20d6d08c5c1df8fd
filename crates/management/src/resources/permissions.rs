//! `/permissions`: who may configure, write and read what.

use leveret_broker::auth::Permissions;
use leveret_broker::definitions::Vhost;
use serde_json::{Value, json};

use super::missing_or;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Administrator;
use crate::declare::Gives::{List, Nothing, One, Put};
use crate::declare::{Field, Kind, must};
use crate::list;
use crate::request::{Call, text};
use crate::router::{Route, route};

const PERMISSIONS: &[Field] =
    &[must("configure", Kind::Text), must("write", Kind::Text), must("read", Kind::Text)];

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "permissions", Administrator, all).gives(List, "Permissions"),
    route("GET", "permissions/{vhost}/{user}", Administrator, one)
        .gives(One, "Permissions of a user in a vhost"),
    route("PUT", "permissions/{vhost}/{user}", Administrator, put)
        .gives(Put, "Grants permissions")
        .takes(PERMISSIONS),
    route("DELETE", "permissions/{vhost}/{user}", Administrator, delete)
        .gives(Nothing, "Takes permissions away"),
];

fn render(vhost: &Vhost, user: &str, granted: &Permissions) -> Value {
    json!({
        "user": user, "vhost": *vhost.name, "configure": granted.configure.as_str(),
        "write": granted.write.as_str(), "read": granted.read.as_str(),
    })
}

fn of(vhosts: &[std::sync::Arc<Vhost>], wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let mut found = Vec::new();
    for vhost in vhosts {
        let granted = vhost.permissions.iter().filter(|(user, _)| wanted(user));
        found.extend(granted.map(|(user, granted)| render(vhost, user, granted)));
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

fn one(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let user = call.name(1);
    let granted = vhost.permissions.get(user).ok_or_else(Answer::not_found)?;
    list::one(call, render(&vhost, user, granted))
}

fn put(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0)).map_err(|_| Answer::no_vhost())?;
    let fields = call.object()?;
    let user = call.name(1);
    let broker = call.app.broker();
    broker.user(user).map_err(|_| Answer::bad(format!("no such user: {user}")))?;
    let patterns = [text(&fields, "configure")?, text(&fields, "write")?, text(&fields, "read")?];
    let is_new = !vhost.permissions.contains_key(user);
    let position = broker.grant(user, &vhost.name, patterns)?;
    call.audit("permissions set", &format!("{}/{user}", vhost.name));
    Ok(Answer::put(is_new, position))
}

fn delete(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let user = call.name(1);
    if !vhost.permissions.contains_key(user) {
        return Err(Answer::not_found());
    }
    let position = call.app.broker().clear_permissions(user, &vhost.name)?;
    call.audit("permissions cleared", &format!("{}/{user}", vhost.name));
    Ok(Answer::done(position))
}
