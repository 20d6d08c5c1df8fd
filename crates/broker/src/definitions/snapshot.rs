//! The durable definitions as commands that rebuild them.

use super::topology::is_predeclared;
use super::{
    Binding, Command, PolicyKind, Quota, QuotaOf, Topology, Vhost, VhostLimits, VhostMetadata,
};
use crate::ids::Name;
use crate::routing::Destination;

impl Topology {
    /// What of the definitions survives a restart, as commands in an order in which they can be
    /// applied to nothing.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let users = self.users.values().map(|user| Command::PutUser(user.as_ref().clone()));
        let mut commands: Vec<Command> = users.collect();
        for vhost in self.vhosts.values() {
            vhost.add_commands(&mut commands);
        }
        let globals = self.global_parameters.iter();
        let global = |(name, value): (&Name, &Name)| {
            Command::PutGlobalParameter(name.clone(), value.clone())
        };
        commands.extend(globals.map(global));
        let limits = self.user_limits.iter();
        commands.extend(limits.map(|(user, limits)| Command::LimitUser(user.clone(), *limits)));
        let quotas = self.user_quotas.iter();
        commands.extend(
            quotas.map(|(user, quota)| Command::SetQuota(QuotaOf::User(user.clone()), *quota)),
        );
        commands
    }
}

impl Vhost {
    /// The bindings between durable things, those that are matched in order in their order.
    pub(crate) fn durable_bindings(&self) -> Vec<Binding> {
        let mut commands = Vec::new();
        self.add_commands(&mut commands);
        let binding = |command| match command {
            Command::Bind(_, binding) => Some(binding),
            _ => None,
        };
        commands.into_iter().filter_map(binding).collect()
    }

    /// What it says of itself, and runtime parameters.
    fn add_parameters(&self, commands: &mut Vec<Command>) {
        if *self.metadata != VhostMetadata::default() {
            let metadata = VhostMetadata::clone(&self.metadata);
            commands.push(Command::DescribeVhost(self.name.clone(), metadata));
        }
        for ((component, name), value) in &self.parameters {
            let (component, name) = (component.clone(), name.clone());
            let vhost = self.name.clone();
            commands.push(Command::PutParameter(vhost, component, name, value.clone()));
        }
    }

    /// Policies and limits, in front of what they are for.
    fn add_rules(&self, commands: &mut Vec<Command>) {
        for kind in [PolicyKind::Policy, PolicyKind::Operator] {
            for policy in self.policies.all(kind) {
                commands.push(Command::PutPolicy(self.name.clone(), kind, policy.clone()));
            }
        }
        if self.limits != VhostLimits::default() {
            commands.push(Command::LimitVhost(self.name.clone(), self.limits));
        }
        for (user, granted) in &self.permissions {
            let (vhost, granted) = (self.name.clone(), granted.as_ref().clone());
            commands.push(Command::SetPermissions(vhost, user.clone(), granted));
        }
        for ((user, exchange), granted) in &self.topic_permissions {
            let (user, exchange) = (user.clone(), exchange.clone());
            let granted = granted.as_ref().clone();
            commands.push(Command::SetTopicPermissions(self.name.clone(), user, exchange, granted));
        }
        if self.quota != Quota::default() {
            commands.push(Command::SetQuota(QuotaOf::Vhost(self.name.clone()), self.quota));
        }
    }

    fn add_commands(&self, commands: &mut Vec<Command>) {
        commands.push(Command::AddVhost(self.name.clone()));
        self.add_parameters(commands);
        self.add_rules(commands);
        for exchange in self.exchanges.values() {
            let spec = &exchange.spec;
            if !spec.durable || is_predeclared(&spec.name) {
                continue;
            }
            let (vhost, owner) = (self.name.clone(), Destination::Exchange(spec.name.clone()));
            commands.push(match exchange.schedule() {
                Some(schedule) => Command::DeclareDelayed(vhost, spec.clone(), schedule.spec.id),
                None => Command::DeclareExchange(vhost, spec.clone()),
            });
            let memory = exchange.memory.as_ref().and_then(|memory| memory.id());
            commands.extend(memory.map(|id| Command::Remember(self.name.clone(), owner, id)));
        }
        for queue in self.queues.values().filter(|queue| queue.is_durable()) {
            commands.push(Command::DeclareQueue(queue.spec.clone()));
            let (owner, memory) = (Destination::Queue(queue.spec.name.clone()), queue.memory_id());
            commands.extend(memory.map(|id| Command::Remember(self.name.clone(), owner, id)));
        }
        let ordered = |name: &Name| {
            self.exchanges.get(name).is_some_and(|source| source.router.ordered().is_some())
        };
        for key in self.incoming.iter().filter(|key| !ordered(&key.source)) {
            self.add_binding(commands, || key.binding(), &key.source, &key.destination);
        }
        for bindings in self.exchanges.values().filter_map(|source| source.router.ordered()) {
            for binding in bindings {
                let whole = || binding.clone();
                self.add_binding(commands, whole, &binding.source, &binding.destination);
            }
        }
    }

    /// Adds the binding if both of its ends survive.
    fn add_binding(
        &self,
        commands: &mut Vec<Command>,
        binding: impl FnOnce() -> Binding,
        source: &str,
        destination: &Destination,
    ) {
        let durable = |name: &str| self.exchanges.get(name).is_some_and(|one| one.spec.durable);
        let leads_to_durable = match destination {
            Destination::Exchange(name) => durable(name),
            Destination::Queue(name) => {
                self.queues.get(name).is_some_and(|queue| queue.is_durable())
            }
        };
        if leads_to_durable && durable(source) {
            commands.push(Command::Bind(self.name.clone(), binding()));
        }
    }
}
