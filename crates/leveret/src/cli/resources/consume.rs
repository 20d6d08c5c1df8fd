//! `leveret consume`: what comes from a queue, over AMQP.

use std::time::{Duration, Instant};

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use leveret_client::{ConsumeOptions, Delivery, Incoming};
use serde_json::{Value, json};

use crate::amqp_json::properties;
use crate::cli::Operation;
use crate::cli::amqp::Place;
use crate::cli::session::Session;
use crate::cli::table::{self, Column, Form, shown};

const COLUMNS: &[Column] = &[
    shown("exchange"),
    shown("routing_key"),
    shown("redelivered"),
    shown("properties"),
    shown("payload_bytes").form(Form::Bytes),
    shown("payload"),
];

/// Arguments of `leveret consume`.
#[derive(Args)]
pub struct Consume {
    /// The queue.
    queue: String,

    /// End after so many messages [default: go on until interrupted]
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u64>,

    /// End when nothing came for so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    /// Give the messages back at the end, instead of taking them
    #[arg(long)]
    keep: bool,

    /// How many messages may be on their way
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    prefetch: u16,

    /// Print nothing but the payloads, as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// Where to connect to [default: the management API's host, and the port that it names]
    #[arg(long, value_name = "amqp[s]://USER:PASSWORD@HOST:PORT/VHOST")]
    amqp: Option<String>,
}

fn to_json(delivery: &Delivery) -> Value {
    let (payload, encoding) = match str::from_utf8(&delivery.body) {
        Ok(text) => (text.to_owned(), "string"),
        Err(_) => (STANDARD.encode(&delivery.body), "base64"),
    };
    json!({
        "exchange": delivery.exchange, "routing_key": delivery.routing_key,
        "redelivered": delivery.redelivered, "properties": properties(&delivery.properties),
        "payload_bytes": delivery.body.len(), "payload": payload, "payload_encoding": encoding,
    })
}

impl Consume {
    /// Prints a message: one object a line for programs.
    fn print(&self, session: &Session, delivery: &Delivery) -> anyhow::Result<()> {
        if self.raw {
            return crate::print_bytes(&delivery.body);
        }
        let message = to_json(delivery);
        match session.json {
            true => crate::print(&format!("{message}\n")),
            false => crate::print(&format!("{}\n", table::one(&message, COLUMNS))),
        }
    }

    /// How long to wait for the next message; none if it is time to end.
    fn patience(&self, last: Instant) -> Option<Duration> {
        let Some(seconds) = self.timeout else { return Some(Duration::from_secs(3600)) };
        let left = Duration::from_secs(seconds).saturating_sub(last.elapsed());
        (!left.is_zero()).then_some(left)
    }
}

impl Operation for Consume {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let place = Place::find(session, self.amqp.as_deref())?;
        let mut connection = place.connect("leveret consume")?;
        let channel = connection.open_channel()?;
        // No more may be sent than are to be taken.
        let most = self.count.and_then(|count| u16::try_from(count).ok()).unwrap_or(u16::MAX);
        connection.qos(channel, self.prefetch.min(most).max(1))?;
        connection.consume(channel, &self.queue, &ConsumeOptions::default())?;
        let (mut taken, mut last, mut last_tag) = (0, Instant::now(), None);
        while self.count.is_none_or(|count| taken < count) {
            let Some(patience) = self.patience(last) else { break };
            match connection.next(patience)? {
                Some(Incoming::Delivery(delivery)) => {
                    self.print(session, &delivery)?;
                    if !self.keep {
                        connection.ack(channel, delivery.delivery_tag, false)?;
                    }
                    (taken, last, last_tag) =
                        (taken + 1, Instant::now(), Some(delivery.delivery_tag));
                }
                Some(Incoming::Cancelled { .. }) => {
                    bail!("the broker ended the consumer: queue `{}` is gone", self.queue)
                }
                _ => {}
            }
        }
        if let Some(tag) = last_tag.filter(|_| self.keep) {
            connection.nack(channel, tag, true, true)?;
        }
        Ok(connection.close()?)
    }
}
