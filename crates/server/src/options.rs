//! What the server is told by the configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leveret_wire::amqp091::table::DEPTH_MAX;
use serde_json::Value;

use crate::listener_options::{AddressRange, EntryLimits, HttpsOptions, TlsOptions};
use crate::log_ring::LogRing;
use crate::oauth::OAuthOptions;
use crate::telemetry::TelemetryOptions;

/// On which port something listens that RabbitMQ has a usual port for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoPort {
    /// On the usual one; nowhere if that is taken.
    Auto,
    /// Nowhere.
    None,
    /// On this port, or the server does not start; 0 takes a free one.
    Number(u16),
}

/// The settings of a server. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen for AMQP 0-9-1.
    pub amqp_listen: Vec<SocketAddr>,
    /// Where to listen for AMQP 0-9-1 over TLS.
    pub amqps_listen: Vec<SocketAddr>,
    /// The settings of TLS.
    pub tls: TlsOptions,
    /// Who must speak through the PROXY protocol; all others must not.
    pub proxies: Vec<AddressRange>,
    /// How many may come in.
    pub entry: EntryLimits,
    /// User and password of those who log in by ANONYMOUS; without it there is no such login.
    pub anonymous_login: Option<AnonymousLogin>,
    /// Logins by token; without it there are none.
    pub oauth: Option<Arc<OAuthOptions>>,
    /// Where spans go; without it there are none.
    pub telemetry: Option<TelemetryOptions>,
    /// The address of the management interface.
    pub management_ip: IpAddr,
    /// Its port.
    pub management_port: AutoPort,
    /// The address of metrics.
    pub metrics_ip: IpAddr,
    /// Their port.
    pub metrics_port: AutoPort,
    /// Where the management interface is served over TLS.
    pub management_tls: HttpsOptions,
    /// Where metrics are served over TLS.
    pub metrics_tls: HttpsOptions,
    /// Whether `proxies` tell the addresses of the management interface's clients, too.
    pub management_proxy: bool,
    /// What browsers are told of this site over TLS: the header Strict-Transport-Security.
    pub strict_transport: Option<String>,
    /// The configuration as it is shown to administrators: no secrets.
    pub shown: Value,
    /// The last lines of the log.
    pub log_ring: Arc<LogRing>,
    /// The product name in `connection.start`; some clients change their behaviour by it.
    pub product: String,
    /// The cluster name in `connection.start`.
    pub cluster_name: String,
    /// The node's name in the management interface.
    pub node_name: String,
    /// The user that exists from the start.
    pub default_user: String,
    /// Its password.
    pub default_pass: String,
    /// The vhost that exists from the start.
    pub default_vhost: String,
    /// The heartbeat interval to propose, in seconds; 0 proposes none.
    pub heartbeat_secs: u16,
    /// The largest frame; 0 is no limit.
    pub frame_max: u32,
    /// Most channels a connection; 0 is no limit but the protocol's.
    pub channel_max: u16,
    /// The largest body.
    pub max_message_size: u64,
    /// The most headers of a message, with those in tables and arrays; none is no limit but the
    /// frame's.
    pub header_count_max: Option<usize>,
    /// How deep headers may nest, of the codec's 64.
    pub header_depth_max: usize,
    /// From accept to open.
    pub handshake_timeout: Duration,
    /// How long a failed login or handshake waits for the end of its connection.
    pub login_failure_delay: Duration,
    /// How long a right password is remembered; at zero, every login is hashed.
    pub login_cache_ttl: Duration,
    /// The longest back-off after failed logins of one user from one address; at zero, none.
    pub login_backoff_max: Duration,
    /// Users who can only connect from this machine.
    pub loopback_users: Vec<String>,
    /// The largest frame before tune.
    pub initial_frame_max: u32,
    /// Most connections at once; further ones are closed at accept.
    pub connection_max: usize,
    /// Deliveries that wait for one connection's socket.
    pub out_buffer_max_bytes: usize,
    /// Most consumers a connection.
    pub consumers_per_connection_max: usize,
    /// Most consumers a channel.
    pub consumers_per_channel_max: usize,
    /// How long a socket may take nothing of what is sent to it; without it, for ever.
    pub send_timeout: Option<Duration>,
    /// Bodies that are half received, of all connections.
    pub half_received_max_bytes: usize,
    /// How long a delivery may wait for its acknowledgement; without it, for ever.
    pub consumer_timeout: Option<Duration>,
    /// Publishes of one open transaction.
    pub transaction_max_bytes: usize,
    /// Memory of the process, or of messages, from which on publishers are blocked.
    pub memory_high_watermark_bytes: u64,
    /// A definitions file to take over at the start.
    pub load_definitions: Option<PathBuf>,
    /// The listen backlog.
    pub backlog: u32,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// What is kept on disk, and how.
    pub store: StoreOptions,
}

