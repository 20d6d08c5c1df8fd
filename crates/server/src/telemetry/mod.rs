//! OpenTelemetry: spans of what is done with messages whose traces are recorded, sent to a
//! collector by OTLP over HTTP.
//!
//! Sessions make spans and hand them over ([`Telemetry::send`]); a task of its own sends them in
//! batches ([`export`]). Invariants: nobody who handles messages waits for the collector: between
//! them is a channel with a bound, and what finds no room is counted and dropped. When it is off,
//! there is no [`Telemetry`], and nothing looks at any message.

mod encode;
mod export;
mod span;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use leveret_broker::message::{Message, TraceContext};
use leveret_broker::tracer::{Death, Tracer};
use tokio::sync::mpsc::{Receiver, Sender, channel};

pub(crate) use export::{Sending, start};
pub(crate) use span::{Attribute, Kind, Span};

use crate::clock;
use crate::oauth::WebAddress;
use crate::shared::Shared;

/// How many spans may wait to be sent.
const WAITING_MAX: usize = 16_384;
/// Stands between the numbers that [`Random`] makes numbers from.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The settings of OpenTelemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryOptions {
    /// The collector; `/v1/traces` is put behind it.
    pub endpoint: WebAddress,
    /// Which share of the messages without a trace begins one, 0 to 1.
    pub sample_ratio: f64,
    /// The name under which spans are found.
    pub service_name: String,
}

/// Numbers that do not repeat, and are not secret (SplitMix64).
#[derive(Debug)]
struct Random(AtomicU64);

impl Random {
    fn new() -> Self {
        let mut seed = [0; 8];
        // Without a source of chance the time must do: ids are no secrets.
        let seed = match getrandom::fill(&mut seed) {
            Ok(()) => u64::from_le_bytes(seed),
            Err(_) => clock::nanos(),
        };
        Self(AtomicU64::new(seed))
    }

    /// Never zero.
    fn next(&self) -> u64 {
        let mut number = self.0.fetch_add(GOLDEN, Ordering::Relaxed);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)).max(1)
    }
}

/// Where spans go while OpenTelemetry is on.
#[derive(Debug)]
pub(crate) struct Telemetry {
    spans: Sender<Span>,
    ids: Random,
    /// For the upper half of the ids of traces.
    traces: Random,
    choices: Random,
    /// A choice up to here begins a trace.
    begins_up_to: Option<u64>,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Telemetry {
    /// With the end at which the spans come out.
    pub(crate) fn new(sample_ratio: f64) -> (Arc<Self>, Receiver<Span>) {
        let (spans, received) = channel(WAITING_MAX);
        let begins_up_to = (sample_ratio > 0.0).then_some((u64::MAX as f64 * sample_ratio) as u64);
        let telemetry = Self {
            spans,
            ids: Random::new(),
            traces: Random::new(),
            choices: Random::new(),
            begins_up_to,
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        };
        (Arc::new(telemetry), received)
    }

    /// Takes a span; drops it if too many wait.
    pub(crate) fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.note_dropped(1);
        }
    }

    pub(crate) fn note_dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many spans a collector took, and how many were dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    /// A span below another one.
    pub(crate) fn below(&self, parent: &TraceContext) -> TraceContext {
        TraceContext { span: self.ids.next().to_be_bytes(), ..*parent }
    }

    /// The first span of a trace, for a message without one, if chance will have it.
    pub(crate) fn begin(&self) -> Option<TraceContext> {
        let most = self.begins_up_to?;
        (self.choices.next() <= most).then(|| {
            let mut trace = [0; 16];
            trace[..8].copy_from_slice(&self.traces.next().to_be_bytes());
            trace[8..].copy_from_slice(&self.ids.next().to_be_bytes());
            TraceContext { trace, span: self.ids.next().to_be_bytes(), flags: 1 }
        })
    }
}

/// RabbitMQ's name for a message's destination, by the conventions: exchange, routing key and
/// queue, as far as they are there.
pub(crate) fn destination(message: &Message, queue: &str) -> String {
    let parts = [message.exchange(), message.routing_key(), queue];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    // By the default exchange the key is the queue.
    match parts[..] {
        [key, queue] if message.exchange().is_empty() && key == queue => queue.to_owned(),
        [] => "amq.default".to_owned(),
        _ => parts.join(":"),
    }
}

/// What is said of every span about a message.
pub(crate) fn attributes(
    message: &Message,
    operation: &'static str,
    vhost: &str,
    queue: &str,
) -> Vec<(&'static str, Attribute)> {
    let mut all = vec![
        ("messaging.system", Attribute::Text("rabbitmq".into())),
        ("messaging.operation.name", Attribute::Text(operation.into())),
        ("messaging.destination.name", Attribute::Text(destination(message, queue).into())),
        ("messaging.message.body.size", Attribute::Number(message.body_len() as i64)),
        ("leveret.vhost", vhost.into()),
    ];
    if !message.routing_key().is_empty() {
        all.push(("messaging.rabbitmq.destination.routing_key", message.routing_key().into()));
    }
    let properties = message.basic_properties();
    for (name, value) in [
        ("messaging.message.id", &properties.message_id),
        ("messaging.message.conversation_id", &properties.correlation_id),
    ] {
        if let Some(text) = value.as_ref().and_then(|value| value.as_str()) {
            all.push((name, text.into()));
        }
    }
    all
}

/// What the broker tells of deaths.
struct Deaths(Weak<Telemetry>);

/// Turns OpenTelemetry on for the sessions and the broker.
pub(crate) fn attach(shared: &Shared, telemetry: &Arc<Telemetry>) {
    let _ = shared.telemetry.set(Arc::clone(telemetry));
    shared.broker.follow_by(Arc::new(Deaths(Arc::downgrade(telemetry))));
}

impl Tracer for Deaths {
    fn died(&self, death: &Death<'_>) -> Option<TraceContext> {
        let telemetry = self.0.upgrade()?;
        let parent = death.letter.trace().filter(TraceContext::is_sampled)?;
        let context = telemetry.below(&parent);
        let mut attributes = attributes(death.letter, "dead_letter", death.vhost, "");
        attributes.extend([
            ("leveret.dead_letter.queue", death.queue.into()),
            ("leveret.dead_letter.reason", Attribute::Text(death.reason.into())),
            ("leveret.route.queues", Attribute::Number(death.targets as i64)),
        ]);
        let now = clock::nanos();
        telemetry.send(Span {
            name: format!("dead_letter {}", death.queue),
            kind: Kind::Internal,
            context,
            parent: Some(parent.span),
            state: death.letter.trace_state(),
            start_ns: now,
            end_ns: now,
            attributes,
            error: None,
        });
        Some(context)
    }
}
