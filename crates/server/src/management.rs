//! The server as the management interface and metrics see it, and their listeners.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use leveret_broker::auth::Secret;
use leveret_broker::broker::Broker;
use leveret_broker::definitions::User;
use leveret_broker::histogram::Snapshot;
use leveret_broker::ids::{ConnectionId, Name, Timestamp};
use leveret_broker::message::{FieldTable, Table};
use leveret_management::node::{
    Certificate, Channel, Churn, Connection, Consumer, Facts, Listener, LogLine, MessageCounts,
    Node, Summed, Traffic,
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::alarms::Alarm;
use crate::login::{Attempt, Times};
use crate::net::listener::listen;
use crate::net::mailbox::Notice;
use crate::options::{AutoPort, Options};
use crate::shared::Shared;
use crate::stats::{ChannelStats, ConnectionStats, ConsumerStats};
use crate::{audit, clock};

/// The ports that tools expect.
const MANAGEMENT_PORT: u16 = 15_672;
const METRICS_PORT: u16 = 15_692;

/// The server with what only it knows.
pub(crate) struct Administered {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    started: Instant,
    open_files_max: u64,
}

/// Something that is served by HTTP.
struct Wanted {
    ip: IpAddr,
    port: AutoPort,
    usual: u16,
    what: &'static str,
    key: &'static str,
}

/// Listens for the management interface; nowhere if it is off, or if no port was asked for and the
/// usual one is taken.
pub(crate) fn listen_for(options: &Options) -> io::Result<Option<TcpListener>> {
    let wanted = Wanted {
        ip: options.management_ip,
        port: options.management_port,
        usual: MANAGEMENT_PORT,
        what: "management interface",
        key: "management.tcp.port",
    };
    wanted.listen(options)
}

/// The same for metrics.
pub(crate) fn listen_for_metrics(options: &Options) -> io::Result<Option<TcpListener>> {
    let wanted = Wanted {
        ip: options.metrics_ip,
        port: options.metrics_port,
        usual: METRICS_PORT,
        what: "metrics",
        key: "prometheus.tcp.port",
    };
    wanted.listen(options)
}

impl Wanted {
    fn listen(&self, options: &Options) -> io::Result<Option<TcpListener>> {
        let Self { ip, usual, what, key, .. } = *self;
        let (port, asked) = match self.port {
            AutoPort::None => return Ok(None),
            AutoPort::Auto => (usual, false),
            AutoPort::Number(port) => (port, true),
        };
        let address = SocketAddr::new(ip, port);
        match listen(address, options) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if asked => {
                let text = format!("cannot listen on {address} for the {what} ({key}): {error}");
                Err(io::Error::new(error.kind(), text))
            }
            Err(error) => {
                tracing::warn!(%address, %error, "no {what}: the usual port is taken");
                Ok(None)
            }
        }
    }
}

impl Administered {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (amqp, amqps): (&[SocketAddr], &[SocketAddr]),
        (management, metrics): (Option<SocketAddr>, Option<SocketAddr>),
    ) -> Self {
        let listener = |protocol, address| Listener { protocol, address, tls: false };
        let mut listeners: Vec<Listener> =
            amqp.iter().map(|address| listener("amqp", *address)).collect();
        let tls = |address| Listener { protocol: "amqp", address, tls: true };
        listeners.extend(amqps.iter().copied().map(tls));
        listeners.extend(management.map(|address| listener("http", address)));
        listeners.extend(metrics.map(|address| listener("http/prometheus", address)));
        let (started, open_files_max) = (Instant::now(), open_files_max().unwrap_or(0));
        Self { shared, listeners, started, open_files_max }
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
            resident_bytes: crate::memory::process_bytes().unwrap_or(0),
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
        self.shared.tls.get().map(|tls| tls.certificates()).unwrap_or_default()
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

    fn log_in(&self, user: &str, password: &[u8], from: IpAddr) -> Option<Arc<User>> {
        let options = self.shared.options.load();
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
        let only_here = options.loopback_users.iter().any(|name| **name == *found.name);
        if only_here && !from.is_loopback() {
            refused("this user can only connect via localhost");
            return None;
        }
        Some(found)
    }

    fn audit(&self, who: &str, from: IpAddr, what: &'static str, which: &str) {
        audit::act(who, Some(from), what, which);
    }

    fn config(&self) -> Value {
        self.shared.options.load().shown.clone()
    }

    fn log_lines(&self, after: u64, level: &str, max: usize) -> (Vec<LogLine>, u64) {
        self.shared.options.load().log_ring.lines(after, level, max)
    }
}
