//! What the store must hold: groups of changes in the order of the log, applied naively.

use std::collections::{BTreeMap, BTreeSet};

use leveret_store::{RecoveredQueue, SeqRange};

#[derive(Debug, Clone)]
pub enum Change {
    Define(Vec<u8>),
    /// Targets: queue, seq, level.
    Publish {
        targets: Vec<(u64, u64, u8)>,
        expires: u64,
        data: Vec<u8>,
    },
    Settle {
        queue: u64,
        first: u64,
        last: u64,
    },
    Return {
        queue: u64,
        seq: u64,
        count: u32,
    },
    Delivered {
        queue: u64,
        through: u64,
    },
    Drop {
        queue: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub level: u8,
    pub expires: u64,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub struct Queue {
    pub messages: BTreeMap<u64, Message>,
    pub returns: BTreeMap<u64, u32>,
    pub delivered: u64,
    pub last_seq: u64,
}

#[derive(Debug, Clone, Default)]
pub struct State {
    pub queues: BTreeMap<u64, Queue>,
    pub definitions: Vec<Vec<u8>>,
    pub dropped: BTreeSet<u64>,
}

impl State {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Define(bytes) => self.definitions.push(bytes.clone()),
            Change::Publish { targets, expires, data } => {
                for (queue, seq, level) in targets {
                    let queue = self.queues.entry(*queue).or_default();
                    queue.last_seq = queue.last_seq.max(*seq);
                    let (level, expires, data) = (*level, *expires, data.clone());
                    queue.messages.insert(*seq, Message { level, expires, data });
                }
            }
            Change::Settle { queue, first, last } => {
                let queue = self.queues.entry(*queue).or_default();
                queue.last_seq = queue.last_seq.max(*last);
                queue.messages.retain(|seq, _| !(*first..=*last).contains(seq));
                queue.returns.retain(|seq, _| !(*first..=*last).contains(seq));
            }
            Change::Return { queue, seq, count } => {
                self.queues.entry(*queue).or_default().returns.insert(*seq, *count);
            }
            Change::Delivered { queue, through } => {
                let queue = self.queues.entry(*queue).or_default();
                queue.delivered = *through;
            }
            Change::Drop { queue } => {
                self.queues.remove(queue);
                self.dropped.insert(*queue);
            }
        }
    }

    /// Compares with what the store says.
    pub fn check(&self, recovered: &[RecoveredQueue], definitions: &[Vec<u8>]) {
        assert_eq!(definitions, self.definitions, "the definitions");
        let found: BTreeMap<u64, &RecoveredQueue> =
            recovered.iter().map(|queue| (queue.queue, queue)).collect();
        for id in found.keys() {
            assert!(!self.dropped.contains(id), "queue {id} was dropped and is back");
        }
        for (id, queue) in &self.queues {
            let Some(found) = found.get(id) else {
                assert!(queue.messages.is_empty() && queue.last_seq == 0, "queue {id} is missing");
                continue;
            };
            let seqs = |level: u8| {
                let ranges = found.levels.iter().filter(move |(other, _)| *other == level);
                ranges.flat_map(|(_, ranges)| ranges.iter().copied()).collect::<Vec<SeqRange>>()
            };
            let levels: BTreeSet<u8> = queue.messages.values().map(|one| one.level).collect();
            let known: BTreeSet<u8> = found.levels.iter().map(|(level, _)| *level).collect();
            assert_eq!(known, levels, "the levels of queue {id}");
            for level in levels {
                let expected: Vec<u64> = queue
                    .messages
                    .iter()
                    .filter(|(_, message)| message.level == level)
                    .map(|(seq, _)| *seq)
                    .collect();
                let there: Vec<u64> =
                    seqs(level).iter().flat_map(|range| range.first..=range.last).collect();
                assert_eq!(there, expected, "level {level} of queue {id}");
            }
            assert_eq!(found.last_seq, queue.last_seq, "the last seq of queue {id}");
            assert_eq!(found.delivered, queue.delivered, "delivered of queue {id}");
            let returns: Vec<(u64, u32)> = queue
                .returns
                .iter()
                .filter(|(seq, _)| queue.messages.contains_key(seq))
                .map(|(seq, count)| (*seq, *count))
                .collect();
            assert_eq!(found.returns, returns, "the returns of queue {id}");
        }
    }
}
