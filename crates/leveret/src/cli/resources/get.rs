//! `leveret get`: the first messages of a queue, through the management API.

use anyhow::ensure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, extra, shown};

const COLUMNS: &[Column] = &[
    shown("exchange"),
    shown("routing_key"),
    shown("redelivered"),
    shown("message_count"),
    shown("properties"),
    shown("payload_bytes"),
    shown("payload"),
    extra("payload_encoding"),
];

/// What becomes of the messages.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Then {
    /// They go back, and count as delivered once.
    Requeue,
    /// They are taken.
    Ack,
    /// They are refused: dead-lettered, or dropped.
    Reject,
}

/// Arguments of `leveret get`.
#[derive(Args)]
pub struct Get {
    /// The queue; to look further into it use `leveret messages browse`
    queue: String,

    /// How many messages
    #[arg(short = 'n', long, default_value_t = 1)]
    count: u32,

    /// What becomes of them
    #[arg(long, value_enum, default_value_t = Then::Requeue)]
    then: Then,

    /// Print nothing but the payloads, as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// Cut payloads to so many bytes
    #[arg(long, value_name = "BYTES", conflicts_with = "raw")]
    truncate: Option<u64>,

    #[command(flatten)]
    list: ListArgs,
}

/// The payload of a message as it was published.
pub(super) fn payload(message: &Value) -> anyhow::Result<Vec<u8>> {
    let payload = message["payload"].as_str().unwrap_or_default();
    if message["payload_encoding"] == "base64" {
        return Ok(STANDARD.decode(payload)?);
    }
    Ok(payload.as_bytes().to_vec())
}

impl Operation for Get {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let (vhost, queue) = (session.vhost(), &self.queue);
        let ackmode = match self.then {
            Then::Requeue => "ack_requeue_true",
            Then::Ack => "ack_requeue_false",
            Then::Reject => "reject_requeue_false",
        };
        let mut body = json!({"count": self.count, "ackmode": ackmode, "encoding": "auto"});
        if let Some(bytes) = self.truncate {
            body["truncate"] = json!(bytes);
        }
        let what = format!("queue `{queue}` in vhost `{vhost}`");
        let target = Target::new(what, &["queues", vhost, queue, "get"]);
        let Value::Array(messages) = session.client.post(&target, &body)? else {
            return Ok(());
        };
        if !self.raw {
            return session.print_list(messages, COLUMNS, &self.list);
        }
        ensure!(!messages.is_empty(), "queue `{queue}` has no message that is ready");
        messages.iter().try_for_each(|message| crate::print_bytes(&payload(message)?))
    }
}
