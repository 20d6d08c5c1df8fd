//! `/policies` and `/operator-policies`.

use leveret_broker::broker::table_to_json;
use leveret_broker::definitions::{Policy, PolicyKind, PolicyRequest, Vhost};
use serde_json::{Map, Value, json};

use super::missing_or;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Management, Policymaker};
use crate::list;
use crate::request::{Call, number, table, text};
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "policies", Management, |call| all(call, PolicyKind::Policy)),
    route("GET", "policies/*", Management, |call| all(call, PolicyKind::Policy)),
    route("GET", "policies/*/*", Management, |call| one(call, PolicyKind::Policy)),
    route("PUT", "policies/*/*", Policymaker, |call| put(call, PolicyKind::Policy)),
    route("DELETE", "policies/*/*", Policymaker, |call| delete(call, PolicyKind::Policy)),
    route("GET", "operator-policies", Management, |call| all(call, PolicyKind::Operator)),
    route("GET", "operator-policies/*", Management, |call| all(call, PolicyKind::Operator)),
    route("GET", "operator-policies/*/*", Management, |call| one(call, PolicyKind::Operator)),
    route("PUT", "operator-policies/*/*", Administrator, |call| put(call, PolicyKind::Operator)),
    route("DELETE", "operator-policies/*/*", Administrator, |call| {
        delete(call, PolicyKind::Operator)
    }),
];

/// What a policy says.
pub(crate) fn terms(policy: &Policy) -> Value {
    json!({
        "pattern": *policy.pattern, "apply-to": policy.apply_to.name(),
        "definition": table_to_json(&policy.definition), "priority": policy.priority,
    })
}

fn render(vhost: &Vhost, policy: &Policy) -> Value {
    let mut value = terms(policy);
    value["vhost"] = json!(*vhost.name);
    value["name"] = json!(*policy.name);
    value
}

fn all(call: &Call<'_>, kind: PolicyKind) -> Outcome {
    let mut found = Vec::new();
    for vhost in call.vhosts_of_path()? {
        found.extend(vhost.policies.all(kind).map(|policy| render(&vhost, policy)));
    }
    list::whole(call, found)
}

fn one(call: &Call<'_>, kind: PolicyKind) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let policy = vhost.policies.get(kind, call.name(1)).ok_or_else(Answer::not_found)?;
    list::one(call, render(&vhost, policy))
}

fn put(call: &Call<'_>, kind: PolicyKind) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let fields = call.object_with(&["pattern", "definition"])?;
    set(call, kind, (&vhost, call.name(1)), &fields)
}

/// Adds or replaces a policy of a vhost, by name and terms.
pub(super) fn set(
    call: &Call<'_>,
    kind: PolicyKind,
    (vhost, name): (&Vhost, &str),
    fields: &Map<String, Value>,
) -> Outcome {
    let apply_to = match text(fields, "apply-to")? {
        "" => "all",
        word => word,
    };
    let request = PolicyRequest {
        pattern: text(fields, "pattern")?,
        apply_to,
        definition: table(fields, "definition")?,
        priority: number(fields, "priority")?.unwrap_or(0),
    };
    let is_new = vhost.policies.get(kind, name).is_none();
    let put = call.app.broker().put_policy(kind, &vhost.name, name, &request, call.now());
    let position = put.map_err(|refusal| {
        let text = refusal.text;
        let known = text.starts_with("Validation failed");
        Answer::bad(if known { text } else { format!("Validation failed\n\n{text}\n") })
    })?;
    call.audit("policy set", &format!("{}/{name}", vhost.name));
    Ok(Answer::put(is_new, position))
}

fn delete(call: &Call<'_>, kind: PolicyKind) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let name = call.name(1);
    let deleted = call.app.broker().delete_policy(kind, &vhost.name, name, call.now());
    let position = deleted.map_err(missing_or)?;
    call.audit("policy deleted", &format!("{}/{name}", vhost.name));
    Ok(Answer::done(position))
}
