//! Looking through a queue without disturbing it, and moving or deleting what was found.
//!
//! Nothing here delivers: order, redelivered flags and counts stay, and what is read back from the
//! log goes to the caller alone. All is done in bounded pieces; a cursor says where to go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Broker, Principal};
use crate::error::{Refusal, RefusalKind, Resource};
use crate::ids::{QueueId, Seq, Timestamp};
use crate::log::{Position, SeqRange};
use crate::message::{Filter, Message};
use crate::queue::{Batch, Cursor, Out, Place, QueueHandle, READ_LOCKED, Seen, finish_all};
use crate::routing::{RoutingInput, route};

/// Most messages that are looked at in one call, or taken in one group of the log.
const LOOK_MAX: usize = 1024;
const MOVE_MAX: usize = 256;
/// Most bytes that are read back in one call.
const READ_MAX: usize = 4 << 20;
/// Most queues that are locked at once, unless one message goes to more.
const QUEUES_MAX: usize = 32;

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct BrowseRequest<'a> {
    /// Where to begin; none is the next message to be delivered.
    pub from: Option<Cursor>,
    /// Most messages.
    pub max_messages: usize,
    /// Most bytes of messages; one is shown in any case.
    pub max_bytes: usize,
    /// Which ones.
    pub filter: &'a Filter,
}

/// A message that was looked at.
#[derive(Debug, Clone)]
pub struct Browsed {
    /// Where it stands.
    pub at: Cursor,
    /// Whether it will be, or was, delivered as such.
    pub redelivered: bool,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The message.
    pub message: Message,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Browsing {
    /// In the order of delivery.
    pub messages: Vec<Browsed>,
    /// Where to go on; none at the end of the queue. A scan is bounded: there may be more although
    /// few or none were found.
    pub next: Option<Cursor>,
}

/// Which messages are meant.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// These places; those that are not ready are passed over.
    Seqs(&'a [Seq]),
    /// Those from a place on to the present end that a filter finds.
    Filter(Option<Cursor>, &'a Filter),
}

/// Where messages are moved.
#[derive(Debug, Clone, Copy)]
pub enum MoveTo<'a> {
    /// To a queue of the same vhost.
    Queue(&'a str),
    /// To an exchange, with a routing key instead of their own.
    Exchange(&'a str, Option<&'a str>),
    /// To the queue where they first died, as they were before that, but without their time to
    /// live.
    Origin,
}

/// What became of a move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Messages that are in their new queues, and no longer in the old one.
    pub moved: usize,
    /// Messages that stay because no queue takes them, or one refuses.
    pub refused: usize,
    /// Where to go on, if the limit was reached first.
    pub next: Option<Cursor>,
    /// When all is durable.
    pub position: Position,
}

type Copies = Vec<(QueueId, Message)>;

impl Broker {
    /// Shows ready messages of a queue.
    pub fn browse(
        &self,
        queue: &Arc<QueueHandle>,
        request: &BrowseRequest<'_>,
        now: Timestamp,
    ) -> Browsing {
        let batch = queue.lock(self.context(now));
        let from = request.from.unwrap_or_else(|| batch.start());
        let mut seen = batch.look(from, LOOK_MAX + 1);
        drop(batch);
        let mut next = (seen.len() > LOOK_MAX).then(|| seen[LOOK_MAX].at);
        seen.truncate(LOOK_MAX);
        let mut browsing = Browsing::default();
        let (mut bytes, mut read) = (0, 0);
        let mut pieces = Pieces { broker: self, queue, seen: &seen, at: 0 };
        'all: while read < READ_MAX
            && let Some(piece) = pieces.next()
        {
            for one in piece {
                read += one.message.size();
                if !request.filter.matches(&one.message) {
                    continue;
                }
                let count = browsing.messages.len();
                let room = count == 0 || bytes + one.message.size() <= request.max_bytes;
                if count >= request.max_messages || !room {
                    next = Some(one.at);
                    break 'all;
                }
                bytes += one.message.size();
                browsing.messages.push(one);
            }
            if read >= READ_MAX
                && let Some(one) = seen.get(pieces.at)
            {
                next = Some(one.at);
            }
        }
        browsing.next = next;
        browsing
    }

    /// Lists up to `max` messages that are out for delivery, from a place on.
    pub fn browse_unacked(
        &self,
        queue: &Arc<QueueHandle>,
        from: Seq,
        max: usize,
        now: Timestamp,
    ) -> Vec<Out> {
        queue.lock(self.context(now)).look_out(from, max.min(LOOK_MAX))
    }

    /// How many of these places hold ready messages.
    pub fn ready_among(&self, queue: &Arc<QueueHandle>, seqs: &[Seq], now: Timestamp) -> usize {
        queue.lock(self.context(now)).look_up(&sorted(seqs)).len()
    }

