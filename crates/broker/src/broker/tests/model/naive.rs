//! The naive broker: a few queues as sorted lists, and what happens to their messages, written for
//! obviousness. It knows nothing of memory, disks and threads.
//!
//! Invariant: [`Naive::states`] has a copy for each moment at which a crash may leave things.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::config::{Config, Overlay, Settings, Target};
use crate::definitions::{DeadLetterStrategy, Overflow, RetryKind};
use crate::queue::{DeathReason, Settlement};

pub(super) const NEVER: u64 = u64::MAX;
/// Who takes messages of a queue: the last but one without acknowledgements.
pub(super) const CONSUMERS: usize = 3;
pub(super) const RETRY_MS: u64 = 2_000;
pub(super) const RETRY_SOON_MS: u64 = 20;

/// What a client publishes.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) priority: u8,
    pub(super) persistent: bool,
    pub(super) len: usize,
    pub(super) ttl: Option<u64>,
    /// Queue, reason and count, the latest first.
    pub(super) deaths: Vec<(usize, DeathReason, i64)>,
    pub(super) first_death: Option<(usize, DeathReason)>,
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub(super) struct One {
    pub(super) sent: Sent,
    pub(super) seq: u64,
    pub(super) level: u8,
    pub(super) durable: bool,
    pub(super) expires_at: u64,
    pub(super) returns: u32,
    pub(super) redelivered: bool,
}

impl One {
    pub(super) fn was_out(&self) -> bool {
        self.redelivered || self.returns > 0
    }
}

struct Death {
    /// None if the queue never took it.
    seq: Option<u64>,
    sent: Sent,
    reason: DeathReason,
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    /// The order in which queues are locked.
    pub(super) id: u64,
    pub(super) config: Config,
    pub(super) policy: Option<Overlay>,
    /// In the order of delivery.
    pub(super) ready: Vec<One>,
    pub(super) out: Vec<One>,
    /// What came back, with when it is ready again.
    pub(super) resting: Vec<(One, u64)>,
    /// Dead, and about to be published elsewhere.
    dying: Vec<One>,
    /// Dead, and nobody takes them.
    pub(super) waiting: Vec<(One, DeathReason)>,
    retry_at: u64,
    next_retry: u64,
    pub(super) last_seq: u64,
    /// The last durable message that was out.
    pub(super) delivered: u64,
    /// Messages up to the first expire at the second, if not earlier.
    bound: (u64, u64),
    /// In the order of their coming.
    pub(super) consumers: Vec<usize>,
    active: Option<usize>,
    /// Who takes messages at present, and how many more.
    eater: (usize, usize),
}

impl Queue {
    pub(super) fn new(id: u64, config: Config) -> Self {
        Self {
            id,
            config,
            policy: None,
            ready: Vec::new(),
            out: Vec::new(),
            resting: Vec::new(),
            dying: Vec::new(),
            waiting: Vec::new(),
            retry_at: NEVER,
            next_retry: 0,
            last_seq: 0,
            delivered: 0,
            bound: (0, NEVER),
            consumers: Vec::new(),
            active: None,
            eater: (0, 0),
        }
    }

    fn settings(&self) -> Settings {
        Settings::of(&self.config, self.policy.as_ref())
    }

    fn is_safe(&self) -> bool {
        let settings = self.settings();
        settings.target.is_some()
            && settings.overflow == Overflow::RejectPublish
            && settings.strategy == DeadLetterStrategy::AtLeastOnce
    }

    /// What a crash leaves, by place.
    pub(super) fn durable(&self) -> BTreeMap<u64, &One> {
        let aside = self.waiting.iter().map(|(one, _)| one);
        let aside = aside.chain(self.resting.iter().map(|(one, _)| one));
        let all = self.ready.iter().chain(&self.out).chain(&self.dying).chain(aside);
        all.filter(|one| one.durable).map(|one| (one.seq, one)).collect()
    }

    fn expiry(&self, one: &One) -> u64 {
        let (through, at) = self.bound;
        if one.seq <= through { one.expires_at.min(at) } else { one.expires_at }
    }

