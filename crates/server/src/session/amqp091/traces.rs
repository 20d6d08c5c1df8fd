//! The spans of a connection: what its client publishes, gets and settles, of messages whose traces
//! are recorded.
//!
//! Invariants: none of this is there while OpenTelemetry is off, and what is asked then is asked
//! once a turn, a run of deliveries or a group of settlements. Deliveries that wait for their
//! settlement have a bound ([`HELD_MAX`]).

use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use leveret_broker::ids::{Name, QueueId, Seq};
use leveret_broker::message::{Message, TraceContext};
use leveret_broker::queue::{QueueHandle, Settlement};

use super::failure::Failure;
use crate::clock;
use crate::telemetry::{Attribute, Kind, Span, Telemetry, attributes, destination};

/// The most deliveries of a connection whose settlement is waited for; that of more has no span.
const HELD_MAX: usize = 16_384;

/// A delivery whose trace is recorded.
#[derive(Debug)]
struct Held {
    context: TraceContext,
    state: Option<String>,
    destination: String,
}

/// A publish whose trace is recorded.
#[derive(Debug)]
pub(super) struct Publishing {
    /// Of its span.
    context: TraceContext,
    parent: Option<[u8; 8]>,
    start_ns: u64,
}

impl Publishing {
    /// The message to be published: one that begins a trace says so.
    pub(super) fn sent(&self, message: Message) -> Message {
        if self.parent.is_some() { message } else { message.with_trace(&self.context) }
    }
}

/// What was delivered to whom.
pub(super) struct Delivered<'a> {
    /// `deliver` or `get`.
    pub(super) operation: &'static str,
    pub(super) queue: &'a Arc<QueueHandle>,
    pub(super) seq: Seq,
    pub(super) message: &'a Message,
    pub(super) redelivered: bool,
    /// The delivery tag.
    pub(super) tag: u64,
    pub(super) no_ack: bool,
    /// None for a get.
    pub(super) consumer_tag: Option<&'a Name>,
}

/// The traces of a connection.
#[derive(Debug)]
pub(super) struct Traces {
    telemetry: Arc<Telemetry>,
    peer: SocketAddr,
    vhost: Name,
    /// Publishes of this turn, whose spans end with it.
    published: Vec<Span>,
    held: HashMap<(QueueId, Seq), Held, FixedState>,
}

impl Traces {
    /// Of a connection from that address, in that vhost.
    pub(super) fn new(telemetry: Arc<Telemetry>, peer: SocketAddr, vhost: Name) -> Self {
        let (published, held) = (Vec::new(), HashMap::default());
        Self { telemetry, peer, vhost, published, held }
    }

    /// A publish begins; none if it is not to be recorded.
    pub(super) fn begin(&self, message: &Message) -> Option<Publishing> {
        let start_ns = clock::nanos();
        let (context, parent) = match message.trace() {
            Some(sender) if sender.is_sampled() => {
                (self.telemetry.below(&sender), Some(sender.span))
            }
            Some(_) => return None,
            None => (self.telemetry.begin()?, None),
        };
        Some(Publishing { context, parent, start_ns })
    }

    /// A publish was routed since `since_ns`, to so many queues, or was refused.
    pub(super) fn routed(
        &mut self,
        publishing: &Publishing,
        message: &Message,
        since_ns: u64,
        routed: Result<usize, &Failure>,
    ) {
        let now = clock::nanos();
        let mut route = self.span("route", message, "");
        route.attributes.retain(|(name, _)| *name != "messaging.message.body.size");
        route.context = self.telemetry.below(&publishing.context);
        route.parent = Some(publishing.context.span);
        (route.start_ns, route.end_ns) = (since_ns, now);
        let mut publish = self.span("publish", message, "");
        publish.kind = Kind::Server;
        publish.attributes.push(("messaging.operation.type", Attribute::Text("send".into())));
        (publish.context, publish.parent) = (publishing.context, publishing.parent);
        publish.start_ns = publishing.start_ns;
        match routed {
            Ok(queues) => {
                route.attributes.push(("leveret.route.queues", Attribute::Number(queues as i64)));
            }
            Err(failure) => {
                let error = failure.code.name();
                for span in [&mut route, &mut publish] {
                    span.error = Some(error);
                    span.attributes.push(("error.type", Attribute::Text(error.into())));
                }
            }
        }
        self.telemetry.send(route);
        self.published.push(publish);
    }

