//! Which queues get dead letters: found anew when the definitions have changed.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use leveret_broker::definitions::{Topology, Vhost};
use leveret_broker::ids::QueueId;
use leveret_broker::queue::QueueHandle;
use leveret_broker::routing::Destination;

/// The queues that some other queue dead-letters to, as of a version of the definitions.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterQueues(Mutex<(u64, HashSet<QueueId>)>);

fn find(vhost: &Vhost, found: &mut HashSet<QueueId>) {
    let mut exchanges = BTreeSet::new();
    for queue in vhost.queues.values() {
        let settings = queue.settings();
        let Some(exchange) = &settings.dead_letter_exchange else { continue };
        if !exchange.is_empty() {
            exchanges.insert(exchange.clone());
        } else if let Some(key) = &settings.dead_letter_routing_key {
            found.extend(vhost.queues.get(key).map(|queue| queue.spec.id));
        }
    }
    let exchanges = exchanges.iter().filter_map(|name| vhost.exchanges.get(name));
    for binding in exchanges.flat_map(|exchange| exchange.bindings()) {
        if let Destination::Queue(name) = &binding.destination {
            found.extend(vhost.queues.get(name).map(|queue| queue.spec.id));
        }
    }
}

impl DeadLetterQueues {
    /// Whether a queue is one of them.
    pub(crate) fn contain(&self, topology: &Topology, queue: &QueueHandle) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != topology.version {
            let mut found = HashSet::new();
            topology.vhosts.values().for_each(|vhost| find(vhost, &mut found));
            *known = (topology.version, found);
        }
        known.1.contains(&queue.spec.id)
    }
}
