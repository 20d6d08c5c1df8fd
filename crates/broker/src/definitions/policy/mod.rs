//! Policies: settings for all queues and exchanges whose names match a pattern (RabbitMQ:
//! Policies), and operator policies, which limit them.
//!
//! Invariants: of each kind at most one applies to a queue or exchange, the one with the highest
//! priority, of several with the same the first by name. A policy was validated before it is here;
//! which one applies depends on nothing but the policies and what was declared.

mod keys;
mod merge;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

pub(crate) use merge::Applying;

use super::QueueSettings;
use crate::error::Refusal;
use crate::ids::Name;
use crate::message::FieldTable;

/// The longest pattern, in bytes.
const PATTERN_MAX: usize = 4096;
/// How much memory a compiled pattern may take, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Whose policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// A user's.
    Policy,
    /// The operator's, which limits those of users.
    Operator,
}

/// What a policy is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplyTo {
    /// Queues and exchanges.
    #[default]
    All,
    /// Exchanges.
    Exchanges,
    /// Queues of all types.
    Queues,
    /// Classic queues.
    ClassicQueues,
    /// Quorum queues.
    QuorumQueues,
    /// Streams.
    Streams,
}

impl ApplyTo {
    const ALL: [Self; 6] = [
        Self::All,
        Self::Exchanges,
        Self::Queues,
        Self::ClassicQueues,
        Self::QuorumQueues,
        Self::Streams,
    ];

    /// RabbitMQ's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exchanges => "exchanges",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
        }
    }

    fn from_name(name: &str) -> Result<Self, Refusal> {
        let found = Self::ALL.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| {
            Refusal::precondition(format!(
                "apply-to '{name}' unrecognised; should be one of: 'queues', 'classic_queues', \
                 'quorum_queues', 'streams', 'exchanges', or 'all'"
            ))
        })
    }

    fn takes_queue(self, quorum: bool) -> bool {
        match self {
            Self::All | Self::Queues => true,
            Self::ClassicQueues => !quorum,
            Self::QuorumQueues => quorum,
            Self::Exchanges | Self::Streams => false,
        }
    }
}

/// A policy as somebody asks for it.
#[derive(Debug, Clone)]
pub struct PolicyRequest<'a> {
    /// A regular expression; it may match anywhere in the name.
    pub pattern: &'a str,
    /// RabbitMQ's word; `all` where nothing is said.
    pub apply_to: &'a str,
    /// Keys and values.
    pub definition: FieldTable,
    /// The highest one counts.
    pub priority: i64,
}

/// A policy, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name, unique in its vhost and kind.
    pub name: Name,
    /// A regular expression; it may match anywhere in the name.
    pub pattern: Name,
    /// What it is for.
    pub apply_to: ApplyTo,
    /// Keys and values, sorted by key.
    pub definition: FieldTable,
    /// The highest one counts.
    pub priority: i64,
}

/// As Erlang's `re` without options: names are bytes, `\w` and the like are ASCII.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).size_limit(PATTERN_SIZE_MAX).build()
}

impl Policy {
    /// Checks a request, and says in RabbitMQ's words what is wrong with it.
    pub(crate) fn check(
        kind: PolicyKind,
        name: &str,
        request: &PolicyRequest<'_>,
    ) -> Result<Self, Refusal> {
        if name.is_empty() || name.len() > 255 {
            return Err(Refusal::precondition("policy name must have 1 to 255 bytes"));
        }
        let apply_to = ApplyTo::from_name(request.apply_to)?;
        if request.pattern.len() > PATTERN_MAX {
            let text = format!("pattern must not exceed {PATTERN_MAX} bytes");
            return Err(Refusal::precondition(text));
        }
        compile(request.pattern).map_err(|error| {
            // The library points at the place in lines of its own; its last line is the reason.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            Refusal::precondition(format!(
                "pattern should be regular expression but is invalid: {reason}"
            ))
        })?;
        keys::check(kind, &request.definition).map_err(Refusal::precondition)?;
        let mut definition = request.definition.clone();
        definition.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self {
            name: name.into(),
            pattern: request.pattern.into(),
            apply_to,
            definition,
            priority: request.priority,
        })
    }
}

