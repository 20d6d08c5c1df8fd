//! A queue's arguments: checked as RabbitMQ checks them, and turned into settings.

use serde::{Deserialize, Serialize};

use crate::error::{Refusal, Resource};
use crate::ids::Name;
use crate::message::{FieldTable, FieldValue};

/// RabbitMQ's longest timer, in milliseconds: ten years.
pub(crate) const TIMER_MAX_MS: i64 = 10 * 365 * 86_400_000;

/// What to do with a message for which a length limit leaves no room (RabbitMQ: Queue Length
/// Limit).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// Drop or dead-letter the oldest.
    #[default]
    DropHead,
    /// Refuse the new one (a negative confirm).
    RejectPublish,
    /// Refuse the new one, and dead-letter it.
    RejectPublishDlx,
}

/// The effective settings of a queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueArguments {
    /// Deleted after this time without use, in milliseconds.
    pub expires_ms: Option<u64>,
    /// How long a message may wait, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// Most ready messages.
    pub max_length: Option<u64>,
    /// Most bytes of ready bodies.
    pub max_length_bytes: Option<u64>,
    /// Highest priority; 0 is a queue without priorities.
    pub max_priority: u8,
    /// What to do at a length limit.
    pub overflow: Overflow,
    /// Where dead letters go.
    pub dead_letter_exchange: Option<Name>,
    /// Their routing key instead of their own.
    pub dead_letter_routing_key: Option<Name>,
    /// Only one consumer at a time gets messages.
    pub single_active_consumer: bool,
    /// A message that came back more often than this is dead (quorum queues).
    pub delivery_limit: Option<u64>,
    /// Declared as a quorum queue.
    pub quorum: bool,
}

/// The arguments that a repeated declare must agree on.
pub(crate) const COMPARED: [&str; 18] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-queue-leader-locator",
];

/// Known arguments that a classic queue does not take.
const NOT_CLASSIC: [&str; 8] = [
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
];

/// Known arguments that a quorum queue does not take.
const NOT_QUORUM: [&str; 6] = [
    "x-max-priority",
    "x-queue-mode",
    "x-queue-version",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
];

/// The flags of a declare that a queue type may not allow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags {
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
}

struct Reader<'a> {
    arguments: &'a FieldTable,
    queue: Resource<'a>,
}

