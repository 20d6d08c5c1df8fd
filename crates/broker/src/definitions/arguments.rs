//! A queue's arguments: checked as RabbitMQ checks them, and turned into settings.

use super::retry;
use super::{DeadLetterStrategy, Deduplication, Overflow, QueueSettings};
use crate::error::{Refusal, Resource};
use crate::ids::Name;
use crate::message::{FieldTable, FieldValue};

/// RabbitMQ's longest timer, in milliseconds: ten years.
pub(crate) const TIMER_MAX_MS: i64 = 10 * 365 * 86_400_000;

/// The arguments that a repeated declare must agree on.
pub(crate) const COMPARED: [&str; 28] = [
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
    "x-consumer-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    "x-delayed-retry-backoff",
    "x-delayed-retry-jitter",
    "x-message-group-header",
    "x-message-deduplication",
    "x-cache-size",
    "x-cache-ttl",
];

/// How many headers a queue with deduplication remembers, if it does not say.
const CACHE_SIZE: u64 = 65_536;
/// And at most.
const CACHE_SIZE_MAX: u64 = 10_000_000;

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
const NOT_QUORUM: [&str; 7] = [
    "x-max-priority",
    "x-queue-master-locator",
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

/// A table of arguments with the queue that it is of.
pub(super) struct Reader<'a> {
    pub(super) arguments: &'a FieldTable,
    pub(super) queue: Resource<'a>,
}

