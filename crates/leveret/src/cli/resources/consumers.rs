//! `leveret consumers`.

use clap::Subcommand;

use crate::cli::Operation;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, extra, shown};

const COLUMNS: &[Column] = &[
    shown("vhost").at("queue.vhost"),
    shown("queue").at("queue.name"),
    shown("consumer_tag"),
    shown("channel").at("channel_details.name"),
    shown("ack_required"),
    shown("prefetch_count"),
    shown("active"),
    extra("exclusive"),
    extra("activity_status"),
    extra("user").at("channel_details.user"),
    extra("arguments"),
    extra("queue_name").at("queue.name"),
    extra("consumer_timeout"),
];

/// Verbs for consumers.
#[derive(Subcommand)]
pub enum Command {
    /// List consumers.
    List(ListArgs),
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let Command::List(list) = self;
        session.list(session.collection(&["consumers"]), COLUMNS, list)
    }
}
