//! The header `x-delivery-count` of quorum queues (RabbitMQ: Quorum Queues, "Poison Message
//! Handling"): only what a client gets has it, never what is kept or dies.

use leveret_wire::amqp091::properties::{BasicProperties, Properties};
use leveret_wire::amqp091::table::FieldValue;

use super::Message;

const NAME: &str = "x-delivery-count";

impl Message {
    /// The message as it goes to a client that is to know how often it came back before, whatever
    /// its publisher claimed. The body is copied.
    pub(crate) fn with_delivery_count(&self, returns: u32) -> Self {
        let mut properties = Properties::parse(self.properties())
            .map(|parsed| BasicProperties::from(&parsed))
            .unwrap_or_default();
        let mut headers = properties.headers.take().unwrap_or_default();
        headers.0.retain(|(key, _)| key != NAME);
        headers.0.push((NAME.to_owned(), FieldValue::I64(returns.into())));
        headers.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        properties.headers = Some(headers);
        let counted = self.rewritten(self.exchange(), self.routing_key(), &properties);
        Self { expiration_ms: self.expiration_ms, ..counted }
    }
}

#[cfg(test)]
mod tests {
    use leveret_wire::amqp091::table::{FieldTable, Value};

    use super::super::MessageBuilder;
    use super::*;

    #[test]
    fn the_count_takes_the_place_of_a_claimed_one_and_all_else_stays() {
        let claimed = [("z", 1), (NAME, 7), ("a", 2)];
        let claimed = claimed.map(|(key, value)| (key.to_owned(), FieldValue::I32(value)));
        let headers = Some(FieldTable(claimed.to_vec()));
        let mut raw = Vec::new();
        BasicProperties { headers, priority: Some(3), ..BasicProperties::default() }
            .encode(&mut raw);
        let mut builder = MessageBuilder::new("x", "key", &raw, 4, Some("guest"), None).unwrap();
        builder.push(b"body").unwrap();
        let message = builder.finish().0;

        let counted = message.with_delivery_count(2);
        let names = (counted.exchange(), counted.routing_key(), counted.body());
        assert_eq!(names, ("x", "key", &b"body"[..]));
        assert_eq!(counted.priority, 3);
        let table = counted.headers().unwrap();
        assert_eq!(table.get(NAME), Some(Value::I64(2)));
        assert_eq!((table.get("a"), table.get("z")), (Some(Value::I32(2)), Some(Value::I32(1))));
        assert_eq!(message.headers().unwrap().get(NAME), Some(Value::I32(7)), "what is kept");
    }
}
