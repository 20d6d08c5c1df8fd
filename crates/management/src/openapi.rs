//! `/openapi.json`: what the interface understands, as an OpenAPI 3.1 document.
//!
//! Invariant: it says what the routes declare of themselves, so that none is missing, and nothing
//! of objects but that they are objects: their keys are those of RabbitMQ's interface.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Outcome};
use crate::declare::{Asked, Body, Field, Gives, Kind, Need, asks, must};
use crate::list::PAGE_MAX;
use crate::router::{self, Handler, Route, Visit, placeholder};

/// What is said of the whole.
const ABOUT: &str = "RabbitMQ's management HTTP API, and Leveret's own below `/api/leveret`. Names \
    in paths are percent-encoded: the vhost `/` is `%2F`. Every GET may be a HEAD. The keys of \
    objects in answers are RabbitMQ's and are not listed here. Numbers and truths in bodies may be \
    texts that read so. Users need one of the tags in `x-user-tags`, and permissions in the vhost \
    where something is changed.";

/// What a name in a path is of.
const NAMES: [(&str, &str); 20] = [
    ("vhost", "a vhost; `/` is `%2F`"),
    ("queue", "a queue"),
    ("exchange", "an exchange; the default one is `amq.default`"),
    ("destination", "the exchange to which messages go; the default one is `amq.default`"),
    ("properties_key", "the `properties_key` of a binding, which tells it from others"),
    ("connection", "a connection, by its `name`"),
    ("channel", "a channel, by its `name`"),
    ("user", "a user"),
    ("node", "the node's name; it stands in the overview"),
    ("policy", "a policy"),
    ("component", "the component that a parameter is of"),
    ("parameter", "a parameter"),
    ("limit", "the name of a limit"),
    ("port", "the number of a port"),
    ("protocol", "a protocol, as in the overview's `listeners`"),
    ("within", "how many of the units"),
    ("unit", "`days`, `weeks`, `months` or `years`"),
    ("flag", "a feature flag, or `all`"),
    ("password", "a password"),
    ("message_id", "the message-id of scheduled messages"),
];

/// What lists and answers with one object understand.
const COLUMNS: [Asked; 1] = [asks(
    "columns",
    Kind::Text,
    "with commas: the keys that are wanted, with their paths (`a.b`)",
)];
/// What all lists understand.
const SORTED: [Asked; 2] = [
    asks("sort", Kind::Text, "the key, with its path, by which the list is sorted"),
    asks("sort_reverse", Kind::Truth, "whether the list is turned round"),
];
const PAGED: [Asked; 4] = [
    asks("page", Kind::From(1), "the page that is wanted; without it the answer is a list"),
    asks("page_size", Kind::Between(1, PAGE_MAX), "how many are on a page; 100 without it"),
    asks("name", Kind::Text, "on pages: only what has this in its name"),
    asks("use_regex", Kind::Truth, "on pages: `name` is a regular expression"),
];
/// What histories are asked for by: both of a pair are needed.
const HISTORIES: [Asked; 6] = [
    asks("msg_rates_age", SECONDS, "how far back rates of messages are told, in seconds"),
    asks("msg_rates_incr", SECONDS, "in which steps, in seconds"),
    asks("lengths_age", SECONDS, "how far back lengths are told, in seconds"),
    asks("lengths_incr", SECONDS, "in which steps, in seconds"),
    asks("data_rates_age", SECONDS, "how far back rates of bytes are told, in seconds"),
    asks("data_rates_incr", SECONDS, "in which steps, in seconds"),
];
const SECONDS: Kind = Kind::From(1);

/// What a value of that kind looks like.
fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Number => json!({ "type": "integer" }),
        Kind::From(least) => json!({ "type": "integer", "minimum": least }),
        Kind::Between(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Object => json!({ "type": "object" }),
        Kind::Any => json!({}),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Numbers => json!({ "type": "array", "items": schema(Kind::From(0)) }),
        Kind::Tags => json!({ "oneOf": [schema(Kind::Text), schema(Kind::Texts)] }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
    }
}

fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

fn content(schema: Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

/// The names in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(placeholder)
}

fn path_parameter(name: &str) -> Value {
    let words = NAMES.iter().find(|(known, _)| *known == name).map_or("", |(_, words)| words);
    json!({
        "name": name, "in": "path", "required": true, "description": words,
        "schema": schema(Kind::Text),
    })
}

fn asked(one: &Asked) -> Value {
    json!({
        "name": one.name, "in": "query", "required": one.need != Need::Optional,
        "description": one.words, "schema": schema(one.kind),
    })
}

