//! Opening and closing as fast as it goes, each thread one after the other.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, ValueEnum};
use leveret_client::{Connection, QueueOptions};

/// What to open and close.
#[derive(Debug, Clone, Args)]
pub struct Churn {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// What.
    #[arg(value_enum)]
    kind: Kind,
    /// How long, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How many at once.
    #[arg(long, default_value_t = 8)]
    threads: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Connect, open a channel, close the connection.
    Connections,
    /// Open a channel and close it.
    Channels,
    /// Declare a transient queue and delete it.
    Queues,
}

/// Prints how many were opened and closed in what time.
pub fn run(churn: &Churn) -> anyhow::Result<()> {
    let started = Instant::now();
    let end = started + Duration::try_from_secs_f64(churn.seconds)?;
    let count = std::thread::scope(|scope| {
        let start = |thread| scope.spawn(move || turn_over(churn, thread, end));
        let threads: Vec<_> = (0..churn.threads).map(start).collect();
        let mut count = 0;
        for thread in threads {
            match thread.join() {
                Ok(done) => count += done?,
                Err(_) => bail!("a thread panicked"),
            }
        }
        Ok(count)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"count\": {count}, \"seconds\": {seconds:.6}}}");
    Ok(())
}

fn turn_over(churn: &Churn, thread: u64, end: Instant) -> anyhow::Result<u64> {
    let mut count = 0;
    let mut connection = Connection::connect(&churn.uri)?;
    let channel = connection.open_channel()?;
    while Instant::now() < end {
        match churn.kind {
            Kind::Connections => {
                let mut connection = Connection::connect(&churn.uri)?;
                connection.open_channel()?;
                connection.close()?;
            }
            Kind::Channels => match connection.open_channel() {
                Ok(channel) => connection.close_channel(channel)?,
                // Its numbers are used up.
                Err(leveret_client::Error::NoChannel) => {
                    connection = Connection::connect(&churn.uri)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            },
            Kind::Queues => {
                let queue = format!("churn-{thread}-{count}");
                connection.declare_queue(channel, &queue, &QueueOptions::default())?;
                connection.delete_queue(channel, &queue)?;
            }
        }
        count += 1;
    }
    Ok(count)
}
