//! How a policy, an operator policy and arguments come together (RabbitMQ: Policies, "Combining
//! Policy Definitions" and "Operator Policies").

use super::Policy;
use crate::definitions::TIMER_MAX_MS;
use crate::ids::Name;
use crate::message::{FieldTable, FieldValue};

/// The policies that apply to one queue or exchange.
#[derive(Debug, Clone, Copy, Default)]
pub struct Applying<'a> {
    /// A user's.
    pub policy: Option<&'a Policy>,
    /// The operator's.
    pub operator: Option<&'a Policy>,
}

/// The arguments that policies can set, and how a policy's value meets that of the argument.
const SETTABLE: [(&str, Rule); 19] = [
    ("consumer-timeout", Rule::LeastTimeout),
    ("dead-letter-exchange", Rule::First),
    ("dead-letter-routing-key", Rule::First),
    ("dead-letter-strategy", Rule::First),
    ("delayed-retry-backoff", Rule::Second),
    ("delayed-retry-jitter", Rule::Second),
    ("delayed-retry-max", Rule::Least),
    ("delayed-retry-min", Rule::Least),
    ("delayed-retry-type", Rule::Second),
    ("delivery-limit", Rule::LeastLimit),
    ("expires", Rule::Least),
    ("max-in-memory-bytes", Rule::Least),
    ("max-in-memory-length", Rule::Least),
    ("max-length", Rule::Least),
    ("max-length-bytes", Rule::Least),
    ("message-ttl", Rule::Least),
    ("x-cache-size", Rule::First),
    ("x-cache-ttl", Rule::First),
    ("x-message-deduplication", Rule::First),
];

/// Which of two values counts.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The smaller number.
    Least,
    /// The larger number.
    Most,
    /// The smaller number, where one below zero is no limit.
    LeastLimit,
    /// The smaller number, where 0 is no timeout.
    LeastTimeout,
    /// The first: a policy's before the operator's, an argument's before a policy's.
    First,
    /// The second.
    Second,
}

impl Rule {
    /// For a key that policy and operator policy both have.
    fn of_operator(key: &str) -> Self {
        match key {
            "expires"
            | "message-ttl"
            | "max-length"
            | "max-length-bytes"
            | "max-in-memory-length"
            | "max-in-memory-bytes"
            | "delayed-retry-max" => Self::Least,
            "delayed-retry-min" | "target-group-size" => Self::Most,
            "delivery-limit" => Self::LeastLimit,
            _ => Self::Second,
        }
    }

    fn merge(self, first: &FieldValue, second: &FieldValue) -> FieldValue {
        let numbers = (first.as_integer(), second.as_integer());
        let number = match (self, numbers) {
            (Self::First, _) => return first.clone(),
            (Self::Second, _) => return second.clone(),
            // Both were validated, so this is only another version's.
            (_, (None, _) | (_, None)) => return second.clone(),
            (Self::Least, (Some(one), Some(other))) => one.min(other),
            (Self::Most, (Some(one), Some(other))) => one.max(other),
            (Self::LeastLimit, (Some(one), Some(other))) if one < 0 || other < 0 => one.max(other),
            (Self::LeastTimeout, (Some(one), Some(other))) if one == 0 || other == 0 => {
                one.max(other)
            }
            (Self::LeastLimit | Self::LeastTimeout, (Some(one), Some(other))) => one.min(other),
        };
        FieldValue::I64(number)
    }
}

/// RabbitMQ takes policies with longer times than arguments.
fn clamp(key: &str, value: FieldValue) -> FieldValue {
    let timer = matches!(
        key,
        "expires"
            | "message-ttl"
            | "consumer-timeout"
            | "x-cache-ttl"
            | "delayed-retry-min"
            | "delayed-retry-max"
    );
    match value.as_integer() {
        Some(millis) if timer && millis > TIMER_MAX_MS => FieldValue::I64(TIMER_MAX_MS),
        _ => value,
    }
}

impl Applying<'_> {
    pub(super) fn is_nothing(&self) -> bool {
        self.policy.is_none() && self.operator.is_none()
    }

    /// The names: the policy's and the operator policy's.
    pub fn names(&self) -> (Option<Name>, Option<Name>) {
        let name = |policy: Option<&Policy>| policy.map(|policy| policy.name.clone());
        (name(self.policy), name(self.operator))
    }

    /// What both say of a key.
    fn get(&self, key: &str) -> Option<FieldValue> {
        let value =
            |policy: Option<&Policy>| policy.and_then(|one| one.definition.get(key).cloned());
        match (value(self.policy), value(self.operator)) {
            (Some(one), Some(other)) => Some(Rule::of_operator(key).merge(&one, &other)),
            (one, other) => one.or(other),
        }
    }

    /// What policy and operator policy say together, sorted by key.
    pub fn definition(&self) -> FieldTable {
        let all = [self.policy, self.operator].into_iter().flatten();
        let mut keys: Vec<&str> =
            all.flat_map(|policy| policy.definition.iter().map(|(key, _)| key)).collect();
        keys.sort_unstable();
        keys.dedup();
        let field = |key: &str| self.get(key).map(|value| (key.to_owned(), value));
        FieldTable(keys.into_iter().filter_map(field).collect())
    }

    /// A queue's arguments as if it had been declared with what applies to it.
    pub(super) fn merge_arguments(&self, arguments: &FieldTable, quorum: bool) -> FieldTable {
        let mut merged = arguments.clone();
        // Classic and quorum queues differ here in RabbitMQ.
        let overflow = ("overflow", if quorum { Rule::Second } else { Rule::First });
        for (key, rule) in SETTABLE.into_iter().chain([overflow]) {
            let Some(value) = self.get(key) else { continue };
            let name = if key.starts_with("x-") { key.to_owned() } else { format!("x-{key}") };
            let value = clamp(key, value);
            let value = match arguments.get(&name) {
                Some(argument) => rule.merge(argument, &value),
                None => value,
            };
            merged.insert(name, value);
        }
        merged
    }

    /// Where an exchange's unroutable messages go by policy.
    pub(crate) fn alternate_exchange(&self) -> Option<Name> {
        self.get("alternate-exchange")?.as_str().map(Name::from)
    }
}
