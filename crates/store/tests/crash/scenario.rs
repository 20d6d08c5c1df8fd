//! One seed: a store used at random over several lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use leveret_store::disk::{Disk, Fault, FaultyDisk, Random};
use leveret_store::{Committed, Durability, Opened, Options, SeqRange, Store, Target, Upkeep};

use crate::model::{Change, State};

#[derive(Debug, Default)]
pub struct Totals {
    pub crashes: u64,
    pub crashes_in_recovery: u64,
    pub torn: u64,
    pub flushed: u64,
    pub failed_syncs: u64,
    pub full: u64,
    pub batches: u64,
    pub messages: u64,
    pub fetched: u64,
    pub operations: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.crashes_in_recovery += other.crashes_in_recovery;
        self.torn += other.torn;
        self.flushed += other.flushed;
        self.failed_syncs += other.failed_syncs;
        self.full += other.full;
        self.batches += other.batches;
        self.messages += other.messages;
        self.fetched += other.fetched;
        self.operations += other.operations;
    }
}

/// The definitions as of the last append, for the store's snapshots.
type Shared = Arc<Mutex<Vec<Vec<u8>>>>;

pub struct Scenario {
    seed: u64,
    random: Random,
    disk: FaultyDisk,
    options: Options,
    /// Every group that may have survived, with its batch.
    groups: Vec<(u64, Vec<Change>)>,
    /// The state before `groups`.
    base: State,
    /// The state after all of them.
    now: State,
    next_queue: u64,
    totals: Totals,
    /// What goes wrong in the first life, instead of what chance says.
    forced: Option<(u64, Trouble)>,
}

/// What can go wrong at an operation.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    None,
    PowerLoss,
    Fault(Fault),
}

fn snapshot(definitions: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for one in definitions {
        bytes.extend_from_slice(&(one.len() as u32).to_le_bytes());
        bytes.extend_from_slice(one);
    }
    bytes
}

