//! What the management interface needs of the running server, as a trait: it knows no more of it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leveret_broker::auth::Scopes;
use leveret_broker::broker::Broker;
use leveret_broker::definitions::User;
use leveret_broker::histogram::Snapshot;
use leveret_broker::ids::{ConnectionId, ConsumerId, Name, Timestamp};
use leveret_broker::message::FieldTable;
use leveret_broker::queue::QueueHandle;
use serde_json::Value;

/// How often something has happened to messages on a channel, in a vhost or in a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Publishes.
    pub publish: u64,
    /// Confirms, positive or negative.
    pub confirm: u64,
    /// Mandatory messages that had no queue.
    pub return_unroutable: u64,
    /// Other messages that had none.
    pub drop_unroutable: u64,
    /// Deliveries that are to be acknowledged.
    pub deliver: u64,
    /// Deliveries that are not.
    pub deliver_no_ack: u64,
    /// Messages asked for one by one, to be acknowledged.
    pub get: u64,
    /// The same without acknowledgement.
    pub get_no_ack: u64,
    /// Requests that found no message.
    pub get_empty: u64,
    /// Acknowledgements.
    pub ack: u64,
    /// Deliveries of messages that had been out before.
    pub redeliver: u64,
    /// Publishes that expect a confirm.
    pub publish_confirm: u64,
    /// How often messages were routed to a queue.
    pub routed: u64,
}

impl MessageCounts {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.publish += other.publish;
        self.confirm += other.confirm;
        self.return_unroutable += other.return_unroutable;
        self.drop_unroutable += other.drop_unroutable;
        self.deliver += other.deliver;
        self.deliver_no_ack += other.deliver_no_ack;
        self.get += other.get;
        self.get_no_ack += other.get_no_ack;
        self.get_empty += other.get_empty;
        self.ack += other.ack;
        self.redeliver += other.redeliver;
        self.publish_confirm += other.publish_confirm;
        self.routed += other.routed;
    }
}

/// A consumer.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// Its identity.
    pub id: ConsumerId,
    /// Its tag.
    pub tag: Name,
    /// Its queue; none for direct replies.
    pub queue: Option<Arc<QueueHandle>>,
    /// Deliveries count as acknowledged when they are sent.
    pub no_ack: bool,
    /// It has the queue for itself.
    pub exclusive: bool,
    /// Its most unacknowledged deliveries; 0 is no limit.
    pub prefetch: u32,
    /// As they came.
    pub arguments: FieldTable,
}

/// A channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its number on its connection.
    pub number: u16,
    /// What was counted.
    pub counts: MessageCounts,
    /// Deliveries that wait for an acknowledgement.
    pub unacked: u64,
    /// Publishes that wait for a confirm.
    pub unconfirmed: u64,
    /// For consumers to come.
    pub prefetch: u64,
    /// The limit of all its consumers together.
    pub global_prefetch: u64,
    /// In confirm mode.
    pub confirms: bool,
    /// In transaction mode.
    pub transactional: bool,
    /// Its consumers.
    pub consumers: Vec<Consumer>,
}

/// An open connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its identity.
    pub id: ConnectionId,
    /// Who it is of.
    pub user: Name,
    /// The vhost that it opened.
    pub vhost: Name,
    /// Its protocol, as RabbitMQ names it.
    pub protocol: &'static str,
    /// How it logged in.
    pub mechanism: &'static str,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The version of TLS that it speaks, if it does.
    pub tls: Option<&'static str>,
    /// Where it was accepted.
    pub local: SocketAddr,
    /// When.
    pub connected_at: Timestamp,
    /// What the client says of itself.
    pub client_properties: FieldTable,
    /// The most channels; 0 is no limit.
    pub channel_max: u16,
    /// The largest frame; 0 is no limit.
    pub frame_max: u32,
    /// The heartbeat, in seconds.
    pub heartbeat_secs: u64,
    /// Bytes and reads so far.
    pub received: (u64, u64),
    /// Bytes and writes so far.
    pub sent: (u64, u64),
    /// Publishes are not read for now.
    pub blocked: bool,
    /// Its channels, in order.
    pub channels: Vec<Channel>,
}

impl Connection {
    /// The name by which RabbitMQ's tools know it.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.peer, self.local)
    }
}

/// Where something listens.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The protocol's name in RabbitMQ's lists: `amqp`, `http` ...
    pub protocol: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl Listener {
    /// The protocol as RabbitMQ names it in lists: `amqp/ssl` and `https` over TLS.
    pub fn name(&self) -> String {
        match (self.protocol.strip_prefix("http"), self.tls) {
            (_, false) => self.protocol.to_owned(),
            (Some(rest), true) => format!("https{rest}"),
            (None, true) => format!("{}/ssl", self.protocol),
        }
    }
}

/// Who has logged in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user; of a token, one that the definitions need not know.
    pub user: Arc<User>,
    /// What the token grants, if it was one.
    pub token: Option<Granted>,
}