/// Whom an anonymous client is taken for.
#[derive(Clone)]
pub struct AnonymousLogin {
    /// The user's name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for AnonymousLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnonymousLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// When something counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once the disk has it: it survives a loss of power.
    Sync,
    /// Once the operating system has it: it survives the end of the process only.
    Os,
}

/// The settings of what is kept on disk. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Where definitions and durable messages are kept.
    pub data_dir: PathBuf,
    /// When something counts as durable.
    pub durability: Durability,
    /// Free space on the disk below which publishers are blocked.
    pub disk_free_limit_bytes: u64,
    /// The size of one file of the log.
    pub log_file_bytes: u64,
    /// Most files of the log.
    pub log_files_max: usize,
    /// What may be appended to the log without being durable yet, before publishers are not read.
    pub log_pending_max_bytes: usize,
}

impl Options {
    /// Whether headers have limits besides the codec's.
    pub(crate) fn limits_headers(&self) -> bool {
        self.header_count_max.is_some() || self.header_depth_max < DEPTH_MAX
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            amqp_listen: vec![SocketAddr::from(([127, 0, 0, 1], 5672))],
            amqps_listen: Vec::new(),
            tls: TlsOptions::default(),
            proxies: Vec::new(),
            entry: EntryLimits::default(),
            anonymous_login: None,
            oauth: None,
            telemetry: None,
            management_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            management_port: AutoPort::None,
            metrics_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            metrics_port: AutoPort::None,
            management_tls: HttpsOptions::default(),
            metrics_tls: HttpsOptions::default(),
            management_proxy: false,
            strict_transport: None,
            shown: Value::Null,
            log_ring: Arc::default(),
            product: "Leveret".to_owned(),
            cluster_name: "leveret".to_owned(),
            node_name: "leveret@localhost".to_owned(),
            default_user: "guest".to_owned(),
            default_pass: "guest".to_owned(),
            default_vhost: "/".to_owned(),
            heartbeat_secs: 60,
            frame_max: 131_072,
            channel_max: 2047,
            max_message_size: 16 << 20,
            header_count_max: None,
            header_depth_max: DEPTH_MAX,
            handshake_timeout: Duration::from_secs(10),
            login_failure_delay: Duration::from_secs(3),
            login_cache_ttl: Duration::from_secs(60),
            login_backoff_max: Duration::from_secs(60),
            loopback_users: vec!["guest".to_owned()],
            initial_frame_max: 8192,
            connection_max: 65_536,
            out_buffer_max_bytes: 1 << 20,
            consumers_per_connection_max: 16_384,
            consumers_per_channel_max: 65_536,
            send_timeout: Some(Duration::from_secs(600)),
            half_received_max_bytes: 256 << 20,
            consumer_timeout: None,
            transaction_max_bytes: 256 << 20,
            memory_high_watermark_bytes: 4 << 30,
            load_definitions: None,
            backlog: 4096,
            nodelay: true,
            store: StoreOptions::default(),
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./leveret-data"),
            durability: Durability::Sync,
            disk_free_limit_bytes: 1 << 30,
            log_file_bytes: 64 << 20,
            log_files_max: 16,
            log_pending_max_bytes: 64 << 20,
        }
    }
}
