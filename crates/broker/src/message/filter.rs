//! Picking messages by what is in their properties and headers, for who looks through a queue.

use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::properties::Properties;
use leveret_wire::amqp091::table::{FieldTable, FieldValue};

use super::Message;

/// What of a message is looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// The exchange that it was published to.
    Exchange,
    /// The routing key that it was published with.
    RoutingKey,
    /// A property by its name in the protocol, such as `message-id` or `priority`.
    Property(String),
    /// A header by its name.
    Header(String),
    /// The reasons in `x-death`; any of them.
    DeathReason,
    /// The queues in `x-death`; any of them.
    DeathQueue,
}

/// What is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// It is there.
    Exists,
    /// It has this value; numbers of any width are compared as numbers.
    Equals(FieldValue),
    /// It reads like this: the text, or the number or truth that is written so.
    Reads(String),
    /// It is text that has this in it.
    Contains(String),
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Of what.
    pub field: Field,
    /// What.
    pub comparison: Comparison,
}

/// Conditions that all must hold; none is every message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(pub Vec<Condition>);

impl Filter {
    /// Whether a message is one of those.
    pub fn matches(&self, message: &Message) -> bool {
        let Some(first) = self.0.first() else { return true };
        // Names need no look at the properties.
        let parsed = match (&first.field, self.0.len()) {
            (Field::Exchange | Field::RoutingKey, 1) => BasicProperties::default(),
            _ => Properties::parse(message.properties())
                .map(|parsed| BasicProperties::from(&parsed))
                .unwrap_or_default(),
        };
        self.0.iter().all(|condition| {
            let values = values(message, &parsed, &condition.field);
            values.iter().any(|value| holds(&condition.comparison, value))
        })
    }
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(text.as_bytes().to_vec())
}

fn values(message: &Message, properties: &BasicProperties, field: &Field) -> Vec<FieldValue> {
    match field {
        Field::Exchange => vec![text(message.exchange())],
        Field::RoutingKey => vec![text(message.routing_key())],
        Field::Property(name) => property(properties, name).into_iter().collect(),
        Field::Header(name) => {
            let headers = properties.headers.as_ref();
            headers.and_then(|headers| headers.get(name)).cloned().into_iter().collect()
        }
        Field::DeathReason => deaths(properties, "reason"),
        Field::DeathQueue => deaths(properties, "queue"),
    }
}

fn property(properties: &BasicProperties, name: &str) -> Option<FieldValue> {
    let text = match name {
        "content-type" => &properties.content_type,
        "content-encoding" => &properties.content_encoding,
        "correlation-id" => &properties.correlation_id,
        "reply-to" => &properties.reply_to,
        "expiration" => &properties.expiration,
        "message-id" => &properties.message_id,
        "type" => &properties.r#type,
        "user-id" => &properties.user_id,
        "app-id" => &properties.app_id,
        "cluster-id" => &properties.cluster_id,
        "delivery-mode" => {
            return properties.delivery_mode.map(|mode| FieldValue::I64(mode.into()));
        }
        "priority" => return properties.priority.map(|level| FieldValue::I64(level.into())),
        "timestamp" => return properties.timestamp.map(FieldValue::Timestamp),
        _ => return None,
    };
    text.as_ref().map(|text| FieldValue::LongStr(text.as_bytes().to_vec()))
}

fn death_tables(headers: &FieldTable) -> impl Iterator<Item = &FieldTable> {
    let deaths = match headers.get("x-death") {
        Some(FieldValue::Array(deaths)) => deaths.as_slice(),
        _ => &[],
    };
    deaths.iter().filter_map(|death| match death {
        FieldValue::Table(death) => Some(death),
        _ => None,
    })
}

fn deaths(properties: &BasicProperties, key: &str) -> Vec<FieldValue> {
    let Some(headers) = &properties.headers else { return Vec::new() };
    death_tables(headers).filter_map(|death| death.get(key)).cloned().collect()
}

