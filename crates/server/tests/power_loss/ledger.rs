//! What the clients know: what they published, what they were told, what they got. It is kept
//! without a look at the entries of the log, and compared after each restart.
//!
//! Each thing that a client did has the position at which it is durable: if that is not behind the
//! last batch that a restart found, it must have happened; the parts of one that is whole all
//! happened or none.

use std::collections::{BTreeMap, BTreeSet};

use leveret_broker::definitions::Command;
use leveret_broker::ids::{QueueId, Seq};
use leveret_broker::message::Message;
use leveret_broker::routing::Destination;
use leveret_wire::amqp091::properties::{BasicProperties, Properties};
use leveret_wire::amqp091::table::FieldTable;

use crate::model::State;

/// Durable at some time, or never.
pub const UNKNOWN: u64 = u64::MAX;

/// In every transient message.
pub const TRANSIENT: &str = "TRANSIENT-";

/// Properties without the count of returns, which quorum queues add.
fn as_published(properties: &[u8]) -> BasicProperties {
    let parsed = Properties::parse(properties).expect("they were encoded");
    let mut properties = BasicProperties::from(&parsed);
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers.iter().flat_map(|headers| headers.iter()) {
        if name != "x-delivery-count" {
            headers.insert(name, value.clone()).expect("it was a name");
        }
    }
    properties.headers = (headers != FieldTable::default()).then_some(headers);
    properties
}

/// A message as published.
#[derive(Debug, Clone)]
pub struct Sent {
    pub exchange: String,
    pub key: String,
    pub properties: Vec<u8>,
    pub body_len: usize,
    pub priority: u8,
    pub persistent: bool,
    pub expires: bool,
    pub life: u32,
}

/// Which message in which queue; a dead letter is another one than its message.
pub type CopyKey = (QueueId, u64, bool);

/// A durable message in a durable queue.
#[derive(Debug, Clone)]
pub struct Copy {
    pub published: u64,
    pub settled: Option<u64>,
    /// A limit or a time to live may take it.
    pub lossy: bool,
}

/// What became of a place that was delivered.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub id: u64,
    /// From when on a client may have it.
    pub out: Option<u64>,
    /// It left in an earlier life, or came back.
    pub was_out: bool,
    pub settled: Option<u64>,
    pub requeued: Vec<u64>,
    returns: u32,
}

/// Something that is done as a whole.
#[derive(Debug, Default)]
pub struct Act {
    pub position: u64,
    pub publishes: Vec<CopyKey>,
    pub acks: Vec<CopyKey>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub life: u32,
    pub sent: BTreeMap<u64, Sent>,
    pub copies: BTreeMap<CopyKey, Copy>,
    pub places: BTreeMap<(QueueId, Seq), Place>,
    pub acts: Vec<Act>,
    /// Durable definitions: at which position each came or went.
    facts: BTreeMap<String, Vec<(u64, bool)>>,
    /// Acts that a crash undid, and that it left.
    pub undone: u64,
    pub done: u64,
    pub redelivered: u64,
}

/// The body of the message with this number.
pub fn body(id: u64, len: usize) -> Vec<u8> {
    let mut bytes = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().repeat(len / 8 + 1);
    bytes.truncate(len);
    bytes
}

pub fn queue_fact(name: &str, id: QueueId) -> String {
    format!("queue {name} {}", id.0)
}

pub fn exchange_fact(name: &str) -> String {
    format!("exchange {name}")
}

pub fn binding_fact(source: &str, queue: &str, key: &str) -> String {
    format!("binding {source} {queue} {key}")
}

fn fact(command: &Command) -> Option<String> {
    match command {
        Command::DeclareExchange(_, spec) => Some(exchange_fact(&spec.name)),
        Command::DeclareQueue(spec) => Some(queue_fact(&spec.name, spec.id)),
        Command::Bind(_, binding) => match &binding.destination {
            Destination::Queue(queue) => {
                Some(binding_fact(&binding.source, queue, &binding.routing_key))
            }
            Destination::Exchange(_) => None,
        },
        _ => None,
    }
}

impl Ledger {
    /// A durable definition came or went.
    pub fn define(&mut self, fact: String, position: u64, there: bool) {
        self.facts.entry(fact).or_default().push((position, there));
    }

    /// With a queue or an exchange go its bindings.
    pub fn unbind_all(&mut self, exchange: Option<&str>, queue: Option<&str>, position: u64) {
        for (fact, events) in &mut self.facts {
            let mut words = fact.split(' ');
            let is_binding = words.next() == Some("binding");
            let (source, destination) = (words.next(), words.next());
            let hit =
                exchange.is_some() && source == exchange || queue.is_some() && destination == queue;
            if is_binding && hit && events.last().is_some_and(|(_, there)| *there) {
                events.push((position, false));
            }
        }
    }

    /// Which message this is, and whether as a dead letter; all of it must be as it was published.
    pub fn recognise(&self, message: &Message) -> (u64, bool) {
        let properties = Properties::parse(message.properties()).expect("they were encoded");
        let text = properties.message_id.and_then(|id| id.as_str()).expect("each has one");
        let digits = text.trim_start_matches(TRANSIENT);
        let id: u64 = digits.parse().expect("it is a number");
        let sent = self.sent.get(&id).unwrap_or_else(|| panic!("message {id} is invented"));
        let dead = message.headers().is_some_and(|headers| headers.get("x-death").is_some());
        assert!(message.body() == body(id, sent.body_len), "message {id} has another body");
        assert_eq!(message.persistent, sent.persistent, "message {id}");
        assert_eq!(message.priority, sent.priority, "message {id}");
        if !dead {
            assert_eq!(message.exchange(), sent.exchange, "message {id}");
            assert_eq!(message.routing_key(), sent.key, "message {id}");
            assert_eq!(as_published(message.properties()), as_published(&sent.properties), "{id}");
        }
        assert!(sent.persistent || sent.life == self.life, "message {id} is of an earlier life");
        (id, dead)
    }

