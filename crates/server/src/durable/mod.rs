//! The broker's log over the store: entries become records, and messages come back.
//!
//! A message's data in the store is its head and its block ([`Message::encode_head`]); a change of
//! the definitions is a [`Command`] by postcard, and a snapshot of them is a list of commands.

pub(crate) mod advice;
mod running;
pub mod tools;

use std::collections::HashMap;
use std::sync::Arc;

use leveret_broker::definitions::Command;
use leveret_broker::ids::{QueueId, Seq, Timestamp};
use leveret_broker::log::{
    Entry, Fetched, Log, Position, Recovered, RecoveredQueue, SeqRange, Wake,
};
use leveret_broker::message::Message;
use leveret_store::disk::{Disk, RealDisk};
use leveret_store::{Group, OpenError, Opened, Options, Report, Store, Target};

pub(crate) use running::Running;

use crate::options::{Durability, StoreOptions};

/// A log that keeps what it is given.
#[derive(Debug)]
pub struct StoreLog {
    store: Arc<Store>,
}

/// What opening gives.
#[derive(Debug)]
pub struct OpenedLog {
    /// The log.
    pub log: Arc<StoreLog>,
    /// What it kept.
    pub recovered: Recovered,
    /// What opening found and did.
    pub report: Report,
}

fn places(seqs: &[SeqRange]) -> Vec<leveret_store::SeqRange> {
    let place =
        |range: &SeqRange| leveret_store::SeqRange { first: range.first.0, last: range.last.0 };
    seqs.iter().map(place).collect()
}

fn decode<'a, T: serde::Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, OpenError> {
    postcard::from_bytes(bytes)
        .map_err(|error| OpenError::Damaged { what: what.to_owned(), why: error.to_string() })
}

fn recovered_queue(queue: leveret_store::RecoveredQueue) -> RecoveredQueue {
    let range = |range: leveret_store::SeqRange| SeqRange {
        first: Seq(range.first),
        last: Seq(range.last),
    };
    let levels = queue.levels.into_iter();
    RecoveredQueue {
        queue: QueueId(queue.queue),
        last_seq: Seq(queue.last_seq),
        levels: levels
            .map(|(level, ranges)| (level, ranges.into_iter().map(range).collect()))
            .collect(),
        body_bytes: queue.weight,
        returns: queue.returns.into_iter().map(|(seq, count)| (Seq(seq), count)).collect(),
        delivered: Seq(queue.delivered),
    }
}

/// The part of the memory that copies of the log's files may take.
const KEPT_PART: u64 = 8;

/// Opens the data directory that the options name, for a broker that may use `memory` bytes.
pub(crate) fn open(options: &StoreOptions, memory: u64) -> Result<OpenedLog, OpenError> {
    let durability = match options.durability {
        Durability::Sync => leveret_store::Durability::Sync,
        Durability::Os => leveret_store::Durability::Os,
    };
    let mut seed = [0; 16];
    let chance = |error| OpenError::Io {
        doing: "get random bytes".to_owned(),
        error: std::io::Error::other(error),
    };
    getrandom::fill(&mut seed).map_err(chance)?;
    let settings = Options {
        durability,
        log_file_size: options.log_file_bytes,
        log_files: options.log_files_max,
        kept_files: (memory / KEPT_PART / options.log_file_bytes.max(1)) as usize,
        seed,
        ..Options::default()
    };
    StoreLog::open(Arc::new(RealDisk::new(&options.data_dir)), settings)
}

/// Tells what opening found.
pub(crate) fn tell(options: &StoreOptions, report: &Report) {
    let data_dir = options.data_dir.display();
    let Report { batches, records, queues, messages, segments, .. } = report;
    let what = "data directory opened";
    tracing::info!(%data_dir, queues, messages, segments, batches, records, "{what}");
    if let Some((batch, len)) = report.torn {
        tracing::info!(batch, len, "the torn end of the log was cut: it was never confirmed");
    }
    for damage in &report.damages {
        tracing::error!(%damage, "damage in the data directory; `leveret store check` says more");
    }
}

impl StoreLog {
    /// Opens the data directory behind `disk`.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<OpenedLog, OpenError> {
        let Opened { store, definitions, changes, queues, last_queue, report } =
            Store::open(disk, options)?;
        let mut commands: Vec<Command> = match &definitions {
            Some(bytes) => decode("the snapshot of the definitions", bytes)?,
            None => Vec::new(),
        };
        for change in &changes {
            commands.push(decode("a change of the definitions in the log", change)?);
        }
        let recovered = Recovered {
            commands,
            queues: queues.into_iter().map(recovered_queue).collect(),
            last_queue: QueueId(last_queue),
        };
        Ok(OpenedLog { log: Arc::new(Self { store: Arc::new(store) }), recovered, report })
    }

    /// The store behind it.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Definitions as they are kept in a snapshot.
    pub fn encode_definitions(commands: &[Command]) -> Vec<u8> {
        postcard::to_stdvec(commands).expect(ENCODES)
    }
}

