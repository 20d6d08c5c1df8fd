//! The face of the broker: what a protocol session asks for, one verb each.

mod access;
mod bindings;
mod browsing;
mod consuming;
mod dead_letter;
mod delayed;
mod departures;
mod exchanges;
mod export;
mod import;
mod loading;
mod once;
mod parameters;
mod policies;
mod publishing;
mod queues;
mod recovery;
mod reply_to;
#[cfg(test)]
mod tests;
mod timers;
mod transaction;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::auth::Scopes;
use crate::definitions::{Applied, Command, Exchange, Topology, Vhost};
use crate::error::{Refusal, RefusalKind};
use crate::histogram::Histogram;
use crate::ids::{ConnectionId, ConsumerId, Name, QueueId, Timestamp};
use crate::log::{Entry, Log, Position};
use crate::names::Tokens;
use crate::queue::{Context, Departure, Finished, QueueHandle};
use crate::tracer::Tracer;

pub use access::{AccessChange, Credential};
pub use bindings::BindRequest;
pub use browsing::{BrowseRequest, Browsed, Browsing, MoveTo, Moved, Selection};
pub use delayed::Scheduled;
pub use exchanges::ExchangeRequest;
pub use export::{globals, metadata_to_json, stored, table_to_json};
pub use import::{ImportError, Imported, table_from_json};
pub use policies::EffectivePolicy;
pub use publishing::{Flushed, Outgoing, Route};
pub use queues::{DropReason, QueueDeclared, QueueRequest};
pub use reply_to::{REPLY_TO, REPLY_TO_PREFIX};
pub use transaction::Transaction;

use loading::Loading;
use reply_to::Replies;
use timers::Timers;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The connection, for exclusive queues.
    pub connection: ConnectionId,
    /// The authenticated user.
    pub user: Name,
    /// The vhost that the connection opened.
    pub vhost: Name,
    /// What the client calls itself, in protocols where it does.
    pub client_id: Option<Name>,
    /// When the credential runs out: the connection is closed then. A password never does.
    pub expires_at: Option<Timestamp>,
    /// What a token grants: it stands for all that definitions say of a user of this name.
    pub scopes: Option<Arc<Scopes>>,
}

impl Principal {
    /// A connection that nobody has logged in on.
    pub fn new(connection: ConnectionId) -> Self {
        let (user, vhost) = (Name::default(), Name::default());
        Self { connection, user, vhost, client_id: None, expires_at: None, scopes: None }
    }

    /// `user` in `vhost`, with a password.
    #[must_use]
    pub fn in_vhost(self, user: &str, vhost: &str) -> Self {
        Self { user: user.into(), vhost: vhost.into(), ..self }
    }
}

/// A broker.
pub struct Broker {
    topology: ArcSwap<Topology>,
    /// Held by whoever changes the definitions.
    writer: Mutex<()>,
    log: Arc<dyn Log>,
    /// [`Log::keeps_messages`].
    log_keeps: bool,
    tokens: Tokens,
    next_id: AtomicU64,
    replies: Replies,
    timers: Timers,
    loading: Loading,
    /// Told when policies changed consumer timeouts.
    timeouts_changed: OnceLock<Box<dyn Fn() + Send + Sync>>,
    memory_bytes: AtomicI64,
    memory_budget: AtomicU64,
    orphans: Vec<QueueId>,
    churn: queues::Churn,
    waits: Histogram,
    /// The position of the last durable change of the definitions.
    defined: AtomicU64,
    access: access::Access,
    tracer: OnceLock<Arc<dyn Tracer>>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker without definitions, with its durable changes in `log`. The seed must be secret and
    /// random outside of tests: names that the server makes up come from it.
    pub fn new(log: Arc<dyn Log>, seed: [u8; 32]) -> Self {
        let tokens = Tokens::new(seed);
        let [a, b, c, d, e, f, g, h, ..] = tokens.bits();
        let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Self {
            topology: ArcSwap::from_pointee(Topology { seed, ..Topology::default() }),
            writer: Mutex::default(),
            log_keeps: log.keeps_messages(),
            log,
            tokens,
            next_id: AtomicU64::new(1),
            replies: Replies::default(),
            timers: Timers::default(),
            loading: Loading::default(),
            timeouts_changed: OnceLock::new(),
            memory_bytes: AtomicI64::new(0),
            memory_budget: AtomicU64::new(u64::MAX),
            orphans: Vec::new(),
            churn: queues::Churn::default(),
            waits: Histogram::default(),
            defined: AtomicU64::new(0),
            access: access::Access::default(),
            tracer: OnceLock::new(),
        }
    }

    /// The definitions at this moment.
    pub fn topology(&self) -> Guard<Arc<Topology>> {
        self.topology.load()
    }

    /// The log, for those who wait on positions.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// How long messages waited in their queues for the first delivery. Those of one batch count
    /// as the last of them; those from before the start do not count.
    pub fn queue_times(&self) -> &Histogram {
        &self.waits
    }

    /// Has messages followed; the first call counts.
    pub fn follow_by(&self, tracer: Arc<dyn Tracer>) {
        let _ = self.tracer.set(tracer);
    }

    /// Names that the server makes up.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// A fresh connection identity.
    pub fn new_connection(&self) -> ConnectionId {
        ConnectionId(self.new_id())
    }

    /// A fresh consumer identity.
    pub fn new_consumer(&self) -> ConsumerId {
        ConsumerId(self.new_id())
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn context(&self, now: Timestamp) -> Context<'_> {
        Context { now, log: &*self.log, window: self.window(), waits: &self.waits }
    }

