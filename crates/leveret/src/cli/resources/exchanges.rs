//! `leveret exchanges`.

use clap::{Args, Subcommand};
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
    shown("durable"),
    shown("auto_delete"),
    shown("internal"),
    shown("in_rate").at("message_stats.publish_in_details.rate").form(Form::Rate),
    shown("out_rate").at("message_stats.publish_out_details.rate").form(Form::Rate),
    extra("arguments"),
    extra("policy"),
    extra("publish_in").at("message_stats.publish_in"),
    extra("publish_out").at("message_stats.publish_out"),
    extra("scheduled"),
    extra("user_who_performed_action"),
];

/// Verbs for exchanges.
#[derive(Subcommand)]
pub enum Command {
    /// List exchanges.
    List(ListArgs),
    /// Show all of one exchange.
    Show(Name),
    /// Declare an exchange.
    Declare(Declare),
    /// Delete an exchange.
    Delete(Delete),
}

/// Which exchange.
#[derive(Args)]
pub struct Name {
    /// The exchange; amq.default is the one without a name
    exchange: String,
}

/// What is declared.
#[derive(Args)]
pub struct Declare {
    /// The exchange.
    exchange: String,

    /// Its type: direct, fanout, topic, headers, x-delayed-message, ...
    #[arg(value_name = "TYPE", default_value = "direct")]
    kind: String,

    /// It does not survive a restart
    #[arg(long)]
    transient: bool,

    /// It goes with its last binding
    #[arg(long)]
    auto_delete: bool,

    /// Clients cannot publish to it
    #[arg(long)]
    internal: bool,

    #[command(flatten)]
    arguments: Arguments,
}

/// What is deleted.
#[derive(Args)]
pub struct Delete {
    /// The exchange.
    exchange: String,

    /// Only if nothing is bound to it
    #[arg(short = 'u', long)]
    if_unused: bool,
}

fn target(session: &Session, exchange: &str) -> Target {
    session.target("exchange", "exchanges", exchange)
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(list) => session.list(session.collection(&["exchanges"]), COLUMNS, list),
            Command::Show(Name { exchange }) => {
                session.print_one(&session.client.get(&target(session, exchange))?, COLUMNS)
            }
            Command::Declare(declare) => {
                let body = json!({
                    "type": declare.kind, "durable": !declare.transient,
                    "auto_delete": declare.auto_delete, "internal": declare.internal,
                    "arguments": declare.arguments.to_json(),
                });
                let exchange = &declare.exchange;
                let is_new = session.client.put(&target(session, exchange), &body)?;
                session.say(&format!("exchange `{exchange}` {}", super::declared(is_new)))
            }
            Command::Delete(Delete { exchange, if_unused }) => {
                let target = target(session, exchange);
                let target = if *if_unused { target.query("if-unused", "true") } else { target };
                session.client.delete(&target)?;
                session.say(&format!("exchange `{exchange}` was deleted"))
            }
        }
    }
}