/// Without what it was to be, an entry of the log would make the next start fail.
const ENCODES: &str = "a command has no part that postcard cannot encode";

fn target(queue: QueueId, seq: Seq, level: u8, expires_at: Timestamp) -> Target {
    Target { queue: queue.0, seq: seq.0, expires: expires_at.0, level }
}

fn put(group: &mut Group<'_>, entry: &Entry) {
    match entry {
        Entry::Define(command) => {
            group.define(&postcard::to_stdvec(command).expect(ENCODES));
        }
        Entry::Publish { queue, seq, level, message, expires_at } => {
            let target = target(*queue, *seq, *level, *expires_at);
            publish(group, &[target], message);
        }
        Entry::Settle { queue, seqs } => group.settle(queue.0, &places(seqs)),
        Entry::Return { queue, returns } => {
            let returns: Vec<_> = returns.iter().map(|(seq, count)| (seq.0, *count)).collect();
            group.returned(queue.0, &returns);
        }
        Entry::Delivered { queue, through } => group.delivered(queue.0, through.0),
        Entry::Drop { queue } => group.drop_queue(queue.0),
    }
}

fn publish(group: &mut Group<'_>, targets: &[Target], message: &Message) {
    let weight = u32::try_from(message.body_len()).unwrap_or(u32::MAX);
    group.publish(weight, targets, [&message.encode_head(), message.block()]);
}

/// The queue of a publish.
fn queue_of(entry: &Entry) -> Option<QueueId> {
    match entry {
        Entry::Publish { queue, .. } => Some(*queue),
        _ => None,
    }
}

/// Whether messages may stand in the group for several queues.
fn has_several_queues(entries: &[Entry]) -> bool {
    let mut queues = entries.iter().filter_map(queue_of);
    let first = queues.next();
    queues.any(|queue| Some(queue) != first)
}

/// Puts the publishes of each message together, where the first of them stands.
fn put_shared(group: &mut Group<'_>, entries: &[Entry]) {
    let mut at: HashMap<*const u8, usize> = HashMap::new();
    let mut messages: Vec<(&Message, Vec<Target>)> = Vec::new();
    for entry in entries {
        if let Entry::Publish { queue, seq, level, message, expires_at } = entry {
            let block = message.block();
            // The entries hold their messages, so the same place is the same message; an empty
            // block has no place of its own.
            let key = block.as_ptr();
            let target = target(*queue, *seq, *level, *expires_at);
            match at.get(&key) {
                Some(&at) if !block.is_empty() && messages[at].0 == message => {
                    messages[at].1.push(target);
                }
                _ => {
                    at.insert(key, messages.len());
                    messages.push((message, vec![target]));
                }
            }
        }
    }
    for (message, targets) in messages {
        publish(group, &targets, message);
    }
    entries.iter().filter(|entry| queue_of(entry).is_none()).for_each(|entry| put(group, entry));
}

impl Log for StoreLog {
    fn append(&self, entries: &[Entry]) -> Position {
        Position(self.store.append(|group| {
            if has_several_queues(entries) {
                put_shared(group, entries);
            } else {
                entries.iter().for_each(|entry| put(group, entry));
            }
        }))
    }

    fn durable(&self) -> Position {
        Position(self.store.durable())
    }

    fn notify(&self, position: Position, waker: Arc<dyn Wake>) {
        self.store.notify(position.0, Box::new(move || waker.wake()));
    }

    fn keeps_messages(&self) -> bool {
        true
    }

    fn fetch(&self, queue: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Vec<Fetched> {
        let found = self.store.fetch(queue.0, &places(wanted), max_bytes);
        let message = |found: leveret_store::Fetched| {
            let message = found.data.and_then(Message::decode);
            if message.is_none() {
                tracing::error!(queue = queue.0, seq = found.seq, "message cannot be read");
            }
            let expires_at = Timestamp(found.expires);
            Fetched { seq: Seq(found.seq), message: message.map(|message| (message, expires_at)) }
        };
        found.into_iter().map(message).collect()
    }

    fn prefetch(&self, queue: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Option<Seq> {
        let found = self.store.fetch(queue.0, &places(wanted), max_bytes);
        found.last().map(|found| Seq(found.seq))
    }

    fn spill(&self, queue: QueueId, seq: Seq, message: &Message, expires_at: Timestamp) -> bool {
        let data: [&[u8]; 2] = [&message.encode_head(), message.block()];
        let target = target(queue, seq, 0, expires_at);
        match self.store.spill(&target, data) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "cannot spill a message");
                false
            }
        }
    }

    fn unspill(&self, queue: QueueId, seqs: &[SeqRange]) {
        self.store.unspill(queue.0, &places(seqs));
    }

    fn pending_bytes(&self) -> usize {
        self.store.pending_bytes()
    }
}
