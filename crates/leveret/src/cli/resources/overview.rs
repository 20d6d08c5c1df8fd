//! `leveret overview`: totals and rates.

use clap::Args;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, Form, shown};

const COLUMNS: &[Column] = &[
    shown("product").at("product_name"),
    shown("version").at("product_version"),
    shown("cluster_name"),
    shown("node"),
    shown("connections").at("object_totals.connections"),
    shown("channels").at("object_totals.channels"),
    shown("exchanges").at("object_totals.exchanges"),
    shown("queues").at("object_totals.queues"),
    shown("consumers").at("object_totals.consumers"),
    shown("messages").at("queue_totals.messages"),
    shown("messages_ready").at("queue_totals.messages_ready"),
    shown("messages_unacknowledged").at("queue_totals.messages_unacknowledged"),
    shown("publish").at("message_stats.publish_details.rate").form(Form::Rate),
    shown("confirm").at("message_stats.confirm_details.rate").form(Form::Rate),
    shown("deliver").at("message_stats.deliver_get_details.rate").form(Form::Rate),
    shown("ack").at("message_stats.ack_details.rate").form(Form::Rate),
    shown("redeliver").at("message_stats.redeliver_details.rate").form(Form::Rate),
    shown("unroutable").at("message_stats.drop_unroutable_details.rate").form(Form::Rate),
];

/// Arguments of `leveret overview`: none.
#[derive(Args)]
pub struct Overview {}

impl Operation for Overview {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let overview = session.client.get(&Target::new("overview", &["overview"]))?;
        session.print_one(&overview, COLUMNS)
    }
}
