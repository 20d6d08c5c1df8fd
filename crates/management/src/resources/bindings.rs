//! `/bindings`, and the bindings of queues and exchanges.
//!
//! Every queue has a binding that nobody made: from the default exchange, by its name. It is
//! listed.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::LOCATION;
use leveret_broker::broker::{BindRequest, table_to_json};
use leveret_broker::definitions::{Binding, Vhost};
use leveret_broker::message::FieldTable;
use leveret_broker::routing::Destination;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::missing_or;
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Management;
use crate::declare::Gives::{List, Made, Nothing, One};
use crate::declare::{Field, Kind, may};
use crate::list::{self, Item};
use crate::request::{Call, decode, encode, table, text};
use crate::router::{Route, route};

const BINDING: &[Field] = &[may("routing_key", Kind::Text), may("arguments", Kind::Object)];

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "bindings", Management, all).gives(List, "Bindings"),
    route("GET", "bindings/{vhost}", Management, all).gives(List, "Bindings of a vhost"),
    route("GET", "bindings/{vhost}/e/{exchange}/q/{queue}", Management, between_queue)
        .gives(List, "Bindings from an exchange to a queue"),
    route("POST", "bindings/{vhost}/e/{exchange}/q/{queue}", Management, bind_queue)
        .gives(Made, "Binds a queue to an exchange")
        .takes(BINDING),
    route("GET", "bindings/{vhost}/e/{exchange}/e/{destination}", Management, between_exchanges)
        .gives(List, "Bindings between two exchanges"),
    route("POST", "bindings/{vhost}/e/{exchange}/e/{destination}", Management, bind_exchange)
        .gives(Made, "Binds an exchange to another")
        .takes(BINDING),
    route("GET", "bindings/{vhost}/e/{exchange}/q/{queue}/{properties_key}", Management, one_queue)
        .gives(One, "A binding of a queue"),
    route(
        "DELETE",
        "bindings/{vhost}/e/{exchange}/q/{queue}/{properties_key}",
        Management,
        unbind_queue,
    )
    .gives(Nothing, "Removes a binding of a queue"),
    route(
        "GET",
        "bindings/{vhost}/e/{exchange}/e/{destination}/{properties_key}",
        Management,
        one_exchange,
    )
    .gives(One, "A binding of an exchange"),
    route(
        "DELETE",
        "bindings/{vhost}/e/{exchange}/e/{destination}/{properties_key}",
        Management,
        unbind_exchange,
    )
    .gives(Nothing, "Removes a binding of an exchange"),
];

/// A binding with its vhost.
struct Row(Arc<str>, Binding);

impl Item for Row {
    fn name(&self) -> String {
        self.1.source.to_string()
    }

    fn render(&self, _call: &Call<'_>) -> Value {
        let binding = &self.1;
        let (kind, destination) = parts(&binding.destination);
        json!({
            "source": *binding.source, "vhost": *self.0, "destination": destination,
            "destination_type": kind, "routing_key": *binding.routing_key,
            "arguments": table_to_json(&binding.arguments),
            "properties_key": properties_key(binding),
        })
    }
}

fn parts(destination: &Destination) -> (&'static str, &str) {
    match destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
    }
}

/// What tells a binding from others between the same two.
fn properties_key(binding: &Binding) -> String {
    let key = encode(&binding.routing_key).replace('~', "%7E");
    if binding.arguments.0.is_empty() {
        return if key.is_empty() { "~".to_owned() } else { key };
    }
    let digest = Sha256::digest(table_to_json(&binding.arguments).to_string());
    format!("{key}~{}", URL_SAFE_NO_PAD.encode(&digest[..6]))
}

fn is_known_as(binding: &Binding, props: &str) -> bool {
    let key = properties_key(binding);
    // A client may have encoded what was encoded, or not.
    key == props || decode(&key, false).is_some_and(|decoded| decoded == props)
}

/// The binding of a queue to the default exchange.
fn implicit(queue: &str) -> Binding {
    let destination = Destination::Queue(queue.into());
    Binding::new("".into(), destination, queue.into(), FieldTable::default())
}

fn of_vhost(vhost: &Vhost) -> impl Iterator<Item = Row> {
    let implicit = vhost.queues.keys().map(|name| implicit(name));
    implicit.chain(vhost.bindings()).map(|one| Row(vhost.name.clone(), one))
}

fn rows(vhost: &Vhost, bindings: impl IntoIterator<Item = Binding>) -> Vec<Row> {
    bindings.into_iter().map(|one| Row(vhost.name.clone(), one)).collect()
}

fn all(call: &Call<'_>) -> Outcome {
    let vhosts = call.vhosts_of_path()?;
    let rows: Vec<Row> = vhosts.iter().flat_map(|vhost| of_vhost(vhost)).collect();
    list::whole(call, rows)
}

