//! What the server says of itself in `connection.start` (RabbitMQ's keys and capabilities).

use leveret_wire::amqp091::table::{FieldTable, FieldValue};

use crate::options::Options;

/// RabbitMQ's nine capabilities.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// The server properties.
pub(super) fn server_properties(options: &Options, cluster_name: &str) -> FieldTable {
    let text = |text: &str| FieldValue::LongStr(text.as_bytes().to_vec());
    let on = |name: &&str| ((*name).to_owned(), FieldValue::Bool(true));
    let capabilities = FieldTable(CAPABILITIES.iter().map(on).collect());
    FieldTable(vec![
        ("capabilities".to_owned(), FieldValue::Table(capabilities)),
        ("cluster_name".to_owned(), text(cluster_name)),
        ("copyright".to_owned(), text("The Leveret founders")),
        ("information".to_owned(), text("Licensed under the Apache License 2.0")),
        ("platform".to_owned(), text("Rust")),
        ("product".to_owned(), text(&options.product)),
        ("version".to_owned(), text(env!("CARGO_PKG_VERSION"))),
    ])
}
