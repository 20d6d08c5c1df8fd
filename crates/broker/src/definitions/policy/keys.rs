//! The keys of policies, and the values that they take (RabbitMQ: Policies; features without
//! effect here are validated all the same).

use super::PolicyKind;
use crate::definitions::retry::{BACKOFFS, TYPES};
use crate::message::{FieldTable, FieldValue};

/// What values a key takes.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// An integer of at least this.
    From(i64),
    /// An integer in these bounds.
    Within(i64, i64),
    /// Any integer.
    Integer,
    /// A string that is a name: at most 255 bytes.
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    /// True or false.
    Flag,
    /// A number with a unit of time.
    Age,
    /// Anything: it had a meaning once.
    Anything,
}

impl Takes {
    fn takes(self, value: &FieldValue) -> bool {
        let integer = || value.as_integer();
        match self {
            Self::From(least) => integer().is_some_and(|number| number >= least),
            Self::Within(least, most) => integer().is_some_and(|n| (least..=most).contains(&n)),
            Self::Integer => integer().is_some(),
            Self::Text => value.as_str().is_some_and(|text| text.len() <= 255),
            Self::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::Flag => matches!(value, FieldValue::Bool(_)),
            Self::Age => value.as_str().is_some_and(is_age),
            Self::Anything => true,
        }
    }
}

