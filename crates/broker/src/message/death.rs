//! The headers of a dead letter: `x-death` and `x-first-death-*` (RabbitMQ: Dead Letter Exchanges,
//! "Effects on Message").

use bytes::Bytes;
use leveret_wire::amqp091::properties::{BasicProperties, Properties, ShortString};
use leveret_wire::amqp091::table::{FieldTable, FieldValue};

use super::Message;
use crate::ids::Name;

/// How a message died and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Burial<'a> {
    /// The queue that it left.
    pub queue: &'a str,
    /// The word for why.
    pub reason: &'a str,
    /// The dead-letter exchange.
    pub exchange: &'a str,
    /// The dead-letter routing key, if the queue has one.
    pub routing_key: Option<&'a str>,
    /// Seconds since 1970.
    pub now_secs: u64,
}

/// A dead letter.
#[derive(Debug)]
pub struct Buried {
    /// The message with its new headers.
    pub message: Message,
    /// Keys from its CC header.
    pub extra_keys: Vec<Name>,
}

/// A client may send as many deaths as a frame holds; the oldest beyond these are dropped.
const DEATHS_MAX: usize = 1024;

fn long_string(text: &str) -> FieldValue {
    FieldValue::LongStr(text.as_bytes().to_vec())
}

fn is(value: Option<&FieldValue>, text: &str) -> bool {
    matches!(value, Some(FieldValue::LongStr(bytes)) if bytes == text.as_bytes())
}

fn put(table: &mut FieldTable, key: &str, value: FieldValue) {
    table.0.retain(|(other, _)| other != key);
    table.0.push((key.to_owned(), value));
}

impl Message {
    /// The message as a dead letter.
    pub fn bury(&self, burial: &Burial<'_>) -> Buried {
        let mut properties = Properties::parse(self.properties())
            .map(|parsed| BasicProperties::from(&parsed))
            .unwrap_or_default();
        let mut headers = properties.headers.take().unwrap_or_default();
        let cc = cc_keys(&headers);
        let expiration = properties.expiration.take();
        record(&mut headers, self, burial, &cc, expiration);
        let mut extra_keys = Vec::new();
        match burial.routing_key {
            Some(_) => headers.0.retain(|(key, _)| key != "CC"),
            None => extra_keys = cc,
        }
        headers.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        properties.headers = Some(headers);
        let routing_key = burial.routing_key.unwrap_or_else(|| self.routing_key());
        let message = self.rewritten(burial.exchange, routing_key, &properties);
        Buried { message, extra_keys }
    }

    /// The same body with other names and properties, and without a time to live.
    pub(super) fn rewritten(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: &BasicProperties,
    ) -> Self {
        let mut block = Vec::with_capacity(self.block.len() + 256);
        block.extend_from_slice(exchange.as_bytes());
        block.extend_from_slice(routing_key.as_bytes());
        let start = block.len();
        properties.encode(&mut block);
        let properties_len = (block.len() - start) as u32;
        block.extend_from_slice(self.body());
        Self {
            block: Bytes::from(block),
            exchange_len: exchange.len() as u8,
            routing_key_len: routing_key.len() as u8,
            properties_len,
            expiration_ms: None,
            ..*self
        }
    }

    /// Whether the letter was in `queue` before and no client rejected it since: it would go round
    /// for ever.
    pub fn died_in_cycle(&self, queue: &str) -> bool {
        let Some(table) = self.headers() else { return false };
        let Some(FieldValue::Array(deaths)) = table.get("x-death").map(|value| value.to_owned())
        else {
            return false;
        };
        let dead_in = |death: &FieldValue| match death {
            FieldValue::Table(death) => is(death.get("queue"), queue),
            _ => false,
        };
        // Only brokers write tables without a rejection: anything else is a client's work.
        let automatic = |death: &FieldValue| match death {
            FieldValue::Table(death) => !is(death.get("reason"), "rejected"),
            _ => false,
        };
        let since = deaths.iter().position(dead_in);
        since.is_some_and(|at| deaths[..=at].iter().all(automatic))
    }
}

pub(super) fn cc_keys(headers: &FieldTable) -> Vec<Name> {
    let Some(FieldValue::Array(keys)) = headers.get("CC") else { return Vec::new() };
    let text = |key: &FieldValue| match key {
        FieldValue::LongStr(bytes) => Some(String::from_utf8_lossy(bytes).into()),
        _ => None,
    };
    keys.iter().filter_map(text).collect()
}

