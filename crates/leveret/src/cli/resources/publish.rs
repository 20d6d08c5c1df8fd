//! `leveret publish`: one message, through the management API.

use std::io::IsTerminal;

use anyhow::ensure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::argument::{KeyText, KeyValue, pairs, read};
use crate::cli::session::Session;

/// The properties whose values are numbers.
const NUMBERS: [&str; 3] = ["delivery_mode", "priority", "timestamp"];

/// Arguments of `leveret publish`.
#[derive(Args)]
pub struct Publish {
    /// The routing key; for the default exchange the queue's name
    routing_key: String,

    /// The payload; read from standard input if not given
    payload: Option<String>,

    /// The exchange
    #[arg(short, long, value_name = "NAME", default_value = "amq.default")]
    exchange: String,

    /// Read the payload from a file; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "payload")]
    file: Option<String>,

    /// A property such as content_type=text/plain, message_id=7 or expiration=1000; repeatable
    #[arg(short = 'P', long = "property", value_name = "NAME=VALUE")]
    properties: Vec<KeyText>,

    /// A header; a value is JSON if it can be, else text; repeatable
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<KeyValue>,

    /// The message need not survive a restart
    #[arg(long)]
    transient: bool,
}

impl Publish {
    fn payload(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.payload, &self.file) {
            (Some(payload), _) => Ok(payload.clone().into_bytes()),
            (None, Some(file)) => read(file),
            (None, None) => {
                let terminal = std::io::stdin().is_terminal();
                ensure!(!terminal, "there is no payload: give it, or use --file");
                read("-")
            }
        }
    }

    fn properties(&self) -> anyhow::Result<Map<String, Value>> {
        let mut properties = Map::new();
        let mode = if self.transient { 1 } else { 2 };
        properties.insert("delivery_mode".to_owned(), json!(mode));
        for KeyText(name, value) in &self.properties {
            let value = if NUMBERS.contains(&name.as_str()) {
                let number: Result<u64, _> = value.parse();
                json!(
                    number
                        .map_err(|_| anyhow::anyhow!("property {name}: `{value}` is no number"))?
                )
            } else {
                json!(value)
            };
            properties.insert(name.clone(), value);
        }
        if !self.headers.is_empty() {
            properties.insert("headers".to_owned(), Value::Object(pairs(&self.headers)));
        }
        Ok(properties)
    }
}

impl Operation for Publish {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let payload = self.payload()?;
        let (payload, encoding) = match String::from_utf8(payload) {
            Ok(text) => (text, "string"),
            Err(error) => (STANDARD.encode(error.as_bytes()), "base64"),
        };
        let body = json!({
            "properties": self.properties()?, "routing_key": self.routing_key,
            "payload": payload, "payload_encoding": encoding,
        });
        let (vhost, exchange) = (session.vhost(), &self.exchange);
        let what = format!("exchange `{exchange}` in vhost `{vhost}`");
        let target = Target::new(what, &["exchanges", vhost, exchange, "publish"]);
        let answer = session.client.post(&target, &body)?;
        if session.json {
            session.print_json(&answer)?;
        }
        ensure!(answer["routed"] == true, "no queue took the message");
        session.say("the message was published and is in a queue")
    }
}
