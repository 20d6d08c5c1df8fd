//! When queues want to be looked at again: messages that expire, leases that run out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::{Broker, DropReason};
use crate::ids::{QueueId, Timestamp};
use crate::queue::QueueHandle;

type Alarms = BTreeMap<(Timestamp, QueueId), Weak<QueueHandle>>;

/// The alarms of all queues: at most one a queue.
#[derive(Default)]
pub(super) struct Timers {
    alarms: Mutex<Alarms>,
    changed: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, queue: &Arc<QueueHandle>, at: Timestamp) {
        let mut alarms = self.lock();
        let Some(before) = queue.set_alarm(at) else { return };
        alarms.remove(&(before, queue.spec.id));
        let earliest = alarms.keys().next().is_none_or(|(first, _)| at < *first);
        alarms.insert((at, queue.spec.id), Arc::downgrade(queue));
        drop(alarms);
        if earliest && let Some(changed) = self.changed.get() {
            changed();
        }
    }

    fn take_due(&self, now: Timestamp) -> Vec<Arc<QueueHandle>> {
        let mut alarms = self.lock();
        let later = alarms.split_off(&(now.after(1), QueueId(0)));
        let due = std::mem::replace(&mut *alarms, later);
        due.into_values().filter_map(|queue| queue.upgrade()).collect()
    }
}

impl Broker {
    /// Has `changed` called whenever [`Self::next_alarm`] became earlier.
    pub fn on_alarm_change(&self, changed: impl Fn() + Send + Sync + 'static) {
        // Only the first caller is told: there is one clock.
        let _ = self.timers.changed.set(Box::new(changed));
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.timers.lock().keys().next().map(|(at, _)| *at)
    }

    /// Does what is due at `now`: drops or dead-letters expired messages, deletes queues whose
    /// lease has run out.
    pub fn tick(&self, now: Timestamp) {
        for queue in self.timers.take_due(now) {
            queue.clear_alarm();
            let mut batch = queue.lock(self.context(now));
            if batch.is_deleted() {
                continue;
            }
            if batch.lease().is_err() {
                drop(batch);
                self.drop_queue(&queue, DropReason::LeaseOver, now);
                continue;
            }
            batch.expire_all();
            batch.retry();
            batch.trim_on();
            self.finished(&queue, batch.finish(), now);
        }
    }
}
