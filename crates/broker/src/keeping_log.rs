//! A log for tests that keeps what it is given, as the trait asks it to, and can crash.
//!
//! It answers only what was appended or spilled and not settled, in the order asked for, within
//! the bytes allowed; and it panics at entries that no replay could follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::definitions::Command;
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::{Entry, Fetched, Log, Position, Recovered, RecoveredQueue, SeqRange, Wake};
use crate::message::Message;

#[derive(Default)]
struct KeptQueue {
    messages: BTreeMap<Seq, (u8, Message, Timestamp)>,
    last_seq: Seq,
    returns: BTreeMap<Seq, u32>,
    delivered: Seq,
}

impl KeptQueue {
    fn settle(&mut self, range: SeqRange) {
        let seqs: Vec<Seq> =
            self.messages.range(range.first..=range.last).map(|(s, _)| *s).collect();
        for seq in seqs {
            self.messages.remove(&seq);
            self.returns.remove(&seq);
        }
        self.last_seq = self.last_seq.max(range.last);
    }

    fn recovered(&self, queue: QueueId) -> RecoveredQueue {
        let mut levels: BTreeMap<u8, Vec<SeqRange>> = BTreeMap::new();
        for (seq, (level, ..)) in &self.messages {
            SeqRange::push(levels.entry(*level).or_default(), *seq);
        }
        let bytes = self.messages.values().map(|(_, message, _)| message.body_len() as u64);
        RecoveredQueue {
            queue,
            last_seq: self.last_seq,
            levels: levels.into_iter().collect(),
            body_bytes: bytes.sum(),
            returns: self.returns.iter().map(|(seq, times)| (*seq, *times)).collect(),
            delivered: self.delivered,
        }
    }
}

#[derive(Default)]
struct Kept {
    commands: Vec<Command>,
    queues: BTreeMap<QueueId, KeptQueue>,
    dropped: BTreeSet<QueueId>,
    last_queue: QueueId,
}

impl Kept {
    fn queue(&mut self, id: QueueId) -> &mut KeptQueue {
        assert!(!self.dropped.contains(&id), "{id:?} is gone");
        self.last_queue = self.last_queue.max(id);
        self.queues.entry(id).or_default()
    }

    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Define(command) => {
                match command {
                    Command::DeclareQueue(spec) => {
                        self.last_queue = self.last_queue.max(spec.id);
                    }
                    Command::DeclareDelayed(_, _, id) => {
                        self.last_queue = self.last_queue.max(*id);
                    }
                    _ => {}
                }
                if let Command::Remember(_, _, id) = command {
                    self.last_queue = self.last_queue.max(*id);
                }
                self.commands.push(command.clone());
            }
            Entry::Publish { queue, seq, level, message, expires_at } => {
                let queue = self.queue(*queue);
                assert!(*seq > queue.last_seq, "{seq:?} was given before");
                queue.last_seq = *seq;
                queue.messages.insert(*seq, (*level, message.clone(), *expires_at));
            }
            Entry::Settle { queue, seqs } => {
                assert!(!seqs.is_empty(), "a settlement of nothing");
                seqs.iter().for_each(|range| self.queue(*queue).settle(*range));
            }
            Entry::Return { queue, returns } => {
                let queue = self.queue(*queue);
                for (seq, times) in returns {
                    assert!(queue.messages.contains_key(seq), "{seq:?} came back from nowhere");
                    queue.returns.insert(*seq, *times);
                }
            }
            Entry::Delivered { queue, through } => {
                let queue = self.queue(*queue);
                assert!(*through != queue.delivered, "{through:?} is no news");
                assert!(*through <= queue.last_seq, "{through:?} was never published");
                queue.delivered = *through;
            }
            Entry::Drop { queue } => {
                self.queues.remove(queue);
                assert!(self.dropped.insert(*queue), "{queue:?} went twice");
            }
        }
    }
}

#[derive(Default)]
struct State {
    groups: Vec<Vec<Entry>>,
    kept: Kept,
    spilled: BTreeMap<(QueueId, Seq), (Message, Timestamp)>,
    spill_room: usize,
    damaged: BTreeSet<Seq>,
    fetched: Vec<Seq>,
}

/// See the module.
pub(crate) struct KeepingLog(Mutex<State>);

impl KeepingLog {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { spill_room: usize::MAX, ..State::default() };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The places that were read since the last call.
    pub(crate) fn take_fetched(&self) -> Vec<Seq> {
        std::mem::take(&mut self.state().fetched)
    }