fn bytes(value: &FieldValue) -> Option<&[u8]> {
    match value {
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn number(value: &FieldValue) -> Option<i64> {
    match value {
        FieldValue::Timestamp(seconds) => i64::try_from(*seconds).ok(),
        other => other.as_integer(),
    }
}

fn holds(comparison: &Comparison, value: &FieldValue) -> bool {
    match comparison {
        Comparison::Exists => true,
        Comparison::Equals(wanted) => {
            let same_bytes = bytes(wanted).is_some() && bytes(wanted) == bytes(value);
            let same_number = number(wanted).is_some() && number(wanted) == number(value);
            wanted == value || same_bytes || same_number
        }
        Comparison::Reads(text) => match value {
            FieldValue::Bool(on) => text == if *on { "true" } else { "false" },
            other => match bytes(other) {
                Some(bytes) => bytes == text.as_bytes(),
                None => number(other).is_some_and(|number| number.to_string() == *text),
            },
        },
        Comparison::Contains(part) => {
            let part = part.as_bytes();
            bytes(value).is_some_and(|bytes| {
                part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
            })
        }
    }
}

impl Message {
    /// The same message for another exchange and routing key, which are at most 255 bytes long.
    pub(crate) fn addressed(&self, exchange: &str, routing_key: &str) -> Self {
        let rest = &self.block[self.properties_start()..];
        let mut block = Vec::with_capacity(exchange.len() + routing_key.len() + rest.len());
        block.extend_from_slice(exchange.as_bytes());
        block.extend_from_slice(routing_key.as_bytes());
        block.extend_from_slice(rest);
        let (exchange_len, routing_key_len) = (exchange.len() as u8, routing_key.len() as u8);
        Self { block: block.into(), exchange_len, routing_key_len, ..*self }
    }

    /// A dead letter as it was before its first death, and the queue where that was; none if it
    /// does not say. Its time to live stays off, or it would die again at once.
    pub(crate) fn revived(&self) -> Option<(String, Self)> {
        let parsed = Properties::parse(self.properties()).ok()?;
        let mut properties = BasicProperties::from(&parsed);
        let headers = properties.headers.as_mut()?;
        let name = |value: Option<&FieldValue>| {
            let text = std::str::from_utf8(bytes(value?)?).ok()?;
            (text.len() <= 255).then(|| text.to_owned())
        };
        let queue = name(headers.get("x-first-death-queue"))?;
        let exchange = name(headers.get("x-first-death-exchange"))?;
        let first = death_tables(headers).last();
        let keys = first.and_then(|death| death.get("routing-keys"));
        let key = match keys {
            Some(FieldValue::Array(keys)) => name(keys.first()),
            _ => None,
        };
        let key = key.unwrap_or_else(|| self.routing_key().to_owned());
        let is_record = |key: &str| {
            key == "x-death"
                || key.starts_with("x-first-death-")
                || key.starts_with("x-last-death-")
        };
        headers.0.retain(|(key, _)| !is_record(key));
        if headers.0.is_empty() {
            properties.headers = None;
        }
        Some((queue, self.rewritten(&exchange, &key, &properties)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageBuilder;

    fn message(properties: &BasicProperties) -> Message {
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        MessageBuilder::new("orders", "eu.new", &raw, 0, Some("guest"), None).unwrap().finish().0
    }

    fn headers(pairs: &[(&str, FieldValue)]) -> BasicProperties {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        BasicProperties { headers: Some(FieldTable(pairs.collect())), ..BasicProperties::default() }
    }

    fn found(message: &Message, field: Field, comparison: Comparison) -> bool {
        Filter(vec![Condition { field, comparison }]).matches(message)
    }

    #[test]
    fn conditions_look_at_names_properties_and_headers() {
        let mut properties = headers(&[("retries", FieldValue::I32(3)), ("city", text("Riga"))]);
        properties.message_id = Some("m-17".into());
        properties.priority = Some(4);
        let one = message(&properties);
        let equals = |value| Comparison::Equals(value);
        let contains = |part: &str| Comparison::Contains(part.to_owned());
        let property = |name: &str| Field::Property(name.to_owned());
        let header = |name: &str| Field::Header(name.to_owned());
        assert!(found(&one, Field::Exchange, equals(text("orders"))));
        assert!(found(&one, Field::RoutingKey, contains("eu.")));
        assert!(!found(&one, Field::RoutingKey, contains("us.")));
        assert!(found(&one, property("message-id"), equals(text("m-17"))));
        assert!(found(&one, property("priority"), equals(FieldValue::I32(4))));
        assert!(!found(&one, property("app-id"), Comparison::Exists));
        assert!(!found(&one, property("nothing"), Comparison::Exists));
        assert!(found(&one, header("retries"), equals(FieldValue::I64(3))));
        assert!(!found(&one, header("retries"), contains("3")));
        assert!(found(&one, header("city"), contains("")));
        let both = |city: &str| {
            let field = header("city");
            let city = Condition { field, comparison: equals(text(city)) };
            let field = header("retries");
            Filter(vec![city, Condition { field, comparison: Comparison::Exists }])
        };
        assert!(both("Riga").matches(&one) && !both("Oslo").matches(&one));
        assert!(Filter::default().matches(&message(&BasicProperties::default())));
    }

    #[test]
    fn the_dead_are_found_by_any_of_their_deaths_and_revived_as_before_the_first() {
        let burial = |queue, reason| super::super::Burial {
            queue,
            reason,
            exchange: "dlx",
            routing_key: Some("dead"),
            now_secs: 7,
        };
        let before = message(&headers(&[("mine", text("kept"))]));
        let first = before.bury(&burial("q1", "expired")).message;
        let second = first.bury(&burial("q2", "rejected")).message;
        for (queue, there) in [("q1", true), ("q2", true), ("q3", false)] {
            assert_eq!(found(&second, Field::DeathQueue, Comparison::Equals(text(queue))), there);
        }
        assert!(found(&second, Field::DeathReason, Comparison::Equals(text("expired"))));
        let (queue, revived) = second.revived().unwrap();
        assert_eq!((queue.as_str(), &revived), ("q1", &before));
        assert!(before.revived().is_none());
        let moved = before.addressed("", "elsewhere");
        assert_eq!((moved.exchange(), moved.routing_key()), ("", "elsewhere"));
        assert_eq!((moved.properties(), moved.body()), (before.properties(), before.body()));
    }
}
