//! Declaring many durable queues, over many connections or in a pipeline over one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;
use leveret_client::wire::amqp091::frame::Event;
use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::table::Table;
use leveret_client::{Closed, Connection};

/// What to declare, and how.
#[derive(Debug, Clone, Args)]
pub struct Declaration {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// How many queues.
    #[arg(long, default_value_t = 100_000)]
    queues: u64,
    /// Name of the queues; each gets a number behind it.
    #[arg(long, default_value = "many")]
    queue: String,
    /// Connections, each a thread.
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// Declares that each connection sends before it waits for their answers.
    #[arg(long, default_value_t = 1)]
    pipeline: u64,
    /// Ends after so many seconds, however many are declared then.
    #[arg(long, default_value_t = 3600.0)]
    seconds: f64,
}

/// Declares them; prints how many in what time.
pub fn run(declaration: &Declaration) -> anyhow::Result<()> {
    ensure!(declaration.pipeline > 0 && declaration.connections > 0, "there is nothing to do");
    let connect = |_| Connection::connect(&declaration.uri);
    let connections: Result<Vec<_>, _> = (0..declaration.connections).map(connect).collect();
    let next = AtomicU64::new(0);
    let declared = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for connection in connections? {
            threads.push(scope.spawn(|| declare(declaration, connection, &next, &declared)));
        }
        for thread in threads {
            match thread.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("a thread panicked"),
            }
        }
        anyhow::Ok(())
    })?;
    let (declared, seconds) = (declared.into_inner(), started.elapsed().as_secs_f64());
    println!("{{\"declared\": {declared}, \"seconds\": {seconds:.6}}}");
    Ok(())
}

fn declare(
    declaration: &Declaration,
    mut connection: Connection,
    next: &AtomicU64,
    declared: &AtomicU64,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::try_from_secs_f64(declaration.seconds)?;
    let channel = connection.open_channel()?;
    let (mut sender, mut receiver) = connection.split()?;
    let mut frames = Vec::new();
    while Instant::now() < deadline {
        let first = next.fetch_add(declaration.pipeline, Relaxed);
        let end = declaration.queues.min(first + declaration.pipeline);
        if first >= end {
            break;
        }
        frames.clear();
        for number in first..end {
            let queue = &format!("{}-{number}", declaration.queue);
            let (passive, durable, exclusive, auto_delete) = (false, true, false, false);
            let (no_wait, arguments) = (false, Table::EMPTY);
            #[rustfmt::skip]
            Method::QueueDeclare {
                queue, passive, durable, exclusive, auto_delete, no_wait, arguments,
            }
            .encode_frame(channel.0, &mut frames);
        }
        sender.write(&frames)?;
        let mut answers = 0;
        while answers < end - first {
            ensure!(receiver.read()?, "the broker closed the connection");
            receiver.drain(|event| {
                let Event::Method { channel, payload } = event else { return Ok(()) };
                let method = Method::decode(payload)?;
                answers += u64::from(matches!(method, Method::QueueDeclareOk { .. }));
                Closed::of_method(channel, &method).map_or(Ok(()), Err)
            })?;
        }
        declared.fetch_add(answers, Relaxed);
    }
    Ok(())
}