    /// When something is to be done without a client.
    fn due_at(&self) -> u64 {
        let expiries = self.ready.iter().map(|one| self.expiry(one));
        let wakes = self.resting.iter().map(|(_, at)| *at);
        expiries.chain(wakes).chain([self.retry_at]).min().unwrap_or(NEVER)
    }

    /// Restarts the clock of what is there.
    pub(super) fn bind_expiry(&mut self, now: u64) {
        let ttl = self.settings().ttl;
        self.bound = (self.last_seq, ttl.map_or(NEVER, |ttl| now + ttl));
    }

    fn insert(&mut self, one: One) {
        let key = |one: &One| (u8::MAX - one.level, one.seq);
        let at = self.ready.partition_point(|other| key(other) < key(&one));
        self.ready.insert(at, one);
    }

    fn is_over(&self, more: usize, more_len: usize) -> bool {
        let settings = self.settings();
        let aside = self.waiting.iter().map(|(one, _)| one);
        let aside = aside.chain(self.resting.iter().map(|(one, _)| one));
        let (mut count, mut len) = (more, more_len);
        for one in self.ready.iter().chain(aside) {
            count += 1;
            len += one.sent.len;
        }
        settings.max_length.is_some_and(|most| count > most)
            || settings.max_bytes.is_some_and(|most| len > most)
    }

    /// Puts back what came back, now or after a rest.
    fn put_back(&mut self, mut one: One, failed: bool, now: u64) {
        one.returns += 1;
        let retry = self.config.retry.filter(|retry| match retry.kind {
            RetryKind::All => true,
            RetryKind::Failed => failed,
            RetryKind::Returned => !failed,
        });
        match retry {
            None => self.insert(one),
            Some(retry) => {
                let at = now + retry.delay(one.returns.into());
                let at = at.min(self.expiry(&one));
                self.resting.push((one, at));
            }
        }
    }

    fn wake(&mut self, now: u64) {
        for (one, at) in std::mem::take(&mut self.resting) {
            if at <= now { self.insert(one) } else { self.resting.push((one, at)) }
        }
    }

    /// What a limit drops next: what rests first, by place, then the head.
    fn first_to_drop(&mut self) -> Option<One> {
        let rests = self.resting.iter().map(|(one, _)| one.seq).enumerate();
        match rests.min_by_key(|(_, seq)| *seq) {
            Some((at, _)) => Some(self.resting.remove(at).0),
            None => (!self.ready.is_empty()).then(|| self.ready.remove(0)),
        }
    }

    fn may_eat(&self, consumer: usize) -> bool {
        self.consumers.contains(&consumer)
            && (!self.config.single_active || self.active == Some(consumer))
    }

    pub(super) fn subscribe(&mut self, consumer: usize) {
        if self.consumers.is_empty() {
            self.active = Some(consumer);
        }
        self.consumers.push(consumer);
    }

    pub(super) fn cancel(&mut self, consumer: usize) {
        self.consumers.retain(|other| *other != consumer);
        if self.active == Some(consumer) {
            let best = self.consumers.iter().map(|one| priority_of(*one)).max();
            let next = self.consumers.iter().find(|one| Some(priority_of(**one)) == best);
            self.active = next.copied();
        }
    }

    pub(super) fn has_consumer(&self, consumer: usize) -> bool {
        self.consumers.contains(&consumer)
    }
}

/// A consumer's priority.
pub(super) fn priority_of(consumer: usize) -> i64 {
    i64::from(consumer == 1)
}

pub(super) fn is_no_ack(consumer: usize) -> bool {
    consumer == 1
}

#[derive(Debug, Clone, Default)]
pub(super) struct Naive {
    pub(super) now: u64,
    pub(super) queues: Vec<Queue>,
    /// What was delivered since somebody looked: queue, place, and what it was.
    pub(super) delivered: Vec<(usize, One)>,
}

/// The naive broker with its past.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) present: Naive,
    /// Since somebody looked.
    pub(super) states: Vec<Naive>,
}

impl History {
    fn queue(&mut self, at: usize) -> &mut Queue {
        &mut self.present.queues[at]
    }

