//! Draining a queue of the source into the queue of the same name here.
//!
//! A batch is published and confirmed before it is acknowledged. If a batch fails, all of it goes
//! back to the source: then some of it may be here too, at most one batch, and this is said.
//!
//! What a consumer sees of a message must not change because it moved, so it is published with the
//! routing key that it had, through an exchange that exists for this queue while it is drained.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::{
    Channel, Connection, ConsumeOptions, Delivery, Error, ExchangeOptions, Incoming, Publish,
    QueueOptions,
};
use serde_json::{Value, json};

use super::job::Job;
use crate::cli::amqp::Place;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::counted;

/// The longest name that AMQP takes.
const NAME_BYTES_MAX: usize = 255;
/// How many bytes a batch may have.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How long a queue that says it has messages may give none.
const STALL_MAX: Duration = Duration::from_secs(5);
/// How long to wait for a message before looking at what there is.
const PATIENCE: Duration = Duration::from_millis(200);

/// What became of a queue.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    found: u64,
    taken: u64,
    left: u64,
    arrived: i64,
    fault: Option<String>,
}

impl Outcome {
    /// Whether all is here, and nothing is left there.
    pub(super) fn is_whole(&self) -> bool {
        self.fault.is_none()
    }

    /// Whether there is anything to say of it.
    pub(super) fn is_worth_a_line(&self) -> bool {
        self.found + self.taken + self.left > 0 || self.fault.is_some()
    }

    /// As a line of the report.
    pub(super) fn row(&self, job: &Job) -> Value {
        json!({
            "vhost": job.vhost, "queue": job.queue, "found": self.found, "taken": self.taken,
            "left": self.left, "arrived": self.arrived, "bytes": job.bytes,
            "result": self.fault.as_deref().unwrap_or("whole"),
        })
    }

    /// Compares what was counted, if nothing else went wrong.
    fn check(&mut self, unacked: u64) {
        let Self { taken, left, arrived, .. } = *self;
        if self.fault.is_some() {
            return;
        }
        if left > 0 {
            self.fault = Some(format!("{} left at the source", counted(left, "message")));
        } else if i64::try_from(taken) != Ok(arrived) {
            self.fault = Some(format!(
                "{} confirmed, but the queue has {arrived} more than before: some \
                 expired or were consumed meanwhile",
                counted(taken, "message")
            ));
        } else if unacked > 0 {
            self.fault =
                Some(format!("consumers of the source hold {}", counted(unacked, "message")));
        }
    }
}

/// One end: a connection with a channel.
struct End {
    connection: Connection,
    channel: Channel,
}

impl End {
    fn open(place: &Place, vhost: &str) -> anyhow::Result<Self> {
        let mut connection = place.in_vhost(vhost).connect("leveret import")?;
        let channel = connection.open_channel()?;
        Ok(Self { connection, channel })
    }

    /// How many messages are ready in a queue.
    fn ready(&mut self, queue: &str) -> Result<u64, Error> {
        let options = QueueOptions { passive: true, ..QueueOptions::default() };
        let declared = self.connection.declare_queue(self.channel, queue, &options)?;
        Ok(u64::from(declared.message_count))
    }
}

/// A queue that is being drained.
struct Drain<'a> {
    job: &'a Job,
    source: End,
    target: End,
    /// The user who publishes.
    user: String,
    /// The exchange that leads to the queue alone, whatever the routing key.
    relay: String,
    batch: u64,
    batch_bytes: usize,
    last_tag: u64,
}

/// Takes the messages of one queue after the other.
pub(super) struct Drainer<'a> {
    /// The source.
    pub(super) source: &'a Place,
    /// Where messages go.
    pub(super) target: &'a Place,
    /// What shows how far it is.
    pub(super) bar: &'a ProgressBar,
    /// With which the queues of a vhost are looked at, since most are empty.
    looking: Option<(String, End)>,
}

impl<'a> Drainer<'a> {
    /// Nothing is connected yet.
    pub(super) fn new(source: &'a Place, target: &'a Place, bar: &'a ProgressBar) -> Self {
        Self { source, target, bar, looking: None }
    }

