//! Messages of this connection that are half received, and what happens when memory is used up.
//!
//! Invariant: `half` is there exactly while a channel is in the middle of a body, as of the last
//! turn, and says what those bodies take.

use super::connection::{Phase, Session};
use super::failure::{Failure, Outcome};
use super::link::Link;

/// How long a connection rests before it asks again whether there is memory, in milliseconds.
const RETRY_MS: u64 = 100;
/// The channels and consumers that a connection may have though memory is used up, so that there
/// can always be somebody who makes room.
pub(super) const EXHAUSTED_FREE: usize = 16;

impl Session {
    /// Notes what is half received at the end of a turn; has the connection rest if all
    /// connections together have too much of that.
    pub(super) fn note_halves(&mut self) {
        if !self.link.has_halves && self.half.is_none() {
            return;
        }
        let held = self.channels.values().map(|channel| channel.half_bytes()).sum();
        self.link.has_halves = held > 0;
        if held == 0 {
            self.half = None;
            return;
        }
        let (shared, now) = (&self.link.shared, self.link.now);
        let mailbox = &self.link.mailbox;
        self.half.get_or_insert_with(|| shared.bodies.enter(mailbox, now)).note(held, now);
        self.rest_for_halves();
    }

    /// Has the connection rest if there is no memory for more of what is half received.
    pub(super) fn rest_for_halves(&mut self) {
        let limit = self.link.options.half_received_max_bytes;
        let now = self.link.now;
        let Some(half) = &mut self.half else { return };
        if matches!(self.phase, Phase::Running) && !half.may_grow(limit, now) {
            self.link.rest_until = self.link.rest_until.max(Some(now.after(RETRY_MS)));
        }
    }
}

impl Link {
    /// Refuses what would take more memory when that is used up. Who acknowledges or deletes is
    /// not asked.
    pub(super) fn check_exhausted(&self, what: &str) -> Outcome {
        match self.shared.is_exhausted() {
            None => Ok(()),
            Some(bytes) => {
                let text = format!("no memory for {what}: the broker uses {bytes} bytes");
                Err(Failure::precondition(text))
            }
        }
    }

    /// Whether there is a queue of that name.
    pub(super) fn knows_queue(&self, name: &str) -> bool {
        let topology = self.broker().topology();
        topology.vhosts.get(&self.who.vhost).is_some_and(|vhost| vhost.queues.contains_key(name))
    }

    /// Whether there is an exchange of that name.
    pub(super) fn knows_exchange(&self, name: &str) -> bool {
        let topology = self.broker().topology();
        let vhost = topology.vhosts.get(&self.who.vhost);
        vhost.is_some_and(|vhost| vhost.exchanges.contains_key(name))
    }
}
