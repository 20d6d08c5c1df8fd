//! `/vhost-limits` and `/user-limits`: how much there may be.

use std::sync::Arc;

use leveret_broker::definitions::{UserLimits, Vhost, VhostLimits};
use serde_json::{Map, Value, json};

use super::missing_or;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Management};
use crate::list;
use crate::request::{Call, number};
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "vhost-limits", Management, all_vhosts),
    route("GET", "vhost-limits/*", Management, all_vhosts),
    route("PUT", "vhost-limits/*/*", Administrator, put_vhost),
    route("DELETE", "vhost-limits/*/*", Administrator, delete_vhost),
    route("GET", "user-limits", Administrator, all_users),
    route("GET", "user-limits/*", Administrator, one_user),
    route("PUT", "user-limits/*/*", Administrator, put_user),
    route("DELETE", "user-limits/*/*", Administrator, delete_user),
];

/// The limits that say something.
fn some(named: [(&str, Option<u64>); 2]) -> Value {
    let some = named.into_iter().filter_map(|(name, most)| Some((name.to_owned(), json!(most?))));
    Value::Object(some.collect::<Map<_, _>>())
}

/// A user's limits.
pub(crate) fn user_limits(limits: &UserLimits) -> Value {
    some([("max-connections", limits.max_connections), ("max-channels", limits.max_channels)])
}

/// A vhost's limits.
pub(crate) fn vhost_limits(limits: &VhostLimits) -> Value {
    some([("max-connections", limits.max_connections), ("max-queues", limits.max_queues)])
}

fn all_vhosts(call: &Call<'_>) -> Outcome {
    let vhosts = call.vhosts_of_path()?;
    let limited = vhosts.iter().filter(|vhost| vhost.limits != VhostLimits::default());
    let one =
        |vhost: &Arc<Vhost>| json!({ "vhost": *vhost.name, "value": vhost_limits(&vhost.limits) });
    list::whole(call, limited.map(one).collect::<Vec<_>>())
}

/// The value of a body; a negative one is no limit.
fn most(call: &Call<'_>) -> Result<Option<u64>, Answer> {
    let fields = call.object_with(&["value"])?;
    let value = number(&fields, "value")?;
    let value = value.ok_or_else(|| Answer::bad("value must be a whole number"))?;
    Ok(u64::try_from(value).ok())
}

fn change_vhost(call: &Call<'_>, most: Option<u64>) -> Outcome {
    let vhost = call.vhost(call.name(0)).map_err(|_| Answer::no_vhost())?;
    let mut limits = vhost.limits;
    *limit_of_vhost(&mut limits, call.name(1))? = most;
    let position = call.app.broker().limit_vhost(&vhost.name, limits)?;
    call.audit("vhost limits set", &vhost.name);
    Ok(Answer::done(position))
}

/// Sets all limits of a vhost by name; those that are not named are none.
pub(super) fn set_vhost(call: &Call<'_>, vhost: &Vhost, terms: &Map<String, Value>) -> Outcome {
    let mut limits = VhostLimits::default();
    for name in terms.keys() {
        let most = number(terms, name)?.and_then(|most| u64::try_from(most).ok());
        *limit_of_vhost(&mut limits, name)? = most;
    }
    let is_new = vhost.limits == VhostLimits::default();
    let position = call.app.broker().limit_vhost(&vhost.name, limits)?;
    call.audit("vhost limits set", &vhost.name);
    Ok(Answer::put(is_new, position))
}

fn limit_of_vhost<'a>(
    limits: &'a mut VhostLimits,
    name: &str,
) -> Result<&'a mut Option<u64>, Answer> {
    match name {
        "max-connections" => Ok(&mut limits.max_connections),
        "max-queues" => Ok(&mut limits.max_queues),
        other => Err(Answer::bad(format!("Unrecognised vhost limit: {other}"))),
    }
}

fn put_vhost(call: &Call<'_>) -> Outcome {
    change_vhost(call, most(call)?)
}

fn delete_vhost(call: &Call<'_>) -> Outcome {
    change_vhost(call, None)
}

fn all_users(call: &Call<'_>) -> Outcome {
    let topology = call.app.broker().topology().clone();
    let limited = topology.user_limits.iter().filter(|(_, one)| **one != UserLimits::default());
    let one = |(user, limits): (&Arc<str>, &UserLimits)| {
        let value = user_limits(limits);
        json!({ "user": **user, "value": value })
    };
    list::whole(call, limited.map(one).collect::<Vec<_>>())
}

fn one_user(call: &Call<'_>) -> Outcome {
    let user = call.app.broker().user(call.name(0)).map_err(missing_or)?;
    let limits = call.app.broker().topology().user_limits.get(&user.name).copied();
    let limits = limits.filter(|limits| *limits != UserLimits::default());
    let one = |limits| json!({ "user": *user.name, "value": user_limits(&limits) });
    list::whole(call, limits.map(one).into_iter().collect::<Vec<_>>())
}

fn change_user(call: &Call<'_>, most: Option<u64>) -> Outcome {
    let user = call.app.broker().user(call.name(0)).map_err(missing_or)?;
    let limits = call.app.broker().topology().user_limits.get(&user.name).copied();
    let mut limits = limits.unwrap_or_default();
    match call.name(1) {
        "max-connections" => limits.max_connections = most,
        "max-channels" => limits.max_channels = most,
        other => return Err(Answer::bad(format!("Unrecognised user limit: {other}"))),
    }
    let position = call.app.broker().limit_user(&user.name, limits)?;
    call.audit("user limits set", &user.name);
    Ok(Answer::done(position))
}

fn put_user(call: &Call<'_>) -> Outcome {
    change_user(call, most(call)?)
}

fn delete_user(call: &Call<'_>) -> Outcome {
    change_user(call, None)
}
