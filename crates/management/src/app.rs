//! What all requests share.

use std::sync::Arc;

use leveret_broker::broker::Broker;
use leveret_broker::ids::ConnectionId;
use leveret_broker::queue::QueueHandle;

use crate::auth::Sessions;
use crate::dead_letters::DeadLetterQueues;
use crate::node::Node;
use crate::rates::Rates;

/// The management interface of a server.
pub(crate) struct App {
    pub(crate) node: Arc<dyn Node>,
    /// By which the broker knows us: no client's.
    pub(crate) connection: ConnectionId,
    pub(crate) rates: Rates,
    pub(crate) sessions: Sessions,
    dead_letter_queues: DeadLetterQueues,
    /// The node's name in RabbitMQ's form.
    pub(crate) node_name: String,
}

impl App {
    pub(crate) fn new(node: Arc<dyn Node>) -> Self {
        let connection = node.broker().new_connection();
        let node_name = node.facts().node_name;
        Self {
            node,
            connection,
            rates: Rates::default(),
            sessions: Sessions::default(),
            dead_letter_queues: DeadLetterQueues::default(),
            node_name,
        }
    }

    /// Whether some queue dead-letters to this one.
    pub(crate) fn is_dead_letter_queue(&self, queue: &QueueHandle) -> bool {
        self.dead_letter_queues.contain(&self.broker().topology(), queue)
    }

    pub(crate) fn broker(&self) -> &Broker {
        self.node.broker()
    }
}
