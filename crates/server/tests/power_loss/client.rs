//! What clients do, by chance, and what the ledger learns of it.

use std::sync::Arc;

use leveret_broker::broker::{
    BindRequest, ExchangeRequest, Outgoing, QueueRequest, Route, Transaction,
};
use leveret_broker::ids::{QueueId, Seq};
use leveret_broker::message::{FieldTable, FieldValue, Message, MessageBuilder};
use leveret_broker::queue::{QueueHandle, Settlement};
use leveret_broker::routing::{Destination, RoutingInput};
use leveret_store::disk::Random;
use leveret_wire::amqp091::properties::{BasicProperties, ShortString};

use crate::ledger::{
    Act, Copy, Ledger, Sent, TRANSIENT, UNKNOWN, binding_fact, body, exchange_fact, queue_fact,
};
use crate::world::{Given, World};

const QUEUES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const EXCHANGES: [(&str, &str); 4] =
    [("direct", "direct"), ("fanout", "fanout"), ("topic", "topic"), ("other", "fanout")];
const KEYS: [&str; 4] = ["x", "x.y", "x.z", "y"];
const PATTERNS: [&str; 4] = ["#", "x.*", "x", "*.z"];

/// The clients of one life.
pub struct Client<'a> {
    pub world: &'a mut World,
    pub ledger: &'a mut Ledger,
    pub random: &'a mut Random,
    pub next_id: &'a mut u64,
    /// Queues with limits or times to live are made too.
    pub lossy: bool,
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.as_bytes().to_vec())
}

fn is_lossy(queue: &QueueHandle) -> bool {
    let settings = queue.settings();
    settings.max_length.is_some()
        || settings.max_length_bytes.is_some()
        || settings.message_ttl_ms.is_some()
        || settings.delivery_limit.is_some()
}

