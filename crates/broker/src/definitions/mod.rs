//! What is declared: vhosts, users, exchanges, queues, bindings, policies and limits.
//!
//! Every change is a [`Command`]; applying one to a [`Topology`] is deterministic and gives a new
//! topology, the old one staying as it was for those who still read it. Names are checked and
//! arguments validated before a command is made (`declare`), so that applying cannot fail.

mod arguments;
mod command;
mod equivalence;
mod exchange;
mod limits;
mod parameters;
mod policy;
mod queue;
mod retry;
mod settings;
mod snapshot;
mod topology;
mod user;

pub(crate) use arguments::{COMPARED, Flags, TIMER_MAX_MS, consumer_priority};
pub use command::{Applied, Command};
pub(crate) use equivalence::{check_arguments, check_flag};
pub use exchange::{Binding, Exchange, ExchangeSpec, Traffic};
pub use limits::{Quota, QuotaOf, UserLimits, VhostLimits};
pub use parameters::{CLUSTER_NAME, ParameterKey, VhostMetadata};
pub(crate) use policy::Applying;
pub use policy::{ApplyTo, Policies, Policy, PolicyKind, PolicyRequest};
pub use queue::QueueSpec;
pub use settings::{
    Backoff, DeadLetterStrategy, Deduplication, DelayedRetry, Overflow, QueueSettings, RetryKind,
};
pub(crate) use topology::is_predeclared;
pub use topology::{Topology, Unused, Vhost};
pub use user::{ADMINISTRATOR, IMPERSONATOR, User, UserWithoutTags};
