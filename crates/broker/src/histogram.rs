//! Counts of times by how long they were, for whoever watches the broker.
//!
//! Invariant: a note is two additions without a lock; whoever reads may see notes of different
//! moments, never a count that falls.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the buckets, in microseconds; behind them is one without a bound.
pub const BOUNDS_MICROS: [u64; 16] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
    3_600_000_000,
];

/// How many buckets there are.
const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// How often times of some length were noted since the start.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many were within each bound of [`BOUNDS_MICROS`] and beyond the one before, and at the
    /// end how many were beyond all.
    pub buckets: [u64; BUCKETS],
    /// All of them together, in microseconds.
    pub sum_micros: u64,
}

impl Histogram {
    /// Notes that `count` things took as long as `micros`.
    pub fn note(&self, micros: u64, count: u64) {
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(count, Ordering::Relaxed);
        if micros > 0 {
            self.sum_micros.fetch_add(micros.saturating_mul(count), Ordering::Relaxed);
        }
    }

    /// What was noted so far.
    pub fn snapshot(&self) -> Snapshot {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed));
        Snapshot { buckets, sum_micros: self.sum_micros.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for (micros, count) in [(0, 1), (100, 2), (101, 4), (3_600_000_000, 8), (u64::MAX / 2, 1)] {
            histogram.note(micros, count);
        }
        let seen = histogram.snapshot();
        assert_eq!(seen.buckets[..2], [3, 4]);
        assert_eq!(seen.buckets[BUCKETS - 2..], [8, 1]);
        assert_eq!(seen.buckets.iter().sum::<u64>(), 16);
    }
}