/// The parameters that several routes have, which stand in the document once.
fn shared(route: &Route) -> impl Iterator<Item = &'static Asked> {
    let (chosen, sorted, paged) = match route.gives {
        Gives::Page => (true, true, true),
        Gives::List => (true, true, false),
        Gives::One => (true, false, false),
        _ => (false, false, false),
    };
    let groups: [(bool, &[Asked]); 4] =
        [(chosen, &COLUMNS), (sorted, &SORTED), (paged, &PAGED), (route.histories, &HISTORIES)];
    groups.into_iter().filter(|(is_there, _)| *is_there).flat_map(|(_, group)| group)
}

fn parameters(route: &Route) -> Value {
    let shared = shared(route).map(|one| reference("parameters", one.name));
    route.query.iter().map(asked).chain(shared).collect()
}

fn object_schema(fields: &[Field]) -> Value {
    let needed = fields.iter().filter(|field| field.need != Need::Optional);
    let required: Vec<&str> = needed.map(|field| field.name).collect();
    let keys: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), schema(field.kind))).collect();
    json!({ "type": "object", "properties": keys, "required": required })
}

fn body(route: &Route) -> Option<Value> {
    match route.body {
        Body::None => None,
        Body::Fields(fields) => Some(json!({
            "required": fields.iter().any(|field| field.need != Need::Optional),
            "content": content(object_schema(fields)),
        })),
        Body::Definitions => {
            let form = object_schema(&[must("file", Kind::Text)]);
            let mut content = content(json!({ "type": "object" }));
            content["multipart/form-data"] = json!({ "schema": form });
            Some(json!({ "required": true, "content": content }))
        }
    }
}

/// What is answered if all is well.
fn success(gives: Gives) -> Vec<(u16, Value)> {
    let list = || json!({ "type": "array", "items": { "type": "object" } });
    let ok = |schema| (200, json!({ "description": "OK", "content": content(schema) }));
    let object = || ok(json!({ "type": "object" }));
    let nothing = (204, json!({ "description": "Done" }));
    match gives {
        Gives::Page => vec![ok(json!({ "oneOf": [list(), reference("schemas", "Page")] }))],
        Gives::List | Gives::Array => vec![ok(list())],
        Gives::One | Gives::Object => vec![object()],
        Gives::Put => vec![(201, json!({ "description": "Made" })), nothing],
        Gives::Made => {
            let place = json!({
                "description": "the place of what was made", "schema": { "type": "string" },
            });
            vec![(201, json!({ "description": "Made", "headers": { "Location": place } }))]
        }
        Gives::Nothing => vec![nothing],
        Gives::Health => vec![object(), (503, reference("responses", "Unhealthy"))],
    }
}

fn responses(route: &Route) -> Value {
    let mut all = success(route.gives);
    let mut refused = |status: u16, name: &str| all.push((status, reference("responses", name)));
    refused(400, "Wrong");
    if matches!(route.handler, Handler::Known(..)) || !matches!(route.body, Body::None) {
        refused(401, "Unauthorised");
    }
    if matches!(route.handler, Handler::Known(..)) {
        refused(403, "Forbidden");
    }
    if names(route.path).next().is_some() {
        refused(404, "Missing");
    }
    if !matches!(route.body, Body::None) {
        refused(413, "TooLarge");
    }
    if route.method != "GET" {
        refused(503, "Unavailable");
    }
    if let Some((status, when)) = route.refuses {
        let content = content(reference("schemas", "Error"));
        all.push((status, json!({ "description": when, "content": content })));
    }
    all.into_iter().map(|(status, one)| (status.to_string(), one)).collect::<Map<_, _>>().into()
}

/// A name for an operation: its method and path, as an identifier.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", route.method.to_ascii_lowercase(), words.join("_"))
}

fn operation(route: &Route) -> Value {
    let tag = route.path.split('/').next().unwrap_or_default();
    let mut operation = json!({
        "operationId": operation_id(route), "summary": route.summary, "tags": [tag],
        "parameters": parameters(route), "responses": responses(route),
    });
    match route.handler {
        Handler::Known(level, _) => operation["x-user-tags"] = json!(level.tags()),
        Handler::Anybody(_) => operation["security"] = json!([]),
    }
    if let Some(body) = body(route) {
        operation["requestBody"] = body;
    }
    operation
}

fn paths() -> Value {
    let mut paths = Map::new();
    for route in router::all() {
        let item = paths.entry(format!("/{}", route.path)).or_insert_with(|| {
            let names: Value = names(route.path).map(path_parameter).collect();
            json!({ "parameters": names })
        });
        item[route.method.to_ascii_lowercase()] = operation(route);
    }
    paths.into()
}

