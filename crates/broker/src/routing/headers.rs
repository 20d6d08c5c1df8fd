//! The headers exchange: a binding's arguments are compared with the message's headers
//! (0-9-1 specification 3.1.3.4; `x-match` all, any, all-with-x, any-with-x as in RabbitMQ).

use std::sync::Arc;

use imbl::OrdMap;

use super::Destination;
use crate::definitions::Binding;
use crate::error::Refusal;
use crate::message::{FieldTable, FieldValue, HeaderTable};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    All,
    Any,
}

/// One binding, ready to match.
#[derive(Debug)]
struct Pattern {
    mode: Mode,
    fields: Vec<(String, FieldValue)>,
}

impl Pattern {
    fn new(arguments: &FieldTable) -> Self {
        let name = match arguments.get("x-match") {
            Some(FieldValue::LongStr(name)) => name.as_slice(),
            _ => b"all",
        };
        let mode = if name.starts_with(b"any") { Mode::Any } else { Mode::All };
        let with_x = name.ends_with(b"-with-x");
        let counts = |key: &str| key != "x-match" && (with_x || !key.starts_with("x-"));
        let fields = arguments.0.iter().filter(|(key, _)| counts(key)).cloned().collect();
        Self { mode, fields }
    }

    fn matches(&self, headers: Option<&HeaderTable<'_>>) -> bool {
        let mut each = self.fields.iter().map(|(key, wanted)| {
            let found = headers.and_then(|headers| headers.get(key));
            // A void argument asks only that the header is there.
            found.is_some_and(|value| same(wanted, &value.to_owned()))
        });
        match self.mode {
            Mode::All => each.all(|hit| hit),
            Mode::Any => each.any(|hit| hit),
        }
    }
}

/// RabbitMQ compares values, not types: numbers of any width, strings and byte arrays.
fn same(wanted: &FieldValue, found: &FieldValue) -> bool {
    let (bytes, numbers) = ((bytes(wanted), bytes(found)), (number(wanted), number(found)));
    *wanted == FieldValue::Void
        || wanted == found
        || matches!(bytes, (Some(wanted), Some(found)) if wanted == found)
        || matches!(numbers, (Some(wanted), Some(found)) if wanted == found)
}

fn bytes(value: &FieldValue) -> Option<&[u8]> {
    match value {
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn number(value: &FieldValue) -> Option<f64> {
    match value {
        FieldValue::F32(number) => Some((*number).into()),
        FieldValue::F64(number) => Some(*number),
        other => other.as_integer().map(|number| number as f64),
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct HeadersRouter {
    patterns: OrdMap<(Destination, Arc<str>, Vec<u8>), Arc<Pattern>>,
}

impl HeadersRouter {
    pub(super) fn bind(&mut self, binding: &Binding) {
        self.patterns.insert(Self::key(binding), Arc::new(Pattern::new(&binding.arguments)));
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.patterns.remove(&Self::key(binding));
    }

    fn key(binding: &Binding) -> (Destination, Arc<str>, Vec<u8>) {
        let mut arguments = Vec::new();
        binding.arguments.encode(&mut arguments);
        (binding.destination.clone(), binding.routing_key.clone(), arguments)
    }

    pub(super) fn route<'a>(
        &'a self,
        headers: Option<&HeaderTable<'_>>,
        found: &mut dyn FnMut(&'a Destination),
    ) {
        for ((destination, _, _), pattern) in &self.patterns {
            if pattern.matches(headers) {
                found(destination);
            }
        }
    }
}

/// Refuses an `x-match` that is none of the four words.
pub(super) fn check(binding: &Binding) -> Result<(), Refusal> {
    match binding.arguments.get("x-match") {
        None => Ok(()),
        Some(FieldValue::LongStr(name)) => match name.as_slice() {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => Ok(()),
            other => Err(Refusal::precondition(format!(
                "Invalid x-match field value <<\"{}\">>; \
                 expected all, any, all-with-x, or any-with-x",
                String::from_utf8_lossy(other)
            ))),
        },
        Some(other) => Err(Refusal::precondition(format!(
            "Invalid x-match field type {} (value {}); expected longstr",
            other.type_name(),
            other.as_integer().map_or_else(|| format!("{other:?}"), |number| number.to_string()),
        ))),
    }
}
