//! `leveret permissions`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, shown};

const COLUMNS: &[Column] =
    &[shown("vhost"), shown("user"), shown("configure"), shown("write"), shown("read")];

/// Verbs for permissions.
#[derive(Subcommand)]
pub enum Command {
    /// List permissions: of a vhost with --vhost, of a user with --of-user.
    List(List),
    /// Allow a user what three patterns of names match.
    Set(Set),
    /// Take a user's permissions in the vhost away.
    Clear(User),
}

/// Which user.
#[derive(Args)]
pub struct User {
    /// The user.
    user_name: String,
}

/// What is listed.
#[derive(Args)]
pub struct List {
    /// Only of this user
    #[arg(long, value_name = "NAME")]
    of_user: Option<String>,

    #[command(flatten)]
    list: ListArgs,
}

/// What is allowed.
#[derive(Args)]
pub struct Set {
    /// The user.
    user_name: String,

    /// What may be declared and deleted, as a pattern of names
    configure: String,

    /// What may be published to
    write: String,

    /// What may be consumed from
    read: String,
}

impl List {
    /// Prints the list of `kind`: of a user, of the named vhost, or of all.
    pub(super) fn run(
        &self,
        session: &Session,
        kind: &str,
        columns: &'static [Column],
    ) -> anyhow::Result<()> {
        let listed = match (&self.of_user, session.vhost_named()) {
            (Some(user), _) => Target::new(format!("user `{user}`"), &["users", user, kind]),
            (None, Some(vhost)) => {
                Target::new(format!("vhost `{vhost}`"), &["vhosts", vhost, kind])
            }
            (None, None) => session.collection(&[kind]),
        };
        session.list(listed, columns, &self.list)
    }
}

/// What a user has in the vhost.
pub(super) fn target(session: &Session, kind: &str, user: &str) -> Target {
    let vhost = session.vhost();
    let what = format!("user `{user}`, or no permission of it, in vhost `{vhost}`");
    Target::new(what, &[kind, vhost, user])
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let vhost = session.vhost();
        match self {
            Command::List(list) => list.run(session, "permissions", COLUMNS),
            Command::Set(Set { user_name, configure, write, read }) => {
                let body = json!({"configure": configure, "write": write, "read": read});
                session.client.put(&target(session, "permissions", user_name), &body)?;
                session.say(&format!("permissions of user `{user_name}` in `{vhost}` were set"))
            }
            Command::Clear(User { user_name }) => {
                session.client.delete(&target(session, "permissions", user_name))?;
                session.say(&format!("user `{user_name}` has no permissions in `{vhost}` any more"))
            }
        }
    }
}
