//! The three pages: all added up, each object by itself, and chosen families of chosen vhosts.
//!
//! Invariant: definitions are read from a snapshot, and a queue is looked at for as long as it
//! takes to copy its counts, so no message waits for a page.

use std::sync::Arc;

use leveret_broker::definitions::{Exchange, Vhost};
use leveret_broker::queue::{Pace, QueueHandle, Report};

use super::page::Kind::{Counter, Gauge, Untyped};
use super::page::{Labels, Page};
use super::tables::{self, ChannelNumbers, ConnectionNumbers, Metric, Process};
use crate::node::{Connection, Facts, Node};
use crate::resources::overview::RABBITMQ_VERSION;

/// What RabbitMQ's names begin with.
const PREFIX: &str = "rabbitmq_";
const DETAILED: &str = "rabbitmq_detailed_";
const CLUSTER: &str = "rabbitmq_cluster_";
const GLOBAL: &str = "rabbitmq_global_";
const PROTOCOL: (&str, &str) = ("protocol", "amqp091");
/// All queues are of one make, which RabbitMQ's classic queues come nearest.
const QUEUE_TYPE: (&str, &str) = ("queue_type", "rabbit_classic_queue");

/// What is asked for of the objects.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// RabbitMQ's names of families.
    pub(super) families: Vec<String>,
    /// None is all.
    pub(super) vhosts: Vec<String>,
}

impl Chosen {
    fn has(&self, family: &str) -> bool {
        self.families.iter().any(|one| one == family)
    }

    fn has_vhost(&self, vhost: &str) -> bool {
        self.vhosts.is_empty() || self.vhosts.iter().any(|one| one == vhost)
    }
}

/// The families of queues, of connections with their channels, and of exchanges that
/// `/metrics/per-object` has.
const OF_QUEUES: [&str; 3] = ["queue_coarse_metrics", "queue_metrics", "queue_delivery_metrics"];
const OF_CONNECTIONS: [&str; 5] = [
    "channel_metrics",
    "channel_exchange_metrics",
    "channel_queue_metrics",
    "connection_coarse_metrics",
    "connection_metrics",
];
const OF_EXCHANGES: [&str; 1] = ["exchange_metrics"];
/// What `queue_metrics` has, too.
const QUEUE_CONSUMER_COUNT: &str = "queue_consumer_count";

/// Writes a page about a server.
pub(super) struct Writer<'a> {
    node: &'a dyn Node,
    page: Page,
    prefix: &'static str,
}

/// A table of one thing, each a family.
fn one<T>(page: &mut Page, prefix: &str, table: &[Metric<T>], labels: &Labels, thing: &T) {
    for metric in table {
        page.family(prefix, metric.name, metric.kind, metric.help);
        page.sample(labels, (metric.of)(thing));
    }
}

/// A table of many things.
fn many<T>(page: &mut Page, prefix: &str, table: &[Metric<T>], things: &[(Labels, T)]) {
    for metric in table {
        page.family(prefix, metric.name, metric.kind, metric.help);
        for (labels, thing) in things {
            page.sample(labels, (metric.of)(thing));
        }
    }
}

impl<'a> Writer<'a> {
    fn new(node: &'a dyn Node, prefix: &'static str) -> Self {
        Self { node, page: Page::default(), prefix }
    }

    fn one<T>(&mut self, table: &[Metric<T>], thing: &T) {
        one(&mut self.page, self.prefix, table, &Labels::NONE, thing);
    }

    fn process(&self) -> Process {
        Process { facts: self.node.facts(), sockets: self.node.connection_count() as u64 }
    }

    /// What is there without any object.
    fn server(&mut self) {
        let process = self.process();
        let facts = &process.facts;
        let started = self.node.now().0.saturating_sub(facts.uptime_ms) / 1000;
        let help = "When the process started, in seconds since 1970";
        self.page.number("process_start_time_seconds", Gauge, help, started);
        for (name, on) in
            [("free_disk_space", facts.disk_alarm), ("memory_used", facts.memory_alarm)]
        {
            let name = format!("rabbitmq_alarms_{name}_watermark");
            self.page.number(&name, Untyped, "1 while the alarm is on", u8::from(on));
        }
        self.one(tables::CHURN, &self.node.churn());
        self.one(tables::NODE_COARSE, &process);
        self.one(tables::NODE, &process);
        self.uptime(facts);
    }

