//! `leveret scheduled`: messages that wait in an exchange for their time.

use anyhow::ensure;
use clap::{Args, Subcommand};

use super::messages::{Look, need_leveret};
use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;

/// Verbs for scheduled messages.
#[derive(Subcommand)]
pub enum Command {
    /// List the messages that wait in an exchange.
    List(List),
    /// Cancel messages that wait: by their message_id, or by position.
    Cancel(Cancel),
}

/// What is listed.
#[derive(Args)]
pub struct List {
    /// The exchange.
    exchange: String,

    #[command(flatten)]
    look: Look,
}

/// What is cancelled.
#[derive(Args)]
pub struct Cancel {
    /// The exchange.
    exchange: String,

    /// The property message_id of the messages
    #[arg(required_unless_present = "position")]
    message_id: Option<String>,

    /// The position, as `leveret scheduled list` shows it
    #[arg(long, value_name = "NUMBER", conflicts_with = "message_id")]
    position: Option<u64>,
}

fn target(session: &Session, exchange: &str, below: Option<&str>) -> Target {
    let vhost = session.vhost();
    let what = format!("exchange `{exchange}` in vhost `{vhost}`");
    let mut path = vec!["leveret", "exchanges", vhost, exchange, "scheduled"];
    path.extend(below);
    Target::new(what, &path)
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(List { exchange, look }) => {
                look.run(session, target(session, exchange, None))
            }
            Command::Cancel(Cancel { exchange, message_id, position }) => {
                let target = target(session, exchange, message_id.as_deref());
                let target = match position {
                    Some(position) => target.query("position", &position.to_string()),
                    None => target,
                };
                let answer = session.client.delete(&target);
                let answer = answer.map_err(|error| need_leveret(session, error))?;
                if session.json {
                    session.print_json(&answer)?;
                }
                ensure!(answer["cancelled"] != 0, "no such message waits in `{exchange}`");
                session.say(&format!("messages cancelled: {}", answer["cancelled"]))
            }
        }
    }
}
