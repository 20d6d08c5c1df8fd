//! `leveret parameters` and `leveret global-parameters`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::argument::json as parse_json;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, shown};

const COLUMNS: &[Column] = &[shown("vhost"), shown("component"), shown("name"), shown("value")];
const GLOBAL: &[Column] = &[shown("name"), shown("value")];

/// Verbs for parameters.
#[derive(Subcommand)]
pub enum Command {
    /// List the parameters of components.
    List(List),
    /// Set a parameter of a component.
    Set(Set),
    /// Remove a parameter of a component.
    Clear(Name),
}

/// Verbs for global parameters.
#[derive(Subcommand)]
pub enum GlobalCommand {
    /// List the parameters of the whole broker.
    List(ListArgs),
    /// Set a parameter of the whole broker.
    Set(SetGlobal),
    /// Remove a parameter of the whole broker.
    Clear(GlobalName),
}

/// What is listed.
#[derive(Args)]
pub struct List {
    /// Only of this component
    #[arg(long, value_name = "NAME")]
    component: Option<String>,

    #[command(flatten)]
    list: ListArgs,
}

/// Which parameter.
#[derive(Args)]
pub struct Name {
    /// The component.
    component: String,
    /// The parameter.
    name: String,
}

/// What is set.
#[derive(Args)]
pub struct Set {
    #[command(flatten)]
    parameter: Name,

    /// The value
    #[arg(value_name = "JSON", value_parser = parse_json)]
    value: Value,
}

/// Which global parameter.
#[derive(Args)]
pub struct GlobalName {
    /// The parameter.
    name: String,
}

/// What is set for all.
#[derive(Args)]
pub struct SetGlobal {
    /// The parameter.
    name: String,

    /// The value
    #[arg(value_name = "JSON", value_parser = parse_json)]
    value: Value,
}

impl Name {
    fn target(&self, session: &Session) -> Target {
        let Name { component, name } = self;
        let what = format!("parameter `{name}` of `{component}` in vhost `{}`", session.vhost());
        Target::new(what, &["parameters", component, session.vhost(), name])
    }
}

fn global(name: &str) -> Target {
    Target::new(format!("global parameter `{name}`"), &["global-parameters", name])
}

fn collection(session: &Session, component: Option<&String>) -> Target {
    let mut path = vec!["parameters"];
    path.extend(component.map(String::as_str));
    if component.is_some() { session.collection(&path) } else { Target::new("list", &path) }
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(List { component, list }) => {
                session.list(collection(session, component.as_ref()), COLUMNS, list)
            }
            Command::Set(Set { parameter, value }) => {
                let Name { component, name } = parameter;
                let vhost = session.vhost();
                let body = json!({
                    "component": component, "vhost": vhost, "name": name, "value": value,
                });
                let is_new = session.client.put(&parameter.target(session), &body)?;
                session.say(&format!("parameter `{name}` {}", super::set(is_new)))
            }
            Command::Clear(parameter) => {
                session.client.delete(&parameter.target(session))?;
                session.say(&format!("parameter `{}` was removed", parameter.name))
            }
        }
    }
}

impl Operation for GlobalCommand {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            GlobalCommand::List(list) => {
                session.list(Target::new("list", &["global-parameters"]), GLOBAL, list)
            }
            GlobalCommand::Set(SetGlobal { name, value }) => {
                let body = json!({"name": name, "value": value});
                let is_new = session.client.put(&global(name), &body)?;
                session.say(&format!("global parameter `{name}` {}", super::set(is_new)))
            }
            GlobalCommand::Clear(GlobalName { name }) => {
                session.client.delete(&global(name))?;
                session.say(&format!("global parameter `{name}` was removed"))
            }
        }
    }
}
