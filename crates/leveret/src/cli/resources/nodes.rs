//! `leveret nodes`.

use clap::Subcommand;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, Form, ListArgs, extra, shown};

/// What is known of a node.
pub(super) const COLUMNS: &[Column] = &[
    shown("name"),
    shown("running"),
    shown("uptime").form(Form::Duration),
    shown("mem_used").form(Form::Bytes),
    shown("mem_limit").form(Form::Bytes),
    shown("mem_alarm"),
    shown("disk_free").form(Form::Bytes),
    shown("disk_free_limit").form(Form::Bytes),
    shown("disk_free_alarm"),
    shown("fd_used"),
    shown("fd_total"),
    extra("sockets_used"),
    extra("sockets_total"),
    extra("processors"),
    extra("os_pid"),
    extra("type"),
    extra("db_dir"),
    extra("config_files"),
    extra("log_files"),
    extra("enabled_plugins"),
    extra("partitions"),
];

/// Verbs for nodes.
#[derive(Subcommand)]
pub enum Command {
    /// List the nodes of the cluster.
    List(ListArgs),
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let Command::List(list) = self;
        session.list(Target::new("list of nodes", &["nodes"]), COLUMNS, list)
    }
}
