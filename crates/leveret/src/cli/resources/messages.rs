//! `leveret messages`: looking through a queue without disturbing it, and changing what is in it.

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::get::payload;
use super::health::is_leveret;
use crate::cli::Operation;
use crate::cli::api::{Refused, Target};
use crate::cli::session::Session;
use crate::cli::table::{Column, Form, ListArgs, counted, extra, shown};

const COLUMNS: &[Column] = &[
    shown("position"),
    shown("exchange"),
    shown("routing_key"),
    shown("redelivered"),
    shown("properties"),
    shown("payload_bytes"),
    shown("payload"),
    extra("headers").at("properties.headers"),
    extra("message_id").at("properties.message_id"),
    extra("expires_at").form(Form::Time),
    extra("due_at").form(Form::Time),
    extra("payload_encoding"),
    extra("cursor"),
];
const UNACKED: &[Column] = &[
    shown("position"),
    shown("consumer_tag"),
    shown("channel").at("channel_details.name"),
    shown("since").form(Form::Time),
];

/// How many messages one request asks for at most.
const PAGE: u64 = 500;
/// How many positions one request names at most.
const POSITIONS: usize = 1_000;
/// How much of a payload is shown.
const TRUNCATE: u64 = 200;

/// Verbs for messages.
#[derive(Subcommand)]
pub enum Command {
    /// Look through a queue; nothing in it changes.
    Browse(Browse),
    /// List what consumers hold and have not acknowledged.
    Unacked(Unacked),
    /// Delete messages of a queue.
    Delete(Delete),
    /// Move messages to another queue, or through an exchange.
    Move(Move),
    /// Give dead letters back to the queue where they died.
    Redrive(Redrive),
}

/// What is shown of a place where messages wait.
#[derive(Args)]
pub struct Look {
    /// A condition; all must hold: FIELD exists, FIELD=VALUE, or FIELD~TEXT that it contains.
    /// FIELD is exchange, routing_key, properties.NAME or headers.NAME
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,

    /// How many messages
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    count: u64,

    /// Begin at a cursor
    #[arg(long, value_name = "CURSOR")]
    from: Option<String>,

    /// Show payloads whole
    #[arg(long)]
    whole: bool,

    /// Print nothing but the payloads, as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    list: ListArgs,
}

/// Arguments of `leveret messages browse`.
#[derive(Args)]
pub struct Browse {
    /// The queue.
    queue: String,

    #[command(flatten)]
    look: Look,
}

/// Arguments of `leveret messages unacked`.
#[derive(Args)]
pub struct Unacked {
    /// The queue.
    queue: String,

    /// How many messages
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    count: u64,

    #[command(flatten)]
    list: ListArgs,
}

/// Which messages of a queue, and how.
#[derive(Args)]
pub struct Which {
    /// The queue.
    queue: String,

    #[command(flatten)]
    selection: Selection,

    /// Only count them
    #[arg(long)]
    dry_run: bool,

    /// At most so many
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// At most so many a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
}

/// The messages that are meant.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Selection {
    /// Those at these positions, as `leveret messages browse` shows them
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    position: Vec<u64>,

    /// Those for which all conditions hold, as in `leveret messages browse`
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,

    /// All
    #[arg(long)]
    all: bool,
}

/// Arguments of `leveret messages delete`.
#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `leveret messages redrive`.
#[derive(Args)]
pub struct Redrive {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `leveret messages move`.
#[derive(Args)]
#[group(id = "destination", required = true, multiple = false, args = ["to_queue", "to_exchange"])]
pub struct Move {
    #[command(flatten)]
    which: Which,

    /// To this queue
    #[arg(long, value_name = "NAME")]
    to_queue: Option<String>,

    /// Through this exchange
    #[arg(long, value_name = "NAME")]
    to_exchange: Option<String>,

