//! A topic exchange with many bindings, of which each message meets ten in ten queues.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;
use leveret_client::wire::amqp091::frame::Event;
use leveret_client::wire::amqp091::method::Method;
use leveret_client::{
    Channel, Closed, Connection, ConsumeOptions, ExchangeOptions, Publish, QueueOptions, Receiver,
};

/// Messages between two waits for confirms; few enough that a slow broker ends in time.
const WINDOW: u64 = 500;

const EXCHANGE: &str = "bench.topic";

/// A topic exchange under load.
#[derive(Debug, Clone, Args)]
pub struct Topic {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// Bindings, ten for each routing key.
    #[arg(long, default_value_t = 10_000)]
    bindings: usize,
    /// Queues over which the bindings are spread.
    #[arg(long, default_value_t = 100)]
    queues: usize,
    /// Body size in bytes.
    #[arg(long, default_value_t = 24)]
    size: usize,
    /// How long to publish, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before that do not count.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
}

/// What both threads know.
#[derive(Debug, Default)]
struct Progress {
    received: AtomicU64,
    ending: AtomicBool,
}

/// Prints how many were published and delivered in what time.
pub fn run(topic: &Topic) -> anyhow::Result<()> {
    ensure!(topic.queues >= 10, "each message goes to ten queues");
    let (connection, channel) = prepare(topic)?;
    let (sender, receiver) = consumer(topic)?.split()?;
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(receiver, &progress));
        let published = publish(topic, connection, channel, &progress);
        progress.ending.store(true, Relaxed);
        sender.shutdown();
        match reading.join() {
            Ok(ended) => ended.and(published),
            Err(_) => bail!("the reading thread panicked"),
        }
    })
}

/// The ten patterns that meet `plant.<number>.line.heat`.
fn patterns(number: usize) -> [String; 10] {
    [
        format!("plant.{number}.line.heat"),
        format!("plant.{number}.line.*"),
        format!("plant.{number}.*.heat"),
        format!("plant.{number}.#"),
        format!("*.{number}.line.heat"),
        format!("*.{number}.*.*"),
        format!("*.{number}.#"),
        format!("#.{number}.line.heat"),
        format!("#.{number}.#"),
        format!("plant.{number}.#.heat"),
    ]
}

fn prepare(topic: &Topic) -> anyhow::Result<(Connection, Channel)> {
    let mut connection = Connection::connect(&topic.uri)?;
    let channel = connection.open_channel()?;
    connection.declare_exchange(channel, EXCHANGE, "topic", &ExchangeOptions::default())?;
    for queue in 0..topic.queues {
        let options = QueueOptions { auto_delete: true, ..QueueOptions::default() };
        connection.declare_queue(channel, &format!("topic-{queue}"), &options)?;
    }
    for number in 0..topic.bindings / 10 {
        for (index, pattern) in patterns(number).iter().enumerate() {
            let queue = format!("topic-{}", (number + index) % topic.queues);
            connection.bind_queue(channel, &queue, EXCHANGE, pattern)?;
        }
    }
    connection.confirm_select(channel)?;
    Ok((connection, channel))
}

fn consumer(topic: &Topic) -> anyhow::Result<Connection> {
    let mut connection = Connection::connect(&topic.uri)?;
    let channel = connection.open_channel()?;
    for queue in 0..topic.queues {
        let options = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
        connection.consume(channel, &format!("topic-{queue}"), &options)?;
    }
    Ok(connection)
}

fn read(mut receiver: Receiver, progress: &Progress) -> anyhow::Result<()> {
    loop {
        match receiver.read() {
            Ok(true) => {}
            _ if progress.ending.load(Relaxed) => return Ok(()),
            Ok(false) => bail!("the broker closed the connection"),
            Err(error) => return Err(error.into()),
        }
        let mut count = 0;
        receiver.drain(|event| {
            match event {
                Event::Header { .. } => count += 1,
                Event::Method { channel, payload }
                    if leveret_client::delivery_tag(payload).is_none() =>
                {
                    let method = Method::decode(payload)?;
                    return Closed::of_method(channel, &method).map_or(Ok(()), Err);
                }
                _ => {}
            }
            Ok(())
        })?;
        progress.received.fetch_add(count, Relaxed);
    }
}

/// Waits until all copies have come; an error if they do not.
fn expect_all(progress: &Progress, copies: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while progress.received.load(Relaxed) < copies && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let received = progress.received.load(Relaxed);
    ensure!(received == copies, "{received} of {copies} copies have come");
    Ok(())
}

fn publish(
    topic: &Topic,
    mut connection: Connection,
    channel: Channel,
    progress: &Progress,
) -> anyhow::Result<()> {
    let keys: Vec<_> = (0..topic.bindings / 10).map(|n| format!("plant.{n}.line.heat")).collect();
    let body = vec![b'x'; topic.size];
    let warm = Instant::now() + Duration::try_from_secs_f64(topic.warmup)?;
    let length = Duration::try_from_secs_f64(topic.seconds)?;
    let (mut published, mut counted) = (0, None);
    for (number, routing_key) in (1..).zip(keys.iter().cycle()) {
        let message =
            Publish { exchange: EXCHANGE, routing_key, body: &body, ..Publish::default() };
        connection.publish(channel, &message)?;
        published += 1;
        if number % WINDOW != 0 {
            continue;
        }
        connection.wait_for_confirms(channel)?;
        let now = Instant::now();
        let (started, before, received) = match counted {
            Some(counted) => counted,
            None if now < warm => continue,
            None => (now, published, progress.received.load(Relaxed)),
        };
        counted = Some((started, before, received));
        if now >= started + length {
            let seconds = (now - started).as_secs_f64();
            let delivered = progress.received.load(Relaxed) - received;
            let published = published - before;
            println!(
                "{{\"published\": {published}, \"delivered\": {delivered}, \
                 \"published_in_all\": {number}, \"seconds\": {seconds:.6}}}"
            );
            expect_all(progress, number * 10)?;
            break;
        }
    }
    connection.delete_exchange(channel, EXCHANGE)?;
    Ok(connection.close()?)
}
