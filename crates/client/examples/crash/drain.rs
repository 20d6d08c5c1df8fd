//! What is done without load: the counts after a restart, and the end, when all queues are emptied.

use std::time::{Duration, Instant};

use anyhow::ensure;
use leveret_client::{Connection, ConsumeOptions, Error, Incoming, QueueOptions};

use super::consumer::note;
use super::ledger::{Kind, Ledger, Log, Round, Sent};
use super::message::Id;
use super::publisher::Unconfirmed;
use super::topology::{EXCHANGES, QUEUES, Queue};

/// The publisher of the messages that make the last acks certain.
const LAST: u8 = 100;
/// How long nothing may come before the queues count as empty.
const SILENCE: Duration = Duration::from_secs(2);

/// Compares queues and exchanges with the ledger. Returns whether all were there.
pub fn compare(uri: &str, round: Round, ledger: &mut Ledger) -> anyhow::Result<bool> {
    let mut connection = Connection::connect(uri)?;
    let mut all = true;
    for (queue, name) in QUEUES.iter().enumerate() {
        let channel = connection.open_channel()?;
        let passive = QueueOptions { passive: true, ..QueueOptions::default() };
        match connection.declare_queue(channel, name, &passive) {
            Ok(declared) => {
                let (must, may) = ledger.bounds(queue);
                let count = u64::from(declared.message_count);
                if count < must || count > may {
                    let text = format!(
                        "before round {round}: {name} has {count} messages, not {must} to {may}"
                    );
                    ledger.fault(Kind::Count, text);
                }
            }
            Err(Error::ChannelClosed { closed, .. }) => {
                ledger.fault(Kind::Definition, format!("before round {round}: {closed}"));
                all = false;
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (name, kind) in EXCHANGES.iter().zip(["fanout", "topic"]) {
        let channel = connection.open_channel()?;
        let passive = leveret_client::ExchangeOptions { passive: true, ..Default::default() };
        match connection.declare_exchange(channel, name, kind, &passive) {
            Ok(()) => {}
            Err(Error::ChannelClosed { closed, .. }) => {
                ledger.fault(Kind::Definition, format!("before round {round}: {closed}"));
                all = false;
            }
            Err(error) => return Err(error.into()),
        }
    }
    connection.close()?;
    Ok(all)
}

/// Takes everything out of all queues, with acks that are certain in the end.
pub fn drain(uri: &str, round: Round, ledger: &mut Ledger) -> anyhow::Result<()> {
    let mut log = Log { who: "the last consumer".to_owned(), ..Log::default() };
    let mut connection = Connection::connect(uri)?;
    let channel = connection.open_channel()?;
    connection.confirm_select(channel)?;
    connection.qos(channel, 1000)?;
    for queue in QUEUES {
        let options =
            ConsumeOptions { consumer_tag: queue.to_owned(), ..ConsumeOptions::default() };
        connection.consume(channel, queue, &options)?;
    }
    take_all(&mut connection, channel, &mut log)?;
    let certain = log.acked.len();
    let mut unconfirmed = Unconfirmed::default();
    for queue in 0..QUEUES.len() {
        let id = Id { publisher: LAST, number: queue as u64 };
        let sent = Sent { id, route: queue as Queue, size: 64 };
        unconfirmed.publish((&mut connection, channel), sent, &mut log)?;
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while unconfirmed.len() > 0 {
        ensure!(Instant::now() < deadline, "the last messages are not confirmed");
        match connection.next(Duration::from_secs(1))? {
            Some(Incoming::Delivery(delivery)) => {
                let place = note(&delivery, &mut log);
                log.acked.extend(place);
                connection.ack(channel, delivery.delivery_tag, false)?;
            }
            Some(other) => {
                unconfirmed.settle(&other, &mut log);
            }
            None => {}
        }
    }
    take_all(&mut connection, channel, &mut log)?;
    log.certain = [certain; QUEUES.len()];
    connection.close()?;
    ledger.take(round, vec![log]);
    Ok(())
}

fn take_all(
    connection: &mut Connection,
    channel: leveret_client::Channel,
    log: &mut Log,
) -> Result<(), Error> {
    let mut last = None;
    loop {
        // An ack of all when nothing is at hand lets the server send the next ones.
        let patience = if last.is_some() { Duration::ZERO } else { SILENCE };
        match connection.next(patience)? {
            Some(Incoming::Delivery(delivery)) => {
                let place = note(&delivery, log);
                log.acked.extend(place);
                last = Some(delivery.delivery_tag);
            }
            Some(_) => {}
            None => match last.take() {
                Some(tag) => connection.ack(channel, tag, true)?,
                None => return Ok(()),
            },
        }
    }
}
