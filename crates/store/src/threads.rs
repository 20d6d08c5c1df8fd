//! The threads of an open store: one that writes, one that keeps the log short.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use crate::error::Fatal;
use crate::store::{Committed, Store, Upkeep};

/// How long to wait before a full disk is asked again.
const RETRY: Duration = Duration::from_millis(100);
/// How long to rest when there is nothing to do; while nothing is written either, ten times that.
const IDLE: Duration = Duration::from_millis(100);
/// How long the writer waits for each file that the log has too many, and at most.
const SLOW: Duration = Duration::from_millis(20);
const SLOW_MAX: Duration = Duration::from_millis(500);
/// What it sleeps at once, before it looks whether it is wanted.
const SLICE: Duration = Duration::from_millis(2);
/// In which of its rounds upkeep gives space of segments back: once a second, when it is idle.
const RECLAIM_EACH: u32 = 10;

/// What the threads tell.
pub trait Events: Send + Sync {
    /// Nothing can be made durable any more: the process must end, and must not confirm anything.
    fn fatal(&self, fatal: &Fatal);

    /// The disk refuses something for now (`Some`), or takes it again (`None`). What waits for it
    /// is tried again and again.
    fn trouble(&self, what: Option<&io::Error>);
}

/// The running threads.
#[derive(Debug)]
pub struct Threads {
    store: Arc<Store>,
    /// Each tells whether the log may be written on after it.
    threads: Vec<JoinHandle<bool>>,
}

struct Trouble {
    events: Arc<dyn Events>,
    told: bool,
}

impl Trouble {
    fn tell(&mut self, error: Option<&io::Error>) {
        if error.is_some() != self.told {
            self.told = error.is_some();
            self.events.trouble(error);
        }
    }
}

/// When segments are written more slowly than the log, the log waits for them: what is published
/// piles up in memory, and publishers are held by that.
fn slow_down(store: &Store) {
    let mut waited = Duration::ZERO;
    loop {
        let too_many = u32::try_from(store.files_too_many()).unwrap_or(u32::MAX);
        let wanted = (SLOW * too_many.min(1_000)).min(SLOW_MAX);
        if waited >= wanted || store.is_stopping() || store.is_awaited() {
            return;
        }
        sleep(SLICE);
        waited += SLICE;
    }
}

/// Commits until the end; false if nothing may be written any more.
fn write(store: &Store, events: &Arc<dyn Events>) -> bool {
    let mut trouble = Trouble { events: Arc::clone(events), told: false };
    loop {
        match store.commit() {
            Ok(Committed::Batch(_)) => {
                trouble.tell(None);
                slow_down(store);
            }
            Ok(Committed::Nothing) if store.is_stopping() => return true,
            Ok(Committed::Nothing) => store.wait_for_work(IDLE * 10),
            Ok(Committed::NoRoom(error)) => {
                trouble.tell(Some(&error));
                if store.is_stopping() {
                    return true;
                }
                sleep(RETRY);
            }
            Err(fatal) => {
                events.fatal(&fatal);
                return false;
            }
        }
    }
}

fn keep(store: &Store, events: &Arc<dyn Events>) {
    let mut trouble = Trouble { events: Arc::clone(events), told: false };
    let mut rounds = 0;
    while !store.is_stopping() {
        rounds += 1;
        let reclaim = rounds >= RECLAIM_EACH;
        if reclaim {
            rounds = 0;
        }
        let durable = store.durable();
        match store.upkeep(reclaim) {
            Ok(Upkeep::Idle) => {
                trouble.tell(None);
                sleep(IDLE);
                if !store.wait_for_progress(durable + 1, IDLE * 9) {
                    rounds += 9;
                }
            }
            Ok(Upkeep::Worked) => trouble.tell(None),
            Ok(Upkeep::Waits(batch)) => {
                store.wait_for_progress(batch, IDLE);
            }
            Err(error) => {
                trouble.tell(Some(&error));
                sleep(RETRY);
            }
        }
    }
}

impl Threads {
    /// Starts the threads.
    pub fn start(store: &Arc<Store>, events: &Arc<dyn Events>) -> io::Result<Self> {
        let mut threads = Vec::new();
        let (writing, told) = (Arc::clone(store), Arc::clone(events));
        threads.push(
            Builder::new().name("log-writer".to_owned()).spawn(move || write(&writing, &told))?,
        );
        let (keeping, told) = (Arc::clone(store), Arc::clone(events));
        threads.push(Builder::new().name("log-upkeep".to_owned()).spawn(move || {
            keep(&keeping, &told);
            true
        })?);
        Ok(Self { store: Arc::clone(store), threads })
    }

    /// Ends the threads and closes the store ([`Store::close`]). Nothing may be appended any more.
    pub fn stop(self) -> io::Result<()> {
        self.store.stop();
        let mut sound = true;
        for thread in self.threads {
            // Behind a batch that one lost by a panic none may be written either.
            sound &= thread.join().unwrap_or(false);
        }
        if !sound {
            return Err(io::Error::other("not everything could be made durable"));
        }
        self.store.close()
    }
}
