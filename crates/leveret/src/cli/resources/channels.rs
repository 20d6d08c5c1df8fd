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
    shown("consumers").at("consumer_count"),
    shown("prefetch").at("prefetch_count"),
    shown("unacked").at("messages_unacknowledged"),
    shown("unconfirmed").at("messages_unconfirmed"),
    shown("publish").at("message_stats.publish_details.rate").form(Form::Rate),
    shown("deliver").at("message_stats.deliver_get_details.rate").form(Form::Rate),
    extra("ack").at("message_stats.ack_details.rate").form(Form::Rate),
    extra("state"),
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
