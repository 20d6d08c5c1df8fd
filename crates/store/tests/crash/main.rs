//! The store over a disk that loses power, fails and tears, by seed: after every crash it must be
//! as after some batch of the log, and not before the last one that it called durable.
//!
//! `LEVERET_CRASH_SEEDS` says how many seeds (default 400), `LEVERET_CRASH_SEED` where to begin. A
//! failure names its seed; `LEVERET_CRASH_SEEDS=1 LEVERET_CRASH_SEED=n` repeats it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![allow(clippy::print_stderr, reason = "a test says which seed failed, and what it came to")]

mod model;
mod scenario;

use leveret_store::disk::Fault;
use scenario::{Scenario, Trouble};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_durable_is_lost_at_any_crash() {
    let (first, count) = (number("LEVERET_CRASH_SEED", 1), number("LEVERET_CRASH_SEEDS", 400));
    let mut totals = scenario::Totals::default();
    for seed in first..first + count {
        let run = std::panic::catch_unwind(|| Scenario::new(seed).run());
        match run {
            Ok(one) => totals.add(&one),
            Err(panic) => {
                eprintln!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{count} seeds from {first}: {totals:?}");
    assert!(totals.crashes >= count, "every seed crashes");
    if count >= 400 {
        // A test that never gets to these would prove little.
        assert!(totals.torn > 0, "batches were torn");
        assert!(totals.flushed > 0, "messages went to segments");
        assert!(totals.crashes_in_recovery > 0, "recovery was cut short");
        assert!(totals.failed_syncs > 0, "syncs failed");
        assert!(totals.full > 0, "the disk was full");
    }
}

/// Everything that can go wrong, at each operation of the disk in turn (every
/// `LEVERET_FAULT_STRIDE`th, default 13).
#[test]
fn every_operation_may_fail() {
    let stride = number("LEVERET_FAULT_STRIDE", 13);
    let kinds = [
        Trouble::PowerLoss,
        Trouble::Fault(Fault::Eio),
        Trouble::Fault(Fault::Enospc),
        Trouble::Fault(Fault::ShortWrite),
        Trouble::Fault(Fault::Late),
    ];
    let mut runs = 0;
    // Those that do enough, segments among it.
    let busy = (1..).filter_map(|seed| {
        let whole = Scenario::with_trouble(seed, 0, Trouble::None).run();
        (whole.operations > 200 && whole.flushed > 0).then_some((seed, whole))
    });
    for (seed, whole) in busy.take(3) {
        for trouble in kinds {
            for at in (0..whole.operations).step_by(stride as usize) {
                let run = std::panic::catch_unwind(|| {
                    Scenario::with_trouble(seed, at, trouble).run();
                });
                if let Err(panic) = run {
                    eprintln!("seed {seed}: {trouble:?} at operation {at}");
                    std::panic::resume_unwind(panic);
                }
                runs += 1;
            }
        }
    }
    eprintln!("{runs} runs");
}
