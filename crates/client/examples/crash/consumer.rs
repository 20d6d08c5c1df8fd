//! A consumer: acknowledges in one of several manners, and publishes now and then a message whose
//! confirm makes the acks before it certain.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use leveret_client::{Channel, Connection, ConsumeOptions, Delivery, Error, Incoming};

use super::ledger::{Delivered, Fault, Kind, Log, Sent};
use super::message::{self, Id, Place};
use super::publisher::Unconfirmed;
use super::random::Random;
use super::round::Shared;
use super::topology::{QUEUES, Queue};

/// After so many acks comes a message whose confirm makes them certain.
const ACKS_PER_MARK: usize = 50;
/// How many deliveries stay unacknowledged until the broker is killed.
const KEPT_MAX: usize = 20;

/// How a consumer acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Each at once.
    Each,
    /// Several at once, with the multiple flag.
    Multiple,
    /// Each after a while, out of order.
    Later,
    /// Sends some back once, the rest each at once.
    Requeue,
}

/// A delivery on its way to an ack.
#[derive(Debug, Clone, Copy)]
struct Held {
    due: Instant,
    tag: u64,
    place: Place,
}

/// A published message that makes acks certain.
#[derive(Debug, Clone, Copy)]
struct Mark {
    id: Id,
    queue: Queue,
    acked: usize,
}

struct Consumer<'a> {
    shared: &'a Shared,
    log: &'a mut Log,
    random: &'a mut Random,
    connection: Connection,
    channel: Channel,
    queues: Vec<Queue>,
    manner: Manner,
    held: VecDeque<Held>,
    kept: usize,
    unconfirmed: Unconfirmed,
    marks: VecDeque<Mark>,
    marked: usize,
    next: Id,
}

/// Consumes from `queues` until the broker is gone; `first` is the first message of its own.
pub fn run(
    shared: &Shared,
    log: &mut Log,
    random: &mut Random,
    (queues, first): (Vec<Queue>, Id),
) -> Result<(), Error> {
    let mut connection = Connection::connect(&shared.uri)?;
    let channel = connection.open_channel()?;
    connection.confirm_select(channel)?;
    connection.qos(channel, 50 + random.below(500) as u16)?;
    for &queue in &queues {
        let consumer_tag = QUEUES[queue].to_owned();
        let options = ConsumeOptions { consumer_tag, ..ConsumeOptions::default() };
        connection.consume(channel, QUEUES[queue], &options)?;
    }
    let manners = [Manner::Each, Manner::Multiple, Manner::Later, Manner::Requeue];
    let manner = manners[random.below(4) as usize];
    let mut consumer = Consumer {
        shared,
        log,
        random,
        connection,
        channel,
        queues,
        manner,
        held: VecDeque::new(),
        kept: 0,
        unconfirmed: Unconfirmed::default(),
        marks: VecDeque::new(),
        marked: 0,
        next: first,
    };
    loop {
        consumer.turn()?;
    }
}

