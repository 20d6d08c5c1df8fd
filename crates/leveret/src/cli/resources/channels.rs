//! `leveret channels`.

use clap::Subcommand;

use super::connections::in_vhost;
use crate::cli::Operation;
use crate::cli::session::Session;
use crate::cli::table::{Column, Form, ListArgs, extra, shown};

const COLUMNS: &[Column] = &[
    shown("name"),
    shown("user"),
    shown("vhost"),
    shown("state"),
    shown("consumer_count"),
    shown("prefetch_count"),
    shown("messages_unacknowledged"),
    shown("messages_unconfirmed"),
    shown("publish_rate").at("message_stats.publish_details.rate").form(Form::Rate),
    shown("deliver_rate").at("message_stats.deliver_get_details.rate").form(Form::Rate),
    extra("ack_rate").at("message_stats.ack_details.rate").form(Form::Rate),
    extra("number"),
    extra("connection").at("connection_details.name"),
    extra("confirm"),
    extra("transactional"),
    extra("messages_uncommitted"),
    extra("acks_uncommitted"),
    extra("global_prefetch_count"),
    extra("idle_since"),
    extra("node"),
];

/// Verbs for channels.
#[derive(Subcommand)]
pub enum Command {
    /// List channels.
    List(ListArgs),
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let Command::List(list) = self;
        session.list(in_vhost(session, "channels"), COLUMNS, list)
    }
}
