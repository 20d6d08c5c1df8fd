//! One life of the broker under load: threads work until it is killed under them.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::Scope;
use std::time::Duration;

use leveret_client::Error;

use super::broker::Broker;
use super::definitions::Definitions;
use super::ledger::{Fault, Kind, Ledger, Log, Round};
use super::message::Id;
use super::random::Random;
use super::topology::{COMMON, Queue, TX_A};
use super::{consumer, publisher, transactor};

/// Publishing connections; they have the first numbers as publishers.
const PUBLISHERS: u8 = 8;
/// Consuming connections; they publish with the numbers after.
const CONSUMERS: u8 = 4;
/// The publisher of what the transactions take.
const SEEDS: u8 = PUBLISHERS + CONSUMERS;
/// The publisher of what they make.
const MADE: u8 = SEEDS + 1;

/// What all threads of a round share.
#[derive(Debug)]
pub struct Shared {
    /// Where the broker is.
    pub uri: String,
    /// How long a thread without work waits for something to come.
    pub tick: Duration,
    /// Whether a confirm says that everything sent before it on its channel is durable, or only
    /// what concerns its own queue.
    pub one_log: bool,
    /// About how many messages are in the common queues.
    pub backlog: AtomicI64,
    /// How many there may be before publishers pause.
    pub backlog_max: i64,
    /// The largest window of a publisher. Small ones leave the others more of the broker.
    pub window_max: u64,
    /// How many messages wait for transactions at the start.
    pub transactions_waiting: u64,
    killed: AtomicBool,
}

impl Shared {
    /// Whether there is room for more messages.
    pub fn may_publish(&self) -> bool {
        self.backlog.load(Relaxed) < self.backlog_max
    }
}

/// What stays the same from round to round.
#[derive(Debug)]
pub struct Load {
    /// Where chance begins.
    pub seed: u64,
    /// See [`Shared`].
    pub one_log: bool,
    /// See [`Shared`].
    pub backlog_max: i64,
    /// The shortest and the longest time until the kill, in milliseconds.
    pub life_ms: (u64, u64),
}

/// Runs one round on a broker that is ready: load, kill, and the ledger brought up to date.
/// Returns after how long it was killed.
pub fn run(
    load: &Load,
    round: Round,
    broker: &mut Broker,
    ledger: &mut Ledger,
    definitions: &mut Definitions,
) -> anyhow::Result<Duration> {
    let mut random = Random::of(load.seed, u64::from(round) << 8);
    let life = Duration::from_millis(random.between(load.life_ms.0, load.life_ms.1));
    let backlog: u64 = (0..COMMON).map(|queue| ledger.bounds(queue).0).sum();
    let shared = Shared {
        uri: broker.uri(),
        tick: Duration::from_millis(2),
        one_log: load.one_log,
        backlog: AtomicI64::new(backlog as i64),
        backlog_max: load.backlog_max,
        window_max: [5, 50, 200][random.below(3) as usize],
        transactions_waiting: ledger.bounds(TX_A).0,
        killed: AtomicBool::new(false),
    };
    let skip_queues = (backlog as i64) < load.backlog_max / 2;
    let shares = shares(skip_queues, &mut random);
    let logs = std::thread::scope(|scope| {
        let threads = start(scope, &shared, ledger, shares, |who| {
            Random::of(load.seed, u64::from(round) << 8 | u64::from(who))
        });
        let mut random = random.clone();
        let shared = &shared;
        let changing = scope.spawn(move || {
            let mut log = Log { who: "the definer".to_owned(), ..Log::default() };
            let ended = definitions.run(shared, &mut random);
            judge(shared, &mut log, ended);
            log
        });
        std::thread::sleep(life);
        let alone = broker.ended()?;
        shared.killed.store(alone.is_none(), SeqCst);
        if alone.is_none() {
            broker.kill()?;
        }
        let mut logs = vec![changing.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?];
        for thread in threads {
            logs.push(thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?);
        }
        if let Some(status) = alone {
            let text = format!("round {round}: the broker ended by itself with {status}");
            logs[0].faults.push(Fault { kind: Kind::Failed, text });
        }
        anyhow::Ok(logs)
    })?;
    ledger.take(round, logs);
    Ok(life)
}

/// Which queues each consumer takes from; the first queue has two consumers. Sometimes a queue is
/// left alone, so that it grows.
fn shares(skip: bool, random: &mut Random) -> [Vec<Queue>; CONSUMERS as usize] {
    let mut shares: [Vec<Queue>; CONSUMERS as usize] = Default::default();
    for queue in 0..COMMON {
        if !(skip && random.once_in(5)) {
            shares[queue % CONSUMERS as usize].push(queue);
        }
    }
    shares[1].push(0);
    shares
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    ledger: &Ledger,
    mut shares: [Vec<Queue>; CONSUMERS as usize],
    random: impl Fn(u8) -> Random,
) -> Vec<std::thread::ScopedJoinHandle<'scope, Log>> {
    let first = |publisher| Id { publisher, number: ledger.next_number(publisher) };
    let mut threads = Vec::new();
    for who in 0..PUBLISHERS {
        let (first, mut random) = (first(who), random(who));
        threads.push(scope.spawn(move || {
            let mut log = Log { who: format!("publisher {who}"), ..Log::default() };
            let ended = publisher::run(shared, &mut log, &mut random, first);
            judge(shared, &mut log, ended);
            log
        }));
    }
    for (share, who) in shares.iter_mut().zip(PUBLISHERS..) {
        let (first, mut random, share) = (first(who), random(who), std::mem::take(share));
        threads.push(scope.spawn(move || {
            let mut log = Log { who: format!("consumer {}", who - PUBLISHERS), ..Log::default() };
            let ended = consumer::run(shared, &mut log, &mut random, (share, first));
            judge(shared, &mut log, ended);
            log
        }));
    }
    let (firsts, mut random) = ((first(SEEDS), first(MADE)), random(SEEDS));
    threads.push(scope.spawn(move || {
        let mut log = Log { who: "the transactional worker".to_owned(), ..Log::default() };
        let ended = transactor::run(shared, &mut log, &mut random, firsts);
        judge(shared, &mut log, ended);
        log
    }));
    threads
}

/// A thread ends with a failed connection; that is wrong if the broker was not killed.
fn judge(shared: &Shared, log: &mut Log, ended: Result<(), Error>) {
    let Err(error) = ended else { return };
    let lost = matches!(error, Error::Io(_) | Error::Disconnected);
    if !(lost && shared.killed.load(SeqCst)) {
        log.faults.push(Fault { kind: Kind::Failed, text: format!("{}: {error}", log.who) });
    }
}
