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
        if !same(received, current) {
            return Err(Refusal::precondition(format!(
                "inequivalent arg '{name}' for {resource}: received {} but current is {}",
                describe(received),
                describe(current)
            )));
        }
    }
    Ok(())
}

/// Integers are the same whatever their width.
fn same(one: Option<&FieldValue>, other: Option<&FieldValue>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => match (one.as_integer(), other.as_integer()) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        },
        (None, None) => true,
        _ => false,
    }
}

fn describe(value: Option<&FieldValue>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{}' of type '{}'", show(value), value.type_name()),
    }
}

/// A value as Erlang prints it.
fn show(value: &FieldValue) -> String {
    match value {
        FieldValue::LongStr(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        FieldValue::Bool(value) => value.to_string(),
        other => other.as_integer().map_or_else(|| format!("{other:?}"), |int| int.to_string()),
    }
}
