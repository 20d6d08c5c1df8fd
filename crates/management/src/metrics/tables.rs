//! What is told of what, under RabbitMQ's names: one table for each of its families.
//!
//! Invariant: names, types and help texts are the same on all pages; only the prefix differs.

use leveret_broker::queue::{Pace, Report};

use super::page::Kind::{self, Counter, Gauge};
use crate::node::{Channel, Churn, Connection, Facts, MessageCounts, Traffic};

/// One number of a thing.
pub(super) struct Metric<T> {
    /// Without the prefix.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) of: fn(&T) -> u64,
}

const fn metric<T>(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    of: fn(&T) -> u64,
) -> Metric<T> {
    Metric { name, kind, help, of }
}

/// The process and its machine.
pub(super) struct Process {
    pub(super) facts: Facts,
    /// Sockets of clients.
    pub(super) sockets: u64,
}

/// A channel, or all of them.
#[derive(Debug, Default)]
pub(super) struct ChannelNumbers {
    consumers: u64,
    unacked: u64,
    unconfirmed: u64,
    prefetch: u64,
    global_prefetch: u64,
    counts: MessageCounts,
}

impl From<&Channel> for ChannelNumbers {
    fn from(channel: &Channel) -> Self {
        Self {
            consumers: channel.consumers.len() as u64,
            unacked: channel.unacked,
            unconfirmed: channel.unconfirmed,
            prefetch: channel.prefetch,
            global_prefetch: channel.global_prefetch,
            counts: channel.counts,
        }
    }
}

impl ChannelNumbers {
    /// Of all channels; the counts with those that have ended.
    pub(super) fn all(traffic: &Traffic, counts: &MessageCounts) -> Self {
        Self {
            consumers: traffic.consumers,
            unacked: traffic.unacked,
            unconfirmed: traffic.unconfirmed,
            prefetch: traffic.prefetch,
            global_prefetch: traffic.global_prefetch,
            counts: *counts,
        }
    }
}

/// A connection, or all of them.
#[derive(Debug, Default)]
pub(super) struct ConnectionNumbers {
    received: (u64, u64),
    sent: (u64, u64),
    channels: u64,
}

impl From<&Connection> for ConnectionNumbers {
    fn from(one: &Connection) -> Self {
        Self { received: one.received, sent: one.sent, channels: one.channels.len() as u64 }
    }
}

impl From<&Traffic> for ConnectionNumbers {
    fn from(all: &Traffic) -> Self {
        Self { received: all.received, sent: all.sent, channels: all.channels }
    }
}

pub(super) const CHURN: &[Metric<Churn>] = &[
    metric("connections_opened_total", Counter, "Connections opened", |c| c.connections.0),
    metric("connections_closed_total", Counter, "Connections closed", |c| c.connections.1),
    metric("channels_opened_total", Counter, "Channels opened", |c| c.channels.0),
    metric("channels_closed_total", Counter, "Channels closed", |c| c.channels.1),
    metric("queues_declared_total", Counter, "Queues declared", |c| c.queues.0),
    metric("queues_created_total", Counter, "Queues created", |c| c.queues.1),
    metric("queues_deleted_total", Counter, "Queues deleted", |c| c.queues.2),
];

pub(super) const NODE_COARSE: &[Metric<Process>] = &[
    metric("process_open_fds", Gauge, "Open files", |p| p.facts.files.0),
    metric("process_open_tcp_sockets", Gauge, "Open sockets of clients", |p| p.sockets),
    metric("process_resident_memory_bytes", Gauge, "Memory of the process, in bytes", |p| {
        p.facts.resident_bytes
    }),
    metric("disk_space_available_bytes", Gauge, "Free space of the disk, in bytes", |p| {
        p.facts.disk_free.0
    }),
];

pub(super) const NODE: &[Metric<Process>] = &[
    metric("process_max_fds", Gauge, "Most open files", |p| p.facts.files.1),
    metric("process_max_tcp_sockets", Gauge, "Most sockets of clients", |p| p.facts.connection_max),
    metric("resident_memory_limit_bytes", Gauge, "Memory from which on publishers wait", |p| {
        p.facts.memory.1
    }),
    metric("disk_space_available_limit_bytes", Gauge, "Free space below which they wait", |p| {
        p.facts.disk_free.1
    }),
];

fn ready(report: &Report) -> u64 {
    (report.ready + report.resting) as u64
}

