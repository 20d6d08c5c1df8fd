//! Routing a publish and handing a turn's messages to their queues.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::once::{Line, Looked, Sent};
use super::{Broker, Principal};
use crate::auth::Permission;
use crate::deduplication::ExchangeMemory;
use crate::definitions::{Topology, Traffic};
use crate::error::{Refusal, Resource};
use crate::ids::{QueueId, Timestamp};
use crate::log::Position;
use crate::message::Message;
use crate::queue::{Batch, Publish, QueueHandle, finish_all};
use crate::routing::{ExchangeKind, RoutingInput, route};

/// Where a message goes.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Its queues, each once.
    pub queues: Vec<Arc<QueueHandle>>,
    /// The same exchange and key lead there as long as the definitions stay.
    pub cacheable: bool,
    /// What is counted of the exchange.
    pub traffic: Option<Arc<Traffic>>,
    /// What the exchange remembers of messages that have passed it.
    pub(crate) memory: Option<Arc<ExchangeMemory>>,
}

/// The publishes of one turn.
///
/// Mostly all of them go to the same queues: then each message is kept once, beside the queues. The
/// first that goes elsewhere has them gathered by queue, in the order in which they came.
///
/// Invariant: `groups` is empty while there is something in `shared`.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Messages for all of `queues`, with what the caller knows each by.
    shared: Vec<(Message, u64)>,
    queues: Vec<Arc<QueueHandle>>,
    groups: Vec<Group>,
    index: HashMap<QueueId, usize, FixedState>,
    /// A message is durable in more than one of the queues.
    spread: bool,
    /// Those that exchanges look at, in the order in which they came.
    looked: Vec<Looked>,
}

/// More room than this is given back after a turn.
const ROOM_KEPT: usize = 64;

#[derive(Debug)]
struct Group {
    queue: Arc<QueueHandle>,
    /// With each message, what the caller knows it by.
    messages: Vec<(Message, u64)>,
}

/// What became of a turn's publishes.
#[derive(Debug, Default)]
pub struct Flushed {
    /// When all are durable.
    pub position: Position,
    /// Those that a queue refused.
    pub rejected: Vec<u64>,
    /// A queue's consumers wait for messages to be read back: the publisher should let others at
    /// the processor for a moment.
    pub starved: bool,
}

impl Outgoing {
    /// Adds a message for all queues of `route`; `mark` comes back if one refuses it.
    pub fn push(&mut self, message: Message, route: &Route, mark: u64) {
        if route.queues.is_empty() {
            return;
        }
        if let Some(memory) = &route.memory {
            self.look(memory, &message, &route.queues);
        }
        if route.queues.len() > 1 && message.persistent {
            self.spread |= route.queues.iter().filter(|queue| queue.is_durable()).count() > 1;
        }
        if self.is_empty() {
            self.queues.clone_from(&route.queues);
        }
        if self.groups.is_empty() && self.leads_to(&route.queues) {
            self.shared.push((message, mark));
        } else {
            self.gather();
            self.push_by_queue(message, &route.queues, mark);
        }
    }

    /// Notes a message that its exchange is to look at; those are gathered by queue.
    fn look(
        &mut self,
        memory: &Arc<ExchangeMemory>,
        message: &Message,
        queues: &[Arc<QueueHandle>],
    ) {
        self.gather();
        let looked = Looked::at(memory, message, queues, |queue| self.group(queue).len());
        self.looked.extend(looked);
    }

    /// Whether these are `self.queues`.
    fn leads_to(&self, queues: &[Arc<QueueHandle>]) -> bool {
        queues.len() == self.queues.len()
            && queues.iter().zip(&self.queues).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Gathers what is kept once by queue.
    fn gather(&mut self) {
        let queues = std::mem::take(&mut self.queues);
        for (message, mark) in std::mem::take(&mut self.shared) {
            self.push_by_queue(message, &queues, mark);
        }
    }

    fn push_by_queue(&mut self, message: Message, queues: &[Arc<QueueHandle>], mark: u64) {
        let Some((last, others)) = queues.split_last() else { return };
        for queue in others {
            self.group(queue).push((message.clone(), mark));
        }
        self.group(last).push((message, mark));
    }

    fn group(&mut self, queue: &Arc<QueueHandle>) -> &mut Vec<(Message, u64)> {
        let id = queue.spec.id;
        let at = match self.groups.last() {
            Some(last) if last.queue.spec.id == id => self.groups.len() - 1,
            _ => *self.index.entry(id).or_insert_with(|| {
                self.groups.push(Group { queue: Arc::clone(queue), messages: Vec::new() });
                self.groups.len() - 1
            }),
        };
        &mut self.groups[at].messages
    }

    /// Whether there is anything to flush.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.shared.is_empty()
    }
}

impl Broker {
    /// Whether a client may publish to an exchange at all: asked before [`Self::route`], once for
    /// each exchange and version of the definitions.
    pub fn permit_publish(
        &self,
        topology: &Topology,
        who: &Principal,
        exchange: &str,
    ) -> Result<(), Refusal> {
        let resource = Resource::Exchange(exchange, &who.vhost);
        match topology.vhosts.get(&who.vhost) {
            Some(vhost) => vhost.permit(who, Permission::Write, resource),
            None => Err(Refusal::not_found(resource)),
        }
    }

