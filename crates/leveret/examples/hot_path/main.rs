//! The hot path in one thread, without sockets, clocks and disks, so that its instructions can be
//! counted: `cargo xtask hot-path` runs it under callgrind.
//!
//! Without arguments it prints the names of its scenarios, with one it runs it and prints how many
//! messages were counted. Callgrind counts what [`counted`] does; the rest sets the stage.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod client;
mod feature;
mod null_disk;
mod scenario;

use scenario::{SCENARIOS, Stage};

/// As in the broker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What callgrind is told to count by this name.
#[inline(never)]
fn counted(stage: &mut Stage, turns: usize) {
    for turn in 0..turns {
        stage.turn(turn);
    }
}

fn main() {
    let Some(name) = std::env::args().nth(1) else {
        SCENARIOS.iter().for_each(|scenario| println!("{}", scenario.name));
        return;
    };
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
    let scenario = scenario.expect("the name is one of those that are listed");
    let mut stage = Stage::new(scenario);
    // Buffers reach their size, and the pages of the allocator are there.
    (0..scenario.warm_up_turns()).for_each(|turn| stage.turn(turn));
    stage.check(scenario.warm_up_turns());
    counted(&mut stage, scenario.turns());
    stage.check(scenario.turns());
    println!("{}", scenario.messages);
}
