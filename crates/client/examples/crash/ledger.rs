//! What was sent, confirmed, delivered and acknowledged over all rounds, and the judgement on it.
//!
//! Threads only note what they did and saw, in a [`Log`] each; when a round is over the ledger
//! takes all logs in. So nothing here depends on which thread was faster: what was sent is entered
//! before what was delivered, whoever noted it first.
//!
//! The rules:
//! - What was confirmed and never acknowledged is there at the end ([`Kind::Lost`]).
//! - What was acknowledged for certain does not come back ([`Kind::Back`]). An ack is certain when
//!   an answer that waits for the log came later on the same channel.
//! - What comes was sent, to that queue, with that size ([`Kind::Invented`]).
//! - What was delivered before says so ([`Kind::Unflagged`]), and comes twice in the life of a
//!   broker only after a requeue ([`Kind::Twice`]).
//! - In a broker's life a consumer gets one publisher's messages of a queue in their order, but
//!   for those that were requeued in that life ([`Kind::Order`]).
//! - A transaction that was cut off happened wholly or not at all ([`Kind::Torn`]).

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::message::{Id, Place};
use super::topology::{QUEUES, Queue, Route, TX_A, TX_B, TX_C, targets};

/// The number of a round, from 1; a broker lives for one.
pub type Round = u32;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Kind {
    /// Confirmed, not acknowledged, and not there.
    Lost,
    /// Acknowledged for certain, and there.
    Back,
    /// There without having been sent like that.
    Invented,
    /// Delivered before, and not flagged as redelivered.
    Unflagged,
    /// Delivered twice in one life.
    Twice,
    /// Before one that is older.
    Order,
    /// Half a transaction.
    Torn,
    /// A queue, exchange or binding that is or is not there.
    Definition,
    /// More or fewer messages in a queue than can be.
    Count,
    /// The broker failed while it should have served.
    Failed,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: Kind,
    /// The story.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

/// A message as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Which.
    pub id: Id,
    /// Where to.
    pub route: Route,
    /// Size of its body.
    pub size: u32,
}

/// A message as it came.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// Which, from where.
    pub place: Place,
    /// Whether it was flagged.
    pub redelivered: bool,
    /// Size of its body.
    pub size: u32,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With commit-ok.
    Committed,
    /// With rollback-ok.
    RolledBack,
    /// With the broker.
    Unknown,
}

/// A transaction: messages of one queue acknowledged, their successors published to two.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Acknowledged in it.
    pub acked: Vec<Id>,
    /// Published in it.
    pub made: Vec<Id>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What one thread did and saw in one round.
#[derive(Debug, Default)]
pub struct Log {
    /// Who it is.
    pub who: String,
    /// Published, each publisher's in their order.
    pub sent: Vec<Sent>,
    /// Confirmed.
    pub confirmed: Vec<Id>,
    /// Delivered, in this order.
    pub delivered: Vec<Delivered>,
    /// Sent back to their queue.
    pub requeued: Vec<Place>,
    /// Acknowledged, in this order.
    pub acked: Vec<Place>,
    /// Of each queue: how many of `acked` at most are certain.
    pub certain: [usize; QUEUES.len()],
    /// Transactions.
    pub attempts: Vec<Attempt>,
    /// What was wrong already then.
    pub faults: Vec<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ack {
    #[default]
    None,
    Sent,
    Certain,
}

/// A message in one queue.
#[derive(Debug, Clone, Copy, Default)]
struct Copy {
    ack: Ack,
    /// The round of the ack.
    acked: Round,
    /// The round of the first delivery, or 0.
    first: Round,
    /// The last round in which it was seen, and how often it came and went back in that.
    life: Round,
    seen: u16,
    unflagged: u16,
    requeued: u16,
}

#[derive(Debug)]
struct Record {
    round: Round,
    size: u32,
    route: Route,
    confirmed: bool,
    rolled_back: bool,
    copies: [Copy; 3],
}

/// Sums over all rounds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Messages published.
    pub sent: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Acks sent.
    pub acked: u64,
    /// Acks certain to be durable.
    pub certain: u64,
    /// Acked, not for certain, and back after a kill, as is allowed.
    pub came_back: u64,
    /// Transactions committed, cut off, and of these found to have happened.
    pub committed: u64,
    /// See above.
    pub cut_off: u64,
    /// See above.
    pub cut_off_whole: u64,
}

