//! The changes of the definitions, and applying them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Binding, ExchangeSpec, Policy, PolicyKind, QueueSpec, Quota, QuotaOf, Topology, Unused, User,
    UserLimits, UserWithoutTags, Vhost, VhostLimits, VhostMetadata,
};
use crate::auth::{Permissions, TopicPermissions};
use crate::ids::{Name, QueueId};
use crate::queue::QueueHandle;
use crate::routing::Destination;

/// One change. New kinds are added at the end: the index is the wire form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Adds a vhost with its predeclared exchanges.
    AddVhost(Name),
    /// Adds or replaces a user; only in logs of earlier builds.
    PutUserWithoutTags(UserWithoutTags),
    /// Adds an exchange.
    DeclareExchange(Name, ExchangeSpec),
    /// Removes an exchange and its bindings.
    DeleteExchange(Name, Name),
    /// Adds a queue.
    DeclareQueue(QueueSpec),
    /// Removes the queue of that name if it is still that one.
    DeleteQueue(Name, Name, QueueId),
    /// Adds a binding.
    Bind(Name, Binding),
    /// Removes a binding.
    Unbind(Name, Binding),
    /// Adds or replaces a policy.
    PutPolicy(Name, PolicyKind, Policy),
    /// Removes a policy.
    DeletePolicy(Name, PolicyKind, Name),
    /// Sets what a vhost may have.
    LimitVhost(Name, VhostLimits),
    /// Sets what a user may have.
    LimitUser(Name, UserLimits),
    /// Sets how much a vhost or a user may publish.
    SetQuota(QuotaOf, Quota),
    /// Adds an exchange with the queue in which its messages wait for their time.
    DeclareDelayed(Name, ExchangeSpec, QueueId),
    /// Says under which id the log keeps what a queue or exchange with deduplication remembers.
    Remember(Name, Destination, QueueId),
    /// Adds or replaces a user.
    PutUser(User),
    /// Removes a user with all permissions, limits and quotas.
    DeleteUser(Name),
    /// Removes a vhost with all that is in it but its queues, which go by commands of their own.
    DeleteVhost(Name),
    /// Sets what a user (the second) may do in a vhost.
    SetPermissions(Name, Name, Permissions),
    /// Removes a user's permissions in a vhost, those of topics too.
    ClearPermissions(Name, Name),
    /// Sets which routing keys a user (the second) may use with an exchange of a vhost.
    SetTopicPermissions(Name, Name, Name, TopicPermissions),
    /// Removes these.
    ClearTopicPermissions(Name, Name, Name),
    /// Sets what a vhost says of itself.
    DescribeVhost(Name, VhostMetadata),
    /// Adds or replaces a runtime parameter of a vhost: its component, name and value.
    PutParameter(Name, Name, Name, Name),
    /// Removes one.
    DeleteParameter(Name, Name, Name),
    /// Adds or replaces a parameter of no vhost.
    PutGlobalParameter(Name, Name),
    /// Removes one.
    DeleteGlobalParameter(Name),
}

/// What a command did that others must act on.
#[derive(Debug, Default)]
pub struct Applied {
    /// The queue that was removed: its consumers are to be told.
    pub removed_queue: Option<Arc<QueueHandle>>,
    /// Schedules of exchanges that were removed: to be emptied.
    pub schedules: Vec<Arc<QueueHandle>>,
    /// To be deleted by whoever decides.
    pub unused: Unused,
}

