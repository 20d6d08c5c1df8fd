//! `leveret health`: the broker's own checks.

use anyhow::ensure;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, shown};

const COLUMNS: &[Column] = &[shown("check"), shown("status"), shown("reason")];

/// Checks without arguments.
#[derive(Clone, Copy, ValueEnum)]
enum Check {
    /// No alarm is on in the cluster.
    Alarms,
    /// No alarm is on at this node.
    LocalAlarms,
    /// All vhosts run.
    VirtualHosts,
    /// No quorum queue would lose its majority with this node.
    Quorum,
    /// A message goes through a queue of the vhost.
    Alive,
}

/// Arguments of `leveret health`.
#[derive(Args)]
pub struct Health {
    /// What to check [default: all that takes no argument, but for alive]
    #[arg(value_name = "CHECK")]
    checks: Vec<Check>,

    /// Something listens on this port
    #[arg(long, value_name = "NUMBER")]
    port: Vec<u16>,

    /// Something listens for this protocol: amqp, amqps, mqtt, http, ...
    #[arg(long, value_name = "NAME")]
    protocol: Vec<String>,

    /// No certificate expires within a time such as 2-weeks: days, weeks, months, years
    #[arg(long, value_name = "N-UNIT", value_parser = span)]
    certificates: Vec<(String, String)>,
}

fn span(text: &str) -> Result<(String, String), String> {
    let units = ["days", "weeks", "months", "years"];
    let parts = text.split_once('-');
    let parts = parts.filter(|(n, unit)| n.parse::<u32>().is_ok() && units.contains(unit));
    let (number, unit) = parts.ok_or("expected a time such as 10-days or 2-weeks")?;
    Ok((number.to_owned(), unit.to_owned()))
}

impl Health {
    /// The checks by name, with where to ask.
    fn targets(&self, session: &Session) -> Vec<(String, Target)> {
        let mut targets = Vec::new();
        let mut add = |name: String, path: &[&str]| {
            let target = Target::new(format!("health check `{name}`"), path);
            targets.push((name, target));
        };
        let asked = !self.port.is_empty()
            || !self.protocol.is_empty()
            || !self.certificates.is_empty()
            || !self.checks.is_empty();
        let every = [Check::Alarms, Check::LocalAlarms, Check::VirtualHosts, Check::Quorum];
        let checks = if asked { &self.checks[..] } else { &every[..] };
        for check in checks {
            let name = match check {
                Check::Alarms => "alarms",
                Check::LocalAlarms => "local-alarms",
                Check::VirtualHosts => "virtual-hosts",
                Check::Quorum => "node-is-quorum-critical",
                Check::Alive => {
                    add("alive".to_owned(), &["aliveness-test", session.vhost()]);
                    continue;
                }
            };
            add(name.to_owned(), &["health", "checks", name]);
        }
        for port in self.port.iter().map(u16::to_string) {
            add(format!("port {port}"), &["health", "checks", "port-listener", &port]);
        }
        for protocol in &self.protocol {
            let path = ["health", "checks", "protocol-listener", protocol];
            add(format!("protocol {protocol}"), &path);
        }
        for (number, unit) in &self.certificates {
            let path = ["health", "checks", "certificate-expiration", number, unit];
            add(format!("certificates {number}-{unit}"), &path);
        }
        targets
    }
}

impl Operation for Health {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        let mut failed = Vec::new();
        for (name, target) in self.targets(session) {
            let (well, answer) = session.client.check(&target)?;
            let status = if well && answer["status"] == "ok" { "ok" } else { "failed" };
            let reason =
                if answer["reason"].is_null() { json!("") } else { answer["reason"].clone() };
            let mut row = json!({"check": name, "status": status, "reason": reason});
            if status == "failed" {
                row["details"] = answer;
                failed.push(name);
            }
            rows.push(row);
        }
        session.print_list(rows, COLUMNS, &ListArgs::default())?;
        ensure!(failed.is_empty(), "not well: {}", failed.join(", "));
        Ok::<(), anyhow::Error>(())
    }
}

/// Whether an answer is of a broker that has our own endpoints.
pub(in crate::cli) fn is_leveret(session: &Session) -> bool {
    let overview = session.client.get(&Target::new("overview", &["overview"]));
    overview.is_ok_and(|overview: Value| overview["product_name"] == "Leveret")
}