    /// How many messages of a queue are ready at the source. Its statistics are seconds old.
    pub(super) fn ready(&mut self, job: &Job) -> anyhow::Result<u64> {
        if self.looking.as_ref().is_some_and(|(vhost, _)| *vhost != job.vhost) {
            self.stop_looking();
        }
        let mut end = match self.looking.take() {
            Some((_, end)) => end,
            None => End::open(self.source, &job.vhost)?,
        };
        let ready = end.ready(&job.queue)?;
        self.looking = Some((job.vhost.clone(), end));
        Ok(ready)
    }

    /// Ends the connection that is not for one queue.
    pub(super) fn stop_looking(&mut self) {
        // What it was for is done, so it does not matter how it ends.
        self.looking.take().map(|(_, end)| end.connection.close());
    }

    /// Takes the messages of a queue.
    pub(super) fn take(&mut self, job: &Job) -> Outcome {
        let messages = job.messages();
        let mut outcome = Outcome { found: messages, left: messages, ..Outcome::default() };
        if let Some(obstacle) = job.obstacle() {
            outcome.fault = (messages > 0).then(|| obstacle.to_owned());
            return outcome;
        }
        if let Err(error) = self.drain(job, &mut outcome) {
            outcome.fault = Some(format!("{error:#}"));
        }
        outcome.check(job.unacked);
        outcome
    }

    fn drain(&mut self, job: &Job, outcome: &mut Outcome) -> anyhow::Result<()> {
        let ready = self.ready(job).context("at the source")?;
        (outcome.found, outcome.left) = (ready + job.unacked, ready);
        if ready == 0 {
            return Ok(());
        }
        let mut drain = Drain {
            job,
            source: End::open(self.source, &job.vhost).context("at the source")?,
            target: End::open(self.target, &job.vhost)?,
            user: self.target.uri.user.clone(),
            relay: relay_name(&job.queue),
            batch: 0,
            batch_bytes: 0,
            last_tag: 0,
        };
        let before = drain.prepare()?;
        let pumped = drain.pump(outcome, self.bar);
        let (source, target) = (&mut drain.source, &mut drain.target);
        if let Ok(after) = target.ready(&job.queue) {
            outcome.arrived = after.cast_signed() - before.cast_signed();
        }
        outcome.left = source.ready(&job.queue).unwrap_or(ready.saturating_sub(outcome.taken));
        // It goes with its binding at the latest.
        let _ = target.connection.delete_exchange(target.channel, &drain.relay);
        pumped?;
        drain.source.connection.close()?;
        Ok(drain.target.connection.close()?)
    }
}

/// The name of the exchange that leads to one queue. It follows from the queue's, so that what a
/// killed import left is used and removed by the next one.
fn relay_name(queue: &str) -> String {
    let name = format!("leveret.import.{queue}");
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let mut hasher = DefaultHasher::new();
    queue.hash(&mut hasher);
    format!("leveret.import.{:016x}", hasher.finish())
}

/// Removes the exchanges that imports of these queues have left.
pub(super) fn sweep(session: &Session, vhost: &str, jobs: &[Job]) -> anyhow::Result<()> {
    let all = Target::new(format!("vhost `{vhost}`"), &["exchanges", vhost]);
    let all = session.client.get(&all.query("columns", "name"))?;
    let there: BTreeSet<&str> =
        all.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    for job in jobs.iter().filter(|job| job.vhost == vhost) {
        let relay = relay_name(&job.queue);
        if there.contains(relay.as_str()) {
            let what = format!("exchange `{relay}`");
            session.client.delete(&Target::new(what, &["exchanges", vhost, &relay]))?;
        }
    }
    Ok(())
}

