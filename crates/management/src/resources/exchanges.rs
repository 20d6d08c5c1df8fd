//! `/exchanges`: listing, declaring and deleting exchanges.

use std::sync::Arc;

use leveret_broker::broker::{ExchangeRequest, table_to_json};
use leveret_broker::definitions::{Exchange, Vhost};
use leveret_broker::ids::Name;
use serde_json::{Map, Value, json};

use super::{bindings, missing_or};
use crate::answer::{Answer, Outcome};
use crate::auth::Level::Management;
use crate::declare::Gives::{List, Nothing, One, Page, Put};
use crate::declare::{Asked, Field, Kind, asks, may};
use crate::list::{self, Item, Key};
use crate::rates::{Depth, Ranges, Source, Thing, exchange_numbers};
use crate::request::{Call, table, text, truth};
use crate::router::{Route, route};

const DELETE: &[Asked] =
    &[asks("if-unused", Kind::Truth, "only an exchange from which nothing is bound")];
const EXCHANGE: &[Field] = &[
    may("type", Kind::Text),
    may("durable", Kind::Truth),
    may("auto_delete", Kind::Truth),
    may("internal", Kind::Truth),
    may("arguments", Kind::Object),
];

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "exchanges", Management, all).gives(Page, "Exchanges").histories(),
    route("GET", "exchanges/{vhost}", Management, all)
        .gives(Page, "Exchanges of a vhost")
        .histories(),
    route("GET", "exchanges/{vhost}/{exchange}", Management, one)
        .gives(One, "An exchange")
        .histories(),
    route("PUT", "exchanges/{vhost}/{exchange}", Management, put)
        .gives(Put, "Declares an exchange")
        .takes(EXCHANGE),
    route("DELETE", "exchanges/{vhost}/{exchange}", Management, delete)
        .gives(Nothing, "Deletes an exchange")
        .asks(DELETE),
    route(
        "GET",
        "exchanges/{vhost}/{exchange}/bindings/source",
        Management,
        bindings::from_exchange,
    )
    .gives(List, "Bindings from an exchange"),
    route(
        "GET",
        "exchanges/{vhost}/{exchange}/bindings/destination",
        Management,
        bindings::to_exchange,
    )
    .gives(List, "Bindings to an exchange"),
];

struct Row(Name, Arc<Exchange>);

impl Item for Row {
    fn name(&self) -> String {
        self.1.spec.name.to_string()
    }

    fn key(&self, column: &str) -> Option<Key> {
        let spec = &self.1.spec;
        Some(match column {
            "name" => Key::from(&*spec.name),
            "vhost" => Key::from(&*self.0),
            "type" => Key::from(spec.kind.name()),
            "durable" => Key::from(spec.durable),
            "auto_delete" => Key::from(spec.auto_delete),
            "internal" => Key::from(spec.internal),
            "message_stats.publish_in" => Key::from(self.1.traffic.totals().0),
            "message_stats.publish_out" => Key::from(self.1.traffic.totals().1),
            _ => return None,
        })
    }

    fn render(&self, call: &Call<'_>) -> Value {
        Value::Object(render(call, &self.0, &self.1, Depth::Short))
    }
}

fn render(call: &Call<'_>, vhost: &Name, exchange: &Exchange, depth: Depth) -> Map<String, Value> {
    let spec = &exchange.spec;
    let value = json!({
        "name": *spec.name, "vhost": **vhost, "type": spec.kind.name(), "durable": spec.durable,
        "auto_delete": spec.auto_delete, "internal": spec.internal,
        "arguments": table_to_json(&spec.arguments),
        "user_who_performed_action": "rmq-internal",
    });
    let Value::Object(mut fields) = value else { return Map::new() };
    let policy = call.app.broker().exchange_policy(vhost, &spec.name).unwrap_or_default();
    if let Some(policy) = policy.policy {
        fields.insert("policy".to_owned(), json!(*policy));
    }
    if let Some(schedule) = exchange.schedule() {
        fields.insert("scheduled".to_owned(), json!(schedule.counts().ready));
    }
    let numbers = exchange_numbers(&exchange.traffic);
    if numbers.iter().any(|(_, value)| *value > 0) {
        let thing = Thing::Exchange(vhost.clone(), spec.name.clone());
        let source = Source::Exchange(Arc::downgrade(&exchange.traffic));
        let ranges = Ranges::read(&call.query);
        let stats = call.app.rates.numbers((thing, source, depth), &numbers, &ranges, call.now());
        fields.insert("message_stats".to_owned(), Value::Object(stats));
    }
    fields
}

fn rows(vhosts: &[Arc<Vhost>]) -> Vec<Row> {
    let of = |vhost: &Arc<Vhost>| {
        let name = vhost.name.clone();
        vhost.exchanges.values().map(move |one| Row(name.clone(), Arc::clone(one))).collect()
    };
    vhosts.iter().flat_map(|vhost: &Arc<Vhost>| -> Vec<Row> { of(vhost) }).collect()
}

fn all(call: &Call<'_>) -> Outcome {
    list::paged(call, rows(&call.vhosts_of_path()?))
}

fn one(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let exchange = vhost.exchange(call.exchange(1)).map_err(missing_or)?;
    let mut fields = render(call, &vhost.name, exchange, Depth::Long);
    fields.insert("incoming".to_owned(), json!([]));
    fields.insert("outgoing".to_owned(), json!([]));
    list::one(call, Value::Object(fields))
}

fn put(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let fields = call.object()?;
    let kind = match text(&fields, "type")? {
        "" => "direct",
        kind => kind,
    };
    let name = call.exchange(1);
    if name.len() > 255 {
        return Err(Answer::bad("an exchange's name must have 1 to 255 bytes"));
    }
    let request = ExchangeRequest {
        name,
        kind,
        durable: truth(&fields, "durable", true)?,
        auto_delete: truth(&fields, "auto_delete", false)?,
        internal: truth(&fields, "internal", false)?,
        arguments: table(&fields, "arguments")?,
    };
    let is_new = !vhost.exchanges.contains_key(name);
    let who = call.principal(&vhost.name);
    let position = call.app.broker().declare_exchange(&who, request)?;
    call.audit("exchange declared", &format!("{}/{name}", vhost.name));
    Ok(Answer::put(is_new, position))
}

fn delete(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost_to_use(call.name(0))?;
    let name = call.exchange(1);
    vhost.exchange(name).map_err(missing_or)?;
    let who = call.principal(&vhost.name);
    let if_unused = call.query.is_true("if-unused");
    let position = call.app.broker().delete_exchange(&who, name, if_unused)?;
    call.audit("exchange deleted", &format!("{}/{name}", vhost.name));
    Ok(Answer::done(position))
}