/// A count of years, months, days, hours, minutes or seconds.
fn is_age(text: &str) -> bool {
    let digits = text.trim_end_matches(['Y', 'M', 'D', 'h', 'm', 's']);
    digits.len() + 1 == text.len()
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

struct Key {
    name: &'static str,
    takes: Takes,
    /// What a value that it does not take is not.
    meaning: &'static str,
    /// Operator policies may have it too.
    operator: bool,
}

const fn key(name: &'static str, takes: Takes, meaning: &'static str) -> Key {
    Key { name, takes, meaning, operator: false }
}

const fn both(name: &'static str, takes: Takes, meaning: &'static str) -> Key {
    Key { name, takes, meaning, operator: true }
}

const DELAY: &str = "Must be a positive integer";

static KEYS: &[Key] = &[
    key("alternate-exchange", Takes::Text, "valid alternate exchange name"),
    key("consumer-disconnected-timeout", Takes::From(0), "valid consumer disconnected timeout"),
    key("consumer-timeout", Takes::From(0), "valid consumer timeout"),
    key("dead-letter-exchange", Takes::Text, "valid dead letter exchange name"),
    key("dead-letter-routing-key", Takes::Text, "valid dead letter routing key"),
    key(
        "dead-letter-strategy",
        Takes::Word(&["at-most-once", "at-least-once"]),
        "valid dead letter strategy",
    ),
    both(
        "delayed-retry-type",
        Takes::Word(&TYPES),
        "valid delayed retry type. Must be one of: all, failed, returned, disabled",
    ),
    both("delayed-retry-min", Takes::From(1), "valid delayed retry minimum delay"),
    both("delayed-retry-max", Takes::From(1), "valid delayed retry maximum delay"),
    both("delayed-retry-backoff", Takes::Word(&BACKOFFS), "valid delayed retry backoff"),
    both("delayed-retry-jitter", Takes::Within(0, 100), "valid delayed retry jitter"),
    both("delivery-limit", Takes::Integer, "valid delivery limit"),
    both("expires", Takes::From(1), "valid queue expiry"),
    key("federation-upstream", Takes::Text, "valid federation upstream name"),
    key("federation-upstream-pattern", Takes::Text, "valid federation upstream pattern"),
    key("federation-upstream-set", Takes::Text, "valid federation upstream set name"),
    key("ha-mode", Takes::Anything, ""),
    key("ha-params", Takes::Anything, ""),
    key("ha-promote-on-failure", Takes::Anything, ""),
    key("ha-promote-on-shutdown", Takes::Anything, ""),
    key("ha-sync-batch-size", Takes::Anything, ""),
    key("ha-sync-mode", Takes::Anything, ""),
    key("initial-cluster-size", Takes::From(0), "valid cluster size"),
    key("max-age", Takes::Age, "valid max age"),
    both("max-in-memory-bytes", Takes::From(0), "valid maximum memory in bytes"),
    both("max-in-memory-length", Takes::From(0), "valid maximum memory in bytes"),
    both("max-length", Takes::From(0), "valid maximum length"),
    both("max-length-bytes", Takes::From(0), "valid maximum length in bytes"),
    both(
        "member-placement-tag",
        Takes::Text,
        "valid member-placement-tag value. Must be a non-empty string",
    ),
    both("message-ttl", Takes::From(0), "valid message TTL"),
    both(
        "overflow",
        Takes::Word(&["drop-head", "reject-publish", "reject-publish-dlx"]),
        "valid overflow value",
    ),
    key(
        "queue-leader-locator",
        Takes::Word(&["client-local", "balanced", "random", "least-leaders"]),
        "valid queue leader locator value",
    ),
    both(
        "queue-master-locator",
        Takes::Word(&["min-masters", "client-local", "random"]),
        "valid queue master locator",
    ),
    key("queue-mode", Takes::Word(&["default", "lazy"]), "valid queue-mode value"),
    both("queue-version", Takes::Within(1, 2), "valid queue-version value"),
    key("routing-key", Takes::Text, "valid routing key"),
    key("shards-per-node", Takes::From(0), "valid number of shards"),
    key(
        "stream-filter-size-bytes",
        Takes::Within(16, 255),
        "valid filter size. Valid range is 16-255",
    ),
    key("stream-max-segment-size-bytes", Takes::Within(0, 3_000_000_000), "valid segment size"),
    key("max-segment-size", Takes::From(0), "valid segment size"),
    key("x-cache-persistence", Takes::Word(&["disk", "memory"]), "valid cache persistence"),
    key("x-cache-size", Takes::Within(1, 10_000_000), "valid cache size"),
    key("x-cache-ttl", Takes::From(1), "valid cache TTL"),
    key("x-message-deduplication", Takes::Flag, "valid message deduplication flag"),
    both("target-group-size", Takes::From(1), "valid qq target count value"),
];

/// Keys with which a policy does not apply to classic queues.
const NOT_CLASSIC: [&str; 5] = [
    "max-age",
    "stream-max-segment-size-bytes",
    "initial-cluster-size",
    "delivery-limit",
    "dead-letter-strategy",
];

/// Keys with which a policy does not apply to quorum queues.
const NOT_QUORUM: [&str; 10] = [
    "queue-mode",
    "queue-master-locator",
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "ha-promote-on-shutdown",
    "ha-promote-on-failure",
    "max-age",
    "stream-max-segment-size-bytes",
    "initial-cluster-size",
];

/// Whether queues of that type do not know the key.
pub(super) fn is_foreign(key: &str, quorum: bool) -> bool {
    if quorum { NOT_QUORUM.contains(&key) } else { NOT_CLASSIC.contains(&key) }
}

/// A value as Erlang prints it.
fn show(value: &FieldValue) -> String {
    let list = |all: Vec<String>| all.join(",");
    match value {
        FieldValue::LongStr(bytes) => format!("<<\"{}\">>", String::from_utf8_lossy(bytes)),
        FieldValue::Bool(value) => value.to_string(),
        FieldValue::F64(value) => format!("{value:?}"),
        FieldValue::Array(all) => format!("[{}]", list(all.iter().map(show).collect())),
        FieldValue::Table(table) => {
            let field = |(key, value)| format!("<<\"{key}\">> => {}", show(value));
            format!("#{{{}}}", list(table.iter().map(field).collect()))
        }
        FieldValue::Void => "null".to_owned(),
        other => other.as_integer().map_or_else(|| format!("{other:?}"), |int| int.to_string()),
    }
}

/// What is wrong with a definition.
pub(super) fn check(kind: PolicyKind, definition: &FieldTable) -> Result<(), String> {
    if definition.is_empty() {
        return Err("no policy provided".to_owned());
    }
    let mut unknown = Vec::new();
    for (at, (name, value)) in definition.iter().enumerate() {
        if definition.iter().take(at).any(|(before, _)| before == name) {
            return Err(format!("[<<\"{name}\">>] duplicate keys not allowed"));
        }
        let known = KEYS
            .iter()
            .find(|key| key.name == name && (key.operator || kind == PolicyKind::Policy));
        let Some(key) = known else {
            unknown.push(format!("{{<<\"{name}\">>,{}}}", show(value)));
            continue;
        };
        let empty_tag = name == "member-placement-tag" && value.as_str() == Some("");
        if !key.takes.takes(value) || empty_tag {
            let hint = matches!(name, "delayed-retry-min" | "delayed-retry-max");
            let more = if hint { format!(". {DELAY}") } else { String::new() };
            return Err(format!("{} is not a {}{more}", show(value), key.meaning));
        }
    }
    if !unknown.is_empty() {
        return Err(format!("[{}] are not recognised policy settings", unknown.join(",")));
    }
    check_retry(definition)
}

fn check_retry(definition: &FieldTable) -> Result<(), String> {
    let number = |name: &str| definition.get(name).and_then(FieldValue::as_integer);
    let (min, max) = (number("delayed-retry-min"), number("delayed-retry-max"));
    let kind = definition.get("delayed-retry-type").and_then(FieldValue::as_str);
    if let (Some(kind @ ("all" | "failed" | "returned")), None) = (kind, min) {
        return Err(format!("delayed-retry-min is required when delayed-retry-type is {kind}"));
    }
    match (min, max) {
        (Some(min), Some(max)) if max < min => Err(format!(
            "delayed-retry-max ({max}) must not be smaller than delayed-retry-min ({min})"
        )),
        _ => Ok(()),
    }
}
