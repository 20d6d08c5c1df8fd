//! From an exchange, routing keys and headers to queues. One file an exchange type.
//!
//! Routers are persistent structures: a clone is cheap and a change leaves older clones as they
//! were, so that publishers route on a snapshot without a lock. What is no part of the definitions,
//! a history of messages or a count of them, is shared by all clones.

mod consistent_hash;
mod delayed;
mod direct;
mod fanout;
mod hash;
mod headers;
mod local_random;
mod modulus_hash;
mod places;
mod random;
mod recent_history;
mod targets;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::definitions::{Binding, ExchangeSpec, Vhost};
use crate::error::Refusal;
use crate::ids::{Name, Timestamp};
use crate::message::{FieldTable, Message};
use crate::queue::QueueHandle;

pub(crate) use recent_history::{History, Past};

/// Where a binding leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Destination {
    /// A queue.
    Queue(Name),
    /// Another exchange (RabbitMQ: Exchange to Exchange Bindings).
    Exchange(Name),
}

/// The exchange types. New ones are added at the end: the index is the stored form.
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
    /// By a hash; binding keys are weights.
    ConsistentHash,
    /// By a hash; all bindings weigh the same.
    ModulusHash,
    /// One binding by chance.
    Random,
    /// One binding by chance, to a queue on the publisher's node.
    LocalRandom,
    /// Every binding matches, and a new one gets the last messages.
    RecentHistory,
    /// As another type, when the time has come that a message asks for.
    Delayed,
    /// Every binding matches, and nothing passes twice.
    MessageDeduplication,
}

impl ExchangeKind {
    /// All types.
    pub const ALL: [Self; 11] = [
        Self::Direct,
        Self::Fanout,
        Self::Topic,
        Self::Headers,
        Self::ConsistentHash,
        Self::ModulusHash,
        Self::Random,
        Self::LocalRandom,
        Self::RecentHistory,
        Self::Delayed,
        Self::MessageDeduplication,
    ];

