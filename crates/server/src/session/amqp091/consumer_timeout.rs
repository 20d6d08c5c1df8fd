//! Consumer timeouts: a delivery that is not acknowledged in time closes its channel (RabbitMQ:
//! Consumers, "Delivery Acknowledgement Timeout").
//!
//! Nothing is noted when a message is delivered. [`CHECK_MS`] after a turn with deliveries the
//! channels are looked at, and what is new in them counts from then. So a delivery has its whole
//! time, and at most that much more.
//!
//! Invariant: a connection on which nothing can time out has no timer for it.

use hashbrown::HashMap;
use leveret_broker::ids::{QueueId, Timestamp};
use leveret_broker::queue::QueueHandle;

use super::channel::ChannelState;
use super::connection::Session;
use super::failure::Failure;
use super::link::Link;
use super::unacked::{Unacked, UnackedList};

/// How long it may take until a delivery is noticed, in milliseconds.
pub(super) const CHECK_MS: u64 = 500;
/// So many stamps are always kept.
const STAMPS_MIN: usize = 64;

/// When a connection looks for deliveries that are out for too long.
#[derive(Debug, Default)]
pub(super) struct AckWatch {
    /// When to look next.
    pub(super) at: Option<Timestamp>,
    /// Something that it may have out can time out.
    on: bool,
    /// It has something that waits for acknowledgements, or has had it.
    holds: bool,
    /// Timeouts may have changed since the last look.
    stale: bool,
    /// Which queue was looked at last, as of which version of the definitions.
    looked_at: Option<(QueueId, u64)>,
}

impl AckWatch {
    fn look_by(&mut self, at: Timestamp) {
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
    }

    /// Something was delivered in this turn.
    pub(super) fn on_delivered(&mut self, now: Timestamp) {
        if self.on {
            self.look_by(now.after(CHECK_MS));
        }
    }

    /// Timeouts may have changed.
    pub(super) fn on_change(&mut self, now: Timestamp) {
        if self.holds {
            self.stale = true;
            self.look_by(now.after(CHECK_MS));
        }
    }

    /// Gives the client time for the acknowledgements that it could not send.
    pub(super) fn put_off(&mut self, now: Timestamp) {
        self.at = self.at.map(|at| at.max(now.after(CHECK_MS)));
    }
}

/// How long the deliveries of a channel have been out.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// A tag, and when it and those between it and the stamp before were seen first; rising.
    stamps: Vec<(u64, Timestamp)>,
    /// With so many, those without a delivery are dropped.
    sweep_at: usize,
    /// The first time that something may be late.
    due: Option<Timestamp>,
}

impl Ages {
    /// Notes what is new; the timeout of a delivery that is late.
    fn look(
        &mut self,
        unacked: &UnackedList,
        now: Timestamp,
        stale: bool,
        timeout_ms: &mut impl FnMut(&Unacked) -> Option<u64>,
    ) -> Option<u64> {
        let seen = self.stamps.last().map_or(0, |(tag, _)| *tag);
        let mut newest = None;
        for new in unacked.iter().rev().take_while(|unacked| unacked.tag > seen) {
            newest = newest.or(Some(new.tag));
            let due = timeout_ms(new).map(|millis| now.after(millis));
            self.due = [self.due, due].into_iter().flatten().min();
        }
        self.stamps.extend(newest.map(|tag| (tag, now)));
        let full = self.stamps.len() >= self.sweep_at.max(STAMPS_MIN);
        if !stale && !full && self.due.is_none_or(|at| at > now) {
            return None;
        }
        self.scan(unacked, now, timeout_ms)
    }

    /// Looks at all that is out, and keeps no more stamps than that needs.
    fn scan(
        &mut self,
        unacked: &UnackedList,
        now: Timestamp,
        timeout_ms: &mut impl FnMut(&Unacked) -> Option<u64>,
    ) -> Option<u64> {
        let before = std::mem::take(&mut self.stamps);
        let mut stamps = before.into_iter().peekable();
        self.due = None;
        for unacked in unacked.iter() {
            while stamps.next_if(|(tag, _)| *tag < unacked.tag).is_some() {}
            let Some(stamp) = stamps.peek() else { break };
            if self.stamps.last() != Some(stamp) {
                self.stamps.push(*stamp);
            }
            let Some(millis) = timeout_ms(unacked) else { continue };
            let due = stamp.1.after(millis);
            if due <= now {
                return Some(millis);
            }
            self.due = Some(self.due.map_or(due, |before| before.min(due)));
        }
        self.sweep_at = self.stamps.len() * 2;
        None
    }
}

impl Link {
    /// The timeout of all queues that have none of their own.
    fn default_timeout_ms(&self) -> Option<u64> {
        let timeout = self.options.consumer_timeout;
        timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// Deliveries of this queue will wait for acknowledgements.
    pub(super) fn watch_acks(&mut self, queue: &QueueHandle) {
        self.acks.holds = true;
        let looking_at = (queue.spec.id, self.topology.version);
        if !self.acks.on && self.acks.looked_at != Some(looking_at) {
            self.acks.looked_at = Some(looking_at);
            self.acks.on = timeout_ms(queue, self.default_timeout_ms()).is_some();
        }
    }
}

/// How long deliveries of a queue may be out; 0 of its own is for ever.
fn timeout_ms(queue: &QueueHandle, default_ms: Option<u64>) -> Option<u64> {
    queue.settings().consumer_timeout_ms.or(default_ms).filter(|millis| *millis > 0)
}

impl Session {
    /// Looks for deliveries that are out for too long, if it is time. While the client could not
    /// be `heard`, it is not to blame.
    pub(super) fn check_acks(&mut self, heard: bool) {
        let now = self.link.now;
        if self.link.acks.at.is_none_or(|at| at > now) {
            return;
        }
        if !heard {
            return self.link.acks.put_off(now);
        }
        self.link.acks.at = None;
        let stale = std::mem::take(&mut self.link.acks.stale);
        let default_ms = self.link.default_timeout_ms();
        let mut known: HashMap<QueueId, Option<u64>> = HashMap::new();
        let mut timeout_of = |queue: &QueueHandle| {
            *known.entry(queue.spec.id).or_insert_with(|| timeout_ms(queue, default_ms))
        };
        if stale {
            let entries = self.link.consumers.values().filter(|entry| !entry.no_ack);
            let mut queues = entries.filter_map(|entry| entry.queue.as_ref());
            self.link.acks.on = queues.any(|queue| timeout_of(queue).is_some());
            self.link.acks.looked_at = None;
        }
        let mut late = Vec::new();
        for (number, channel) in &mut self.channels {
            if channel.state != ChannelState::Open || channel.unacked.is_empty() {
                channel.ages = None;
                continue;
            }
            let ages = channel.ages.get_or_insert_default();
            let mut timeout_of = |unacked: &Unacked| timeout_of(&unacked.queue);
            if let Some(millis) = ages.look(&channel.unacked, now, stale, &mut timeout_of) {
                late.push((*number, millis));
            } else if let Some(due) = ages.due {
                self.link.acks.on = true;
                self.link.acks.look_by(due);
            }
        }
        late.sort_unstable();
        for (number, millis) in late {
            self.fail(number, timed_out(number, millis), (0, 0));
        }
    }
}

fn timed_out(channel: u16, millis: u64) -> Failure {
    Failure::precondition(format!(
        "delivery acknowledgement on channel {channel} timed out. Timeout value used: {millis} ms. \
         This timeout value can be configured, see consumers doc guide to learn more"
    ))
}
