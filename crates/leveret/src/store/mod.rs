//! `leveret store`: shows, verifies and salvages a data directory. Nothing is written to it.

mod inspect;
mod json;
mod output;
mod publish;
mod salvage;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Subcommand};
use leveret_server::durable_tools::{self, Finding, Severity};

use crate::config::{self, ConfigArgs};

/// How many findings are printed at most.
const FINDINGS_MAX: usize = 200;

/// What to do with a data directory.
#[derive(Subcommand)]
pub enum StoreCommand {
    /// Show what is in it; it may be in use.
    Inspect(InspectArgs),
    /// Read everything that is needed and tell what is damaged: exit with 0 if it is whole, 1 if
    /// something is damaged, 2 if it cannot be read.
    Check(Directory),
    /// Get the messages that can be read out of it, into a file or another broker.
    Salvage(salvage::SalvageArgs),
}

/// Which data directory.
#[derive(Args)]
pub struct Directory {
    /// The data directory, as for the server [env: LEVERET_DATA_DIR] [default: ./leveret-data]
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,

    /// The server's configuration file, for its data directory [env: LEVERET_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Arguments of `leveret store inspect`.
#[derive(Args)]
pub struct InspectArgs {
    #[command(flatten)]
    directory: Directory,

    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,

    /// Show each queue, not only sums.
    #[arg(long)]
    queues: bool,
}

impl Directory {
    /// The directory: of the flag, or where the server would look.
    fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.data_dir {
            return Ok(path.clone());
        }
        let mut arguments = ConfigArgs::default();
        arguments.file.clone_from(&self.config);
        Ok(config::load(&arguments)?.config.data_dir)
    }

    /// The directory, which must be there.
    fn existing(&self) -> anyhow::Result<PathBuf> {
        let path = self.path()?;
        ensure!(path.is_dir(), "there is no data directory at {}", path.display());
        Ok(path)
    }
}

/// Carries out a command.
pub fn run(command: &StoreCommand) -> anyhow::Result<ExitCode> {
    match command {
        StoreCommand::Inspect(arguments) => inspect::run(arguments),
        StoreCommand::Check(directory) => Ok(check(directory)),
        StoreCommand::Salvage(arguments) => salvage::run(arguments),
    }
}

fn check(directory: &Directory) -> ExitCode {
    let checked = directory.existing().and_then(|path| {
        let findings = durable_tools::check(&path);
        let mut text = list(&findings);
        let (verdict, code) = verdict(&findings);
        text.push_str(&format!("{}: {verdict}\n", path.display()));
        crate::print(&text)?;
        Ok(code)
    });
    match checked {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // If standard error is gone there is no one left to tell.
            let _ = writeln!(std::io::stderr(), "leveret: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The findings, a line each.
fn list(findings: &[Finding]) -> String {
    let mut text: String =
        findings.iter().take(FINDINGS_MAX).map(|finding| format!("{finding}\n")).collect();
    if let Some(more) = findings.len().checked_sub(FINDINGS_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}

/// What it comes to, and the exit code of a check.
fn verdict(findings: &[Finding]) -> (String, u8) {
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let (damaged, unreadable) = (count(Severity::Damage), count(Severity::Unreadable));
    match (damaged, unreadable) {
        (0, 0) => ("whole".to_owned(), 0),
        (_, 0) => (format!("DAMAGED (findings: {damaged})"), 1),
        _ => (format!("CANNOT BE READ (findings: {})", damaged + unreadable), 2),
    }
}
