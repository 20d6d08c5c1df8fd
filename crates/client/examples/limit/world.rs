//! What the connections know of each other: which queues an exchange feeds, who consumes a queue.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pump::{Shape, Target};

/// How long a producer's first message waits for consumers.
const CONSUMERS_WAIT: Duration = Duration::from_secs(1);

/// A consumer's socket; locked for whole messages.
pub type Sink = Arc<Mutex<TcpStream>>;

/// One consumer of a queue.
#[derive(Debug, Clone)]
struct Consumer {
    channel: u16,
    tag: String,
    sink: Sink,
}

#[derive(Debug, Default)]
struct Tables {
    bindings: HashMap<String, Vec<String>>,
    consumers: HashMap<String, Vec<Consumer>>,
}

/// Shared by all connections.
#[derive(Debug, Default)]
pub struct World {
    tables: Mutex<Tables>,
    changed: Condvar,
}

impl World {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the exchange feeds the queue.
    pub fn bind(&self, exchange: &str, queue: &str) {
        self.tables().bindings.entry(exchange.to_owned()).or_default().push(queue.to_owned());
    }

    /// Forgets a queue with its consumers and bindings.
    pub fn delete(&self, queue: &str) {
        let mut tables = self.tables();
        tables.consumers.remove(queue);
        tables.bindings.values_mut().for_each(|queues| queues.retain(|bound| bound != queue));
    }

    /// Adds a consumer, by its channel and tag.
    pub fn consume(&self, queue: &str, (channel, tag): (u16, &str), stream: TcpStream) {
        let mut tables = self.tables();
        let same = |consumer: &&Consumer| same_socket(&consumer.sink, &stream);
        let known = tables.consumers.values().flatten().find(same);
        let sink = known.map(|consumer| Arc::clone(&consumer.sink));
        let sink = sink.unwrap_or_else(|| Arc::new(Mutex::new(stream)));
        let consumer = Consumer { channel, tag: tag.to_owned(), sink };
        tables.consumers.entry(queue.to_owned()).or_default().push(consumer);
        self.changed.notify_all();
    }

    /// Where a producer's messages go: one of the consumers of each queue, and one target for all
    /// queues of the same socket.
    pub fn targets(&self, shape: &Shape) -> Vec<Target> {
        let tables = self.tables();
        let (mut tables, _) = self
            .changed
            .wait_timeout_while(tables, CONSUMERS_WAIT, |tables| {
                let queues = queues(tables, shape);
                queues.iter().any(|queue| !tables.consumers.contains_key(queue))
            })
            .unwrap_or_else(PoisonError::into_inner);
        let mut targets: Vec<Target> = Vec::new();
        for queue in queues(&tables, shape) {
            let Some(consumers) = tables.consumers.get_mut(&queue) else { continue };
            // Producers of the same queue take its consumers in turns.
            consumers.rotate_left(1);
            let Some(consumer) = consumers.first() else { continue };
            match targets.iter_mut().find(|target| Arc::ptr_eq(&target.sink, &consumer.sink)) {
                Some(target) => target.copies += 1,
                None => {
                    let (sink, from) =
                        (Arc::clone(&consumer.sink), (consumer.channel, &*consumer.tag));
                    targets.push(Target::new(sink, from, shape));
                }
            }
        }
        targets
    }
}

fn queues(tables: &Tables, shape: &Shape) -> Vec<String> {
    match shape.exchange.as_str() {
        "" => vec![shape.routing_key.clone()],
        exchange => tables.bindings.get(exchange).cloned().unwrap_or_default(),
    }
}

fn same_socket(sink: &Sink, stream: &TcpStream) -> bool {
    let sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    matches!((sink.peer_addr(), stream.peer_addr()), (Ok(one), Ok(other)) if one == other)
}
