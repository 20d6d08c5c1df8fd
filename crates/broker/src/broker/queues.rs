//! Declaring, purging and deleting queues.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use super::parameters::give_type;
use super::policies::check_queue_limit;
use super::{Broker, Principal, REPLY_TO, REPLY_TO_PREFIX, check_reserved, strip_line_ends};
use crate::auth::Permission;
use crate::definitions::{COMPARED, Command, Flags, QueueSettings, QueueSpec, Vhost};
use crate::definitions::{check_arguments, check_flag};
use crate::error::{Refusal, Resource};
use crate::ids::{Name, QueueId, Timestamp};
use crate::log::Position;
use crate::message::FieldTable;
use crate::queue::{Batch, QueueHandle};

/// A `queue.declare`.
#[derive(Debug, Clone)]
pub struct QueueRequest<'a> {
    /// The queue; empty for a name by the server.
    pub name: &'a str,
    /// Survives a restart.
    pub durable: bool,
    /// For this connection alone.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Further arguments.
    pub arguments: FieldTable,
}

impl QueueRequest<'_> {
    fn flags(&self) -> Flags {
        let Self { durable, exclusive, auto_delete, .. } = *self;
        Flags { durable, exclusive, auto_delete }
    }
}

/// How often queues were declared, created and deleted since the start.
#[derive(Debug, Default)]
pub(super) struct Churn {
    declared: AtomicU64,
    created: AtomicU64,
    deleted: AtomicU64,
}

/// What a declare answers.
#[derive(Debug, Clone)]
pub struct QueueDeclared {
    /// The queue's name.
    pub name: Name,
    /// Ready messages.
    pub ready: usize,
    /// Consumers.
    pub consumers: usize,
    /// When the declaration is durable.
    pub position: Position,
    /// The queue, if this call created it.
    pub created: Option<Arc<QueueHandle>>,
}

/// Why a queue goes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// It was exclusive to a connection that ended.
    OwnerGone,
    /// It is auto-delete and its last consumer left it.
    LastConsumerGone,
    /// The time of `x-expires` has passed without a use.
    LeaseOver,
}

/// Whoever has messages of a queue go to another exchange reads the one and writes to the other.
fn permit_dead_letters(
    vhost: &Vhost,
    who: &Principal,
    queue: &str,
    arguments: &FieldTable,
) -> Result<(), Refusal> {
    let to = arguments.get("x-dead-letter-exchange").and_then(|to| to.as_str_bytes());
    let Some(to) = to.and_then(|to| str::from_utf8(to).ok()) else { return Ok(()) };
    vhost.permit(who, Permission::Read, Resource::Queue(queue, &who.vhost))?;
    vhost.permit(who, Permission::Write, Resource::Exchange(to, &who.vhost))
}

fn check_same(
    found: &QueueHandle,
    who: &Principal,
    request: &QueueRequest<'_>,
) -> Result<(), Refusal> {
    let current = &found.spec;
    let resource = found.resource();
    let owner = request.exclusive.then_some(who.connection);
    if owner != current.owner {
        return Err(found.locked());
    }
    check_flag("durable", resource, request.durable, current.durable)?;
    check_flag("auto_delete", resource, request.auto_delete, current.auto_delete)?;
    check_arguments(&COMPARED, resource, &request.arguments, &current.arguments)
}

impl Broker {
    /// How often queues were declared, created and deleted since the start.
    pub fn queue_churn(&self) -> (u64, u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Churn { declared, created, deleted } = &self.churn;
        (load(declared), load(created), load(deleted))
    }

    /// The queue of that name, if this connection may use it.
    pub fn find_queue(&self, who: &Principal, name: &str) -> Result<Arc<QueueHandle>, Refusal> {
        let vhost = self.vhost(who)?;
        let queue = vhost.queue(name)?;
        queue.check_access(who.connection)?;
        Ok(Arc::clone(queue))
    }