    /// The publishes of this turn are in their queues.
    pub(super) fn flushed(&mut self) {
        let now = clock::nanos();
        for mut span in self.published.drain(..) {
            span.end_ns = now;
            self.telemetry.send(span);
        }
    }

    /// A message goes to the client.
    pub(super) fn delivered(&mut self, delivered: &Delivered<'_>) {
        let Some(sender) = delivered.message.trace().filter(TraceContext::is_sampled) else {
            return;
        };
        let queue = &delivered.queue.spec;
        let mut span = self.span(delivered.operation, delivered.message, &queue.name);
        span.kind = Kind::Producer;
        (span.context, span.parent) = (self.telemetry.below(&sender), Some(sender.span));
        let tag = i64::try_from(delivered.tag).unwrap_or(i64::MAX);
        span.attributes.extend([
            ("messaging.operation.type", Attribute::Text("receive".into())),
            ("messaging.rabbitmq.message.delivery_tag", Attribute::Number(tag)),
            ("leveret.queue", (&*queue.name).into()),
            ("leveret.redelivered", Attribute::Flag(delivered.redelivered)),
        ]);
        if let Some(consumer_tag) = delivered.consumer_tag {
            span.attributes.push(("leveret.consumer_tag", (&**consumer_tag).into()));
        }
        if !delivered.no_ack && self.held.len() < HELD_MAX {
            let destination = destination(delivered.message, &queue.name);
            let held = Held { context: span.context, state: span.state.clone(), destination };
            self.held.insert((queue.id, delivered.seq), held);
        }
        self.telemetry.send(span);
    }

    /// The client settled deliveries, or gave them back by going.
    pub(super) fn settled(&mut self, queue: &QueueHandle, seqs: &[Seq], how: Settlement) {
        if self.held.is_empty() {
            return;
        }
        let operation = match how {
            Settlement::Ack => Some("ack"),
            Settlement::Reject => Some("reject"),
            Settlement::Requeue => Some("requeue"),
            Settlement::Release => None,
        };
        let now = clock::nanos();
        for seq in seqs {
            let held = self.held.remove(&(queue.spec.id, *seq));
            let (Some(held), Some(operation)) = (held, operation) else { continue };
            let text = |text: &'static str| Attribute::Text(text.into());
            let mut attributes = vec![
                ("messaging.system", text("rabbitmq")),
                ("messaging.operation.name", text(operation)),
                ("messaging.operation.type", text("settle")),
                ("messaging.destination.name", Attribute::Text(held.destination.into())),
                ("leveret.queue", (&*queue.spec.name).into()),
                ("leveret.vhost", (&*queue.spec.vhost).into()),
            ];
            self.add_peer(&mut attributes);
            self.telemetry.send(Span {
                name: format!("{operation} {}", queue.spec.name),
                kind: Kind::Server,
                context: self.telemetry.below(&held.context),
                parent: Some(held.context.span),
                state: held.state,
                start_ns: now,
                end_ns: now,
                attributes,
                error: None,
            });
        }
    }

    fn add_peer(&self, attributes: &mut Vec<(&'static str, Attribute)>) {
        attributes.extend([
            ("network.peer.address", Attribute::Text(self.peer.ip().to_string().into())),
            ("network.peer.port", Attribute::Number(self.peer.port().into())),
        ]);
    }

    /// A span about a message, without a place in its trace.
    fn span(&self, operation: &'static str, message: &Message, queue: &str) -> Span {
        let now = clock::nanos();
        let mut attributes = attributes(message, operation, &self.vhost, queue);
        self.add_peer(&mut attributes);
        let of = match (queue, message.exchange()) {
            ("", "") => message.routing_key(),
            ("", exchange) => exchange,
            (queue, _) => queue,
        };
        Span {
            name: format!("{operation} {of}"),
            kind: Kind::Internal,
            context: TraceContext { trace: [0; 16], span: [0; 8], flags: 0 },
            parent: None,
            state: message.trace_state(),
            start_ns: now,
            end_ns: now,
            attributes,
            error: None,
        }
    }
}
