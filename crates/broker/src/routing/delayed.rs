//! The delayed-message exchange: routes as the type that its argument names, but a message that
//! asks to wait first waits in the exchange's schedule (RabbitMQ: Delayed Message Plugin).
//!
//! The schedule is a queue that belongs to the exchange and that clients do not see; when a message
//! of it is due, [`crate::broker`] routes it by the bindings of that time.

use super::ExchangeKind;
use crate::error::{Refusal, RefusalKind};
use crate::message::{FieldTable, FieldValue};

const KIND: &str = "x-delayed-type";

/// The type that routes.
pub(super) fn kind(arguments: &FieldTable) -> ExchangeKind {
    let named = match arguments.get(KIND) {
        Some(FieldValue::LongStr(name)) => std::str::from_utf8(name).ok(),
        _ => None,
    };
    // It was checked at the declare.
    named.and_then(ExchangeKind::from_name).unwrap_or(ExchangeKind::Direct)
}

/// Refuses what is no type to route by, and what that type refuses.
pub(super) fn check(arguments: &FieldTable) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::precondition(format!("Invalid argument, {what}")));
    let Some(FieldValue::LongStr(name)) = arguments.get(KIND) else {
        return refuse("'x-delayed-type' must be an existing exchange type");
    };
    let name = String::from_utf8_lossy(name);
    match ExchangeKind::from_name(&name) {
        Some(ExchangeKind::Delayed) => {
            refuse("'x-delayed-message' can't be used for 'x-delayed-type'")
        }
        Some(kind) => kind.check_arguments(arguments),
        None => {
            let text = format!("unknown exchange type '{name}'");
            Err(Refusal::new(RefusalKind::CommandInvalid, text))
        }
    }
}
