//! The whole of the definitions at one moment.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::exchange::BindingKey;
use super::{
    Binding, Exchange, ExchangeSpec, ParameterKey, Policies, QueueSpec, Quota, User, UserLimits,
    VhostLimits, VhostMetadata,
};
use crate::auth::{Permissions, TopicPermissions};
use crate::error::{Refusal, Resource};
use crate::ids::{Name, QueueId};
use crate::message::FieldTable;
use crate::queue::QueueHandle;
use crate::routing::{Destination, ExchangeKind};

/// All vhosts and users. Immutable once published; a clone shares everything.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// By name.
    pub vhosts: OrdMap<Name, Arc<Vhost>>,
    /// By name.
    pub users: OrdMap<Name, Arc<User>>,
    /// By user; one without limits may be missing.
    pub user_limits: OrdMap<Name, UserLimits>,
    /// By user; one without a quota may be missing.
    pub user_quotas: OrdMap<Name, Quota>,
    /// Parameters of no vhost: JSON, by name.
    pub global_parameters: OrdMap<Name, Name>,
    /// Grows with every change, so that caches of routes know when they are stale.
    pub version: u64,
    /// What exchanges leave to chance comes from this.
    pub(crate) seed: u64,
}

/// The exchanges, queues and bindings of one vhost.
#[derive(Debug, Clone, Default)]
pub struct Vhost {
    /// Its name.
    pub name: Name,
    /// By name; the default exchange `""` among them.
    pub exchanges: OrdMap<Name, Arc<Exchange>>,
    /// By name.
    pub queues: OrdMap<Name, Arc<QueueHandle>>,
    /// Every binding, those to one destination side by side.
    pub(crate) incoming: OrdSet<BindingKey>,
    /// Policies and operator policies.
    pub policies: Policies,
    /// What it may have.
    pub limits: VhostLimits,
    /// How much may be published in it.
    pub quota: Quota,
    /// What users may do in it, by user; who is missing may do nothing.
    pub permissions: OrdMap<Name, Arc<Permissions>>,
    /// Which routing keys users may use, by user and exchange; who is missing may use all.
    pub topic_permissions: OrdMap<(Name, Name), Arc<TopicPermissions>>,
    /// What it says of itself.
    pub metadata: Arc<VhostMetadata>,
    /// Runtime parameters that are kept as they are: JSON.
    pub parameters: OrdMap<ParameterKey, Name>,
}

/// What each vhost has from the start (RabbitMQ adds amq.match and amq.rabbitmq.trace).
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ("amq.topic", ExchangeKind::Topic, false),
];

/// Whether each vhost has an exchange of that name from the start.
pub(crate) fn is_predeclared(name: &str) -> bool {
    PREDECLARED.iter().any(|(other, ..)| *other == name)
}

/// Exchanges with auto-delete that have lost their last outgoing binding, by vhost.
pub type Unused = Vec<(Name, Arc<Exchange>)>;

