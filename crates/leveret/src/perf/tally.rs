//! What the threads count: shared totals for the rates, a histogram each for the latencies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;

use super::clock::Clock;

/// Longest latency that is told apart: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// One total on its own cache line, since threads add to different ones all the time.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Total(AtomicU64);

impl Total {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn raise_to(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }
}

/// Totals at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) confirmed: u64,
    pub(super) refused: u64,
    pub(super) returned: u64,
}

/// What all threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    /// When producers begin.
    pub(super) start_ns: u64,
    /// From when on latencies count.
    pub(super) measure_from_ns: u64,
    /// When producers stop.
    pub(super) end_ns: u64,
    pub(super) sent: Total,
    pub(super) received: Total,
    pub(super) confirmed: Total,
    pub(super) refused: Total,
    pub(super) returned: Total,
    lag_ns: Total,
    stopping: AtomicBool,
}

impl Shared {
    /// Producers begin in a moment, so that all threads are there by then.
    pub(super) fn new(warmup_s: f64, seconds: Option<f64>) -> Shared {
        let clock = Clock::new();
        let start_ns = clock.now() + 10_000_000;
        let after = |seconds: f64| start_ns + (seconds * 1e9) as u64;
        Shared {
            clock,
            start_ns,
            measure_from_ns: after(warmup_s),
            end_ns: seconds.map_or(u64::MAX, after),
            sent: Total::default(),
            received: Total::default(),
            confirmed: Total::default(),
            refused: Total::default(),
            returned: Total::default(),
            lag_ns: Total::default(),
            stopping: AtomicBool::new(false),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            sent: self.sent.get(),
            received: self.received.get(),
            confirmed: self.confirmed.get(),
            refused: self.refused.get(),
            returned: self.returned.get(),
        }
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Notes how late a message that was due is sent.
    pub(super) fn note_lag(&self, now: u64, due: u64) {
        if due >= self.measure_from_ns {
            self.lag_ns.raise_to(now.saturating_sub(due));
        }
    }

    pub(super) fn lag_us(&self) -> u64 {
        self.lag_ns.get() / 1000
    }
}

/// Latencies of one thread. Messages that were stamped and read together have the same one, so
/// that runs are counted before they go into the histogram.
#[derive(Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    from_ns: u64,
    last_us: u64,
    run: u64,
}

impl Latencies {
    pub(super) fn new(from_ns: u64) -> anyhow::Result<Latencies> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Latencies { histogram, from_ns, last_us: 0, run: 0 })
    }

    #[inline]
    pub(super) fn record(&mut self, now: u64, stamp: u64) {
        if now < self.from_ns {
            return;
        }
        let latency_us = now.saturating_sub(stamp) / 1000;
        if latency_us != self.last_us {
            self.settle_run();
            self.last_us = latency_us;
        }
        self.run += 1;
    }

    fn settle_run(&mut self) {
        self.histogram.saturating_record_n(self.last_us, self.run);
        self.run = 0;
    }

    pub(super) fn finish(mut self) -> Histogram<u64> {
        self.settle_run();
        self.histogram
    }
}

/// The sum of several threads' latencies; none if there were no threads.
pub(super) fn merge(parts: Vec<Histogram<u64>>) -> Option<Histogram<u64>> {
    parts.into_iter().reduce(|mut all, part| {
        // They all have the same bounds.
        let _ = all.add(part);
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_and_the_warm_up_is_not() {
        let mut latencies = Latencies::new(1_000_000).unwrap();
        latencies.record(999_999, 0);
        for _ in 0..3 {
            latencies.record(2_000_000, 1_500_000);
        }
        latencies.record(2_000_000, 1_000_000);
        latencies.record(2_000_000, 3_000_000);
        let histogram = latencies.finish();
        assert_eq!((histogram.len(), histogram.min()), (5, 0));
        assert_eq!(histogram.count_at(500), 3);
        assert_eq!(histogram.max() / 10, 100);
        let merged = merge(vec![histogram.clone(), histogram]).unwrap();
        assert_eq!(merged.len(), 10);
    }
}
