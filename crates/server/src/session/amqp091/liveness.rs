//! Whether the peer lives: heartbeats in both directions, and a socket that takes nothing.
//!
//! Invariant: `stuck_since` is set exactly while there was something to write and the socket has
//! taken nothing of it.

use leveret_broker::ids::Timestamp;
use leveret_wire::amqp091::frame::write_heartbeat;

use super::connection::Session;

impl Session {
    /// When a heartbeat is due, or the socket has taken nothing for too long.
    pub(super) fn write_deadline(&self) -> Timestamp {
        match self.link.out.writable() {
            0 => self.last_write.after(self.heartbeat_ms / 2),
            _ => self.last_write.after(self.heartbeat_ms * 2),
        }
    }

    /// Two missed heartbeats, and one more interval's tenth for slow networks.
    pub(super) fn read_deadline(&self) -> Timestamp {
        self.last_read.after(self.heartbeat_ms * 2 + self.heartbeat_ms / 10)
    }

    /// When the socket has taken nothing for too long.
    pub(super) fn send_deadline(&self) -> Option<Timestamp> {
        let timeout = self.link.options.send_timeout?.as_millis();
        Some(self.stuck_since?.after(u64::try_from(timeout).unwrap_or(u64::MAX)))
    }

    /// Notes that bytes were written: they count as a heartbeat.
    pub(crate) fn on_written(&mut self, now: Timestamp) {
        self.last_write = now;
        self.stuck_since = None;
    }

    /// Notes that the socket takes nothing.
    pub(crate) fn on_stuck(&mut self, now: Timestamp) {
        self.stuck_since.get_or_insert(now);
    }

    pub(super) fn on_heartbeat_time(&mut self, now: Timestamp) {
        let due = self.write_deadline() <= now;
        let stuck = due && self.link.out.writable() > 0;
        // While nothing is read, the client's heartbeats cannot be seen.
        if stuck || (self.read_deadline() <= now && self.wants_input()) {
            tracing::warn!(connection = ?self.connection(), "missed heartbeats from client");
            return self.cut();
        }
        if self.read_deadline() <= now {
            self.last_read = now;
        }
        if due && self.link.out.is_held() {
            let mut heartbeat = Vec::new();
            write_heartbeat(&mut heartbeat);
            self.link.out.overtake(heartbeat.into());
        } else if due {
            self.link.out.shrink();
            write_heartbeat(self.link.out.tail());
        }
    }
}