    fn uptime(&mut self, facts: &Facts) {
        let seconds = facts.uptime_ms as f64 / 1000.0;
        self.page.family(self.prefix, "erlang_uptime_seconds", Gauge, "Since the start");
        self.page.sample(&Labels::NONE, seconds);
    }

    /// What the whole server has, and has done.
    fn totals(&mut self, queues: usize) {
        let traffic = self.node.traffic();
        self.one(tables::TOTALS, &traffic);
        self.page.number("rabbitmq_queues", Gauge, "Queues", queues);
        let counts = self.node.counts().0;
        let protocol = Labels::new(&[PROTOCOL]);
        let both = Labels::new(&[PROTOCOL, QUEUE_TYPE]);
        one(&mut self.page, GLOBAL, tables::GLOBAL_USERS, &protocol, &traffic);
        one(&mut self.page, GLOBAL, tables::GLOBAL_PUBLISHED, &protocol, &counts);
        one(&mut self.page, GLOBAL, tables::GLOBAL_DELIVERED, &both, &counts);
        let help = "From the first publish of a turn to its confirm";
        self.page.histogram("leveret_confirm_seconds", help, &self.node.confirm_times());
        let help = "From a message's arrival in a queue to its first delivery";
        let waits = self.node.broker().queue_times().snapshot();
        self.page.histogram("leveret_queue_time_seconds", help, &waits);
        if let Some((sent, dropped)) = self.node.spans() {
            let (taken, lost) = ("Spans that the collector took", "Spans that were not sent");
            self.page.number("leveret_spans_sent_total", Counter, taken, sent);
            self.page.number("leveret_spans_dropped_total", Counter, lost, dropped);
        }
    }

    /// Which server and which page this is: dashboards join it with everything else.
    fn identity(&mut self, endpoint: &str) {
        let facts = self.node.facts();
        let build = Labels::new(&[
            ("rabbitmq_version", RABBITMQ_VERSION),
            ("prometheus_plugin_version", RABBITMQ_VERSION),
            ("prometheus_client_version", "none"),
            ("erlang_version", "none"),
            ("product_name", "Leveret"),
            ("product_version", &facts.version),
        ]);
        self.page.family(PREFIX, "build_info", Untyped, "Versions");
        self.page.sample(&build, 1);
        let identity = Labels::new(&[
            ("rabbitmq_node", &facts.node_name),
            ("rabbitmq_cluster", &facts.cluster_name),
            ("rabbitmq_endpoint", endpoint),
        ]);
        self.page.family(PREFIX, "identity_info", Untyped, "Names of the node and the cluster");
        self.page.sample(&identity, 1);
    }

    fn vhosts(&self, chosen: &Chosen) -> Vec<Arc<Vhost>> {
        let topology = self.node.broker().topology().clone();
        let chosen = topology.vhosts.iter().filter(|(name, _)| chosen.has_vhost(name));
        chosen.map(|(_, vhost)| Arc::clone(vhost)).collect()
    }

    fn queues(&mut self, chosen: &Chosen, vhosts: &[Arc<Vhost>]) {
        let mut names = OF_QUEUES.iter().chain([&QUEUE_CONSUMER_COUNT]);
        if !names.any(|family| chosen.has(family)) {
            return;
        }
        let row = |queue: &Arc<QueueHandle>| {
            let spec = &queue.spec;
            let labels = Labels::new(&[("vhost", &spec.vhost), ("queue", &spec.name)]);
            (labels, queue.report())
        };
        let queues = vhosts.iter().flat_map(|vhost| vhost.queues.values());
        let rows: Vec<(Labels, Report)> = queues.map(row).collect();
        let whole = chosen.has("queue_metrics");
        for (wanted, table) in [
            (chosen.has("queue_coarse_metrics"), tables::QUEUE_COARSE),
            (whole || chosen.has(QUEUE_CONSUMER_COUNT), tables::QUEUE_CONSUMERS),
            (whole, tables::QUEUE),
            (chosen.has("queue_delivery_metrics"), tables::QUEUE_DELIVERY),
        ] {
            if wanted {
                many(&mut self.page, self.prefix, table, &rows);
            }
        }
        if whole {
            self.paces(vhosts);
        }
    }

