//! What a restart must give: the groups of the log, up to some batch, applied naively.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leveret_broker::broker::Broker;
use leveret_broker::definitions::Command;
use leveret_broker::ids::{QueueId, Seq, Timestamp};
use leveret_broker::log::{Entry, Log, NoLog, Recovered, RecoveredQueue};
use leveret_broker::message::Message;
use leveret_server::durable::StoreLog;

#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub level: u8,
    pub message: Message,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, Default)]
pub struct Queue {
    pub messages: BTreeMap<Seq, Kept>,
    pub returns: BTreeMap<Seq, u32>,
    pub delivered: Seq,
    pub last_seq: Seq,
}

impl Queue {
    /// Whether a message that is there is to be delivered as one that was out before.
    pub fn was_out(&self, seq: Seq) -> bool {
        seq <= self.delivered || self.returns.contains_key(&seq)
    }

    /// The order in which the messages are delivered.
    pub fn in_order(&self) -> Vec<Seq> {
        let mut all: Vec<_> = self.messages.iter().map(|(seq, kept)| (kept.level, *seq)).collect();
        all.sort_by_key(|(level, seq)| (std::cmp::Reverse(*level), *seq));
        all.into_iter().map(|(_, seq)| seq).collect()
    }
}

#[derive(Debug, Clone, Default)]
pub struct State {
    pub commands: Vec<Command>,
    pub queues: BTreeMap<QueueId, Queue>,
    dropped: BTreeSet<QueueId>,
}

/// The definitions that commands lead to, in the form of a snapshot.
fn definitions(commands: &[Command]) -> Vec<Command> {
    let recovered = Recovered { commands: commands.to_vec(), ..Recovered::default() };
    Broker::recover(Arc::new(NoLog::default()), [0; 32], recovered, Timestamp(0)).definitions()
}

impl State {
    pub fn apply(&mut self, entry: &Entry) {
        let of = match entry {
            Entry::Define(_) => None,
            Entry::Publish { queue, .. }
            | Entry::Settle { queue, .. }
            | Entry::Return { queue, .. }
            | Entry::Delivered { queue, .. }
            | Entry::Drop { queue } => Some(*queue),
        };
        let gone = of.is_some_and(|queue| self.dropped.contains(&queue));
        assert!(!gone, "behind the end of its queue: {entry:?}");
        match entry {
            Entry::Define(command) => self.commands.push(command.clone()),
            Entry::Publish { queue, seq, level, message, expires_at } => {
                let queue = self.queues.entry(*queue).or_default();
                assert!(*seq > queue.last_seq, "{seq:?} was given before");
                queue.last_seq = *seq;
                let (level, message) = (*level, message.clone());
                queue.messages.insert(*seq, Kept { level, message, expires_at: *expires_at });
            }
            Entry::Settle { queue, seqs } => {
                let queue = self.queues.entry(*queue).or_default();
                for range in seqs {
                    let gone = |seq: &Seq| (range.first..=range.last).contains(seq);
                    queue.last_seq = queue.last_seq.max(range.last);
                    queue.messages.retain(|seq, _| !gone(seq));
                    queue.returns.retain(|seq, _| !gone(seq));
                }
            }
            Entry::Return { queue, returns } => {
                let queue = self.queues.entry(*queue).or_default();
                queue.returns.extend(returns.iter().copied());
            }
            Entry::Delivered { queue, through } => {
                self.queues.entry(*queue).or_default().delivered = *through;
            }
            Entry::Drop { queue } => {
                self.queues.remove(queue);
                self.dropped.insert(*queue);
            }
        }
    }

    /// Compares with what a restart gave, and reads every message. The messages of `log` are those
    /// of `recovered`.
    pub fn check(&mut self, recovered: &Recovered, log: &StoreLog) {
        self.commands = definitions(&self.commands);
        assert_eq!(definitions(&recovered.commands), self.commands, "the definitions");
        let found: BTreeMap<QueueId, &RecoveredQueue> =
            recovered.queues.iter().map(|queue| (queue.queue, queue)).collect();
        assert_eq!(found.len(), recovered.queues.len(), "a queue is there twice");
        for id in found.keys() {
            assert!(!self.dropped.contains(id), "{id:?} was dropped and is back");
            assert!(self.queues.contains_key(id), "{id:?} is invented");
            assert!(*id <= recovered.last_queue, "{id:?} is behind the last");
        }
        for (id, queue) in &self.queues {
            match found.get(id) {
                Some(found) => queue.check(found, log),
                None => assert!(queue.last_seq == Seq(0), "{id:?} is missing"),
            }
        }
    }
}

impl Queue {
    fn check(&self, found: &RecoveredQueue, log: &StoreLog) {
        let id = found.queue;
        let mut places: Vec<(u8, Seq)> = Vec::new();
        for (level, ranges) in &found.levels {
            let seqs = ranges.iter().flat_map(|range| range.first.0..=range.last.0);
            places.extend(seqs.map(|seq| (*level, Seq(seq))));
        }
        places.sort_unstable();
        let mut expected: Vec<_> =
            self.messages.iter().map(|(seq, kept)| (kept.level, *seq)).collect();
        expected.sort_unstable();
        assert_eq!(places, expected, "the messages of {id:?}, by level");
        assert_eq!(found.last_seq, self.last_seq, "the last place of {id:?}");
        assert_eq!(found.delivered, self.delivered, "what was delivered of {id:?}");
        let returns = self.returns.iter().filter(|(seq, _)| self.messages.contains_key(seq));
        let returns: Vec<_> = returns.map(|(seq, count)| (*seq, *count)).collect();
        assert_eq!(found.returns, returns, "what came back to {id:?}");
        for (_, ranges) in &found.levels {
            for one in log.fetch(id, ranges, 1 << 30) {
                let kept = &self.messages[&one.seq];
                let expected = Some((kept.message.clone(), kept.expires_at));
                assert!(one.message == expected, "{:?} of {id:?} is another message", one.seq);
                places.retain(|(_, seq)| *seq != one.seq);
            }
        }
        assert_eq!(places, [], "cannot be read in {id:?}");
    }
}
