//! What the queues of the model are declared with, and what policies add to it.

use proptest::prelude::*;

use super::super::text;
use crate::definitions::{Backoff, DeadLetterStrategy, Overflow, RetryKind};
use crate::message::{FieldTable, FieldValue};

pub(super) const QUEUES: usize = 4;
/// The queues of the two fanout exchanges.
pub(super) const PAIRS: [[usize; 2]; 2] = [[1, 2], [0, 3]];

/// Where dead letters go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// To an exchange that is not there.
    Nowhere,
    Queue(usize),
    /// One of [`PAIRS`].
    Two([usize; 2]),
}

/// Which messages rest when they come back, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) kind: RetryKind,
    min_ms: u64,
    max_ms: u64,
    backoff: Backoff,
}

impl Retry {
    /// For how long at the return of this number, from 1.
    pub(super) fn delay(&self, count: u64) -> u64 {
        let delay = match self.backoff {
            Backoff::Fixed => self.min_ms,
            Backoff::Linear => self.min_ms * count,
            Backoff::Exponential => self.min_ms << (count - 1).min(20),
        };
        delay.min(self.max_ms)
    }

    fn arguments(&self) -> [(&'static str, FieldValue); 4] {
        let kind = match self.kind {
            RetryKind::All => "all",
            RetryKind::Failed => "failed",
            RetryKind::Returned => "returned",
        };
        let backoff = match self.backoff {
            Backoff::Fixed => "fixed",
            Backoff::Linear => "linear",
            Backoff::Exponential => "exponential",
        };
        [
            ("x-delayed-retry-type", text(kind)),
            ("x-delayed-retry-min", FieldValue::I64(self.min_ms as i64)),
            ("x-delayed-retry-max", FieldValue::I64(self.max_ms as i64)),
            ("x-delayed-retry-backoff", text(backoff)),
        ]
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    pub(super) durable: bool,
    pub(super) quorum: bool,
    pub(super) max_priority: u8,
    pub(super) single_active: bool,
    pub(super) retry: Option<Retry>,
    /// What a policy could say too.
    pub(super) rest: Overlay,
}

/// What arguments and policies can say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Overlay {
    ttl: Option<u64>,
    max_length: Option<usize>,
    max_bytes: Option<usize>,
    overflow: Option<Overflow>,
    target: Option<Target>,
    safe: bool,
    delivery_limit: Option<u32>,
}

/// What both come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) ttl: Option<u64>,
    pub(super) max_length: Option<usize>,
    pub(super) max_bytes: Option<usize>,
    pub(super) overflow: Overflow,
    pub(super) target: Option<Target>,
    /// A dead-letter routing key is a name of a queue, and may be without a use.
    key: Option<usize>,
    pub(super) strategy: DeadLetterStrategy,
    pub(super) delivery_limit: Option<u32>,
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

fn key(of: &Overlay) -> Option<usize> {
    match of.target {
        Some(Target::Queue(at)) => Some(at),
        _ => None,
    }
}

impl Settings {
    pub(super) fn of(config: &Config, policy: Option<&Overlay>) -> Self {
        let (one, nothing) = (&config.rest, Overlay::default());
        let other = policy.unwrap_or(&nothing);
        let overflow = if config.quorum {
            other.overflow.or(one.overflow)
        } else {
            one.overflow.or(other.overflow)
        };
        let safe = one.safe || other.safe;
        Self {
            ttl: least(one.ttl, other.ttl),
            max_length: least(one.max_length, other.max_length),
            max_bytes: least(one.max_bytes, other.max_bytes),
            overflow: overflow.unwrap_or_default(),
            target: one.target.or(other.target),
            key: key(one).or(key(other)),
            strategy: if safe {
                DeadLetterStrategy::AtLeastOnce
            } else {
                DeadLetterStrategy::AtMostOnce
            },
            delivery_limit: least(one.delivery_limit, other.delivery_limit),
        }
    }
}

impl Overlay {
    /// The keys without their prefix.
    fn fields(&self) -> Vec<(&'static str, FieldValue)> {
        let mut fields = Vec::new();
        let number = |number: u64| FieldValue::I64(number as i64);
        fields.extend(self.ttl.map(|ttl| ("message-ttl", number(ttl))));
        fields.extend(self.max_length.map(|most| ("max-length", number(most as u64))));
        fields.extend(self.max_bytes.map(|most| ("max-length-bytes", number(most as u64))));
        fields.extend(self.delivery_limit.map(|most| ("delivery-limit", number(most.into()))));
        fields.extend(self.overflow.map(|overflow| {
            let word = match overflow {
                Overflow::DropHead => "drop-head",
                Overflow::RejectPublish => "reject-publish",
                Overflow::RejectPublishDlx => "reject-publish-dlx",
            };
            ("overflow", text(word))
        }));
        if self.safe {
            fields.push(("dead-letter-strategy", text("at-least-once")));
        }
        if let Some(target) = self.target {
            let exchange = match target {
                Target::Nowhere => "nowhere".to_owned(),
                Target::Queue(_) => String::new(),
                Target::Two(pair) => format!("fan{}", usize::from(pair == PAIRS[1])),
            };
            fields.push(("dead-letter-exchange", text(&exchange)));
            if let Target::Queue(at) = target {
                fields.push(("dead-letter-routing-key", text(&format!("q{at}"))));
            }
        }
        fields
    }

