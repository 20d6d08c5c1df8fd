//! A token bucket: how much may pass a second, with a burst of one second.
//!
//! Invariant: what passes in any time is at most the rate times that time, one second's worth, and
//! what was charged last; what was charged beyond is waited for. Only integers: a rate of one a
//! second gives a thousandth of a token a millisecond.

use leveret_broker::ids::Timestamp;

/// How long a bucket that owes something is remembered when nobody uses it, in milliseconds.
const MEMORY_MS: u64 = 3_600_000;
/// How long a bucket that owes nothing takes to be full, in milliseconds.
const FULL_MS: u64 = 1_000;

/// A bucket; a new one is full. The rate is given with each call, and may change.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Bucket {
    /// Thousandths of a token, as of `at`; negative when they are owed.
    level: i64,
    at: Timestamp,
}

/// A number of tokens in thousandths.
fn thousandths(tokens: u64) -> i64 {
    i64::try_from(tokens.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

impl Bucket {
    /// Adds what `rate` tokens a second have given since the last time.
    fn refill(&mut self, rate: u64, now: Timestamp) {
        let elapsed = now.0.saturating_sub(self.at.0);
        let gained = i64::try_from(elapsed.saturating_mul(rate)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(gained).min(thousandths(rate));
        self.at = self.at.max(now);
    }

    /// Takes `tokens` out, also if that leaves a debt.
    pub(crate) fn charge(&mut self, rate: u64, tokens: u64, now: Timestamp) {
        self.refill(rate, now);
        self.level = self.level.saturating_sub(thousandths(tokens));
    }

    /// How long it takes until nothing is owed, in milliseconds; for ever when nothing may pass.
    pub(crate) fn wait_ms(&mut self, rate: u64, now: Timestamp) -> u64 {
        self.refill(rate, now);
        match (rate, self.level) {
            (0, _) => u64::MAX,
            (_, 0..) => 0,
            (rate, owed) => owed.unsigned_abs().div_ceil(rate),
        }
    }

    /// Whether nothing is lost when a new bucket takes its place.
    pub(crate) fn is_forgettable(&self, now: Timestamp) -> bool {
        let unused = now.0.saturating_sub(self.at.0);
        unused >= MEMORY_MS || self.level >= 0 && unused >= FULL_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000);

    #[test]
    fn one_second_passes_at_once_and_then_the_rate() {
        let mut bucket = Bucket::default();
        bucket.charge(1_000, 1_000, START);
        assert_eq!(bucket.wait_ms(1_000, START), 0, "the burst");
        bucket.charge(1_000, 250, START);
        assert_eq!(bucket.wait_ms(1_000, START), 250);
        assert_eq!(bucket.wait_ms(1_000, START.after(249)), 1);
        assert_eq!(bucket.wait_ms(1_000, START.after(250)), 0);
    }

    #[test]
    fn what_is_not_used_is_kept_for_a_second_only() {
        let mut bucket = Bucket::default();
        bucket.charge(10, 10, START);
        let later = START.after(100_000);
        bucket.charge(10, 11, later);
        assert_eq!(bucket.wait_ms(10, later), 100);
    }

    #[test]
    fn slow_rates_and_waits_are_exact() {
        let mut bucket = Bucket::default();
        bucket.charge(3, 4, START);
        assert_eq!(bucket.wait_ms(3, START), 334, "rounded up");
        for step in 1..=333 {
            assert!(bucket.wait_ms(3, START.after(step)) > 0, "after {step} ms");
        }
        assert_eq!(bucket.wait_ms(3, START.after(334)), 0);
    }

    #[test]
    fn a_changed_rate_counts_for_what_is_owed() {
        let mut bucket = Bucket::default();
        bucket.charge(1, 1_001, START);
        assert_eq!(bucket.wait_ms(1, START), 1_000_000);
        assert_eq!(bucket.wait_ms(1_000, START), 1_000);
        bucket.charge(1_000, 0, START.after(5_000));
        assert_eq!(bucket.wait_ms(1, START.after(5_000)), 0, "no more than one second's worth");
        bucket.charge(1, 2, START.after(5_000));
        assert_eq!(bucket.wait_ms(1, START.after(5_000)), 1_000);
    }

    #[test]
    fn nothing_a_second_is_nothing_and_large_numbers_have_an_end() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.wait_ms(0, START), u64::MAX);
        let mut bucket = Bucket::default();
        bucket.charge(u64::MAX, u64::MAX, START);
        assert_eq!(bucket.wait_ms(u64::MAX, START), 0);
        bucket.charge(1, u64::MAX, START);
        bucket.charge(1, u64::MAX, START);
        assert!(bucket.wait_ms(1, START) > 1_000_000);
    }

    #[test]
    fn time_that_stands_still_or_goes_back_gives_nothing() {
        let mut bucket = Bucket::default();
        bucket.charge(10, 20, START);
        assert_eq!(bucket.wait_ms(10, Timestamp(5)), 1_000);
        assert_eq!(bucket.wait_ms(10, START.after(500)), 500);
    }

    #[test]
    fn a_debt_is_remembered_and_a_full_bucket_is_not() {
        let mut bucket = Bucket::default();
        assert!(bucket.is_forgettable(START));
        bucket.charge(10, 5, START);
        assert!(
            !bucket.is_forgettable(START.after(999)) && bucket.is_forgettable(START.after(1_000))
        );
        bucket.charge(10, 100, START);
        assert!(!bucket.is_forgettable(START.after(10_000)));
        assert!(bucket.is_forgettable(START.after(MEMORY_MS)));
    }
}