    fn vhost(&self, who: &Principal) -> Result<Arc<Vhost>, Refusal> {
        let topology = self.topology();
        topology.vhosts.get(&who.vhost).cloned().ok_or_else(|| {
            Refusal::new(RefusalKind::NotAllowed, format!("vhost {} not found", who.vhost))
        })
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a command and publishes the new definitions. Exchanges with auto-delete that it
    /// leaves without a use go by commands of their own, so that a replay need decide nothing. The
    /// writer's guard shows that nobody else is at it.
    fn apply(
        &self,
        writer: &MutexGuard<'_, ()>,
        command: &Command,
        durable: bool,
    ) -> (Applied, Position) {
        let (mut applied, position) = self.apply_with(Vec::new(), writer, command, durable);
        let schedules = std::mem::take(&mut applied.schedules);
        let position = position.max(self.drop_schedules(writer, schedules));
        (applied, position)
    }

    /// The same, with `entries` in front of the command in one group of the log. Schedules are left
    /// to the caller, who may hold the lock of a queue.
    fn apply_with(
        &self,
        mut entries: Vec<Entry>,
        _writer: &MutexGuard<'_, ()>,
        command: &Command,
        durable: bool,
    ) -> (Applied, Position) {
        let mut topology = Topology::clone(&self.topology.load());
        if durable {
            entries.push(Entry::Define(command.clone()));
        }
        self.forget_exchanges(&topology, command, &mut entries);
        let mut applied = topology.apply(command);
        if durable {
            let memories = self.give_memories(&mut topology, Some(command));
            entries.extend(memories.into_iter().map(Entry::Define));
        }
        let mut unused = applied.unused.clone();
        while let Some((vhost, exchange)) = unused.pop() {
            let command = Command::DeleteExchange(vhost, exchange.spec.name.clone());
            self.forget_exchanges(&topology, &command, &mut entries);
            let mut more = topology.apply(&command);
            unused.append(&mut more.unused);
            applied.schedules.append(&mut more.schedules);
            if exchange.spec.durable {
                entries.push(Entry::Define(command));
            }
        }
        // The log first: whatever follows from the new definitions comes after them in it.
        if !entries.is_empty() {
            self.defined.store(self.log.append(&entries).0, Ordering::Release);
        }
        self.topology.store(Arc::new(topology));
        (applied, self.defined())
    }

    /// Frees what exchanges that go keep of its messages, and has the log forget it too.
    fn forget_exchanges(&self, topology: &Topology, command: &Command, entries: &mut Vec<Entry>) {
        match command {
            Command::DeleteExchange(vhost, name) => {
                let vhost = topology.vhosts.get(vhost);
                let exchange = vhost.and_then(|vhost| vhost.exchanges.get(name));
                exchange.into_iter().for_each(|one| self.forget(one, entries));
            }
            Command::DeleteVhost(vhost) => {
                let exchanges = topology.vhosts.get(vhost).map(|vhost| vhost.exchanges.values());
                exchanges.into_iter().flatten().for_each(|one| self.forget(one, entries));
            }
            _ => {}
        }
    }

    fn forget(&self, exchange: &Exchange, entries: &mut Vec<Entry>) {
        if let Some(history) = exchange.router.history() {
            self.count_memory(-(history.close() as i64));
        }
        if let Some(memory) = &exchange.memory {
            self.count_memory(-(memory.close(entries) as i64));
        }
    }

    /// When everything that the definitions say is durable.
    fn defined(&self) -> Position {
        Position(self.defined.load(Ordering::Acquire))
    }

    /// Bytes of memory that the messages in all queues take. A message in several queues counts in
    /// each, so this is more than the truth, never less.
    pub fn memory_bytes(&self) -> u64 {
        u64::try_from(self.memory_bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Counts memory that a session holds for messages that are in no queue yet.
    pub fn count_memory(&self, change: i64) {
        if change != 0 {
            self.memory_bytes.fetch_add(change, Ordering::Relaxed);
        }
    }

    /// Acts on what a queue asks for after its batch.
    fn finished(
        &self,
        queue: &Arc<QueueHandle>,
        mut finished: Finished,
        now: Timestamp,
    ) -> Position {
        let departures = self.note(queue, &mut finished);
        if !departures.is_empty() {
            return self.depart(queue, departures, now).max(finished.position);
        }
        finished.position
    }

    /// The same without what leaves the queue, which it gives.
    fn note(&self, queue: &Arc<QueueHandle>, finished: &mut Finished) -> Vec<Departure> {
        self.count_memory(finished.memory_change);
        if let Some(at) = finished.alarm {
            self.timers.set(queue, at);
        }
        if finished.effects.load {
            self.loading.ask(queue);
        }
        std::mem::take(&mut finished.effects.departures)
    }
}

/// `\r` and `\n` are no part of a name (RabbitMQ strips them on declare).
fn strip_line_ends(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '\r' | '\n')).collect()
}

/// Refuses names that only the server may make.
fn check_reserved(kind: &str, name: &str) -> Result<(), Refusal> {
    if name.starts_with("amq.") {
        let text = format!("{kind} name '{name}' contains reserved prefix 'amq.*'");
        return Err(Refusal::access(text));
    }
    Ok(())
}

fn check_not_default(exchange: &str) -> Result<(), Refusal> {
    if exchange.is_empty() {
        return Err(Refusal::access("operation not permitted on the default exchange"));
    }
    Ok(())
}