fn read_snapshot(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut definitions = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_at(4);
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        definitions.push(rest[..len].to_vec());
        bytes = &rest[len..];
    }
    definitions
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let durability = if random.once_in(8) { Durability::Os } else { Durability::Sync };
        let options = Options {
            durability,
            log_file_size: 4096 * (4 + random.below(28)),
            log_files: 4 + random.below(4) as usize,
            batch_size: 2048 << random.below(4),
            extent_size: 4096 << random.below(3),
            log_messages_max: 4 + random.below(400) as usize,
            kept_files: random.below(4) as usize,
            seed: [0; 16],
        };
        // A seed of its own: both draw by the same generator.
        let disk = FaultyDisk::new(random.number());
        disk.set_direct(!random.once_in(4));
        disk.set_garbage(random.once_in(2));
        Self {
            seed,
            random,
            disk,
            options,
            groups: Vec::new(),
            base: State::default(),
            now: State::default(),
            next_queue: 1,
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
        for _ in 0..lives {
            let Some(opened) = self.open() else { continue };
            self.live(opened);
        }
        self.disk.heal();
        let opened = self.open_surely();
        self.check(&opened);
        self.read_everything(&opened.store);
        self.totals.operations = self.disk.operations();
        self.totals
    }

    /// The power fails, or the process dies.
    fn crash(&mut self) {
        self.totals.crashes += 1;
        // Without syncs only the death of the process is survived.
        if self.options.durability == Durability::Os || self.random.once_in(3) {
            self.disk.kill();
        } else {
            self.disk.crash();
        }
    }

    /// The options of the next start.
    fn options(&mut self) -> Options {
        let mut options = self.options.clone();
        options.seed[..8].copy_from_slice(&self.random.number().to_le_bytes());
        options
    }

    /// Opens the store; sometimes the power fails while it does.
    fn open(&mut self) -> Option<Opened> {
        for _ in 0..3 {
            if self.forced.is_none() && self.random.once_in(4) {
                let at = self.disk.operations() + 1 + self.random.below(60);
                self.disk.crash_at(at);
            }
            let fails = self.forced.is_none() && self.random.once_in(5);
            if fails {
                let at = self.disk.operations() + self.random.below(60);
                self.disk.fail(at, Fault::Eio);
            }
            let options = self.options();
            match Store::open(Arc::new(self.disk.clone()), options) {
                Ok(opened) if !self.disk.is_off() => {
                    self.disk.crash_at(u64::MAX);
                    self.disk.heal();
                    self.check(&opened);
                    return Some(opened);
                }
                Ok(_) => {}
                Err(_) if fails && !self.disk.is_off() => {
                    // Nothing was changed: the next start finds all.
                    self.disk.heal();
                    continue;
                }
                Err(error) => {
                    assert!(self.disk.is_off(), "seed {}: cannot open: {error}", self.seed);
                }
            }
            self.totals.crashes_in_recovery += 1;
            self.disk.heal();
            self.crash();
        }
        None
    }

    fn open_surely(&mut self) -> Opened {
        self.disk.crash_at(u64::MAX);
        let options = self.options();
        match Store::open(Arc::new(self.disk.clone()), options) {
            Ok(opened) => opened,
            Err(error) => panic!("seed {}: cannot open: {error}\n{}", self.seed, self.disk.trace()),
        }
    }

    /// The state is that after some batch, and that becomes the base.
    fn check(&mut self, opened: &Opened) {
        let last = opened.store.durable();
        let report = &opened.report;
        assert!(report.damages.is_empty(), "seed {}: {:?}", self.seed, report.damages);
        self.totals.torn += u64::from(report.torn.is_some());
        self.totals.flushed += u64::from(report.segments > 0);
        let mut state = std::mem::take(&mut self.base);
        for (batch, changes) in std::mem::take(&mut self.groups) {
            if batch <= last {
                changes.iter().for_each(|change| state.apply(change));
            }
        }
        let mut definitions = opened.definitions.as_deref().map(read_snapshot).unwrap_or_default();
        definitions.extend(opened.changes.iter().map(|bytes| bytes.to_vec()));
        state.check(&opened.queues, &definitions);
        self.now = state.clone();
        self.base = state;
    }

    fn live(&mut self, opened: Opened) {
        let store = opened.store;
        let defined: Shared = Arc::new(Mutex::new(self.now.definitions.clone()));
        let source = Arc::clone(&defined);
        store.set_definitions(Arc::new(move || {
            let definitions = source.lock().unwrap();
            Some((snapshot(&definitions), definitions.len() as u64))
        }));
        self.plan_trouble();
        let mut spilled = BTreeMap::new();
        for _ in 0..20 + self.random.below(180) {
            if self.disk.is_off() || !self.step(&store, &defined, &mut spilled) {
                break;
            }
        }
        let confirmed = store.durable();
        drop(store);
        self.crash();
        self.disk.heal();
        self.disk.set_capacity(u64::MAX);
        self.disk.crash_at(u64::MAX);
        let opened = self.open_surely();
        let last = opened.store.durable();
        assert!(last >= confirmed, "seed {}: {confirmed} was durable, {last} is", self.seed);
        self.check(&opened);
        if self.random.once_in(3) {
            self.read_everything(&opened.store);
        }
        drop(opened);
        self.crash();
    }

    fn plan_trouble(&mut self) {
        if let Some((at, trouble)) = self.forced {
            match trouble {
                Trouble::None => {}
                Trouble::PowerLoss => self.disk.crash_at(at),
                Trouble::Fault(fault) => self.disk.fail(at, fault),
            }
            return;
        }
        let soon = self.disk.operations() + 1 + self.random.below(250);
        match self.random.below(6) {
            0 | 1 => self.disk.crash_at(soon),
            2 => self.disk.fail(soon, Fault::Eio),
            3 => self.disk.fail(soon, Fault::ShortWrite),
            4 => {
                self.disk.fail(soon, Fault::Enospc);
                self.totals.full += 1;
            }
            _ => {}
        }
    }

    /// One step; false once the store can go no further.
    fn step(&mut self, store: &Store, defined: &Shared, spilled: &mut Spilled) -> bool {
        match self.random.below(16) {
            0..=6 => self.append(store, defined),
            7..=9 => match store.commit() {
                Ok(Committed::Batch(_)) => self.totals.batches += 1,
                Ok(Committed::Nothing) => {}
                Ok(Committed::NoRoom(_)) => self.totals.full += 1,
                Err(_) => {
                    self.totals.failed_syncs += 1;
                    return false;
                }
            },
            10..=12 => {
                let reclaim = self.random.once_in(2);
                // What upkeep cannot do now it tries again.
                let done: std::io::Result<Upkeep> = store.upkeep(reclaim);
                if done.is_err() && self.disk.is_off() {
                    return false;
                }
            }
            13 => self.fetch(store),
            14 => self.spill(store, spilled),
            _ => self.unspill(store, spilled),
        }
        true
    }

    fn append(&mut self, store: &Store, defined: &Shared) {
        let count = 1 + self.random.below(4);
        let changes: Vec<Change> = (0..count).filter_map(|_| self.change()).collect();
        // The snapshot may be taken as soon as the append returns.
        let mut definitions = defined.lock().unwrap();
        let batch = store.append(|group| changes.iter().for_each(|change| put(group, change)));
        *definitions = self.now.definitions.clone();
        drop(definitions);
        if !changes.is_empty() {
            self.groups.push((batch, changes));
        }
    }

    /// Makes up a change that fits the present state, and applies it.
    fn change(&mut self) -> Option<Change> {
        let queue = 1 + self.random.below(self.next_queue + 1);
        let change = match self.random.below(20) {
            0 => Change::Define(vec![self.random.number() as u8; self.random.below(300) as usize]),
            1..=9 => self.publish(queue)?,
            10..=14 => {
                let (first, last) = self.some_range(queue)?;
                Change::Settle { queue, first, last }
            }
            15 | 16 => {
                let (seq, _) = self.some_range(queue)?;
                let count = 1 + self.random.below(9) as u32;
                self.now.queues.get(&queue)?.messages.get(&seq)?;
                Change::Return { queue, seq, count }
            }
            17 | 18 => {
                let (_, through) = self.some_range(queue)?;
                Change::Delivered { queue, through }
            }
            _ if self.random.once_in(3) && self.now.queues.contains_key(&queue) => {
                Change::Drop { queue }
            }
            _ => return None,
        };
        self.now.apply(&change);
        Some(change)
    }

    fn publish(&mut self, first: u64) -> Option<Change> {
        let len = match self.random.below(12) {
            0 => 0,
            1 => 5_000 + self.random.below(20_000),
            2 => 4_096,
            _ => self.random.below(700),
        };
        let salt = self.random.number();
        let data: Vec<u8> = (0..len).map(|at| (salt ^ (at * 31)) as u8).collect();
        let mut targets = Vec::new();
        for queue in first..=first + self.random.below(3) {
            if self.now.dropped.contains(&queue) {
                continue;
            }
            self.next_queue = self.next_queue.max(queue).min(12);
            let last = self.now.queues.get(&queue).map_or(0, |queue| queue.last_seq);
            let level = if queue % 3 == 0 { self.random.below(4) as u8 } else { 0 };
            let gap = if self.random.once_in(5) { self.random.below(40) } else { 0 };
            targets.push((queue, last + 1 + gap, level));
        }
        self.totals.messages += targets.len() as u64;
        let expires = if self.random.once_in(2) { u64::MAX } else { self.random.number() };
        (!targets.is_empty()).then_some(Change::Publish { targets, expires, data })
    }

    fn some_range(&mut self, queue: u64) -> Option<(u64, u64)> {
        let last = self.now.queues.get(&queue)?.last_seq;
        // Mostly old ones, as consumers do; now and then everything.
        let first = match self.random.below(8) {
            0 => 0,
            1..=4 => *self.now.queues.get(&queue)?.messages.keys().next()?,
            _ => self.random.below(last + 1),
        };
        let len = match self.random.below(10) {
            0 => last,
            1..=4 => 0,
            _ => self.random.below(12),
        };
        Some((first, (first + len).min(last + 3)))
    }

    /// Reads some messages of a queue, as they are now.
    fn fetch(&mut self, store: &Store) {
        let queue = 1 + self.random.below(self.next_queue);
        let Some((first, last)) = self.some_range(queue) else { return };
        let budget = 1 + self.random.below(40_000) as usize;
        let found = store.fetch(queue, &[SeqRange { first, last }], budget);
        let messages = &self.now.queues[&queue].messages;
        let expected: Vec<_> = messages.range(first..=last).collect();
        // A read that the disk refused is no proof of anything.
        if found.iter().any(|one| one.data.is_none()) {
            assert!(self.disk.operations() > 0);
            return;
        }
        assert!(found.len() <= expected.len(), "seed {}: more than there is", self.seed);
        assert!(!found.is_empty() || expected.is_empty(), "seed {}: nothing", self.seed);
        for (found, (seq, message)) in found.iter().zip(expected) {
            assert_eq!(found.seq, *seq, "seed {}", self.seed);
            assert_eq!(found.expires, message.expires, "seed {}", self.seed);
            assert_eq!(found.data.as_deref(), Some(&message.data[..]), "seed {}", self.seed);
            self.totals.fetched += 1;
        }
    }

    fn read_everything(&mut self, store: &Store) {
        for (id, queue) in &self.now.queues {
            let mut from = 0;
            let mut seen = BTreeMap::new();
            loop {
                let found = store.fetch(*id, &[SeqRange { first: from, last: u64::MAX }], 9_000);
                let Some(last) = found.last() else { break };
                from = last.seq + 1;
                for one in found {
                    seen.insert(one.seq, (one.expires, one.data.map(|data| data.to_vec())));
                }
            }
            let expected: BTreeMap<_, _> = queue
                .messages
                .iter()
                .map(|(seq, one)| (*seq, (one.expires, Some(one.data.clone()))))
                .collect();
            assert_eq!(seen.len(), expected.len(), "seed {}: queue {id}", self.seed);
            assert!(seen == expected, "seed {}: queue {id} has other messages", self.seed);
            self.totals.fetched += seen.len() as u64;
        }
    }

    /// Spilled messages stand in queues of their own.
    fn spill(&mut self, store: &Store, spilled: &mut Spilled) {
        let queue = 1_000 + self.random.below(2);
        let seq = spilled.keys().filter(|key| key.0 == queue).map(|key| key.1).max();
        let seq = seq.unwrap_or(0) + 1;
        let data = vec![self.random.number() as u8; self.random.below(900) as usize];
        let target = Target { queue, seq, expires: seq * 7, level: 0 };
        if store.spill(&target, [&data[..data.len() / 2], &data[data.len() / 2..]]).is_ok() {
            spilled.insert((queue, seq), data);
        }
    }

    fn unspill(&mut self, store: &Store, spilled: &mut Spilled) {
        let queue = 1_000 + self.random.below(2);
        let all = [SeqRange { first: 0, last: u64::MAX }];
        for one in store.fetch(queue, &all, 1 << 20) {
            let expected = &spilled[&(queue, one.seq)];
            if let Some(data) = &one.data {
                assert_eq!(data, expected, "seed {}", self.seed);
                assert_eq!(one.expires, one.seq * 7, "seed {}", self.seed);
            }
        }
        let last = self.random.below(40);
        store.unspill(queue, &[SeqRange { first: 0, last }]);
        spilled.retain(|key, _| key.0 != queue || key.1 > last);
    }
}

type Spilled = BTreeMap<(u64, u64), Vec<u8>>;

fn put(group: &mut leveret_store::Group<'_>, change: &Change) {
    match change {
        Change::Define(bytes) => group.define(bytes),
        Change::Publish { targets, expires, data } => {
            let targets: Vec<Target> = targets
                .iter()
                .map(|(queue, seq, level)| {
                    let (queue, seq, level) = (*queue, *seq, *level);
                    Target { queue, seq, expires: *expires, level }
                })
                .collect();
            let (head, body) = data.split_at(data.len() / 3);
            group.publish(data.len() as u32, &targets, [head, body]);
        }
        Change::Settle { queue, first, last } => {
            group.settle(*queue, &[SeqRange { first: *first, last: *last }]);
        }
        Change::Return { queue, seq, count } => group.returned(*queue, &[(*seq, *count)]),
        Change::Delivered { queue, through } => group.delivered(*queue, *through),
        Change::Drop { queue } => group.drop_queue(*queue),
    }
}

/// The disk is one that a store takes.
const _: fn(FaultyDisk) -> Arc<dyn Disk> = |disk| Arc::new(disk);