pub(crate) fn of_queue(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let queue = vhost.queue(call.name(1)).map_err(missing_or)?;
    let destination = Destination::Queue(queue.spec.name.clone());
    let made = vhost.bindings_to(&destination);
    let bindings = [implicit(&queue.spec.name)].into_iter().chain(made);
    list::whole(call, rows(&vhost, bindings))
}

pub(crate) fn from_exchange(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let exchange = vhost.exchange(call.exchange(1)).map_err(missing_or)?;
    if exchange.spec.name.is_empty() {
        return list::whole(call, rows(&vhost, vhost.queues.keys().map(|name| implicit(name))));
    }
    list::whole(call, rows(&vhost, exchange.bindings()))
}

pub(crate) fn to_exchange(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let exchange = vhost.exchange(call.exchange(1)).map_err(missing_or)?;
    let destination = Destination::Exchange(exchange.spec.name.clone());
    list::whole(call, rows(&vhost, vhost.bindings_to(&destination)))
}

/// The destination that the path names.
fn destination(call: &Call<'_>, is_queue: bool) -> Destination {
    match is_queue {
        true => Destination::Queue(call.name(2).into()),
        false => Destination::Exchange(call.exchange(2).into()),
    }
}

/// The bindings between the two ends that the path names.
fn between(call: &Call<'_>, vhost: &Vhost, is_queue: bool) -> Result<Vec<Binding>, Answer> {
    let source = call.exchange(1);
    vhost.exchange(source).map_err(missing_or)?;
    let destination = destination(call, is_queue);
    match &destination {
        Destination::Queue(name) => drop(vhost.queue(name).map_err(missing_or)?),
        Destination::Exchange(name) => drop(vhost.exchange(name).map_err(missing_or)?),
    }
    if source.is_empty() {
        return Ok(if is_queue { vec![implicit(call.name(2))] } else { Vec::new() });
    }
    let mut bindings = vhost.bindings_to(&destination);
    bindings.retain(|binding| *binding.source == *source);
    Ok(bindings)
}

fn list_between(call: &Call<'_>, is_queue: bool) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let bindings = between(call, &vhost, is_queue)?;
    list::whole(call, rows(&vhost, bindings))
}

fn between_queue(call: &Call<'_>) -> Outcome {
    list_between(call, true)
}

fn between_exchanges(call: &Call<'_>) -> Outcome {
    list_between(call, false)
}

fn one(call: &Call<'_>, is_queue: bool) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let mut bindings = between(call, &vhost, is_queue)?;
    bindings.retain(|binding| is_known_as(binding, call.name(3)));
    let binding = bindings.pop().ok_or_else(Answer::not_found)?;
    list::one(call, Row(vhost.name.clone(), binding).render(call))
}

fn one_queue(call: &Call<'_>) -> Outcome {
    one(call, true)
}

fn one_exchange(call: &Call<'_>) -> Outcome {
    one(call, false)
}

fn bind(call: &Call<'_>, is_queue: bool) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let fields = call.object()?;
    let routing_key = text(&fields, "routing_key")?;
    if routing_key.len() > 255 {
        return Err(Answer::bad("the routing key is longer than 255 bytes"));
    }
    let destination = destination(call, is_queue);
    let arguments = table(&fields, "arguments")?;
    let source: Arc<str> = call.exchange(1).into();
    let made = Binding::new(
        Arc::clone(&source),
        destination.clone(),
        routing_key.into(),
        arguments.clone(),
    );
    let request = BindRequest { source: &source, destination, routing_key, arguments };
    let who = call.principal(&vhost.name);
    let position = call.app.broker().bind(&who, request, call.now())?;
    call.audit("bound", &format!("{}/{source} to {}", vhost.name, call.name(2)));
    let place = format!("{}/{}", encode(call.name(2)), encode(&properties_key(&made)));
    Ok(Answer::empty(StatusCode::CREATED).with(LOCATION, &place).after(position))
}

fn bind_queue(call: &Call<'_>) -> Outcome {
    bind(call, true)
}

fn bind_exchange(call: &Call<'_>) -> Outcome {
    bind(call, false)
}

fn unbind(call: &Call<'_>, is_queue: bool) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let mut bindings = between(call, &vhost, is_queue)?;
    bindings.retain(|binding| is_known_as(binding, call.name(3)));
    let binding = bindings.pop().ok_or_else(Answer::not_found)?;
    let request = BindRequest {
        source: &binding.source,
        destination: binding.destination.clone(),
        routing_key: &binding.routing_key,
        arguments: binding.arguments.clone(),
    };
    let who = call.principal(&vhost.name);
    let position = call.app.broker().unbind(&who, request)?;
    call.audit("unbound", &format!("{}/{} from {}", vhost.name, call.name(2), binding.source));
    Ok(Answer::done(position))
}

fn unbind_queue(call: &Call<'_>) -> Outcome {
    unbind(call, true)
}

fn unbind_exchange(call: &Call<'_>) -> Outcome {
    unbind(call, false)
}
