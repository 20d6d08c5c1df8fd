//! The publishing thread: writes prebuilt messages as fast as the socket takes them, as the rate
//! asks, or as the confirm window allows.
//!
//! Invariant: with a rate, a message's stamp is when it was due, however late the socket or the
//! window let it go, and each message that was due before the end is sent.

use std::sync::Arc;
use std::time::Duration;

use leveret_client::{Error, Sender};

use super::batch::Batch;
use super::tally::Shared;
use super::window::Window;

/// How long a producer waits before it looks whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// When messages are due.
///
/// Counted from the start: a time since 1970 has no nanoseconds as a float, and `due_at` and
/// `due_by` must agree, or a producer waits for room when it should wait for the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    start_ns: u64,
    interval_ns: f64,
}

impl Pace {
    /// `rate` messages a second; `share` of an interval later than the first producer.
    pub(super) fn new(start_ns: u64, rate: f64, share: f64) -> Pace {
        let interval_ns = 1e9 / rate;
        Pace { start_ns: start_ns + (interval_ns * share) as u64, interval_ns }
    }

    /// When message number `index` is due, counted from 0.
    fn due_at(&self, index: u64) -> u64 {
        self.start_ns + (index as f64 * self.interval_ns) as u64
    }

    /// How many messages are due by now.
    fn due_by(&self, now: u64) -> u64 {
        let Some(elapsed) = now.checked_sub(self.start_ns) else { return 0 };
        let mut count = (elapsed as f64 / self.interval_ns) as u64;
        while self.due_at(count) <= now {
            count += 1;
        }
        count
    }
}

/// One publishing connection.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) sender: Sender,
    pub(super) batch: Batch,
    pub(super) pace: Option<Pace>,
    pub(super) window: Option<Arc<Window>>,
    /// How many messages it sends at most.
    pub(super) limit: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) sent: u64,
}

impl Producer {
    /// Publishes until the limit, the end of the time, or a stop.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        shared.clock.sleep_until(shared.start_ns);
        while self.sent < self.limit && !shared.is_stopping() {
            let now = shared.clock.now();
            let ended = now >= shared.end_ns;
            if ended && !self.owes() {
                break;
            }
            match self.allowed(now.min(shared.end_ns - 1)) {
                0 if ended => std::thread::park_timeout(LOOK_EVERY),
                0 => self.wait(now),
                count => self.publish(now, count)?,
            }
        }
        Ok(())
    }

    /// Whether a message is not sent that was due before the end.
    fn owes(&self) -> bool {
        self.pace.is_some_and(|pace| pace.due_by(self.shared.end_ns - 1) > self.sent)
    }

    /// How many messages may be written now.
    fn allowed(&self, now: u64) -> u64 {
        let due = self.pace.map_or(u64::MAX, |pace| pace.due_by(now).saturating_sub(self.sent));
        let left = due.min(self.limit - self.sent);
        match &self.window {
            None => left,
            Some(window) => {
                let room = window.room();
                if room < window.worthwhile().min(left) { 0 } else { left.min(room) }
            }
        }
    }

    /// Waits for the next message to be due or, woken by the settler, for room in the window.
    fn wait(&self, now: u64) {
        let due = self.pace.map_or(0, |pace| pace.due_at(self.sent));
        if due > now {
            let until = due.min(now + LOOK_EVERY.as_nanos() as u64).min(self.shared.end_ns);
            self.shared.clock.sleep_until(until);
        } else {
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    fn publish(&mut self, now: u64, count: u64) -> Result<(), Error> {
        let (pace, first) = (self.pace, self.sent);
        let stamp = |index: usize| pace.map_or(now, |pace| pace.due_at(first + index as u64));
        if pace.is_some() {
            self.shared.note_lag(now, stamp(0));
        }
        let (frames, count) = self.batch.next(usize::try_from(count).unwrap_or(usize::MAX), stamp);
        if let Some(window) = &self.window {
            window.publish(count, stamp);
        }
        match self.sender.write(frames) {
            Err(_) if self.shared.is_stopping() => return Ok(()),
            result => result?,
        }
        self.sent += count as u64;
        self.shared.sent.add(count as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_intervals() {
        let pace = Pace::new(1_000_000, 1000.0, 0.5);
        assert_eq!(pace.due_by(1_000_000), 0);
        assert_eq!(pace.due_by(1_500_000), 1);
        assert_eq!(pace.due_by(3_499_999), 2);
        assert_eq!((pace.due_at(0), pace.due_at(2)), (1_500_000, 3_500_000));
    }

    #[test]
    fn a_message_is_due_at_the_time_that_is_waited_for() {
        for rate in [3.0, 1000.0, 20_000.0, 77_777.7] {
            let pace = Pace::new(1_795_000_000_123_456_789, rate, 0.3);
            for index in (0..100_000).step_by(7) {
                let due = pace.due_at(index);
                assert_eq!((pace.due_by(due - 1), pace.due_by(due)), (index, index + 1), "{rate}");
            }
        }
    }
}
