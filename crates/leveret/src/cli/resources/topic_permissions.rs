//! `leveret topic-permissions`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::permissions::{List, target};
use crate::cli::Operation;
use crate::cli::session::Session;
use crate::cli::table::{Column, shown};

const COLUMNS: &[Column] =
    &[shown("vhost"), shown("user"), shown("exchange"), shown("write"), shown("read")];

/// Verbs for topic permissions.
#[derive(Subcommand)]
pub enum Command {
    /// List topic permissions: of a vhost with --vhost, of a user with --of-user.
    List(List),
    /// Allow a user what two patterns of routing keys match, at a topic exchange.
    Set(Set),
    /// Take a user's topic permissions away: at one exchange, or at all of the vhost.
    Clear(Clear),
}

/// What is allowed.
#[derive(Args)]
pub struct Set {
    /// The user.
    user_name: String,

    /// The exchange.
    exchange: String,

    /// The routing keys that may be published with, as a pattern
    write: String,

    /// The routing keys that may be bound
    read: String,
}

/// What is taken away.
#[derive(Args)]
pub struct Clear {
    /// The user.
    user_name: String,

    /// The exchange; all of the vhost if not given
    exchange: Option<String>,
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        const KIND: &str = "topic-permissions";
        let vhost = session.vhost();
        match self {
            Command::List(list) => list.run(session, KIND, COLUMNS),
            Command::Set(Set { user_name, exchange, write, read }) => {
                let body = json!({"exchange": exchange, "write": write, "read": read});
                session.client.put(&target(session, KIND, user_name), &body)?;
                session.say(&format!(
                    "topic permissions of user `{user_name}` at `{exchange}` in `{vhost}` were set"
                ))
            }
            Command::Clear(Clear { user_name, exchange }) => {
                let all = target(session, KIND, user_name);
                let target = match exchange {
                    // RabbitMQ's API has the exchange in the path.
                    Some(exchange) => all.below(exchange),
                    None => all,
                };
                session.client.delete(&target)?;
                session.say(&format!("topic permissions of user `{user_name}` were cleared"))
            }
        }
    }
}
