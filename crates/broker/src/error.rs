//! What the broker refuses, and why: a kind that each protocol maps to its own reply code, and the
//! text that RabbitMQ's users know.

use std::fmt;

use crate::message::FieldValue;

/// The class of a refusal. A protocol session maps it to its reply code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// A queue, exchange or vhost does not exist (0-9-1: 404).
    NotFound,
    /// The user may not, or the name is reserved (403).
    AccessRefused,
    /// Another connection owns the queue exclusively (405).
    ResourceLocked,
    /// The request does not fit the present state (406).
    PreconditionFailed,
    /// A rule of the connection is broken (530); closes the connection.
    NotAllowed,
    /// The broker does not know the command (503); closes the connection.
    CommandInvalid,
    /// The broker does not offer this (540); closes the connection.
    NotImplemented,
    /// The broker itself failed (541); closes the connection.
    Internal,
}

/// A refused request: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Which reply code it becomes.
    pub kind: RefusalKind,
    /// The text behind the code's name, in RabbitMQ's words.
    pub text: String,
}

impl Refusal {
    /// A refusal of `kind` with `text`.
    pub fn new(kind: RefusalKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn not_found(resource: Resource<'_>) -> Self {
        Self::new(RefusalKind::NotFound, format!("no {resource}"))
    }

    pub(crate) fn precondition(text: impl Into<String>) -> Self {
        Self::new(RefusalKind::PreconditionFailed, text)
    }

    pub(crate) fn access(text: impl Into<String>) -> Self {
        Self::new(RefusalKind::AccessRefused, text)
    }
}

/// A named thing in a vhost, rendered as RabbitMQ renders it in error texts.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// `queue 'name' in vhost 'vhost'`
    Queue(&'a str, &'a str),
    /// `exchange 'name' in vhost 'vhost'`
    Exchange(&'a str, &'a str),
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Queue(name, vhost) => write!(f, "queue '{name}' in vhost '{vhost}'"),
            Resource::Exchange(name, vhost) => write!(f, "exchange '{name}' in vhost '{vhost}'"),
        }
    }
}

/// Bytes as Erlang prints them: as text if they are printable.
pub(crate) fn show_binary(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        let text = String::from_utf8_lossy(bytes).replace('\\', r"\\").replace('"', "\\\"");
        return if text.is_empty() { "<<>>".to_owned() } else { format!("<<\"{text}\">>") };
    }
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("<<{}>>", numbers.join(","))
}

/// An argument's value as Erlang prints the term that it is there.
pub(crate) fn show_value(value: &FieldValue) -> String {
    match value {
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => show_binary(bytes),
        FieldValue::Bool(on) => on.to_string(),
        FieldValue::F32(number) => format!("{number:?}"),
        FieldValue::F64(number) => format!("{number:?}"),
        FieldValue::Timestamp(seconds) => seconds.to_string(),
        FieldValue::Void => "undefined".to_owned(),
        other => other.as_integer().map_or_else(|| format!("{other:?}"), |int| int.to_string()),
    }
}
