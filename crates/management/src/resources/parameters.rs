//! `/parameters` and `/global-parameters`.
//!
//! Operator policies and the limits of vhosts are parameters too, with resources of their own; what
//! else there is, the broker only keeps: components of RabbitMQ's plugins, and global parameters.

use leveret_broker::broker::{globals, stored};
use leveret_broker::definitions::{PolicyKind, Vhost, VhostLimits};
use leveret_broker::error::{Refusal, RefusalKind};
use serde_json::{Map, Value, json};

use super::{limits, missing_or, policies};
use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Policymaker};
use crate::list;
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "parameters", Policymaker, all),
    route("GET", "parameters/*", Policymaker, all),
    route("GET", "parameters/*/*", Policymaker, all),
    route("GET", "parameters/*/*/*", Policymaker, one),
    route("PUT", "parameters/*/*/*", Policymaker, put),
    route("DELETE", "parameters/*/*/*", Policymaker, delete),
    route("GET", "global-parameters", Policymaker, all_global),
    route("GET", "global-parameters/*", Policymaker, one_global),
    route("PUT", "global-parameters/*", Administrator, put_global),
    route("DELETE", "global-parameters/*", Administrator, delete_global),
];

const OPERATOR_POLICY: &str = "operator_policy";
const VHOST_LIMITS: &str = "vhost-limits";
/// The one name of a parameter with a vhost's limits.
const LIMITS: &str = "limits";

fn of_vhost(vhost: &Vhost) -> Vec<Value> {
    let one = |component: &str, name: &str, value: Value| {
        let vhost = &*vhost.name;
        json!({ "vhost": vhost, "component": component, "name": name, "value": value })
    };
    let operator = vhost.policies.all(PolicyKind::Operator);
    let mut found: Vec<Value> = operator
        .map(|policy| one(OPERATOR_POLICY, &policy.name, policies::terms(policy)))
        .collect();
    if vhost.limits != VhostLimits::default() {
        let value = limits::vhost_limits(&vhost.limits);
        found.push(one(VHOST_LIMITS, LIMITS, value));
    }
    let kept = vhost.parameters.iter();
    found.extend(kept.map(|((component, name), value)| one(component, name, stored(value))));
    found
}

fn found(call: &Call<'_>) -> Result<Vec<Value>, Answer> {
    let vhosts = match call.names.get(1) {
        Some(name) => vec![call.vhost(name)?],
        None => call.vhosts(),
    };
    let mut found: Vec<Value> = vhosts.iter().flat_map(|vhost| of_vhost(vhost)).collect();
    found.retain(|one| call.names.first().is_none_or(|component| one["component"] == **component));
    Ok(found)
}

fn all(call: &Call<'_>) -> Outcome {
    list::whole(call, found(call)?)
}

fn one(call: &Call<'_>) -> Outcome {
    let mut found = found(call)?;
    found.retain(|one| one["name"] == *call.name(2));
    let one = found.pop().ok_or_else(Answer::not_found)?;
    list::one(call, one)
}

/// What a parameter is refused with, as RabbitMQ says it.
fn invalid(refusal: Refusal) -> Answer {
    match refusal.kind {
        RefusalKind::NotFound => Answer::not_found(),
        _ => Answer::bad(format!("Validation failed\n\n{}\n", refusal.text)),
    }
}

/// The value of a body.
fn value(call: &Call<'_>) -> Result<Value, Answer> {
    Ok(call.object_with(&["value"])?.remove("value").unwrap_or(Value::Null))
}

/// The value of a body that must have fields.
fn terms(call: &Call<'_>) -> Result<Map<String, Value>, Answer> {
    match value(call)? {
        Value::Object(terms) => Ok(terms),
        _ => Err(Answer::bad("value must be an object")),
    }
}

fn put(call: &Call<'_>) -> Outcome {
    let (component, name) = (call.name(0), call.name(2));
    let vhost = call.vhost_to_use(call.name(1))?;
    let (is_new, position) = match component {
        OPERATOR_POLICY => {
            call.caller.check(Administrator)?;
            return policies::set(call, PolicyKind::Operator, (&vhost, name), &terms(call)?);
        }
        VHOST_LIMITS => {
            call.caller.check(Administrator)?;
            return limits::set_vhost(call, &vhost, &terms(call)?);
        }
        _ => {
            let broker = call.app.broker();
            broker.put_parameter(&vhost.name, component, name, &value(call)?).map_err(invalid)?
        }
    };
    call.audit("parameter set", &format!("{}/{component}/{name}", vhost.name));
    if is_new {
        tracing::warn!(component, name, "this parameter is kept and has no effect here");
    }
    Ok(Answer::put(is_new, position))
}

fn delete(call: &Call<'_>) -> Outcome {
    let (component, name) = (call.name(0), call.name(2));
    let vhost = call.vhost_to_use(call.name(1)).map_err(|refused| match refused.status {
        hyper::StatusCode::NOT_FOUND => Answer::not_found(),
        _ => refused,
    })?;
    let broker = call.app.broker();
    let position = match component {
        OPERATOR_POLICY => {
            call.caller.check(Administrator)?;
            broker.delete_policy(PolicyKind::Operator, &vhost.name, name, call.now())
        }
        VHOST_LIMITS if name == LIMITS && vhost.limits != VhostLimits::default() => {
            call.caller.check(Administrator)?;
            broker.limit_vhost(&vhost.name, VhostLimits::default())
        }
        _ => broker.delete_parameter(&vhost.name, component, name),
    };
    let position = position.map_err(missing_or)?;
    call.audit("parameter cleared", &format!("{}/{component}/{name}", vhost.name));
    Ok(Answer::done(position))
}

fn all_global(call: &Call<'_>) -> Outcome {
    match globals(&call.app.broker().topology()) {
        Value::Array(all) => list::whole(call, all),
        _ => list::whole(call, Vec::<Value>::new()),
    }
}

fn one_global(call: &Call<'_>) -> Outcome {
    let topology = call.app.broker().topology().clone();
    let name = call.name(0);
    let value = topology.global_parameters.get(name).ok_or_else(Answer::not_found)?;
    list::one(call, json!({ "name": name, "value": stored(value) }))
}

fn put_global(call: &Call<'_>) -> Outcome {
    let name = call.name(0);
    let put = call.app.broker().put_global_parameter(name, &value(call)?);
    let (is_new, position) = put.map_err(invalid)?;
    call.audit("global parameter set", name);
    Ok(Answer::put(is_new, position))
}

fn delete_global(call: &Call<'_>) -> Outcome {
    let name = call.name(0);
    let position = call.app.broker().delete_global_parameter(name).map_err(missing_or)?;
    call.audit("global parameter cleared", name);
    Ok(Answer::done(position))
}