    /// A crash may leave it at this.
    fn commit(&mut self) {
        let mut state = self.present.clone();
        state.delivered.clear();
        self.states.push(state);
    }

    /// Takes what is next, and gives it to whoever eats.
    fn dispatch(&mut self, at: usize) {
        while self.has_room(at) && !self.queue(at).ready.is_empty() {
            let one = self.queue(at).ready.remove(0);
            self.feed(at, one);
        }
    }

    fn has_room(&mut self, at: usize) -> bool {
        let queue = self.queue(at);
        queue.eater.1 > 0 && queue.may_eat(queue.eater.0)
    }

    fn feed(&mut self, at: usize, one: One) {
        self.present.delivered.push((at, one.clone()));
        let queue = self.queue(at);
        queue.eater.1 -= 1;
        if !is_no_ack(queue.eater.0) {
            self.hold(at, one);
        }
    }

    fn hold(&mut self, at: usize, one: One) {
        let queue = self.queue(at);
        if one.durable {
            queue.delivered = queue.delivered.max(one.seq);
        }
        queue.out.push(one);
    }

    fn has_no_room(&mut self, at: usize, len: usize) -> bool {
        if self.queue(at).is_over(1, len) {
            self.dispatch(at);
        }
        self.queue(at).is_over(1, len)
    }

    fn bury(&mut self, at: usize, one: One, reason: DeathReason, deaths: &mut Vec<Death>) {
        if self.queue(at).settings().target.is_some() {
            deaths.push(Death { seq: Some(one.seq), sent: one.sent.clone(), reason });
            self.queue(at).dying.push(one);
        }
    }

    fn place(&mut self, at: usize, sent: Sent, expires_at: u64) -> One {
        let queue = self.queue(at);
        queue.last_seq += 1;
        One {
            seq: queue.last_seq,
            level: sent.priority.min(queue.config.max_priority),
            durable: sent.persistent && queue.config.durable,
            expires_at,
            returns: 0,
            redelivered: false,
            sent,
        }
    }

    /// Whether it is in the queue then.
    fn publish(&mut self, at: usize, sent: Sent, moved: bool, deaths: &mut Vec<Death>) -> bool {
        let settings = self.queue(at).settings();
        if settings.overflow != Overflow::DropHead && self.has_no_room(at, sent.len) {
            if settings.overflow == Overflow::RejectPublishDlx && settings.target.is_some() {
                let reason = DeathReason::Maxlen;
                if moved {
                    let one = self.place(at, sent, self.present.now);
                    self.bury(at, one, reason, deaths);
                } else {
                    deaths.push(Death { seq: None, sent, reason });
                }
            }
            return false;
        }
        let now = self.present.now;
        let expiry = |ttl: Option<u64>| ttl.map_or(NEVER, |ttl| now + ttl);
        let expires_at = expiry(sent.ttl).min(expiry(settings.ttl));
        let one = self.place(at, sent, expires_at);
        let queue = self.queue(at);
        if queue.config.max_priority == 0 && queue.ready.is_empty() && self.has_room(at) {
            self.feed(at, one);
            return true;
        }
        self.queue(at).insert(one);
        if settings.overflow == Overflow::DropHead && self.queue(at).is_over(0, 0) {
            self.dispatch(at);
            self.drop_over_limit(at, deaths);
        }
        true
    }

    fn drop_over_limit(&mut self, at: usize, deaths: &mut Vec<Death>) {
        while self.queue(at).is_over(0, 0)
            && let Some(one) = self.queue(at).first_to_drop()
        {
            self.bury(at, one, DeathReason::Maxlen, deaths);
        }
    }

    /// What has expired at the head of a level, the lowest level first.
    fn expire_heads(&mut self, at: usize, deaths: &mut Vec<Death>) {
        let now = self.present.now;
        self.queue(at).wake(now);
        for level in 0..=self.queue(at).config.max_priority {
            loop {
                let now = self.present.now;
                let queue = self.queue(at);
                let head = queue.ready.iter().position(|one| one.level == level);
                let Some(head) = head.filter(|head| queue.expiry(&queue.ready[*head]) <= now)
                else {
                    break;
                };
                let one = queue.ready.remove(head);
                self.bury(at, one, DeathReason::Expired, deaths);
            }
        }
    }

