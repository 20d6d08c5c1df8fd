//! The steps of `cargo xtask ci`, each timed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::{licences, tidy};

/// Runs all checks in order of their cost, and stops at the first that fails.
pub fn check(root: &Path) -> anyhow::Result<()> {
    step("format", || cargo(root, &["fmt", "--all", "--check"]))?;
    step("tidy", || tidy::run(root))?;
    step("licences", || licences::run(root))?;
    if has_cargo_deny() {
        step("deny", || cargo(root, &["deny", "check", "licenses", "bans", "sources"]))?;
    }
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("clippy", || cargo(root, &clippy))?;
    // All that has tests: no documentation has a program in it, and clippy has seen the examples.
    step("tests", || cargo(root, &["test", "--workspace", "--tests", "--quiet"]))
}

/// Changes what can be changed by a program.
pub fn fix(root: &Path) -> anyhow::Result<()> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty"];
    step("clippy", || cargo(root, &clippy))?;
    step("format", || cargo(root, &["fmt", "--all"]))
}

/// Runs one step and says how long it took.
fn step(name: &str, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let started = Instant::now();
    run().with_context(|| format!("{name} failed"))?;
    println!("== {name}: ok in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("cargo").args(arguments).current_dir(root).status()?;
    if !status.success() {
        bail!("cargo {}: {status}", arguments.join(" "));
    }
    Ok(())
}

/// Whether cargo-deny is installed; our own check of licences runs in any case.
fn has_cargo_deny() -> bool {
    let mut command = Command::new("cargo-deny");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
