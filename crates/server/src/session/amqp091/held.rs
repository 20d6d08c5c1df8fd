//! What of a connection waits for the log: output that stands behind a mark, confirms, and input
//! while the log is too far behind.
//!
//! Invariant: whenever a turn has ended, the log was asked to wake the connection at the first
//! position that anything of it waits for.

use std::sync::Arc;

use leveret_broker::ids::Timestamp;
use leveret_broker::log::{Position, Wake};

use super::connection::{CLOSE_TIMEOUT_MS, Phase, SILENCE_MS, Session};

impl Session {
    /// Stops reading until what this connection has appended is durable, if too much is not.
    ///
    /// Connections that publish stop at `log_pending_max_bytes`, and those that have changed
    /// definitions just now; the others, which only let messages go, at twice as much.
    pub(super) fn hold_input(&mut self) {
        let adds = std::mem::take(&mut self.link.defines) || self.link.publishes;
        let log = self.link.broker().log();
        let max = self.link.options.store.log_pending_max_bytes;
        let max = if adds { max } else { max.saturating_mul(2) };
        if log.pending_bytes() > max && self.link.appended > log.durable() {
            self.input_waits_for = self.link.appended;
        }
    }

    /// Whether the log must catch up before more is read. A connection that is closing is always
    /// read.
    pub(super) fn is_input_held(&self) -> bool {
        self.input_waits_for > Position::START
            && matches!(self.phase, Phase::Running)
            && self.input_waits_for > self.link.broker().log().durable()
    }

    /// Lets go what is durable by now, and has itself woken for the first thing that is not.
    pub(super) fn watch_log(&mut self) {
        self.release_durable();
        let input = (self.input_waits_for > Position::START).then_some(self.input_waits_for);
        let waiting = [self.link.out.waits_for(), self.confirms_wait_for, input];
        if let Some(position) = waiting.into_iter().flatten().min()
            && self.asked_for != position
        {
            self.asked_for = position;
            let waker: Arc<dyn Wake> = self.link.mailbox.clone();
            self.link.broker().log().notify(position, waker);
        }
    }

    /// Lets go the output and the input that waited for what is durable by now.
    pub(super) fn release_durable(&mut self) {
        if self.link.out.waits_for().is_none() && self.input_waits_for == Position::START {
            return;
        }
        let durable = self.link.broker().log().durable();
        if self.input_waits_for <= durable {
            self.input_waits_for = Position::START;
        }
        let was_held = self.link.out.is_held();
        self.link.out.release(durable);
        if was_held && !self.link.out.is_held() {
            self.restart_deadline(self.link.now);
        }
    }

    /// Gives the client its whole time again: it is not to blame for what waited for the log.
    pub(super) fn restart_deadline(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Handshake(..) | Phase::Running | Phase::Late(_) => {}
            Phase::Closing(at) => *at = now.after(CLOSE_TIMEOUT_MS),
            Phase::Silent(at) => *at = now.after(SILENCE_MS),
            Phase::Ended => self.last_write = now,
        }
    }
}
