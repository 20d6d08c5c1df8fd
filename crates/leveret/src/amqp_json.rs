//! What AMQP carries, as JSON: properties and field tables.

use leveret_client::wire::amqp091::properties::{BasicProperties, ShortString};
use leveret_client::wire::amqp091::table::{FieldTable, FieldValue};
use serde_json::{Map, Value, json};

/// The properties that are there.
pub fn properties(properties: &BasicProperties) -> Value {
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| lossy(text.as_bytes()));
    let all = [
        ("content_type", text(&properties.content_type)),
        ("content_encoding", text(&properties.content_encoding)),
        ("headers", properties.headers.as_ref().map(table)),
        ("delivery_mode", properties.delivery_mode.map(Value::from)),
        ("priority", properties.priority.map(Value::from)),
        ("correlation_id", text(&properties.correlation_id)),
        ("reply_to", text(&properties.reply_to)),
        ("expiration", text(&properties.expiration)),
        ("message_id", text(&properties.message_id)),
        ("timestamp", properties.timestamp.map(Value::from)),
        ("type", text(&properties.r#type)),
        ("user_id", text(&properties.user_id)),
        ("app_id", text(&properties.app_id)),
        ("cluster_id", text(&properties.cluster_id)),
    ];
    let there = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

/// Text as it is; what is no UTF-8 is replaced.
fn lossy(bytes: &[u8]) -> Value {
    Value::from(String::from_utf8_lossy(bytes))
}

/// A field table, as RabbitMQ's management API shows one.
pub fn table(fields: &FieldTable) -> Value {
    Value::Object(fields.iter().map(|(key, value)| (key.to_owned(), field(value))).collect())
}

fn field(value: &FieldValue) -> Value {
    match value {
        FieldValue::Bool(value) => json!(value),
        FieldValue::F32(value) => json!(value),
        FieldValue::F64(value) => json!(value),
        FieldValue::Decimal { scale, value } => {
            json!(f64::from(*value) / 10_f64.powi(i32::from(*scale)))
        }
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => lossy(bytes),
        FieldValue::Array(items) => Value::Array(items.iter().map(field).collect()),
        FieldValue::Timestamp(seconds) => json!(seconds),
        FieldValue::Table(fields) => table(fields),
        FieldValue::Void => Value::Null,
        number => json!(number.as_integer()),
    }
}