impl Reader<'_> {
    pub(super) fn invalid(&self, name: &str, reason: impl std::fmt::Display) -> Refusal {
        Refusal::precondition(format!("invalid arg '{name}' for {}: {reason}", self.queue))
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.arguments.get(name) else { return Ok(None) };
        match value.as_integer() {
            Some(number) => Ok(Some(number)),
            None => {
                let reason = format!("\"expected integer, got {}\"", value.type_name());
                Err(self.invalid(name, reason))
            }
        }
    }

    pub(super) fn natural(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.integer(name)? {
            Some(number) if number < 0 => {
                Err(self.invalid(name, format!("{{value_negative,{number}}}")))
            }
            number => Ok(number.map(|number| number as u64)),
        }
    }

    pub(super) fn timer(&self, name: &str) -> Result<Option<u64>, Refusal> {
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
    pub(super) fn word(
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

    /// Whether the flags and arguments fit the queue type.
    fn check_type(&self, kind: &str, flags: Flags) -> Result<(), Refusal> {
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
        // They have no effect, but a wrong value is a mistake.
        self.natural("x-max-in-memory-length")?;
        self.natural("x-max-in-memory-bytes")?;
        Ok(())
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

    fn initial_group_size(&self) -> Result<(), Refusal> {
        let name = "x-quorum-initial-group-size";
        if self.natural(name)? == Some(0) {
            return Err(self.invalid(name, "{value_zero,0}"));
        }
        Ok(())
    }

    fn strategy(&self) -> Result<DeadLetterStrategy, Refusal> {
        let words = ["at-most-once", "at-least-once"];
        let wrong = |_: &str| "invalid_dlx_strategy".to_owned();
        Ok(match self.word("x-dead-letter-strategy", &words, wrong)?.as_deref() {
            Some("at-least-once") => DeadLetterStrategy::AtLeastOnce,
            _ => DeadLetterStrategy::AtMostOnce,
        })
    }

    /// A dead-letter exchange and routing key of a valid type.
    fn dead_letter(&self) -> Result<(Option<Name>, Option<Name>), Refusal> {
        let exchange = self.string("x-dead-letter-exchange", |other| {
            Refusal::precondition(format!(
                "invalid type '{}' for arg 'x-dead-letter-exchange' in {}",
                other.type_name(),
                self.queue
            ))
        })?;
        let key = self.short_string("x-dead-letter-routing-key")?;
        if exchange.as_ref().is_some_and(|exchange| exchange.len() > 255) {
            return Err(self.invalid("x-dead-letter-exchange", "longer than 255 bytes"));
        }
        Ok((exchange, key))
    }

    fn short_string(&self, name: &str) -> Result<Option<Name>, Refusal> {
        let text = self.string(name, |other| {
            self.invalid(name, format!("{{unacceptable_type,{}}}", other.type_name()))
        })?;
        if text.as_ref().is_some_and(|text| text.len() > 255) {
            return Err(self.invalid(name, "longer than 255 bytes"));
        }
        Ok(text)
    }

    fn message_group_header(&self) -> Result<Option<Name>, Refusal> {
        let name = "x-message-group-header";
        match self.short_string(name)? {
            Some(header) if header.is_empty() => Err(self.invalid(name, "empty_header_name")),
            Some(_) if self.max_priority()? > 0 => {
                Err(self.invalid(name, "\"groups and priorities do not go together\""))
            }
            header => Ok(header),
        }
    }

    fn deduplication(&self) -> Result<Option<Deduplication>, Refusal> {
        let on = self.flag("x-message-deduplication")?;
        let cache_size = match self.natural("x-cache-size")?.unwrap_or(CACHE_SIZE) {
            0 => return Err(self.invalid("x-cache-size", "{value_zero,0}")),
            more if more > CACHE_SIZE_MAX => {
                let reason = format!("{{max_value_exceeded,{more}}}");
                return Err(self.invalid("x-cache-size", reason));
            }
            size => size,
        };
        let cache_ttl_ms = self.timer("x-cache-ttl")?;
        let words = ["memory", "disk"];
        let wrong = |_: &str| "invalid_cache_persistence".to_owned();
        self.word("x-cache-persistence", &words, wrong)?;
        Ok(on.then_some(Deduplication { cache_size, cache_ttl_ms }))
    }

    /// What the values say, whatever the queue type and whether they go together.
    fn settings(&self) -> Result<QueueSettings, Refusal> {
        let expires_ms = self.expires()?;
        let message_ttl_ms = self.timer("x-message-ttl")?;
        let (dead_letter_exchange, dead_letter_routing_key) = self.dead_letter()?;
        Ok(QueueSettings {
            expires_ms,
            message_ttl_ms,
            max_length: self.natural("x-max-length")?,
            max_length_bytes: self.natural("x-max-length-bytes")?,
            max_priority: self.max_priority()?,
            overflow: self.overflow()?,
            dead_letter_exchange,
            dead_letter_routing_key,
            dead_letter_strategy: self.strategy()?,
            single_active_consumer: self.flag("x-single-active-consumer")?,
            delivery_limit: self.delivery_limit()?,
            quorum: self.queue_type()? == "quorum",
            delayed_retry: retry::read(self)?,
            consumer_timeout_ms: self.timer("x-consumer-timeout")?,
            message_group_header: self.message_group_header()?,
            deduplication: self.deduplication()?,
        })
    }
}

impl QueueSettings {
    /// Checks a declare's arguments, and says in RabbitMQ's words which one is wrong.
    pub(crate) fn check(
        arguments: &FieldTable,
        queue: Resource<'_>,
        flags: Flags,
    ) -> Result<(), Refusal> {
        let reader = Reader { arguments, queue };
        let kind = reader.queue_type()?;
        reader.expires()?;
        reader.timer("x-message-ttl")?;
        let (exchange, key) = reader.dead_letter()?;
        if key.is_some() && exchange.is_none() {
            let reason = "routing_key_but_no_dlx_defined";
            return Err(reader.invalid("x-dead-letter-routing-key", reason));
        }
        reader.natural("x-max-length")?;
        reader.natural("x-max-length-bytes")?;
        reader.max_priority()?;
        reader.overflow()?;
        reader.retired()?;
        reader.flag("x-single-active-consumer")?;
        reader.check_type(&kind, flags)?;
        reader.initial_group_size()?;
        reader.settings()?;
        retry::check(&reader)
    }

    /// The settings of arguments that were checked. Those of another version, which this one would
    /// refuse, set nothing.
    pub(crate) fn read(arguments: &FieldTable, queue: Resource<'_>) -> Self {
        Reader { arguments, queue }.settings().unwrap_or_default()
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

#[cfg(test)]
mod tests;
