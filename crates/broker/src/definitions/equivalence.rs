//! Whether a declare of something that exists asks for the same (RabbitMQ: "inequivalent arg").

use crate::error::{Refusal, Resource};
use crate::message::{FieldTable, FieldValue};

/// Refuses when a flag differs.
pub(crate) fn check_flag(
    name: &str,
    resource: Resource<'_>,
    received: impl std::fmt::Display,
    current: impl std::fmt::Display,
) -> Result<(), Refusal> {
    let (received, current) = (received.to_string(), current.to_string());
    if received == current {
        return Ok(());
    }
    Err(Refusal::precondition(format!(
        "inequivalent arg '{name}' for {resource}: received '{received}' but current is '{current}'"
    )))
}

/// Refuses when one of the arguments `names` differs; other arguments never matter.
pub(crate) fn check_arguments(
    names: &[&str],
    resource: Resource<'_>,
    received: &FieldTable,
    current: &FieldTable,
) -> Result<(), Refusal> {
    for name in names {
        let (received, current) = (received.get(name), current.get(name));
        if !same(name, received, current) {
            return Err(Refusal::precondition(format!(
                "inequivalent arg '{name}' for {resource}: {}",
                describe(received, current)
            )));
        }
    }
    Ok(())
}

/// Integers are the same whatever their width.
fn same(name: &str, one: Option<&FieldValue>, other: Option<&FieldValue>) -> bool {
    if name == "x-queue-type" {
        return queue_type(one) == queue_type(other);
    }
    match (one, other) {
        (Some(one), Some(other)) => match (one.as_integer(), other.as_integer()) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        },
        (None, None) => true,
        _ => false,
    }
}

/// A queue without a type is a classic one.
fn queue_type(value: Option<&FieldValue>) -> &[u8] {
    value.and_then(FieldValue::as_str_bytes).unwrap_or(b"classic")
}

/// RabbitMQ names the types only where one side has no value.
fn describe(received: Option<&FieldValue>, current: Option<&FieldValue>) -> String {
    if let (Some(received), Some(current)) = (received, current) {
        let side = |value: &FieldValue| match value {
            FieldValue::Void => "none".to_owned(),
            value => format!("'{}'", show(value)),
        };
        return format!("received {} but current is {}", side(received), side(current));
    }
    let side = |value: Option<&FieldValue>| match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{}' of type '{}'", show(value), value.type_name()),
    };
    format!("received {} but current is {}", side(received), side(current))
}

/// A value as Erlang prints it.
fn show(value: &FieldValue) -> String {
    match value {
        FieldValue::LongStr(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        FieldValue::Bool(value) => value.to_string(),
        FieldValue::F32(value) => format!("{value:?}"),
        FieldValue::F64(value) => format!("{value:?}"),
        other => other.as_integer().map_or_else(|| format!("{other:?}"), |int| int.to_string()),
    }
}
