//! The local-random exchange: as the random one, among the queues of the publisher's node
//! (RabbitMQ: Local Random Exchange). All queues are on this node, so that only its bindings
//! differ: they are without a key, and lead to classic queues.

use super::Destination;
use crate::definitions::{Binding, Vhost};
use crate::error::Refusal;

/// Refuses a binding that leads elsewhere, or has a key.
pub(super) fn check_binding(binding: &Binding, vhost: &Vhost) -> Result<(), Refusal> {
    if !binding.routing_key.is_empty() {
        let key = &binding.routing_key;
        let text = format!("Non empty binding '{key}' key not permitted");
        return Err(Refusal::precondition(text));
    }
    let queue = match &binding.destination {
        Destination::Queue(name) => vhost.queues.get(name),
        Destination::Exchange(_) => None,
    };
    match queue {
        None => Err(Refusal::precondition("Destination not found")),
        Some(queue) if queue.spec.settings().quorum => Err(Refusal::precondition(
            "Queue type rabbit_quorum_queue not valid for this exchange type",
        )),
        Some(_) => Ok(()),
    }
}
