//! A log at work: its threads, the disk's alarm, and the end in good order.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use leveret_store::{Events, Fatal, Threads};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::StoreLog;
use crate::clock;
use crate::fatal::die;
use crate::loading::Loading;
use crate::shared::Shared;

/// How often the free space is looked at.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// The threads of a log and of those who read from it.
#[derive(Debug)]
pub struct Running {
    threads: Threads,
    loading: Loading,
    space: JoinHandle<()>,
}

/// What the store's threads cannot do at present.
struct Disk {
    shared: Weak<Shared>,
    troubles: AtomicUsize,
    low: AtomicUsize,
}

impl Disk {
    fn update(&self) {
        let on = self.troubles.load(Ordering::SeqCst) + self.low.load(Ordering::SeqCst) > 0;
        if let Some(shared) = self.shared.upgrade() {
            shared.set_disk_alarm(on);
        }
    }
}

impl Events for Disk {
    fn fatal(&self, fatal: &Fatal) {
        die(&fatal.to_string());
    }

    fn trouble(&self, what: Option<&io::Error>) {
        match what {
            Some(error) => {
                tracing::error!(%error, "the disk takes nothing; trying again");
                self.troubles.fetch_add(1, Ordering::SeqCst);
            }
            None => {
                tracing::info!("the disk takes data again");
                self.troubles.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.update();
    }
}

/// Looks at the free space of the disk, and raises the alarm when there is less than there must be.
async fn watch_space(log: Arc<StoreLog>, disk: Arc<Disk>) {
    loop {
        let Some(shared) = disk.shared.upgrade() else { return };
        let limit = shared.options.load().store.disk_free_limit_bytes;
        let free = log.store.free_bytes();
        if let Ok(free) = free {
            shared.disk_free_bytes.store(free, Ordering::Relaxed);
        }
        drop(shared);
        match free {
            Ok(free) => {
                let low = usize::from(free < limit);
                if disk.low.swap(low, Ordering::SeqCst) != low {
                    tracing::info!(free, limit, "free space of the disk");
                    disk.update();
                }
            }
            Err(error) => tracing::warn!(%error, "the free space of the disk is not known"),
        }
        sleep(SPACE_INTERVAL).await;
    }
}

impl Running {
    /// Has `log` work for the broker of `shared`.
    pub(crate) fn start(log: &Arc<StoreLog>, shared: &Arc<Shared>) -> io::Result<Self> {
        let (weak, store) = (Arc::downgrade(shared), Arc::downgrade(&log.store));
        log.store.set_definitions(Arc::new(move || {
            let (shared, source) = (weak.upgrade()?, store.upgrade()?);
            Some(shared.broker.with_definitions(|commands| {
                (StoreLog::encode_definitions(commands), source.defined())
            }))
        }));
        let (troubles, low) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let disk = Arc::new(Disk { shared: Arc::downgrade(shared), troubles, low });
        let events: Arc<dyn Events> = disk.clone();
        let threads = Threads::start(&log.store, &events)?;
        let weak = Arc::downgrade(shared);
        let loading = Loading::start(move || {
            weak.upgrade().is_some_and(|shared| shared.broker.load_next(clock::now()))
        })?;
        let bell = Arc::clone(loading.bell());
        shared.broker.on_load_wanted(move || bell.ring());
        let space = tokio::spawn(watch_space(Arc::clone(log), disk));
        Ok(Self { threads, loading, space })
    }

    /// Ends the threads; everything that was appended is durable then, and the next start has
    /// nothing to replay. Blocks on the disk.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.space.abort();
        drop(self.loading);
        self.threads.stop()
    }
}
