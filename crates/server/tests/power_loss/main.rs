//! The whole broker core on the store over a disk that loses power and fails, by seed and in one
//! thread: what clients were told is durable is there after every restart, whole and in order.
//!
//! Two models judge each restart. `model` applies the groups that the broker appended, and must
//! agree exactly with what is found, for the last batch that is found; `ledger` knows only what
//! clients did and were told, so that it also judges what the broker appends.
//!
//! `LEVERET_CRASH_SEEDS` says how many seeds (default 150), `LEVERET_CRASH_SEED` where to begin. A
//! failure names its seed; `LEVERET_CRASH_SEEDS=1 LEVERET_CRASH_SEED=n` repeats it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![allow(clippy::print_stderr, reason = "a failure names its seed")]

mod client;
mod ledger;
mod model;
mod recording;
mod scenario;
mod world;

use leveret_store::disk::Fault;
use scenario::{Scenario, Totals, Trouble};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one scenario; says which it was if it fails.
fn run(name: &str, scenario: impl FnOnce() -> Scenario + std::panic::UnwindSafe) -> Totals {
    match std::panic::catch_unwind(|| scenario().run()) {
        Ok(totals) => totals,
        Err(panic) => {
            eprintln!("{name} failed");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn what_clients_were_told_survives() {
    let (first, count) = (number("LEVERET_CRASH_SEED", 1), number("LEVERET_CRASH_SEEDS", 150));
    let mut totals = Totals::default();
    for seed in first..first + count {
        totals.add(&run(&format!("seed {seed}"), || Scenario::new(seed)));
    }
    eprintln!("{count} seeds from {first}: {totals:?}");
    assert!(totals.crashes >= count, "every seed crashes");
    if count >= 150 {
        // A test that never gets to these would prove little.
        assert!(totals.torn > 0, "batches were torn");
        assert!(totals.segments > 0, "messages went to segments");
        assert!(totals.checkpoints > 0, "definitions were written as a whole");
        assert!(totals.crashes_in_recovery > 0, "recovery was cut short");
        assert!(totals.fatal > 0, "syncs and writes failed");
        assert!(totals.full > 0, "the disk was full");
        assert!(totals.clean_stops > 0, "some stops were in good order");
        assert!(totals.loads > 0 && totals.drained > 0, "messages were read back");
        assert!(totals.acts_undone > 0 && totals.acts_done > 0, "both happened to transactions");
        assert!(totals.redelivered > 0, "what was out came back");
    }
}

/// Power loss and failures at each operation of the disk in turn (every `LEVERET_FAULT_STRIDE`th,
/// default 29), among them all steps of upkeep.
#[test]
fn the_power_may_fail_at_every_operation() {
    let stride = number("LEVERET_FAULT_STRIDE", 29);
    let troubles = [
        Trouble::PowerLoss,
        Trouble::Fault(Fault::Eio),
        Trouble::Fault(Fault::Enospc),
        Trouble::Fault(Fault::ShortWrite),
        Trouble::Fault(Fault::Late),
    ];
    let busy = (1..).filter_map(|seed| {
        let whole = Scenario::with_trouble(seed, 0, Trouble::None).run();
        (whole.segments > 0 && whole.checkpoints > 0).then_some((seed, whole.operations))
    });
    let mut runs = 0;
    for (seed, operations) in busy.take(2) {
        for trouble in troubles {
            for at in (0..operations).step_by(stride as usize) {
                let name = format!("seed {seed}: {trouble:?} at operation {at}");
                run(&name, || Scenario::with_trouble(seed, at, trouble));
                runs += 1;
            }
        }
    }
    eprintln!("{runs} runs");
}
