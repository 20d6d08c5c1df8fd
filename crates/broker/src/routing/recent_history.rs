//! The recent-history exchange: a fanout that keeps its last messages and gives them to whatever is
//! bound to it (RabbitMQ: Recent History Exchange).
//!
//! The history is in memory only, bounded in number by the exchange's argument and in bytes, and
//! shared by all versions of the definitions: it is no part of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::targets::Targets;
use super::{Destination, RoutingInput};
use crate::definitions::Binding;
use crate::error::{Refusal, show_value};
use crate::ids::Name;
use crate::message::{FieldTable, FieldValue, Message, Value};

/// Messages that are kept if the exchange does not say how many.
const LENGTH_DEFAULT: usize = 20;
/// Most bytes that one exchange keeps; the oldest messages go first.
const BYTES_MAX: usize = 64 << 20;

const LENGTH: &str = "x-recent-history-length";

/// A message that was published, with its keys from CC and BCC.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) message: Message,
    pub(crate) extra_keys: Vec<Name>,
}

impl Past {
    fn bytes(&self) -> usize {
        self.message.size() + self.extra_keys.iter().map(|key| key.len() + 16).sum::<usize>()
    }
}

/// The last messages of one exchange, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    length_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<Past>,
    bytes: usize,
    /// The exchange is gone.
    closed: bool,
}

impl History {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a message unless it asks not to be; by how many bytes the history grew.
    fn keep(&self, message: &Message, extra_keys: &[Name]) -> i64 {
        let headers = message.headers();
        let no_store = headers.and_then(|headers| headers.get("x-recent-history-no-store"));
        if no_store == Some(Value::Bool(true)) {
            return 0;
        }
        let past = Past { message: message.clone(), extra_keys: extra_keys.to_vec() };
        let mut kept = self.kept();
        if kept.closed {
            return 0;
        }
        let before = kept.bytes;
        kept.bytes += past.bytes();
        kept.messages.push_back(past);
        while kept.messages.len() > self.length_max || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.messages.pop_front() else { break };
            kept.bytes -= oldest.bytes();
        }
        kept.bytes as i64 - before as i64
    }

    /// What a new binding is given.
    pub(crate) fn messages(&self) -> Vec<Past> {
        self.kept().messages.iter().cloned().collect()
    }

    /// Forgets everything for good; how many bytes that were.
    pub(crate) fn close(&self) -> usize {
        let closed = Kept { closed: true, ..Kept::default() };
        std::mem::replace(&mut *self.kept(), closed).bytes
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RecentHistoryRouter {
    targets: Targets,
    history: Arc<History>,
}

impl RecentHistoryRouter {
    pub(super) fn new(arguments: &FieldTable) -> Self {
        let length_max = match length(arguments) {
            Ok(Some(length)) => usize::try_from(length).unwrap_or(usize::MAX),
            _ => LENGTH_DEFAULT,
        };
        let history = History { length_max, kept: Mutex::default() };
        Self { targets: Targets::default(), history: Arc::new(history) }
    }

    pub(super) fn bind(&mut self, binding: &Binding) {
        self.targets.add(&binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.targets.remove(&binding.destination);
    }

    pub(super) fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// By how many bytes the history grew.
    pub(super) fn route<'a>(
        &'a self,
        input: &RoutingInput<'_>,
        found: &mut dyn FnMut(&'a Destination),
    ) -> i64 {
        self.targets.for_each(found);
        input.message.map_or(0, |message| self.history.keep(message, input.extra_keys))
    }
}

/// As in RabbitMQ, of the whole numbers only the signed ones are taken.
fn length(arguments: &FieldTable) -> Result<Option<i64>, Refusal> {
    let Some(value) = arguments.get(LENGTH) else { return Ok(None) };
    let signed = match value {
        FieldValue::I8(_) | FieldValue::I16(_) | FieldValue::I32(_) | FieldValue::I64(_) => {
            value.as_integer()
        }
        _ => None,
    };
    match signed {
        Some(length) if length > 0 => Ok(Some(length)),
        _ => Err(Refusal::precondition(format!(
            "Invalid argument {}, '{LENGTH}' must be a positive integer",
            show_value(value)
        ))),
    }
}

/// Refuses a length that is no positive number.
pub(super) fn check(arguments: &FieldTable) -> Result<(), Refusal> {
    length(arguments).map(drop)
}