    /// Compares with the state after a restart, of which `last` is the last batch, and begins a new
    /// life with it.
    pub fn restart(&mut self, state: &State, last: u64) {
        self.life += 1;
        self.check_definitions(state, last);
        let mut there: BTreeMap<CopyKey, Seq> = BTreeMap::new();
        for (queue, kept) in &state.queues {
            let mut before: BTreeMap<u8, u64> = BTreeMap::new();
            for (seq, kept) in &kept.messages {
                let (id, dead) = self.recognise(&kept.message);
                let again = there.insert((*queue, id, dead), *seq);
                assert!(again.is_none() || dead, "message {id} is in {queue:?} twice");
                if !dead {
                    let known = self.copies.contains_key(&(*queue, id, false));
                    assert!(known, "message {id} was not published to {queue:?}");
                    let before = before.insert(kept.level, id);
                    assert!(before < Some(id), "message {id} of {queue:?} has another place");
                }
            }
        }
        self.check_copies(state, &there, last);
        self.check_acts(state, &there, last);
        self.check_places(state, last);
        self.begin_anew(state, there);
    }

    fn check_definitions(&mut self, state: &State, last: u64) {
        let found: BTreeSet<String> = state.commands.iter().filter_map(fact).collect();
        let mut expected = BTreeSet::new();
        for (fact, events) in &mut self.facts {
            events.retain(|(position, _)| *position <= last);
            if events.last().is_some_and(|(_, there)| *there) {
                expected.insert(fact.clone());
            }
            events.drain(..events.len().saturating_sub(1));
        }
        assert_eq!(found, expected, "the definitions");
        self.facts.retain(|_, events| !events.is_empty());
    }

    fn check_copies(&self, state: &State, there: &BTreeMap<CopyKey, Seq>, last: u64) {
        let alive = alive(state);
        for (key, copy) in &self.copies {
            let must = copy.published <= last && copy.settled.is_none() && !copy.lossy;
            if must && alive.contains(&key.0) {
                let published = copy.published;
                assert!(there.contains_key(key), "{key:?} is lost, published at {published}");
            }
        }
    }

    fn check_acts(&mut self, state: &State, there: &BTreeMap<CopyKey, Seq>, last: u64) {
        let alive = alive(state);
        for act in std::mem::take(&mut self.acts) {
            let mut signs: Vec<(CopyKey, bool)> = Vec::new();
            for key in act.publishes.iter().filter(|key| alive.contains(&key.0)) {
                let copy = &self.copies[key];
                if there.contains_key(key) {
                    signs.push((*key, true));
                } else if copy.settled.is_none() && !copy.lossy {
                    signs.push((*key, false));
                }
            }
            for key in act.acks.iter().filter(|key| alive.contains(&key.0)) {
                if self.copies[key].published <= last {
                    signs.push((*key, !there.contains_key(key)));
                }
            }
            let done = signs.first().is_some_and(|(_, done)| *done);
            let whole = signs.iter().all(|(_, one)| *one == done);
            assert!(whole, "{act:?} is not whole: {signs:?}");
            assert!(done || signs.is_empty() || act.position > last, "{act:?} is lost");
            self.done += u64::from(done);
            self.undone += u64::from(!done && !signs.is_empty());
        }
    }

    fn check_places(&mut self, state: &State, last: u64) {
        for ((queue, seq), place) in &mut self.places {
            let Some(found) = state.queues.get(queue) else { continue };
            let Some(kept) = found.messages.get(seq) else { continue };
            let id = place.id;
            let settled = place.settled.is_some_and(|position| position <= last);
            assert!(!settled, "message {id} of {queue:?} was settled and is back");
            let text = Properties::parse(kept.message.properties()).expect("they were encoded");
            let text = text.message_id.and_then(|id| id.as_str());
            assert_eq!(text, Some(&*id.to_string()), "{seq:?} of {queue:?}");
            place.was_out |= place.out.is_some_and(|position| position <= last);
            if place.was_out {
                self.redelivered += 1;
                assert!(found.was_out(*seq), "{seq:?} of {queue:?} was out: {place:?}, {last}");
            }
            let durable = place.requeued.iter().filter(|position| **position <= last).count();
            let least = place.returns + durable as u32;
            let most = place.returns + place.requeued.len() as u32;
            let returns = found.returns.get(seq).copied().unwrap_or(0);
            assert!((least..=most).contains(&returns), "{seq:?} came back {least} times");
        }
    }

    /// What is there now is the past; everything else never was.
    fn begin_anew(&mut self, state: &State, there: BTreeMap<CopyKey, Seq>) {
        let lossy = |key: &CopyKey, copies: &BTreeMap<CopyKey, Copy>| {
            copies.get(key).is_none_or(|copy| copy.lossy)
        };
        let keys = there.into_keys();
        let copies = keys.map(|key| {
            let lossy = lossy(&key, &self.copies);
            (key, Copy { published: 0, settled: None, lossy })
        });
        self.copies = copies.collect();
        self.places.retain(|(queue, seq), place| {
            let Some(found) = state.queues.get(queue) else { return false };
            place.returns = found.returns.get(seq).copied().unwrap_or(0);
            place.was_out |= place.returns > 0;
            (place.out, place.settled) = (None, None);
            place.requeued.clear();
            found.messages.contains_key(seq)
        });
    }
}

fn alive(state: &State) -> BTreeSet<QueueId> {
    let id = |command: &Command| match command {
        Command::DeclareQueue(spec) => Some(spec.id),
        _ => None,
    };
    state.commands.iter().filter_map(id).collect()
}