impl Topology {
    /// Applies `command`. What is there already, or is gone already, is no error.
    pub fn apply(&mut self, command: &Command) -> Applied {
        self.version += 1;
        let seed = self.seed;
        let mut applied = Applied::default();
        match command {
            Command::AddVhost(name) => {
                let vhost = || Arc::new(Vhost::new(name.clone(), seed));
                self.vhosts.entry(name.clone()).or_insert_with(vhost);
            }
            Command::PutUserWithoutTags(old) => self.put_user(User::from(old)),
            Command::PutUser(user) => self.put_user(user.clone()),
            Command::DeclareExchange(vhost, spec) => {
                self.change(vhost, |vhost| vhost.add_exchange(spec, None, seed));
            }
            Command::DeclareDelayed(vhost, spec, id) => {
                self.change(vhost, |vhost| vhost.add_exchange(spec, Some(*id), seed));
            }
            Command::DeleteExchange(vhost, name) => self.change(vhost, |vhost| {
                let exchange = vhost.exchanges.get(name);
                applied.schedules.extend(exchange.and_then(|one| one.schedule()).cloned());
                applied.unused = vhost.remove_exchange(name);
            }),
            Command::DeclareQueue(spec) => self.change(&spec.vhost, |vhost| vhost.add_queue(spec)),
            Command::DeleteQueue(vhost, name, id) => self.change(vhost, |vhost| {
                if vhost.queues.get(name).is_some_and(|queue| queue.spec.id == *id) {
                    (applied.removed_queue, applied.unused) = vhost.remove_queue(name);
                }
            }),
            Command::Bind(vhost, binding) => self.change(vhost, |vhost| vhost.bind(binding)),
            Command::Unbind(vhost, binding) => {
                self.change(vhost, |vhost| applied.unused = vhost.unbind(binding));
            }
            Command::PutPolicy(vhost, kind, policy) => self.change(vhost, |vhost| {
                vhost.policies.put(*kind, policy.clone());
                vhost.apply_policies();
            }),
            Command::DeletePolicy(vhost, kind, name) => self.change(vhost, |vhost| {
                vhost.policies.delete(*kind, name);
                vhost.apply_policies();
            }),
            Command::LimitVhost(vhost, limits) => {
                self.change(vhost, |vhost| vhost.limits = *limits);
            }
            Command::LimitUser(user, limits) => {
                self.user_limits.insert(user.clone(), *limits);
            }
            Command::SetQuota(QuotaOf::User(user), quota) => {
                self.user_quotas.insert(user.clone(), *quota);
            }
            Command::SetQuota(QuotaOf::Vhost(vhost), quota) => {
                self.change(vhost, |vhost| vhost.quota = *quota);
            }
            Command::Remember(vhost, owner, id) => {
                self.change(vhost, |vhost| vhost.remember_as(owner, *id));
            }
            Command::DeleteVhost(name) => applied.schedules = self.remove_vhost(name),
            access => self.apply_access(access),
        }
        applied
    }

    /// Removes a vhost; the schedules of its exchanges.
    fn remove_vhost(&mut self, name: &Name) -> Vec<Arc<QueueHandle>> {
        let gone = self.vhosts.remove(name);
        let exchanges = gone.iter().flat_map(|vhost| vhost.exchanges.values());
        exchanges.filter_map(|exchange| exchange.schedule()).cloned().collect()
    }

    fn put_user(&mut self, user: User) {
        self.users.insert(user.name.clone(), Arc::new(user));
    }

    fn apply_access(&mut self, command: &Command) {
        match command {
            Command::DeleteUser(user) => {
                self.users.remove(user);
                self.user_limits.remove(user);
                self.user_quotas.remove(user);
                let vhosts: Vec<Name> = self.vhosts.keys().cloned().collect();
                for vhost in vhosts {
                    self.change(&vhost, |vhost| vhost.forget_user(user));
                }
            }
            Command::SetPermissions(vhost, user, granted) => self.change(vhost, |vhost| {
                vhost.permissions.insert(user.clone(), Arc::new(granted.clone()));
            }),
            Command::ClearPermissions(vhost, user) => {
                self.change(vhost, |vhost| vhost.forget_user(user));
            }
            Command::SetTopicPermissions(vhost, user, exchange, granted) => {
                let of = (user.clone(), exchange.clone());
                let granted = Arc::new(granted.clone());
                self.change(vhost, |vhost| drop(vhost.topic_permissions.insert(of, granted)));
            }
            Command::ClearTopicPermissions(vhost, user, exchange) => {
                let of = (user.clone(), exchange.clone());
                self.change(vhost, |vhost| drop(vhost.topic_permissions.remove(&of)));
            }
            other => self.apply_parameters(other),
        }
    }

    pub(super) fn change(&mut self, name: &Name, change: impl FnOnce(&mut Vhost)) {
        if let Some(vhost) = self.vhosts.get_mut(name) {
            change(Arc::make_mut(vhost));
        }
    }
}
