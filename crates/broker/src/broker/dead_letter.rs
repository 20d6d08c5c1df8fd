//! Dead-lettering: what died in a queue by rejection, expiry or a limit is published again to the
//! queue's dead-letter exchange (RabbitMQ: Dead Letter Exchanges).
//!
//! A message that died stays in its queue's part of the log until one group has it in its new
//! queues and settles the old place; so a crash leaves it in the one or in the others. The queues
//! of a round are locked together, in the order of their ids.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Broker;
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::{Position, SeqRange};
use crate::message::{Burial, Message};
use crate::queue::{Batch, Death, DeathReason, QueueHandle, READ_LOCKED, finish_all};
use crate::routing::{RoutingInput, route};

/// How many further deaths may follow from one at once, on average, and how many from few. Queues
/// whose dead letters die at once can multiply them without end; what is beyond is dropped, or
/// waits where it died if it must not be lost.
const FOLLOWING_EACH_MAX: usize = 16;
const FOLLOWING_MAX: usize = 2_048;

/// How many deaths, and bytes of them, are seen to in one round.
const ROUND_MAX: usize = 1_024;
const ROUND_BYTES: usize = 1 << 20;
/// How many queues a round may lock, unless one message goes to more.
const ROUND_QUEUES: usize = 32;

/// A death with what is to become of it.
struct Funeral {
    seq: Option<Seq>,
    /// None if the message cannot be read.
    copies: Option<Vec<(QueueId, Message)>>,
}

/// Deaths of one queue that are seen to together.
struct Round {
    funerals: Vec<Funeral>,
    /// All that they lock.
    queues: BTreeMap<QueueId, Arc<QueueHandle>>,
}

type Deaths = VecDeque<Death>;

impl Broker {
    /// Publishes the deaths of `queue`, and those that follow from them.
    pub(super) fn dead_letter(
        &self,
        queue: &Arc<QueueHandle>,
        deaths: Vec<Death>,
        now: Timestamp,
    ) -> Position {
        let mut position = Position::START;
        let mut left = deaths.len() * FOLLOWING_EACH_MAX + FOLLOWING_MAX;
        let mut work = VecDeque::from([(Arc::clone(queue), Deaths::from(deaths))]);
        while let Some((queue, mut deaths)) = work.pop_front() {
            while !deaths.is_empty() {
                let round = self.next_round(&queue, &mut deaths, now);
                position = position.max(self.bury(&queue, round, now, |target, deaths| {
                    if deaths.len() <= left {
                        left -= deaths.len();
                        work.push_back((target, deaths.into()));
                    } else {
                        self.give_up(&target, deaths, now);
                    }
                }));
            }
        }
        position
    }

    /// Takes the first of `deaths`, with their messages and where these go.
    fn next_round(&self, queue: &Arc<QueueHandle>, deaths: &mut Deaths, now: Timestamp) -> Round {
        let looked_at = self.read_back(queue, deaths);
        let queues = BTreeMap::from([(queue.spec.id, Arc::clone(queue))]);
        let mut round = Round { funerals: Vec::new(), queues };
        let mut bytes = 0;
        while round.funerals.len() < looked_at
            && let Some(death) = deaths.pop_front()
        {
            let Some(message) = &death.message else {
                round.funerals.push(Funeral { seq: death.seq, copies: None });
                continue;
            };
            let targets = self.targets(queue, message, death.reason, now);
            let new = targets.iter().filter(|(one, _)| !round.queues.contains_key(&one.spec.id));
            let full = bytes > ROUND_BYTES || round.queues.len() + new.count() > ROUND_QUEUES;
            if full && !round.funerals.is_empty() {
                deaths.push_front(death);
                break;
            }
            bytes += message.size();
            let copies = targets.into_iter().map(|(target, message)| {
                let id = target.spec.id;
                round.queues.insert(id, target);
                (id, message)
            });
            let copies = Some(copies.collect());
            round.funerals.push(Funeral { seq: death.seq, copies });
        }
        round
    }

    /// Reads back what of the first deaths is not in memory; how many have been looked at.
    fn read_back(&self, queue: &QueueHandle, deaths: &mut Deaths) -> usize {
        let most = deaths.len().min(ROUND_MAX);
        let mut ranges = Vec::new();
        for death in deaths.iter().take(most).filter(|death| death.message.is_none()) {
            death.seq.iter().for_each(|seq| SeqRange::push(&mut ranges, *seq));
        }
        if ranges.is_empty() {
            return most;
        }
        let mut answers = self.log.fetch(queue.spec.id, &ranges, READ_LOCKED).into_iter();
        let Some(last) = answers.as_slice().last().map(|last| last.seq) else { return most };
        let mut next = answers.next();
        for (index, death) in deaths.iter_mut().take(most).enumerate() {
            if death.message.is_some() || next.as_ref().map(|answer| answer.seq) != death.seq {
                continue;
            }
            death.message = next.and_then(|answer| answer.message).map(|(message, _)| message);
            next = answers.next();
            if death.seq == Some(last) {
                return index + 1;
            }
        }
        most
    }