    /// The type's name in `exchange.declare`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::ModulusHash => "x-modulus-hash",
            Self::Random => "x-random",
            Self::LocalRandom => "x-local-random",
            Self::RecentHistory => "x-recent-history",
            Self::Delayed => "x-delayed-message",
            Self::MessageDeduplication => "x-message-deduplication",
        }
    }

    /// The type of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type that routes, in an exchange with these arguments.
    pub(crate) fn routing(self, arguments: &FieldTable) -> Self {
        if self == Self::Delayed { delayed::kind(arguments) } else { self }
    }

    /// Refuses an exchange's arguments that this type cannot use.
    pub(crate) fn check_arguments(self, arguments: &FieldTable) -> Result<(), Refusal> {
        match self {
            Self::ConsistentHash => consistent_hash::check(arguments),
            Self::RecentHistory => recent_history::check(arguments),
            Self::Delayed => delayed::check(arguments),
            _ => Ok(()),
        }
    }

    /// Refuses a binding whose key, arguments or destination this type cannot use.
    pub(crate) fn check_binding(self, binding: &Binding, vhost: &Vhost) -> Result<(), Refusal> {
        match self {
            Self::Headers => headers::check(binding),
            Self::ConsistentHash => consistent_hash::check_binding(binding),
            Self::LocalRandom => local_random::check_binding(binding, vhost),
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
    ConsistentHash(consistent_hash::ConsistentHashRouter),
    ModulusHash(modulus_hash::ModulusHashRouter),
    Random(random::RandomRouter),
    RecentHistory(recent_history::RecentHistoryRouter),
}

impl Router {
    /// Without bindings; chance comes from `seed`.
    pub(crate) fn new(spec: &ExchangeSpec, seed: u64) -> Self {
        use recent_history::RecentHistoryRouter;
        match spec.routing_kind() {
            ExchangeKind::Direct | ExchangeKind::Delayed => {
                Self::Direct(direct::DirectRouter::default())
            }
            ExchangeKind::Fanout | ExchangeKind::MessageDeduplication => {
                Self::Fanout(fanout::FanoutRouter::default())
            }
            ExchangeKind::Topic => Self::Topic(topic::TopicRouter::new(seed)),
            ExchangeKind::Headers => Self::Headers(headers::HeadersRouter::default()),
            ExchangeKind::ConsistentHash => {
                let router = consistent_hash::ConsistentHashRouter::new(&spec.arguments);
                Self::ConsistentHash(router)
            }
            ExchangeKind::ModulusHash => {
                Self::ModulusHash(modulus_hash::ModulusHashRouter::default())
            }
            ExchangeKind::Random | ExchangeKind::LocalRandom => {
                let name = u64::from(hash::string(spec.name.as_bytes()));
                Self::Random(random::RandomRouter::new(seed ^ (name << 37)))
            }
            ExchangeKind::RecentHistory => {
                Self::RecentHistory(RecentHistoryRouter::new(&spec.arguments))
            }
        }
    }

    pub(crate) fn bind(&mut self, binding: &Binding) {
        match self {
            Self::Direct(router) => router.bind(binding),
            Self::Fanout(router) => router.bind(binding),
            Self::Topic(router) => router.bind(binding),
            Self::Headers(router) => router.bind(binding),
            Self::ConsistentHash(router) => router.bind(binding),
            Self::ModulusHash(router) => router.bind(binding),
            Self::Random(router) => router.bind(binding),
            Self::RecentHistory(router) => router.bind(binding),
        }
    }

    pub(crate) fn unbind(&mut self, binding: &Binding) {
        match self {
            Self::Direct(router) => router.unbind(binding),
            Self::Fanout(router) => router.unbind(binding),
            Self::Topic(router) => router.unbind(binding),
            Self::Headers(router) => router.unbind(binding),
            Self::ConsistentHash(router) => router.unbind(binding),
            Self::ModulusHash(router) => router.unbind(binding),
            Self::Random(router) => router.unbind(binding),
            Self::RecentHistory(router) => router.unbind(binding),
        }
    }

    /// By how many bytes a history grew.
    fn route<'a>(
        &'a self,
        input: &RoutingInput<'_>,
        found: &mut dyn FnMut(&'a Destination),
    ) -> i64 {
        match self {
            Self::Direct(router) => input.keys().for_each(|key| router.route(key, found)),
            Self::Fanout(router) => router.route(found),
            Self::Topic(router) => input.keys().for_each(|key| router.route(key, found)),
            Self::Headers(router) => {
                let headers = input.message.and_then(Message::headers);
                router.route(headers.as_ref(), found);
            }
            Self::ConsistentHash(router) => router.route(input, found),
            Self::ModulusHash(router) => router.route(input, found),
            Self::Random(router) => router.route(found),
            Self::RecentHistory(router) => return router.route(input, found),
        }
        0
    }

    /// Whether more than the exchange and the keys decide, or routing leaves a trace.
    fn varies(&self) -> bool {
        match self {
            Self::Direct(_) | Self::Fanout(_) | Self::Topic(_) | Self::ModulusHash(_) => false,
            Self::Headers(_) | Self::Random(_) | Self::RecentHistory(_) => true,
            Self::ConsistentHash(router) => !router.by_key(),
        }
    }

    /// What the exchange keeps of its messages, if it is of a type that does.
    pub(crate) fn history(&self) -> Option<&Arc<History>> {
        match self {
            Self::RecentHistory(router) => Some(router.history()),
            _ => None,
        }
    }

    /// The bindings in the order that they must be made in again, if that matters.
    pub(crate) fn ordered(&self) -> Option<impl Iterator<Item = &Binding>> {
        match self {
            Self::ConsistentHash(router) => Some(router.bindings()),
            _ => None,
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
    /// The message, for the types that look into it or keep it; none only asks.
    pub message: Option<&'a Message>,
    /// The present, for messages that ask to wait.
    pub now: Timestamp,
}

impl<'a> RoutingInput<'a> {
    fn keys(&self) -> impl Iterator<Item = &'a str> {
        std::iter::once(self.routing_key).chain(self.extra_keys.iter().map(|key| &**key))
    }
}

/// The outcome of routing.
#[derive(Debug, Default)]
pub struct Routed {
    /// The queues, each once, by name; schedules of exchanges behind them.
    pub queues: Vec<Arc<QueueHandle>>,
    /// The next message with the same exchange and keys may go elsewhere, or must be routed again
    /// for another reason.
    pub varies: bool,
    /// By how much what exchanges keep of their messages grew.
    pub history_bytes: i64,
}

/// What was found on the way.
#[derive(Debug, Default)]
struct Walk<'a> {
    queues: SmallVec<[&'a Name; 8]>,
    /// Where it waits first.
    schedules: Vec<Arc<QueueHandle>>,
    waiting: VecDeque<Name>,
    varies: bool,
    history_bytes: i64,
}

impl<'a> Walk<'a> {
    fn enter(&mut self, vhost: &'a Vhost, name: &str, input: &RoutingInput<'_>) {
        if name.is_empty() {
            return self.enter_default(vhost, input);
        }
        let Some(exchange) = vhost.exchanges.get(name) else { return };
        self.varies |= exchange.router.varies();
        if let Some(schedule) = exchange.schedule() {
            self.varies = true;
            if input.message.is_some_and(|message| message.due_at(input.now).is_some()) {
                self.schedules.push(Arc::clone(schedule));
                return;
            }
        }
        let mut matched = false;
        self.history_bytes += exchange.router.route(input, &mut |destination| {
            matched = true;
            match destination {
                Destination::Queue(queue) => self.queues.push(queue),
                Destination::Exchange(next) => self.waiting.push_back(next.clone()),
            }
        });
        // As in RabbitMQ, the default exchange is nobody's alternate.
        if !matched && let Some(alternate) = exchange.alternate().filter(|name| !name.is_empty()) {
            self.waiting.push_back(alternate);
        }
    }

    /// The default exchange: every queue is bound by its name (0-9-1 specification 3.1.3.3).
    fn enter_default(&mut self, vhost: &'a Vhost, input: &RoutingInput<'_>) {
        for key in input.keys() {
            if let Some((name, _)) = vhost.queues.get_key_value(key) {
                self.queues.push(name);
            }
        }
    }
}

/// Finds the queues for a message that is published to `exchange`: follows bindings between
/// exchanges (each exchange once, so that cycles end) and, from an exchange where nothing matches,
/// its alternate exchange (RabbitMQ: Alternate Exchanges).
pub fn route(vhost: &Vhost, exchange: &str, input: &RoutingInput<'_>) -> Routed {
    let mut walk = Walk::default();
    walk.enter(vhost, exchange, input);
    if !walk.waiting.is_empty() {
        let mut visited: BTreeSet<Name> = BTreeSet::from([exchange.into()]);
        while let Some(name) = walk.waiting.pop_front() {
            if !visited.contains(&name) {
                walk.enter(vhost, &name, input);
                visited.insert(name);
            }
        }
    }
    if walk.queues.len() > 1 {
        walk.queues.sort_unstable();
        walk.queues.dedup();
    }
    let queues = walk.queues.iter().filter_map(|name| vhost.queues.get(*name)).cloned();
    let queues = queues.chain(walk.schedules).collect();
    Routed { queues, varies: walk.varies, history_bytes: walk.history_bytes }
}