    /// The end of what is done to a queue under one lock.
    fn finish(&mut self, at: usize, deaths: &mut Vec<Death>) {
        self.dispatch(at);
        self.expire_heads(at, deaths);
    }

    /// Publishes deaths, and those that follow from them.
    fn dead_letter(&mut self, at: usize, deaths: Vec<Death>) {
        let mut work = VecDeque::from([(at, deaths)]);
        while let Some((at, deaths)) = work.pop_front() {
            if deaths.is_empty() {
                continue;
            }
            let mut touched = BTreeSet::from([at]);
            let mut next: BTreeMap<usize, Vec<Death>> = BTreeMap::new();
            for death in deaths {
                let copies = self.copies(at, &death);
                touched.extend(copies.iter().map(|(target, _)| *target));
                self.bury_one(at, &death, copies, &mut next);
            }
            // What wakes where they go, and has expired meanwhile, may be a group of its own.
            self.commit();
            let mut touched: Vec<usize> = touched.into_iter().collect();
            touched.sort_by_key(|target| self.present.queues[*target].id);
            for target in touched {
                let mut more = next.remove(&target).unwrap_or_default();
                self.finish(target, &mut more);
                work.push_back((target, more));
            }
            self.commit();
        }
    }

    fn bury_one(
        &mut self,
        at: usize,
        death: &Death,
        copies: Vec<(usize, Sent)>,
        next: &mut BTreeMap<usize, Vec<Death>>,
    ) {
        if self.queue(at).is_safe()
            && let Some(seq) = death.seq
        {
            let mut refused = copies.is_empty();
            for (target, sent) in &copies {
                let drops = self.queue(*target).settings().overflow == Overflow::DropHead;
                refused |= !drops && self.has_no_room(*target, sent.len);
            }
            if refused {
                let retry_at = self.present.now + RETRY_MS;
                let queue = self.queue(at);
                let dead = queue.dying.iter().position(|one| one.seq == seq);
                let one = queue.dying.remove(dead.expect("it has died"));
                queue.waiting.push((one, death.reason));
                queue.waiting.sort_by_key(|(one, _)| one.seq);
                queue.retry_at = queue.retry_at.min(retry_at);
                return;
            }
        }
        for (target, sent) in copies {
            self.publish(target, sent, true, next.entry(target).or_default());
        }
        if let Some(seq) = death.seq {
            let retry_at = self.present.now + RETRY_SOON_MS;
            let queue = self.queue(at);
            queue.dying.retain(|one| one.seq != seq);
            if !queue.waiting.is_empty() {
                queue.retry_at = queue.retry_at.min(retry_at);
            }
        }
    }

    /// The copies of a dead message for the queues to which it goes.
    fn copies(&mut self, at: usize, death: &Death) -> Vec<(usize, Sent)> {
        let mut sent = Sent { ttl: None, ..death.sent.clone() };
        let known = sent.deaths.iter().position(|(q, r, _)| (*q, *r) == (at, death.reason));
        let count = known.map_or(0, |known| sent.deaths.remove(known).2);
        sent.deaths.insert(0, (at, death.reason, count + 1));
        sent.first_death.get_or_insert((at, death.reason));
        let targets = match self.queue(at).settings().target {
            None | Some(Target::Nowhere) => Vec::new(),
            Some(Target::Queue(target)) => vec![target],
            Some(Target::Two(pair)) => pair.to_vec(),
        };
        let cycles = |target: usize| {
            let since = sent.deaths.iter().position(|(queue, ..)| *queue == target);
            let rejected = |one: &(usize, DeathReason, i64)| one.1 == DeathReason::Rejected;
            since.is_some_and(|since| !sent.deaths[..=since].iter().any(rejected))
        };
        let goes = |target: &usize| death.reason == DeathReason::Rejected || !cycles(*target);
        targets.into_iter().filter(goes).map(|target| (target, sent.clone())).collect()
    }

    // What clients and the clock do.

