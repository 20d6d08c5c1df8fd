//! `leveret policies` and `leveret operator-policies`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Operation;
use crate::cli::argument::object;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, shown};

const COLUMNS: &[Column] = &[
    shown("vhost"),
    shown("name"),
    shown("pattern"),
    shown("apply-to"),
    shown("definition"),
    shown("priority"),
];

/// Verbs for policies.
#[derive(Subcommand)]
pub enum Command {
    /// List policies.
    List(ListArgs),
    /// Set a policy: what holds for the queues and exchanges whose names a pattern matches.
    Set(Set),
    /// Remove a policy.
    Clear(Name),
}

/// Verbs for operator policies.
#[derive(Subcommand)]
pub enum OperatorCommand {
    /// List operator policies.
    List(ListArgs),
    /// Set an operator policy: limits that users' arguments and policies cannot exceed.
    Set(Set),
    /// Remove an operator policy.
    Clear(Name),
}

/// Which policy.
#[derive(Args)]
pub struct Name {
    /// The policy.
    name: String,
}

/// What is set.
#[derive(Args)]
pub struct Set {
    /// The policy.
    name: String,

    /// The names it is for, as a regular expression
    pattern: String,

    /// What it says, such as {"max-length": 1000}
    #[arg(value_name = "JSON", value_parser = object)]
    definition: Value,

    /// Of several that match, the one with the highest priority holds
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i64,

    /// What it is for: all, queues, exchanges, classic_queues, quorum_queues or streams; by
    /// default all, or queues for an operator policy
    #[arg(long, value_name = "KIND")]
    apply_to: Option<String>,
}

/// Which kind of policy a verb is about.
struct Kind {
    path: &'static str,
    noun: &'static str,
    apply_to: &'static str,
}

const USERS: Kind = Kind { path: "policies", noun: "policy", apply_to: "all" };
const OPERATORS: Kind =
    Kind { path: "operator-policies", noun: "operator policy", apply_to: "queues" };

impl Kind {
    fn list(&self, session: &Session, list: &ListArgs) -> anyhow::Result<()> {
        session.list(session.collection(&[self.path]), COLUMNS, list)
    }

    fn set(&self, session: &Session, set: &Set) -> anyhow::Result<()> {
        let (noun, name) = (self.noun, &set.name);
        let body = json!({
            "pattern": set.pattern, "definition": set.definition, "priority": set.priority,
            "apply-to": set.apply_to.as_deref().unwrap_or(self.apply_to),
        });
        let is_new = session.client.put(&session.target(noun, self.path, name), &body)?;
        session.say(&format!("{noun} `{name}` {}", super::set(is_new)))
    }

    fn clear(&self, session: &Session, Name { name }: &Name) -> anyhow::Result<()> {
        session.client.delete(&session.target(self.noun, self.path, name))?;
        session.say(&format!("{} `{name}` was removed", self.noun))
    }
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(list) => USERS.list(session, list),
            Command::Set(set) => USERS.set(session, set),
            Command::Clear(name) => USERS.clear(session, name),
        }
    }
}

impl Operation for OperatorCommand {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            OperatorCommand::List(list) => OPERATORS.list(session, list),
            OperatorCommand::Set(set) => OPERATORS.set(session, set),
            OperatorCommand::Clear(name) => OPERATORS.clear(session, name),
        }
    }
}