/// What a token grants: it stands for all that definitions say of a user of this name.
#[derive(Debug, Clone)]
pub struct Granted {
    /// What its bearer may do.
    pub scopes: Arc<Scopes>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What is known of the process and its machine.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The cluster's name.
    pub cluster_name: String,
    /// The node's name in RabbitMQ's form.
    pub node_name: String,
    /// The version that clients are told.
    pub version: String,
    /// Since the start, in milliseconds.
    pub uptime_ms: u64,
    /// Bytes of memory that messages take, and at how many publishers are blocked.
    pub memory: (u64, u64),
    /// Bytes of the process in memory.
    pub resident_bytes: u64,
    /// Open files, and most of them.
    pub files: (u64, u64),
    /// Bytes that are free on the disk of the data directory, and below how many publishers are
    /// blocked.
    pub disk_free: (u64, u64),
    /// The alarms that are on.
    pub memory_alarm: bool,
    /// The same for the disk.
    pub disk_alarm: bool,
    /// The most connections.
    pub connection_max: u64,
    /// The largest message.
    pub message_max_bytes: u64,
    /// The most headers of a message, and how deep they may be nested.
    pub headers_max: (Option<usize>, usize),
    /// The data directory.
    pub data_dir: String,
}

/// A certificate that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The file that it is from.
    pub file: String,
    /// Until when it is valid, in seconds since 1970.
    pub not_after_s: u64,
}

/// How often things have come and gone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Churn {
    /// Connections.
    pub connections: (u64, u64),
    /// Channels.
    pub channels: (u64, u64),
    /// Declared, created and deleted queues.
    pub queues: (u64, u64, u64),
}

/// What all open connections together have, and all connections have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Open connections.
    pub connections: u64,
    /// Their channels.
    pub channels: u64,
    /// Those that have published.
    pub publishers: u64,
    /// Their consumers.
    pub consumers: u64,
    /// Deliveries that wait for an acknowledgement.
    pub unacked: u64,
    /// Publishes that wait for a confirm.
    pub unconfirmed: u64,
    /// The limits of consumers to come, all together.
    pub prefetch: u64,
    /// The limits of channels, all together.
    pub global_prefetch: u64,
    /// Bytes and reads, with those of connections that have ended.
    pub received: (u64, u64),
    /// Bytes and writes, with those of connections that have ended.
    pub sent: (u64, u64),
}

/// Counts as a whole and by vhost.
pub type Summed = (MessageCounts, HashMap<Name, MessageCounts>);

/// A line of the log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Rising, from 1.
    pub id: u64,
    /// When, in milliseconds.
    pub time_ms: u64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The part of the program.
    pub target: String,
    /// The words.
    pub message: String,
    /// What belongs to them.
    pub fields: Vec<(String, Value)>,
}

/// The running server.
pub trait Node: Send + Sync {
    /// Its broker.
    fn broker(&self) -> &Broker;

    /// The present.
    fn now(&self) -> Timestamp;

    /// What is known of the process.
    fn facts(&self) -> Facts;

    /// All that listens.
    fn listeners(&self) -> Vec<Listener>;

    /// The certificates of what listens with TLS, those of its authorities among them.
    fn certificates(&self) -> Vec<Certificate>;

    /// How long consumers may take to acknowledge, where their queue does not say; 0 is for ever.
    fn consumer_timeout_ms(&self) -> u64;

    /// The open connections, in no order.
    fn connections(&self) -> Vec<Connection>;

    /// How many there are.
    fn connection_count(&self) -> usize;

    /// Closes a connection with `320 CONNECTION_FORCED` and a reason; false if it is gone.
    fn close_connection(&self, id: ConnectionId, reason: &str) -> bool;

    /// What was counted since the start, with what is open and what has ended.
    fn counts(&self) -> Summed;

    /// Adds what was done by way of the management interface.
    fn count(&self, vhost: &Name, counts: &MessageCounts);

    /// What connections have and have done, without a look at each.
    fn traffic(&self) -> Traffic;

    /// How long publishes waited for their confirm.
    fn confirm_times(&self) -> Snapshot;

    /// How many spans were sent and dropped; none if none are made.
    fn spans(&self) -> Option<(u64, u64)>;

    /// What has come and gone.
    fn churn(&self) -> Churn;

    /// Checks a login; may take as long as a password's hash does. None if it is refused. The
    /// password may be a token.
    fn log_in(&self, user: &str, password: &[u8], from: IpAddr) -> Option<Login>;

    /// Checks a login by token; may wait for the keys to be read. None if it is refused.
    fn log_in_by_token(&self, token: &[u8], from: IpAddr) -> Option<Login>;

    /// Notes an administrative act in the audit trail.
    fn audit(&self, who: &str, from: IpAddr, what: &'static str, which: &str);

    /// The value of the header Strict-Transport-Security, for answers over TLS.
    fn strict_transport(&self) -> Option<String> {
        None
    }

    /// The configuration that is in force, without secrets.
    fn config(&self) -> Value;

    /// Up to `max` lines of the log behind `after`, of at least a level, and the newest id.
    fn log_lines(&self, after: u64, level: &str, max: usize) -> (Vec<LogLine>, u64);
}
