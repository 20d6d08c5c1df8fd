//! The queues and exchanges that stay for the whole run, and the routes to them.

use leveret_client::{Channel, Connection, Error, ExchangeOptions, QueueOptions};

/// A queue: its place in [`QUEUES`].
pub type Queue = usize;
/// Exchange and routing key: below [`QUEUES`]' length that queue by the default exchange.
pub type Route = usize;

/// The names of the queues.
pub const QUEUES: [&str; 15] = [
    "direct.0", "direct.1", "direct.2", "direct.3", "direct.4", "direct.5", "fan.0", "fan.1",
    "fan.2", "topic.0", "topic.1", "topic.2", "tx.a", "tx.b", "tx.c",
];
/// How many of them publishers and consumers use; the rest is for transactions.
pub const COMMON: usize = 12;
/// How many go through the default exchange from publishers.
pub const DIRECT: usize = 6;
/// What the transactions take from.
pub const TX_A: Queue = 12;
/// The first of the two that the transactions put into.
pub const TX_B: Queue = 13;
/// The second.
pub const TX_C: Queue = 14;

/// The route of a transaction's message, which is published to two queues.
pub const PAIR: Route = QUEUES.len();
/// Routes through exchanges: exchange, routing key, and the queues that get a copy.
const EXCHANGED: [(&str, &str, &[Queue]); 5] = [
    ("crash.fan", "", &[6, 7, 8]),
    ("crash.topic", "red.small", &[9, 10, 11]),
    ("crash.topic", "red.large", &[9, 11]),
    ("crash.topic", "blue.small", &[10, 11]),
    ("crash.topic", "blue.large", &[11]),
];
/// The first of the routes through exchanges.
pub const EXCHANGED_FIRST: Route = PAIR + 1;
/// How many routes there are.
pub const ROUTES: usize = EXCHANGED_FIRST + EXCHANGED.len();
/// Queue, exchange and key.
const BINDINGS: [(Queue, &str, &str); 6] = [
    (6, "crash.fan", ""),
    (7, "crash.fan", ""),
    (8, "crash.fan", ""),
    (9, "crash.topic", "red.#"),
    (10, "crash.topic", "*.small"),
    (11, "crash.topic", "#"),
];

/// The exchange and the routing key of a route.
pub fn address(route: Route) -> (&'static str, &'static str) {
    match EXCHANGED.get(route.wrapping_sub(EXCHANGED_FIRST)) {
        Some(&(exchange, key, _)) => (exchange, key),
        None => ("", QUEUES.get(route).copied().unwrap_or_default()),
    }
}

/// The queues that get a copy.
pub fn targets(route: Route) -> &'static [Queue] {
    const ALONE: [Queue; QUEUES.len()] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
    match EXCHANGED.get(route.wrapping_sub(EXCHANGED_FIRST)) {
        Some(&(_, _, queues)) => queues,
        None if route == PAIR => &[TX_B, TX_C],
        None => ALONE.get(route..=route).unwrap_or_default(),
    }
}

/// Declares everything as durable.
pub fn declare(connection: &mut Connection, channel: Channel) -> Result<(), Error> {
    let durable = QueueOptions { durable: true, ..QueueOptions::default() };
    for queue in QUEUES {
        connection.declare_queue(channel, queue, &durable)?;
    }
    let durable = ExchangeOptions { durable: true, ..ExchangeOptions::default() };
    connection.declare_exchange(channel, "crash.fan", "fanout", &durable)?;
    connection.declare_exchange(channel, "crash.topic", "topic", &durable)?;
    for (queue, exchange, key) in BINDINGS {
        let name = QUEUES.get(queue).copied().unwrap_or_default();
        connection.bind_queue(channel, name, exchange, key)?;
    }
    Ok(())
}

/// The exchanges.
pub const EXCHANGES: [&str; 2] = ["crash.fan", "crash.topic"];