/// All messages.
#[derive(Debug, Default)]
pub struct Ledger {
    records: BTreeMap<u8, Vec<Record>>,
    attempts: Vec<(Round, Attempt)>,
    /// Of each queue: how many messages have to be in it, and can be.
    must: [u64; QUEUES.len()],
    may: [u64; QUEUES.len()],
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What was done.
    pub sums: Sums,
}

impl Ledger {
    /// The number of a publisher's next message.
    pub fn next_number(&self, publisher: u8) -> u64 {
        self.records.get(&publisher).map_or(0, |records| records.len() as u64)
    }

    /// How few and how many messages a queue can have after a restart.
    pub fn bounds(&self, queue: Queue) -> (u64, u64) {
        (self.must[queue], self.may[queue])
    }

    /// Notes that something is wrong.
    pub fn fault(&mut self, kind: Kind, text: String) {
        self.faults.push(Fault { kind, text });
    }

    /// Takes in what the threads of a round noted.
    pub fn take(&mut self, round: Round, logs: Vec<Log>) {
        for log in &logs {
            log.sent.iter().for_each(|sent| self.sent(round, sent));
        }
        for log in &logs {
            log.confirmed.iter().for_each(|&id| self.confirmed(round, id));
            for &place in &log.requeued {
                if let Some(copy) = self.copy(place) {
                    copy.enter(round);
                    copy.requeued += 1;
                }
            }
        }
        for log in &logs {
            let mut last = HashMap::new();
            for delivered in &log.delivered {
                self.delivered(round, delivered);
                self.in_order(round, delivered.place, &mut last, &log.who);
            }
        }
        for log in logs {
            for (index, &place) in log.acked.iter().enumerate() {
                self.acked(round, place, index < log.certain[place.queue]);
            }
            for attempt in log.attempts {
                self.attempted(round, attempt);
            }
            self.faults.extend(log.faults);
        }
    }

    fn record(&mut self, id: Id) -> Option<&mut Record> {
        self.records.get_mut(&id.publisher)?.get_mut(usize::try_from(id.number).ok()?)
    }

    fn copy(&mut self, place: Place) -> Option<&mut Copy> {
        let record = self.record(place.id)?;
        let index = targets(record.route).iter().position(|&queue| queue == place.queue)?;
        record.copies.get_mut(index)
    }

    fn sent(&mut self, round: Round, sent: &Sent) {
        let records = self.records.entry(sent.id.publisher).or_default();
        assert_eq!(sent.id.number, records.len() as u64, "numbers follow each other");
        let copies = [Copy::default(); 3];
        let (size, route) = (sent.size, sent.route);
        let (confirmed, rolled_back) = (false, false);
        records.push(Record { round, size, route, confirmed, rolled_back, copies });
        targets(route).iter().for_each(|&queue| self.may[queue] += 1);
        self.sums.sent += 1;
    }

    fn confirmed(&mut self, round: Round, id: Id) {
        let Some(record) = self.record(id) else {
            return self.fault(Kind::Invented, format!("round {round}: confirm of unsent {id:?}"));
        };
        record.confirmed = true;
        for &queue in targets(record.route) {
            self.must[queue] += 1;
        }
        self.sums.confirmed += 1;
    }

    fn delivered(&mut self, round: Round, delivered: &Delivered) {
        let &Delivered { place, redelivered, size } = delivered;
        self.sums.delivered += 1;
        let what = format!("{} of {}", name(place.id), QUEUES[place.queue]);
        let Some((sent, expected, rolled_back)) =
            self.record(place.id).map(|record| (record.round, record.size, record.rolled_back))
        else {
            return self.fault(Kind::Invented, format!("round {round}: {what} was never sent"));
        };
        if expected != size {
            let text = format!("round {round}: {what} came with {size} bytes, not {expected}");
            self.fault(Kind::Invented, text);
        }
        if rolled_back {
            let text = format!(
                "round {round}: {what} was rolled back in round {sent}, with its transaction"
            );
            self.fault(Kind::Torn, text);
        }
        let Some(copy) = self.copy(place) else {
            let text = format!("round {round}: {what} was not sent to this queue");
            return self.fault(Kind::Invented, text);
        };
        let before = *copy;
        copy.come(round, redelivered);
        let twice = copy.seen > copy.requeued + 1;
        let unflagged = !redelivered && (copy.unflagged > 1 || copy.first != round);
        let first = copy.first;
        self.came_back(round, place, before);
        if unflagged {
            let text = format!(
                "round {round}: {what} was first delivered in round {first}, \
                 and comes without the redelivered flag"
            );
            self.fault(Kind::Unflagged, text);
        }
        if twice {
            let text = format!("round {round}: {what} was delivered twice without a requeue");
            self.fault(Kind::Twice, text);
        }
    }

