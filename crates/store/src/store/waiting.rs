//! Who waits for which batch to be durable.

use std::collections::BTreeMap;

use super::Store;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

type Wakers = Vec<Box<dyn FnOnce() + Send>>;

/// By batch.
#[derive(Default)]
pub(super) struct Waiting(BTreeMap<u64, Wakers>);

impl Store {
    /// Calls `wake` once batch `position` is durable: at once if it is, else from the thread that
    /// makes it so. It must not block.
    pub fn notify(&self, position: u64, wake: Box<dyn FnOnce() + Send>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock that `set_durable` takes after it has stored: one sees the other.
        if self.durable() >= position {
            drop(waiting);
            wake();
            return;
        }
        waiting.0.entry(position).or_default().push(wake);
    }

    pub(super) fn set_durable(&self, position: u64) {
        self.durable.store(position, Ordering::Release);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let later = waiting.0.split_off(&(position + 1));
        let due = std::mem::replace(&mut waiting.0, later);
        drop(waiting);
        for wake in due.into_values().flatten() {
            wake();
        }
    }
}
