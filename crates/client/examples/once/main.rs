//! The proof of once and only once: payments are fed into a queue that deduplicates, and a worker
//! moves each to another queue in a transaction. The worker is killed at random, the feeder loses
//! its connection, and now and then the broker is killed and started again; whoever does not know
//! what became of a payment publishes it again. At the end each payment is in the second queue
//! exactly once, and nothing else is.
//!
//! Payments are let go in step with the kills, so that every kill meets a worker at work.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

#[path = "../crash/broker.rs"]
#[allow(dead_code, reason = "the crash proof uses all of it")]
mod broker;
mod feeder;
#[path = "../crash/random.rs"]
#[allow(dead_code, reason = "the crash proof uses all of it")]
mod random;
mod worker;

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use leveret_client::wire::amqp091::table::FieldTable;
use leveret_client::{Connection, ConsumeOptions, Incoming, QueueOptions};

use broker::{Broker, Program};
use feeder::Feeder;
use random::Random;

const SOURCE: &str = "payments";
const TARGET: &str = "booked";
/// How long nothing may happen before the proof is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Moves payments between two queues while everything is killed, and counts them at the end.
#[derive(Debug, Parser)]
struct Options {
    /// How many payments.
    #[arg(long, default_value_t = 3_000)]
    payments: u64,
    /// How often the worker is killed.
    #[arg(long, default_value_t = 15)]
    kills: u64,
    /// The broker is killed too, every so many times.
    #[arg(long, default_value_t = 5)]
    broker_every: u64,
    /// Where chance begins; processes and disks add their own.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The longest time between two kills, in milliseconds.
    #[arg(long, default_value_t = 250)]
    life_max: u64,
    /// The binary of Leveret.
    #[arg(long, env = "LEVERET_BIN")]
    leveret: PathBuf,
    /// Declares the source without deduplication, to see the proof fail.
    #[arg(long)]
    plain: bool,
    /// Works for a broker at this address instead; the proof starts itself so.
    #[arg(long, hide = true)]
    work_at: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(uri) = &options.work_at {
        worker::run(uri)?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = std::env::temp_dir().join(format!("leveret-once-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let binary = std::fs::canonicalize(&options.leveret)
        .with_context(|| format!("{:?}", options.leveret))?;
    let broker = Broker::new(Program::Leveret(binary, Vec::new()), &directory)?;
    let mut proof = Proof { random: Random::of(options.seed, 0), options, broker, worker: None };
    let faults = proof.run()?;
    for fault in &faults {
        println!("FAIL {fault}");
    }
    drop(proof);
    std::fs::remove_dir_all(&directory)?;
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Proof {
    options: Options,
    random: Random,
    broker: Broker,
    worker: Option<Child>,
}

impl Proof {
    fn run(&mut self) -> anyhow::Result<Vec<String>> {
        let started = Instant::now();
        self.broker.start()?;
        self.declare()?;
        let feeder = Arc::new(Feeder::new(self.options.payments));
        let feeding = {
            let (feeder, uri) = (Arc::clone(&feeder), self.broker.uri());
            std::thread::spawn(move || feeder.run(&uri))
        };
        let broker_kills = self.kill_and_kill_again(&feeder)?;
        feeder.allowed.store(self.options.payments, SeqCst);
        self.finish()?;
        ensure!(feeding.join().is_ok(), "the feeder panicked");
        self.kill_worker()?;
        let faults = self.judge()?;
        println!(
            "{} payments in {:.0} s; the worker was killed {} times, the broker {broker_kills} \
             times; the feeder lost its connection {} times and published {} payments again",
            self.options.payments,
            started.elapsed().as_secs_f64(),
            self.options.kills,
            feeder.losses.load(Relaxed),
            feeder.repeated.load(Relaxed),
        );
        self.broker.stop()?;
        Ok(faults)
    }

    fn declare(&self) -> anyhow::Result<()> {
        let mut connection = Connection::connect(&self.broker.uri())?;
        let channel = connection.open_channel()?;
        let mut arguments = FieldTable::new();
        if !self.options.plain {
            arguments.insert("x-message-deduplication", true);
            arguments.insert("x-cache-size", 10_000);
        }
        let durable = QueueOptions { durable: true, ..QueueOptions::default() };
        let source = QueueOptions { arguments, ..durable.clone() };
        connection.declare_queue(channel, SOURCE, &source)?;
        connection.declare_queue(channel, TARGET, &durable)?;
        connection.close()?;
        Ok(())
    }

    /// All kills, at random times; how often it was the broker's turn too.
    fn kill_and_kill_again(&mut self, feeder: &Feeder) -> anyhow::Result<u64> {
        let (kills, payments) = (self.options.kills, self.options.payments);
        let mut of_broker = 0;
        for kill in 1..=kills {
            feeder.allowed.store(payments * kill / (kills + 1), SeqCst);
            self.start_worker()?;
            let life = self.random.between(20, self.options.life_max.max(21));
            std::thread::sleep(Duration::from_millis(life));
            if self.random.once_in(4) {
                feeder.hang_up.store(true, SeqCst);
            }
            if kill % self.options.broker_every == 0 {
                of_broker += 1;
                self.broker.kill()?;
                self.broker.start()?;
            }
            self.kill_worker()?;
        }
        Ok(of_broker)
    }

    fn start_worker(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--leveret").arg(&self.options.leveret).arg("--work-at").arg(self.broker.uri());
        // It complains when the broker is killed first.
        command.stdin(Stdio::null()).stderr(Stdio::null());
        self.worker = Some(command.spawn()?);
        Ok(())
    }

    /// As `kill -9` does.
    fn kill_worker(&mut self) -> anyhow::Result<()> {
        if let Some(mut worker) = self.worker.take() {
            worker.kill()?;
            worker.wait()?;
        }
        Ok(())
    }

    /// Lets a worker work until there is nothing left.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.start_worker()?;
        let mut connection = Connection::connect(&self.broker.uri())?;
        let channel = connection.open_channel()?;
        let passive = QueueOptions { passive: true, ..QueueOptions::default() };
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let moved = connection.declare_queue(channel, TARGET, &passive)?.message_count;
            if u64::from(moved) >= self.options.payments {
                break;
            }
            if moved != before {
                (before, since) = (moved, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                println!("only {moved} payments have arrived");
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // What is too much needs a moment too.
        std::thread::sleep(Duration::from_millis(500));
        connection.close()?;
        Ok(())
    }

    /// Takes everything, and says what is missing, and what is there more than once.
    fn judge(&self) -> anyhow::Result<Vec<String>> {
        let mut connection = Connection::connect(&self.broker.uri())?;
        let channel = connection.open_channel()?;
        let mut faults = Vec::new();
        let passive = QueueOptions { passive: true, ..QueueOptions::default() };
        let left = connection.declare_queue(channel, SOURCE, &passive)?.message_count;
        if left > 0 {
            faults.push(format!("{left} payments are still in the source"));
        }
        let arrived = connection.declare_queue(channel, TARGET, &passive)?.message_count;
        connection.consume(channel, TARGET, &ConsumeOptions::default())?;
        let mut times = vec![0_u32; usize::try_from(self.options.payments)?];
        for _ in 0..arrived {
            let Some(Incoming::Delivery(delivery)) = connection.next(PATIENCE)? else {
                bail!("the target does not give what it has");
            };
            connection.ack(channel, delivery.delivery_tag, false)?;
            let number = feeder::number(&delivery.body);
            match number.and_then(|number| times.get_mut(usize::try_from(number).ok()?)) {
                Some(count) => *count += 1,
                None => faults.push(format!("no payment: {:?}", delivery.body)),
            }
        }
        let with = |count: fn(u32) -> bool| times.iter().filter(|times| count(**times)).count();
        let (missing, doubled) = (with(|times| times == 0), with(|times| times > 1));
        if missing + doubled > 0 {
            faults.push(format!("{missing} payments are missing, {doubled} are doubled"));
        }
        println!("{arrived} in the target: {missing} missing, {doubled} doubled");
        connection.close()?;
        Ok(faults)
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        // Whatever went wrong, nothing is left running.
        let _ = self.kill_worker();
    }
}