    /// None if it says nothing.
    pub(super) fn definition(&self) -> Option<FieldTable> {
        let fields = self.fields().into_iter().map(|(key, value)| (key.to_owned(), value));
        let table = FieldTable(fields.collect());
        (!table.is_empty()).then_some(table)
    }

    /// Without what the queue's type does not know.
    pub(super) fn for_queue(mut self, config: &Config) -> Self {
        if !config.quorum {
            self.safe = false;
            self.delivery_limit = None;
        }
        self
    }
}

impl Config {
    pub(super) fn arguments(&self) -> FieldTable {
        let rest = self.rest.fields().into_iter();
        let mut all: Vec<_> = rest.map(|(key, value)| (format!("x-{key}"), value)).collect();
        let mut add = |key: &str, value| all.push((key.to_owned(), value));
        if self.max_priority > 0 {
            add("x-max-priority", FieldValue::I32(self.max_priority.into()));
        }
        if let Some(retry) = &self.retry {
            retry.arguments().into_iter().for_each(|(key, value)| add(key, value));
        }
        if self.single_active {
            add("x-single-active-consumer", FieldValue::Bool(true));
        }
        if self.quorum {
            add("x-queue-type", text("quorum"));
        }
        FieldTable(all)
    }
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        1 => Just(Target::Nowhere),
        6 => (0..QUEUES).prop_map(Target::Queue),
        3 => (0..2_usize).prop_map(|pair| Target::Two(PAIRS[pair])),
    ]
}

pub(super) fn overlay() -> impl Strategy<Value = Overlay> {
    let overflow = prop_oneof![
        1 => Just(Overflow::DropHead),
        2 => Just(Overflow::RejectPublish),
        1 => Just(Overflow::RejectPublishDlx)
    ];
    (
        prop::option::weighted(0.2, 1..120_u64),
        prop::option::weighted(0.3, 0..8_usize),
        prop::option::weighted(0.15, 0..400_usize),
        prop::option::weighted(0.6, overflow),
        prop::option::weighted(0.6, target()),
        any::<bool>(),
        prop::option::weighted(0.3, 0..3_u32),
    )
        .prop_map(|(ttl, max_length, max_bytes, overflow, target, safe, delivery_limit)| {
            Overlay { ttl, max_length, max_bytes, overflow, target, safe, delivery_limit }
        })
}

fn retry() -> impl Strategy<Value = Retry> {
    let kind =
        prop_oneof![Just(RetryKind::All), Just(RetryKind::Failed), Just(RetryKind::Returned)];
    let backoff =
        prop_oneof![Just(Backoff::Fixed), Just(Backoff::Linear), Just(Backoff::Exponential)];
    (kind, 1..60_u64, 0..200_u64, backoff).prop_map(|(kind, min_ms, more, backoff)| Retry {
        kind,
        min_ms,
        max_ms: min_ms + more,
        backoff,
    })
}

pub(super) fn config() -> impl Strategy<Value = Config> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let retry = prop::option::weighted(0.4, retry());
    (flags, retry, overlay()).prop_map(|(flags, retry, rest)| {
        let (transient, quorum, priority, single_active) = flags;
        let mut config = Config {
            durable: quorum || !transient,
            quorum,
            max_priority: if priority && !quorum { 2 } else { 0 },
            single_active,
            retry,
            rest: Overlay::default(),
        };
        config.rest = rest.for_queue(&config);
        config
    })
}
