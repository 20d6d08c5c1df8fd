//! What a queue tells of itself, for who administers it: counts, sizes, and what it has done since
//! it is in memory.
//!
//! Invariant: a report costs the same however many messages there are. Totals only grow.

use super::QueueHandle;
use crate::ids::{ConsumerId, Timestamp};

/// How often something has happened in a queue since it was declared, or since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that entered.
    pub publish: u64,
    /// Deliveries to consumers that acknowledge.
    pub deliver: u64,
    /// Deliveries to consumers that do not.
    pub deliver_no_ack: u64,
    /// Messages that were asked for one by one, to be acknowledged.
    pub get: u64,
    /// The same without acknowledgement.
    pub get_no_ack: u64,
    /// Requests that found no message.
    pub get_empty: u64,
    /// Acknowledgements.
    pub ack: u64,
    /// Deliveries of messages that had been out before.
    pub redeliver: u64,
}

/// A queue at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Messages to be delivered.
    pub ready: usize,
    /// Messages out for delivery.
    pub unacked: usize,
    /// Messages that came back and rest before they are ready again.
    pub resting: usize,
    /// Messages that have died, or were due, and are not in their new queues yet.
    pub leaving: usize,
    /// Consumers.
    pub consumers: usize,
    /// Bytes of the bodies of ready messages.
    pub ready_bytes: u64,
    /// Bytes of the bodies of messages out for delivery.
    pub unacked_bytes: u64,
    /// Bytes of memory that its messages take.
    pub memory_bytes: u64,
    /// What has happened.
    pub totals: Totals,
    /// When it was last declared, consumed or asked for a message.
    pub used_at: Timestamp,
    /// When messages entered or were settled, or it was used otherwise.
    pub active_at: Timestamp,
    /// The place of the next message that enters is behind this one.
    pub last_seq: u64,
}

impl QueueHandle {
    /// What the queue is at this moment.
    pub fn report(&self) -> Report {
        let state = self.state();
        Report {
            ready: state.messages.ready(),
            unacked: state.messages.unacked(),
            resting: state.messages.resting().0,
            leaving: state.messages.leaving(),
            consumers: state.consumers.len(),
            ready_bytes: state.messages.ready_bytes(),
            unacked_bytes: state.messages.unacked_bytes(),
            memory_bytes: state.bytes(),
            totals: state.totals,
            used_at: state.used_at,
            active_at: state.active_at,
            last_seq: state.messages.last_seq().0,
        }
    }

    /// The consumers that may get messages: with single active consumer, one.
    pub fn active_consumers(&self) -> Vec<ConsumerId> {
        self.state().consumers.active().collect()
    }

    /// Whether one consumer has the queue for itself.
    pub fn has_exclusive_consumer(&self) -> bool {
        self.state().consumers.has_exclusive()
    }
}
