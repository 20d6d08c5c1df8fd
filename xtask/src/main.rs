//! `cargo xtask`: the repository's own checks, the same here as in continuous integration.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its purpose")]

mod ci;
mod figures;
mod hot_path;
mod licences;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use hot_path::Mode;

const USAGE: &str = "\
usage: cargo xtask COMMAND
  ci        all checks: format, clippy, tidy, licences, tests; changes nothing
  tidy      the checks of the repository: walls between crates, dead files, shape limits
  fix       format, and apply clippy's suggestions
  hot-path  count the instructions a message costs, and compare with bench/hot_path.toml;
            --write writes them down, --tables prints where they went
  figures   the shape of the code in numbers";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = root();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ci"] => ci::check(&root),
        ["fix"] => ci::fix(&root),
        ["tidy"] => tidy::run(&root),
        ["figures"] => figures::run(&root),
        ["hot-path"] => hot_path::run(&root, Mode::Check),
        ["hot-path", "--write"] => hot_path::run(&root, Mode::Write),
        ["hot-path", "--tables"] => hot_path::run(&root, Mode::Tables),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// What `cargo metadata` says, with or without the packages of others.
fn metadata(root: &Path, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1"])
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
