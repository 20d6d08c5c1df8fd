//! One seed: a broker that is used at random over several lives.

use std::sync::Arc;

use leveret_broker::ids::{QueueId, Seq, Timestamp};
use leveret_broker::log::{Entry, Recovered};
use leveret_broker::queue::Settlement;
use leveret_server::durable::{OpenedLog, StoreLog};
use leveret_store::disk::{Fault, FaultyDisk, Kind, Random};
use leveret_store::{Committed, Durability, Options, Report, Upkeep};

use crate::client::Client;
use crate::ledger::{Ledger, TRANSIENT};
use crate::model::State;
use crate::world::World;

macro_rules! totals {
    ($($name:ident),*) => {
        /// What happened.
        #[derive(Debug, Default)]
        pub struct Totals { $(pub $name: u64),* }

        impl Totals {
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

totals! {
    crashes, crashes_in_recovery, clean_stops, torn, segments, checkpoints, fatal, full, batches,
    groups, delivered, loads, acts_done, acts_undone, redelivered, drained, operations
}

/// What can go wrong at an operation.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    None,
    PowerLoss,
    Fault(Fault),
}

pub struct Scenario {
    random: Random,
    disk: FaultyDisk,
    options: Options,
    /// Every group that may have survived, with its batch.
    groups: Vec<(u64, Vec<Entry>)>,
    /// The state before `groups`.
    state: State,
    ledger: Ledger,
    next_id: u64,
    now: u64,
    lossy: bool,
    totals: Totals,
    /// What goes wrong in the only life, instead of what chance says.
    forced: Option<(u64, Trouble)>,
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let durability = if random.once_in(10) { Durability::Os } else { Durability::Sync };
        let options = Options {
            durability,
            log_file_size: 4096 * (4 + random.below(28)),
            log_files: 4 + random.below(4) as usize,
            batch_size: 1024 << random.below(6),
            extent_size: 4096 << random.below(3),
            log_messages_max: 4 + random.below(200) as usize,
            kept_files: random.below(4) as usize,
            seed: [0; 16],
        };
        // A seed of its own: both draw by the same generator.
        let disk = FaultyDisk::new(random.number());
        disk.set_direct(!random.once_in(4));
        disk.set_garbage(random.once_in(2));
        let lossy = random.once_in(2);
        Self {
            random,
            disk,
            options,
            groups: Vec::new(),
            state: State::default(),
            ledger: Ledger::default(),
            next_id: 1,
            now: 1_000_000,
            lossy,
            totals: Totals::default(),
            forced: None,
        }
    }

    /// The scenario of a seed with one thing that goes wrong, at the given operation of its disk.
    pub fn with_trouble(seed: u64, at: u64, trouble: Trouble) -> Self {
        Self { forced: Some((at, trouble)), ..Self::new(seed) }
    }

    pub fn run(mut self) -> Totals {
        let lives = if self.forced.is_some() { 1 } else { 2 + self.random.below(3) };
        self.plan_forced();
        for _ in 0..lives {
            if let Some((log, recovered)) = self.restart() {
                self.live(&log, recovered);
            }
        }
        let (log, recovered) = self.restart_surely();
        self.drain(&log, recovered);
        self.totals.acts_done = self.ledger.done;
        self.totals.acts_undone = self.ledger.undone;
        self.totals.redelivered = self.ledger.redelivered;
        self.totals.operations = self.disk.operations();
        self.totals
    }

    // Restarts.

    /// The power fails, or the process dies.
    fn crash(&mut self) {
        self.totals.crashes += 1;
        // Without syncs only the death of the process is survived.
        if self.options.durability == Durability::Os || self.random.once_in(3) {
            self.disk.kill();
        } else {
            self.disk.crash();
        }
        self.disk.crash_at(u64::MAX);
        self.disk.heal();
        self.disk.set_capacity(1 << 40);
    }

    fn open(&mut self) -> Result<OpenedLog, leveret_store::OpenError> {
        let mut options = self.options.clone();
        options.seed[..8].copy_from_slice(&self.random.number().to_le_bytes());
        StoreLog::open(Arc::new(self.disk.clone()), options)
    }

    /// Starts; the power may fail meanwhile, and then again.
    fn restart(&mut self) -> Option<(Arc<StoreLog>, Recovered)> {
        for _ in 0..3 {
            let forced = self.forced.is_some();
            if !forced && self.random.once_in(4) {
                self.disk.crash_at(self.disk.operations() + 1 + self.random.below(60));
            }
            let fails = !forced && self.random.once_in(5);
            if fails {
                self.disk.fail(self.disk.operations() + self.random.below(60), Fault::Eio);
            }
            match self.open() {
                Ok(opened) if !self.disk.is_off() => {
                    if !forced {
                        self.disk.crash_at(u64::MAX);
                        self.disk.heal();
                    }
                    return Some(self.recovered(opened));
                }
                Ok(_) => {}
                Err(_) if (fails || forced) && !self.disk.is_off() => {
                    // Nothing was changed: the next start finds all.
                    self.disk.heal();
                    continue;
                }
                Err(error) => assert!(self.disk.is_off(), "cannot open: {error}"),
            }
            self.totals.crashes_in_recovery += 1;
            self.crash();
        }
        None
    }

    fn restart_surely(&mut self) -> (Arc<StoreLog>, Recovered) {
        self.disk.heal();
        self.disk.crash_at(u64::MAX);
        match self.open() {
            Ok(opened) => self.recovered(opened),
            Err(error) => panic!("cannot open: {error}\n{}", self.disk.trace()),
        }
    }

    /// Compares what was found with what must be there.
    fn recovered(&mut self, opened: OpenedLog) -> (Arc<StoreLog>, Recovered) {
        let OpenedLog { log, recovered, report } = opened;
        assert!(report.damages.is_empty(), "{:?}", report.damages);
        let last = log.store().durable();
        for (batch, group) in std::mem::take(&mut self.groups) {
            if batch <= last {
                group.iter().for_each(|entry| self.state.apply(entry));
            }
        }
        self.state.check(&recovered, &log);
        self.ledger.restart(&self.state, last);
        self.count(&report);
        (log, recovered)
    }

    fn count(&mut self, report: &Report) {
        self.totals.torn += u64::from(report.torn.is_some());
        self.totals.segments += report.segments;
        let names = self.disk.names();
        let written = names.iter().any(|name| name.contains("definitions"));
        self.totals.checkpoints += u64::from(written);
    }

    // A life.

    fn plan_forced(&mut self) {
        match self.forced {
            Some((at, Trouble::PowerLoss)) => self.disk.crash_at(at),
            Some((at, Trouble::Fault(fault))) => self.disk.fail(at, fault),
            _ => {}
        }
    }

    fn plan_trouble(&mut self) {
        let soon = self.disk.operations() + 1 + self.random.below(200);
        match self.random.below(9) {
            0..=2 => self.disk.crash_at(soon),
            3 => self.disk.fail(soon, Fault::Eio),
            4 => self.disk.fail(soon, Fault::ShortWrite),
            5 => self.disk.fail(soon, Fault::Enospc),
            6 => {
                let sync = self.disk.operations_of(Kind::Sync) + self.random.below(40);
                let fault = if self.random.once_in(2) { Fault::Eio } else { Fault::Late };
                self.disk.fail_kind(Kind::Sync, sync, fault);
            }
            7 => self.disk.fail_from(soon, Fault::Enospc, &[Kind::Write, Kind::Allocate]),
            _ => {}
        }
    }

    fn live(&mut self, log: &Arc<StoreLog>, recovered: Recovered) {
        if self.forced.is_none() {
            self.plan_trouble();
        }
        let mut world = World::new(log, recovered, Timestamp(self.now));
        let mut alive = true;
        for _ in 0..20 + self.random.below(150) {
            alive = alive && !self.disk.is_off() && self.step(&mut world);
            if !alive {
                break;
            }
        }
        let clean = alive && !self.disk.is_off() && self.random.once_in(4);
        let stopped = clean && self.stop(&mut world);
        let confirmed = log.store().durable();
        self.groups.extend(world.recorder.take());
        self.totals.groups += self.groups.len() as u64;
        self.now = world.now.0;
        drop(world);
        self.crash();
        let Ok(opened) = self.open() else { panic!("cannot open\n{}", self.disk.trace()) };
        let (last, records) = (opened.log.store().durable(), opened.report.records);
        assert!(last >= confirmed, "{confirmed} was durable, and {last} is the last");
        assert!(!stopped || records == 0, "{records} records after a stop in good order");
        self.recovered(opened);
        self.disk.kill();
    }

    /// A stop in good order: connections end, all becomes durable. False if the disk refuses.
    fn stop(&mut self, world: &mut World) -> bool {
        world.receive_all(&mut self.ledger);
        let mut client = self.client(world);
        let consumers: Vec<_> = client.world.consumers.keys().copied().collect();
        for id in consumers {
            let queue = Arc::clone(&client.world.consumers[&id].queue);
            client.world.broker.cancel(&queue, id, client.world.now);
        }
        client.world.receive_all(client.ledger);
        client.world.consumers.clear();
        let held: Vec<(QueueId, Seq)> = client.world.held.keys().copied().collect();
        for (queue, seq) in held {
            let queue = Arc::clone(&client.world.held[&(queue, seq)].queue);
            client.settle_these(&queue, &[seq], Settlement::Requeue);
        }
        world.broker.settle_marks(world.now);
        let stopped = world.store.close().is_ok();
        self.totals.clean_stops += u64::from(stopped);
        stopped
    }

    fn client<'a>(&'a mut self, world: &'a mut World) -> Client<'a> {
        let Self { ledger, random, next_id, lossy, .. } = self;
        Client { world, ledger, random, next_id, lossy: *lossy }
    }

    /// One step; false once the process must end.
    fn step(&mut self, world: &mut World) -> bool {
        let mut client = self.client(world);
        match client.random.below(64) {
            0..=15 => client.publish(),
            16..=18 => client.declare_queue(),
            19 => client.declare_exchange(),
            20..=22 => client.bind(true),
            23 => match client.random.below(6) {
                0 => client.delete_queue(),
                1 => client.delete_exchange(),
                2 => client.purge(),
                _ => client.bind(false),
            },
            24 | 25 => client.consume(),
            26 => client.cancel(),
            27..=30 => client.get(),
            31..=37 => client.settle(),
            38..=41 => client.transaction(),
            other => {
                let alive = self.work(world, other);
                self.totals.delivered += world.receive_all(&mut self.ledger);
                return alive;
            }
        }
        self.totals.delivered += world.receive_all(&mut self.ledger);
        true
    }

    /// A step of the server's own.
    fn work(&mut self, world: &mut World, which: u64) -> bool {
        match which {
            42..=45 => self.totals.loads += u64::from(world.broker.load_next(world.now)),
            46 => world.broker.page_out(world.now),
            47 => world
                .broker
                .set_memory_budget([1, 100_000, u64::MAX][self.random.below(3) as usize]),
            48 | 49 => {
                world.now = world.now.after(10 * (1 + self.random.below(30)));
                world.broker.tick(world.now);
            }
            50..=57 => match world.store.commit() {
                Ok(Committed::Batch(_)) => self.totals.batches += 1,
                Ok(Committed::Nothing) => {}
                Ok(Committed::NoRoom(_)) => {
                    self.totals.full += 1;
                    if self.random.once_in(2) {
                        self.disk.heal();
                    }
                }
                Err(_) => {
                    self.totals.fatal += 1;
                    return false;
                }
            },
            _ => {
                let reclaim = self.random.once_in(2);
                // What upkeep cannot do now it tries again.
                let _: std::io::Result<Upkeep> = world.store.upkeep(reclaim);
            }
        }
        true
    }

    // The end.

    /// Everything that is there comes out through consumers, and nothing else.
    fn drain(&mut self, log: &Arc<StoreLog>, recovered: Recovered) {
        let mut world = World::new(log, recovered, Timestamp(self.now));
        if self.random.once_in(2) {
            world.broker.set_memory_budget(1);
        }
        for queue in world.queues().iter().filter(|queue| queue.is_durable()) {
            world.consume(queue, 0, false);
        }
        let mut out: Vec<(QueueId, Seq, bool)> = Vec::new();
        loop {
            let loaded = world.broker.load_next(world.now);
            let given = world.take();
            if !loaded && given.is_empty() {
                break;
            }
            for (queue, given) in given {
                let (seq, redelivered) = (given.seq, given.redelivered);
                out.push((queue.spec.id, seq, redelivered));
                world.receive(&mut self.ledger, &queue, given);
                self.client(&mut world).settle_these(&queue, &[seq], Settlement::Ack);
            }
        }
        self.totals.drained += out.len() as u64;
        for queue in world.queues() {
            let counts = queue.counts();
            assert_eq!((counts.ready, counts.unacked, counts.unreadable), (0, 0, 0));
            let lossy = queue.settings().max_length.is_some();
            self.check_drained(queue.spec.id, &out, lossy);
        }
        assert!(world.store.close().is_ok(), "the disk is sound");
        self.groups = world.recorder.take();
        drop(world);
        self.crash();
        let (_, recovered) = self.restart_surely();
        let left: usize = recovered.queues.iter().map(|queue| queue.levels.len()).sum();
        assert_eq!(left, 0, "everything was acknowledged");
        self.check_transient();
    }

    fn check_drained(&self, id: QueueId, out: &[(QueueId, Seq, bool)], lossy: bool) {
        let Some(queue) = self.state.queues.get(&id) else { return };
        let alive = |seq: &Seq| queue.messages[seq].expires_at > Timestamp(self.now);
        let expected: Vec<(Seq, bool)> = queue
            .in_order()
            .into_iter()
            .filter(alive)
            .map(|seq| (seq, queue.was_out(seq)))
            .collect();
        // What is behind came by dead-lettering just now.
        let of_queue =
            out.iter().filter(|(queue, seq, _)| *queue == id && *seq <= queue_end(self, id));
        let found: Vec<(Seq, bool)> = of_queue.map(|(_, seq, again)| (*seq, *again)).collect();
        if lossy {
            let mut rest = expected.iter();
            assert!(found.iter().all(|one| rest.any(|other| other == one)), "{id:?}: {found:?}");
        } else {
            assert_eq!(found, expected, "what came out of {id:?}");
        }
    }

    /// Nothing of a transient message is anywhere on the disk.
    fn check_transient(&self) {
        let word = TRANSIENT.as_bytes();
        for name in self.disk.names() {
            let bytes = self.disk.read_all(&name).unwrap_or_default();
            let found = bytes.windows(word.len()).any(|window| window == word);
            assert!(!found, "a transient message is in {name}");
        }
    }
}

/// The last place that the restart found in a queue.
fn queue_end(scenario: &Scenario, id: QueueId) -> Seq {
    scenario.state.queues.get(&id).map_or(Seq(0), |queue| queue.last_seq)
}