    /// Judges that a copy came which may have been acknowledged in an earlier round.
    fn came_back(&mut self, round: Round, place: Place, before: Copy) {
        if before.ack == Ack::None {
            return;
        }
        if self.record(place.id).is_some_and(|record| record.confirmed) {
            self.must[place.queue] += 1;
        }
        if before.ack == Ack::Sent {
            self.sums.came_back += 1;
            return;
        }
        self.may[place.queue] += 1;
        let acked = before.acked;
        let text = format!(
            "round {round}: {} is in {} again; its ack was durable for certain in round {acked}",
            name(place.id),
            QUEUES[place.queue],
        );
        self.fault(Kind::Back, text);
    }

    fn in_order(
        &mut self,
        round: Round,
        place: Place,
        last: &mut HashMap<(Queue, u8), u64>,
        who: &str,
    ) {
        if self.copy(place).is_none_or(|copy| copy.requeued > 0) {
            return;
        }
        let before = last.insert((place.queue, place.id.publisher), place.id.number);
        if let Some(before) = before
            && before > place.id.number
        {
            let text = format!(
                "round {round}: {who} got {} of {} after number {before}",
                name(place.id),
                QUEUES[place.queue],
            );
            self.fault(Kind::Order, text);
        }
    }

    fn acked(&mut self, round: Round, place: Place, certain: bool) {
        let Some(record) = self.record(place.id) else { return };
        let confirmed = record.confirmed;
        let Some(copy) = self.copy(place) else { return };
        let before = copy.ack;
        copy.ack = if certain { Ack::Certain } else { Ack::Sent };
        copy.acked = round;
        if before == Ack::None && confirmed {
            self.must[place.queue] = self.must[place.queue].saturating_sub(1);
        }
        if certain && before != Ack::Certain {
            self.may[place.queue] = self.may[place.queue].saturating_sub(1);
            self.sums.certain += 1;
        }
        self.sums.acked += 1;
    }

    fn attempted(&mut self, round: Round, attempt: Attempt) {
        let committed = attempt.outcome == Outcome::Committed;
        for &id in &attempt.made {
            if committed {
                self.confirmed(round, id);
            } else if attempt.outcome == Outcome::RolledBack
                && let Some(record) = self.record(id)
            {
                record.rolled_back = true;
            }
        }
        if attempt.outcome != Outcome::RolledBack {
            for &id in &attempt.acked {
                self.acked(round, Place { queue: TX_A, id }, committed);
            }
        }
        match attempt.outcome {
            Outcome::Committed => self.sums.committed += 1,
            Outcome::RolledBack => {}
            Outcome::Unknown => {
                self.sums.cut_off += 1;
                self.attempts.push((round, attempt));
            }
        }
    }

    /// Judges what is left after everything was drained in the last round.
    pub fn finish(&mut self) {
        let mut faults = Vec::new();
        for (&publisher, records) in &self.records {
            for (number, record) in records.iter().enumerate().filter(|(_, r)| r.confirmed) {
                for (&queue, copy) in targets(record.route).iter().zip(&record.copies) {
                    if copy.ack == Ack::None {
                        let id = Id { publisher, number: number as u64 };
                        faults.push(lost(id, queue, record, copy));
                    }
                }
            }
        }
        self.faults.extend(faults);
        for (round, attempt) in std::mem::take(&mut self.attempts) {
            self.whole(round, &attempt);
        }
    }

