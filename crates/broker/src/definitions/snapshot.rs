//! The durable definitions as commands that rebuild them.

use super::topology::is_predeclared;
use super::{Command, PolicyKind, Quota, QuotaOf, Topology, Vhost, VhostLimits};
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
        if self.quota != Quota::default() {
            commands.push(Command::SetQuota(QuotaOf::Vhost(self.name.clone()), self.quota));
        }
    }

    fn add_commands(&self, commands: &mut Vec<Command>) {
        commands.push(Command::AddVhost(self.name.clone()));
        self.add_rules(commands);
        let exchanges = self.exchanges.values().map(|exchange| &exchange.spec);
        for spec in exchanges.filter(|spec| spec.durable && !is_predeclared(&spec.name)) {
            commands.push(Command::DeclareExchange(self.name.clone(), spec.clone()));
        }
        for queue in self.queues.values().filter(|queue| queue.is_durable()) {
            commands.push(Command::DeclareQueue(queue.spec.clone()));
        }
        for key in &self.incoming {
            let durable = |name: &str| self.exchanges.get(name).is_some_and(|one| one.spec.durable);
            let leads_to_durable = match &key.destination {
                Destination::Exchange(name) => durable(name),
                Destination::Queue(name) => {
                    self.queues.get(name).is_some_and(|queue| queue.is_durable())
                }
            };
            if leads_to_durable && durable(&key.source) {
                commands.push(Command::Bind(self.name.clone(), key.binding()));
            }
        }
    }
}
