//! What the server is told by the configuration.

use std::net::SocketAddr;
use std::time::Duration;

/// The settings of a server. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen for AMQP 0-9-1.
    pub amqp_listen: Vec<SocketAddr>,
    /// The product name in `connection.start`; some clients change their behaviour by it.
    pub product: String,
    /// The cluster name in `connection.start`.
    pub cluster_name: String,
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
    /// From accept to open.
    pub handshake_timeout: Duration,
    /// How long a failed login or handshake waits for the end of its connection.
    pub login_failure_delay: Duration,
    /// The largest frame before tune.
    pub initial_frame_max: u32,
    /// Most connections at once; further ones are closed at accept.
    pub connection_max: usize,
    /// Deliveries that wait for one connection's socket.
    pub out_buffer_max_bytes: usize,
    /// Most consumers a channel.
    pub consumers_per_channel_max: usize,
    /// Publishes of one open transaction.
    pub transaction_max_bytes: usize,
    /// Messages in memory from which on publishers are blocked.
    pub memory_high_watermark_bytes: u64,
    /// The listen backlog.
    pub backlog: u32,
    /// TCP_NODELAY.
    pub nodelay: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            amqp_listen: vec![SocketAddr::from(([127, 0, 0, 1], 5672))],
            product: "Leveret".to_owned(),
            cluster_name: "leveret".to_owned(),
            default_user: "guest".to_owned(),
            default_pass: "guest".to_owned(),
            default_vhost: "/".to_owned(),
            heartbeat_secs: 60,
            frame_max: 131_072,
            channel_max: 2047,
            max_message_size: 16 << 20,
            handshake_timeout: Duration::from_secs(10),
            login_failure_delay: Duration::from_secs(3),
            initial_frame_max: 8192,
            connection_max: 65_536,
            out_buffer_max_bytes: 1 << 20,
            consumers_per_channel_max: 65_536,
            transaction_max_bytes: 256 << 20,
            memory_high_watermark_bytes: 4 << 30,
            backlog: 4096,
            nodelay: true,
        }
    }
}