/// Adds a death to the headers: a repeated one is counted and moves to the front.
fn record(
    headers: &mut FieldTable,
    message: &Message,
    burial: &Burial<'_>,
    cc: &[Name],
    expiration: Option<ShortString>,
) {
    let first = headers.get("x-death").is_none();
    let mut deaths = match headers.get("x-death") {
        Some(FieldValue::Array(deaths)) => merged(deaths),
        _ => Vec::new(),
    };
    let repeated = deaths.iter().position(|death| match death {
        FieldValue::Table(death) => {
            is(death.get("queue"), burial.queue) && is(death.get("reason"), burial.reason)
        }
        _ => false,
    });
    let entry = match repeated.map(|at| deaths.remove(at)) {
        Some(FieldValue::Table(mut death)) => {
            let before = death.get("count").and_then(FieldValue::as_integer).unwrap_or(0);
            let count = FieldValue::I64(before.saturating_add(1));
            match death.0.iter_mut().find(|(key, _)| key == "count") {
                Some((_, value)) => *value = count,
                None => death.0.insert(0, ("count".to_owned(), count)),
            }
            death
        }
        _ => first_death(message, burial, cc, expiration),
    };
    deaths.insert(0, FieldValue::Table(entry));
    put(headers, "x-death", FieldValue::Array(deaths));
    if first {
        put(headers, "x-first-death-reason", long_string(burial.reason));
        put(headers, "x-first-death-queue", long_string(burial.queue));
        put(headers, "x-first-death-exchange", long_string(message.exchange()));
    }
}

/// Deaths as they came, each queue and reason once: before they were counted (RabbitMQ 3.5), and in
/// what clients make up, there may be several. Then the first one counts for all, unless it has a
/// count.
fn merged(deaths: &[FieldValue]) -> Vec<FieldValue> {
    let key = |death: &FieldValue| match death {
        FieldValue::Table(death) => {
            Some((death.get("queue").cloned(), death.get("reason").cloned()))
        }
        _ => None,
    };
    if deaths.len() < 2 {
        return deaths.to_vec();
    }
    // Mostly there are a few: a list will do, up to a point.
    let mut found: Vec<(_, i64)> = Vec::new();
    let mut merged: Vec<FieldValue> = Vec::new();
    for death in deaths.iter().take(DEATHS_MAX) {
        let key = key(death);
        match found.iter_mut().find(|(other, _)| key.is_some() && *other == key) {
            Some((_, count)) => *count += 1,
            None => {
                found.push((key, 1));
                merged.push(death.clone());
            }
        }
    }
    for (death, (_, count)) in merged.iter_mut().zip(found) {
        if let FieldValue::Table(death) = death
            && death.get("count").is_none()
        {
            death.0.insert(0, ("count".to_owned(), FieldValue::I64(count)));
        }
    }
    merged
}

fn first_death(
    message: &Message,
    burial: &Burial<'_>,
    cc: &[Name],
    expiration: Option<ShortString>,
) -> FieldTable {
    let keys = std::iter::once(message.routing_key()).chain(cc.iter().map(|key| &**key));
    let mut death = vec![
        ("count".to_owned(), FieldValue::I64(1)),
        ("reason".to_owned(), long_string(burial.reason)),
        ("queue".to_owned(), long_string(burial.queue)),
        ("time".to_owned(), FieldValue::Timestamp(burial.now_secs)),
        ("exchange".to_owned(), long_string(message.exchange())),
        ("routing-keys".to_owned(), FieldValue::Array(keys.map(long_string).collect())),
    ];
    if let Some(expiration) = expiration {
        let text = FieldValue::LongStr(expiration.as_bytes().to_vec());
        death.push(("original-expiration".to_owned(), text));
    }
    FieldTable(death)
}

#[cfg(test)]
mod tests {
    use leveret_wire::amqp091::table::Value;

    use super::super::MessageBuilder;
    use super::*;

    fn death(queue: &str, reason: &str, count: Option<i64>) -> FieldValue {
        let mut table = vec![
            ("queue".to_owned(), long_string(queue)),
            ("reason".to_owned(), long_string(reason)),
        ];
        table.extend(count.map(|count| ("count".to_owned(), FieldValue::I64(count))));
        FieldValue::Table(FieldTable(table))
    }

