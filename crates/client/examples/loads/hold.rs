//! Things that only stand there, to be weighed: connections with a consumer, queues with a message.

use std::io::Read;

use clap::Args;
use leveret_client::{Connection, ConsumeOptions, Options, Publish, QueueOptions};

/// Idle connections.
#[derive(Debug, Clone, Args)]
pub struct Connections {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// How many.
    #[arg(long, default_value_t = 1000)]
    count: usize,
}

/// Queues with a message.
#[derive(Debug, Clone, Args)]
pub struct Queues {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// How many.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Body size in bytes.
    #[arg(long, default_value_t = 100)]
    size: usize,
}

/// All consume from one queue, so that no queue is weighed with them.
pub fn connections(load: &Connections) -> anyhow::Result<()> {
    let (uri, queue) = (load.uri.parse()?, "idle");
    // One connection more holds the queue.
    let mut owner = Connection::connect(&load.uri)?;
    let channel = owner.open_channel()?;
    let exclusive = false;
    let options = QueueOptions { auto_delete: true, exclusive, ..QueueOptions::default() };
    owner.declare_queue(channel, queue, &options)?;
    let mut held = Vec::with_capacity(load.count);
    for number in 0..load.count {
        let name = format!("idle-{number}");
        let options = Options { name, receive_bytes: 4096, ..Options::default() };
        let mut connection = Connection::connect_with(&uri, &options)?;
        let channel = connection.open_channel()?;
        let consume = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
        connection.consume(channel, queue, &consume)?;
        held.push(connection);
    }
    wait(held.len())
}

/// Transient queues, each published to once; done when all are confirmed.
pub fn queues(load: &Queues) -> anyhow::Result<()> {
    let mut connection = Connection::connect(&load.uri)?;
    let channel = connection.open_channel()?;
    connection.confirm_select(channel)?;
    let body = vec![b'x'; load.size];
    let options = QueueOptions { exclusive: true, ..QueueOptions::default() };
    for number in 0..load.count {
        let queue = format!("held-{number}");
        connection.declare_queue(channel, &queue, &options)?;
        let message = Publish { routing_key: &queue, body: &body, ..Publish::default() };
        connection.publish(channel, &message)?;
    }
    connection.wait_for_confirms(channel)?;
    wait(load.count)
}

/// Says how many there are, then waits for the end of the input.
fn wait(held: usize) -> anyhow::Result<()> {
    println!("{{\"held\": {held}}}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
