//! Publishes that an exchange looks at: each message enters all of its queues or none, its record
//! is in the same group of the log, and a repeated one is confirmed once the first is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use smallvec::SmallVec;

use super::Broker;
use crate::deduplication::{ExchangeMemory, ExchangeState, Identity, read_back};
use crate::definitions::{Command, Topology};
use crate::ids::{Name, QueueId, Timestamp};
use crate::log::{Entry, Log, Position, Recovered, RecoveredQueue};
use crate::message::Message;
use crate::queue::{Batch, Finished, Publish, QueueHandle, finish_with};

/// A message that is in the lists of its queues, and is to be looked at first.
#[derive(Debug)]
pub(super) struct Looked {
    memory: Arc<ExchangeMemory>,
    identity: Identity,
    durable: bool,
    /// Its queues, with its place in each one's list.
    places: SmallVec<[(QueueId, usize); 2]>,
}

impl Looked {
    /// Of a message with an identity, on its way through an exchange with a memory; `len` is how
    /// long the list of a queue is without it.
    pub(super) fn at(
        memory: &Arc<ExchangeMemory>,
        message: &Message,
        queues: &[Arc<QueueHandle>],
        mut len: impl FnMut(&Arc<QueueHandle>) -> usize,
    ) -> Option<Self> {
        if queues.is_empty() {
            return None;
        }
        let identity = Identity::of(message)?;
        let kept = queues.iter().any(|queue| queue.is_durable());
        let durable = memory.durable && message.persistent && kept;
        let places = queues.iter().map(|queue| (queue.spec.id, len(queue))).collect();
        Some(Self { memory: Arc::clone(memory), identity, durable, places })
    }
}

/// Messages for one queue, with what the caller knows each by.
type List = Vec<Option<(Message, u64)>>;

/// A locked queue and what is to be published to it.
pub(super) struct Line<'a> {
    batch: Batch<'a>,
    messages: List,
    /// Those in front of this one have been seen to.
    next: usize,
}

impl<'a> Line<'a> {
    pub(super) fn new(batch: Batch<'a>, messages: Vec<(Message, u64)>) -> Self {
        Self { batch, messages: messages.into_iter().map(Some).collect(), next: 0 }
    }

    /// Publishes all that stands in front of a place.
    fn publish_until(&mut self, end: usize, rejected: &mut Vec<u64>) {
        for at in self.next..end.min(self.messages.len()) {
            self.publish_at(at, rejected);
        }
        self.next = self.next.max(end);
    }

    fn publish_at(&mut self, at: usize, rejected: &mut Vec<u64>) {
        let Some((message, mark)) = self.messages.get_mut(at).and_then(Option::take) else {
            return;
        };
        if self.batch.publish_once(message) == Publish::Rejected {
            rejected.push(mark);
        }
    }

    fn refuses(&mut self, at: usize) -> bool {
        match self.messages.get(at) {
            Some(Some((message, _))) => self.batch.refuses_once(message),
            _ => false,
        }
    }
}

/// The memories of exchanges that are looked at, locked, each with what it took before.
struct Locked<'a> {
    states: BTreeMap<usize, (MutexGuard<'a, ExchangeState>, u64)>,
}

impl<'a> Locked<'a> {
    fn new(looked: &'a [Looked]) -> Self {
        let memories: BTreeMap<usize, &ExchangeMemory> =
            looked.iter().map(|one| (one.memory.order(), &*one.memory)).collect();
        let lock = |(order, memory): (usize, &'a ExchangeMemory)| {
            let state = memory.lock();
            let bytes = state.memory.bytes();
            (order, (state, bytes))
        };
        Self { states: memories.into_iter().map(lock).collect() }
    }

    fn take_entries(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.states.values_mut().for_each(|(state, _)| state.memory.take_entries(&mut entries));
        entries
    }

    /// All was appended there; by how many bytes they grew.
    fn appended(&mut self, position: Position) -> i64 {
        let mut grown = 0;
        for (state, before) in self.states.values_mut() {
            state.memory.appended(position);
            grown += state.memory.bytes() as i64 - *before as i64;
        }
        grown
    }
}

/// What became of publishes that were looked at.
pub(super) struct Sent {
    /// When all, and what they repeat, are durable.
    pub(super) position: Position,
    /// Those that a queue refused.
    pub(super) rejected: Vec<u64>,
    /// What each queue asks for, in the order of their ids.
    pub(super) finished: Vec<Finished>,
}

