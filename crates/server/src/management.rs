//! The server as the management interface and metrics see it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use leveret_broker::auth::{PasswordHash, Secret};
use leveret_broker::broker::Broker;
use leveret_broker::definitions::User;
use leveret_broker::histogram::Snapshot;
use leveret_broker::ids::{ConnectionId, Name, Timestamp};
use leveret_broker::message::{FieldTable, Table};
use leveret_management::node::{
    Certificate, Channel, Churn, Connection, Consumer, Facts, Granted, Listener, LogLine, Login,
    MessageCounts, Node, Summed, Traffic,
};
use serde_json::Value;

use crate::alarms::Alarm;
use crate::http_listeners::Place;
use crate::login::{Attempt, Times};
use crate::memory::ProcessMemory;
use crate::net::mailbox::Notice;
use crate::oauth::{self, Fault};
use crate::shared::Shared;
use crate::stats::{ChannelStats, ConnectionStats, ConsumerStats};
use crate::{audit, clock};

const TOO_FAR: &str = "this user can only connect via localhost";

/// The server with what only it knows.
pub(crate) struct Administered {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    started: Instant,
    open_files_max: u64,
}

impl Administered {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (amqp, amqps): (&[SocketAddr], &[SocketAddr]),
        http: &[Place],
    ) -> Self {
        let of =
            |tls| move |address: &SocketAddr| Listener { protocol: "amqp", address: *address, tls };
        let mut listeners: Vec<Listener> = amqp.iter().map(of(false)).collect();
        listeners.extend(amqps.iter().map(of(true)));
        listeners.extend(http.iter().map(Place::shown));
        let (started, open_files_max) = (Instant::now(), open_files_max().unwrap_or(0));
        Self { shared, listeners, started, open_files_max }
    }

    /// Whoever this user is must be near, if the configuration says so.
    fn is_too_far(&self, user: &str, from: IpAddr) -> bool {
        let options = self.shared.options.load();
        !from.is_loopback() && options.loopback_users.iter().any(|name| **name == *user)
    }
}

/// The soft limit of open files.
fn open_files_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

fn consumer(stats: &ConsumerStats) -> Consumer {
    Consumer {
        id: stats.id,
        tag: stats.tag.clone(),
        queue: stats.queue.clone(),
        no_ack: stats.no_ack,
        exclusive: stats.exclusive,
        prefetch: stats.prefetch,
        arguments: stats.arguments.clone(),
    }
}

fn channel(stats: &ChannelStats) -> Channel {
    Channel {
        number: stats.number,
        counts: stats.counts(),
        unacked: stats.unacked(),
        unconfirmed: stats.unconfirmed.get(),
        prefetch: stats.prefetch.get(),
        global_prefetch: stats.global_prefetch.get(),
        confirms: stats.confirms.load(Ordering::Relaxed),
        transactional: stats.transactional.load(Ordering::Relaxed),
        consumers: stats.consumers().iter().map(|one| consumer(one)).collect(),
    }
}

/// A connection, if it is open.
fn connection(stats: &ConnectionStats, alarmed: bool) -> Option<Connection> {
    let opened = stats.opened.get()?;
    let properties = Table::parse(&opened.client_properties).map(|table| table.to_owned());
    let channels: Vec<Channel> = stats.channels().iter().map(|one| channel(one)).collect();
    let publishes = channels.iter().any(|one| one.counts.publish > 0);
    Some(Connection {
        id: stats.id,
        user: opened.user.clone(),
        vhost: opened.vhost.clone(),
        protocol: "AMQP 0-9-1",
        mechanism: opened.mechanism,
        peer: stats.peer,
        tls: stats.tls,
        local: stats.local.unwrap_or_else(|| SocketAddr::from(([0; 4], 0))),
        connected_at: stats.connected_at,
        client_properties: properties.unwrap_or_else(|_| FieldTable::default()),
        channel_max: opened.channel_max,
        frame_max: opened.frame_max,
        heartbeat_secs: opened.heartbeat_secs,
        received: (stats.received_bytes.get(), stats.received_reads.get()),
        sent: (stats.sent_bytes.get(), stats.sent_writes.get()),
        blocked: alarmed && publishes,
        channels,
    })
}

