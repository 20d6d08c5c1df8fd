//! One long queue: where it is, how much goes into it or out of it, and the telling of tenths.

use std::time::Instant;

use clap::Args;
use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::wire::amqp091::table::FieldTable;
use leveret_client::{Channel, Connection, QueueOptions};

/// Where the queue is.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The broker.
    #[arg(long)]
    pub uri: String,
    /// Name of the queue.
    #[arg(long, default_value = "backlog")]
    pub queue: String,
    /// Value of x-queue-type, if any.
    #[arg(long)]
    pub queue_type: Option<String>,
}

/// How much goes into a queue or out of it.
#[derive(Debug, Clone, Args)]
pub struct Amount {
    /// Where.
    #[command(flatten)]
    pub target: Target,
    /// How many messages.
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// Body size in bytes, at least 8.
    #[arg(long, default_value_t = 1024)]
    pub size: usize,
    /// At most so many messages unconfirmed, or unacknowledged.
    #[arg(long, default_value_t = 10_000)]
    pub window: u16,
}

impl Target {
    /// A connection with a channel, and the queue declared.
    pub fn open(&self) -> anyhow::Result<(Connection, Channel)> {
        let mut connection = Connection::connect(&self.uri)?;
        let channel = connection.open_channel()?;
        connection.declare_queue(channel, &self.queue, &self.options())?;
        Ok((connection, channel))
    }

    /// How the queue is declared.
    pub fn options(&self) -> QueueOptions {
        let mut arguments = FieldTable::new();
        if let Some(kind) = &self.queue_type {
            arguments.insert("x-queue-type", kind.as_str());
        }
        QueueOptions { durable: true, arguments, ..QueueOptions::default() }
    }
}

/// Tells each time a tenth of the messages is done.
#[derive(Debug)]
pub struct Tenths {
    messages: u64,
    done: u64,
    tenth: u64,
    started: Instant,
}

impl Tenths {
    /// Time begins now.
    pub fn new(messages: u64) -> Tenths {
        Tenths { messages, done: 0, tenth: 0, started: Instant::now() }
    }

    /// Counts; prints a line for each tenth that is full now.
    pub fn add(&mut self, count: u64) {
        self.done += count;
        while self.tenth < 10 && self.done >= self.messages * (self.tenth + 1) / 10 {
            self.tenth += 1;
            let seconds = self.started.elapsed().as_secs_f64();
            println!(
                "{{\"tenth\": {}, \"messages\": {}, \"seconds\": {seconds:.6}}}",
                self.tenth, self.done
            );
        }
    }

    /// Whether all are done.
    pub fn are_full(&self) -> bool {
        self.done >= self.messages
    }
}

/// The properties of a persistent message.
pub fn persistent() -> BasicProperties {
    BasicProperties { delivery_mode: Some(2), ..BasicProperties::default() }
}
