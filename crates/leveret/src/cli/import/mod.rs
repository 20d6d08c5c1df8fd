//! `leveret import`: takes over a running RabbitMQ: its definitions through its management API, and
//! the messages of its queues over AMQP.
//!
//! Invariants: a message is acknowledged at its source only after our broker has confirmed it; what
//! cannot be taken is named, and makes the exit code 1; running it again goes on where it ended.

mod definitions;
mod drain;
mod job;

use anyhow::{Context, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use leveret_client::Uri;
use serde_json::{Value, json};

use super::Operation;
use super::amqp::Place;
use super::api::Client;
use super::session::Session;
use super::table::{Column, Form, ListArgs, counted, extra, shown};
use drain::Drainer;
use job::Job;

const COLUMNS: &[Column] = &[
    shown("vhost"),
    shown("queue"),
    shown("found"),
    shown("taken"),
    shown("left"),
    shown("arrived"),
    shown("result"),
    extra("bytes").form(Form::Bytes),
];

/// Arguments of `leveret import`.
#[derive(Args)]
pub struct ImportArgs {
    /// The broker to take over; a vhost in it is ignored: --vhost restricts to one
    #[arg(value_name = "amqp[s]://USER:PASSWORD@HOST:PORT")]
    source: String,

    /// Its management API [default: http://HOST:15672, or https://HOST:15671 for amqps, with
    /// the same user]
    #[arg(long, value_name = "URL")]
    from: Option<String>,

    /// Where to publish to [default: the host of --url, and the port that it names]
    #[arg(long, value_name = "amqp[s]://USER:PASSWORD@HOST:PORT")]
    to: Option<String>,

    /// Take the definitions and leave the messages
    #[arg(long, conflicts_with = "only_messages")]
    only_definitions: bool,

    /// Take the messages; the queues are there already
    #[arg(long)]
    only_messages: bool,

    /// Take the messages of this queue only; repeatable
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,

    /// Show what would be taken, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Both ends of the takeover.
struct Ends<'a> {
    session: &'a Session,
    source: Client,
    source_place: Place,
}

/// Where the management API is if nobody says.
fn management(uri: &Uri) -> String {
    let (scheme, port) = if uri.tls { ("https", 15_671) } else { ("http", 15_672) };
    let host = if uri.host.contains(':') { format!("[{}]", uri.host) } else { uri.host.clone() };
    format!("{scheme}://{host}:{port}")
}

impl ImportArgs {
    fn ends<'a>(&self, session: &'a Session) -> anyhow::Result<Ends<'a>> {
        let source_place = Place::parse(session, &self.source)?;
        let uri = &source_place.uri;
        let from = self.from.clone().unwrap_or_else(|| management(uri));
        let source = session.other(&from, (&uri.user, &uri.password))?;
        if source.base() == session.client.base() {
            bail!(
                "{} is the broker that would be taken over and the one that would take over; \
                 choose ours with --url and the other with --from",
                source.base()
            );
        }
        Ok(Ends { session, source, source_place })
    }

    /// The queues whose messages are to be taken.
    fn jobs(&self, ends: &Ends<'_>) -> anyhow::Result<Vec<Job>> {
        let jobs = job::all(&ends.source, ends.session.vhost_named())?;
        let wanted = |job: &Job| self.queue.is_empty() || self.queue.contains(&job.queue);
        let jobs: Vec<Job> = jobs.into_iter().filter(wanted).collect();
        let missing = self.queue.iter().find(|name| jobs.iter().all(|job| job.queue != **name));
        ensure!(missing.is_none(), "the source has no queue `{}`", missing.map_or("", |name| name));
        Ok(jobs)
    }

    fn preview(&self, ends: &Ends<'_>) -> anyhow::Result<()> {
        if !self.only_messages {
            let count = definitions::preview(ends)?;
            ends.session.say(&format!("definitions that would be taken: {count}"))?;
        }
        if self.only_definitions {
            return Ok(());
        }
        let row = |job: &Job| {
            json!({
                "vhost": job.vhost, "queue": job.queue, "found": job.messages(),
                "result": job.obstacle().unwrap_or("would be taken"), "bytes": job.bytes,
            })
        };
        let rows = self.jobs(ends)?.iter().filter(|job| job.messages() > 0).map(row).collect();
        ends.session.print_list(rows, COLUMNS, &ListArgs::default())
    }

    fn take_messages(&self, ends: &Ends<'_>) -> anyhow::Result<()> {
        let jobs = self.jobs(ends)?;
        let target = Place::find(ends.session, self.to.as_deref())?;
        let bar = bar(ends.session, jobs.iter().map(Job::messages).sum())?;
        let mut drainer = Drainer::new(&ends.source_place, &target, &bar);
        let mut rows = Vec::new();
        let mut bad = 0;
        for vhost in job::vhosts(&jobs) {
            let lent = definitions::lend(ends.session, vhost, &target.uri.user)?;
            for job in jobs.iter().filter(|job| job.vhost == vhost) {
                bar.set_message(super::table::harmless(&job.queue));
                let outcome = drainer.take(job);
                bad += u64::from(!outcome.is_whole());
                if outcome.is_worth_a_line() {
                    rows.push(outcome.row(job));
                }
            }
            drain::sweep(ends.session, vhost, &jobs)?;
            if lent {
                definitions::take_back(ends.session, vhost, &target.uri.user)?;
            }
        }
        drainer.stop_looking();
        bar.finish_and_clear();
        self.report(ends.session, rows, bad)
    }

    fn report(&self, session: &Session, rows: Vec<Value>, bad: u64) -> anyhow::Result<()> {
        let sum = |key: &str| rows.iter().filter_map(|row| row[key].as_u64()).sum::<u64>();
        let (taken, left) = (sum("taken"), sum("left"));
        if !rows.is_empty() || session.json {
            session.print_list(rows, COLUMNS, &ListArgs::default())?;
        }
        session.say(&format!("messages taken: {taken}, left: {left}"))?;
        ensure!(bad == 0, "{} not taken whole; running this again goes on", counted(bad, "queue"));
        Ok(())
    }
}

/// A bar on a terminal; elsewhere nothing.
fn bar(session: &Session, total: u64) -> anyhow::Result<ProgressBar> {
    let template = "{bar:30} {pos}/{len} messages, {per_sec}, {eta} left  {msg}";
    let bar = ProgressBar::new(total).with_style(ProgressStyle::with_template(template)?);
    if session.json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    Ok(bar)
}

impl Operation for ImportArgs {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let ends = self.ends(session)?;
        if self.dry_run {
            return self.preview(&ends);
        }
        // What cannot work must fail before anything is changed.
        let first = if self.only_definitions { None } else { self.jobs(&ends)?.into_iter().next() };
        if let Some(job) = first {
            let place = ends.source_place.in_vhost(&job.vhost);
            place.connect("leveret import").context("at the source")?.close()?;
        }
        if !self.only_messages {
            definitions::take(&ends)?;
        }
        if self.only_definitions { Ok(()) } else { self.take_messages(&ends) }
    }
}