pub(super) const QUEUE_COARSE: &[Metric<Report>] = &[
    metric("queue_messages_ready", Gauge, "Messages that wait for a delivery", ready),
    metric("queue_messages_unacked", Gauge, "Messages out for delivery", |r| r.unacked as u64),
    metric("queue_messages", Gauge, "Messages", |r| ready(r) + r.unacked as u64),
];

pub(super) const QUEUE_CONSUMERS: &[Metric<Report>] =
    &[metric("queue_consumers", Gauge, "Consumers of a queue", |r| r.consumers as u64)];

pub(super) const QUEUE: &[Metric<Report>] = &[
    metric("queue_process_memory_bytes", Gauge, "Memory of a queue's messages", |r| r.memory_bytes),
    metric("queue_messages_bytes", Gauge, "Bytes of bodies", |r| r.ready_bytes + r.unacked_bytes),
    metric("queue_messages_ready_bytes", Gauge, "Bytes of bodies that wait", |r| r.ready_bytes),
    metric("queue_messages_unacked_bytes", Gauge, "Bytes of bodies that are out", |r| {
        r.unacked_bytes
    }),
];

/// How a queue keeps up, as far as it is known.
pub(super) struct PaceMetric {
    /// Our own are without a prefix.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) of: fn(&Pace) -> Option<f64>,
}

