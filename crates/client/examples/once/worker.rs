//! Who moves payments: for each one transaction, which acknowledges it here and publishes it there.

use std::time::Duration;

use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::{Connection, ConsumeOptions, Error, Incoming, Publish};

use super::{SOURCE, TARGET};

/// Works until it is killed, or the broker is gone.
pub fn run(uri: &str) -> Result<(), Error> {
    let mut connection = Connection::connect(uri)?;
    let channel = connection.open_channel()?;
    connection.call(channel, &Method::TxSelect {})?;
    connection.qos(channel, 32)?;
    connection.consume(channel, SOURCE, &ConsumeOptions::default())?;
    loop {
        let Some(Incoming::Delivery(delivery)) = connection.next(Duration::from_secs(3600))? else {
            return Ok(());
        };
        let properties = BasicProperties { delivery_mode: Some(2), ..BasicProperties::default() };
        let booking = Publish {
            exchange: "",
            routing_key: TARGET,
            mandatory: false,
            properties,
            body: &delivery.body,
        };
        connection.publish(channel, &booking)?;
        connection.ack(channel, delivery.delivery_tag, false)?;
        connection.call(channel, &Method::TxCommit {})?;
    }
}