    /// Finds the queues for a publish by a client: the exchange must exist and not be internal.
    pub fn route(
        &self,
        topology: &Topology,
        who: &Principal,
        exchange: &str,
        input: &RoutingInput<'_>,
    ) -> Result<Route, Refusal> {
        let resource = Resource::Exchange(exchange, &who.vhost);
        let Some(vhost) = topology.vhosts.get(&who.vhost) else {
            return Err(Refusal::not_found(resource));
        };
        let source = vhost.exchange(exchange)?;
        if source.spec.internal {
            let text = format!("cannot publish to internal {resource}");
            return Err(Refusal::access(text));
        }
        if source.spec.routing_kind() == ExchangeKind::Topic {
            let further = input.extra_keys.iter().map(|key| &**key);
            for key in std::iter::once(input.routing_key).chain(further) {
                vhost.permit_topic(who, Permission::Write, exchange, key)?;
            }
        }
        let routed = route(vhost, exchange, input);
        self.count_memory(routed.history_bytes);
        let cacheable = !routed.varies && input.extra_keys.is_empty();
        let (traffic, memory) = (Some(Arc::clone(&source.traffic)), source.memory.clone());
        Ok(Route { queues: routed.queues, cacheable, traffic, memory })
    }

    /// Hands all that gathered in `outgoing` to the queues, one lock each, and empties it. If a
    /// message is durable in several of them, all take effect together: the log has its bytes once,
    /// and it is in all of its queues or in none after a crash.
    pub fn flush(&self, outgoing: &mut Outgoing, now: Timestamp) -> Flushed {
        if !outgoing.looked.is_empty() {
            outgoing.gather();
            outgoing.index.clear();
            return self.flush_once(std::mem::take(outgoing), now);
        }
        if std::mem::take(&mut outgoing.spread) {
            outgoing.gather();
            outgoing.index.clear();
            return self.flush_together(std::mem::take(&mut outgoing.groups), now);
        }
        let mut flushed = Flushed::default();
        if let Some((last, others)) = outgoing.queues.split_last() {
            for queue in others {
                self.flush_one(queue, outgoing.shared.iter().cloned(), now, &mut flushed);
            }
            self.flush_one(last, outgoing.shared.drain(..), now, &mut flushed);
            outgoing.queues.clear();
            outgoing.queues.shrink_to(ROOM_KEPT);
            outgoing.shared.shrink_to(ROOM_KEPT);
            return flushed;
        }
        outgoing.index.clear();
        for group in outgoing.groups.drain(..) {
            self.flush_one(&group.queue, group.messages.into_iter(), now, &mut flushed);
        }
        flushed
    }

    fn flush_one(
        &self,
        queue: &Arc<QueueHandle>,
        messages: impl Iterator<Item = (Message, u64)>,
        now: Timestamp,
        flushed: &mut Flushed,
    ) {
        let mut batch = queue.lock(self.context(now));
        publish_all(&mut batch, messages, flushed);
        let finished = batch.finish();
        flushed.starved |= finished.effects.starved;
        let position = self.finished(queue, finished, now);
        flushed.position = flushed.position.max(position);
    }

    fn flush_together(&self, mut groups: Vec<Group>, now: Timestamp) -> Flushed {
        let mut flushed = Flushed::default();
        // The order of locks.
        groups.sort_unstable_by_key(|group| group.queue.spec.id);
        let (queues, messages): (Vec<_>, Vec<_>) =
            groups.into_iter().map(|group| (group.queue, group.messages)).unzip();
        let mut batches = Vec::with_capacity(queues.len());
        for (queue, messages) in queues.iter().zip(messages) {
            let mut batch = queue.lock(self.context(now));
            publish_all(&mut batch, messages.into_iter(), &mut flushed);
            batches.push(batch);
        }
        let mut finished = Vec::with_capacity(queues.len());
        finish_all(batches, |_, one| finished.push(one));
        for (queue, one) in queues.iter().zip(finished) {
            flushed.starved |= one.effects.starved;
            flushed.position = flushed.position.max(self.finished(queue, one, now));
        }
        flushed
    }

    /// The same where exchanges look at messages first.
    fn flush_once(&self, outgoing: Outgoing, now: Timestamp) -> Flushed {
        let Outgoing { mut groups, looked, .. } = outgoing;
        groups.sort_unstable_by_key(|group| group.queue.spec.id);
        let (queues, messages): (Vec<_>, Vec<_>) =
            groups.into_iter().map(|group| (group.queue, group.messages)).unzip();
        let lock = || {
            let lines = queues.iter().zip(messages);
            lines
                .map(|(queue, messages)| {
                    (queue.spec.id, Line::new(queue.lock(self.context(now)), messages))
                })
                .collect()
        };
        let sent = self.send_once(&looked, lock, |_, _| {}, now);
        let Sent { position, rejected, finished } = sent;
        let mut flushed = Flushed { position, rejected, starved: false };
        for (queue, one) in queues.iter().zip(finished) {
            flushed.starved |= one.effects.starved;
            flushed.position = flushed.position.max(self.finished(queue, one, now));
        }
        flushed
    }
}

fn publish_all(
    batch: &mut Batch<'_>,
    messages: impl Iterator<Item = (Message, u64)>,
    flushed: &mut Flushed,
) {
    for (message, mark) in messages {
        if batch.publish_once(message) == Publish::Rejected {
            flushed.rejected.push(mark);
        }
    }
}
