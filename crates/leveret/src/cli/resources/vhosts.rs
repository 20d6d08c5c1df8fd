//! `leveret vhosts`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, extra, shown};

const COLUMNS: &[Column] = &[
    shown("name"),
    shown("description"),
    shown("tags"),
    shown("default_queue_type"),
    shown("messages"),
    shown("tracing"),
    extra("messages_ready"),
    extra("messages_unacknowledged"),
    extra("cluster_state"),
    extra("protected_from_deletion"),
];

/// Verbs for vhosts.
#[derive(Subcommand)]
pub enum Command {
    /// List vhosts.
    List(ListArgs),
    /// Show all of one vhost.
    Show(Name),
    /// Add a vhost, or change what is said of it.
    Add(Add),
    /// Delete a vhost and everything in it.
    Delete(Name),
}

/// Which vhost.
#[derive(Args)]
pub struct Name {
    /// The vhost.
    name: String,
}

/// What is added.
#[derive(Args)]
pub struct Add {
    /// The vhost.
    name: String,

    /// What it is for
    #[arg(long)]
    description: Option<String>,

    /// Tags, with commas
    #[arg(long)]
    tags: Option<String>,

    /// The type of queues that are declared without one
    #[arg(long, value_name = "TYPE")]
    default_queue_type: Option<String>,
}

fn target(name: &str) -> Target {
    Target::new(format!("vhost `{name}`"), &["vhosts", name])
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(list) => {
                session.list(Target::new("list of vhosts", &["vhosts"]), COLUMNS, list)
            }
            Command::Show(Name { name }) => {
                session.print_one(&session.client.get(&target(name))?, COLUMNS)
            }
            Command::Add(add) => {
                let mut body = json!({});
                let given = [
                    ("description", &add.description),
                    ("tags", &add.tags),
                    ("default_queue_type", &add.default_queue_type),
                ];
                for (key, value) in given {
                    if let Some(value) = value {
                        body[key] = json!(value);
                    }
                }
                let is_new = session.client.put(&target(&add.name), &body)?;
                let done = if is_new { "was added" } else { "was there already" };
                session.say(&format!("vhost `{}` {done}", add.name))
            }
            Command::Delete(Name { name }) => {
                session.client.delete(&target(name))?;
                session.say(&format!("vhost `{name}` was deleted"))
            }
        }
    }
}
