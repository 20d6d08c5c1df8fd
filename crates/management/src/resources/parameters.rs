//! `/parameters` and `/global-parameters`.
//!
//! There are two components: operator policies and the limits of vhosts. There are no global
//! parameters yet; asking for them gives none.

use leveret_broker::definitions::{PolicyKind, Vhost, VhostLimits};
use serde_json::{Value, json};

use super::{limits, policies};
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
    route("PUT", "parameters/*/*/*", Policymaker, unknown),
    route("DELETE", "parameters/*/*/*", Policymaker, delete),
    route("GET", "global-parameters", Policymaker, no_globals),
    route("GET", "global-parameters/*", Policymaker, missing),
    route("PUT", "global-parameters/*", Administrator, refuse_global),
    route("DELETE", "global-parameters/*", Administrator, missing),
];

fn of_vhost(vhost: &Vhost) -> Vec<Value> {
    let one = |component: &str, name: &str, value: Value| {
        let vhost = &*vhost.name;
        json!({ "vhost": vhost, "component": component, "name": name, "value": value })
    };
    let operator = vhost.policies.all(PolicyKind::Operator);
    let mut found: Vec<Value> = operator
        .map(|policy| one("operator_policy", &policy.name, policies::terms(policy)))
        .collect();
    if vhost.limits != VhostLimits::default() {
        let value = limits::vhost_limits(&vhost.limits);
        found.push(one("vhost-limits", "limits", value));
    }
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

/// The two components have resources of their own; no other is known.
fn unknown(call: &Call<'_>) -> Outcome {
    call.object()?;
    let component = call.name(0);
    Err(Answer::bad(format!("Validation failed\n\ncomponent {component} not found\n")))
}

fn delete(_call: &Call<'_>) -> Outcome {
    Err(Answer::not_found())
}

fn no_globals(call: &Call<'_>) -> Outcome {
    list::whole(call, Vec::<Value>::new())
}

fn missing(_call: &Call<'_>) -> Outcome {
    Err(Answer::not_found())
}

fn refuse_global(call: &Call<'_>) -> Outcome {
    Err(Answer::bad(format!("global parameter {} has no meaning here", call.name(0))))
}