/// A policy with its pattern compiled.
#[derive(Debug)]
struct Compiled {
    policy: Policy,
    /// None if the pattern, which another version took, is none for this one: matches nothing.
    pattern: Option<Regex>,
}

impl Compiled {
    fn matches(&self, name: &str) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(name.as_bytes()))
    }

    /// As in RabbitMQ, a policy with a key that the queue's type does not know does not apply.
    fn takes_queue(&self, name: &str, quorum: bool) -> bool {
        self.policy.apply_to.takes_queue(quorum)
            && !self.policy.definition.iter().any(|(key, _)| keys::is_foreign(key, quorum))
            && self.matches(name)
    }

    fn takes_exchange(&self, name: &str) -> bool {
        matches!(self.policy.apply_to, ApplyTo::All | ApplyTo::Exchanges) && self.matches(name)
    }
}

/// The policies of one kind in one vhost, those that count first.
#[derive(Debug, Clone, Default)]
struct Ordered(Arc<Vec<Arc<Compiled>>>);

impl Ordered {
    fn put(&mut self, policy: Policy) {
        self.delete(&policy.name);
        let compiled = Compiled { pattern: compile(&policy.pattern).ok(), policy };
        let rank = |one: &Compiled| (Reverse(one.policy.priority), one.policy.name.clone());
        let all = Arc::make_mut(&mut self.0);
        let at = all.partition_point(|one| rank(one) < rank(&compiled));
        all.insert(at, Arc::new(compiled));
    }

    fn delete(&mut self, name: &str) {
        if self.get(name).is_some() {
            Arc::make_mut(&mut self.0).retain(|one| &*one.policy.name != name);
        }
    }

    fn get(&self, name: &str) -> Option<&Policy> {
        self.all().find(|policy| &*policy.name == name)
    }

    fn all(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().map(|one| &one.policy)
    }

    fn find(&self, takes: impl Fn(&Compiled) -> bool) -> Option<&Policy> {
        self.0.iter().find(|one| takes(one)).map(|one| &one.policy)
    }
}

/// The policies of a vhost.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    of_users: Ordered,
    of_operator: Ordered,
}

impl Policies {
    fn of(&self, kind: PolicyKind) -> &Ordered {
        match kind {
            PolicyKind::Policy => &self.of_users,
            PolicyKind::Operator => &self.of_operator,
        }
    }

    fn of_mut(&mut self, kind: PolicyKind) -> &mut Ordered {
        match kind {
            PolicyKind::Policy => &mut self.of_users,
            PolicyKind::Operator => &mut self.of_operator,
        }
    }

    pub(super) fn put(&mut self, kind: PolicyKind, policy: Policy) {
        self.of_mut(kind).put(policy);
    }

    pub(super) fn delete(&mut self, kind: PolicyKind, name: &str) {
        self.of_mut(kind).delete(name);
    }

    /// Those of one kind, the ones that count first in front.
    pub fn all(&self, kind: PolicyKind) -> impl Iterator<Item = &Policy> {
        self.of(kind).all()
    }

    /// The policy of that name.
    pub fn get(&self, kind: PolicyKind, name: &str) -> Option<&Policy> {
        self.of(kind).get(name)
    }

    /// What applies to a queue.
    pub(crate) fn for_queue(&self, name: &str, quorum: bool) -> Applying<'_> {
        let takes = |one: &Compiled| one.takes_queue(name, quorum);
        Applying { policy: self.of_users.find(takes), operator: self.of_operator.find(takes) }
    }

    /// What applies to an exchange.
    pub(crate) fn for_exchange(&self, name: &str) -> Applying<'_> {
        let takes = |one: &Compiled| one.takes_exchange(name);
        Applying { policy: self.of_users.find(takes), operator: self.of_operator.find(takes) }
    }

    /// The settings in force of a queue with those arguments.
    pub(crate) fn settings(
        &self,
        spec: &super::QueueSpec,
        declared: &Arc<QueueSettings>,
    ) -> Arc<QueueSettings> {
        let applying = self.for_queue(&spec.name, declared.quorum);
        if applying.is_nothing() {
            return Arc::clone(declared);
        }
        let arguments = applying.merge_arguments(&spec.arguments, declared.quorum);
        let settings = QueueSettings::read(&arguments, spec.resource());
        if settings == **declared { Arc::clone(declared) } else { Arc::new(settings) }
    }
}
