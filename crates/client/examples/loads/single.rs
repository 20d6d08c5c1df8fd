//! The loads that are a few calls: a count, a fan-out, the first confirm.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use leveret_client::{Connection, Error, ExchangeOptions, Publish, QueueOptions};

use super::backlog::{Target, persistent};

/// A fan-out.
#[derive(Debug, Clone, Args)]
pub struct Fan {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// Queues that get a copy.
    #[arg(long, default_value_t = 100)]
    queues: u32,
    /// Messages.
    #[arg(long, default_value_t = 1000)]
    messages: u64,
    /// Body size in bytes.
    #[arg(long, default_value_t = 16 << 10)]
    size: usize,
    /// Only declare exchange and queues, so that they do not count.
    #[arg(long)]
    prepare: bool,
}

/// Prints how many messages are in the queue.
pub fn count(target: &Target) -> anyhow::Result<()> {
    let mut connection = Connection::connect(&target.uri)?;
    let channel = connection.open_channel()?;
    let options = QueueOptions { passive: true, ..QueueOptions::default() };
    let declared = connection.declare_queue(channel, &target.queue, &options)?;
    println!("{{\"messages\": {}}}", declared.message_count);
    Ok(connection.close()?)
}

/// Publishes to a fanout exchange, 100 messages unconfirmed at most.
pub fn fan(fan: &Fan) -> anyhow::Result<()> {
    let mut connection = Connection::connect(&fan.uri)?;
    let channel = connection.open_channel()?;
    let exchange = "fan-out";
    let durable = ExchangeOptions { durable: true, ..ExchangeOptions::default() };
    connection.declare_exchange(channel, exchange, "fanout", &durable)?;
    for number in 0..fan.queues {
        let durable = QueueOptions { durable: true, ..QueueOptions::default() };
        let queue = format!("fan-{number}");
        connection.declare_queue(channel, &queue, &durable)?;
        connection.bind_queue(channel, &queue, exchange, "")?;
    }
    let started = Instant::now();
    connection.confirm_select(channel)?;
    let body = vec![b'x'; fan.size];
    let messages = if fan.prepare { 0 } else { fan.messages };
    for number in 1..=messages {
        let properties = persistent();
        let message = Publish { exchange, properties, body: &body, ..Publish::default() };
        connection.publish(channel, &message)?;
        if number % 100 == 0 {
            connection.wait_for_confirms(channel)?;
        }
    }
    connection.wait_for_confirms(channel)?;
    println!("{{\"messages\": {messages}, \"seconds\": {:.6}}}", started.elapsed().as_secs_f64());
    Ok(connection.close()?)
}

/// Tries to connect until there is a broker, and prints when its first confirm has come.
pub fn first(target: &Target) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    println!("{{\"waiting\": true}}");
    let (mut connection, channel) = loop {
        match target.open() {
            Ok(open) => break open,
            Err(error) => {
                let absent = matches!(
                    error.downcast_ref(),
                    Some(Error::Io(_) | Error::Disconnected | Error::ConnectionClosed(_))
                );
                ensure!(absent && Instant::now() < deadline, error);
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    };
    connection.confirm_select(channel)?;
    let (routing_key, properties) = (&*target.queue, persistent());
    let message = Publish { routing_key, properties, body: b"first", ..Publish::default() };
    connection.publish(channel, &message)?;
    connection.wait_for_confirms(channel)?;
    println!("{{\"confirmed\": true}}");
    Ok(())
}
