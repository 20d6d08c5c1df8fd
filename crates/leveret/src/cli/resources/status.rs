//! `leveret status`: is it well?

use clap::Args;
use serde_json::{Value, json};

use super::nodes;
use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{self, Column, shown};

const BROKER: &[Column] = &[
    shown("product").at("product_name"),
    shown("version").at("product_version"),
    shown("rabbitmq_version"),
    shown("cluster_name"),
    shown("alarms"),
    shown("connections").at("object_totals.connections"),
    shown("queues").at("object_totals.queues"),
    shown("messages").at("queue_totals.messages"),
    shown("listeners"),
];

/// Arguments of `leveret status`: none.
#[derive(Args)]
pub struct Status {}

/// A listener as `protocol address:port`.
fn listener(listener: &Value) -> Value {
    let (protocol, port) = (&listener["protocol"], &listener["port"]);
    let address = listener["ip_address"].as_str().unwrap_or_default();
    json!(format!("{} {address}:{port}", protocol.as_str().unwrap_or_default()))
}

/// The alarms that are on, in words.
fn alarms(nodes: &Value) -> Value {
    let mut alarms = Vec::new();
    for node in nodes.as_array().into_iter().flatten() {
        for (key, what) in [("mem_alarm", "memory"), ("disk_free_alarm", "disk")] {
            if node[key] == true {
                alarms.push(format!("{what} of {}", node["name"].as_str().unwrap_or_default()));
            }
        }
    }
    if alarms.is_empty() { json!("none") } else { json!(alarms) }
}

impl Operation for Status {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut overview = session.client.get(&Target::new("overview", &["overview"]))?;
        let nodes = session.client.get(&Target::new("list of nodes", &["nodes"]))?;
        if session.json {
            return session.print_json(&json!({"overview": overview, "nodes": nodes}));
        }
        let listeners = overview["listeners"].as_array().into_iter().flatten().map(listener);
        overview["listeners"] = listeners.collect();
        overview["alarms"] = alarms(&nodes);
        let mut text = table::one(&overview, BROKER);
        for node in nodes.as_array().into_iter().flatten() {
            text.push_str(&format!("\n{}", table::one(node, nodes::COLUMNS)));
        }
        crate::print(&text)
    }
}
