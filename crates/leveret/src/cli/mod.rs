//! The verbs for a running broker: each asks the management API, RabbitMQ's or ours.
//!
//! `session` says whom to ask and as whom, `api` asks, `table` prints; `resources` has a file for
//! each kind of thing, with its columns and verbs; `import` takes a RabbitMQ over; `rabbitmqctl`
//! turns the verbs of RabbitMQ's tools into ours.
//!
//! Invariants: exit code 0 if what was asked for is done, 1 if it is not, 2 if it was not
//! understood; nothing is printed to standard output that `--json` does not promise.

mod amqp;
mod api;
mod argument;
mod import;
mod rabbitmqctl;
mod resources;
mod secret;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod tls;

use clap::{Args, Subcommand};

use import::ImportArgs;
pub use rabbitmqctl::translate;
use resources::{
    bindings, channels, connections, consume, consumers, definitions, exchanges, feature_flags,
    get, health, limits, logs, messages, nodes, overview, parameters, permissions, policies,
    publish, queues, scheduled, status, topic_permissions, users, vhosts, whoami,
};
use session::{Session, SessionArgs};
pub use table::text as table_text;

/// What a verb does once it is known whom to ask.
pub trait Operation {
    /// Does it, and prints what is to be printed.
    fn run(&self, session: &Session) -> anyhow::Result<()>;
}

/// Verbs of one kind of thing.
#[derive(Args)]
pub struct Group<C: Subcommand> {
    #[command(subcommand)]
    verb: C,

    #[command(flatten)]
    session: SessionArgs,
}

/// A verb that stands alone.
#[derive(Args)]
pub struct Verb<A: Args> {
    #[command(flatten)]
    arguments: A,

    #[command(flatten)]
    session: SessionArgs,
}

/// The verbs for a running broker.
#[derive(Subcommand)]
pub enum ManageCommand {
    /// Show whether the broker is well: nodes, memory, disk, alarms, listeners.
    Status(Verb<status::Status>),
    /// Show totals and rates of everything.
    Overview(Verb<overview::Overview>),
    /// The nodes.
    Nodes(Group<nodes::Command>),
    /// Queues: list, show, declare, delete, purge.
    Queues(Group<queues::Command>),
    /// Exchanges: list, show, declare, delete.
    Exchanges(Group<exchanges::Command>),
    /// Bindings: list, declare, delete.
    Bindings(Group<bindings::Command>),
    /// Connections: list, show, close.
    Connections(Group<connections::Command>),
    /// Channels: list.
    Channels(Group<channels::Command>),
    /// Consumers: list.
    Consumers(Group<consumers::Command>),
    /// Virtual hosts: list, show, add, delete.
    Vhosts(Group<vhosts::Command>),
    /// Users: list, add, delete, change-password, set-tags.
    Users(Group<users::Command>),
    /// What users may do: list, set, clear.
    Permissions(Group<permissions::Command>),
    /// What users may publish and bind by routing key: list, set, clear.
    TopicPermissions(Group<topic_permissions::Command>),
    /// Policies: list, set, clear.
    Policies(Group<policies::Command>),
    /// Policies that operators put above users': list, set, clear.
    OperatorPolicies(Group<policies::OperatorCommand>),
    /// Parameters of components: list, set, clear.
    Parameters(Group<parameters::Command>),
    /// Parameters of the whole broker: list, set, clear.
    GlobalParameters(Group<parameters::GlobalCommand>),
    /// Limits of vhosts and users: list, set, clear.
    Limits(Group<limits::Command>),
    /// Definitions as one file: export, import.
    Definitions(Group<definitions::Command>),
    /// Feature flags: list.
    FeatureFlags(Group<feature_flags::Command>),
    /// Publish a message.
    Publish(Verb<publish::Publish>),
    /// Look at the first messages of a queue, or take them.
    Get(Verb<get::Get>),
    /// Consume a queue and print what comes.
    Consume(Verb<consume::Consume>),
    /// Look through a queue without disturbing it; delete, move or redrive messages of it.
    Messages(Group<messages::Command>),
    /// Messages that wait in an exchange for their time: list, cancel.
    Scheduled(Group<scheduled::Command>),
    /// Check the broker's health; exit with 1 if something is wrong.
    Health(Verb<health::Health>),
    /// Show as whom the broker sees you.
    Whoami(Verb<whoami::Whoami>),
    /// Show the end of the broker's log.
    Logs(Verb<logs::Logs>),
    /// Take over a running RabbitMQ: its definitions, and the messages of its queues.
    Import(Verb<ImportArgs>),
}

impl<C: Subcommand + Operation> Group<C> {
    fn run(&self) -> anyhow::Result<()> {
        self.verb.run(&Session::open(&self.session)?)
    }
}

impl<A: Args + Operation> Verb<A> {
    fn run(&self) -> anyhow::Result<()> {
        self.arguments.run(&Session::open(&self.session)?)
    }
}

/// Carries out a verb.
pub fn run(command: &ManageCommand) -> anyhow::Result<()> {
    match command {
        ManageCommand::Status(verb) => verb.run(),
        ManageCommand::Overview(verb) => verb.run(),
        ManageCommand::Nodes(group) => group.run(),
        ManageCommand::Queues(group) => group.run(),
        ManageCommand::Exchanges(group) => group.run(),
        ManageCommand::Bindings(group) => group.run(),
        ManageCommand::Connections(group) => group.run(),
        ManageCommand::Channels(group) => group.run(),
        ManageCommand::Consumers(group) => group.run(),
        ManageCommand::Vhosts(group) => group.run(),
        ManageCommand::Users(group) => group.run(),
        ManageCommand::Permissions(group) => group.run(),
        ManageCommand::TopicPermissions(group) => group.run(),
        ManageCommand::Policies(group) => group.run(),
        ManageCommand::OperatorPolicies(group) => group.run(),
        ManageCommand::Parameters(group) => group.run(),
        ManageCommand::GlobalParameters(group) => group.run(),
        ManageCommand::Limits(group) => group.run(),
        ManageCommand::Definitions(group) => group.run(),
        ManageCommand::FeatureFlags(group) => group.run(),
        ManageCommand::Publish(verb) => verb.run(),
        ManageCommand::Get(verb) => verb.run(),
        ManageCommand::Consume(verb) => verb.run(),
        ManageCommand::Messages(group) => group.run(),
        ManageCommand::Scheduled(group) => group.run(),
        ManageCommand::Health(verb) => verb.run(),
        ManageCommand::Whoami(verb) => verb.run(),
        ManageCommand::Logs(verb) => verb.run(),
        ManageCommand::Import(verb) => verb.run(),
    }
}
