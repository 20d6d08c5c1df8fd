//! Messages that leave their queue for others: those that died in it (`dead_letter`), and those of
//! an exchange's schedule that are due (`delayed`).
//!
//! A message that leaves stays in its queue's part of the log until one group has it in its new
//! queues and settles the old place; so a crash leaves it in the one or in the others. The queues
//! of a round are locked together, in the order of their ids.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Broker;
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::{Position, SeqRange};
use crate::message::Message;
use crate::queue::{Batch, Cause, DeathReason, Departure, QueueHandle, READ_LOCKED, finish_all};
use crate::tracer::{Death, Tracer};

/// How many further departures may follow from one at once, on average, and how many from few.
/// Queues whose dead letters die at once can multiply them without end; what is beyond is dropped,
/// or waits where it died if it must not be lost.
const FOLLOWING_EACH_MAX: usize = 16;
const FOLLOWING_MAX: usize = 2_048;

/// How many departures, and bytes of them, are seen to in one round.
const ROUND_MAX: usize = 1_024;
const ROUND_BYTES: usize = 1 << 20;
/// How many queues a round may lock, unless one message goes to more.
const ROUND_QUEUES: usize = 32;

/// A departure with what is to become of it.
struct Passage {
    seq: Option<Seq>,
    /// None if the message cannot be read.
    copies: Option<Vec<(QueueId, Message)>>,
    /// If it died.
    reason: Option<DeathReason>,
}

/// Departures of one queue that are seen to together.
struct Round {
    passages: Vec<Passage>,
    /// All that they lock.
    queues: BTreeMap<QueueId, Arc<QueueHandle>>,
}

type Departures = VecDeque<Departure>;

/// What a message becomes elsewhere, by queue.
pub(super) type Copies = Vec<(Arc<QueueHandle>, Message)>;

impl Broker {
    /// Publishes what leaves `queue`, and what leaves others for that.
    pub(super) fn depart(
        &self,
        queue: &Arc<QueueHandle>,
        mut departures: Vec<Departure>,
        now: Timestamp,
    ) -> Position {
        if queue.is_schedule() {
            departures.sort_by_key(|departure| match departure.cause {
                Cause::Due(at) => (at, departure.seq),
                Cause::Died(_) => (Timestamp(0), departure.seq),
            });
        }
        let mut position = Position::START;
        let mut left = departures.len() * FOLLOWING_EACH_MAX + FOLLOWING_MAX;
        let mut work = VecDeque::from([(Arc::clone(queue), Departures::from(departures))]);
        while let Some((queue, mut departures)) = work.pop_front() {
            while !departures.is_empty() {
                let round = self.next_round(&queue, &mut departures, now);
                position =
                    position.max(self.carry_out(&queue, round, now, |target, departures| {
                        if departures.len() <= left {
                            left -= departures.len();
                            work.push_back((target, departures.into()));
                        } else {
                            self.give_up(&target, departures, now);
                        }
                    }));
            }
        }
        position
    }

    /// Takes the first of `departures`, with their messages and where these go.
    fn next_round(
        &self,
        queue: &Arc<QueueHandle>,
        departures: &mut Departures,
        now: Timestamp,
    ) -> Round {
        let looked_at = self.read_back(queue, departures);
        let queues = BTreeMap::from([(queue.spec.id, Arc::clone(queue))]);
        let mut round = Round { passages: Vec::new(), queues };
        let mut bytes = 0;
        while round.passages.len() < looked_at
            && let Some(departure) = departures.pop_front()
        {
            let Some(message) = &departure.message else {
                round.passages.push(Passage { seq: departure.seq, copies: None, reason: None });
                continue;
            };
            let (targets, reason) = match departure.cause {
                Cause::Died(reason) => {
                    (self.dead_letters(queue, message, reason, now), Some(reason))
                }
                Cause::Due(_) => (self.due_messages(queue, message, now), None),
            };
            let new = targets.iter().filter(|(one, _)| !round.queues.contains_key(&one.spec.id));
            let full = bytes > ROUND_BYTES || round.queues.len() + new.count() > ROUND_QUEUES;
            if full && !round.passages.is_empty() {
                departures.push_front(departure);
                break;
            }
            bytes += message.size();
            let copies = targets.into_iter().map(|(target, message)| {
                let id = target.spec.id;
                round.queues.insert(id, target);
                (id, message)
            });
            let copies = Some(copies.collect());
            round.passages.push(Passage { seq: departure.seq, copies, reason });
        }
        if let Some(tracer) = self.tracer.get() {
            tell_of_deaths(&**tracer, queue, &mut round.passages);
        }
        round
    }