    /// Deletes ready messages; how many there were.
    pub fn delete_messages(
        &self,
        queue: &Arc<QueueHandle>,
        seqs: &[Seq],
        now: Timestamp,
    ) -> (usize, Position) {
        let (mut deleted, mut position) = (0, Position::START);
        for seqs in sorted(seqs).chunks(LOOK_MAX) {
            let seen = queue.lock(self.context(now)).look_up(seqs);
            for piece in (Pieces { broker: self, queue, seen: &seen, at: 0 }) {
                let places: Vec<Place> = piece.iter().map(place).collect();
                let mut batch = queue.lock(self.context(now));
                deleted += batch.remove(&places);
                position = position.max(self.finished(queue, batch.finish(), now));
            }
        }
        (deleted, position)
    }

    /// Moves up to `limit` ready messages of a queue: each is taken out of it and in its new queues
    /// in one group of the log.
    pub fn move_messages(
        &self,
        who: &Principal,
        queue: &Arc<QueueHandle>,
        (selection, limit): (Selection<'_>, usize),
        to: MoveTo<'_>,
        now: Timestamp,
    ) -> Result<Moved, Refusal> {
        self.check_destination(who, to)?;
        let mut moved = Moved::default();
        let (mut seqs, mut from, last) = {
            let batch = queue.lock(self.context(now));
            let (seqs, from) = match selection {
                Selection::Seqs(seqs) => (sorted(seqs), None),
                Selection::Filter(from, _) => (Vec::new(), from.or(Some(batch.start()))),
            };
            (seqs, from, batch.last_seq())
        };
        while moved.moved < limit {
            let most = MOVE_MAX.min(limit - moved.moved);
            let mut found = match (selection, from) {
                (Selection::Filter(_, filter), Some(at)) => {
                    let (max_messages, max_bytes) = (most, READ_LOCKED);
                    let from = Some(at);
                    let request = BrowseRequest { from, max_messages, max_bytes, filter };
                    let browsing = self.browse(queue, &request, now);
                    moved.next = browsing.next;
                    browsing.messages
                }
                _ if seqs.is_empty() => break,
                _ => {
                    let rest = seqs.split_off(most.min(seqs.len()));
                    let seen = queue.lock(self.context(now)).look_up(&seqs);
                    seqs = rest;
                    Pieces { broker: self, queue, seen: &seen, at: 0 }.flatten().collect()
                }
            };
            // What is moved to the queue itself is not found again.
            found.retain(|one| one.at.seq <= last);
            self.move_found(who, queue, found, to, (&mut moved, now));
            from = moved.next;
            if from.is_none() && seqs.is_empty() {
                break;
            }
        }
        Ok(moved)
    }

    fn check_destination(&self, who: &Principal, to: MoveTo<'_>) -> Result<(), Refusal> {
        let vhost = self.vhost(who)?;
        match to {
            MoveTo::Queue(name) => vhost.queue(name).map(drop),
            MoveTo::Exchange(_, Some(key)) if key.len() > 255 => {
                let text = "a routing key is longer than 255 bytes";
                Err(Refusal::new(RefusalKind::PreconditionFailed, text.to_owned()))
            }
            MoveTo::Exchange(name, _) if vhost.exchange(name)?.spec.internal => {
                let resource = Resource::Exchange(name, &who.vhost);
                Err(Refusal::access(format!("cannot publish to internal {resource}")))
            }
            MoveTo::Exchange(..) | MoveTo::Origin => Ok(()),
        }
    }

    /// Moves messages in groups of the log.
    fn move_found(
        &self,
        who: &Principal,
        queue: &Arc<QueueHandle>,
        found: Vec<Browsed>,
        to: MoveTo<'_>,
        (moved, now): (&mut Moved, Timestamp),
    ) {
        let mut queues = BTreeMap::from([(queue.spec.id, Arc::clone(queue))]);
        let mut moves: Vec<(Place, Copies)> = Vec::new();
        for one in found {
            let targets = self.move_targets(who, &one.message, to, now);
            if targets.is_empty() {
                moved.refused += 1;
                continue;
            }
            let new = targets.iter().filter(|(one, _)| !queues.contains_key(&one.spec.id));
            if !moves.is_empty() && queues.len() + new.count() > QUEUES_MAX {
                self.move_together(queue, &queues, std::mem::take(&mut moves), (moved, now));
                queues.retain(|id, _| *id == queue.spec.id);
            }
            let copies = targets.into_iter().map(|(target, message)| {
                let id = target.spec.id;
                queues.insert(id, target);
                (id, message)
            });
            moves.push((place(&one), copies.collect()));
        }
        if !moves.is_empty() {
            self.move_together(queue, &queues, moves, (moved, now));
        }
    }

    fn move_targets(
        &self,
        who: &Principal,
        message: &Message,
        to: MoveTo<'_>,
        now: Timestamp,
    ) -> Vec<(Arc<QueueHandle>, Message)> {
        let topology = self.topology();
        let Some(vhost) = topology.vhosts.get(&who.vhost) else { return Vec::new() };
        let (exchange, key) = match to {
            MoveTo::Queue(name) => ("", name),
            MoveTo::Exchange(name, key) => (name, key.unwrap_or(message.routing_key())),
            MoveTo::Origin => {
                let Some((name, message)) = message.revived() else { return Vec::new() };
                let origin = vhost.queues.get(name.as_str());
                return origin.map(|origin| (Arc::clone(origin), message)).into_iter().collect();
            }
        };
        let message = message.addressed(exchange, key);
        let message_in = Some(&message);
        let input = RoutingInput { routing_key: key, extra_keys: &[], message: message_in, now };
        let routed = route(vhost, exchange, &input);
        self.count_memory(routed.history_bytes);
        routed.queues.into_iter().map(|target| (target, message.clone())).collect()
    }

    /// Moves messages as one group of the log.
    fn move_together(
        &self,
        queue: &Arc<QueueHandle>,
        queues: &BTreeMap<QueueId, Arc<QueueHandle>>,
        moves: Vec<(Place, Copies)>,
        (moved, now): (&mut Moved, Timestamp),
    ) {
        let mut batches: BTreeMap<QueueId, Batch<'_>> = BTreeMap::new();
        for (id, queue) in queues {
            batches.insert(*id, queue.lock(self.context(now)));
        }
        for (place, copies) in moves {
            move_one(queue.spec.id, &place, copies, &mut batches, moved);
        }
        let mut finished = Vec::with_capacity(queues.len());
        finish_all(batches.into_values().collect(), |_, one| finished.push(one));
        for (queue, one) in queues.values().zip(finished) {
            moved.position = moved.position.max(self.finished(queue, one, now));
        }
    }
}

fn move_one(
    source: QueueId,
    place: &Place,
    copies: Copies,
    batches: &mut BTreeMap<QueueId, Batch<'_>>,
    moved: &mut Moved,
) {
    // It may have been delivered meanwhile.
    if !batches.get(&source).is_some_and(|batch| batch.is_ready(place.seq)) {
        return;
    }
    for (id, message) in &copies {
        if batches.get_mut(id).is_none_or(|target| target.refuses(message)) {
            moved.refused += 1;
            return;
        }
    }
    // To look for room may have delivered it.
    let Some(batch) = batches.get_mut(&source) else { return };
    if batch.remove(&[*place]) == 0 {
        return;
    }
    moved.moved += 1;
    for (id, message) in copies {
        if let Some(target) = batches.get_mut(&id) {
            target.publish_moved(message);
        }
    }
}

fn sorted(seqs: &[Seq]) -> Vec<Seq> {
    let mut seqs = seqs.to_vec();
    seqs.sort_unstable();
    seqs.dedup();
    seqs
}

fn place(one: &Browsed) -> Place {
    let body_len = one.message.body_len() as u64;
    Place { seq: one.at.seq, expires_at: one.expires_at, body_len }
}

/// Messages that were seen, with those that are away read back piece by piece.
struct Pieces<'a> {
    broker: &'a Broker,
    queue: &'a QueueHandle,
    seen: &'a [Seen],
    at: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Vec<Browsed>;