    /// Publishes to some queues at once; the numbers that were refused.
    pub(super) fn publish_all(&mut self, to: &[usize], all: &[Sent]) -> Vec<u64> {
        let mut to: Vec<usize> = to.to_vec();
        let durable = |at: &&usize| self.present.queues[**at].config.durable;
        let together =
            to.iter().filter(durable).count() > 1 && all.iter().any(|sent| sent.persistent);
        if together {
            to.sort_by_key(|at| self.present.queues[*at].id);
        }
        let (mut refused, mut all_deaths) = (Vec::new(), Vec::new());
        for at in &to {
            let mut deaths = Vec::new();
            for sent in all {
                if !self.publish(*at, sent.clone(), false, &mut deaths) {
                    refused.push(sent.number);
                }
            }
            if together {
                all_deaths.push((*at, deaths));
            } else {
                self.finish(*at, &mut deaths);
                self.commit();
                self.dead_letter(*at, deaths);
            }
        }
        for (at, deaths) in &mut all_deaths {
            self.finish(*at, deaths);
        }
        self.commit();
        for (at, deaths) in all_deaths {
            self.dead_letter(at, deaths);
        }
        refused.sort_unstable();
        refused
    }

    /// Somebody has room for so many messages, or none any more.
    pub(super) fn make_room(&mut self, at: usize, consumer: usize, room: usize) {
        self.queue(at).eater = (consumer, room);
        // What is away is read back piece by piece, and each is a group of its own.
        while self.has_room(at) && !self.queue(at).ready.is_empty() {
            let one = self.queue(at).ready.remove(0);
            self.feed(at, one);
            self.commit();
        }
        self.commit();
    }

    pub(super) fn get(&mut self, at: usize, no_ack: bool) -> Option<One> {
        let queue = self.queue(at);
        if queue.ready.is_empty() {
            return None;
        }
        let one = queue.ready.remove(0);
        if !no_ack {
            self.hold(at, one.clone());
        }
        self.commit();
        Some(one)
    }

    pub(super) fn settle(&mut self, at: usize, seqs: &[u64], how: Settlement) {
        let (mut deaths, now) = (Vec::new(), self.present.now);
        for seq in seqs {
            let queue = self.queue(at);
            let Some(found) = queue.out.iter().position(|one| one.seq == *seq) else { continue };
            let one = queue.out.remove(found);
            let limit = queue.settings().delivery_limit;
            match how {
                Settlement::Ack => {}
                Settlement::Reject => self.bury(at, one, DeathReason::Rejected, &mut deaths),
                Settlement::Requeue | Settlement::Release
                    if limit.is_some_and(|limit| one.returns >= limit) =>
                {
                    self.bury(at, one, DeathReason::DeliveryLimit, &mut deaths);
                }
                Settlement::Requeue | Settlement::Release => {
                    queue.put_back(one, how == Settlement::Requeue, now);
                }
            }
        }
        self.expire_heads(at, &mut deaths);
        let drops = self.queue(at).settings().overflow == Overflow::DropHead;
        if matches!(how, Settlement::Requeue | Settlement::Release) && drops {
            self.drop_over_limit(at, &mut deaths);
        }
        self.finish(at, &mut deaths);
        self.commit();
        self.dead_letter(at, deaths);
    }

    pub(super) fn purge(&mut self, at: usize) -> usize {
        let queue = self.queue(at);
        let rested = std::mem::take(&mut queue.resting).len();
        let purged = std::mem::take(&mut queue.ready).len() + rested;
        self.commit();
        purged
    }

    pub(super) fn put_policy(&mut self, at: usize, policy: Option<Overlay>) {
        let now = self.present.now;
        let queue = self.queue(at);
        let before = queue.settings();
        queue.policy = policy;
        let after = queue.settings();
        self.commit();
        if before == after {
            return;
        }
        if before.ttl != after.ttl {
            self.queue(at).bind_expiry(now);
        }
        let mut deaths = Vec::new();
        self.expire_heads(at, &mut deaths);
        if after.overflow == Overflow::DropHead {
            self.drop_over_limit(at, &mut deaths);
        }
        self.finish(at, &mut deaths);
        self.commit();
        self.dead_letter(at, deaths);
    }

