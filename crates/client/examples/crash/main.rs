//! The proof by `kill -9`: a broker is loaded, killed and started again on its data, over and over,
//! and whatever it confirmed has to be there. See `ledger` for the rules.
//!
//! A round: eight publishers in confirm mode, four consumers that acknowledge in different manners,
//! a transactional worker, and one that changes definitions, each with a connection of its own,
//! until the broker is killed after a random time. After the restart definitions and counts are
//! compared; after the last round everything is drained and judged, then the broker is killed once
//! more, and what was drained must not come back.

#![allow(clippy::print_stdout, reason = "a command-line tool")]
#![allow(clippy::indexing_slicing, reason = "a tool that may fail")]

mod broker;
mod consumer;
mod definitions;
mod drain;
mod ledger;
mod message;
mod publisher;
mod random;
mod round;
mod topology;
mod transactor;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use leveret_client::Connection;

use broker::{Broker, Program};
use definitions::Definitions;
use ledger::{Kind, Ledger, Round, Sums};
use round::Load;

/// How many faults are told in full.
const TOLD_MAX: usize = 30;

/// Kills a broker under load, over and over, and checks that it kept what it confirmed.
#[derive(Debug, Parser)]
struct Options {
    /// How often the broker is killed.
    #[arg(long, default_value_t = 10)]
    rounds: Round,
    /// Where chance begins; threads and disks add their own.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The binary of Leveret.
    #[arg(long, env = "LEVERET_BIN", required_unless_present = "rabbitmq")]
    leveret: Option<PathBuf>,
    /// RabbitMQ's server script, to run the proof on RabbitMQ instead of Leveret.
    #[arg(long)]
    rabbitmq: Option<PathBuf>,
    /// Sets a configuration key of Leveret; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Makes Leveret's log as small as can be, so that it goes round all the time.
    #[arg(long)]
    small_log: bool,
    /// Keeps data and output in this directory, which must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The shortest time until the kill, in milliseconds.
    #[arg(long, default_value_t = 50)]
    life_min: u64,
    /// The longest.
    #[arg(long, default_value_t = 800)]
    life_max: u64,
    /// How many messages may be in the queues before publishers pause.
    #[arg(long, default_value_t = 12_000)]
    backlog: i64,
    /// Counts faults of these kinds, but does not fail for them.
    #[arg(long, value_delimiter = ',')]
    tolerate: Vec<Kind>,
    /// Goes on after a round with faults, declaring anew what is gone.
    #[arg(long)]
    go_on: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let directory = directory(&options)?;
    let program = match (&options.rabbitmq, &options.leveret) {
        (Some(script), _) => Program::RabbitMq(script.clone()),
        (None, Some(binary)) => {
            let mut settings = options.set.clone();
            if options.small_log {
                settings.push("storage.log_file_size=1MiB".to_owned());
                settings.push("storage.log_files=4".to_owned());
            }
            let binary = std::fs::canonicalize(binary).with_context(|| format!("{binary:?}"))?;
            Program::Leveret(binary, settings)
        }
        (None, None) => anyhow::bail!("there is no broker to run"),
    };
    let mut proof = Proof {
        load: Load {
            seed: options.seed,
            one_log: options.rabbitmq.is_none(),
            backlog_max: options.backlog,
            life_ms: (options.life_min, options.life_max.max(options.life_min)),
        },
        broker: Broker::new(program, &directory)?,
        ledger: Ledger::default(),
        definitions: Definitions::default(),
        ready: Vec::new(),
        told: 0,
        options,
    };
    let started = Instant::now();
    let ended = proof.run();
    let sound = proof.tell_faults();
    if let Err(error) = &ended {
        println!("FAIL {error:#}");
    }
    proof.summary(started.elapsed());
    let sound = sound && ended.is_ok();
    drop(proof.broker);
    if sound && proof.options.keep.is_none() {
        std::fs::remove_dir_all(&directory)?;
    } else {
        println!("data and output are in {}", directory.display());
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn directory(options: &Options) -> anyhow::Result<PathBuf> {
    let directory = options.keep.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("leveret-crash-{}", std::process::id()))
    });
    std::fs::create_dir_all(&directory)?;
    anyhow::ensure!(std::fs::read_dir(&directory)?.next().is_none(), "{directory:?} is not empty");
    Ok(std::fs::canonicalize(directory)?)
}

