//! An exchange as declared, and its bindings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use imbl::OrdSet;
use serde::{Deserialize, Serialize};

use super::{Policies, QueueSpec};
use crate::deduplication::{ExchangeMemory, settings_of};
use crate::error::{Refusal, Resource};
use crate::ids::{Name, QueueId};
use crate::message::{FieldTable, FieldValue, Table};
use crate::queue::QueueHandle;
use crate::routing::{Destination, ExchangeKind, Router};

/// What `exchange.declare` says of an exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExchangeSpec {
    /// Its name, unique in its vhost.
    pub name: Name,
    /// Its type.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when the last binding that leads out of it goes.
    pub auto_delete: bool,
    /// Takes messages from other exchanges only.
    pub internal: bool,
    /// The arguments as they came.
    pub arguments: FieldTable,
}

impl ExchangeSpec {
    /// The type by whose rules it routes.
    pub(crate) fn routing_kind(&self) -> ExchangeKind {
        self.kind.routing(&self.arguments)
    }

    /// Refuses an alternate-exchange argument that is no string, and what the type refuses.
    pub(crate) fn check(&self, vhost: &str) -> Result<(), Refusal> {
        match self.arguments.get("alternate-exchange") {
            None | Some(FieldValue::LongStr(_)) => {
                settings_of(self.kind, &self.arguments)?;
                self.kind.check_arguments(&self.arguments)
            }
            Some(other) => Err(Refusal::precondition(format!(
                "invalid type '{}' for arg 'alternate-exchange' in {}",
                other.type_name(),
                Resource::Exchange(&self.name, vhost)
            ))),
        }
    }
}

/// A binding from an exchange to a queue or another exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange that routes.
    pub source: Name,
    /// Where to.
    pub destination: Destination,
    /// The binding key.
    pub routing_key: Name,
    /// Sorted by key: the order in which a client names them makes no other binding.
    pub arguments: FieldTable,
}

impl Binding {
    /// A binding; sorts the arguments.
    pub fn new(
        source: Name,
        destination: Destination,
        routing_key: Name,
        mut arguments: FieldTable,
    ) -> Self {
        arguments.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { source, destination, routing_key, arguments }
    }

    #[cfg(test)]
    pub(crate) fn to_queue(source: &str, queue: &str, routing_key: &str) -> Self {
        let destination = Destination::Queue(queue.into());
        Self::new(source.into(), destination, routing_key.into(), FieldTable::default())
    }

    pub(crate) fn key(&self) -> BindingKey {
        let mut arguments = Vec::new();
        self.arguments.encode(&mut arguments);
        BindingKey {
            destination: self.destination.clone(),
            source: self.source.clone(),
            routing_key: self.routing_key.clone(),
            arguments,
        }
    }
}

/// What makes two bindings the same: everything. Destination first, so that all that lead to one
/// queue stand together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BindingKey {
    pub(crate) destination: Destination,
    pub(crate) source: Name,
    pub(crate) routing_key: Name,
    pub(crate) arguments: Vec<u8>,
}

impl BindingKey {
    /// The binding that this is the key of.
    pub(crate) fn binding(&self) -> Binding {
        // The arguments were encoded by `Binding::key`, with the table's length in front.
        let arguments = self.arguments.get(4..).unwrap_or_default();
        Binding {
            source: self.source.clone(),
            destination: self.destination.clone(),
            routing_key: self.routing_key.clone(),
            arguments: Table::parse(arguments).map(|table| table.to_owned()).unwrap_or_default(),
        }
    }
}

/// The argument, or without one what policies say.
fn alternate(spec: &ExchangeSpec, policies: &Policies) -> Option<Name> {
    match spec.arguments.get("alternate-exchange") {
        Some(FieldValue::LongStr(name)) => Some(String::from_utf8_lossy(name).into()),
        _ => policies.for_exchange(&spec.name).alternate_exchange(),
    }
}

/// How many messages have passed an exchange since it was declared, or since the start.
#[derive(Debug, Default)]
pub struct Traffic {
    published: AtomicU64,
    routed: AtomicU64,
}

impl Traffic {
    /// Counts messages that came in from clients, and how often they went out to queues.
    pub fn count(&self, published: u64, routed: u64) {
        self.published.fetch_add(published, Ordering::Relaxed);
        self.routed.fetch_add(routed, Ordering::Relaxed);
    }

    /// How many came in, and how many went out.
    pub fn totals(&self) -> (u64, u64) {
        (self.published.load(Ordering::Relaxed), self.routed.load(Ordering::Relaxed))
    }
}

/// A declared exchange with the bindings that lead out of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// As declared.
    pub spec: ExchangeSpec,
    alternate: Option<Name>,
    /// What it remembers, if it deduplicates.
    pub(crate) memory: Option<Arc<ExchangeMemory>>,
    pub(crate) router: Router,
    pub(crate) outgoing: OrdSet<BindingKey>,
    /// What has passed it.
    pub traffic: Arc<Traffic>,
    /// Where messages wait for their time, in an exchange of the type that has them wait.
    schedule: Option<Arc<QueueHandle>>,
}

impl Exchange {
    /// Without bindings; what its type leaves to chance comes from `seed`.
    pub(crate) fn new(spec: ExchangeSpec, policies: &Policies, seed: u64) -> Self {
        let alternate = alternate(&spec, policies);
        let (memory, router) = (ExchangeMemory::of(&spec), Router::new(&spec, seed));
        let (outgoing, traffic) = (OrdSet::new(), Arc::default());
        Self { router, outgoing, spec, alternate, memory, traffic, schedule: None }
    }

    /// The same with a schedule.
    pub(crate) fn with_schedule(self, vhost: &Name, id: QueueId) -> Self {
        let spec = QueueSpec {
            id,
            vhost: vhost.clone(),
            name: self.spec.name.clone(),
            durable: self.spec.durable,
            auto_delete: false,
            owner: None,
            arguments: FieldTable::default(),
        };
        Self { schedule: Some(Arc::new(QueueHandle::schedule(spec))), ..self }
    }

    /// The queue in which messages wait for their time: not one of the vhost's.
    pub fn schedule(&self) -> Option<&Arc<QueueHandle>> {
        self.schedule.as_ref()
    }

    /// Where a message goes that no binding takes, by argument or policy (RabbitMQ: Alternate
    /// Exchanges).
    pub(crate) fn alternate(&self) -> Option<Name> {
        self.alternate.clone()
    }

    /// The same exchange under other policies, if they change it.
    pub(super) fn under(&self, policies: &Policies) -> Option<Self> {
        let alternate = alternate(&self.spec, policies);
        (alternate != self.alternate).then(|| Self { alternate, ..self.clone() })
    }

    /// The bindings that lead out of it.
    pub fn bindings(&self) -> impl Iterator<Item = Binding> {
        self.outgoing.iter().map(BindingKey::binding)
    }

    /// Whether bindings lead out of it.
    pub fn in_use(&self) -> bool {
        !self.outgoing.is_empty()
    }
}