    /// Judges a transaction that was cut off in a round: all of it is there, or none.
    fn whole(&mut self, round: Round, attempt: &Attempt) {
        let mut parts = Vec::new();
        for &id in &attempt.made {
            for queue in [TX_B, TX_C] {
                let there = self.copy(Place { queue, id }).is_some_and(|copy| copy.first != 0);
                let text = if there { "is in" } else { "is not in" };
                parts.push((there, format!("{} {text} {}", name(id), QUEUES[queue])));
            }
        }
        for &id in &attempt.acked {
            let copy = self.copy(Place { queue: TX_A, id });
            let gone = copy.is_none_or(|copy| copy.life <= round);
            let text = if gone { "did not come back to" } else { "came back to" };
            parts.push((gone, format!("{} {text} {}", name(id), QUEUES[TX_A])));
        }
        let happened = parts.iter().filter(|(part, _)| *part).count();
        if happened == parts.len() {
            self.sums.cut_off_whole += 1;
        } else if happened > 0 {
            let parts: Vec<_> = parts.into_iter().map(|(_, text)| text).collect();
            let text = format!("the transaction cut off in round {round}: {}", parts.join(", "));
            self.fault(Kind::Torn, text);
        }
    }
}

impl Copy {
    /// Begins to count anew in a new round.
    fn enter(&mut self, round: Round) {
        if self.life != round {
            (self.life, self.seen, self.unflagged, self.requeued) = (round, 0, 0, 0);
        }
    }

    /// Is delivered.
    fn come(&mut self, round: Round, redelivered: bool) {
        self.enter(round);
        self.seen += 1;
        self.unflagged += u16::from(!redelivered);
        self.ack = Ack::None;
        if self.first == 0 {
            self.first = round;
        }
    }
}

fn lost(id: Id, queue: Queue, record: &Record, copy: &Copy) -> Fault {
    let seen = match (copy.first, copy.acked) {
        (0, _) => "was never delivered".to_owned(),
        (first, 0) => format!("was first delivered in round {first}, last in {}", copy.life),
        (_, acked) => format!("was acked in round {acked}, and came back in {}", copy.life),
    };
    let text = format!(
        "{} ({} bytes), published and confirmed in round {}, is not in {} at the end; it {seen}",
        name(id),
        record.size,
        record.round,
        QUEUES[queue],
    );
    Fault { kind: Kind::Lost, text }
}

fn name(id: Id) -> String {
    format!("message {}-{}", id.publisher, id.number)
}

#[cfg(test)]
mod tests {
    use super::super::topology::{EXCHANGED_FIRST, PAIR};
    use super::*;

    const fn id(number: u64) -> Id {
        Id { publisher: 0, number }
    }

    const fn place(queue: Queue, number: u64) -> Place {
        Place { queue, id: id(number) }
    }

    fn sent(route: Route, numbers: std::ops::Range<u64>) -> Vec<Sent> {
        numbers.map(|number| Sent { id: id(number), route, size: 10 }).collect()
    }

    fn came(number: u64, redelivered: bool) -> Delivered {
        Delivered { place: place(0, number), redelivered, size: 10 }
    }

    /// A round in which messages are confirmed in queue 0.
    fn confirmed(numbers: std::ops::Range<u64>) -> Log {
        let confirmed = numbers.clone().map(id).collect();
        Log { sent: sent(0, numbers), confirmed, ..Log::default() }
    }

    fn delivered(delivered: Vec<Delivered>) -> Log {
        Log { delivered, ..Log::default() }
    }

    fn kinds(ledger: &Ledger) -> Vec<Kind> {
        ledger.faults.iter().map(|fault| fault.kind).collect()
    }

    fn judged(rounds: Vec<Vec<Log>>) -> Vec<Kind> {
        let mut ledger = Ledger::default();
        for (round, logs) in (1..).zip(rounds) {
            ledger.take(round, logs);
        }
        ledger.finish();
        kinds(&ledger)
    }

    #[test]
    fn what_was_confirmed_has_to_be_there() {
        let drained = |numbers: &[u64]| Log {
            delivered: numbers.iter().map(|&number| came(number, false)).collect(),
            acked: numbers.iter().map(|&number| place(0, number)).collect(),
            ..Log::default()
        };
        assert_eq!(judged(vec![vec![confirmed(0..2)], vec![drained(&[0, 1])]]), []);
        assert_eq!(judged(vec![vec![confirmed(0..2)], vec![drained(&[0])]]), [Kind::Lost]);
        let unconfirmed = Log { sent: sent(0, 0..2), ..Log::default() };
        assert_eq!(judged(vec![vec![unconfirmed], vec![drained(&[0])]]), []);
        let fanned = Log { sent: sent(EXCHANGED_FIRST, 0..1), ..confirmed(0..0) };
        let fanned = Log { confirmed: vec![id(0)], ..fanned };
        assert_eq!(judged(vec![vec![fanned]]), [Kind::Lost; 3]);
    }

