//! Policies and limits: changing them, and putting them in force on what is there.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::Broker;
use crate::definitions::{
    Applying, Command, Policy, PolicyKind, PolicyRequest, Quota, QuotaOf, UserLimits, Vhost,
    VhostLimits,
};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{Name, Timestamp};
use crate::log::Position;
use crate::message::FieldTable;
use crate::queue::{QueueHandle, TRIM_MAX};

/// How long a queue whose limit was lowered is left to others after each piece.
const TRIM_PAUSE: Duration = Duration::from_micros(200);

/// The policies that are in force for a queue or an exchange.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EffectivePolicy {
    /// The policy's name.
    pub policy: Option<Name>,
    /// The operator policy's name.
    pub operator_policy: Option<Name>,
    /// What both say together, sorted by key.
    pub definition: FieldTable,
}

impl EffectivePolicy {
    fn new(applying: Applying<'_>) -> Self {
        let (policy, operator_policy) = applying.names();
        Self { policy, operator_policy, definition: applying.definition() }
    }
}

pub(super) fn no_user(name: &str) -> Refusal {
    Refusal::new(RefusalKind::NotFound, format!("no user '{name}'"))
}

impl Broker {
    /// The vhost of that name; who administers it may be connected to none.
    pub(super) fn administered(&self, name: &str) -> Result<Arc<Vhost>, Refusal> {
        self.topology()
            .vhosts
            .get(name)
            .cloned()
            .ok_or_else(|| Refusal::new(RefusalKind::NotFound, format!("no vhost '{name}'")))
    }

    /// Adds or replaces a policy. It is in force on all queues and exchanges of the vhost when this
    /// returns; what it drops from queues is durable with what is given.
    pub fn put_policy(
        &self,
        kind: PolicyKind,
        vhost: &str,
        name: &str,
        request: &PolicyRequest<'_>,
        now: Timestamp,
    ) -> Result<Position, Refusal> {
        let policy = Policy::check(kind, name, request)?;
        let writer = self.write();
        let vhost = self.administered(vhost)?;
        if vhost.policies.get(kind, name) == Some(&policy) {
            return Ok(self.defined());
        }
        let command = Command::PutPolicy(vhost.name.clone(), kind, policy);
        Ok(self.change_policies(writer, &vhost.name, &command, now))
    }

