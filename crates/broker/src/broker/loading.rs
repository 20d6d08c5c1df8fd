//! Reading messages back: queues whose next messages are not in memory stand in a line, and threads
//! that may block on the disk serve it. And the other way round: leaving messages to the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Broker;
use crate::ids::Timestamp;
use crate::queue::QueueHandle;

/// The bytes of ready messages that a queue keeps when memory is scarce.
const PAGE_OUT_KEEP: u64 = 64 << 10;

/// The most bytes of messages that a queue keeps in memory: plenty, little and scarce memory.
const WINDOWS: [usize; 3] = [16 << 20, 1 << 20, 64 << 10];

/// The queues that are to be read to, each once.
#[derive(Default)]
pub(super) struct Loading {
    line: Mutex<VecDeque<Arc<QueueHandle>>>,
    wanted: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Loading {
    pub(super) fn ask(&self, queue: &Arc<QueueHandle>) {
        if queue.ask() {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            line.push_back(Arc::clone(queue));
            drop(line);
            if let Some(wanted) = self.wanted.get() {
                wanted();
            }
        }
    }

    fn len(&self) -> usize {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn next(&self) -> Option<Arc<QueueHandle>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Broker {
    /// Has `wanted` called for each queue that asks to be read to, those that do already at once:
    /// [`Self::load_next`] has something to do. From any thread; must not block.
    pub fn on_load_wanted(&self, wanted: impl Fn() + Send + Sync + 'static) {
        // Only the first caller is told.
        let _ = self.loading.wanted.set(Box::new(wanted));
        if let Some(wanted) = self.loading.wanted.get() {
            (0..self.loading.len()).for_each(|_| wanted());
        }
    }

    /// Reads messages back for the queue that has waited longest, and delivers them; false if none
    /// waits. Blocks on the disk. Several threads may call it at once.
    pub fn load_next(&self, now: Timestamp) -> bool {
        let Some(queue) = self.loading.next() else { return false };
        let finished = queue.load(self.context(now));
        self.finished(&queue, finished, now);
        true
    }

    /// Leaves the messages of every queue to the log, but for a few; for when memory is scarce.
    pub fn page_out(&self, now: Timestamp) {
        if !self.log_keeps {
            return;
        }
        for vhost in self.topology().vhosts.values() {
            for queue in vhost.all_queues() {
                let mut batch = queue.lock(self.context(now));
                if batch.page_out(PAGE_OUT_KEEP) {
                    self.finished(queue, batch.finish(), now);
                }
            }
        }
    }

    /// How much memory the messages of all queues should take at most; the less is left, the less
    /// a queue keeps in memory. Without a call there is no limit.
    pub fn set_memory_budget(&self, bytes: u64) {
        self.memory_budget.store(bytes, std::sync::atomic::Ordering::Relaxed);
    }

    /// The bytes of messages that a queue may keep in memory at present.
    pub(super) fn window(&self) -> usize {
        if !self.log_keeps {
            return usize::MAX;
        }
        let budget = self.memory_budget.load(std::sync::atomic::Ordering::Relaxed);
        let used = self.memory_bytes();
        let [plenty, little, scarce] = WINDOWS;
        if used < budget / 2 {
            plenty
        } else if used < budget / 4 * 3 {
            little
        } else {
            scarce
        }
    }
}