    /// With this routing key instead of the one that they have
    #[arg(long, value_name = "KEY", conflicts_with = "to_queue")]
    routing_key: Option<String>,
}

/// Says so if a broker that is not ours was asked for what only ours has. RabbitMQ refuses unknown
/// paths with one of several statuses.
pub(super) fn need_leveret(session: &Session, error: anyhow::Error) -> anyhow::Error {
    let unknown = |refused: &Refused| matches!(refused.status, 400 | 404 | 405);
    if error.downcast_ref::<Refused>().is_some_and(unknown) && !is_leveret(session) {
        return anyhow::anyhow!(
            "the broker at {} is not Leveret, and has nothing for this verb",
            session.client.base()
        );
    }
    error
}

fn target(session: &Session, queue: &str, below: &[&str]) -> Target {
    let vhost = session.vhost();
    let what = format!("queue `{queue}` in vhost `{vhost}`");
    Target::new(what, &[&["leveret", "queues", vhost, queue], below].concat())
}

/// Goes through the pages behind a target, up to a number of messages.
fn pages(
    session: &Session,
    target: &Target,
    from: Option<&str>,
    most: u64,
) -> anyhow::Result<Vec<Value>> {
    let (mut found, mut from) = (Vec::new(), from.map(str::to_owned));
    loop {
        let count = most.saturating_sub(found.len() as u64).min(PAGE);
        if count == 0 {
            return Ok(found);
        }
        let mut page = target.clone().query("count", &count.to_string());
        if let Some(from) = &from {
            page = page.query("from", from);
        }
        let mut answer = session.client.get(&page).map_err(|error| need_leveret(session, error))?;
        if let Value::Array(messages) = answer["messages"].take() {
            found.extend(messages);
        }
        match answer["next"].as_str() {
            Some(next) => from = Some(next.to_owned()),
            None => return Ok(found),
        }
    }
}

impl Look {
    /// Prints the messages behind a target.
    pub(super) fn run(&self, session: &Session, target: Target) -> anyhow::Result<()> {
        let truncate = if self.whole || self.raw { u64::from(u32::MAX) } else { TRUNCATE };
        let with = |target: Target, condition: &String| target.query("where", condition);
        let target = self.conditions.iter().fold(target, with);
        let target = target.query("truncate", &truncate.to_string());
        let messages = pages(session, &target, self.from.as_deref(), self.count)?;
        if self.raw {
            return messages.iter().try_for_each(|one| crate::print_bytes(&payload(one)?));
        }
        session.print_list(messages, COLUMNS, &self.list)
    }
}

/// What a change came to.
#[derive(Default)]
struct Sum {
    matched: u64,
    moved: u64,
    deleted: u64,
    refused: u64,
}

impl Sum {
    fn add(&mut self, answer: &Value) {
        let number = |key: &str| answer[key].as_u64().unwrap_or_default();
        self.matched += number("matched");
        self.moved += number("moved");
        self.deleted += number("deleted");
        self.refused += number("refused");
    }

    fn report(&self, session: &Session, dry_run: bool) -> anyhow::Result<()> {
        if session.json {
            session.print_json(&json!({
                "matched": self.matched, "moved": self.moved, "deleted": self.deleted,
                "refused": self.refused,
            }))?;
        }
        let Sum { matched, moved, deleted, refused } = self;
        if dry_run {
            let meant = counted(*matched, "message");
            return session.say(&format!("{meant} would be touched; nothing was done"));
        }
        session.say(&format!("messages moved: {moved}, deleted: {deleted}, refused: {refused}"))?;
        ensure!(*refused == 0, "{} refused, which stayed", counted(*refused, "message"));
        Ok(())
    }
}

impl Which {
    /// Asks for the change, in as many requests as it takes.
    fn change(&self, session: &Session, verb: &str, mut body: Value) -> anyhow::Result<()> {
        let target = target(session, &self.queue, &["messages", verb]);
        let style = ProgressStyle::with_template("{spinner} {pos} messages, {elapsed}, {per_sec}");
        let bar = ProgressBar::new_spinner().with_style(style.context("the style of a bar")?);
        if session.json {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        body["dry_run"] = json!(self.dry_run);
        if let Some(rate) = self.rate {
            body["rate"] = json!(rate);
        }
        let mut sum = Sum::default();
        let ask = |body: &mut Value, sum: &mut Sum| -> anyhow::Result<(bool, Value)> {
            let left = self.limit.map(|limit| limit.saturating_sub(sum.matched));
            if left == Some(0) {
                return Ok((false, Value::Null));
            }
            if let Some(left) = left {
                body["limit"] = json!(left);
            }
            let answer = session.client.post(&target, body);
            let answer = answer.map_err(|error| need_leveret(session, error))?;
            sum.add(&answer);
            bar.set_position(sum.matched);
            Ok((true, answer["next"].clone()))
        };
        if self.selection.position.is_empty() {
            body["where"] = json!(self.selection.conditions);
            while let (true, Value::String(next)) = ask(&mut body, &mut sum)? {
                body["from"] = json!(next);
            }
        } else {
            // A request works for some seconds only, so with a rate it is given less.
            let most = self.rate.map_or(POSITIONS, |rate| (rate as usize * 5).clamp(1, POSITIONS));
            for positions in self.selection.position.chunks(most) {
                body["positions"] = json!(positions);
                ask(&mut body, &mut sum)?;
            }
        }
        bar.finish_and_clear();
        sum.report(session, self.dry_run)
    }
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::Browse(Browse { queue, look }) => {
                look.run(session, target(session, queue, &["messages"]))
            }
            Command::Unacked(Unacked { queue, count, list }) => {
                let target = target(session, queue, &["unacked"]);
                session.print_list(pages(session, &target, None, *count)?, UNACKED, list)
            }
            Command::Delete(Delete { which }) => which.change(session, "delete", json!({})),
            Command::Redrive(Redrive { which }) => which.change(session, "redrive", json!({})),
            Command::Move(Move { which, to_queue, to_exchange, routing_key }) => {
                let mut to = match (to_queue, to_exchange) {
                    (Some(queue), _) => json!({ "queue": queue }),
                    (None, exchange) => json!({ "exchange": exchange }),
                };
                if let Some(key) = routing_key {
                    to["routing_key"] = json!(key);
                }
                which.change(session, "move", json!({ "to": to }))
            }
        }
    }
}