    /// How many groups were appended.
    pub(crate) fn len(&self) -> usize {
        self.state().groups.len()
    }

    /// The groups from `from` on.
    pub(crate) fn groups(&self, from: usize) -> Vec<Vec<Entry>> {
        self.state().groups[from..].to_vec()
    }

    /// How many messages may be spilled at a time.
    pub(crate) fn set_spill_room(&self, messages: usize) {
        self.state().spill_room = messages;
    }

    /// What is spilled.
    pub(crate) fn spilled(&self) -> usize {
        self.state().spilled.len()
    }

    /// How many durable messages there are.
    pub(crate) fn messages(&self) -> usize {
        self.state().kept.queues.values().map(|queue| queue.messages.len()).sum()
    }

    /// The durable messages of a queue, with their levels and how often they came back.
    pub(crate) fn contents(&self, queue: QueueId) -> Vec<(Seq, u8, Message, u32)> {
        let state = self.state();
        let Some(queue) = state.kept.queues.get(&queue) else { return Vec::new() };
        let messages = queue.messages.iter().map(|(seq, (level, message, _))| {
            let returns = queue.returns.get(seq).copied().unwrap_or(0);
            (*seq, *level, message.clone(), returns)
        });
        messages.collect()
    }

    /// Makes the message at a place unreadable.
    pub(crate) fn damage(&self, seq: Seq) {
        self.state().damaged.insert(seq);
    }

    /// Loses the message at a place.
    pub(crate) fn lose(&self, queue: QueueId, seq: Seq) {
        self.state().kept.queue(queue).messages.remove(&seq);
    }

    /// The log after a crash that all behind the first `groups` did not survive, and what it gives.
    pub(crate) fn crash(&self, groups: usize) -> (Arc<Self>, Recovered) {
        let after = Self::new();
        let mut state = after.state();
        for group in &self.state().groups[..groups] {
            group.iter().for_each(|entry| state.kept.apply(entry));
            state.groups.push(group.clone());
        }
        let queues = state.kept.queues.iter().map(|(id, queue)| queue.recovered(*id));
        let recovered = Recovered {
            commands: state.kept.commands.clone(),
            queues: queues.collect(),
            last_queue: state.kept.last_queue,
        };
        drop(state);
        (after, recovered)
    }
}

impl Log for KeepingLog {
    fn append(&self, entries: &[Entry]) -> Position {
        assert!(!entries.is_empty(), "a group of nothing");
        let mut state = self.state();
        entries.iter().for_each(|entry| state.kept.apply(entry));
        state.groups.push(entries.to_vec());
        Position(state.groups.len() as u64)
    }

    fn durable(&self) -> Position {
        Position(u64::MAX)
    }

    fn notify(&self, _position: Position, waker: Arc<dyn Wake>) {
        waker.wake();
    }

    fn keeps_messages(&self) -> bool {
        true
    }

    fn fetch(&self, queue: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Vec<Fetched> {
        let mut state = self.state();
        let State { kept, spilled, damaged, fetched, .. } = &mut *state;
        let kept = kept.queues.entry(queue).or_default();
        let (mut answers, mut bytes) = (Vec::new(), 0);
        for seq in wanted.iter().flat_map(|range| range.first.0..=range.last.0).map(Seq) {
            let durable = kept.messages.get(&seq).map(|(_, message, at)| (message, *at));
            let spilled = spilled.get(&(queue, seq)).map(|(message, at)| (message, *at));
            assert!(durable.is_none() || spilled.is_none(), "{seq:?} is there twice");
            let Some((message, expires_at)) = durable.or(spilled) else { continue };
            bytes += message.size();
            if bytes > max_bytes && !answers.is_empty() {
                break;
            }
            let readable = !damaged.contains(&seq);
            let message = readable.then(|| (message.clone(), expires_at));
            answers.push(Fetched { seq, message });
        }
        fetched.extend(answers.iter().map(|answer| answer.seq));
        answers
    }

    fn spill(&self, queue: QueueId, seq: Seq, message: &Message, expires_at: Timestamp) -> bool {
        let mut state = self.state();
        if state.spilled.len() >= state.spill_room {
            return false;
        }
        let before = state.spilled.insert((queue, seq), (message.clone(), expires_at));
        assert!(before.is_none(), "{seq:?} is spilled twice");
        true
    }

    fn unspill(&self, queue: QueueId, seqs: &[SeqRange]) {
        let within = |seq: &Seq| seqs.iter().any(|one| (one.first..=one.last).contains(seq));
        self.state().spilled.retain(|(id, seq), _| *id != queue || !within(seq));
    }
}
