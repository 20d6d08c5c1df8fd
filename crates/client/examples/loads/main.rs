//! The loads of `bench/` beside those of `leveret perf`. Each prints JSON, one object a line, and
//! nothing else.
//!
//! `bench/compare.py` has connections that idle, queues that hold one message, churn, a topic
//! exchange with many bindings, and messages through NATS. `bench/storage.py` has numbered messages
//! into a queue and out of it in order, many declarations, a fan-out, and the first confirm.
//! `expire` is for whoever works on times to live (docs/performance.md).

#![allow(clippy::print_stdout, reason = "a command-line tool")]

mod backlog;
mod churn;
mod declare;
mod delayed;
mod drain;
mod expire;
mod fill;
mod hold;
mod nats;
mod single;
mod topic;

use clap::{Parser, Subcommand};

/// Loads for measuring what a broker costs, routes and stores.
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
    /// Publishes and receives through a NATS server.
    Nats(nats::Nats),
    /// Publishes numbered persistent messages to a durable queue, confirmed; a line a tenth.
    Fill(backlog::Amount),
    /// Takes them out again and checks their order; a line a tenth.
    Drain(backlog::Amount),
    /// Publishes messages with times to live of their own, and tells how late they expire.
    Expire(expire::Expire),
    /// Tells how many messages a queue has, by passive declare.
    Count(backlog::Target),
    /// Publishes messages that are due later, and tells how late they come.
    Delayed(delayed::Delayed),
    /// Declares durable queues.
    Declare(declare::Declaration),
    /// Publishes persistent messages to a fanout exchange with durable queues, confirmed.
    Fan(single::Fan),
    /// Waits for a broker, declares a durable queue and has one persistent message confirmed.
    First(backlog::Target),
}

fn main() -> anyhow::Result<()> {
    match Options::parse().load {
        Load::Connections(connections) => hold::connections(&connections),
        Load::Queues(queues) => hold::queues(&queues),
        Load::Churn(churn) => churn::run(&churn),
        Load::Topic(topic) => topic::run(&topic),
        Load::Nats(load) => nats::run(&load),
        Load::Fill(amount) => fill::run(&amount),
        Load::Drain(amount) => drain::run(&amount),
        Load::Expire(expire) => expire::run(&expire),
        Load::Count(target) => single::count(&target),
        Load::Delayed(load) => delayed::run(&load),
        Load::Declare(declaration) => declare::run(&declaration),
        Load::Fan(fan) => single::fan(&fan),
        Load::First(target) => single::first(&target),
    }
}
