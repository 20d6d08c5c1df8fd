//! A queue: its messages, its consumers, and the one lock over both.
//!
//! A connection locks a queue once for all that a socket read brought it ([`QueueHandle::lock`]),
//! applies its operations to the [`Batch`], and finishes: durable entries go to the log as one
//! group, deliveries to the consumers' connections. Lock order: definitions, queues by id, outlets.

mod batch;
mod consumers;
mod messages;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use batch::{
    Batch, Death, DeathReason, Effects, Finished, Got, Publish, Settlement, finish_all,
};
pub use consumers::{ChannelLimit, ConsumerSpec, Delivery, Outlet};

use consumers::Consumers;
use messages::Messages;

use crate::definitions::QueueSpec;
use crate::error::{Refusal, Resource};
use crate::ids::{ConnectionId, Timestamp};
use crate::log::Log;

/// What a batch needs from outside of the queue.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The present.
    pub now: Timestamp,
    /// Where durable entries go.
    pub log: &'a dyn Log,
}

/// The state of a queue, under its lock.
#[derive(Debug)]
struct Queue {
    messages: Messages,
    consumers: Consumers,
    /// It was deleted: nothing enters any more.
    deleted: bool,
    /// Last declared, consumed or asked for a message (for `x-expires`).
    used_at: Timestamp,
}

/// A queue that others hold on to.
#[derive(Debug)]
pub struct QueueHandle {
    /// As declared.
    pub spec: QueueSpec,
    state: Mutex<Queue>,
    /// The earliest time for which the broker has set its alarm for this queue.
    alarm_at: AtomicU64,
}

/// A queue's counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages to be delivered.
    pub ready: usize,
    /// Messages out for delivery.
    pub unacked: usize,
    /// Consumers.
    pub consumers: usize,
}

impl QueueHandle {
    pub(crate) fn new(spec: QueueSpec) -> Self {
        let state = Queue {
            messages: Messages::new(spec.settings.max_priority),
            consumers: Consumers::new(spec.settings.single_active_consumer),
            deleted: false,
            used_at: Timestamp(0),
        };
        Self { spec, state: Mutex::new(state), alarm_at: AtomicU64::new(u64::MAX) }
    }

    fn state(&self) -> MutexGuard<'_, Queue> {
        // A panic under the lock is a bug; the queue is still the best state there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the queue for a batch of operations.
    pub fn lock<'a>(&'a self, context: Context<'a>) -> Batch<'a> {
        Batch::new(self, self.state(), context)
    }

    /// Whether it was deleted.
    pub fn is_deleted(&self) -> bool {
        self.state().deleted
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            ready: state.messages.ready(),
            unacked: state.messages.unacked(),
            consumers: state.consumers.len(),
        }
    }

    /// Refuses when another connection owns the queue exclusively.
    pub fn check_access(&self, connection: ConnectionId) -> Result<(), Refusal> {
        match self.spec.owner {
            Some(owner) if owner != connection => Err(self.locked()),
            _ => Ok(()),
        }
    }

    pub(crate) fn locked(&self) -> Refusal {
        let text = format!(
            "cannot obtain exclusive access to locked {}. It could be originally declared on \
             another connection or the exclusive property value does not match that of the \
             original declaration.",
            self.resource()
        );
        Refusal::new(crate::error::RefusalKind::ResourceLocked, text)
    }

    /// How the queue is called in error texts.
    pub fn resource(&self) -> Resource<'_> {
        Resource::Queue(&self.spec.name, &self.spec.vhost)
    }

    /// Notes an alarm at `at` if it is earlier than the one that is set, which it then gives.
    pub(crate) fn set_alarm(&self, at: Timestamp) -> Option<Timestamp> {
        let before = self.alarm_at.fetch_min(at.0, Ordering::AcqRel);
        (before > at.0).then_some(Timestamp(before))
    }

    /// The alarm has rung.
    pub(crate) fn clear_alarm(&self) {
        self.alarm_at.store(u64::MAX, Ordering::Release);
    }
}
