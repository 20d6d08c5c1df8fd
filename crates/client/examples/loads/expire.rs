//! Expiry in numbers: many messages with times to live of their own in one queue, and how late each
//! is gone.
//!
//! With dead letters, each body has the time at which its message is due, and a consumer of the
//! dead-letter queue compares it with its own clock: that is lateness with all of the way. Without,
//! samples of the queue's length are compared with how many should be left: a sample's lateness
//! counts for all that expired since the last one.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use leveret_client::wire::amqp091::frame::Event;
use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::{
    Channel, Closed, Connection, ConsumeOptions, Error, Publish, QueueOptions, Receiver, Sender,
};

use super::backlog::Target;
use super::fill::Settled;

/// How many bytes are written at once.
const WRITE_BYTES: usize = 64 << 10;
/// The time between two samples.
const SAMPLE: Duration = Duration::from_millis(100);
/// The digits of a time to live.
const DIGITS: usize = 6;

/// What expires.
#[derive(Debug, Clone, Args)]
pub struct Expire {
    /// Where.
    #[command(flatten)]
    target: Target,
    /// How many messages.
    #[arg(long, default_value_t = 10_000_000)]
    messages: u64,
    /// Body size in bytes, at least 8.
    #[arg(long, default_value_t = 16)]
    size: usize,
    /// The shortest time to live, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    ttl_min: u64,
    /// The longest, at most 999,999.
    #[arg(long, default_value_t = 60_000)]
    ttl_max: u64,
    /// At most so many messages unconfirmed.
    #[arg(long, default_value_t = 20_000)]
    window: u64,
    /// Messages survive.
    #[arg(long)]
    persistent: bool,
    /// What expires goes to a second queue, and from there to a consumer.
    #[arg(long)]
    dead_letters: bool,
}

/// What the threads know of each other.
struct Shared {
    /// Confirmed messages.
    settled: AtomicU64,
    failed: AtomicBool,
    /// When the first was published, in milliseconds since 1970.
    start: u64,
    /// How many messages are due in each millisecond since then.
    due: Vec<AtomicU32>,
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

/// Publishes, and tells how late messages expire.
pub fn run(expire: &Expire) -> anyhow::Result<()> {
    let longest = 10_u64.pow(DIGITS as u32) - 1;
    ensure!(expire.size >= 8, "a body has to have room for its time");
    ensure!(
        expire.ttl_min <= expire.ttl_max && expire.ttl_max <= longest,
        "the times to live make no range"
    );
    let (connection, channel) = declare(expire)?;
    let frame_max = connection.frame_max();
    let (sender, receiver) = connection.split()?;
    // Publishing must not take longer than an hour.
    let due = (0..3_600_000 + expire.ttl_max).map(|_| AtomicU32::new(0)).collect();
    let (settled, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let shared = Shared { settled, failed, start: now_ms(), due };
    std::thread::scope(|scope| {
        let batch = Batch::new(expire, channel, frame_max)?;
        let publishing = scope.spawn(|| check(&shared, publish(expire, sender, batch, &shared)));
        let confirming = scope.spawn(|| check(&shared, confirm(expire, receiver, &shared)));
        let late =
            if expire.dead_letters { consume(expire, &shared) } else { sample(expire, &shared) };
        let late = check(&shared, late);
        for thread in [publishing, confirming] {
            match thread.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("a thread panicked"),
            }
        }
        let late = late?;
        println!(
            "{{\"late\": {}, \"p50_ms\": {}, \"p99_ms\": {}, \"p999_ms\": {}, \"max_ms\": {}}}",
            late.len(),
            late.value_at_quantile(0.5),
            late.value_at_quantile(0.99),
            late.value_at_quantile(0.999),
            late.max()
        );
        Ok(())
    })
}

/// Has the others end too.
fn check<T>(shared: &Shared, ended: anyhow::Result<T>) -> anyhow::Result<T> {
    shared.failed.fetch_or(ended.is_err(), SeqCst);
    ended
}

fn dead_queue(expire: &Expire) -> String {
    format!("{}-expired", expire.target.queue)
}

fn declare(expire: &Expire) -> anyhow::Result<(Connection, Channel)> {
    let mut connection = Connection::connect(&expire.target.uri)?;
    let channel = connection.open_channel()?;
    let mut options = expire.target.options();
    if expire.dead_letters {
        connection.declare_queue(channel, &dead_queue(expire), &expire.target.options())?;
        options.arguments.insert("x-dead-letter-exchange", "");
        options.arguments.insert("x-dead-letter-routing-key", dead_queue(expire).as_str());
    }
    connection.declare_queue(channel, &expire.target.queue, &options)?;
    connection.confirm_select(channel)?;
    Ok((connection, channel))
}

/// Frames of many messages, of which only the times change.
struct Batch {
    bytes: Vec<u8>,
    message_bytes: usize,
    /// Where in a message its time to live is, and its body.
    ttl_at: usize,
    body_at: usize,
    random: u64,
}

impl Batch {
    fn new(expire: &Expire, channel: Channel, frame_max: u32) -> anyhow::Result<Batch> {
        let digits = "9".repeat(DIGITS);
        let properties = BasicProperties {
            delivery_mode: Some(if expire.persistent { 2 } else { 1 }),
            expiration: Some(digits.as_str().into()),
            ..BasicProperties::default()
        };
        let body = vec![b'x'; expire.size];
        let routing_key = &*expire.target.queue;
        let mut one = Vec::new();
        let message = Publish { routing_key, properties, body: &body, ..Publish::default() };
        message.encode(channel, frame_max, &mut one);
        let find = |what: &[u8]| one.windows(what.len()).rposition(|window| window == what);
        let (Some(ttl_at), Some(body_at)) = (find(digits.as_bytes()), find(&body)) else {
            bail!("a message has its time to live and its body in it");
        };
        let count = (WRITE_BYTES / one.len()).max(1);
        let (message_bytes, random) = (one.len(), 0x9e37_79b9_7f4a_7c15);
        Ok(Batch { message_bytes, ttl_at, body_at, random, bytes: one.repeat(count) })
    }