    /// Looks a queue up (`queue.declare` with passive).
    pub fn inspect_queue(
        &self,
        who: &Principal,
        name: &str,
        now: Timestamp,
    ) -> Result<QueueDeclared, Refusal> {
        if self.is_reply_queue(name) {
            return Ok(reply_queue(name));
        }
        let name = strip_line_ends(name);
        self.vhost(who)?.permit_any(who, Resource::Queue(&name, &who.vhost))?;
        let queue = self.find_queue(who, &name)?;
        Ok(self.declared(&queue, Position::START, now))
    }

    fn declared(
        &self,
        queue: &Arc<QueueHandle>,
        position: Position,
        now: Timestamp,
    ) -> QueueDeclared {
        self.churn.declared.fetch_add(1, Ordering::Relaxed);
        let mut batch = queue.lock(self.context(now));
        batch.touch();
        let (ready, consumers) = (batch.ready(), batch.consumers());
        self.finished(queue, batch.finish(), now);
        QueueDeclared { name: queue.spec.name.clone(), ready, consumers, position, created: None }
    }

    /// Declares a queue, or checks that the one of that name is the same.
    pub fn declare_queue(
        &self,
        who: &Principal,
        mut request: QueueRequest<'_>,
        now: Timestamp,
    ) -> Result<QueueDeclared, Refusal> {
        if request.name == REPLY_TO || self.is_reply_queue(request.name) {
            return Ok(reply_queue(request.name));
        }
        let mut name = strip_line_ends(request.name);
        if name.is_empty() {
            name = self.tokens.name("amq.gen-");
        } else {
            check_reserved("queue", &name)?;
        }
        let vhost = self.vhost(who)?;
        vhost.permit(who, Permission::Configure, Resource::Queue(&name, &who.vhost))?;
        let flags = request.flags();
        give_type(&vhost, &mut request.arguments, flags);
        if let Some(found) = vhost.queues.get(name.as_str()) {
            check_same(found, who, &request)?;
            return Ok(self.declared(found, self.defined(), now));
        }
        permit_dead_letters(&vhost, who, &name, &request.arguments)?;
        let spec = self.queue_spec(who, name, &request)?;
        self.create_queue(who, &request, spec, now)
    }

    fn queue_spec(
        &self,
        who: &Principal,
        name: String,
        request: &QueueRequest<'_>,
    ) -> Result<QueueSpec, Refusal> {
        let resource = Resource::Queue(&name, &who.vhost);
        QueueSettings::check(&request.arguments, resource, request.flags())?;
        Ok(QueueSpec {
            id: QueueId(self.new_id()),
            vhost: who.vhost.clone(),
            name: name.into(),
            durable: request.durable,
            auto_delete: request.auto_delete,
            owner: request.exclusive.then_some(who.connection),
            arguments: request.arguments.clone(),
        })
    }

    fn create_queue(
        &self,
        who: &Principal,
        request: &QueueRequest<'_>,
        spec: QueueSpec,
        now: Timestamp,
    ) -> Result<QueueDeclared, Refusal> {
        let writer = self.write();
        let vhost = self.vhost(who)?;
        if let Some(found) = vhost.queues.get(&spec.name) {
            check_same(found, who, request)?;
            return Ok(self.declared(found, self.defined(), now));
        }
        check_queue_limit(&vhost, &spec.name)?;
        let name = spec.name.clone();
        let durable = spec.durable && spec.owner.is_none();
        let (_, position) = self.apply(&writer, &Command::DeclareQueue(spec), durable);
        let queue = Arc::clone(self.vhost(who)?.queue(&name)?);
        drop(writer);
        self.churn.created.fetch_add(1, Ordering::Relaxed);
        let mut declared = self.declared(&queue, position, now);
        declared.created = Some(queue);
        Ok(declared)
    }

    /// The queue of that name, if `who` may take messages out of it.
    pub fn readable_queue(&self, who: &Principal, name: &str) -> Result<Arc<QueueHandle>, Refusal> {
        let queue = Resource::Queue(name, &who.vhost);
        self.vhost(who)?.permit(who, Permission::Read, queue)?;
        self.find_queue(who, name)
    }

