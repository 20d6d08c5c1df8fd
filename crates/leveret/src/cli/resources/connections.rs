//! `leveret connections`.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::Operation;
use crate::cli::api::{Refused, Target};
use crate::cli::session::Session;
use crate::cli::table::{Column, Form, ListArgs, counted, extra, shown};

const COLUMNS: &[Column] = &[
    shown("name"),
    shown("user"),
    shown("vhost"),
    shown("state"),
    shown("protocol"),
    shown("channels"),
    shown("from_client").at("recv_oct_details.rate").form(Form::ByteRate),
    shown("to_client").at("send_oct_details.rate").form(Form::ByteRate),
    extra("user_provided_name"),
    extra("connected_at").form(Form::Time),
    extra("client").at("client_properties.product"),
    extra("client_version").at("client_properties.version"),
    extra("ssl"),
    extra("ssl_protocol"),
    extra("ssl_cipher"),
    extra("peer_cert_subject"),
    extra("auth_mechanism"),
    extra("peer_host"),
    extra("peer_port"),
    extra("host"),
    extra("port"),
    extra("node"),
    extra("timeout"),
    extra("frame_max"),
    extra("channel_max"),
    extra("recv_oct").form(Form::Bytes),
    extra("send_oct").form(Form::Bytes),
    extra("client_properties"),
];

/// Verbs for connections.
#[derive(Subcommand)]
pub enum Command {
    /// List connections.
    List(ListArgs),
    /// Show all of one connection.
    Show(Name),
    /// Close a connection, or all of a user's.
    Close(Close),
}

/// Which connection.
#[derive(Args)]
pub struct Name {
    /// The connection, such as "127.0.0.1:40000 -> 127.0.0.1:5672".
    connection: String,
}

/// What is closed, and what the clients are told.
#[derive(Args)]
pub struct Close {
    /// The connection; with --of-user, the reason
    #[arg(required_unless_present = "of_user")]
    connection: Option<String>,

    /// What the client is told
    #[arg(value_name = "REASON")]
    reason: Option<String>,

    /// All connections of this user
    #[arg(long, value_name = "NAME")]
    of_user: Option<String>,
}

fn target(name: &str) -> Target {
    Target::new(format!("connection `{name}`"), &["connections", name])
}

/// The collection: of the vhost that was named, or of all.
pub(super) fn in_vhost(session: &Session, kind: &str) -> Target {
    match session.vhost_named() {
        Some(vhost) => Target::new(format!("vhost `{vhost}`"), &["vhosts", vhost, kind]),
        None => session.collection(&[kind]),
    }
}

impl Close {
    fn close_one(session: &Session, name: &str, reason: Option<&str>) -> anyhow::Result<()> {
        session.client.delete(&target(name).because(reason)).map(drop)
    }

    fn of_user(session: &Session, user: &str, reason: Option<&str>) -> anyhow::Result<u64> {
        let all = Target::new("list of connections", &["connections"]);
        let all = session.client.get(&all.query("columns", "name,user"))?;
        let theirs = all.as_array().into_iter().flatten().filter(|one| one["user"] == user);
        let names = theirs.filter_map(|one| one["name"].as_str());
        let mut closed = 0;
        for name in names {
            let done = Self::close_one(session, name, reason);
            let gone = |error: &anyhow::Error| {
                error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 404)
            };
            match done {
                Err(error) if gone(&error) => {}
                done => done.map(|()| closed += 1)?,
            }
        }
        Ok(closed)
    }
}

impl Operation for Close {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        if let Some(user) = &self.of_user {
            let reason = self.connection.as_deref().or(self.reason.as_deref());
            let closed = Self::of_user(session, user, reason)?;
            return session.say(&format!("closed {} of `{user}`", counted(closed, "connection")));
        }
        let name = self.connection.as_deref().context("which connection?")?;
        Self::close_one(session, name, self.reason.as_deref())?;
        session.say(&format!("connection `{name}` was closed"))
    }
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::List(list) => session.list(in_vhost(session, "connections"), COLUMNS, list),
            Command::Show(Name { connection }) => {
                let found: Value = session.client.get(&target(connection))?;
                session.print_one(&found, COLUMNS)
            }
            Command::Close(close) => close.run(session),
        }
    }
}
