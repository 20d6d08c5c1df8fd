//! What all connections of a server share: the broker, the options, who is connected, the alarms.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use leveret_broker::broker::Broker;
use leveret_broker::histogram::Histogram;
use leveret_broker::ids::{ConnectionId, Name, Timestamp};
use tokio::sync::Notify;

use crate::alarms::{Alarm, Alarms};
use crate::bodies::Bodies;
use crate::login::Logins;
use crate::net::door::Door;
use crate::net::mailbox::{Mailbox, Notice};
use crate::net::tls::TlsContext;
use crate::options::Options;
use crate::stats::{ConnectionStats, Retired};
use crate::telemetry::Telemetry;
use crate::tenants::Tenants;

/// A connection, for those who have something to tell it or want to know of it.
struct Connected {
    mailbox: Arc<Mailbox>,
    stats: Arc<ConnectionStats>,
}

pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) options: ArcSwap<Options>,
    connections: Mutex<HashMap<ConnectionId, Connected>>,
    pub(crate) retired: Retired,
    /// How long publishes waited for their confirm.
    pub(crate) confirm_times: Histogram,
    /// While OpenTelemetry is on.
    pub(crate) telemetry: OnceLock<Arc<Telemetry>>,
    pub(crate) alarms: Alarms,
    pub(crate) tenants: Tenants,
    /// Free on the disk of the data directory, as of the last look.
    pub(crate) disk_free_bytes: AtomicU64,
    pub(crate) door: Arc<Door>,
    pub(crate) logins: Logins,
    /// What is half received.
    pub(crate) bodies: Arc<Bodies>,
    /// The memory of the process, in bytes, as of the last look.
    process_bytes: AtomicU64,
    /// Told when a connection has ended.
    pub(crate) connection_ended: Notify,
    /// TLS of the listeners, if any speaks it.
    pub(crate) tls: OnceLock<Vec<Arc<TlsContext>>>,
}

impl Shared {
    pub(crate) fn new(broker: Broker, options: Options) -> Self {
        Self {
            broker,
            options: ArcSwap::from_pointee(options),
            connections: Mutex::default(),
            retired: Retired::default(),
            confirm_times: Histogram::default(),
            telemetry: OnceLock::new(),
            alarms: Alarms::default(),
            tenants: Tenants::default(),
            disk_free_bytes: AtomicU64::new(0),
            door: Arc::default(),
            logins: Logins::default(),
            bodies: Arc::default(),
            process_bytes: AtomicU64::new(0),
            connection_ended: Notify::new(),
            tls: OnceLock::new(),
        }
    }

