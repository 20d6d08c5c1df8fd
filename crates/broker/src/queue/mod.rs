//! A queue: its messages, its consumers, and the one lock over both.
//!
//! A connection locks a queue once for all that a socket read brought it ([`QueueHandle::lock`]),
//! applies its operations to the [`Batch`], and finishes: durable entries go to the log as one
//! group, deliveries to the consumers' connections. Lock order: definitions, exchanges'
//! memories, queues by id, outlets.

mod batch;
mod browsing;
mod configure;
mod consumers;
mod dying;
mod entries;
mod expiry;
mod finish;
mod groups;
mod messages;
mod once;
mod pace;
mod reading;
mod report;
mod retrying;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
mod waits;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use batch::{Batch, Cause, DeathReason, Departure, Got, Publish, Settlement};
pub(crate) use configure::TRIM_MAX;
pub use consumers::{ChannelLimit, ConsumerSpec, Delivery, Outlet};
pub(crate) use finish::finish_with;
pub use finish::{Effects, Finished, finish_all};
pub use messages::{Cursor, Out};
pub(crate) use messages::{Place, Seen};
pub use pace::{Holder, Pace};
use reading::READ_AHEAD_OF_TIME;
pub(crate) use reading::READ_LOCKED;
pub use report::{Report, Totals};

use consumers::Consumers;
use entries::Delivered;
use groups::Groups;
use messages::Messages;
use pace::{Outs, Spans};
use waits::Waits;

use crate::deduplication::Memory;
use crate::definitions::{QueueSettings, QueueSpec};
use crate::error::{Refusal, Resource};
use crate::histogram::Histogram;
use crate::ids::{ConnectionId, Timestamp};
use crate::log::{Log, Position, RecoveredQueue};

/// What a batch needs from outside of the queue.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The present.
    pub now: Timestamp,
    /// Where durable entries go.
    pub log: &'a dyn Log,
    /// How many bytes of ready messages, and of all that are out, a queue keeps in memory; the rest
    /// is left to the log. Without a log that gives messages back it must be without a bound.
    pub window: usize,
    /// Where is noted how long messages waited for their first delivery.
    pub waits: &'a Histogram,
}

/// The state of a queue, under its lock.
#[derive(Debug)]
struct Queue {
    /// Those in force: by the arguments and policies.
    settings: Arc<QueueSettings>,
    messages: Messages,
    consumers: Consumers,
    /// What it remembers, once it has deduplicated or has a place for that in the log.
    memory: Option<Box<Memory>>,
    /// It was deleted: nothing enters any more.
    deleted: bool,
    /// When that is durable.
    deleted_at: Position,
    /// More is over a length limit than one batch may drop.
    over_limit: bool,
    /// Up to where the log knows that messages were out.
    delivered: Delivered,
    /// Last declared, consumed or asked for a message (for `x-expires`).
    used_at: Timestamp,
    /// When messages entered or were settled, or it was used otherwise.
    active_at: Timestamp,
    totals: Totals,
    waits: Waits,
    outs: Outs,
    spans: Spans,
    /// With `x-message-group-header`.
    groups: Option<Box<Groups>>,
}

/// A queue that others hold on to.
#[derive(Debug)]
pub struct QueueHandle {
    /// As declared.
    pub spec: QueueSpec,
    /// The settings by its arguments alone.
    pub(crate) declared: Arc<QueueSettings>,
    /// It is the schedule of an exchange.
    is_schedule: bool,
    state: Mutex<Queue>,
    /// The earliest time for which the broker has set its alarm for this queue.
    alarm_at: AtomicU64,
    /// It stands in the line of those that are to be read to.
    asked: AtomicBool,
}

/// A queue's counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages to be delivered.
    pub ready: usize,
    /// Messages out for delivery.
    pub unacked: usize,
    /// Messages that came back and rest before they are ready again.
    pub delayed: usize,
    /// Consumers.
    pub consumers: usize,
    /// Messages that have died, or were due, and are not in their new queues yet.
    pub leaving: usize,
    /// Messages that were taken out because the log could not give them back.
    pub unreadable: u64,
}

