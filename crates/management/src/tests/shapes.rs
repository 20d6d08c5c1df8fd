//! The keys that a RabbitMQ 3.10 answers are in our answers, with the same types.
//!
//! `shapes.json` has them by path: those that tell of Erlang's machine, or of what only RabbitMQ's
//! storage has, are left out.

use serde_json::{Value, json};

use super::world::World;

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn compare(path: &str, wanted: &Value, found: &Value, faults: &mut Vec<String>) {
    let Value::Object(wanted) = wanted else { return };
    for (key, shape) in wanted {
        let place = format!("{path} {key}");
        match (found.get(key), shape) {
            (None, _) => faults.push(format!("{place} is missing")),
            (Some(value), Value::Object(_)) => compare(&place, shape, value, faults),
            // Where there is nothing to name, both say null.
            (Some(value), Value::String(shape))
                if kind(value) != shape && !value.is_null() && shape != "null" =>
            {
                faults.push(format!("{place} is {} and not {shape}", kind(value)));
            }
            (Some(_), Value::String(_)) => {}
            _ => {}
        }
    }
}

fn set_up(world: &World) {
    let rule = json!({"pattern": "^shape", "definition": {"max-length": 5}, "apply-to": "queues"});
    for (path, body) in [
        ("queues/%2F/shape", json!({"arguments": {"x-max-length": 9}})),
        ("exchanges/%2F/shape", json!({"type": "topic"})),
        ("policies/%2F/shape", rule.clone()),
        ("operator-policies/%2F/shape", rule),
        ("vhost-limits/%2F/max-connections", json!({"value": 100})),
        ("user-limits/admin/max-channels", json!({"value": 100})),
        (
            "topic-permissions/%2F/admin",
            json!({"exchange": "amq.topic", "write": ".*", "read": ".*"}),
        ),
    ] {
        assert!((201..=204).contains(&world.put(path, &body)), "{path}");
    }
    let post = |path: &str, body: Value| {
        let answer = world.ask(Some("admin:admin"), "POST", path, &body.to_string());
        assert!(answer.status < 300, "{path}: {answer:?}");
    };
    post("bindings/%2F/e/shape/q/shape", json!({"routing_key": "a.#", "arguments": {"k": "v"}}));
    let message = json!({
        "properties": {}, "routing_key": "a.b", "payload": "x", "payload_encoding": "string",
    });
    post("exchanges/%2F/shape/publish", message);
}

#[test]
fn answers_have_the_keys_that_tools_read() {
    let world = World::new();
    set_up(&world);
    let shapes: Value = serde_json::from_str(include_str!("shapes.json")).unwrap();
    let mut faults = Vec::new();
    for (path, wanted) in shapes.as_object().unwrap() {
        let answer = world.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let found = match answer.json() {
            Value::Array(all) => all.first().cloned().unwrap_or(Value::Null),
            one => one,
        };
        compare(path, wanted, &found, &mut faults);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
