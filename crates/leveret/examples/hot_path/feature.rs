//! What a queue can be asked for beside keeping messages: how it is asked, and what messages then
//! carry.

use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::table::{FieldTable, FieldValue};

/// How long messages may stay, in milliseconds; the clock stands still.
const TTL_MS: i32 = 60_000;
/// The limit of a queue that is always full.
const FULL: i32 = 1_000;
/// How many policies there are beside the one that applies.
const POLICIES: usize = 50;

/// A feature that is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Nothing beside what all have.
    None,
    /// The queue has a time to live.
    QueueTtl,
    /// Each message has another time to live.
    MessageTtl,
    /// The queue has length limits, which are never reached.
    MaxLength,
    /// The queue is full: each message drops one. Nobody consumes.
    DropHead,
    /// Ten priorities, of which messages have all.
    Priority,
    /// Each message is rejected, and acknowledged in the dead-letter queue.
    DeadLetter,
    /// Messages are of ten groups.
    Groups,
    /// One of many policies gives the queue a limit and a time to live.
    Policies,
    /// OpenTelemetry is on, and no message has a trace.
    Traces,
    /// OpenTelemetry is on, and the trace of each message is recorded.
    Recorded,
}

fn table(fields: &[(&str, FieldValue)]) -> FieldTable {
    let mut table = FieldTable::new();
    for (key, value) in fields {
        table.insert(*key, value.clone());
    }
    table
}

impl Feature {
    /// The arguments of a queue by its number.
    pub fn arguments(self, queue: usize) -> FieldTable {
        let int = FieldValue::I32;
        let text = |text: &str| FieldValue::LongStr(text.into());
        match self {
            Self::QueueTtl => table(&[("x-message-ttl", int(TTL_MS))]),
            Self::MaxLength => {
                table(&[("x-max-length", int(FULL)), ("x-max-length-bytes", int(1 << 20))])
            }
            Self::DropHead => table(&[("x-max-length", int(FULL))]),
            Self::Priority => table(&[("x-max-priority", int(10))]),
            Self::DeadLetter if queue == 0 => table(&[
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text("q1")),
            ]),
            Self::Groups => table(&[("x-message-group-header", text("group"))]),
            _ => FieldTable::new(),
        }
    }

    /// Policies with their names, which are their patterns too.
    pub fn policies(self) -> Vec<(String, FieldTable)> {
        if self != Self::Policies {
            return Vec::new();
        }
        let limits =
            [("max-length", FieldValue::I32(FULL)), ("message-ttl", FieldValue::I32(TTL_MS))];
        let names = (0..POLICIES).map(|number| format!("^other{number}$"));
        names.chain(["^q0$".to_owned()]).map(|name| (name, table(&limits))).collect()
    }

    /// Gives a message what it needs.
    pub fn mark(self, properties: &mut BasicProperties, number: usize) {
        match self {
            Self::MessageTtl => {
                // Each is due before the one in front of it.
                let millis = TTL_MS - number as i32;
                properties.expiration = Some(millis.to_string().as_str().into());
            }
            Self::Priority => properties.priority = Some((number % 11) as u8),
            Self::Groups => {
                let group = format!("group {}", number % 10);
                let value = FieldValue::LongStr(group.into_bytes());
                properties.headers = Some(table(&[("group", value)]));
            }
            Self::Recorded => {
                let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{:016x}-01", number + 1);
                let value = FieldValue::LongStr(parent.into_bytes());
                properties.headers = Some(table(&[("traceparent", value)]));
            }
            _ => {}
        }
    }

    /// Whether OpenTelemetry is on.
    pub fn traces(self) -> bool {
        matches!(self, Self::Traces | Self::Recorded)
    }
}
