//! `leveret bindings`.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::argument::Arguments;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, extra, shown};

const COLUMNS: &[Column] = &[
    shown("vhost"),
    shown("source"),
    shown("destination"),
    shown("destination_type"),
    shown("routing_key"),
    shown("arguments"),
    extra("properties_key"),
    extra("source_name").at("source"),
    extra("destination_name").at("destination"),
    extra("destination_kind").at("destination_type"),
];

/// Verbs for bindings.
#[derive(Subcommand)]
pub enum Command {
    /// List bindings.
    List(ListArgs),
    /// Bind a queue, or an exchange, to an exchange.
    Declare(Binding),
    /// Remove a binding.
    Delete(Binding),
}

/// Which binding.
#[derive(Args)]
pub struct Binding {
    /// The exchange from which messages come.
    source: String,

    /// The queue to which they go, or the exchange
    destination: String,

    /// The routing key
    #[arg(default_value = "")]
    routing_key: String,

    /// The destination is an exchange
    #[arg(long)]
    to_exchange: bool,

    #[command(flatten)]
    arguments: Arguments,
}

impl Binding {
    fn target(&self, session: &Session, properties_key: Option<&str>) -> Target {
        let (vhost, source, destination) = (session.vhost(), &self.source, &self.destination);
        let what = format!("exchange `{source}`, or no `{destination}`, in vhost `{vhost}`");
        let kind = if self.to_exchange { "e" } else { "q" };
        let path = ["bindings", vhost, "e", source, kind, destination];
        match properties_key {
            Some(key) => Target::new(what, &[&path[..], &[key]].concat()),
            None => Target::new(what, &path),
        }
    }

    fn declare(&self, session: &Session) -> anyhow::Result<()> {
        let arguments = self.arguments.to_json();
        let body = json!({"routing_key": self.routing_key, "arguments": arguments});
        session.client.post(&self.target(session, None), &body)?;
        session.say(&format!("`{}` is bound to `{}`", self.destination, self.source))
    }

    fn delete(&self, session: &Session) -> anyhow::Result<()> {
        let there = session.client.get(&self.target(session, None))?;
        let arguments = self.arguments.to_json();
        let same = |found: &&Value| {
            let theirs = &found["arguments"];
            let equal = *theirs == arguments || (*theirs == json!([]) && arguments == json!({}));
            found["routing_key"] == json!(self.routing_key) && equal
        };
        let found = there.as_array().into_iter().flatten().find(same);
        let Some(key) = found.and_then(|found| found["properties_key"].as_str()) else {
            bail!(
                "there is no binding of `{}` to `{}` with the routing key `{}` and these arguments",
                self.destination,
                self.source,
                self.routing_key
            );
        };
        session.client.delete(&self.target(session, Some(key)))?;
        session.say(&format!("`{}` is no longer bound to `{}`", self.destination, self.source))
    }
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(list) => session.list(session.collection(&["bindings"]), COLUMNS, list),
            Command::Declare(binding) => binding.declare(session),
            Command::Delete(binding) => binding.delete(session),
        }
    }
}
