//! The transactional worker: takes from one queue, and in the same transaction puts a successor
//! into two others. Now and then it rolls back, and takes the same messages again.

use std::collections::VecDeque;
use std::time::Duration;

use leveret_client::wire::amqp091::method::Method;
use leveret_client::{Channel, Connection, ConsumeOptions, Error, Incoming};

use super::consumer::note;
use super::ledger::{Attempt, Log, Outcome, Sent};
use super::message::{self, Id};
use super::publisher::Unconfirmed;
use super::random::Random;
use super::round::Shared;
use super::topology::{PAIR, QUEUES, TX_A, TX_B, TX_C};

/// How many messages it keeps ahead of itself.
const SUPPLY: u64 = 64;
/// The largest body of a transaction's message.
const SIZE_MAX: u32 = 4096;

struct Transactor<'a> {
    log: &'a mut Log,
    random: &'a mut Random,
    connection: Connection,
    channel: Channel,
    next: Id,
    ready: VecDeque<(u64, Id)>,
}

/// Works until the broker is gone; `seed` and `made` are the first messages of its own to put into
/// the queue that it takes from, and to make in transactions.
pub fn run(
    shared: &Shared,
    log: &mut Log,
    random: &mut Random,
    (mut seed, made): (Id, Id),
) -> Result<(), Error> {
    let mut connection = Connection::connect(&shared.uri)?;
    let seeding = connection.open_channel()?;
    connection.confirm_select(seeding)?;
    let channel = connection.open_channel()?;
    connection.call(channel, &Method::TxSelect {})?;
    connection.qos(channel, 16)?;
    let consumer_tag = QUEUES[TX_A].to_owned();
    let options = ConsumeOptions { consumer_tag, ..ConsumeOptions::default() };
    connection.consume(channel, QUEUES[TX_A], &options)?;
    let ready = VecDeque::new();
    let mut work = Transactor { log, random, connection, channel, next: made, ready };
    let mut unconfirmed = Unconfirmed::default();
    let (mut supplied, mut used) = (shared.transactions_waiting, 0);
    loop {
        while supplied < used + SUPPLY {
            let size = message::random_size(work.random, SIZE_MAX);
            let sent = Sent { id: seed, route: TX_A, size };
            unconfirmed.publish((&mut work.connection, seeding), sent, work.log)?;
            seed.number += 1;
            supplied += 1;
        }
        let wanted = work.random.between(1, 3) as usize;
        while work.ready.len() < wanted {
            match work.connection.next(Duration::from_secs(10))? {
                Some(Incoming::Delivery(delivery)) => {
                    let place = note(&delivery, work.log);
                    work.ready.extend(place.map(|place| (delivery.delivery_tag, place.id)));
                }
                Some(other) => {
                    unconfirmed.settle(&other, work.log);
                }
                None => return Err(Error::Timeout("messages to work on")),
            }
        }
        used += work.transact(wanted)?;
    }
}

impl Transactor<'_> {
    /// One transaction over the next messages; returns how many it used up.
    fn transact(&mut self, wanted: usize) -> Result<u64, Error> {
        let taken: Vec<_> = self.ready.drain(..wanted.min(self.ready.len())).collect();
        let acked = taken.iter().map(|&(_, id)| id).collect();
        let first = self.next;
        self.next.number += taken.len() as u64;
        let made = (first.number..self.next.number).map(|number| Id { number, ..first }).collect();
        let index = self.log.attempts.len();
        self.log.attempts.push(Attempt { acked, made, outcome: Outcome::Unknown });
        for (&(tag, _), number) in taken.iter().zip(first.number..) {
            let (id, size) = (Id { number, ..first }, message::random_size(self.random, SIZE_MAX));
            self.log.sent.push(Sent { id, route: PAIR, size });
            self.connection.ack(self.channel, tag, false)?;
            for queue in [TX_B, TX_C] {
                message::publish(&mut self.connection, self.channel, id, (queue, size))?;
            }
        }
        let roll_back = self.random.once_in(12);
        let method = if roll_back { Method::TxRollback {} } else { Method::TxCommit {} };
        self.connection.call(self.channel, &method)?;
        let outcome = if roll_back { Outcome::RolledBack } else { Outcome::Committed };
        if let Some(attempt) = self.log.attempts.get_mut(index) {
            attempt.outcome = outcome;
        }
        let used = taken.len() as u64;
        if roll_back {
            taken.into_iter().rev().for_each(|message| self.ready.push_front(message));
        }
        Ok(if roll_back { 0 } else { used })
    }
}
