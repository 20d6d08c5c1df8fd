//! Who publishes the payments: in confirm mode, and after a lost connection all again of which it
//! does not know what became.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::wire::amqp091::table::FieldTable;
use leveret_client::{Channel, Connection, Error, Incoming, Publish};

use super::SOURCE;

/// Most payments that wait for their confirm.
const WINDOW: usize = 256;
const TICK: Duration = Duration::from_millis(2);

/// See the module.
#[derive(Debug)]
pub struct Feeder {
    payments: u64,
    /// How many may be published.
    pub allowed: AtomicU64,
    /// It is to drop its connection.
    pub hang_up: AtomicBool,
    /// How often it lost its connection.
    pub losses: AtomicU64,
    /// How many payments it published again.
    pub repeated: AtomicU64,
}

/// The number of a payment from its body.
pub fn number(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body).ok()?.strip_prefix("payment ")?.parse().ok()
}

impl Feeder {
    /// For so many payments.
    pub fn new(payments: u64) -> Feeder {
        Feeder {
            payments,
            allowed: AtomicU64::new(0),
            hang_up: AtomicBool::new(false),
            losses: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        }
    }

    /// Publishes until all are confirmed.
    pub fn run(&self, uri: &str) {
        let (mut next, mut unknown) = (0, Vec::new());
        loop {
            let mut waiting = BTreeMap::new();
            if self.feed(uri, &mut next, &mut unknown, &mut waiting).is_ok() {
                return;
            }
            self.losses.fetch_add(1, Ordering::Relaxed);
            // Those that were not even published again, and those that were not confirmed.
            unknown.extend(waiting.into_values());
            unknown.sort_unstable();
            std::thread::sleep(TICK);
        }
    }

    fn feed(
        &self,
        uri: &str,
        next: &mut u64,
        unknown: &mut Vec<u64>,
        waiting: &mut BTreeMap<u64, u64>,
    ) -> Result<(), Error> {
        let mut connection = Connection::connect(uri)?;
        let channel = connection.open_channel()?;
        connection.confirm_select(channel)?;
        self.repeated.fetch_add(unknown.len() as u64, Ordering::Relaxed);
        while !unknown.is_empty() {
            let payment = unknown.remove(0);
            // Noted before it can be on its way.
            let tag = waiting.last_key_value().map_or(1, |(tag, _)| tag + 1);
            waiting.insert(tag, payment);
            publish(&mut connection, channel, payment)?;
        }
        let mut tag = waiting.len() as u64;
        while *next < self.payments || !waiting.is_empty() {
            while *next < self.allowed.load(Ordering::SeqCst) && waiting.len() < WINDOW {
                tag += 1;
                waiting.insert(tag, *next);
                *next += 1;
                publish(&mut connection, channel, *next - 1)?;
            }
            connection.flush()?;
            if self.hang_up.swap(false, Ordering::SeqCst) {
                return Err(Error::Disconnected);
            }
            while let Some(incoming) = connection.next(TICK)? {
                settle(&incoming, waiting);
            }
        }
        connection.close()
    }
}

fn settle(incoming: &Incoming, waiting: &mut BTreeMap<u64, u64>) {
    if let Incoming::Ack { delivery_tag, multiple, .. } = *incoming {
        if multiple {
            *waiting = waiting.split_off(&(delivery_tag + 1));
        } else {
            waiting.remove(&delivery_tag);
        }
    }
}

fn publish(connection: &mut Connection, channel: Channel, payment: u64) -> Result<(), Error> {
    let mut headers = FieldTable::new();
    headers.insert("x-deduplication-header", format!("payment-{payment}"));
    let properties = BasicProperties {
        delivery_mode: Some(2),
        headers: Some(headers),
        ..BasicProperties::default()
    };
    let body = format!("payment {payment}");
    let publish = Publish {
        exchange: "",
        routing_key: SOURCE,
        mandatory: false,
        properties,
        body: body.as_bytes(),
    };
    connection.publish(channel, &publish).map(drop)
}
