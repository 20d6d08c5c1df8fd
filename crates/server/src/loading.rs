//! The threads that read queues' messages back from the disk, since that blocks.
//!
//! They sleep until the bell rings, then load until there is nothing left to load. A ring while
//! they load is not lost: they look once more. Dropping [`Loading`] ends them after what they are
//! at.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::fatal::die;

/// How many threads load.
const THREADS: usize = 2;

#[derive(Debug, Default)]
struct State {
    /// How often the bell was rung.
    rings: u64,
    stopped: bool,
}

/// Calls the threads.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    changed: Condvar,
}

impl Bell {
    /// There is something to load. Never blocks for long; may be called with a queue locked.
    pub(crate) fn ring(&self) {
        self.lock().rings += 1;
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits for a ring behind the first `seen`; how many there were, or none at the end.
    fn wait(&self, seen: u64) -> Option<u64> {
        let state = self.lock();
        let state = self
            .changed
            .wait_while(state, |state| state.rings == seen && !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.stopped).then_some(state.rings)
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Loading {
    bell: Arc<Bell>,
    threads: Vec<JoinHandle<()>>,
}

impl Loading {
    /// Starts the threads. `load_next` loads one thing, and is false when there is none. It must
    /// not panic: queues would wait for ever for what no thread loads, so the process ends then.
    pub(crate) fn start<F>(load_next: F) -> std::io::Result<Self>
    where
        F: Fn() -> bool + Send + Sync + 'static,
    {
        let load_next = Arc::new(load_next);
        let mut loading = Self { bell: Arc::default(), threads: Vec::with_capacity(THREADS) };
        for number in 0..THREADS {
            let bell = Arc::clone(&loading.bell);
            let load_next = Arc::clone(&load_next);
            let thread = std::thread::Builder::new().name(format!("load-{number}"));
            loading.threads.push(thread.spawn(move || {
                let _guard = OnPanic;
                run(&bell, &*load_next);
            })?);
        }
        Ok(loading)
    }

    /// What calls the threads.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

fn run(bell: &Bell, load_next: &dyn Fn() -> bool) {
    let mut seen = 0;
    while let Some(rings) = bell.wait(seen) {
        seen = rings;
        while !bell.is_stopped() && load_next() {}
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.bell.stop();
        for thread in self.threads.drain(..) {
            // It cannot have panicked: that ends the process.
            let _ = thread.join();
        }
    }
}

/// Ends the process when its thread panics.
struct OnPanic;

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            die("a thread that loads messages has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Work that can be taken piece by piece, and who is told of each piece.
    fn work() -> (Arc<AtomicUsize>, mpsc::Receiver<()>, impl Fn() -> bool + Send + Sync) {
        let left = Arc::new(AtomicUsize::new(0));
        let (done, told) = mpsc::sync_channel(1000);
        let mine = Arc::clone(&left);
        let load_next = move || {
            let took = mine.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if took.is_ok() {
                done.send(()).unwrap();
            }
            took.is_ok()
        };
        (left, told, load_next)
    }

    #[test]
    fn every_ring_gets_everything_loaded() {
        let (left, told, load_next) = work();
        let loading = Loading::start(load_next).unwrap();
        for round in 1..100 {
            left.fetch_add(round % 5, Ordering::SeqCst);
            loading.bell().ring();
            for _ in 0..round % 5 {
                told.recv_timeout(PATIENCE).unwrap();
            }
        }
        assert!(told.try_recv().is_err(), "nothing is loaded twice");
    }

    #[test]
    fn nothing_is_loaded_before_the_bell_rings() {
        let (left, told, load_next) = work();
        left.store(1, Ordering::SeqCst);
        let loading = Loading::start(load_next).unwrap();
        assert!(told.recv_timeout(Duration::from_millis(30)).is_err());
        loading.bell().ring();
        told.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn one_ring_calls_all_threads() {
        let together = Arc::new(Barrier::new(THREADS + 1));
        let (inside, meet) = (Arc::clone(&together), Mutex::new(0));
        let loading = Loading::start(move || {
            let mut entered = meet.lock().unwrap();
            *entered += 1;
            let first_time = *entered <= THREADS;
            drop(entered);
            if first_time {
                inside.wait();
            }
            false
        });
        let loading = loading.unwrap();
        loading.bell().ring();
        together.wait();
    }

    #[test]
    fn the_threads_end_although_there_is_more_to_load() {
        let (done, told) = mpsc::sync_channel(1);
        let loading = Loading::start(move || {
            let _ = done.try_send(());
            true
        });
        let loading = loading.unwrap();
        loading.bell().ring();
        told.recv_timeout(PATIENCE).unwrap();
        drop(loading);
        let _ = told.try_recv();
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected), "nobody loads any more");
    }
}