struct Proof {
    options: Options,
    load: Load,
    broker: Broker,
    ledger: Ledger,
    definitions: Definitions,
    /// How long the broker took to get ready after each kill.
    ready: Vec<Duration>,
    /// How many faults have been told.
    told: usize,
}

impl Proof {
    fn run(&mut self) -> anyhow::Result<()> {
        for round in 1..=self.options.rounds {
            let ready = self.begin(round)?;
            if self.must_stop() {
                return Ok(());
            }
            let before = (self.ledger.sums, self.definitions.changes);
            let (load, broker) = (&self.load, &mut self.broker);
            let life = round::run(load, round, broker, &mut self.ledger, &mut self.definitions)?;
            self.tell_round(round, before, life, ready);
            if self.must_stop() {
                return Ok(());
            }
        }
        let last = self.options.rounds + 1;
        self.begin(last)?;
        drain::drain(&self.broker.uri(), last, &mut self.ledger)?;
        self.ledger.finish();
        self.broker.kill()?;
        self.begin(last + 1)?;
        self.broker.stop()?;
        Ok(())
    }

    /// Starts the broker and compares what it kept.
    fn begin(&mut self, round: Round) -> anyhow::Result<Duration> {
        let ready = self.broker.start().with_context(|| format!("before round {round}"))?;
        let uri = self.broker.uri();
        if round > 1 {
            self.ready.push(ready);
            let all = drain::compare(&uri, round, &mut self.ledger)?;
            for wrong in self.definitions.verify(&uri)? {
                self.ledger.fault(Kind::Definition, format!("before round {round}: {wrong}"));
            }
            if all {
                return Ok(ready);
            }
        }
        let mut connection = Connection::connect(&uri)?;
        let channel = connection.open_channel()?;
        topology::declare(&mut connection, channel)?;
        connection.close()?;
        Ok(ready)
    }

    /// Tells new faults; whether they end the run.
    fn must_stop(&mut self) -> bool {
        !self.tell_faults() && !self.options.go_on
    }

    /// Tells faults that have not been told; whether there were none at all that count.
    fn tell_faults(&mut self) -> bool {
        let counts = |kind: &Kind| !self.options.tolerate.contains(kind);
        for fault in self.ledger.faults.iter().skip(self.told) {
            self.told += 1;
            if self.told <= TOLD_MAX {
                println!("{} {fault}", if counts(&fault.kind) { "FAIL" } else { "tolerated" });
            }
        }
        !self.ledger.faults.iter().any(|fault| counts(&fault.kind))
    }

    fn tell_round(&self, round: Round, before: (Sums, u64), life: Duration, ready: Duration) {
        let (now, (was, changes)) = (self.ledger.sums, before);
        println!(
            "round {round}: ready in {} ms, killed after {} ms: published {}, confirmed {}, \
             acked {} ({} for certain), came back {}, committed {}, definitions {}",
            ready.as_millis(),
            life.as_millis(),
            now.sent - was.sent,
            now.confirmed - was.confirmed,
            now.acked - was.acked,
            now.certain - was.certain,
            now.came_back - was.came_back,
            now.committed - was.committed,
            self.definitions.changes - changes,
        );
    }

    fn summary(&mut self, took: Duration) {
        self.ready.sort_unstable();
        let at = |share: usize| self.ready.get(self.ready.len() * share / 100).copied();
        let ms = |time: Option<Duration>| time.unwrap_or_default().as_millis();
        let sums = self.ledger.sums;
        println!(
            "{} kills in {:.0} s: published {}, confirmed {}, acked {} ({} for certain), \
             delivered {}, came back {}; {} transactions committed, {} cut off ({} of them whole); \
             {} definitions; ready after a kill in {} ms (median), {} ms (longest)",
            self.ready.len(),
            took.as_secs_f64(),
            sums.sent,
            sums.confirmed,
            sums.acked,
            sums.certain,
            sums.delivered,
            sums.came_back,
            sums.committed,
            sums.cut_off,
            sums.cut_off_whole,
            self.definitions.changes,
            ms(at(50)),
            ms(self.ready.last().copied()),
        );
        let mut kinds: Vec<(Kind, usize)> = Vec::new();
        for fault in &self.ledger.faults {
            match kinds.iter_mut().find(|(kind, _)| *kind == fault.kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((fault.kind, 1)),
            }
        }
        let faults: Vec<_> =
            kinds.iter().map(|(kind, count)| format!("{count} {kind:?}")).collect();
        let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
        println!("faults: {faults}");
    }
}