    /// The cluster's name: as it was set last, else as the configuration has it.
    pub(crate) fn cluster_name(&self) -> String {
        let configured = || self.options.load().cluster_name.clone();
        self.broker.cluster_name().unwrap_or_else(configured)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<ConnectionId, Connected>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(&self, mailbox: Arc<Mailbox>, stats: Arc<ConnectionStats>) {
        self.retired.connections_created.fetch_add(1, Ordering::Relaxed);
        self.connections().insert(stats.id, Connected { mailbox, stats });
    }

    /// What is known of all connections.
    pub(crate) fn connection_stats(&self) -> Vec<Arc<ConnectionStats>> {
        self.connections().values().map(|one| Arc::clone(&one.stats)).collect()
    }

    /// Tells one connection; false if it is gone.
    pub(crate) fn tell(&self, id: ConnectionId, notice: Notice) -> bool {
        let connections = self.connections();
        connections.get(&id).map(|one| one.mailbox.notify(notice)).is_some()
    }

    pub(crate) fn disconnect(&self, id: ConnectionId) {
        let stats = self.connections().get(&id).map(|one| Arc::clone(&one.stats));
        if let Some(stats) = stats {
            let topology = self.broker.topology();
            let exists = |vhost: &Name| topology.vhosts.contains_key(vhost);
            self.retired.end_connection(&stats, exists);
        }
        self.connections().remove(&id);
        self.retired.connections_closed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections there are, with those that have no session yet.
    pub(crate) fn connection_count(&self) -> usize {
        self.door.open()
    }

    /// Has every connection told when policies change consumer timeouts.
    pub(crate) fn watch_timeouts(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        self.broker.on_timeouts_changed(move || {
            if let Some(shared) = shared.upgrade() {
                shared.broadcast(&Notice::Timeouts);
            }
        });
    }

    /// Tells every connection.
    pub(crate) fn broadcast(&self, notice: &Notice) {
        for one in self.connections().values() {
            one.mailbox.notify(notice.clone());
        }
    }

    /// Sets an alarm, and tells every connection if it is the first or was the last one, in one
    /// step: no two changes can overtake each other. False when it was so already.
    ///
    /// As in RabbitMQ, nobody is told again when a second alarm joins the first.
    fn set_alarm(&self, alarm: Alarm, on: bool) -> bool {
        let connections = self.connections();
        let blocked = self.alarms.any();
        if !self.alarms.set(alarm, on) {
            return false;
        }
        if self.alarms.any() != blocked {
            let notice = if on { Notice::Blocked } else { Notice::Unblocked };
            connections.values().for_each(|one| one.mailbox.notify(notice.clone()));
        }
        true
    }

    /// Whether publishers are held up.
    pub(crate) fn is_alarmed(&self) -> bool {
        self.alarms.any()
    }

    /// Raises or ends the alarm for too little space on the disk.
    pub(crate) fn set_disk_alarm(&self, on: bool) {
        match (self.set_alarm(Alarm::Disk, on), on) {
            (true, true) => tracing::warn!(
                "disk alarm: publishers are blocked until the disk of data_dir has room again (see \
                 disk_free_limit.absolute)"
            ),
            (true, false) => tracing::info!("disk alarm is over"),
            (false, _) => {}
        }
    }

    /// Notes how much memory the process takes.
    pub(crate) fn note_process(&self, bytes: u64) {
        self.process_bytes.store(bytes, Ordering::Release);
    }

    /// The memory that is in use: what the process takes, or what messages are counted as, if that
    /// is more. The count is known at once, the other one is looked at now and then.
    fn memory_bytes(&self) -> u64 {
        self.process().max(self.broker.memory_bytes())
    }

    /// Relieves the memory if messages take more than three quarters of what they may, and raises
    /// the alarm if all together takes all of it.
    pub(crate) fn check_memory(&self, now: Timestamp) {
        let limit = self.options.load().memory_high_watermark_bytes;
        self.relieve_memory(limit, now);
        if self.memory_bytes() > limit
            && !self.alarms.is_on(Alarm::Memory)
            && self.set_alarm(Alarm::Memory, true)
        {
            let (process, messages) = (self.process(), self.broker.memory_bytes());
            tracing::warn!(limit, process, messages, "memory alarm: publishers are blocked");
            // Messages may have to leave, though they alone are not too much.
            self.broker.page_out(now);
        }
    }

    /// Ends the memory alarm once a twentieth of the limit is free; true when it is off.
    pub(crate) fn relax_memory(&self, now: Timestamp) -> bool {
        let limit = self.options.load().memory_high_watermark_bytes;
        self.relieve_memory(limit, now);
        if self.memory_bytes() <= limit - limit / 20 && self.set_alarm(Alarm::Memory, false) {
            let (process, messages) = (self.process(), self.broker.memory_bytes());
            tracing::info!(limit, process, messages, "memory alarm is over");
        }
        !self.alarms.is_on(Alarm::Memory)
    }

    fn process(&self) -> u64 {
        self.process_bytes.load(Ordering::Acquire)
    }

    /// Whether so much memory is in use, though publishers are blocked, that nobody may have more
    /// channels, consumers or definitions: a quarter above the watermark. None if not, else the
    /// bytes in use.
    pub(crate) fn is_exhausted(&self) -> Option<u64> {
        let limit = self.options.load().memory_high_watermark_bytes;
        Some(self.memory_bytes()).filter(|bytes| *bytes > limit.saturating_add(limit / 4))
    }

    /// Where messages that a log keeps leave the memory: called again and again while they take
    /// more than three quarters of what they may.
    fn relieve_memory(&self, limit: u64, now: Timestamp) {
        if self.broker.memory_bytes() > limit - limit / 4 {
            self.broker.page_out(now);
        }
    }
}