fn schemas() -> Value {
    let count = || json!({ "type": "integer" });
    json!({
        "Error": {
            "type": "object", "required": ["error", "reason"],
            "properties": { "error": { "type": "string" }, "reason": { "type": "string" } },
        },
        "Failed": {
            "type": "object", "required": ["status", "reason"],
            "properties": {
                "status": { "const": "failed" }, "reason": { "type": "string" },
            },
        },
        "Page": {
            "type": "object",
            "required": [
                "items", "page", "page_count", "page_size", "item_count", "filtered_count",
                "total_count",
            ],
            "properties": {
                "items": { "type": "array", "items": { "type": "object" } },
                "page": count(), "page_count": count(), "page_size": count(),
                "item_count": count(), "filtered_count": count(), "total_count": count(),
            },
        },
    })
}

fn components() -> Value {
    let all = COLUMNS.iter().chain(&SORTED).chain(&PAGED).chain(&HISTORIES);
    let parameters: Map<String, Value> = all.map(|one| (one.name.to_owned(), asked(one))).collect();
    let error = |words: &str| {
        let content = content(reference("schemas", "Error"));
        json!({ "description": words, "content": content })
    };
    json!({
        "parameters": parameters, "schemas": schemas(),
        "responses": {
            "Wrong": error("The request is wrong, or the broker refuses it: the reason says why"),
            "Unauthorised": error("Who asks is not known (without a body where no login was \
                given), or has not the tag or the permission"),
            "Forbidden": error("A session's cookie came from another page"),
            "Missing": error("There is no such thing"),
            "TooLarge": error("The body is too large"),
            "Unavailable": error("Publishers are blocked, or the disk is too slow"),
            "Unhealthy": {
                "description": "It is not so", "content": content(reference("schemas", "Failed")),
            },
        },
        "securitySchemes": {
            "basic": { "type": "http", "scheme": "basic" },
            "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
        },
    })
}

/// The document.
fn write() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Leveret's management API", "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
        },
        "servers": [{ "url": "/api" }],
        "security": [{ "basic": [] }, { "bearer": [] }],
        "paths": paths(), "components": components(),
    })
}

/// Answers with the document, which is written once.
pub(crate) fn document(_visit: &Visit<'_>) -> Outcome {
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| write().to_string().into());
    Ok(Answer::bytes("application/json", written.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

    fn operations(document: &Value) -> BTreeSet<(String, String)> {
        let paths = document["paths"].as_object().unwrap();
        let all = paths.iter().flat_map(|(path, item)| {
            let keys = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            keys.map(move |method| (method.clone(), path.clone()))
        });
        all.collect()
    }

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let routes: Vec<_> = router::all()
            .map(|route| (route.method.to_ascii_lowercase(), format!("/{}", route.path)))
            .collect();
        let unique: BTreeSet<_> = routes.iter().cloned().collect();
        assert_eq!(unique.len(), routes.len(), "two routes of one method and path");
        assert_eq!(operations(&write()), unique);
        assert!(unique.iter().all(|(method, _)| METHODS.contains(&method.as_str())));
        // Two paths that differ in names of parameters alone are one path.
        let paths: BTreeSet<&str> = router::all().map(|route| route.path).collect();
        let bare = |path: &str| -> Vec<String> {
            path.split('/').map(|part| placeholder(part).map_or(part, |_| "*").to_owned()).collect()
        };
        let bared: BTreeSet<_> = paths.iter().map(|path| bare(path)).collect();
        assert_eq!(bared.len(), paths.len());
    }

    #[test]
    fn every_operation_says_what_it_does_and_is_named_once() {
        let document = write();
        let mut ids = BTreeSet::new();
        for (method, path) in operations(&document) {
            let operation = &document["paths"][&path][&method];
            let summary = operation["summary"].as_str().unwrap();
            assert!(!summary.is_empty() && !summary.ends_with('.'), "{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            assert!(operation["responses"].as_object().unwrap().len() >= 2, "{method} {path}");
        }
    }

    #[test]
    fn every_name_in_a_path_is_a_parameter_that_is_explained() {
        let document = write();
        let mut seen = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let declared = item["parameters"].as_array().unwrap();
            let named: Vec<&str> = names(path).collect();
            assert_eq!(declared.len(), named.len(), "{path}");
            assert_eq!(path.matches('{').count(), named.len(), "{path}");
            for (parameter, name) in declared.iter().zip(named) {
                assert_eq!((&parameter["name"], &parameter["in"]), (&json!(name), &json!("path")));
                assert!(!parameter["description"].as_str().unwrap().is_empty(), "{name}");
                seen.insert(name.to_owned());
            }
        }
        let explained: BTreeSet<String> =
            NAMES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(seen, explained);
    }

    /// All references of a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|one| references(one, found));
            }
            Value::Array(all) => all.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let (document, mut found) = (write(), Vec::new());
        references(&document, &mut found);
        assert!(!found.is_empty());
        for one in found {
            let place = one.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{one}");
        }
    }
}
