//! The measured interval: totals, time and CPU at its start and end, and the rates in between.

use std::io::Write;

use super::clock::own_cpu_seconds;
use super::tally::{Shared, Totals};

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// What was so at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at_ns: u64,
    pub(super) totals: Totals,
    pub(super) cpu_s: Option<f64>,
}

impl Moment {
    fn now(shared: &Shared) -> Moment {
        let cpu_s = own_cpu_seconds();
        Moment { at_ns: shared.clock.now(), totals: shared.totals(), cpu_s }
    }

    pub(super) fn seconds_since(&self, other: &Moment) -> f64 {
        self.at_ns.saturating_sub(other.at_ns) as f64 / SECOND_NS as f64
    }
}

/// Watches the totals grow.
#[derive(Debug)]
pub(super) struct Watch {
    from: Option<Moment>,
    last: Moment,
    quiet: bool,
}

impl Watch {
    pub(super) fn new(shared: &Shared, quiet: bool) -> Watch {
        // Nothing has been sent before the start, whatever the threads did since.
        let last =
            Moment { at_ns: shared.start_ns, totals: Totals::default(), ..Moment::now(shared) };
        let warm = shared.measure_from_ns <= shared.start_ns;
        Watch { from: warm.then_some(last), last, quiet }
    }

    /// To be called often: notes the end of the warm-up, and prints once a second.
    pub(super) fn tick(&mut self, shared: &Shared) {
        let now_ns = shared.clock.now();
        if self.from.is_none() && now_ns >= shared.measure_from_ns {
            self.from = Some(Moment::now(shared));
        }
        if now_ns >= self.last.at_ns + SECOND_NS {
            let now = Moment::now(shared);
            if !self.quiet {
                self.print(shared, &now);
            }
            self.last = now;
        }
    }

    fn print(&self, shared: &Shared, now: &Moment) {
        let seconds = now.seconds_since(&self.last);
        let rate = |count: fn(&Totals) -> u64| {
            (count(&now.totals) - count(&self.last.totals)) as f64 / seconds
        };
        let elapsed = now.at_ns.saturating_sub(shared.start_ns) as f64 / SECOND_NS as f64;
        let (sent, received) = (rate(|totals| totals.sent), rate(|totals| totals.received));
        let confirmed = rate(|totals| totals.confirmed);
        // If standard error is gone there is no one left to tell.
        let _ = writeln!(
            std::io::stderr(),
            "{elapsed:6.1} s  sent {sent:9.0}/s  received {received:9.0}/s  \
             confirmed {confirmed:9.0}/s"
        );
    }

    /// Start and end of the measured interval; of a run that ended in its warm-up, all of it.
    pub(super) fn finish(&self, shared: &Shared) -> (Moment, Moment) {
        let all = Moment { at_ns: shared.start_ns, totals: Totals::default(), cpu_s: None };
        (self.from.unwrap_or(all), Moment::now(shared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_warm_up_everything_counts() {
        let shared = Shared::new(0.0, None);
        let watch = Watch::new(&shared, true);
        shared.sent.add(5);
        let (from, to) = watch.finish(&shared);
        assert_eq!((from.totals.sent, to.totals.sent), (0, 5));
        assert_eq!(from.at_ns, shared.start_ns);
    }

    #[test]
    fn the_warm_up_is_left_out() {
        let shared = Shared::new(0.01, None);
        let mut watch = Watch::new(&shared, true);
        shared.sent.add(5);
        shared.clock.sleep_until(shared.measure_from_ns);
        watch.tick(&shared);
        shared.sent.add(2);
        let (from, to) = watch.finish(&shared);
        assert_eq!((from.totals.sent, to.totals.sent), (5, 7));
        assert!(from.at_ns >= shared.measure_from_ns);
    }
}
