//! Definitions that come and go: queues with messages in them, exchanges and bindings, each
//! change answered by the broker before the next. After a restart they have to be as the last
//! answer said; the one change without an answer may have happened or not.

use std::time::Duration;

use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::wire::amqp091::table::Table;
use leveret_client::{
    Channel, Connection, Error, ExchangeOptions, Incoming, Publish, QueueOptions,
};

use super::random::Random;
use super::round::Shared;

/// How many names are in use.
const SLOTS: usize = 24;
/// The key of each slot's binding.
const KEY: &str = "key";

/// What there is under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// The queue's persistent messages, if there is a queue.
    queue: Option<u32>,
    exchange: bool,
    bound: bool,
}

/// What is expected under one name.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    state: State,
    /// What it will be if the change that got no answer has happened.
    doubt: Option<State>,
}

/// A change of one name.
#[derive(Debug, Clone, Copy)]
enum Change {
    DeclareQueue,
    DeclareExchange,
    Bind,
    Unbind,
    Publish,
    Purge,
    DeleteQueue,
    DeleteExchange,
}

/// All names and what is expected of them.
#[derive(Debug, Default)]
pub struct Definitions {
    slots: [Slot; SLOTS],
    /// Changes that were answered.
    pub changes: u64,
}

fn queue(index: usize) -> String {
    format!("defined.queue.{index}")
}

fn exchange(index: usize) -> String {
    format!("defined.exchange.{index}")
}

impl Definitions {
    /// Changes one after the other until the broker is gone.
    pub fn run(&mut self, shared: &Shared, random: &mut Random) -> Result<(), Error> {
        let mut connection = Connection::connect(&shared.uri)?;
        let channel = connection.open_channel()?;
        connection.confirm_select(channel)?;
        loop {
            let index = random.below(SLOTS as u64) as usize;
            let slot = &mut self.slots[index];
            let (change, next) = slot.state.random_change(random);
            slot.doubt = Some(next);
            change.perform(&mut connection, channel, index)?;
            *slot = Slot { state: next, doubt: None };
            self.changes += 1;
        }
    }

    /// Compares with what is there after a restart; returns what is wrong, and takes what is there
    /// as the truth from then on.
    pub fn verify(&mut self, uri: &str) -> Result<Vec<String>, Error> {
        let mut connection = Connection::connect(uri)?;
        let mut wrong = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let found = observe(&mut connection, index)?;
            if found != slot.state && Some(found) != slot.doubt {
                let expected = slot.state;
                let or = slot.doubt.map(|doubt| format!(" or {doubt:?}")).unwrap_or_default();
                wrong.push(format!(
                    "of {} and {} there is {found:?}, not {expected:?}{or}",
                    queue(index),
                    exchange(index),
                ));
            }
            *slot = Slot { state: found, doubt: None };
        }
        connection.close()?;
        Ok(wrong)
    }
}

impl State {
    /// A change that is possible, and what comes of it.
    fn random_change(self, random: &mut Random) -> (Change, State) {
        let both = self.queue.is_some() && self.exchange;
        loop {
            match random.below(8) {
                0 if self.queue.is_none() => {
                    return (Change::DeclareQueue, State { queue: Some(0), ..self });
                }
                1 if !self.exchange => {
                    return (Change::DeclareExchange, State { exchange: true, ..self });
                }
                2 if both && !self.bound => return (Change::Bind, State { bound: true, ..self }),
                3 if self.bound => return (Change::Unbind, State { bound: false, ..self }),
                4 if self.queue.is_some() => {
                    let queue = self.queue.map(|count| count + 1);
                    return (Change::Publish, State { queue, ..self });
                }
                5 if self.queue.is_some() => {
                    return (Change::Purge, State { queue: Some(0), ..self });
                }
                6 if self.queue.is_some() => {
                    return (Change::DeleteQueue, State { queue: None, bound: false, ..self });
                }
                7 if self.exchange => {
                    let after = State { exchange: false, bound: false, ..self };
                    return (Change::DeleteExchange, after);
                }
                _ => {}
            }
        }
    }
}

impl Change {
    fn perform(
        self,
        connection: &mut Connection,
        channel: Channel,
        index: usize,
    ) -> Result<(), Error> {
        let (queue, exchange) = (queue(index), exchange(index));
        match self {
            Change::DeclareQueue => {
                let options = QueueOptions { durable: true, ..QueueOptions::default() };
                connection.declare_queue(channel, &queue, &options).map(drop)
            }
            Change::DeclareExchange => {
                let options = ExchangeOptions { durable: true, ..ExchangeOptions::default() };
                connection.declare_exchange(channel, &exchange, "direct", &options)
            }
            Change::Bind => connection.bind_queue(channel, &queue, &exchange, KEY),
            Change::Unbind => {
                let (queue, exchange, arguments) = (&queue, &exchange, Table::EMPTY);
                let unbind = Method::QueueUnbind { queue, exchange, routing_key: KEY, arguments };
                connection.call(channel, &unbind).map(drop)
            }
            Change::Publish => {
                let properties = persistence(2);
                let message = Publish { routing_key: &queue, properties, ..Publish::default() };
                connection.publish(channel, &message)?;
                connection.wait_for_confirms(channel)
            }
            Change::Purge => {
                let purge = Method::QueuePurge { queue: &queue, no_wait: false };
                connection.call(channel, &purge).map(drop)
            }
            Change::DeleteQueue => connection.delete_queue(channel, &queue).map(drop),
            Change::DeleteExchange => connection.delete_exchange(channel, &exchange),
        }
    }
}

fn persistence(delivery_mode: u8) -> BasicProperties {
    BasicProperties { delivery_mode: Some(delivery_mode), ..BasicProperties::default() }
}

/// What there is under a name. Whether it is bound shows in what becomes of a message; a transient
/// one, which the next restart forgets.
fn observe(connection: &mut Connection, index: usize) -> Result<State, Error> {
    let (queue, exchange) = (queue(index), exchange(index));
    let channel = connection.open_channel()?;
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    let declared = connection.declare_queue(channel, &queue, &passive);
    let queue = found(declared)?.map(|declared| declared.message_count);
    let channel = connection.open_channel()?;
    let passive = ExchangeOptions { passive: true, ..ExchangeOptions::default() };
    let declared = connection.declare_exchange(channel, &exchange, "direct", &passive);
    let has_exchange = found(declared)?.is_some();
    if !has_exchange {
        return Ok(State { queue, exchange: false, bound: false });
    }
    connection.confirm_select(channel)?;
    let (exchange, routing_key) = (&*exchange, KEY);
    let probe =
        Publish { exchange, routing_key, mandatory: true, properties: persistence(1), body: b"" };
    connection.publish(channel, &probe)?;
    connection.wait_for_confirms(channel)?;
    let mut bound = true;
    while let Some(incoming) = connection.next(Duration::ZERO)? {
        bound &= !matches!(incoming, Incoming::Returned(_));
    }
    connection.close_channel(channel)?;
    Ok(State { queue, exchange: true, bound })
}

/// Nothing for a 404.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::ChannelClosed { closed, .. }) if closed.reply_code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