impl Broker {
    /// Publishes what stands in `lines`, each message that is in `looked` only if its exchange has
    /// not seen it, then does `more` to each queue, and appends all as one group. The queues are
    /// locked by `lock`, after the exchanges.
    pub(super) fn send_once<'a>(
        &self,
        looked: &[Looked],
        lock: impl FnOnce() -> BTreeMap<QueueId, Line<'a>>,
        mut more: impl FnMut(QueueId, &mut Batch<'a>),
        now: Timestamp,
    ) -> Sent {
        let mut memories = Locked::new(looked);
        let mut lines = lock();
        let (mut position, mut rejected) = (Position::START, Vec::new());
        for one in looked {
            let first = look(one, &mut memories, &mut lines, &mut rejected, now);
            position = position.max(first);
        }
        for line in lines.values_mut() {
            line.publish_until(usize::MAX, &mut rejected);
        }
        lines.iter_mut().for_each(|(id, line)| more(*id, &mut line.batch));
        let entries = memories.take_entries();
        let batches = lines.into_values().map(|line| line.batch).collect();
        let mut finished = Vec::new();
        let appended = finish_with(entries, batches, |_, one| finished.push(one));
        self.count_memory(memories.appended(appended));
        Sent { position: position.max(appended), rejected, finished }
    }

    /// Gives each durable queue and exchange that deduplicates and has none yet a place in the log
    /// to remember in: those that `command` concerns, or all. The commands that say so, applied.
    pub(super) fn give_memories(
        &self,
        topology: &mut Topology,
        command: Option<&Command>,
    ) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut give = |vhost: &Name, owner| {
            let id = QueueId(self.new_id());
            commands.push(Command::Remember(vhost.clone(), owner, id));
        };
        for (name, vhost) in &topology.vhosts {
            match command {
                Some(Command::DeclareQueue(spec)) if spec.vhost == *name => {
                    vhost.queue_without_memory(&spec.name).into_iter().for_each(|o| give(name, o));
                }
                Some(Command::DeclareExchange(of, spec)) if of == name => {
                    let owner = vhost.exchange_without_memory(&spec.name);
                    owner.into_iter().for_each(|owner| give(name, owner));
                }
                Some(Command::PutPolicy(of, ..) | Command::DeletePolicy(of, ..)) if of == name => {
                    vhost.without_memory().into_iter().for_each(|owner| give(name, owner));
                }
                None => vhost.without_memory().into_iter().for_each(|owner| give(name, owner)),
                Some(_) => {}
            }
        }
        for command in &commands {
            topology.apply(command);
        }
        commands
    }

    /// Takes from what a log kept what queues and exchanges remember, and gives it to them.
    pub(super) fn recall(&self, topology: &Topology, recovered: &mut Recovered) {
        let mut owners: BTreeMap<QueueId, Owner<'_>> = BTreeMap::new();
        for vhost in topology.vhosts.values() {
            for queue in vhost.queues.values() {
                owners.extend(queue.memory_id().map(|id| (id, Owner::Queue(queue))));
            }
            let memories = vhost.exchanges.values().filter_map(|one| one.memory.as_ref());
            owners.extend(memories.filter_map(|one| Some((one.id()?, Owner::Exchange(one)))));
        }
        let last = owners.keys().next_back().copied().unwrap_or_default();
        recovered.last_queue = recovered.last_queue.max(last);
        recovered.queues.retain(|kept| {
            let owner = owners.get(&kept.queue);
            let bytes = owner.map(|owner| owner.recall(&*self.log, kept));
            self.count_memory(bytes.unwrap_or_default() as i64);
            bytes.is_none()
        });
    }
}

/// Publishes a message with all that stands in front of it, unless its exchange has seen it: then
/// gives when that is durable.
fn look(
    one: &Looked,
    memories: &mut Locked<'_>,
    lines: &mut BTreeMap<QueueId, Line<'_>>,
    rejected: &mut Vec<u64>,
    now: Timestamp,
) -> Position {
    let mut refused = false;
    for (queue, at) in &one.places {
        if let Some(line) = lines.get_mut(queue) {
            line.publish_until(*at, rejected);
            refused |= line.refuses(*at);
        }
    }
    let state = memories.states.get_mut(&one.memory.order()).filter(|(state, _)| !state.closed);
    let known = state.as_ref().and_then(|(state, _)| state.memory.knows(&one.identity, now));
    for (queue, at) in &one.places {
        let Some(line) = lines.get_mut(queue) else { continue };
        // Only those that refuse see one that not all take, so that nobody has it twice later.
        if known.is_none() && (!refused || line.refuses(*at)) {
            line.publish_at(*at, rejected);
        }
        line.next = line.next.max(at + 1);
    }
    if let (None, false, Some((state, _))) = (known, refused, state) {
        state.memory.remember(&one.identity, &one.memory.limits, now, one.durable);
    }
    known.unwrap_or_default()
}

/// Whose memory it is.
enum Owner<'a> {
    Queue(&'a QueueHandle),
    Exchange(&'a ExchangeMemory),
}

impl Owner<'_> {
    /// Gives the memory what the log kept; how many bytes that are.
    fn recall(&self, log: &dyn Log, kept: &RecoveredQueue) -> u64 {
        match self {
            Self::Queue(queue) => queue.recall(log, kept),
            Self::Exchange(exchange) => {
                let memory = &mut exchange.lock().memory;
                memory.start_behind(kept.last_seq);
                read_back(log, kept, |seq, record, until| memory.restore(seq, record, until));
                memory.bytes()
            }
        }
    }
}