    /// Drops all ready messages; how many.
    pub fn purge_queue(
        &self,
        who: &Principal,
        name: &str,
        now: Timestamp,
    ) -> Result<(usize, Position), Refusal> {
        let queue = self.readable_queue(who, name)?;
        let mut batch = queue.lock(self.context(now));
        let purged = batch.purge();
        let position = self.finished(&queue, batch.finish(), now);
        Ok((purged, position))
    }

    /// Deletes a queue; one that is missing is fine. How many ready messages went with it.
    pub fn delete_queue(
        &self,
        who: &Principal,
        name: &str,
        if_unused: bool,
        if_empty: bool,
        now: Timestamp,
    ) -> Result<(usize, Position), Refusal> {
        let vhost = self.vhost(who)?;
        let name = strip_line_ends(name);
        vhost.permit(who, Permission::Configure, Resource::Queue(&name, &who.vhost))?;
        let Some(queue) = vhost.queues.get(name.as_str()) else { return Ok((0, self.defined())) };
        queue.check_access(who.connection)?;
        let writer = self.write();
        let mut batch = queue.lock(self.context(now));
        if batch.is_deleted() {
            return Ok((0, self.defined()));
        }
        if if_empty && !batch.is_empty() {
            return Err(Refusal::precondition(format!("{} not empty", queue.resource())));
        }
        if if_unused && batch.in_use() {
            return Err(Refusal::precondition(format!("{} in use", queue.resource())));
        }
        let ready = batch.delete();
        let (position, schedules) = self.remove_queue(&writer, queue, &mut batch);
        self.finished(queue, batch.finish(), now);
        Ok((ready, position.max(self.drop_schedules(&writer, schedules))))
    }

    /// The messages and the definition of a queue go in one group of the log, and under the queue's
    /// lock: nobody sees the one without the other. Gives the schedules of exchanges that went with
    /// it, to be dropped once the queue is unlocked.
    fn remove_queue(
        &self,
        writer: &MutexGuard<'_, ()>,
        queue: &QueueHandle,
        batch: &mut Batch<'_>,
    ) -> (Position, Vec<Arc<QueueHandle>>) {
        let spec = &queue.spec;
        let command = Command::DeleteQueue(spec.vhost.clone(), spec.name.clone(), spec.id);
        let entries = batch.take_entries();
        let (applied, position) = self.apply_with(entries, writer, &command, queue.is_durable());
        batch.note_deleted_at(position);
        self.churn.deleted.fetch_add(1, Ordering::Relaxed);
        (position, applied.schedules)
    }

    /// Deletes a queue that nobody needs any more, unless that has changed meanwhile.
    pub fn drop_queue(&self, queue: &Arc<QueueHandle>, why: DropReason, now: Timestamp) {
        let writer = self.write();
        let mut batch = queue.lock(self.context(now));
        let needed = match why {
            DropReason::OwnerGone => false,
            DropReason::LastConsumerGone => batch.in_use(),
            DropReason::LeaseOver => batch.lease().is_ok(),
        };
        if needed || batch.is_deleted() {
            return;
        }
        batch.delete();
        let (_, schedules) = self.remove_queue(&writer, queue, &mut batch);
        self.finished(queue, batch.finish(), now);
        self.drop_schedules(&writer, schedules);
    }

    /// Deletes a queue of a vhost that goes; the writer's guard shows that nobody adds one.
    pub(super) fn delete_with_vhost(
        &self,
        writer: &MutexGuard<'_, ()>,
        queue: &Arc<QueueHandle>,
        now: Timestamp,
    ) {
        let mut batch = queue.lock(self.context(now));
        if batch.is_deleted() {
            return;
        }
        batch.delete();
        let (_, schedules) = self.remove_queue(writer, queue, &mut batch);
        self.finished(queue, batch.finish(), now);
        self.drop_schedules(writer, schedules);
    }

    fn is_reply_queue(&self, name: &str) -> bool {
        name == REPLY_TO
            || name.strip_prefix(REPLY_TO_PREFIX).is_some_and(|token| self.replies.is_live(token))
    }
}

fn reply_queue(name: &str) -> QueueDeclared {
    let position = Position::START;
    QueueDeclared { name: name.into(), ready: 0, consumers: 1, position, created: None }
}
