//! From an exchange, routing keys and headers to queues. One file an exchange type.
//!
//! Routers are persistent structures: a clone is cheap and a change leaves older clones as they
//! were, so that publishers route on a snapshot without a lock.

mod direct;
mod fanout;
mod headers;
mod topic;

use std::collections::{BTreeSet, VecDeque};

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::definitions::{Binding, Vhost};
use crate::error::Refusal;
use crate::ids::Name;
use crate::message::HeaderTable;

/// Where a binding leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Destination {
    /// A queue.
    Queue(Name),
    /// Another exchange (RabbitMQ: Exchange to Exchange Bindings).
    Exchange(Name),
}

/// Destinations with the number of bindings that lead to each.
type Targets = OrdMap<Destination, u32>;

fn add_target(targets: &mut Targets, destination: &Destination) {
    *targets.entry(destination.clone()).or_insert(0) += 1;
}

fn remove_target(targets: &mut Targets, destination: &Destination) {
    if let Some(count) = targets.get_mut(destination) {
        *count -= 1;
        if *count == 0 {
            targets.remove(destination);
        }
    }
}

/// The exchange types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// Routing key equals binding key.
    Direct,
    /// Every binding matches.
    Fanout,
    /// Words with `*` and `#`.
    Topic,
    /// By the headers table.
    Headers,
}

impl ExchangeKind {
    /// The type's name in `exchange.declare`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }

    /// The type of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Fanout, Self::Topic, Self::Headers]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Refuses a binding whose arguments this type cannot use.
    pub(crate) fn check_binding(self, binding: &Binding) -> Result<(), Refusal> {
        match self {
            Self::Headers => headers::check(binding),
            _ => Ok(()),
        }
    }
}

/// The bindings of one exchange in the form that its type matches fastest.
#[derive(Debug, Clone)]
pub(crate) enum Router {
    Direct(direct::DirectRouter),
    Fanout(fanout::FanoutRouter),
    Topic(topic::TopicRouter),
    Headers(headers::HeadersRouter),
}

impl Router {
    pub(crate) fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(direct::DirectRouter::default()),
            ExchangeKind::Fanout => Self::Fanout(fanout::FanoutRouter::default()),
            ExchangeKind::Topic => Self::Topic(topic::TopicRouter::default()),
            ExchangeKind::Headers => Self::Headers(headers::HeadersRouter::default()),
        }
    }

    pub(crate) fn bind(&mut self, binding: &Binding) {
        match self {
            Self::Direct(router) => router.bind(binding),
            Self::Fanout(router) => router.bind(binding),
            Self::Topic(router) => router.bind(binding),
            Self::Headers(router) => router.bind(binding),
        }
    }

    pub(crate) fn unbind(&mut self, binding: &Binding) {
        match self {
            Self::Direct(router) => router.unbind(binding),
            Self::Fanout(router) => router.unbind(binding),
            Self::Topic(router) => router.unbind(binding),
            Self::Headers(router) => router.unbind(binding),
        }
    }

    fn route(&self, input: &RoutingInput<'_>, found: &mut dyn FnMut(&Destination)) {
        let keys = std::iter::once(input.routing_key).chain(input.extra_keys.iter().map(|k| &**k));
        match self {
            Self::Direct(router) => keys.for_each(|key| router.route(key, found)),
            Self::Fanout(router) => router.route(found),
            Self::Topic(router) => keys.for_each(|key| router.route(key, found)),
            Self::Headers(router) => router.route(input.headers.as_ref(), found),
        }
    }
}

/// What of a message decides where it goes.
#[derive(Debug, Clone, Copy)]
pub struct RoutingInput<'a> {
    /// The publish's routing key.
    pub routing_key: &'a str,
    /// Keys from CC and BCC.
    pub extra_keys: &'a [Name],
    /// The headers table.
    pub headers: Option<HeaderTable<'a>>,
}

/// The outcome of routing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// The queues, each once, by name.
    pub queues: BTreeSet<Name>,
    /// A headers exchange was asked, so that the routing key alone does not decide.
    pub by_headers: bool,
}

/// Finds the queues for a message that is published to `exchange`: follows bindings between
/// exchanges (each exchange once, so that cycles end) and, from an exchange where nothing matches,
/// its alternate exchange (RabbitMQ: Alternate Exchanges).
pub fn route(vhost: &Vhost, exchange: &str, input: &RoutingInput<'_>) -> Routed {
    let mut routed = Routed::default();
    let mut visited: BTreeSet<Name> = BTreeSet::new();
    let mut waiting: VecDeque<Name> = VecDeque::from([Name::from(exchange)]);
    while let Some(name) = waiting.pop_front() {
        if !visited.insert(name.clone()) {
            continue;
        }
        if name.is_empty() {
            route_default(vhost, input, &mut routed);
            continue;
        }
        let Some(exchange) = vhost.exchanges.get(&name) else { continue };
        routed.by_headers |= exchange.spec.kind == ExchangeKind::Headers;
        let mut matched = false;
        exchange.router.route(input, &mut |destination| {
            matched = true;
            match destination {
                Destination::Queue(queue) => {
                    routed.queues.insert(queue.clone());
                }
                Destination::Exchange(next) => waiting.push_back(next.clone()),
            }
        });
        // As in RabbitMQ, the default exchange is nobody's alternate.
        if !matched && let Some(alternate) = exchange.alternate().filter(|name| !name.is_empty()) {
            waiting.push_back(alternate);
        }
    }
    routed
}

/// The default exchange: every queue is bound by its name (0-9-1 specification 3.1.3.3).
fn route_default(vhost: &Vhost, input: &RoutingInput<'_>, routed: &mut Routed) {
    let keys = std::iter::once(input.routing_key).chain(input.extra_keys.iter().map(|k| &**k));
    for key in keys {
        if let Some((name, _)) = vhost.queues.get_key_value(key) {
            routed.queues.insert(name.clone());
        }
    }
}