    /// Does a round as one group of the log. `follow` gets the deaths that follow from it.
    fn bury(
        &self,
        queue: &Arc<QueueHandle>,
        round: Round,
        now: Timestamp,
        mut follow: impl FnMut(Arc<QueueHandle>, Vec<Death>),
    ) -> Position {
        let Round { funerals, queues } = round;
        let mut batches: BTreeMap<QueueId, Batch<'_>> = BTreeMap::new();
        for (id, queue) in &queues {
            batches.insert(*id, queue.lock(self.context(now)));
        }
        for funeral in funerals {
            hold(queue.spec.id, funeral, &mut batches);
        }
        let mut finished = Vec::with_capacity(queues.len());
        finish_all(batches.into_values().collect(), |_, one| finished.push(one));
        let mut position = Position::START;
        for (queue, mut one) in queues.into_values().zip(finished) {
            position = position.max(one.position);
            let deaths = self.note(&queue, &mut one);
            if !deaths.is_empty() {
                follow(queue, deaths);
            }
        }
        position
    }

    /// Ends deaths that are too many: they are dropped, or wait.
    fn give_up(&self, queue: &Arc<QueueHandle>, deaths: Vec<Death>, now: Timestamp) {
        let mut deaths = deaths;
        while !deaths.is_empty() {
            let mut batch = queue.lock(self.context(now));
            for seq in deaths.into_iter().filter_map(|death| death.seq) {
                if batch.is_at_least_once() { batch.stay(seq) } else { batch.leave(seq) }
            }
            let mut finished = batch.finish();
            // Whom the lock found dead: each comes once.
            deaths = self.note(queue, &mut finished);
        }
    }

    fn targets(
        &self,
        queue: &QueueHandle,
        message: &Message,
        reason: DeathReason,
        now: Timestamp,
    ) -> Vec<(Arc<QueueHandle>, Message)> {
        let settings = queue.settings();
        let topology = self.topology();
        let (Some(exchange), Some(vhost)) =
            (&settings.dead_letter_exchange, topology.vhosts.get(&queue.spec.vhost))
        else {
            return Vec::new();
        };
        let buried = message.bury(&Burial {
            queue: &queue.spec.name,
            reason: reason.name(),
            exchange,
            routing_key: settings.dead_letter_routing_key.as_deref(),
            now_secs: now.0 / 1000,
        });
        let input = RoutingInput {
            routing_key: buried.message.routing_key(),
            extra_keys: &buried.extra_keys,
            message: Some(&buried.message),
        };
        let mut targets = Vec::new();
        let routed = route(vhost, exchange, &input);
        self.count_memory(routed.history_bytes);
        for target in routed.queues {
            let message = &buried.message;
            if reason == DeathReason::Rejected || !message.died_in_cycle(&target.spec.name) {
                targets.push((target, message.clone()));
            }
        }
        targets
    }
}

/// Publishes one dead message and takes it out of the queue where it died, unless somebody has seen
/// to it already. If it must not be lost, all of its queues take it, or it stays.
fn hold(source: QueueId, funeral: Funeral, batches: &mut BTreeMap<QueueId, Batch<'_>>) {
    let Some(batch) = batches.get_mut(&source) else { return };
    if funeral.seq.is_some_and(|seq| !batch.is_leaving(seq)) {
        return;
    }
    let (Some(copies), safe) = (funeral.copies, batch.is_at_least_once()) else {
        funeral.seq.iter().for_each(|seq| batch.lose(*seq));
        return;
    };
    if safe && let Some(seq) = funeral.seq {
        let mut refused = copies.is_empty();
        for (id, message) in &copies {
            refused |= batches.get_mut(id).is_none_or(|target| target.refuses(message));
        }
        if refused {
            if let Some(batch) = batches.get_mut(&source) {
                batch.stay(seq);
            }
            return;
        }
    }
    for (id, message) in copies {
        if let Some(target) = batches.get_mut(&id) {
            target.publish_moved(message);
        }
    }
    if let (Some(batch), Some(seq)) = (batches.get_mut(&source), funeral.seq) {
        batch.leave(seq);
    }
}