    /// How each queue keeps up; what is not known has no sample.
    fn paces(&mut self, vhosts: &[Arc<Vhost>]) {
        let now = self.node.now();
        let row = |queue: &Arc<QueueHandle>| {
            let spec = &queue.spec;
            let labels = Labels::new(&[("vhost", &spec.vhost), ("queue", &spec.name)]);
            (labels, queue.pace(now))
        };
        let queues = vhosts.iter().flat_map(|vhost| vhost.queues.values());
        let rows: Vec<(Labels, Pace)> = queues.map(row).collect();
        for (prefix, metric) in tables::PACE.iter().map(|metric| (self.prefix, metric)) {
            let prefix = if metric.name.starts_with("leveret_") { "" } else { prefix };
            self.page.family(prefix, metric.name, Gauge, metric.help);
            for (labels, pace) in &rows {
                if let Some(value) = (metric.of)(pace) {
                    self.page.sample(labels, value);
                }
            }
        }
    }

    fn channels(&mut self, chosen: &Chosen, connections: &[Connection]) {
        let rows: Vec<(Labels, ChannelNumbers)> = connections
            .iter()
            .flat_map(|connection| connection.channels.iter().map(move |one| (connection, one)))
            .map(|(connection, channel)| {
                let name = format!("{} ({})", connection.name(), channel.number);
                let labels = Labels::new(&[("channel", &name), ("vhost", &connection.vhost)]);
                (labels, ChannelNumbers::from(channel))
            })
            .collect();
        for (family, table) in [
            ("channel_metrics", tables::CHANNEL),
            ("channel_exchange_metrics", tables::CHANNEL_EXCHANGE),
            ("channel_queue_metrics", tables::CHANNEL_QUEUE),
        ] {
            if chosen.has(family) {
                many(&mut self.page, self.prefix, table, &rows);
            }
        }
    }

    fn connections(&mut self, chosen: &Chosen) {
        if !OF_CONNECTIONS.iter().any(|family| chosen.has(family)) {
            return;
        }
        let mut connections = self.node.connections();
        connections.retain(|one| chosen.has_vhost(&one.vhost));
        connections.sort_unstable_by_key(|one| one.id);
        self.channels(chosen, &connections);
        let row = |one: &Connection| {
            let labels = Labels::new(&[("connection", &one.name()), ("vhost", &one.vhost)]);
            (labels, ConnectionNumbers::from(one))
        };
        let rows: Vec<(Labels, ConnectionNumbers)> = connections.iter().map(row).collect();
        for (family, table) in [
            ("connection_coarse_metrics", tables::CONNECTION_COARSE),
            ("connection_metrics", tables::CONNECTION),
        ] {
            if chosen.has(family) {
                many(&mut self.page, self.prefix, table, &rows);
            }
        }
    }

    /// What RabbitMQ tells of exchanges, which it prefixes as what all of a cluster knows.
    fn exchanges(&mut self, chosen: &Chosen, vhosts: &[Arc<Vhost>]) {
        if chosen.has("exchange_metrics") {
            let help = "Messages published to an exchange by clients";
            self.page.family(self.prefix, "exchange_messages_published_total", Counter, help);
            for (vhost, name, exchange) in all_exchanges(vhosts) {
                let labels = Labels::new(&[("vhost", vhost), ("exchange", name)]);
                self.page.sample(&labels, exchange.traffic.totals().0);
            }
        }
        for (family, name, help) in [
            ("exchange_bindings", "exchange_bindings", "Bindings that lead out of an exchange"),
            ("exchange_names", "exchange_name", "The exchanges"),
        ] {
            if !chosen.has(family) {
                continue;
            }
            self.page.family(CLUSTER, name, Gauge, help);
            let named = |(_, name, exchange): &(&str, &str, &Exchange)| {
                !name.is_empty() && !exchange.spec.internal
            };
            for (vhost, name, exchange) in all_exchanges(vhosts).filter(named) {
                let kind = exchange.spec.kind.name();
                let labels = Labels::new(&[("vhost", vhost), ("exchange", name), ("type", kind)]);
                let bindings =
                    if family == "exchange_names" { 1 } else { exchange.bindings().count() };
                self.page.sample(&labels, bindings);
            }
        }
    }