impl Client<'_> {
    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize].clone()
    }

    fn queue(&mut self) -> Option<Arc<QueueHandle>> {
        let queues = self.world.queues();
        (!queues.is_empty()).then(|| self.pick(&queues))
    }

    // Definitions.

    pub fn declare_queue(&mut self) {
        let name = self.pick(&QUEUES);
        let durable = !self.random.once_in(5);
        let arguments = self.queue_arguments(durable);
        let request =
            QueueRequest { name, durable, exclusive: false, auto_delete: false, arguments };
        let declared = self.world.broker.declare_queue(&self.world.who, request, self.world.now);
        // One of that name with other arguments is refused.
        if let Ok(declared) = declared
            && let Some(queue) = declared.created
            && durable
        {
            self.ledger.define(queue_fact(name, queue.spec.id), declared.position.0, true);
        }
    }

    fn queue_arguments(&mut self, durable: bool) -> FieldTable {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value| arguments.push((name.to_owned(), value));
        let quorum = self.lossy && durable && self.random.once_in(8);
        if quorum {
            add("x-queue-type", text("quorum"));
            add("x-delivery-limit", FieldValue::I32(2));
        } else if self.random.once_in(4) {
            add("x-max-priority", FieldValue::I32(1 + self.random.below(4) as i32));
        }
        if self.lossy && self.random.once_in(4) {
            add("x-max-length", FieldValue::I32(2 + self.random.below(12) as i32));
            if self.random.once_in(2) {
                let overflow = ["drop-head", "reject-publish"][self.random.below(2) as usize];
                add("x-overflow", text(overflow));
            }
        }
        if self.lossy && self.random.once_in(5) {
            let millis = 5 + 10 * self.random.below(100) as i32;
            add("x-message-ttl", FieldValue::I32(millis));
        }
        if self.random.once_in(3) {
            add("x-dead-letter-exchange", text(""));
            let key = QUEUES[self.random.below(QUEUES.len() as u64) as usize];
            add("x-dead-letter-routing-key", text(key));
        }
        FieldTable(arguments)
    }

    pub fn delete_queue(&mut self) {
        let Some(queue) = self.queue() else { return };
        let (broker, now) = (Arc::clone(&self.world.broker), self.world.now);
        let name = &*queue.spec.name;
        let deleted = broker.delete_queue(&self.world.who, name, false, false, now);
        let (_, position) = deleted.expect("nobody is exclusive");
        let id = queue.spec.id;
        if queue.is_durable() {
            self.ledger.define(queue_fact(name, id), position.0, false);
            self.ledger.unbind_all(None, Some(name), position.0);
        }
        // What was on its way to consumers came before the end.
        self.world.receive_all(self.ledger);
        self.world.consumers.retain(|_, consumer| consumer.queue.spec.id != id);
        self.world.held.retain(|(queue, _), _| *queue != id);
    }

    pub fn declare_exchange(&mut self) {
        let (name, kind) = self.pick(&EXCHANGES);
        if self.world.broker.find_exchange(&self.world.who, name).is_ok() {
            return;
        }
        let durable = !self.random.once_in(4);
        let (auto_delete, internal, arguments) = (false, false, FieldTable::default());
        let request = ExchangeRequest { name, kind, durable, auto_delete, internal, arguments };
        let position = self.world.broker.declare_exchange(&self.world.who, request).expect("new");
        if durable {
            self.ledger.define(exchange_fact(name), position.0, true);
        }
    }

    pub fn delete_exchange(&mut self) {
        let (name, _) = self.pick(&EXCHANGES);
        let durable = self.is_durable_exchange(name);
        let position = self.world.broker.delete_exchange(&self.world.who, name, false).unwrap();
        if durable == Some(true) {
            self.ledger.define(exchange_fact(name), position.0, false);
            self.ledger.unbind_all(Some(name), None, position.0);
        }
    }

    fn is_durable_exchange(&self, name: &str) -> Option<bool> {
        let topology = self.world.broker.topology();
        topology.vhosts["/"].exchanges.get(name).map(|exchange| exchange.spec.durable)
    }

    pub fn bind(&mut self, there: bool) {
        let ((source, _), key) = (self.pick(&EXCHANGES), self.random.below(4) as usize);
        let routing_key = if source == "topic" { PATTERNS[key] } else { KEYS[key] };
        let Some(queue) = self.queue() else { return };
        let Some(durable) = self.is_durable_exchange(source) else { return };
        let destination = Destination::Queue(queue.spec.name.clone());
        let arguments = FieldTable::default();
        let request = BindRequest { source, destination, routing_key, arguments };
        let (broker, who, now) = (&self.world.broker, &self.world.who, self.world.now);
        let before = self.world.recorder.len();
        let done = if there { broker.bind(who, request, now) } else { broker.unbind(who, request) };
        let position = done.expect("both are there");
        if durable && queue.is_durable() && self.world.recorder.len() > before {
            let fact = binding_fact(source, &queue.spec.name, routing_key);
            self.ledger.define(fact, position.0, there);
        }
    }

    // Publishing.

    /// A message, and where it goes; none if its exchange is missing.
    fn message(&mut self) -> Option<(u64, Message, Route)> {
        let (exchange, key) = match self.random.below(3) {
            0 => ("", self.pick(&QUEUES)),
            _ => (self.pick(&EXCHANGES).0, self.pick(&KEYS)),
        };
        let persistent = !self.random.once_in(4);
        let priority = self.random.below(6) as u8;
        let id = *self.next_id;
        let prefix = if persistent { "" } else { TRANSIENT };
        let expires = self.lossy && self.random.once_in(10);
        let expiration = expires.then(|| (5 + 10 * self.random.below(60)).to_string());
        let properties = BasicProperties {
            delivery_mode: Some(if persistent { 2 } else { 1 }),
            priority: self.random.once_in(2).then_some(priority),
            expiration: expiration.map(|text| ShortString::from_bytes(text.as_bytes()).unwrap()),
            message_id: ShortString::from_bytes(format!("{prefix}{id}").as_bytes()),
            ..BasicProperties::default()
        };
        let priority = properties.priority.unwrap_or(0);
        let mut encoded = Vec::new();
        properties.encode(&mut encoded);
        let body_len = match self.random.below(12) {
            0 => 0,
            1 => self.random.below(40 << 10) as usize,
            2 => 4_096,
            _ => self.random.below(900) as usize,
        };
        let topology = self.world.broker.topology();
        let input =
            RoutingInput { routing_key: key, extra_keys: &[], message: None, now: self.world.now };
        let route = self.world.broker.route(&topology, &self.world.who, exchange, &input).ok()?;
        let size = body_len as u64;
        let builder = MessageBuilder::new(exchange, key, &encoded, size, Some("guest"), None);
        let mut builder = builder.expect("the properties are right");
        builder.push(&body(id, body_len)).expect("it fits");
        *self.next_id += 1;
        let (exchange, key, properties) = (exchange.to_owned(), key.to_owned(), encoded);
        let life = self.ledger.life;
        let sent =
            Sent { exchange, key, properties, body_len, priority, persistent, expires, life };
        self.ledger.sent.insert(id, sent);
        Some((id, builder.finish().0, route))
    }

    /// What is durable of a message that was published; `act` gathers it.
    fn published(&mut self, id: u64, route: &Route, act: &mut Act) {
        let sent = &self.ledger.sent[&id];
        if !sent.persistent {
            return;
        }
        for queue in route.queues.iter().filter(|queue| queue.is_durable()) {
            let key = (queue.spec.id, id, false);
            let lossy = is_lossy(queue) || sent.expires;
            let copy = Copy { published: act.position, settled: None, lossy };
            let again = self.ledger.copies.insert(key, copy);
            assert!(again.is_none(), "message {id} was published twice");
            act.publishes.push(key);
        }
    }

    pub fn publish(&mut self) {
        let mut outgoing = Outgoing::default();
        let count = 1 + self.random.below(4);
        let messages: Vec<_> = (0..count).filter_map(|_| self.message()).collect();
        for (id, message, route) in &messages {
            outgoing.push(message.clone(), route, *id);
        }
        let position = self.world.broker.flush(&mut outgoing, self.world.now).position.0;
        for (id, _, route) in &messages {
            let mut act = Act { position, ..Act::default() };
            self.published(*id, route, &mut act);
            if act.publishes.len() > 1 {
                self.ledger.acts.push(act);
            }
        }
    }

    // Consuming.

    pub fn consume(&mut self) {
        let Some(queue) = self.queue() else { return };
        let no_ack = self.random.once_in(6);
        let prefetch = self.random.below(6) as u32;
        self.world.consume(&queue, prefetch, no_ack);
    }

    pub fn cancel(&mut self) {
        self.world.receive_all(self.ledger);
        let ids: Vec<_> = self.world.consumers.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = self.pick(&ids);
        let queue = Arc::clone(&self.world.consumers[&id].queue);
        self.world.broker.cancel(&queue, id, self.world.now);
        // What was given until now came before the answer.
        self.world.receive_all(self.ledger);
        self.world.consumers.remove(&id);
    }

    pub fn get(&mut self) {
        let Some(queue) = self.queue() else { return };
        let no_ack = self.random.once_in(5);
        if let Some(got) = self.world.broker.get(&queue, no_ack, self.world.now) {
            // A get without acknowledgement does not wait for the log, which need not know of it.
            let out = if no_ack { UNKNOWN } else { got.position.0 };
            let (seq, redelivered, message) = (got.seq, got.redelivered, got.message);
            let given = Given { seq, redelivered, message, out, no_ack };
            self.world.receive(self.ledger, &queue, given);
        }
    }

    /// Some of what a client holds of one queue.
    fn some_held(&mut self, most: u64) -> Option<(Arc<QueueHandle>, Vec<Seq>)> {
        let all: Vec<_> = self.world.held.keys().copied().collect();
        if all.is_empty() {
            return None;
        }
        let (queue, first) = self.pick(&all);
        let count = 1 + self.random.below(most) as usize;
        let from = if self.random.once_in(3) { Seq(0) } else { first };
        let seqs = all.iter().filter(|(other, seq)| *other == queue && *seq >= from);
        let seqs: Vec<Seq> = seqs.map(|(_, seq)| *seq).take(count).collect();
        Some((Arc::clone(&self.world.held[&(queue, first)].queue), seqs))
    }

    fn how(&mut self) -> Settlement {
        match self.random.below(6) {
            0 => Settlement::Reject,
            1 | 2 => Settlement::Requeue,
            _ => Settlement::Ack,
        }
    }

    pub fn settle(&mut self) {
        let Some((queue, seqs)) = self.some_held(6) else { return };
        let how = self.how();
        self.settle_these(&queue, &seqs, how);
    }

    pub fn settle_these(&mut self, queue: &Arc<QueueHandle>, seqs: &[Seq], how: Settlement) {
        let unreadable = queue.counts().unreadable;
        let position = self.world.broker.settle(queue, seqs, how, self.world.now).0;
        // A dead letter that cannot be read stays in the log.
        let lost = queue.counts().unreadable > unreadable;
        let position = if lost { UNKNOWN } else { position };
        for seq in seqs {
            self.settled(queue, *seq, (how, position), None);
        }
    }

    /// A delivery was settled; `act` gathers acks.
    fn settled(
        &mut self,
        queue: &Arc<QueueHandle>,
        seq: Seq,
        (how, position): (Settlement, u64),
        act: Option<&mut Act>,
    ) {
        let id = queue.spec.id;
        let Some(held) = self.world.held.remove(&(id, seq)) else { return };
        if !held.durable {
            return;
        }
        let place = self.ledger.places.entry((id, seq)).or_default();
        if how == Settlement::Requeue {
            place.requeued.push(position);
            return;
        }
        place.settled = Some(position);
        let key = (id, held.id, held.dead);
        if let Some(copy) = self.ledger.copies.get_mut(&key) {
            copy.settled = Some(position);
            if let (Settlement::Ack, Some(act), false) = (how, act, held.dead) {
                act.acks.push(key);
            }
        }
        if how == Settlement::Reject && !held.dead && position != UNKNOWN {
            self.died(queue, held.id, position);
        }
    }

    /// A message was rejected: its dead letter is durable when that is.
    fn died(&mut self, queue: &QueueHandle, id: u64, position: u64) {
        let settings = queue.settings();
        let Some(key) = settings.dead_letter_routing_key.as_deref() else { return };
        let Ok(target) = self.world.broker.find_queue(&self.world.who, key) else { return };
        if target.is_durable() {
            let lossy = is_lossy(&target);
            let copy = Copy { published: position, settled: None, lossy };
            let again = self.ledger.copies.insert((target.spec.id, id, true), copy);
            if let Some(again) = again
                && let Some(copy) = self.ledger.copies.get_mut(&(target.spec.id, id, true))
            {
                // Which of them is settled cannot be told apart.
                copy.lossy = true;
                copy.published = again.published;
            }
        }
    }

    pub fn purge(&mut self) {
        let Some(queue) = self.queue() else { return };
        let (name, id) = (&queue.spec.name, queue.spec.id);
        let purged = self.world.broker.purge_queue(&self.world.who, name, self.world.now);
        let (_, position) = purged.expect("nobody is exclusive");
        // What cannot be read is in the queue no more, but in the log.
        let unreadable = queue.counts().unreadable > 0;
        let position = if unreadable { UNKNOWN } else { position.0 };
        let held: Vec<u64> = self.held_ids(id);
        let copies = self.ledger.copies.iter_mut();
        for (key, copy) in copies.filter(|(key, _)| key.0 == id && !held.contains(&key.1)) {
            if copy.settled.is_none() && !key.2 {
                copy.settled = Some(position);
            } else if key.2 {
                copy.lossy = true;
            }
        }
    }

    fn held_ids(&self, queue: QueueId) -> Vec<u64> {
        let held = self.world.held.iter().filter(|((id, _), _)| *id == queue);
        held.map(|(_, held)| held.id).collect()
    }

    /// Publishes and settlements over several queues.
    pub fn transaction(&mut self) {
        let mut transaction = Transaction::default();
        let count = self.random.below(4);
        let messages: Vec<_> = (0..count).filter_map(|_| self.message()).collect();
        for (_, message, route) in &messages {
            transaction.publish(message, route);
        }
        let mut settlements = Vec::new();
        for _ in 0..self.random.below(3) {
            let Some((queue, seqs)) = self.some_held(3) else { break };
            let how = if self.random.once_in(4) { self.how() } else { Settlement::Ack };
            for seq in seqs {
                transaction.settle(&queue, seq, how);
                settlements.push((Arc::clone(&queue), seq, how));
            }
        }
        let count = |queues: &[Arc<QueueHandle>]| -> u64 {
            queues.iter().map(|queue| queue.counts().unreadable).sum()
        };
        let queues = self.world.queues();
        let unreadable = count(&queues);
        let position = self.world.broker.commit(transaction, self.world.now).0.0;
        let lost = count(&queues) > unreadable;
        let mut act = Act { position, ..Act::default() };
        for (id, _, route) in &messages {
            self.published(*id, route, &mut act);
        }
        let position = if lost { UNKNOWN } else { position };
        for (queue, seq, how) in settlements {
            self.settled(&queue, seq, (how, position), Some(&mut act));
        }
        if !lost {
            self.ledger.acts.push(act);
        }
    }
}
