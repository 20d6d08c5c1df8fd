//! `leveret feature-flags`.

use clap::Subcommand;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, ListArgs, extra, shown};

const COLUMNS: &[Column] = &[
    shown("name"),
    shown("state"),
    shown("stability"),
    shown("description").at("desc"),
    extra("provided_by"),
    extra("doc_url"),
];

/// Verbs for feature flags.
#[derive(Subcommand)]
pub enum Command {
    /// List feature flags.
    List(ListArgs),
}

impl Operation for Command {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        let Command::List(list) = self;
        session.list(Target::new("list", &["feature-flags"]), COLUMNS, list)
    }
}