    /// The deaths of a letter, newest first, as queue, reason and count.
    fn deaths_after(before: Vec<FieldValue>) -> Vec<(String, String, i64)> {
        let headers = FieldTable(vec![("x-death".to_owned(), FieldValue::Array(before))]);
        let properties = BasicProperties { headers: Some(headers), ..BasicProperties::default() };
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        let builder = MessageBuilder::new("x", "key", &raw, 0, Some("guest"), None).unwrap();
        let (queue, reason, exchange, routing_key) = ("q", "expired", "dlx", None);
        let burial = Burial { queue, reason, exchange, routing_key, now_secs: 7 };
        let letter = builder.finish().0.bury(&burial).message;
        let headers = letter.headers().unwrap();
        let FieldValue::Array(deaths) = headers.get("x-death").unwrap().to_owned() else {
            panic!("x-death is no array");
        };
        let text = |value: Option<&FieldValue>| match value {
            Some(FieldValue::LongStr(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?}"),
        };
        let row = |death: &FieldValue| match death {
            FieldValue::Table(death) => {
                let count = death.get("count").and_then(FieldValue::as_integer).unwrap();
                (text(death.get("queue")), text(death.get("reason")), count)
            }
            other => panic!("{other:?}"),
        };
        deaths.iter().map(row).collect()
    }

    #[test]
    fn deaths_from_before_they_were_counted_are_merged() {
        let row = |queue: &str, reason: &str, count| (queue.to_owned(), reason.to_owned(), count);
        let uncounted = ["q", "a", "q", "a", "q"].map(|queue| death(queue, "expired", None));
        let expected = [row("q", "expired", 4), row("a", "expired", 2)];
        assert_eq!(deaths_after(uncounted.to_vec()), expected);
        let counted = vec![death("a", "rejected", None), death("q", "expired", Some(7))];
        let expected = [row("q", "expired", 8), row("a", "rejected", 1)];
        assert_eq!(deaths_after(counted), expected);
        let alone = vec![death("q", "expired", None)];
        assert_eq!(deaths_after(alone), [row("q", "expired", 1)]);
    }

    #[test]
    fn what_clients_write_is_no_automatic_cycle() {
        let cycle = |deaths: Vec<FieldValue>| {
            let headers = FieldTable(vec![("x-death".to_owned(), FieldValue::Array(deaths))]);
            let properties =
                BasicProperties { headers: Some(headers), ..BasicProperties::default() };
            let mut raw = Vec::new();
            properties.encode(&mut raw);
            let builder = MessageBuilder::new("x", "key", &raw, 0, Some("guest"), None).unwrap();
            builder.finish().0.died_in_cycle("q")
        };
        assert!(cycle(vec![death("a", "expired", None), death("q", "maxlen", None)]));
        assert!(!cycle(vec![FieldValue::I64(1), death("q", "maxlen", None)]));
        assert!(cycle(vec![death("q", "maxlen", None), FieldValue::I64(1)]));
    }

    #[test]
    fn bcc_keys_are_not_in_the_record() {
        let keys = |key: &str| FieldValue::Array(vec![long_string(key)]);
        let headers =
            FieldTable(vec![("CC".to_owned(), keys("copy")), ("BCC".to_owned(), keys("blind"))]);
        let properties = BasicProperties { headers: Some(headers), ..BasicProperties::default() };
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        let builder = MessageBuilder::new("x", "key", &raw, 0, Some("guest"), None).unwrap();
        let (queue, reason, exchange, routing_key) = ("q", "expired", "dlx", None);
        let burial = Burial { queue, reason, exchange, routing_key, now_secs: 7 };
        let letter = builder.finish().0.bury(&burial).message;
        let Some(FieldValue::Array(deaths)) =
            letter.headers().unwrap().get("x-death").map(|value| value.to_owned())
        else {
            panic!("x-death is no array");
        };
        let FieldValue::Table(death) = &deaths[0] else { panic!("a death is no table") };
        let expected = FieldValue::Array(vec![long_string("key"), long_string("copy")]);
        assert_eq!(death.get("routing-keys"), Some(&expected));
    }

    #[test]
    fn binary_properties_survive_death() {
        let raw = b"\x05\x80\x02\xff\x00\x0260\x03\xc3\x28\xfe";
        let builder = MessageBuilder::new("x", "key", raw, 0, Some("guest"), None).unwrap();
        let (queue, reason, exchange, routing_key) = ("q", "expired", "dlx", None);
        let burial = Burial { queue, reason, exchange, routing_key, now_secs: 7 };
        let letter = builder.finish().0.bury(&burial).message;
        let properties = Properties::parse(letter.properties()).unwrap();
        assert_eq!(properties.correlation_id.unwrap().as_bytes(), b"\xff\x00");
        assert_eq!(properties.message_id.unwrap().as_bytes(), b"\xc3\x28\xfe");
        assert_eq!(properties.expiration, None);
        let Some(Value::Array(deaths)) = properties.headers.unwrap().get("x-death") else {
            panic!("there is no x-death");
        };
        let Some(Value::Table(death)) = deaths.iter().next() else { panic!("it is empty") };
        assert_eq!(death.get("original-expiration"), Some(Value::LongStr(b"60")));
    }
}