impl Consumer<'_> {
    fn turn(&mut self) -> Result<(), Error> {
        let mut patience = self.shared.tick;
        while let Some(incoming) = self.connection.next(patience)? {
            patience = Duration::ZERO;
            match incoming {
                Incoming::Delivery(delivery) => self.on_delivery(&delivery)?,
                Incoming::Cancelled { consumer_tag, .. } => {
                    let text = format!("{} lost its consumer of {consumer_tag}", self.log.who);
                    self.log.faults.push(Fault { kind: Kind::Failed, text });
                }
                other => self.on_confirm(&other),
            }
        }
        self.ack_what_is_due()?;
        self.mark(1)
    }

    fn on_delivery(&mut self, delivery: &Delivery) -> Result<(), Error> {
        let Some(place) = note(delivery, self.log) else { return Ok(()) };
        let tag = delivery.delivery_tag;
        if self.manner != Manner::Multiple && self.kept < KEPT_MAX && self.random.once_in(200) {
            self.kept += 1;
            return Ok(());
        }
        match self.manner {
            Manner::Each => self.ack(tag, place)?,
            Manner::Requeue if !delivery.redelivered && self.random.once_in(4) => {
                self.log.requeued.push(place);
                self.connection.nack(self.channel, tag, false, true)?;
            }
            Manner::Requeue => self.ack(tag, place)?,
            Manner::Later => {
                let due = Instant::now() + Duration::from_millis(self.random.between(1, 40));
                self.held.push_back(Held { due, tag, place });
            }
            Manner::Multiple => {
                self.held.push_back(Held { due: Instant::now(), tag, place });
                if self.random.once_in(30) {
                    self.ack_all(tag)?;
                }
            }
        }
        self.mark(ACKS_PER_MARK)
    }

    fn ack(&mut self, tag: u64, place: Place) -> Result<(), Error> {
        self.log.acked.push(place);
        self.shared.backlog.fetch_sub(1, Relaxed);
        self.connection.ack(self.channel, tag, false)
    }

    fn ack_all(&mut self, tag: u64) -> Result<(), Error> {
        let held = std::mem::take(&mut self.held);
        self.shared.backlog.fetch_sub(held.len() as i64, Relaxed);
        self.log.acked.extend(held.into_iter().map(|held| held.place));
        self.connection.ack(self.channel, tag, true)
    }

    fn ack_what_is_due(&mut self) -> Result<(), Error> {
        if self.manner == Manner::Multiple {
            return match self.held.back() {
                Some(&last) if self.random.once_in(2) => self.ack_all(last.tag),
                _ => Ok(()),
            };
        }
        let now = Instant::now();
        let held = std::mem::take(&mut self.held).into_iter();
        let (due, later): (VecDeque<_>, _) = held.partition(|held| held.due <= now);
        self.held = later;
        due.into_iter().try_for_each(|held| self.ack(held.tag, held.place))
    }

    /// Publishes a message behind the acks, if there are at least `least` new ones.
    fn mark(&mut self, least: usize) -> Result<(), Error> {
        let acked = self.log.acked.len();
        if acked < self.marked + least || self.queues.is_empty() {
            return Ok(());
        }
        self.marked = acked;
        let queue = self.queues[self.random.below(self.queues.len() as u64) as usize];
        let (id, size) = (self.next, message::random_size(self.random, 512));
        let sent = Sent { id, route: queue, size };
        self.unconfirmed.publish((&mut self.connection, self.channel), sent, self.log)?;
        self.shared.backlog.fetch_add(1, Relaxed);
        self.marks.push_back(Mark { id, queue, acked });
        self.next.number += 1;
        Ok(())
    }

    fn on_confirm(&mut self, incoming: &Incoming) {
        let before = self.log.confirmed.len();
        self.unconfirmed.settle(incoming, self.log);
        for id in self.log.confirmed.get(before..).unwrap_or_default() {
            let Some(index) = self.marks.iter().position(|mark| mark.id == *id) else { continue };
            let Some(mark) = self.marks.remove(index) else { continue };
            for (queue, certain) in self.log.certain.iter_mut().enumerate() {
                if self.shared.one_log || queue == mark.queue {
                    *certain = mark.acked.max(*certain);
                }
            }
        }
    }
}

/// Notes a delivery, and what is wrong with it in itself; returns which message it is.
pub fn note(delivery: &Delivery, log: &mut Log) -> Option<Place> {
    let tag = &delivery.consumer_tag;
    let wrong = match (QUEUES.iter().position(|name| name == tag), message::read(delivery)) {
        (Some(queue), Ok(id)) => {
            let (place, size) = (Place { queue, id }, delivery.body.len() as u32);
            log.delivered.push(Delivered { place, redelivered: delivery.redelivered, size });
            return Some(place);
        }
        (None, _) => format!("a delivery to {tag}"),
        (_, Err(wrong)) => wrong,
    };
    let text = format!("{} got {wrong} from {tag}", log.who);
    log.faults.push(Fault { kind: Kind::Invented, text });
    None
}
