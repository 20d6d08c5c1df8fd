//! Small resources that tools ask for: features, extensions, and lists that are always empty.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Management, Monitoring};
use crate::list;
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "extensions", Management, none),
    route("GET", "feature-flags", Management, features),
    route("PUT", "feature-flags/*/enable", Administrator, enable),
    route("GET", "deprecated-features", Management, |call| deprecated(call, |_, _| true)),
    route("GET", "deprecated-features/used", Management, |call| deprecated(call, is_used)),
    route("DELETE", "reset", Administrator, reset),
    route("DELETE", "reset/*", Administrator, reset),
    route("POST", "rebalance/queues", Administrator, nothing_to_do),
    route("GET", "auth", Management, auth),
    route("GET", "auth/hash_password/*", Administrator, hash_password),
    route("GET", "auth/attempts/*", Monitoring, none),
    route("DELETE", "auth/attempts/*", Administrator, nothing_to_do),
    route("GET", "federation-links", Monitoring, none),
    route("GET", "federation-links/*", Monitoring, none),
    route("GET", "shovels", Monitoring, none),
    route("GET", "shovels/*", Monitoring, none),
    route("GET", "stream/connections", Management, none),
    route("GET", "stream/connections/*", Management, none),
    route("GET", "stream/publishers", Management, none),
    route("GET", "stream/publishers/*", Management, none),
    route("GET", "stream/consumers", Management, none),
    route("GET", "stream/consumers/*", Management, none),
    route("GET", "leveret/config", Administrator, config),
];

/// What clients ask for before they use it; all of it is there.
const FEATURES: [(&str, &str); 12] = [
    ("classic_mirrored_queue_version", "Versions of classic queues"),
    ("classic_queue_type_delivery_support", "Deliveries tell the queue's type"),
    ("direct_exchange_routing_v2", "Fast routing of direct exchanges"),
    ("drop_unroutable_metric", "Dropped messages are counted"),
    ("empty_basic_get_metric", "Gets of empty queues are counted"),
    ("implicit_default_bindings", "Bindings to the default exchange are implicit"),
    ("listener_records_in_ets", "Listeners are listed"),
    ("maintenance_mode_status", "Nodes can be drained"),
    ("quorum_queue", "Quorum queues"),
    ("tracking_records_in_ets", "Connections are counted"),
    ("user_limits", "Limits of users"),
    ("virtual_host_metadata", "Descriptions and tags of vhosts"),
];

/// What RabbitMQ means to give up and this broker has.
const DEPRECATED: [(&str, &str); 2] = [
    ("global_qos", "Prefetch limits of a whole channel"),
    ("transient_nonexcl_queues", "Queues that are neither durable nor exclusive"),
];

/// Those of them that pass `shown`.
fn deprecated(call: &Call<'_>, shown: fn(&Call<'_>, &str) -> bool) -> Outcome {
    let one = |(name, words): &(&str, &str)| {
        json!({
            "name": name, "desc": words, "doc_url": "", "state": "permitted",
            "deprecation_phase": "permitted_by_default", "provided_by": "rabbit",
        })
    };
    let shown = DEPRECATED.iter().filter(|(name, _)| shown(call, name));
    list::whole(call, shown.map(one).collect::<Vec<_>>())
}

fn is_used(call: &Call<'_>, name: &str) -> bool {
    if name == "global_qos" {
        return call.app.node.traffic().global_prefetch > 0;
    }
    let topology = call.app.broker().topology().clone();
    let mut queues = topology.vhosts.values().flat_map(|vhost| vhost.queues.values());
    queues.any(|queue| !queue.spec.durable && queue.spec.owner.is_none())
}

/// Forgets what was sampled for rates and histories; messages and definitions stay.
fn reset(call: &Call<'_>) -> Outcome {
    if call.names.first().is_some_and(|node| *node != call.app.node_name) {
        return Err(Answer::not_found());
    }
    call.app.rates.forget();
    call.audit("statistics reset", "");
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

/// A hash for a file of definitions.
fn hash_password(call: &Call<'_>) -> Outcome {
    let hash = call.app.broker().hash_for_definitions(call.name(0).as_bytes());
    Ok(Answer::json(&json!({ "ok": hash })))
}

fn none(call: &Call<'_>) -> Outcome {
    list::whole(call, Vec::<Value>::new())
}

fn nothing_to_do(_call: &Call<'_>) -> Outcome {
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn features(call: &Call<'_>) -> Outcome {
    let one = |(name, words): &(&str, &str)| {
        json!({
            "name": name, "desc": words, "doc_url": "", "state": "enabled",
            "stability": "stable", "provided_by": "rabbit",
        })
    };
    list::whole(call, FEATURES.iter().map(one).collect::<Vec<_>>())
}

fn enable(call: &Call<'_>) -> Outcome {
    match call.name(0) == "all" || FEATURES.iter().any(|(name, _)| *name == call.name(0)) {
        true => Ok(Answer::empty(StatusCode::NO_CONTENT)),
        false => Err(Answer::bad(format!("unknown feature flag {}", call.name(0)))),
    }
}

fn auth(_call: &Call<'_>) -> Outcome {
    Ok(Answer::json(&json!({ "enable_uaa": false, "uaa_client_id": "", "uaa_location": "" })))
}

fn config(call: &Call<'_>) -> Outcome {
    Ok(Answer::json(&call.app.node.config()))
}