    #[test]
    fn an_ack_that_is_certain_holds_and_another_may_not() {
        for (certain, faults) in [(1, vec![Kind::Back, Kind::Lost]), (0, vec![Kind::Lost])] {
            let mut first = confirmed(0..1);
            first.delivered = vec![came(0, false)];
            first.acked = vec![place(0, 0)];
            first.certain[0] = certain;
            assert_eq!(judged(vec![vec![first], vec![delivered(vec![came(0, true)])]]), faults);
        }
    }

    #[test]
    fn a_delivery_has_to_be_flagged_and_asked_for() {
        let first = || vec![confirmed(0..1), delivered(vec![came(0, false)])];
        let again = |flagged| vec![delivered(vec![came(0, flagged)])];
        assert_eq!(judged(vec![first(), again(true)]), [Kind::Lost]);
        assert_eq!(judged(vec![first(), again(false)]), [Kind::Unflagged, Kind::Lost]);
        let mut both = first();
        both.extend(again(true));
        assert_eq!(judged(vec![both]), [Kind::Twice, Kind::Lost]);
        let mut requeued = first();
        // Another consumer's log may come first.
        requeued.insert(0, delivered(vec![came(0, true)]));
        requeued[2].requeued = vec![place(0, 0)];
        assert_eq!(judged(vec![requeued]), [Kind::Lost]);
        assert_eq!(judged(vec![again(false)]), [Kind::Invented]);
    }

    #[test]
    fn order_is_that_of_publishing_but_for_requeues() {
        let mut log = delivered(vec![came(1, false), came(0, false)]);
        let unconfirmed = || Log { sent: sent(0, 0..2), ..Log::default() };
        log.requeued = vec![place(0, 0)];
        assert_eq!(judged(vec![vec![unconfirmed(), log]]), []);
        let log = delivered(vec![came(1, false), came(0, false)]);
        assert_eq!(judged(vec![vec![unconfirmed(), log]]), [Kind::Order]);
    }

    #[test]
    fn a_transaction_that_was_cut_off_is_whole() {
        let begin = || Log {
            sent: [sent(TX_A, 0..1), sent(PAIR, 1..2)].concat(),
            delivered: vec![Delivered { place: place(TX_A, 0), redelivered: false, size: 10 }],
            attempts: vec![Attempt {
                acked: vec![id(0)],
                made: vec![id(1)],
                outcome: Outcome::Unknown,
            }],
            ..Log::default()
        };
        let found = |places: &[(Queue, u64)]| {
            let places = places.iter().map(|&(queue, number)| Delivered {
                place: place(queue, number),
                redelivered: true,
                size: 10,
            });
            delivered(places.collect())
        };
        let judge = |places: &[(Queue, u64)]| judged(vec![vec![begin()], vec![found(places)]]);
        assert_eq!(judge(&[(TX_A, 0)]), []);
        assert_eq!(judge(&[(TX_B, 1), (TX_C, 1)]), []);
        assert_eq!(judge(&[]), [Kind::Torn]);
        assert_eq!(judge(&[(TX_A, 0), (TX_B, 1), (TX_C, 1)]), [Kind::Torn]);
        assert_eq!(judge(&[(TX_B, 1)]), [Kind::Torn]);
    }

    #[test]
    fn counts_have_bounds() {
        let mut ledger = Ledger::default();
        let mut log = confirmed(0..3);
        log.sent.extend(sent(0, 3..5));
        ledger.take(1, vec![log]);
        assert_eq!(ledger.bounds(0), (3, 5));
        let mut log = delivered(vec![came(0, false), came(1, false)]);
        log.acked = vec![place(0, 0), place(0, 1)];
        log.certain[0] = 1;
        ledger.take(2, vec![log]);
        assert_eq!(ledger.bounds(0), (1, 4));
        ledger.take(3, vec![delivered(vec![came(1, true)])]);
        assert_eq!(ledger.bounds(0), (2, 4));
    }
}
