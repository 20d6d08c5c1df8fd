//! What all connections of a server share: the broker, the options, who is connected, the alarm.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use leveret_broker::broker::Broker;
use leveret_broker::ids::ConnectionId;
use tokio::sync::Notify;

use crate::net::mailbox::{Mailbox, Notice};
use crate::options::Options;

/// The reason in `connection.blocked` (as RabbitMQ words it).
pub(crate) const LOW_MEMORY: &str = "low on memory";

pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) options: ArcSwap<Options>,
    connections: Mutex<HashMap<ConnectionId, Arc<Mailbox>>>,
    alarm: AtomicBool,
    /// Told when the alarm goes on.
    pub(crate) alarm_raised: Notify,
    /// Told when a connection has ended.
    pub(crate) connection_ended: Notify,
}

impl Shared {
    pub(crate) fn new(broker: Broker, options: Options) -> Self {
        Self {
            broker,
            options: ArcSwap::from_pointee(options),
            connections: Mutex::default(),
            alarm: AtomicBool::new(false),
            alarm_raised: Notify::new(),
            connection_ended: Notify::new(),
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Mailbox>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(&self, id: ConnectionId, mailbox: Arc<Mailbox>) {
        self.connections().insert(id, mailbox);
    }

    pub(crate) fn disconnect(&self, id: ConnectionId) {
        self.connections().remove(&id);
        self.connection_ended.notify_waiters();
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections().len()
    }

    /// Tells every connection.
    pub(crate) fn broadcast(&self, notice: &Notice) {
        for mailbox in self.connections().values() {
            mailbox.notify(notice.clone());
        }
    }

    /// Sets the alarm and tells every connection of the change, in one step: no two changes can
    /// overtake each other. False when it was so already.
    fn set_alarm(&self, on: bool) -> bool {
        let connections = self.connections();
        if self.alarm.swap(on, Ordering::AcqRel) == on {
            return false;
        }
        let notice = if on { Notice::Blocked } else { Notice::Unblocked };
        connections.values().for_each(|mailbox| mailbox.notify(notice.clone()));
        true
    }

    /// Whether publishers are held up.
    pub(crate) fn is_alarmed(&self) -> bool {
        self.alarm.load(Ordering::Acquire)
    }

    /// Raises the alarm if messages take more memory than they may.
    pub(crate) fn check_memory(&self) {
        let limit = self.options.load().memory_high_watermark_bytes;
        if self.broker.memory_bytes() > limit && !self.is_alarmed() && self.set_alarm(true) {
            tracing::warn!(limit, "memory alarm: publishers are blocked");
            self.alarm_raised.notify_one();
        }
    }

    /// Ends the alarm once a twentieth of the limit is free; true when it is off.
    pub(crate) fn relax_memory(&self) -> bool {
        let limit = self.options.load().memory_high_watermark_bytes;
        if self.broker.memory_bytes() <= limit - limit / 20 && self.set_alarm(false) {
            tracing::info!("memory alarm is over");
        }
        !self.is_alarmed()
    }
}