    fn next(&mut self) -> Option<Vec<Browsed>> {
        let rest = self.seen.get(self.at..).filter(|rest| !rest.is_empty())?;
        let mut ranges = Vec::new();
        for one in rest.iter().filter(|one| one.message.is_none()) {
            SeqRange::push(&mut ranges, one.at.seq);
        }
        let mut fetched = Vec::new();
        if !ranges.is_empty() {
            fetched = self.broker.log.fetch(self.queue.spec.id, &ranges, READ_LOCKED);
        }
        // What is behind the last answer was not looked at.
        let last = fetched.last().map(|last| last.seq);
        let mut answers = fetched.into_iter().peekable();
        let mut piece = Vec::new();
        for one in rest {
            self.at += 1;
            let mut message = one.message.clone();
            if message.is_none() {
                // One that left meanwhile, or cannot be read, is passed over.
                let answer = answers.next_if(|answer| answer.seq == one.at.seq);
                message = answer.and_then(|answer| answer.message);
            }
            let (at, redelivered) = (one.at, one.redelivered);
            piece.extend(message.map(|(message, expires_at)| Browsed {
                at,
                redelivered,
                expires_at,
                message,
            }));
            if one.message.is_none() && last == Some(one.at.seq) {
                break;
            }
        }
        Some(piece)
    }
}