    /// When the next thing happens by itself, and to how many messages.
    pub(super) fn next_event(&self) -> (u64, usize) {
        let queues = &self.present.queues;
        let at = queues.iter().map(Queue::due_at).min().unwrap_or(NEVER);
        let due = |queue: &Queue| {
            let ready = queue.ready.iter().filter(|one| queue.expiry(one) <= at).count();
            let woken = queue.resting.iter().filter(|(_, wake_at)| *wake_at <= at).count();
            ready + woken + usize::from(queue.retry_at <= at)
        };
        (at, queues.iter().map(due).sum())
    }

    /// Does what is due.
    pub(super) fn tick(&mut self) {
        loop {
            let now = self.present.now;
            let queues = self.present.queues.iter().enumerate();
            let mut due: Vec<(u64, u64, usize)> = queues
                .map(|(at, queue)| (queue.due_at(), queue.id, at))
                .filter(|(due_at, ..)| *due_at <= now)
                .collect();
            if due.is_empty() {
                return;
            }
            due.sort_unstable();
            due.into_iter().for_each(|(.., at)| self.tick_one(at));
        }
    }

    fn tick_one(&mut self, at: usize) {
        let mut deaths = Vec::new();
        self.expire_heads(at, &mut deaths);
        let now = self.present.now;
        let queue = self.queue(at);
        let late = |one: &One| one.expires_at <= now;
        let mut expired: Vec<One> = queue.ready.iter().filter(|one| late(one)).cloned().collect();
        queue.ready.retain(|one| !late(one));
        expired.sort_by_key(|one| one.seq);
        for one in expired {
            self.bury(at, one, DeathReason::Expired, &mut deaths);
        }
        self.retry(at, &mut deaths);
        self.finish(at, &mut deaths);
        self.commit();
        self.dead_letter(at, deaths);
    }

    /// Tries again what nobody took: what is behind the last that was tried, or all.
    fn retry(&mut self, at: usize, deaths: &mut Vec<Death>) {
        let now = self.present.now;
        let queue = self.queue(at);
        if queue.retry_at > now {
            return;
        }
        queue.retry_at = NEVER;
        let behind = queue.waiting.iter().any(|(one, _)| one.seq >= queue.next_retry);
        let from = if behind { queue.next_retry } else { 0 };
        let all = std::mem::take(&mut queue.waiting);
        for (one, reason) in all {
            if one.seq < from {
                queue.waiting.push((one, reason));
                continue;
            }
            queue.next_retry = one.seq + 1;
            deaths.push(Death { seq: Some(one.seq), sent: one.sent.clone(), reason });
            queue.dying.push(one);
        }
    }
}

impl Naive {
    /// The present, or before the first of several messages that expired.
    pub(super) fn start_after_crash(&self) -> u64 {
        let all = self.queues.iter().flat_map(|queue| queue.durable().into_values());
        let overdue = all.map(|one| one.expires_at).filter(|at| *at <= self.now);
        let overdue: Vec<u64> = overdue.collect();
        let first = overdue.iter().min().filter(|_| overdue.len() > 1);
        first.map_or(self.now, |first| first - 1)
    }

    /// What a crash leaves of it; `logged` has for each queue the last place and the last that may
    /// have been delivered, as the log knows them.
    pub(super) fn crash(&mut self, logged: &[(u64, u64)]) {
        for (queue, (last_seq, delivered)) in self.queues.iter_mut().zip(logged) {
            let mut after = Queue::new(queue.id, queue.config.clone());
            after.policy.clone_from(&queue.policy);
            if queue.config.durable {
                assert!(queue.delivered <= *delivered, "{} of {delivered}", queue.delivered);
                (after.last_seq, after.delivered) = (*last_seq, *delivered);
                for one in queue.durable().into_values() {
                    let redelivered = one.seq <= *delivered;
                    after.insert(One { redelivered, ..one.clone() });
                }
                after.bind_expiry(self.now);
            }
            *queue = after;
        }
    }
}