impl Vhost {
    /// A vhost with the predeclared exchanges; the seed as [`Topology::seed`].
    pub(crate) fn new(name: Name, seed: u64) -> Self {
        let mut vhost = Self { name, ..Self::default() };
        for (name, kind, internal) in PREDECLARED {
            let spec = ExchangeSpec {
                name: name.into(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: FieldTable::default(),
            };
            let exchange = Exchange::new(spec, &vhost.policies, seed);
            vhost.exchanges.insert(name.into(), Arc::new(exchange));
        }
        vhost
    }

    /// Forgets what a user may do.
    pub(crate) fn forget_user(&mut self, user: &Name) {
        self.permissions.remove(user);
        let of_user = |of: &&(Name, Name)| of.0 == *user;
        let gone: Vec<_> = self.topic_permissions.keys().filter(of_user).cloned().collect();
        for of in gone {
            self.topic_permissions.remove(&of);
        }
    }

    /// Puts the policies in force for exchanges. Queues are changed by whoever can lock them.
    pub(crate) fn apply_policies(&mut self) {
        let changed = |exchange: &Arc<Exchange>| exchange.under(&self.policies);
        let changed: Vec<Exchange> = self.exchanges.values().filter_map(changed).collect();
        for exchange in changed {
            self.exchanges.insert(exchange.spec.name.clone(), Arc::new(exchange));
        }
    }

    /// The exchange of that name.
    pub fn exchange(&self, name: &str) -> Result<&Arc<Exchange>, Refusal> {
        let missing = || Refusal::not_found(Resource::Exchange(name, &self.name));
        self.exchanges.get(name).ok_or_else(missing)
    }

    /// The queue of that name.
    pub fn queue(&self, name: &str) -> Result<&Arc<QueueHandle>, Refusal> {
        let missing = || Refusal::not_found(Resource::Queue(name, &self.name));
        self.queues.get(name).ok_or_else(missing)
    }

    /// Adds an exchange, with a schedule of that id if it has one; one that is there stays.
    pub(crate) fn add_exchange(
        &mut self,
        spec: &ExchangeSpec,
        schedule: Option<QueueId>,
        seed: u64,
    ) {
        if !self.exchanges.contains_key(&spec.name) {
            let mut exchange = Exchange::new(spec.clone(), &self.policies, seed);
            if let Some(id) = schedule {
                exchange = exchange.with_schedule(&self.name, id);
            }
            self.exchanges.insert(spec.name.clone(), Arc::new(exchange));
        }
    }

    /// Adds a queue; one that is there stays.
    pub(crate) fn add_queue(&mut self, spec: &QueueSpec) {
        if !self.queues.contains_key(&spec.name) {
            let queue = QueueHandle::new(spec.clone());
            queue.start_with(self.policies.settings(spec, &queue.declared));
            self.queues.insert(spec.name.clone(), Arc::new(queue));
        }
    }

    /// Every binding that was made, those to one destination side by side.
    pub fn bindings(&self) -> impl Iterator<Item = Binding> {
        self.incoming.iter().map(BindingKey::binding)
    }

    /// The bindings that lead to a destination.
    pub fn bindings_to(&self, destination: &Destination) -> Vec<Binding> {
        self.leading_to(destination).iter().map(BindingKey::binding).collect()
    }

    /// All queues, and the schedules of exchanges.
    pub(crate) fn all_queues(&self) -> impl Iterator<Item = &Arc<QueueHandle>> {
        let schedules = self.exchanges.values().filter_map(|exchange| exchange.schedule());
        self.queues.values().chain(schedules)
    }

    /// What is now in the place of a queue, or of an exchange's schedule, that was there before.
    pub fn in_place_of(&self, queue: &QueueHandle) -> Option<&Arc<QueueHandle>> {
        if queue.is_schedule() {
            return self.exchanges.get(&queue.spec.name)?.schedule();
        }
        self.queues.get(&queue.spec.name)
    }

    /// Adds a binding; the same one twice is one.
    pub(crate) fn bind(&mut self, binding: &Binding) {
        let key = binding.key();
        if self.incoming.contains(&key) {
            return;
        }
        if let Some(source) = self.exchanges.get_mut(&binding.source) {
            let source = Arc::make_mut(source);
            source.router.bind(binding);
            source.outgoing.insert(key.clone());
            self.incoming.insert(key);
        }
    }

    /// Removes a binding; its source, if that is auto-delete and was left without a use.
    pub(crate) fn unbind(&mut self, binding: &Binding) -> Unused {
        let key = binding.key();
        if self.incoming.contains(&key) { self.drop_bindings(vec![key]) } else { Vec::new() }
    }

    /// Removes an exchange with all bindings from and to it; what that leaves without a use.
    pub(crate) fn remove_exchange(&mut self, name: &str) -> Unused {
        let Some(exchange) = self.exchanges.remove(name) else { return Vec::new() };
        for key in &exchange.outgoing {
            self.incoming.remove(key);
        }
        self.drop_bindings(self.leading_to(&Destination::Exchange(name.into())))
    }

    /// Removes a queue with all bindings to it; what that leaves without a use.
    pub(crate) fn remove_queue(&mut self, name: &str) -> (Option<Arc<QueueHandle>>, Unused) {
        let queue = self.queues.remove(name);
        let bindings = self.leading_to(&Destination::Queue(name.into()));
        (queue, self.drop_bindings(bindings))
    }

    fn leading_to(&self, destination: &Destination) -> Vec<BindingKey> {
        let from = BindingKey {
            destination: destination.clone(),
            source: Name::default(),
            routing_key: Name::default(),
            arguments: Vec::new(),
        };
        self.incoming
            .range(from..)
            .take_while(|key| key.destination == *destination)
            .cloned()
            .collect()
    }

    fn drop_bindings(&mut self, keys: Vec<BindingKey>) -> Unused {
        let mut unused = Vec::new();
        for key in keys {
            self.incoming.remove(&key);
            let Some(source) = self.exchanges.get_mut(&key.source) else { continue };
            let exchange = Arc::make_mut(source);
            exchange.outgoing.remove(&key);
            exchange.router.unbind(&key.binding());
            if exchange.spec.auto_delete && !exchange.in_use() {
                unused.push((self.name.clone(), Arc::clone(source)));
            }
        }
        unused
    }

    /// Says where the log keeps what a queue or exchange remembers.
    pub(crate) fn remember_as(&self, owner: &Destination, id: QueueId) {
        match owner {
            Destination::Queue(name) => {
                if let Some(queue) = self.queues.get(name) {
                    queue.remember_as(id);
                }
            }
            Destination::Exchange(name) => {
                let exchange = self.exchanges.get(name);
                if let Some(memory) = exchange.and_then(|exchange| exchange.memory.as_ref()) {
                    memory.lock().memory.settle_in(id);
                }
            }
        }
    }

    /// The durable queues and exchanges that deduplicate and have nowhere in the log to remember.
    pub(crate) fn without_memory(&self) -> Vec<Destination> {
        let queues = self.queues.keys().flat_map(|name| self.queue_without_memory(name));
        let exchanges = self.exchanges.keys().flat_map(|name| self.exchange_without_memory(name));
        queues.chain(exchanges).collect()
    }

    /// A queue if it is one of them.
    pub(crate) fn queue_without_memory(&self, name: &Name) -> Option<Destination> {
        let queue = self.queues.get(name)?;
        let settings = || self.policies.settings(&queue.spec, &queue.declared);
        let lacks =
            queue.is_durable() && settings().deduplication.is_some() && queue.memory_id().is_none();
        lacks.then(|| Destination::Queue(name.clone()))
    }

    /// An exchange if it is one of them.
    pub(crate) fn exchange_without_memory(&self, name: &Name) -> Option<Destination> {
        let memory = self.exchanges.get(name)?.memory.as_ref()?;
        let lacks = memory.durable && memory.id().is_none();
        lacks.then(|| Destination::Exchange(name.clone()))
    }

    /// Whether bindings lead to `destination`.
    pub fn is_bound(&self, binding: &Binding) -> bool {
        self.incoming.contains(&binding.key())
    }
}
