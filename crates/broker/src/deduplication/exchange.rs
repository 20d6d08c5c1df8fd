//! Deduplication by an exchange: its arguments, and a memory of its own under a lock of its own.
//!
//! Lock order: definitions, exchanges' memories by [`ExchangeMemory::order`], queues by id.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::Memory;
use crate::definitions::{Deduplication, ExchangeSpec};
use crate::error::Refusal;
use crate::ids::QueueId;
use crate::log::Entry;
use crate::message::{FieldTable, FieldValue};
use crate::routing::ExchangeKind;

/// How many identities an exchange remembers, if it does not say; and at most.
const SIZE: u64 = 128;
const SIZE_MAX: u64 = 10_000_000;

/// What an exchange remembers, shared by all versions of the definitions and all routes.
#[derive(Debug)]
pub(crate) struct ExchangeMemory {
    pub(crate) limits: Deduplication,
    /// The exchange survives a restart.
    pub(crate) durable: bool,
    state: Mutex<State>,
}

/// A memory, or nothing once the exchange is gone.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) closed: bool,
}

impl ExchangeMemory {
    /// Of an exchange with these arguments; none if it is not to deduplicate.
    pub(crate) fn of(spec: &ExchangeSpec) -> Option<Arc<Self>> {
        // They were checked; those of another version, which this one would refuse, say nothing.
        let limits = settings_of(spec.kind, &spec.arguments).ok().flatten()?;
        let state = Mutex::new(State { memory: Memory::new(None), closed: false });
        Some(Arc::new(Self { limits, durable: spec.durable, state }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its records are in the log.
    pub(crate) fn id(&self) -> Option<QueueId> {
        self.lock().memory.id()
    }

    /// By this they are locked; no two have the same.
    pub(crate) fn order(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self) as usize
    }

    /// Forgets everything for good; how many bytes that were.
    pub(crate) fn close(&self, entries: &mut Vec<Entry>) -> u64 {
        let mut state = self.lock();
        let bytes = state.memory.bytes();
        state.memory.close();
        state.memory.take_entries(entries);
        state.closed = true;
        bytes
    }
}

/// The deduplication that an exchange's arguments ask for; an error in the plugin's words.
pub(crate) fn settings_of(
    kind: ExchangeKind,
    arguments: &FieldTable,
) -> Result<Option<Deduplication>, Refusal> {
    let by_type = kind == ExchangeKind::MessageDeduplication;
    let on = match arguments.get("x-message-deduplication") {
        None => by_type,
        Some(FieldValue::Bool(on)) => *on || by_type,
        Some(_) => return Err(invalid("x-message-deduplication", "must be a boolean")),
    };
    if !on {
        return Ok(None);
    }
    let least = "must be an integer greater than 0";
    let number = |name| match arguments.get(name).map(positive) {
        None => Ok(None),
        Some(Some(number)) => Ok(Some(number)),
        Some(None) => Err(invalid(name, least)),
    };
    let cache_size = match number("x-cache-size")? {
        None if by_type => return Err(invalid("x-cache-size", least)),
        None => SIZE,
        Some(more) if more > SIZE_MAX => {
            return Err(invalid("x-cache-size", "must not be greater than 10000000"));
        }
        Some(size) => size,
    };
    let cache_ttl_ms = number("x-cache-ttl")?;
    match arguments.get("x-cache-persistence").map(FieldValue::as_str) {
        None | Some(Some("disk" | "memory")) => {
            Ok(Some(Deduplication { cache_size, cache_ttl_ms }))
        }
        Some(_) => Err(invalid("x-cache-persistence", "must be either 'disk' or 'memory'")),
    }
}

fn invalid(name: &str, must: &str) -> Refusal {
    Refusal::precondition(format!("Missing or invalid argument, '{name}' {must}"))
}

/// A number above 0; the plugin takes digits too.
fn positive(value: &FieldValue) -> Option<u64> {
    let number = match value.as_str() {
        Some(digits) => digits.parse().ok()?,
        None => u64::try_from(value.as_integer()?).ok()?,
    };
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: ExchangeKind, arguments: &[(&str, FieldValue)]) -> Result<Option<u64>, String> {
        let table =
            arguments.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let limits = settings_of(kind, &table).map_err(|refusal| refusal.text)?;
        Ok(limits.map(|limits| limits.cache_size))
    }

    #[test]
    fn the_plugins_type_needs_a_size() {
        let kind = ExchangeKind::MessageDeduplication;
        let size = |value| read(kind, &[("x-cache-size", value)]);
        assert_eq!(size(FieldValue::I32(5)), Ok(Some(5)));
        assert_eq!(size(FieldValue::LongStr(b"5".to_vec())), Ok(Some(5)));
        for wrong in [FieldValue::I32(0), FieldValue::I32(-1), FieldValue::LongStr(b"x".to_vec())] {
            assert!(size(wrong).unwrap_err().contains("'x-cache-size' must be an integer"));
        }
        assert!(read(kind, &[]).is_err());
        let persistence = ("x-cache-persistence", FieldValue::LongStr(b"tape".to_vec()));
        assert!(read(kind, &[("x-cache-size", FieldValue::I32(5)), persistence]).is_err());
    }

    #[test]
    fn other_types_deduplicate_if_asked() {
        let on = ("x-message-deduplication", FieldValue::Bool(true));
        assert_eq!(read(ExchangeKind::Topic, &[]), Ok(None));
        assert_eq!(read(ExchangeKind::Topic, &[("x-cache-size", FieldValue::I32(5))]), Ok(None));
        assert_eq!(read(ExchangeKind::Topic, std::slice::from_ref(&on)), Ok(Some(SIZE)));
        let too_many = ("x-cache-size", FieldValue::I64(SIZE_MAX as i64 + 1));
        assert!(read(ExchangeKind::Topic, &[on, too_many]).is_err());
        let wrong = ("x-message-deduplication", FieldValue::I32(1));
        assert!(read(ExchangeKind::Topic, &[wrong]).is_err());
    }
}
