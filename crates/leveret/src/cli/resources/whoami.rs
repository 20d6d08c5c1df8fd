//! `leveret whoami`.

use clap::Args;

use crate::cli::Operation;
use crate::cli::api::Target;
use crate::cli::session::Session;
use crate::cli::table::{Column, shown};

const COLUMNS: &[Column] = &[shown("name"), shown("tags")];

/// Arguments of `leveret whoami`: none.
#[derive(Args)]
pub struct Whoami {}

impl Operation for Whoami {
    fn run(&self, session: &Session) -> anyhow::Result<()> {
        session.print_one(&session.client.get(&Target::new("user", &["whoami"]))?, COLUMNS)
    }
}
