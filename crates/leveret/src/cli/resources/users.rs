//! `leveret users`.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Operation;
use crate::cli::api::{Refused, Target};
use crate::cli::secret;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, extra, shown};

const COLUMNS: &[Column] =
    &[shown("name"), shown("tags"), shown("limits"), extra("hashing_algorithm")];

/// Verbs for users.
#[derive(Subcommand)]
pub enum Command {
    /// List users.
    List(ListArgs),
    /// Add a user; the password is asked for, or read from standard input.
    Add(Add),
    /// Delete a user.
    Delete(Name),
    /// Give a user another password; it is asked for, or read from standard input.
    ChangePassword(Password),
    /// Replace a user's tags.
    SetTags(Tags),
    /// Check a user's password.
    Authenticate(Password),
}

/// Which user.
#[derive(Args)]
pub struct Name {
    /// The user.
    name: String,
}

/// Who is added.
#[derive(Args)]
pub struct Add {
    /// The user.
    name: String,

    /// The password; others can see what is on a command line
    #[arg(value_name = "NEW_PASSWORD")]
    new_password: Option<String>,

    /// A hash as in definitions, instead of a password
    #[arg(long, value_name = "HASH", conflicts_with = "new_password")]
    password_hash: Option<String>,

    /// Without a password: the user can log in only by other means
    #[arg(long, conflicts_with_all = ["new_password", "password_hash"])]
    no_password: bool,

    /// Tags, with commas: administrator, monitoring, policymaker, management
    #[arg(long, default_value = "", hide_default_value = true)]
    tags: String,
}

/// A user with a password.
#[derive(Args)]
pub struct Password {
    /// The user.
    name: String,

    /// The password; others can see what is on a command line
    #[arg(value_name = "NEW_PASSWORD")]
    new_password: Option<String>,
}

/// A user with tags.
#[derive(Args)]
pub struct Tags {
    /// The user.
    name: String,

    /// The tags: administrator, monitoring, policymaker, management; none to take all away
    #[arg(value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
}

fn target(name: &str) -> Target {
    Target::new(format!("user `{name}`"), &["users", name])
}

fn password(given: Option<&String>, name: &str) -> anyhow::Result<String> {
    given.map_or_else(|| secret::new_password(name), |password| Ok(password.clone()))
}

/// The tags of a user as the text that every version takes.
fn tags(user: &Value) -> String {
    match &user["tags"] {
        Value::Array(tags) => tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        tags => tags.as_str().unwrap_or_default().to_owned(),
    }
}

impl Add {
    fn add(&self, session: &Session) -> anyhow::Result<()> {
        let name = &self.name;
        match session.client.get(&target(name)) {
            Ok(_) => bail!("there is a user `{name}` already"),
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if refused.status == 404 => {}
                _ => return Err(error),
            },
        }
        let body = match (&self.password_hash, self.no_password) {
            (Some(hash), _) => json!({"password_hash": hash, "tags": self.tags}),
            (None, true) => json!({"password_hash": "", "tags": self.tags}),
            (None, false) => {
                let password = password(self.new_password.as_ref(), name)?;
                json!({"password": password, "tags": self.tags})
            }
        };
        session.client.put(&target(name), &body)?;
        session.say(&format!(
            "user `{name}` was added; it may use a vhost after: leveret permissions set {name} \
             '.*' '.*' '.*'"
        ))
    }
}

fn authenticate(session: &Session, who: &Password) -> anyhow::Result<()> {
    let password = match &who.new_password {
        Some(password) => password.clone(),
        None => secret::ask(&format!("Password of {}: ", who.name)).or_else(|_| secret::line())?,
    };
    let other = session.other(session.client.base(), (&who.name, &password))?;
    other.get(&Target::new("user", &["whoami"]))?;
    session.say(&format!("user `{}` is let in", who.name))
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(list) => {
                session.list(Target::new("list of users", &["users"]), COLUMNS, list)
            }
            Command::Add(add) => add.add(session),
            Command::Delete(Name { name }) => {
                session.client.delete(&target(name))?;
                session.say(&format!("user `{name}` was deleted"))
            }
            Command::ChangePassword(Password { name, new_password }) => {
                let user = session.client.get(&target(name))?;
                let password = password(new_password.as_ref(), name)?;
                let body = json!({"password": password, "tags": tags(&user)});
                session.client.put(&target(name), &body)?;
                session.say(&format!("user `{name}` has another password"))
            }
            Command::SetTags(Tags { name, tags }) => {
                let user = session.client.get(&target(name))?;
                let mut body = json!({
                    "password_hash": user["password_hash"], "tags": tags.join(","),
                });
                if !user["hashing_algorithm"].is_null() {
                    body["hashing_algorithm"] = user["hashing_algorithm"].clone();
                }
                session.client.put(&target(name), &body)?;
                let shown = if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
                session.say(&format!("tags of user `{name}`: {shown}"))
            }
            Command::Authenticate(who) => authenticate(session, who),
        }
    }
}