    /// Reads back what of the first departures is not in memory; how many have been looked at.
    fn read_back(&self, queue: &QueueHandle, departures: &mut Departures) -> usize {
        let most = departures.len().min(ROUND_MAX);
        let mut ranges = Vec::new();
        for departure in
            departures.iter().take(most).filter(|departure| departure.message.is_none())
        {
            departure.seq.iter().for_each(|seq| SeqRange::push(&mut ranges, *seq));
        }
        if ranges.is_empty() {
            return most;
        }
        let mut answers = self.log.fetch(queue.spec.id, &ranges, READ_LOCKED).into_iter();
        let Some(last) = answers.as_slice().last().map(|last| last.seq) else { return most };
        let all_read = ranges.last().is_some_and(|range| range.last == last);
        let mut next = answers.next();
        for (index, departure) in departures.iter_mut().take(most).enumerate() {
            if departure.message.is_some()
                || next.as_ref().map(|answer| answer.seq) != departure.seq
            {
                continue;
            }
            departure.message = next.and_then(|answer| answer.message).map(|(message, _)| message);
            next = answers.next();
            if departure.seq == Some(last) && !all_read {
                return index + 1;
            }
        }
        most
    }

    /// Does a round as one group of the log. `follow` gets the departures that follow from it.
    fn carry_out(
        &self,
        queue: &Arc<QueueHandle>,
        round: Round,
        now: Timestamp,
        mut follow: impl FnMut(Arc<QueueHandle>, Vec<Departure>),
    ) -> Position {
        let Round { passages, queues } = round;
        let mut batches: BTreeMap<QueueId, Batch<'_>> = BTreeMap::new();
        for (id, queue) in &queues {
            batches.insert(*id, queue.lock(self.context(now)));
        }
        for passage in passages {
            pass(queue.spec.id, passage, &mut batches);
        }
        let mut finished = Vec::with_capacity(queues.len());
        finish_all(batches.into_values().collect(), |_, one| finished.push(one));
        let mut position = Position::START;
        for (queue, mut one) in queues.into_values().zip(finished) {
            position = position.max(one.position);
            let departures = self.note(&queue, &mut one);
            if !departures.is_empty() {
                follow(queue, departures);
            }
        }
        position
    }

    /// Ends departures that are too many: they are dropped, or wait.
    fn give_up(&self, queue: &Arc<QueueHandle>, departures: Vec<Departure>, now: Timestamp) {
        let mut departures = departures;
        while !departures.is_empty() {
            let mut batch = queue.lock(self.context(now));
            for seq in departures.into_iter().filter_map(|departure| departure.seq) {
                if batch.is_at_least_once() { batch.stay(seq) } else { batch.leave(seq) }
            }
            let mut finished = batch.finish();
            // Whom the lock found dead: each comes once.
            departures = self.note(queue, &mut finished);
        }
    }
}

/// Tells of the dead that go somewhere. Their letters name the span of that as their sender.
fn tell_of_deaths(tracer: &dyn Tracer, queue: &QueueHandle, passages: &mut [Passage]) {
    for passage in passages {
        let (Some(reason), Some(copies)) = (passage.reason, &mut passage.copies) else { continue };
        let Some((_, letter)) = copies.first() else { continue };
        let death = Death {
            letter,
            vhost: &queue.spec.vhost,
            queue: &queue.spec.name,
            reason: reason.name(),
            targets: copies.len(),
        };
        if let Some(context) = tracer.died(&death) {
            let letter = letter.with_trace(&context);
            copies.iter_mut().for_each(|(_, copy)| *copy = letter.clone());
        }
    }
}

/// Publishes one message and takes it out of the queue that it leaves, unless somebody has seen to
/// it already. If it must not be lost, all of its queues take it, or it stays.
fn pass(source: QueueId, passage: Passage, batches: &mut BTreeMap<QueueId, Batch<'_>>) {
    let Some(batch) = batches.get_mut(&source) else { return };
    if passage.seq.is_some_and(|seq| !batch.is_leaving(seq)) {
        return;
    }
    let (Some(copies), safe) = (passage.copies, batch.is_at_least_once()) else {
        passage.seq.iter().for_each(|seq| batch.lose(*seq));
        return;
    };
    let scheduled = batch.is_schedule();
    if safe && let Some(seq) = passage.seq {
        // One that is due and has no route is dropped, as when it was published without one.
        let mut refused = copies.is_empty() && !scheduled;
        for (id, message) in &copies {
            refused |= batches.get_mut(id).is_none_or(|target| match scheduled {
                true => target.refuses_scheduled(message),
                false => target.refuses(message),
            });
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
            match scheduled {
                true => target.publish_scheduled(message),
                false => target.publish_moved(message),
            }
        }
    }
    if let (Some(batch), Some(seq)) = (batches.get_mut(&source), passage.seq) {
        batch.leave(seq);
    }
}
