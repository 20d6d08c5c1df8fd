//! `leveret limits`: how much a vhost or a user may have.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::argument::{KeyValue, object, pairs};
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, counted, shown};

const OF_VHOSTS: &[Column] = &[shown("vhost"), shown("value")];
const OF_USERS: &[Column] = &[shown("user"), shown("value")];

/// Verbs for limits.
#[derive(Subcommand)]
pub enum Command {
    /// List the limits of vhosts.
    ListVhosts(ListArgs),
    /// Set limits of the vhost: max-connections, max-queues.
    SetVhost(Limits),
    /// Remove limits of the vhost: those that are named, or all.
    ClearVhost(Names),
    /// List the limits of users.
    ListUsers(ListUsers),
    /// Set limits of a user: max-connections, max-channels.
    SetUser(SetUser),
    /// Remove limits of a user: those that are named, or all.
    ClearUser(ClearUser),
}

/// Limits with their values.
#[derive(Args)]
pub struct Limits {
    /// Limits such as max-connections=100, or one JSON object; -1 is no limit
    #[arg(value_name = "LIMIT=NUMBER", required = true, value_parser = limits)]
    limits: Vec<Value>,
}

/// Limits by their names.
#[derive(Args)]
pub struct Names {
    /// The limits; all if none is named
    #[arg(value_name = "LIMIT")]
    names: Vec<String>,
}

/// What is listed.
#[derive(Args)]
pub struct ListUsers {
    /// Only of this user
    #[arg(long, value_name = "NAME")]
    of_user: Option<String>,

    #[command(flatten)]
    list: ListArgs,
}

/// Limits of a user.
#[derive(Args)]
pub struct SetUser {
    /// The user.
    user_name: String,

    #[command(flatten)]
    limits: Limits,
}

/// Limits of a user by their names.
#[derive(Args)]
pub struct ClearUser {
    /// The user.
    user_name: String,

    #[command(flatten)]
    limits: Names,
}

/// One limit, or several as an object.
fn limits(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with('{') {
        return object(text);
    }
    let pair: KeyValue = text.parse()?;
    if !pair.1.is_i64() {
        return Err(format!("`{}` is no whole number", pair.1));
    }
    Ok(Value::Object(pairs(&[pair])))
}

/// Of whom the limits are.
struct Owner<'a> {
    kind: &'static str,
    noun: &'static str,
    name: &'a str,
}

impl Owner<'_> {
    fn target(&self, limit: &str) -> Target {
        let what = format!("{} `{}`, or no limit `{limit}` of it", self.noun, self.name);
        Target::new(what, &[self.kind, self.name, limit])
    }

    fn set(&self, session: &Session, limits: &Limits) -> anyhow::Result<()> {
        for (limit, value) in limits.limits.iter().filter_map(Value::as_object).flatten() {
            session.client.put(&self.target(limit), &json!({ "value": value }))?;
        }
        session.say(&format!("limits of {} `{}` were set", self.noun, self.name))
    }

    fn clear(&self, session: &Session, names: &Names) -> anyhow::Result<()> {
        let all = names.names.is_empty() || names.names == ["all"];
        let names: Vec<String> = if all { self.there(session)? } else { names.names.clone() };
        for limit in &names {
            session.client.delete(&self.target(limit))?;
        }
        let removed = counted(names.len() as u64, "limit");
        session.say(&format!("removed {removed} of {} `{}`", self.noun, self.name))
    }

    /// The limits that are there.
    fn there(&self, session: &Session) -> anyhow::Result<Vec<String>> {
        let what = format!("{} `{}`", self.noun, self.name);
        let found = session.client.get(&Target::new(what, &[self.kind, self.name]))?;
        let limits =
            found.as_array().into_iter().flatten().filter_map(|one| one["value"].as_object());
        Ok(limits.flat_map(Map::keys).cloned().collect())
    }
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let vhost = Owner { kind: "vhost-limits", noun: "vhost", name: session.vhost() };
        let user = |name| Owner { kind: "user-limits", noun: "user", name };
        match self {
            Command::ListVhosts(list) => {
                session.list(session.collection(&["vhost-limits"]), OF_VHOSTS, list)
            }
            Command::SetVhost(limits) => vhost.set(session, limits),
            Command::ClearVhost(names) => vhost.clear(session, names),
            Command::ListUsers(ListUsers { of_user, list }) => {
                let mut path = vec!["user-limits"];
                path.extend(of_user.as_deref());
                session.list(Target::new("such user", &path), OF_USERS, list)
            }
            Command::SetUser(set) => user(&set.user_name).set(session, &set.limits),
            Command::ClearUser(clear) => user(&clear.user_name).clear(session, &clear.limits),
        }
    }
}
