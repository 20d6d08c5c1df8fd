//! `leveret definitions`: all that is declared, as one file in RabbitMQ's form.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::argument::read_json;
use crate::cli::session::Session;

/// Verbs for definitions.
#[derive(Subcommand)]
pub enum Command {
    /// Write the definitions of the broker, or of the vhost of --vhost, to a file. The one of the
    /// broker holds the hashes of passwords.
    Export(File),
    /// Take in the definitions of a file: all of them, or none if one is wrong.
    Import(File),
}

/// Which file.
#[derive(Args)]
pub struct File {
    /// The file; - is standard output or input
    #[arg(default_value = "-")]
    file: String,
}

fn target(session: &Session) -> Target {
    session.collection(&["definitions"])
}

/// Writes a file that only its owner may read.
fn write_private(path: &str, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("writing {path}"))
}

/// How many things definitions hold.
pub(in crate::cli) fn count(definitions: &Value) -> usize {
    let sections = definitions.as_object().into_iter().flat_map(|sections| sections.values());
    sections.filter_map(Value::as_array).map(Vec::len).sum()
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        match self {
            Command::Export(File { file }) => {
                let definitions = session.client.get(&target(session))?;
                let text = format!("{definitions:#}\n");
                if file == "-" {
                    return crate::print(&text);
                }
                write_private(file, &text)?;
                session.say(&format!("definitions written to {file}: {}", count(&definitions)))
            }
            Command::Import(File { file }) => {
                let definitions = read_json(file)?;
                session.client.post(&target(session), &definitions)?;
                session.say(&format!("definitions taken in: {}", count(&definitions)))
            }
        }
    }
}