impl Drain<'_> {
    /// Makes everything ready; returns how many messages the queue has here.
    fn prepare(&mut self) -> anyhow::Result<u64> {
        let queue = &self.job.queue;
        let before = self.target.ready(queue).context("the queue here")?;
        let End { connection, channel } = &mut self.target;
        connection.confirm_select(*channel)?;
        let options = ExchangeOptions { auto_delete: true, ..ExchangeOptions::default() };
        connection.declare_exchange(*channel, &self.relay, "fanout", &options)?;
        connection.bind_queue(*channel, queue, &self.relay, "")?;
        let End { connection, channel } = &mut self.source;
        // The next batch comes while this one is confirmed.
        connection.qos(*channel, self.job.window() * 2)?;
        connection.consume(*channel, queue, &ConsumeOptions::default())?;
        Ok(before)
    }

    /// Moves until the queue is empty.
    fn pump(&mut self, outcome: &mut Outcome, bar: &ProgressBar) -> anyhow::Result<()> {
        let mut last = Instant::now();
        loop {
            match self.source.connection.next(PATIENCE)? {
                Some(Incoming::Delivery(delivery)) => {
                    last = Instant::now();
                    self.publish(&delivery)?;
                    let all = outcome.taken + self.batch >= outcome.found;
                    let full = self.batch >= u64::from(self.job.window())
                        || self.batch_bytes >= BATCH_BYTES_MAX;
                    if !all && !full {
                        continue;
                    }
                }
                Some(Incoming::Cancelled { .. }) => bail!("the queue of the source is gone"),
                Some(_) => continue,
                None => {}
            }
            let settled = self.settle()?;
            outcome.taken += settled;
            bar.inc(settled);
            if outcome.taken >= outcome.found || last.elapsed() >= PATIENCE {
                let left = self.source.ready(&self.job.queue)?;
                if left == 0 {
                    return Ok(());
                }
                if last.elapsed() >= STALL_MAX {
                    bail!("the source holds {left} messages back: another consumer has the queue");
                }
            }
        }
    }

    /// Publishes a message as it was.
    fn publish(&mut self, delivery: &Delivery) -> anyhow::Result<()> {
        let properties = without_foreign_user(&delivery.properties, &self.user);
        let copies = properties.headers.as_ref().is_some_and(|headers| headers.get("CC").is_some());
        let direct = delivery.exchange.is_empty() && delivery.routing_key == self.job.queue;
        let exchange = if direct && !copies { "" } else { &self.relay };
        let message = Publish {
            exchange,
            routing_key: &delivery.routing_key,
            mandatory: true,
            properties,
            body: &delivery.body,
        };
        self.target.connection.publish(self.target.channel, &message)?;
        self.batch += 1;
        self.batch_bytes += delivery.body.len();
        self.last_tag = delivery.delivery_tag;
        Ok(())
    }

    /// Waits for the confirms of the batch, and acknowledges it at the source.
    fn settle(&mut self) -> anyhow::Result<u64> {
        let (batch, End { connection, channel }) = (self.batch, &mut self.target);
        if batch == 0 {
            return Ok(0);
        }
        let confirmed = connection.wait_for_confirms(*channel);
        let mut returned = 0;
        if confirmed.is_ok() {
            while let Some(incoming) = connection.next(Duration::ZERO)? {
                returned += u64::from(matches!(incoming, Incoming::Returned(_)));
            }
        }
        let End { connection, channel } = &mut self.source;
        if confirmed.is_err() || returned > 0 {
            connection.nack(*channel, self.last_tag, true, true)?;
            connection.flush()?;
        }
        confirmed.with_context(|| format!("of these {batch} messages some may be in both"))?;
        if returned > 0 {
            bail!("{returned} messages found no queue here; {batch} may be in both");
        }
        connection.ack(*channel, self.last_tag, true)?;
        connection.flush()?;
        (self.batch, self.batch_bytes) = (0, 0);
        Ok(batch)
    }
}

/// The properties as they were, but for the user-id of another: only that user may publish it.
fn without_foreign_user(properties: &BasicProperties, user: &str) -> BasicProperties {
    let mut properties = properties.clone();
    properties.user_id.take_if(|claimed| claimed.as_bytes() != user.as_bytes());
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_queues_never_share_an_exchange() {
        assert_eq!(relay_name("orders"), "leveret.import.orders");
        let [a, b] = ["a", "b"].map(|end| relay_name(&format!("{}{end}", "q".repeat(250))));
        assert!(a != b && a.len() <= NAME_BYTES_MAX, "{a} {b}");
    }
}