impl Reader<'_> {
    fn invalid(&self, name: &str, reason: impl std::fmt::Display) -> Refusal {
        Refusal::precondition(format!("invalid arg '{name}' for {}: {reason}", self.queue))
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.arguments.get(name) else { return Ok(None) };
        match value.as_integer() {
            Some(number) => Ok(Some(number)),
            None => {
                let reason = format!("\"expected integer, got {}\"", value.type_name());
                Err(self.invalid(name, reason))
            }
        }
    }

    fn natural(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.integer(name)? {
            Some(number) if number < 0 => {
                Err(self.invalid(name, format!("{{value_negative,{number}}}")))
            }
            number => Ok(number.map(|number| number as u64)),
        }
    }

    fn timer(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.integer(name)? {
            Some(number) if number > TIMER_MAX_MS => {
                Err(self.invalid(name, format!("{{value_too_large,{number}}}")))
            }
            _ => self.natural(name),
        }
    }

    fn string(
        &self,
        name: &str,
        wrong_type: impl Fn(&FieldValue) -> Refusal,
    ) -> Result<Option<Name>, Refusal> {
        match self.arguments.get(name) {
            None => Ok(None),
            Some(FieldValue::LongStr(text)) => Ok(Some(String::from_utf8_lossy(text).into())),
            Some(other) => Err(wrong_type(other)),
        }
    }

    /// One of a few words; `wrong` renders the reason for another one.
    fn word(
        &self,
        name: &str,
        words: &[&str],
        wrong: impl Fn(&str) -> String,
    ) -> Result<Option<String>, Refusal> {
        match self.arguments.get(name) {
            None => Ok(None),
            Some(FieldValue::LongStr(text)) => {
                let text = String::from_utf8_lossy(text).into_owned();
                if words.contains(&text.as_str()) {
                    Ok(Some(text))
                } else {
                    Err(self.invalid(name, wrong(&text)))
                }
            }
            Some(other) => {
                Err(self.invalid(name, format!("{{unacceptable_type,{}}}", other.type_name())))
            }
        }
    }

    fn expires(&self) -> Result<Option<u64>, Refusal> {
        match self.timer("x-expires")? {
            Some(0) => Err(self.invalid("x-expires", "{value_zero,0}")),
            other => Ok(other),
        }
    }

    fn max_priority(&self) -> Result<u8, Refusal> {
        let most = self.natural("x-max-priority")?.unwrap_or(0);
        u8::try_from(most)
            .map_err(|_| self.invalid("x-max-priority", format!("{{max_value_exceeded,{most}}}")))
    }

    fn overflow(&self) -> Result<Overflow, Refusal> {
        let words = ["drop-head", "reject-publish", "reject-publish-dlx"];
        let word = self.word("x-overflow", &words, |_| "invalid_overflow".to_owned())?;
        Ok(match word.as_deref() {
            Some("reject-publish") => Overflow::RejectPublish,
            Some("reject-publish-dlx") => Overflow::RejectPublishDlx,
            _ => Overflow::DropHead,
        })
    }

    fn foreign(&self, name: &str, kind: &str) -> Refusal {
        let queue = self.queue;
        Refusal::precondition(format!("invalid arg '{name}' for {queue} of queue type {kind}"))
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.arguments.get(name) {
            None => Ok(false),
            Some(FieldValue::Bool(on)) => Ok(*on),
            Some(other) => {
                Err(self.invalid(name, format!("{{unacceptable_type,{}}}", other.type_name())))
            }
        }
    }

    fn retired(&self) -> Result<(), Refusal> {
        let mode = |text: &str| format!("\"unsupported queue mode '{text}'\"");
        self.word("x-queue-mode", &["default", "lazy"], mode)?;
        match self.natural("x-queue-version")? {
            None | Some(1 | 2) => Ok(()),
            Some(other) => {
                let reason = format!("\"unsupported queue version '{other}'\"");
                Err(self.invalid("x-queue-version", reason))
            }
        }
    }

    fn queue_type(&self) -> Result<String, Refusal> {
        let wrong = |text: &str| format!("\"unsupported queue type '{text}'\"");
        let kind = self.word("x-queue-type", &["classic", "quorum", "stream"], wrong)?;
        Ok(kind.unwrap_or_else(|| "classic".to_owned()))
    }

    /// Whether the flags and arguments fit the queue type; whether that is quorum.
    fn check_type(&self, kind: &str, flags: Flags) -> Result<bool, Refusal> {
        if kind == "stream" {
            self.check_flags(flags)?;
            let text = format!("queue type 'stream' is not offered yet, for {}", self.queue);
            return Err(Refusal::precondition(text));
        }
        let quorum = kind == "quorum";
        let (foreign, kind) = if quorum {
            (&NOT_QUORUM[..], "rabbit_quorum_queue")
        } else {
            (&NOT_CLASSIC[..], "rabbit_classic_queue")
        };
        if quorum {
            self.check_flags(flags)?;
        }
        for name in foreign {
            if self.arguments.get(name).is_some() {
                return Err(self.foreign(name, kind));
            }
        }
        Ok(quorum)
    }

    fn check_flags(&self, flags: Flags) -> Result<(), Refusal> {
        let property = match flags {
            Flags { durable: false, .. } => "non-durable",
            Flags { auto_delete: true, .. } => "auto-delete",
            Flags { exclusive: true, .. } => "exclusive-owner",
            _ => return Ok(()),
        };
        Err(Refusal::precondition(format!("invalid property '{property}' for {}", self.queue)))
    }

    /// A negative limit is none (RabbitMQ: Poison Message Handling).
    fn delivery_limit(&self) -> Result<Option<u64>, Refusal> {
        let limit = self.integer("x-delivery-limit")?;
        Ok(limit.and_then(|limit| u64::try_from(limit).ok()))
    }

    /// What only says something once queues are replicated.
    fn quorum_only(&self) -> Result<(), Refusal> {
        let name = "x-quorum-initial-group-size";
        if self.natural(name)? == Some(0) {
            return Err(self.invalid(name, "{value_zero,0}"));
        }
        let words = ["at-most-once", "at-least-once"];
        let wrong = |_: &str| "invalid_dlx_strategy".to_owned();
        self.word("x-dead-letter-strategy", &words, wrong).map(drop)
    }

    fn dead_letter(&self) -> Result<(Option<Name>, Option<Name>), Refusal> {
        let exchange = self.string("x-dead-letter-exchange", |other| {
            Refusal::precondition(format!(
                "invalid type '{}' for arg 'x-dead-letter-exchange' in {}",
                other.type_name(),
                self.queue
            ))
        })?;
        let key = self.string("x-dead-letter-routing-key", |other| {
            let reason = format!("{{unacceptable_type,{}}}", other.type_name());
            self.invalid("x-dead-letter-routing-key", reason)
        })?;
        for (name, value) in
            [("x-dead-letter-exchange", &exchange), ("x-dead-letter-routing-key", &key)]
        {
            if value.as_ref().is_some_and(|value| value.len() > 255) {
                return Err(self.invalid(name, "longer than 255 bytes"));
            }
        }
        if key.is_some() && exchange.is_none() {
            let reason = "routing_key_but_no_dlx_defined";
            return Err(self.invalid("x-dead-letter-routing-key", reason));
        }
        Ok((exchange, key))
    }
}

impl QueueArguments {
    /// Reads a declare's arguments, or says in RabbitMQ's words which one is wrong.
    pub(crate) fn read(
        arguments: &FieldTable,
        queue: Resource<'_>,
        flags: Flags,
    ) -> Result<Self, Refusal> {
        let reader = Reader { arguments, queue };
        let kind = reader.queue_type()?;
        let expires_ms = reader.expires()?;
        let message_ttl_ms = reader.timer("x-message-ttl")?;
        let (dead_letter_exchange, dead_letter_routing_key) = reader.dead_letter()?;
        let max_length = reader.natural("x-max-length")?;
        let max_length_bytes = reader.natural("x-max-length-bytes")?;
        let max_priority = reader.max_priority()?;
        let overflow = reader.overflow()?;
        reader.retired()?;
        let single_active_consumer = reader.flag("x-single-active-consumer")?;
        let quorum = reader.check_type(&kind, flags)?;
        let delivery_limit = reader.delivery_limit()?;
        reader.quorum_only()?;
        Ok(Self {
            expires_ms,
            message_ttl_ms,
            max_length,
            max_length_bytes,
            max_priority,
            overflow,
            dead_letter_exchange,
            dead_letter_routing_key,
            single_active_consumer,
            delivery_limit,
            quorum,
        })
    }
}

/// Checks a consumer's arguments; its `x-priority` (RabbitMQ: Consumer Priorities).
pub(crate) fn consumer_priority(
    arguments: &FieldTable,
    queue: Resource<'_>,
) -> Result<i64, Refusal> {
    let reader = Reader { arguments, queue };
    let priority = reader.integer("x-priority")?.unwrap_or(0);
    reader.flag("x-cancel-on-ha-failover")?;
    if arguments.get("x-stream-offset").is_some() {
        return Err(reader.foreign("x-stream-offset", "rabbit_classic_queue"));
    }
    Ok(priority)
}
