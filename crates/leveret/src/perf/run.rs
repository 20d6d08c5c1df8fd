//! A run from its start to its report.
//!
//! With a rate, latencies are counted from the time a message was due, not from when it was sent,
//! and nothing that was due is left out: the producers send what they owe when the time is over,
//! and the run waits for it. So a broker that stands still for a second has a second in its
//! figures, whichever messages it held up (what is called coordinated omission would hide it).

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::arguments::PerfArgs;
use super::clock::sharpen_sleep;
use super::report::Report;
use super::tally::{Shared, Totals};
use super::threads::Threads;
use super::topology::Topology;
use super::watch::Watch;

/// How often the run looks whether it is over.
const TICK: Duration = Duration::from_millis(5);

/// Runs the load that `args` ask for and prints the result to standard output.
pub fn run(args: PerfArgs) -> anyhow::Result<()> {
    ensure!(args.queues > 0, "there has to be a queue");
    ensure!(args.producers + args.consumers > 0, "there is nothing to do");
    ensure!(args.seconds().is_none_or(|seconds| seconds > args.warmup), "it is all warm-up");
    sharpen_sleep();
    let topology = Topology::declare(&args)?;
    let measured = measure(&args, &topology);
    let removed = topology.remove();
    let report = measured?;
    removed?;
    let text = if args.json { report.to_json()? } else { report.to_table() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn measure(args: &PerfArgs, topology: &Topology<'_>) -> anyhow::Result<Report> {
    let (mut threads, shared) =
        Threads::start(topology, || Shared::new(args.warmup, args.seconds()))?;
    let mut watch = Watch::new(&shared, args.quiet);
    let mut ending = Ending::new(args);
    while !ending.is_here(threads.are_sending(), &shared) {
        std::thread::sleep(TICK);
        threads.check()?;
        watch.tick(&shared);
    }
    let (from, to) = watch.finish(&shared);
    if args.rate.is_some() {
        ending.wait_for_the_rest(&mut threads, &shared)?;
    }
    shared.stop();
    let (latency, confirm_latency) = threads.end()?;
    Ok(Report {
        from,
        to,
        missing: ending.missing(&shared.totals()),
        lag_us: args.rate.map(|_| shared.lag_us()),
        latency,
        confirm_latency: confirm_latency.filter(|_| args.confirm.is_some()),
    })
}

/// When a run is over.
#[derive(Debug)]
struct Ending {
    messages: Option<u64>,
    paced: bool,
    copies: u64,
    producing: bool,
    consuming: bool,
    confirming: bool,
    patience: Duration,
    last: (Instant, Totals),
}

impl Ending {
    fn new(args: &PerfArgs) -> Ending {
        Ending {
            messages: args.messages,
            paced: args.rate.is_some(),
            copies: args.copies(),
            producing: args.producers > 0,
            consuming: args.consumers > 0,
            confirming: args.confirm.is_some(),
            patience: Duration::from_secs_f64(args.drain.clamp(0.0, 86_400.0)),
            last: (Instant::now(), Totals::default()),
        }
    }

    /// At the end of the time; or with a number of messages when all have been sent and nothing is
    /// missing, or nothing has come for a while.
    fn is_here(&mut self, sending: bool, shared: &Shared) -> bool {
        if shared.clock.now() >= shared.end_ns {
            return true;
        }
        if self.messages.is_none() {
            return false;
        }
        let totals = shared.totals();
        if sending || totals != self.last.1 {
            self.last = (Instant::now(), totals);
        }
        !sending && (self.missing(&totals) == 0 || self.last.0.elapsed() >= self.patience)
    }

    /// Waits for what is due and not yet sent, and for what is sent and has not come, as long as
    /// the run has patience.
    fn wait_for_the_rest(&self, threads: &mut Threads, shared: &Shared) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.patience;
        while Instant::now() < deadline
            && (threads.are_sending() || self.missing(&shared.totals()) > 0)
        {
            std::thread::sleep(TICK);
            threads.check()?;
        }
        Ok(())
    }

    /// How many messages are neither received nor, with confirms, settled; only known for a
    /// number of messages, or with a rate, where a run waits for all that it sent.
    fn missing(&self, totals: &Totals) -> u64 {
        if self.messages.is_none() && !self.paced {
            return 0;
        }
        let messages = self.messages.unwrap_or_default();
        let expected = if self.producing { totals.sent * self.copies } else { messages };
        let received = if self.consuming { totals.received } else { expected };
        let settled = if self.confirming { totals.confirmed + totals.refused } else { totals.sent };
        expected.saturating_sub(received).max(totals.sent.saturating_sub(settled))
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::parse;
    use super::*;

    #[test]
    fn what_is_missing_depends_on_who_takes_part() {
        let totals = Totals { sent: 10, received: 7, confirmed: 4, refused: 1, returned: 0 };
        assert_eq!(Ending::new(&parse("--time 1")).missing(&totals), 0);
        assert_eq!(Ending::new(&parse("--time 1 --rate 10")).missing(&totals), 3);
        assert_eq!(Ending::new(&parse("--messages 10")).missing(&totals), 3);
        assert_eq!(Ending::new(&parse("--messages 10 --confirm 5")).missing(&totals), 5);
        assert_eq!(Ending::new(&parse("--messages 10 --consumers 0")).missing(&totals), 0);
        assert_eq!(Ending::new(&parse("--messages 9 --producers 0")).missing(&totals), 2);
    }
}
