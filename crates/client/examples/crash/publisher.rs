//! A publisher: persistent messages in confirm mode to all kinds of routes, with a window.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use leveret_client::{Channel, Connection, Error, Incoming};

use super::ledger::{Log, Sent};
use super::message::{self, Id, SIZE_MAX};
use super::random::Random;
use super::round::Shared;
use super::topology::{DIRECT, EXCHANGED_FIRST, ROUTES, Route, targets};

/// What is published on a channel in confirm mode and not yet confirmed.
#[derive(Debug, Default)]
pub struct Unconfirmed(BTreeMap<u64, Id>);

impl Unconfirmed {
    /// Publishes a message and notes it, before it can have arrived.
    pub fn publish(
        &mut self,
        (connection, channel): (&mut Connection, Channel),
        sent: Sent,
        log: &mut Log,
    ) -> Result<u64, Error> {
        log.sent.push(sent);
        let tag = message::publish(connection, channel, sent.id, (sent.route, sent.size))?;
        self.0.insert(tag, sent.id);
        Ok(tag)
    }

    /// Takes what a confirm means; returns whether it was a refusal.
    pub fn settle(&mut self, incoming: &Incoming, log: &mut Log) -> bool {
        match *incoming {
            Incoming::Ack { delivery_tag, multiple, .. } => {
                log.confirmed.extend(self.remove(delivery_tag, multiple));
                false
            }
            Incoming::Nack { delivery_tag, multiple, .. } => {
                self.remove(delivery_tag, multiple);
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, tag: u64, multiple: bool) -> Vec<Id> {
        if !multiple {
            return self.0.remove(&tag).into_iter().collect();
        }
        let later = if tag == 0 { BTreeMap::new() } else { self.0.split_off(&(tag + 1)) };
        std::mem::replace(&mut self.0, later).into_values().collect()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Publishes until the broker is gone.
pub fn run(shared: &Shared, log: &mut Log, random: &mut Random, first: Id) -> Result<(), Error> {
    let mut connection = Connection::connect(&shared.uri)?;
    let channel = connection.open_channel()?;
    connection.confirm_select(channel)?;
    let window = random.between(1, shared.window_max);
    let mut unconfirmed = Unconfirmed::default();
    let mut id = first;
    loop {
        let mut burst = 0;
        while unconfirmed.len() < window && burst < 32 && shared.may_publish() {
            let route = random_route(random);
            let size = message::random_size(random, SIZE_MAX);
            let sent = Sent { id, route, size };
            unconfirmed.publish((&mut connection, channel), sent, log)?;
            shared.backlog.fetch_add(targets(route).len() as i64, Relaxed);
            id.number += 1;
            burst += 1;
        }
        let mut patience =
            if burst > 0 && unconfirmed.len() < window { Duration::ZERO } else { shared.tick };
        while let Some(incoming) = connection.next(patience)? {
            unconfirmed.settle(&incoming, log);
            patience = Duration::ZERO;
        }
    }
}

fn random_route(random: &mut Random) -> Route {
    if random.once_in(3) {
        EXCHANGED_FIRST + random.below((ROUTES - EXCHANGED_FIRST) as u64) as usize
    } else {
        random.below(DIRECT as u64) as usize
    }
}