    fn len(&self) -> u64 {
        (self.bytes.len() / self.message_bytes) as u64
    }

    /// The next messages, counted with when they are due.
    fn next(&mut self, expire: &Expire, count: u64, shared: &Shared) -> &[u8] {
        let now = now_ms();
        for message in self.bytes.chunks_exact_mut(self.message_bytes).take(count as usize) {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let ttl = expire.ttl_min + self.random % (expire.ttl_max - expire.ttl_min + 1);
            let digits = format!("{ttl:0DIGITS$}");
            let due = now + ttl;
            if let Some(slot) = message.get_mut(self.ttl_at..self.ttl_at + DIGITS) {
                slot.copy_from_slice(digits.as_bytes());
            }
            if let Some(slot) = message.get_mut(self.body_at..self.body_at + 8) {
                slot.copy_from_slice(&due.to_be_bytes());
            }
            let at = due.saturating_sub(shared.start) as usize;
            if let Some(bucket) = shared.due.get(at) {
                bucket.fetch_add(1, SeqCst);
            }
        }
        self.bytes.get(..count as usize * self.message_bytes).unwrap_or_default()
    }
}

fn publish(
    expire: &Expire,
    mut sender: Sender,
    mut batch: Batch,
    shared: &Shared,
) -> anyhow::Result<()> {
    let (started, mut sent) = (Instant::now(), 0);
    loop {
        ensure!(!shared.failed.load(SeqCst), "another thread failed");
        let settled = shared.settled.load(SeqCst);
        if settled == expire.messages {
            break;
        }
        let count = (settled + expire.window - sent).min(expire.messages - sent).min(batch.len());
        if count < batch.len().min(expire.messages - sent).max(1) {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        sender.write(batch.next(expire, count, shared))?;
        sent += count;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"published\": {sent}, \"seconds\": {seconds:.3}}}");
    sender.shutdown();
    Ok(())
}

fn confirm(expire: &Expire, mut receiver: Receiver, shared: &Shared) -> anyhow::Result<()> {
    let mut settled = Settled::default();
    while settled.count() < expire.messages {
        ensure!(receiver.read()?, "the broker closed the connection");
        receiver.drain(|event| {
            let Event::Method { channel, payload } = event else { return Ok(()) };
            match Method::decode(payload)? {
                Method::BasicAck { delivery_tag, multiple } => {
                    settled.settle(delivery_tag, multiple);
                    Ok(())
                }
                Method::BasicNack { .. } => Err(Error::NotConfirmed(1)),
                method => Closed::of_method(channel, &method).map_or(Ok(()), Err),
            }
        })?;
        shared.settled.store(settled.count(), SeqCst);
    }
    Ok(())
}

/// Milliseconds, up to an hour.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 3_600_000, 3)?)
}

/// Consumes what has expired.
fn consume(expire: &Expire, shared: &Shared) -> anyhow::Result<Histogram<u64>> {
    let mut connection = Connection::connect(&expire.target.uri)?;
    let channel = connection.open_channel()?;
    let options = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    connection.consume(channel, &dead_queue(expire), &options)?;
    let (_sender, mut receiver) = connection.split()?;
    let (mut late, mut head, mut early) = (histogram()?, Vec::with_capacity(8), 0_u64);
    while late.len() < expire.messages {
        ensure!(!shared.failed.load(SeqCst), "another thread failed");
        ensure!(receiver.read()?, "the broker closed the connection");
        let now = now_ms();
        receiver.drain(|event| {
            match event {
                Event::Header { .. } => head.clear(),
                Event::Body { chunk, .. } if head.len() < 8 => {
                    head.extend_from_slice(chunk.get(..8 - head.len()).unwrap_or(chunk));
                    if let Some(due) = head.first_chunk() {
                        let due = u64::from_be_bytes(*due);
                        early += u64::from(due > now);
                        late.saturating_record(now.saturating_sub(due).max(1));
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    ensure!(early == 0, "{early} messages expired too early");
    Ok(late)
}

/// Watches the queue's length.
fn sample(expire: &Expire, shared: &Shared) -> anyhow::Result<Histogram<u64>> {
    let mut connection = Connection::connect(&expire.target.uri)?;
    let channel = connection.open_channel()?;
    let options = QueueOptions { passive: true, ..QueueOptions::default() };
    let (mut late, mut gone_before, mut at, mut due_before) = (histogram()?, 0, 0, 0);
    while gone_before < expire.messages {
        ensure!(!shared.failed.load(SeqCst), "another thread failed");
        std::thread::sleep(SAMPLE);
        // What is on its way is no more than the window: it counts as late for a moment.
        let settled = shared.settled.load(SeqCst);
        let declared = connection.declare_queue(channel, &expire.target.queue, &options)?;
        let now = now_ms() - shared.start;
        let gone = settled.saturating_sub(u64::from(declared.message_count));
        // Up to where messages are gone, if those that are due first go first.
        while let Some(bucket) = shared.due.get(at)
            && due_before + u64::from(bucket.load(SeqCst)) <= gone
            && (at as u64) < now
        {
            due_before += u64::from(bucket.load(SeqCst));
            at += 1;
        }
        let lateness = now.saturating_sub(at as u64).max(1);
        late.saturating_record_n(lateness, gone.saturating_sub(gone_before));
        gone_before = gone_before.max(gone);
    }
    Ok(late)
}