    fn status(&mut self, chosen: &Chosen, vhosts: &[Arc<Vhost>]) {
        if chosen.has("vhost_status") {
            self.page.family(CLUSTER, "vhost_status", Gauge, "1 for a vhost that runs");
            for vhost in vhosts {
                self.page.sample(&Labels::new(&[("vhost", &vhost.name)]), 1);
            }
        }
    }
}

/// All exchanges with the names of their vhosts and their own.
fn all_exchanges<'a>(
    vhosts: &'a [Arc<Vhost>],
) -> impl Iterator<Item = (&'a str, &'a str, &'a Exchange)> {
    vhosts.iter().flat_map(|vhost| {
        let name = |exchange: &'a Exchange| (&*vhost.name, &*exchange.spec.name, exchange);
        vhost.exchanges.values().map(move |exchange| name(exchange))
    })
}

/// All added up. Counters do not fall: they have what is gone in them.
pub(super) fn aggregated(node: &dyn Node) -> Option<String> {
    let mut writer = Writer::new(node, PREFIX);
    writer.server();
    let vhosts = writer.vhosts(&Chosen::default());
    let table =
        || [tables::QUEUE_COARSE, tables::QUEUE_CONSUMERS, tables::QUEUE].into_iter().flatten();
    let mut sums = vec![0_u64; table().count()];
    let mut ages = [0.0_f64; tables::AGES.len()];
    let (mut count, now) = (0, node.now());
    for queue in vhosts.iter().flat_map(|vhost| vhost.queues.values()) {
        let report = queue.report();
        count += 1;
        for (sum, metric) in sums.iter_mut().zip(table()) {
            *sum += (metric.of)(&report);
        }
        let pace = queue.pace(now);
        for (most, metric) in ages.iter_mut().zip(tables::AGES) {
            *most = most.max((metric.of)(&pace).unwrap_or(0.0));
        }
    }
    for (most, metric) in ages.into_iter().zip(tables::AGES) {
        writer.page.number(metric.name, Gauge, metric.help, most);
    }
    for (sum, metric) in sums.into_iter().zip(table()) {
        writer.page.family(PREFIX, metric.name, metric.kind, metric.help);
        writer.page.sample(&Labels::NONE, sum);
    }
    let (traffic, counts) = (node.traffic(), node.counts().0);
    let channels = ChannelNumbers::all(&traffic, &counts);
    for table in [tables::CHANNEL, tables::CHANNEL_EXCHANGE, tables::CHANNEL_QUEUE] {
        writer.one(table, &channels);
    }
    let connections = ConnectionNumbers::from(&traffic);
    writer.one(tables::CONNECTION_COARSE, &connections);
    writer.one(tables::CONNECTION, &connections);
    writer.totals(count);
    writer.identity("aggregated");
    writer.page.finish()
}

/// Each object by itself.
pub(super) fn per_object(node: &dyn Node) -> Option<String> {
    let families = OF_QUEUES.iter().chain(&OF_CONNECTIONS).chain(&OF_EXCHANGES);
    let families = families.map(|family| (*family).to_owned()).collect();
    let chosen = Chosen { families, vhosts: Vec::new() };
    let mut writer = Writer::new(node, PREFIX);
    writer.server();
    let vhosts = writer.vhosts(&chosen);
    writer.queues(&chosen, &vhosts);
    writer.connections(&chosen);
    writer.exchanges(&chosen, &vhosts);
    writer.totals(vhosts.iter().map(|vhost| vhost.queues.len()).sum());
    writer.identity("per-object");
    writer.page.finish()
}

/// The families and vhosts that are asked for.
pub(super) fn detailed(node: &dyn Node, chosen: &Chosen) -> Option<String> {
    let mut writer = Writer::new(node, DETAILED);
    if chosen.has("connection_churn_metrics") {
        writer.one(tables::CHURN, &node.churn());
    }
    let process = writer.process();
    if chosen.has("node_coarse_metrics") {
        writer.one(tables::NODE_COARSE, &process);
    }
    if chosen.has("node_metrics") {
        writer.one(tables::NODE, &process);
        writer.uptime(&process.facts);
    }
    let vhosts = writer.vhosts(chosen);
    writer.queues(chosen, &vhosts);
    writer.connections(chosen);
    writer.exchanges(chosen, &vhosts);
    writer.status(chosen, &vhosts);
    writer.identity("detailed");
    writer.page.finish()
}
