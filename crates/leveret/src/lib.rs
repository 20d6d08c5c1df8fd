//! The one binary, but for its `main`: it reads arguments and calls the command they name.
//!
//! A library, so that cargo compiles it while the server is still being compiled; nobody but
//! `main.rs` uses it.

mod allocator;
mod amqp_json;
mod binary_pages;
mod cli;
mod config;
mod generate;
mod logging;
mod notify;
mod perf;
mod ping;
mod server_command;
mod store;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, CommandFactory, Parser, Subcommand};

use config::ConfigArgs;

/// A message broker that speaks RabbitMQ's protocols.
#[derive(Parser)]
#[command(name = "leveret", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    server: ConfigArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker in the foreground (also without a command).
    Server(ConfigArgs),
    /// Print the configuration in effect, with explanations and where each value came from.
    Config(ConfigCommand),
    /// Ask the broker of this configuration whether it serves; exit with 1 if it does not.
    Ping(ping::PingArgs),
    /// Measure a broker, this one or another.
    Perf(Box<perf::PerfArgs>),
    /// Show, verify or salvage a data directory.
    #[command(subcommand)]
    Store(store::StoreCommand),
    #[command(flatten)]
    Manage(Box<cli::ManageCommand>),
    /// Print the completion script of a shell.
    Completion(generate::Completion),
    /// Print manual pages.
    Man(generate::Man),
    /// Print the version.
    Version,
}

#[derive(Args)]
struct ConfigCommand {
    /// Only check the configuration; exit with 1 if it is not valid.
    #[arg(long)]
    check: bool,

    /// Print the reference of all keys in Markdown instead.
    #[arg(long, conflicts_with_all = ["check", "show_secrets"])]
    reference: bool,

    /// Print passwords too.
    #[arg(long)]
    show_secrets: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command that the process's arguments name; for `main`, before there are other threads.
pub fn run() -> ExitCode {
    allocator::configure();
    let started = Instant::now();
    let cli = Cli::parse_from(cli::translate(std::env::args_os().collect()));
    let done = |()| ExitCode::SUCCESS;
    let result = match cli.command.unwrap_or(Command::Server(cli.server)) {
        Command::Server(arguments) => server_command::run(&arguments, started).map(done),
        Command::Config(command) => print_config(&command).map(done),
        Command::Ping(arguments) => ping::run(&arguments).and_then(|text| print(&text)).map(done),
        Command::Perf(arguments) => perf::run(*arguments).map(done),
        Command::Store(command) => store::run(&command),
        Command::Manage(command) => cli::run(&command).map(done),
        Command::Completion(completion) => completion.print(Cli::command()).map(done),
        Command::Man(man) => man.print(Cli::command()).map(done),
        Command::Version => print(&format!("leveret {}\n", env!("CARGO_PKG_VERSION"))).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // If standard error is gone there is no one left to tell.
            let _ = writeln!(std::io::stderr(), "leveret: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_config(command: &ConfigCommand) -> anyhow::Result<()> {
    if command.reference {
        return print(&config::reference());
    }
    let loaded = config::load(&command.config)?;
    for warning in &loaded.warnings {
        writeln!(std::io::stderr(), "leveret: {warning}")?;
    }
    if command.check {
        return print("the configuration is valid\n");
    }
    print(&config::to_toml(&loaded, command.show_secrets))
}

/// Writes to standard output; a reader that left early is no error.
fn print(text: &str) -> anyhow::Result<()> {
    print_bytes(text.as_bytes())
}

/// The same for what need not be text.
fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
