//! The loads of `bench/compare.py` beside those of `leveret perf`: connections that idle, queues
//! that hold one message, churn, and a topic exchange with many bindings. Each prints JSON, one
//! object, and nothing else.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

mod churn;
mod hold;
mod topic;

use clap::{Parser, Subcommand};

/// Loads for measuring what a broker costs and routes.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Opens connections with a channel and a consumer each, and keeps them until its input ends.
    Connections(hold::Connections),
    /// Declares queues with one message each, and keeps the connection until its input ends.
    Queues(hold::Queues),
    /// Opens and closes connections, channels or queues.
    Churn(churn::Churn),
    /// Publishes to a topic exchange with many bindings.
    Topic(topic::Topic),
}

fn main() -> anyhow::Result<()> {
    match Options::parse().load {
        Load::Connections(connections) => hold::connections(&connections),
        Load::Queues(queues) => hold::queues(&queues),
        Load::Churn(churn) => churn::run(&churn),
        Load::Topic(topic) => topic::run(&topic),
    }
}