impl Node for Administered {
    fn broker(&self) -> &Broker {
        &self.shared.broker
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn facts(&self) -> Facts {
        let options = self.shared.options.load();
        let memory_max = options.memory_high_watermark_bytes;
        let disk_free = self.shared.disk_free_bytes.load(Ordering::Relaxed);
        Facts {
            cluster_name: self.shared.cluster_name(),
            node_name: options.node_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            memory: (self.shared.broker.memory_bytes(), memory_max),
            resident_bytes: ProcessMemory::open().and_then(|memory| memory.bytes()).unwrap_or(0),
            files: (open_files(), self.open_files_max),
            disk_free: (disk_free, options.store.disk_free_limit_bytes),
            memory_alarm: self.shared.alarms.is_on(Alarm::Memory),
            disk_alarm: self.shared.alarms.is_on(Alarm::Disk),
            connection_max: options.connection_max as u64,
            message_max_bytes: options.max_message_size,
            headers_max: (options.header_count_max, options.header_depth_max),
            data_dir: options.store.data_dir.display().to_string(),
        }
    }

    fn listeners(&self) -> Vec<Listener> {
        self.listeners.clone()
    }

    fn certificates(&self) -> Vec<Certificate> {
        let contexts = self.shared.tls.get().into_iter().flatten();
        contexts.flat_map(|tls| tls.certificates()).collect()
    }

    fn consumer_timeout_ms(&self) -> u64 {
        let timeout = self.shared.options.load().consumer_timeout;
        timeout.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    fn connections(&self) -> Vec<Connection> {
        let (all, alarmed) = (self.shared.connection_stats(), self.shared.is_alarmed());
        all.iter().filter_map(|one| connection(one, alarmed)).collect()
    }

    fn connection_count(&self) -> usize {
        self.shared.connection_count()
    }

    fn close_connection(&self, id: ConnectionId, reason: &str) -> bool {
        self.shared.tell(id, Notice::Close(reason.to_owned()))
    }

    fn counts(&self) -> Summed {
        self.shared.retired.sum(&self.shared.connection_stats())
    }

    fn traffic(&self) -> Traffic {
        self.shared.retired.traffic(&self.shared.connection_stats())
    }

    fn confirm_times(&self) -> Snapshot {
        self.shared.confirm_times.snapshot()
    }

    fn count(&self, vhost: &Name, counts: &MessageCounts) {
        let topology = self.shared.broker.topology();
        self.shared.retired.count(vhost, counts, |vhost| topology.vhosts.contains_key(vhost));
    }

    fn spans(&self) -> Option<(u64, u64)> {
        self.shared.telemetry.get().map(|telemetry| telemetry.counts())
    }

    fn churn(&self) -> Churn {
        let retired = &self.shared.retired;
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Churn {
            connections: (load(&retired.connections_created), load(&retired.connections_closed)),
            channels: (load(&retired.channels_created), load(&retired.channels_closed)),
            queues: self.shared.broker.queue_churn(),
        }
    }

    fn log_in(&self, user: &str, password: &[u8], from: IpAddr) -> Option<Login> {
        let options = self.shared.options.load();
        if options.oauth.is_some() && oauth::is_token(password) {
            return self.log_in_by_token(password, from);
        }
        let attempt = Attempt {
            user: user.to_owned(),
            password: Secret::new(password),
            from,
            now: clock::now(),
        };
        let times =
            Times { remember: options.login_cache_ttl, backoff_max: options.login_backoff_max };
        let refused = |reason: &str| audit::login_failed(user, from, "HTTP Basic", reason);
        let found = match self.shared.logins.check_here(&self.shared.broker, &attempt, times) {
            Ok(found) => found,
            Err(error) => {
                refused(error.reason());
                return None;
            }
        };
        if self.is_too_far(&found.name, from) {
            refused(TOO_FAR);
            return None;
        }
        Some(Login { user: found, token: None })
    }

    fn log_in_by_token(&self, token: &[u8], from: IpAddr) -> Option<Login> {
        let options = self.shared.options.load();
        let refused = |user: &str, reason| audit::login_failed(user, from, "HTTP Bearer", reason);
        let Some(oauth) = &options.oauth else {
            refused("", Fault::NotConfigured.reason());
            return None;
        };
        let logins = &self.shared.logins;
        match logins.check_token_here(Secret::new(token), oauth, clock::now()) {
            Ok(bearer) if self.is_too_far(&bearer.user, from) => {
                refused(&bearer.user, TOO_FAR);
                None
            }
            Ok(bearer) => {
                let (scopes, expires_at) = (Arc::clone(&bearer.scopes), bearer.expires_at);
                let (name, tags) = (bearer.user.clone(), scopes.tags().to_vec());
                let user = Arc::new(User { name, tags, password: PasswordHash::NONE });
                Some(Login { user, token: Some(Granted { scopes, expires_at }) })
            }
            Err(error) => {
                refused("", error.reason());
                None
            }
        }
    }

    fn audit(&self, who: &str, from: IpAddr, what: &'static str, which: &str) {
        audit::act(who, Some(from), what, which);
    }

    fn strict_transport(&self) -> Option<String> {
        self.shared.options.load().strict_transport.clone()
    }

    fn config(&self) -> Value {
        self.shared.options.load().shown.clone()
    }

    fn log_lines(&self, after: u64, level: &str, max: usize) -> (Vec<LogLine>, u64) {
        self.shared.options.load().log_ring.lines(after, level, max)
    }
}