impl QueueHandle {
    pub(crate) fn new(spec: QueueSpec) -> Self {
        let durable = spec.durable && spec.owner.is_none();
        let settings = spec.settings().shared();
        let state = Queue {
            messages: Messages::new(spec.id, durable, settings.max_priority),
            consumers: Consumers::new(settings.single_active_consumer),
            settings: Arc::clone(&settings),
            memory: None,
            deleted: false,
            deleted_at: Position::START,
            over_limit: false,
            delivered: Delivered::default(),
            used_at: Timestamp(0),
            active_at: Timestamp(0),
            totals: Totals::default(),
            waits: Waits::default(),
            outs: Outs::default(),
            spans: Spans::default(),
            groups: settings.message_group_header.clone().map(|one| Box::new(Groups::new(one))),
        };
        Self {
            spec,
            declared: settings,
            is_schedule: false,
            state: Mutex::new(state),
            alarm_at: AtomicU64::new(u64::MAX),
            asked: AtomicBool::new(false),
        }
    }

    /// The queue in which messages of an exchange wait for their time: what expires in it is due.
    pub(crate) fn schedule(spec: QueueSpec) -> Self {
        Self { is_schedule: true, ..Self::new(spec) }
    }

    /// Whether it belongs to an exchange whose messages wait in it, and is none of the vhost's.
    pub fn is_schedule(&self) -> bool {
        self.is_schedule
    }

    /// Gives a queue that was just made the messages that the log kept of it.
    pub(crate) fn recover(&self, recovered: RecoveredQueue) {
        let mut state = self.state();
        state.delivered = Delivered::recover(recovered.delivered, recovered.last_seq);
        state.waits.recover(recovered.last_seq);
        state.messages.recover(recovered);
    }

    /// Survives a restart, and so do persistent messages in it.
    pub fn is_durable(&self) -> bool {
        self.spec.durable && self.spec.owner.is_none()
    }

    /// Checks what always holds for its messages.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.state().messages.check();
    }

    fn state(&self) -> MutexGuard<'_, Queue> {
        // A panic under the lock is a bug; the queue is still the best state there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the queue for a batch of operations.
    pub fn lock<'a>(&'a self, context: Context<'a>) -> Batch<'a> {
        Batch::new(self, self.state(), context)
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<QueueSettings> {
        Arc::clone(&self.state().settings)
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
            delayed: state.messages.resting().0,
            consumers: state.consumers.len(),
            leaving: state.messages.leaving(),
            unreadable: state.messages.unreadable(),
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
        self.spec.resource()
    }

    /// Notes an alarm at `at` if it is earlier than the one that is set, which it then gives.
    pub(crate) fn set_alarm(&self, at: Timestamp) -> Option<Timestamp> {
        let before = self.alarm_at.fetch_min(at.0, Ordering::AcqRel);
        (before > at.0).then_some(Timestamp(before))
    }

    /// Notes that messages are to be read back; false if somebody has noted that already.
    pub(crate) fn ask(&self) -> bool {
        !self.asked.swap(true, Ordering::AcqRel)
    }

    /// Has whatever messages are to be read back for it next read back, and delivers them. Blocks
    /// on the disk, but not while the queue is locked. Not to be called by two at once.
    pub(crate) fn load(&self, context: Context<'_>) -> Finished {
        let mut batch = self.lock(context);
        let (wanted, most, scan) = (batch.wanted(), batch.read_ahead(), batch.scan_next());
        let ahead = batch.ahead_next();
        drop(batch);
        let mut fetched = Vec::new();
        if !wanted.ranges.is_empty() {
            fetched = context.log.fetch(self.spec.id, &wanted.ranges, most);
        }
        let scan = scan.map(|(scan, ranges)| {
            let found = context.log.fetch(self.spec.id, &ranges, READ_LOCKED);
            (scan, ranges, found)
        });
        let mut read = None;
        if !ahead.is_empty() {
            read = context.log.prefetch(self.spec.id, &ahead, READ_AHEAD_OF_TIME);
        }
        let mut batch = self.lock(context);
        // Under the lock: who changes the queue from now on asks again.
        self.asked.store(false, Ordering::Release);
        if let Some((scan, ranges, found)) = scan {
            batch.scanned(scan, &ranges, &found);
        }
        batch.ahead_read(&ahead, read);
        batch.loaded_ahead(&wanted, fetched);
        batch.finish()
    }

    /// The alarm has rung.
    pub(crate) fn clear_alarm(&self) {
        self.alarm_at.store(u64::MAX, Ordering::Release);
    }
}
