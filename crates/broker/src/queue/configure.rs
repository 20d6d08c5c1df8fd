//! Changing the settings of a queue that is there.

use std::sync::Arc;

use super::{Batch, QueueHandle};
use crate::definitions::{Overflow, QueueSettings};
use crate::ids::Timestamp;

/// How many messages are dropped under one lock.
pub(crate) const TRIM_MAX: usize = 1024;
/// How many bytes of bodies are dropped under one lock: they may have to be read back before.
const TRIM_BYTES: u64 = 1 << 20;

impl QueueHandle {
    /// Sets the settings of a queue that nobody has used yet.
    pub(crate) fn start_with(&self, settings: Arc<QueueSettings>) {
        self.state().settings = settings;
    }
}

impl Batch<'_> {
    /// Puts settings in force; see [`Self::trim`] for length limits. A new lease begins now, a new
    /// time to live counts from now for the messages that are there.
    pub(crate) fn configure(&mut self, settings: Arc<QueueSettings>) {
        if self.is_deleted() {
            return;
        }
        let before = std::mem::replace(&mut self.queue.settings, settings);
        if before.expires_ms != self.queue.settings.expires_ms {
            self.touch();
        }
        if before.message_ttl_ms != self.queue.settings.message_ttl_ms {
            self.bound_expiry();
        }
        self.expire();
    }

    /// Drops or dead-letters what is over a length limit, up to `most` messages or
    /// [`TRIM_BYTES`]; whether there are more.
    pub(crate) fn trim(&mut self, most: usize) -> bool {
        self.queue.over_limit = false;
        if self.is_deleted() || self.queue.settings.overflow != Overflow::DropHead {
            return false;
        }
        let enough = self.queue.messages.ready_bytes().saturating_sub(TRIM_BYTES);
        for _ in 0..most {
            if !self.drop_one_over_limit() {
                return false;
            }
            if self.queue.messages.ready_bytes() < enough {
                break;
            }
        }
        self.queue.over_limit = true;
        true
    }

    /// Goes on with what was too much at once.
    pub(crate) fn trim_on(&mut self) {
        if self.queue.over_limit {
            self.trim(TRIM_MAX);
        }
    }

    /// What is in the queue expires no later than what enters it now.
    pub(crate) fn bound_expiry(&mut self) {
        let millis = self.queue.settings.message_ttl_ms;
        let at = millis.map_or(Timestamp::NEVER, |millis| self.context.now.after(millis));
        self.queue.messages.bound_expiry(at);
    }
}
