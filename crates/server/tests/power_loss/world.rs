//! One life of a broker: its log, its clients' connection, and what they hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use leveret_broker::broker::{Broker, Principal};
use leveret_broker::ids::{ConsumerId, QueueId, Seq, Timestamp};
use leveret_broker::log::{Log, Recovered};
use leveret_broker::message::Message;
use leveret_broker::queue::{ConsumerSpec, Delivery, Outlet, QueueHandle};
use leveret_server::durable::StoreLog;
use leveret_store::Store;

use crate::ledger::{Ledger, UNKNOWN};
use crate::recording::Recorder;

/// A connection with room for everything.
#[derive(Default)]
pub struct Sink(Mutex<Vec<Delivery>>);

impl Outlet for Sink {
    fn reserve(&self, _bytes: usize) -> bool {
        true
    }

    fn deliver(&self, deliveries: &mut Vec<Delivery>) {
        self.0.lock().unwrap().append(deliveries);
    }

    fn cancelled(&self, _consumer: ConsumerId) {}
}

pub struct Consumer {
    pub queue: Arc<QueueHandle>,
    /// From when on its deliveries may reach the client.
    pub position: u64,
    pub no_ack: bool,
}

/// A message that a client got and has not settled.
pub struct Held {
    pub queue: Arc<QueueHandle>,
    pub id: u64,
    pub dead: bool,
    pub durable: bool,
}

/// A message that a client got.
pub struct Given {
    pub seq: Seq,
    pub redelivered: bool,
    pub message: Message,
    /// From when on the client may have it.
    pub out: u64,
    pub no_ack: bool,
}

pub struct World {
    pub broker: Arc<Broker>,
    pub store: Arc<Store>,
    pub recorder: Arc<Recorder>,
    pub who: Principal,
    pub now: Timestamp,
    sink: Arc<Sink>,
    pub consumers: BTreeMap<ConsumerId, Consumer>,
    pub held: BTreeMap<(QueueId, Seq), Held>,
}

impl World {
    pub fn new(log: &Arc<StoreLog>, recovered: Recovered, now: Timestamp) -> Self {
        let recorder = Recorder::new(log);
        let broker =
            Broker::recover(Arc::clone(&recorder) as Arc<dyn Log>, [7; 32], recovered, now);
        assert_eq!(broker.orphans(), [], "messages without a queue");
        let broker = Arc::new(broker);
        let weak = Arc::downgrade(&broker);
        let source = Arc::downgrade(log.store());
        log.store().set_definitions(Arc::new(move || {
            let (broker, source) = (weak.upgrade()?, source.upgrade()?);
            Some(broker.with_definitions(|commands| {
                (StoreLog::encode_definitions(commands), source.defined())
            }))
        }));
        if !broker.has_vhosts() {
            broker.add_vhost("/");
        }
        if !broker.has_users() {
            broker.set_password_cost(leveret_broker::auth::Cost::LEAST);
            broker.put_administrator("guest", "guest", "/").expect("the vhost is there");
        }
        let connection = broker.new_connection();
        let who = Principal::new(connection).in_vhost("guest", "/");
        Self {
            broker,
            store: Arc::clone(log.store()),
            recorder,
            who,
            now,
            sink: Arc::default(),
            consumers: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    pub fn queues(&self) -> Vec<Arc<QueueHandle>> {
        self.broker.topology().vhosts["/"].queues.values().cloned().collect()
    }

    pub fn consume(&mut self, queue: &Arc<QueueHandle>, prefetch: u32, no_ack: bool) {
        let id = self.broker.new_consumer();
        let outlet = Arc::clone(&self.sink) as Arc<dyn Outlet>;
        let (limit, exclusive, priority) = (Arc::default(), false, 0);
        let spec = ConsumerSpec { id, outlet, limit, prefetch, no_ack, exclusive, priority };
        let position = self.broker.consume(queue, spec, self.now).expect("nobody is exclusive").0;
        self.consumers.insert(id, Consumer { queue: Arc::clone(queue), position, no_ack });
    }

    /// What came since the last call. `cancelled` are consumers that are gone already.
    pub fn take(&mut self) -> Vec<(Arc<QueueHandle>, Given)> {
        let deliveries = std::mem::take(&mut *self.sink.0.lock().unwrap());
        let given = deliveries.into_iter().filter_map(|one| {
            let consumer = self.consumers.get(&one.consumer)?;
            let (seq, redelivered, message) = (one.seq, one.redelivered, one.message);
            let (out, no_ack) = (consumer.position, consumer.no_ack);
            let given = Given { seq, redelivered, message, out, no_ack };
            Some((Arc::clone(&consumer.queue), given))
        });
        given.collect()
    }

    /// A client got a message.
    pub fn receive(&mut self, ledger: &mut Ledger, queue: &Arc<QueueHandle>, given: Given) {
        let (id, dead) = ledger.recognise(&given.message);
        let (queue_id, seq) = (queue.spec.id, given.seq);
        let durable = queue.is_durable() && given.message.persistent;
        if durable {
            let copy = ledger.copies.get_mut(&(queue_id, id, dead));
            assert!(copy.is_some() || dead, "message {id} was not published to {queue_id:?}");
            if let Some(copy) = copy {
                let settled = copy.settled.filter(|position| *position != UNKNOWN);
                assert!(settled.is_none() || dead, "message {id} came after its settlement");
                if given.no_ack {
                    copy.settled = Some(UNKNOWN);
                }
            }
            let place = ledger.places.entry((queue_id, seq)).or_default();
            let known = place.was_out || !place.requeued.is_empty();
            assert!(given.redelivered || !known, "message {id} was out of {queue_id:?} before");
            let settled = place.settled.take().is_some_and(|position| position != UNKNOWN);
            assert!(!settled, "{seq:?} of {queue_id:?} came after its settlement");
            place.id = id;
            place.out = Some(place.out.map_or(given.out, |out| out.min(given.out)));
        }
        if !given.no_ack {
            let held = Held { queue: Arc::clone(queue), id, dead, durable };
            let again = self.held.insert((queue_id, seq), held);
            assert!(again.is_none(), "{seq:?} of {queue_id:?} is out twice");
        }
    }

    /// Everything that came reaches its client.
    pub fn receive_all(&mut self, ledger: &mut Ledger) -> u64 {
        let given = self.take();
        let count = given.len() as u64;
        for (queue, given) in given {
            self.receive(ledger, &queue, given);
        }
        count
    }
}
