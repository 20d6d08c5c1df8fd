//! `leveret queues`.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::argument::Arguments;
use crate::cli::session::Session;
use crate::cli::table::{Column, Form, ListArgs, extra, shown};

const COLUMNS: &[Column] = &[
    shown("vhost"),
    shown("name"),
    shown("type"),
    shown("state"),
    shown("messages_ready"),
    shown("messages_unacknowledged"),
    shown("messages"),
    shown("consumers"),
    shown("publish_rate").at("message_stats.publish_details.rate").form(Form::Rate),
    shown("deliver_rate").at("message_stats.deliver_get_details.rate").form(Form::Rate),
    extra("ack_rate").at("message_stats.ack_details.rate").form(Form::Rate),
    extra("durable"),
    extra("auto_delete"),
    extra("exclusive"),
    extra("arguments"),
    extra("policy"),
    extra("operator_policy"),
    extra("effective_policy_definition"),
    extra("message_bytes").form(Form::Bytes),
    extra("memory").form(Form::Bytes),
    extra("consumer_utilisation"),
    extra("dead_letter_queue"),
    extra("oldest_ready_age").at("oldest_ready_age_ms").form(Form::Duration),
    extra("oldest_unacked_age").at("oldest_unacked_age_ms").form(Form::Duration),
    extra("idle_since"),
    extra("node"),
];

/// Verbs for queues.
#[derive(Subcommand)]
pub enum Command {
    /// List queues.
    List(ListArgs),
    /// Show all of one queue.
    Show(Name),
    /// Declare a queue.
    Declare(Declare),
    /// Delete a queue and its messages.
    Delete(Delete),
    /// Delete the messages that are ready in a queue.
    Purge(Name),
}

/// Which queue.
#[derive(Args)]
pub struct Name {
    /// The queue.
    queue: String,
}

/// The kinds of queues.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Classic,
    Quorum,
    Stream,
}

/// What is declared.
#[derive(Args)]
pub struct Declare {
    /// The queue.
    queue: String,

    /// Its type; the vhost's default if not given
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<Kind>,

    /// It does not survive a restart
    #[arg(long)]
    transient: bool,

    /// It goes with its last consumer
    #[arg(long)]
    auto_delete: bool,

    #[command(flatten)]
    arguments: Arguments,
}

/// What is deleted.
#[derive(Args)]
pub struct Delete {
    /// The queue.
    queue: String,

    /// Only if it has no messages
    #[arg(short = 'e', long)]
    if_empty: bool,

    /// Only if it has no consumers
    #[arg(short = 'u', long)]
    if_unused: bool,
}

fn target(session: &Session, queue: &str) -> Target {
    session.target("queue", "queues", queue)
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(list) => session.list(session.collection(&["queues"]), COLUMNS, list),
            Command::Show(Name { queue }) => {
                session.print_one(&session.client.get(&target(session, queue))?, COLUMNS)
            }
            Command::Declare(declare) => declare.run(session),
            Command::Delete(delete) => delete.run(session),
            Command::Purge(Name { queue }) => {
                let vhost = session.vhost();
                let what = format!("queue `{queue}` in vhost `{vhost}`");
                let contents = ["queues", vhost, queue, "contents"];
                session.client.delete(&Target::new(what, &contents))?;
                session.say(&format!("queue `{queue}` was purged"))
            }
        }
    }
}

impl Operation for Declare {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut arguments = self.arguments.to_json();
        if let Some(kind) = self.kind.and_then(|kind| kind.to_possible_value()) {
            arguments["x-queue-type"] = json!(kind.get_name());
        }
        let body = json!({
            "durable": !self.transient, "auto_delete": self.auto_delete, "arguments": arguments,
        });
        let queue = &self.queue;
        let is_new = session.client.put(&target(session, queue), &body)?;
        session.say(&format!("queue `{queue}` {}", super::declared(is_new)))
    }
}

impl Operation for Delete {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut target = target(session, &self.queue);
        if self.if_empty {
            target = target.query("if-empty", "true");
        }
        if self.if_unused {
            target = target.query("if-unused", "true");
        }
        session.client.delete(&target)?;
        session.say(&format!("queue `{}` was deleted", self.queue))
    }
}