    /// Removes a policy; refused with "not found" if there is none of that name.
    pub fn delete_policy(
        &self,
        kind: PolicyKind,
        vhost: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Position, Refusal> {
        let writer = self.write();
        let vhost = self.administered(vhost)?;
        if vhost.policies.get(kind, name).is_none() {
            let what = match kind {
                PolicyKind::Policy => "policy",
                PolicyKind::Operator => "operator policy",
            };
            let text = format!("no {what} '{name}' in vhost '{}'", vhost.name);
            return Err(Refusal::new(RefusalKind::NotFound, text));
        }
        let command = Command::DeletePolicy(vhost.name.clone(), kind, name.into());
        Ok(self.change_policies(writer, &vhost.name, &command, now))
    }

    fn change_policies(
        &self,
        writer: MutexGuard<'_, ()>,
        vhost: &Name,
        command: &Command,
        now: Timestamp,
    ) -> Position {
        let (_, position) = self.apply(&writer, command, true);
        let (configured, long) = match self.topology().vhosts.get(vhost) {
            Some(vhost) => self.configure_queues(&writer, vhost, now),
            None => (position, Vec::new()),
        };
        // That may take seconds: nobody shall wait for it to declare something.
        drop(writer);
        self.trim(&long, now).max(configured).max(position)
    }

    /// Puts the policies of a vhost in force on its queues. The writer's guard shows that nobody
    /// changes them meanwhile. When that is durable, and the queues that are still to be trimmed.
    #[must_use]
    pub(super) fn configure_queues(
        &self,
        _writer: &MutexGuard<'_, ()>,
        vhost: &Vhost,
        now: Timestamp,
    ) -> (Position, Vec<Arc<QueueHandle>>) {
        let (mut position, mut long) = (Position::START, Vec::new());
        let mut timeouts = false;
        for queue in vhost.queues.values() {
            let settings = vhost.policies.settings(&queue.spec, &queue.declared);
            let before = queue.settings();
            if before != settings {
                timeouts |= before.consumer_timeout_ms != settings.consumer_timeout_ms;
                let mut batch = queue.lock(self.context(now));
                batch.configure(settings);
                if batch.trim(TRIM_MAX) {
                    long.push(Arc::clone(queue));
                }
                position = position.max(self.finished(queue, batch.finish(), now));
            }
        }
        if timeouts && let Some(changed) = self.timeouts_changed.get() {
            changed();
        }
        (position, long)
    }

    /// Has queues keep to their length limits, by and by, so that others get to them too; when that
    /// is durable.
    pub(super) fn trim(&self, queues: &[Arc<QueueHandle>], now: Timestamp) -> Position {
        let mut position = Position::START;
        for queue in queues {
            let mut more = true;
            while more {
                let mut batch = queue.lock(self.context(now));
                more = batch.trim(TRIM_MAX);
                position = position.max(self.finished(queue, batch.finish(), now));
                // Who waits for the lock is slower than a thread that takes it again at once.
                std::thread::sleep(TRIM_PAUSE);
            }
        }
        position
    }

    /// Has `changed` called whenever policies changed the consumer timeout of a queue. From any
    /// thread; must not block for long.
    pub fn on_timeouts_changed(&self, changed: impl Fn() + Send + Sync + 'static) {
        // Only the first caller is told.
        let _ = self.timeouts_changed.set(Box::new(changed));
    }

    /// The policies of a vhost, those that count first in front.
    pub fn policies(&self, kind: PolicyKind, vhost: &str) -> Result<Vec<Policy>, Refusal> {
        Ok(self.administered(vhost)?.policies.all(kind).cloned().collect())
    }

    /// The policies in force for a queue.
    pub fn queue_policy(&self, vhost: &str, queue: &str) -> Result<EffectivePolicy, Refusal> {
        let vhost = self.administered(vhost)?;
        let queue = vhost.queue(queue)?;
        let applying = vhost.policies.for_queue(&queue.spec.name, queue.declared.quorum);
        Ok(EffectivePolicy::new(applying))
    }

    /// The policies in force for an exchange.
    pub fn exchange_policy(&self, vhost: &str, exchange: &str) -> Result<EffectivePolicy, Refusal> {
        let vhost = self.administered(vhost)?;
        let exchange = vhost.exchange(exchange)?;
        Ok(EffectivePolicy::new(vhost.policies.for_exchange(&exchange.spec.name)))
    }

    /// Sets what a vhost may have; what is there already stays.
    pub fn limit_vhost(&self, vhost: &str, limits: VhostLimits) -> Result<Position, Refusal> {
        let writer = self.write();
        let vhost = self.administered(vhost)?;
        Ok(self.apply(&writer, &Command::LimitVhost(vhost.name.clone(), limits), true).1)
    }

    /// Sets what a user may have; what is there already stays.
    pub fn limit_user(&self, user: &str, limits: UserLimits) -> Result<Position, Refusal> {
        let writer = self.write();
        if !self.topology().users.contains_key(user) {
            return Err(no_user(user));
        }
        Ok(self.apply(&writer, &Command::LimitUser(user.into(), limits), true).1)
    }

    /// Sets how much a user or a vhost may publish.
    pub fn set_quota(&self, of: QuotaOf, quota: Quota) -> Result<Position, Refusal> {
        let writer = self.write();
        match &of {
            QuotaOf::User(name) if !self.topology().users.contains_key(name) => {
                return Err(no_user(name));
            }
            QuotaOf::Vhost(name) => drop(self.administered(name)?),
            QuotaOf::User(_) => {}
        }
        Ok(self.apply(&writer, &Command::SetQuota(of, quota), true).1)
    }
}

/// Refuses one more queue where the vhost may have no more.
pub(super) fn check_queue_limit(vhost: &Vhost, queue: &str) -> Result<(), Refusal> {
    match vhost.limits.max_queues {
        Some(most) if vhost.queues.len() as u64 >= most => Err(Refusal::precondition(format!(
            "cannot declare queue '{queue}': queue limit in vhost '{}' ({most}) is reached",
            vhost.name
        ))),
        _ => Ok(()),
    }
}
