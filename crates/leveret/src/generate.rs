//! What is generated from the definition of the command line: completion scripts and manual pages.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, Command};
use clap_complete::Shell;

/// Arguments of `leveret completion`.
#[derive(Args)]
pub struct Completion {
    /// The shell
    shell: Shell,
}

/// Arguments of `leveret man`.
#[derive(Args)]
pub struct Man {
    /// The command, such as queues list; leveret itself if none is named
    command: Vec<String>,

    /// Write the pages of all commands into this directory instead
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    directory: Option<PathBuf>,
}

impl Completion {
    /// Prints the script.
    pub fn print(&self, mut command: Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "leveret", &mut script);
        crate::print_bytes(&script)
    }
}

impl Man {
    /// Prints a page, or writes all.
    pub fn print(&self, mut command: Command) -> anyhow::Result<()> {
        command = command.disable_help_subcommand(true);
        if let Some(directory) = &self.directory {
            std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(command, directory))
                .with_context(|| format!("writing pages to {}", directory.display()))?;
            return Ok(());
        }
        command.build();
        let mut found = &command;
        let mut name = found.get_name().to_owned();
        for word in &self.command {
            let next = found.find_subcommand(word);
            found = next.ok_or_else(|| anyhow!("there is no command `{name} {word}`"))?;
            name = format!("{name} {word}");
        }
        let title = name.replace(' ', "-");
        let mut page = Vec::new();
        clap_mangen::Man::new(found.clone()).title(title).render(&mut page)?;
        crate::print_bytes(&page)
    }
}