const fn pace(name: &'static str, help: &'static str, of: fn(&Pace) -> Option<f64>) -> PaceMetric {
    PaceMetric { name, help, of }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// Of all queues, the largest is told.
pub(super) const AGES: [PaceMetric; 2] = [
    pace("leveret_queue_oldest_ready_age_seconds", "Since the oldest ready message came", |p| {
        p.oldest_ready_age_ms.map(seconds)
    }),
    pace("leveret_queue_oldest_unacked_age_seconds", "Since the oldest delivery went out", |p| {
        p.oldest_unacked_age_ms.map(seconds)
    }),
];

const CAPACITY: &str = "Share of the time in which consumers had room, 0 to 1";

pub(super) const PACE: [PaceMetric; 4] = {
    let [ready, unacked] = AGES;
    [
        pace("queue_consumer_capacity", CAPACITY, |p| p.consumer_capacity),
        pace("queue_consumer_utilisation", CAPACITY, |p| p.consumer_capacity),
        ready,
        unacked,
    ]
};

pub(super) const QUEUE_DELIVERY: &[Metric<Report>] = &[
    metric("queue_get_ack_total", Counter, "Messages got, to be acknowledged", |r| r.totals.get),
    metric("queue_get_total", Counter, "Messages got, not to be acknowledged", |r| {
        r.totals.get_no_ack
    }),
    metric("queue_messages_delivered_ack_total", Counter, "Deliveries to be acknowledged", |r| {
        r.totals.deliver
    }),
    metric("queue_messages_delivered_total", Counter, "Deliveries not to be acknowledged", |r| {
        r.totals.deliver_no_ack
    }),
    metric("queue_messages_redelivered_total", Counter, "Repeated deliveries", |r| {
        r.totals.redeliver
    }),
    metric("queue_messages_acked_total", Counter, "Acknowledgements", |r| r.totals.ack),
    metric("queue_get_empty_total", Counter, "Gets that found no message", |r| r.totals.get_empty),
];

pub(super) const CHANNEL: &[Metric<ChannelNumbers>] = &[
    metric("channel_consumers", Gauge, "Consumers of a channel", |c| c.consumers),
    metric("channel_messages_unacked", Gauge, "Deliveries that wait for an ack", |c| c.unacked),
    metric("channel_messages_unconfirmed", Gauge, "Publishes that wait for a confirm", |c| {
        c.unconfirmed
    }),
    metric("consumer_prefetch", Gauge, "Limit of each further consumer", |c| c.prefetch),
    metric("channel_prefetch", Gauge, "Limit of all consumers of a channel", |c| c.global_prefetch),
];

pub(super) const CHANNEL_EXCHANGE: &[Metric<ChannelNumbers>] = &[
    metric("channel_messages_published_total", Counter, "Publishes", |c| c.counts.publish),
    metric("channel_messages_confirmed_total", Counter, "Confirms", |c| c.counts.confirm),
    metric("channel_messages_unroutable_returned_total", Counter, "Returns", |c| {
        c.counts.return_unroutable
    }),
    metric(
        "channel_messages_unroutable_dropped_total",
        Counter,
        "Publishes without a queue",
        |c| c.counts.drop_unroutable,
    ),
];

pub(super) const CHANNEL_QUEUE: &[Metric<ChannelNumbers>] = &[
    metric("channel_get_ack_total", Counter, "Messages got, to be acknowledged", |c| c.counts.get),
    metric("channel_get_total", Counter, "Messages got, not to be acknowledged", |c| {
        c.counts.get_no_ack
    }),
    metric("channel_messages_delivered_ack_total", Counter, "Deliveries to acknowledge", |c| {
        c.counts.deliver
    }),
    metric("channel_messages_delivered_total", Counter, "Deliveries without ack", |c| {
        c.counts.deliver_no_ack
    }),
    metric("channel_messages_redelivered_total", Counter, "Repeated deliveries", |c| {
        c.counts.redeliver
    }),
    metric("channel_messages_acked_total", Counter, "Acknowledgements", |c| c.counts.ack),
    metric("channel_get_empty_total", Counter, "Gets that found no message", |c| {
        c.counts.get_empty
    }),
];

pub(super) const CONNECTION_COARSE: &[Metric<ConnectionNumbers>] = &[
    metric("connection_incoming_bytes_total", Counter, "Bytes received", |c| c.received.0),
    metric("connection_outgoing_bytes_total", Counter, "Bytes sent", |c| c.sent.0),
];

pub(super) const CONNECTION: &[Metric<ConnectionNumbers>] = &[
    metric("connection_incoming_packets_total", Counter, "Reads from the socket", |c| c.received.1),
    metric("connection_outgoing_packets_total", Counter, "Writes to the socket", |c| c.sent.1),
    metric("connection_channels", Gauge, "Channels of a connection", |c| c.channels),
];

/// Messages in and out of the whole server, by the protocol of who published.
pub(super) const GLOBAL_PUBLISHED: &[Metric<MessageCounts>] = &[
    metric("messages_received_total", Counter, "Messages published", |c| c.publish),
    metric("messages_received_confirm_total", Counter, "Publishes to be confirmed", |c| {
        c.publish_confirm
    }),
    metric("messages_confirmed_total", Counter, "Publishes confirmed", |c| c.confirm),
    metric("messages_routed_total", Counter, "Messages routed to queues, once for each", |c| {
        c.routed
    }),
    metric("messages_unroutable_dropped_total", Counter, "Publishes without a queue", |c| {
        c.drop_unroutable
    }),
    metric("messages_unroutable_returned_total", Counter, "Mandatory ones without a queue", |c| {
        c.return_unroutable
    }),
];

/// The same by the protocol of who consumes, and the kind of queue.
pub(super) const GLOBAL_DELIVERED: &[Metric<MessageCounts>] = &[
    metric("messages_delivered_total", Counter, "Messages delivered", |c| {
        c.deliver + c.deliver_no_ack + c.get + c.get_no_ack
    }),
    metric("messages_delivered_consume_manual_ack_total", Counter, "To acknowledge", |c| c.deliver),
    metric("messages_delivered_consume_auto_ack_total", Counter, "Not to acknowledge", |c| {
        c.deliver_no_ack
    }),
    metric("messages_delivered_get_manual_ack_total", Counter, "Got, to acknowledge", |c| c.get),
    metric("messages_delivered_get_auto_ack_total", Counter, "Got, not to acknowledge", |c| {
        c.get_no_ack
    }),
    metric("messages_get_empty_total", Counter, "Gets that found no message", |c| c.get_empty),
    metric("messages_redelivered_total", Counter, "Repeated deliveries", |c| c.redeliver),
    metric("messages_acknowledged_total", Counter, "Acknowledgements", |c| c.ack),
];

/// What is open.
pub(super) const TOTALS: &[Metric<Traffic>] = &[
    metric("connections", Gauge, "Open connections", |t| t.connections),
    metric("channels", Gauge, "Open channels", |t| t.channels),
    metric("consumers", Gauge, "Consumers", |t| t.consumers),
];

pub(super) const GLOBAL_USERS: &[Metric<Traffic>] = &[
    metric("publishers", Gauge, "Channels that have published", |t| t.publishers),
    metric("consumers", Gauge, "Consumers", |t| t.consumers),
];
