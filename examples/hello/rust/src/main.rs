//! Publishes a message, waits for the broker's confirm, and consumes it.

use std::error::Error;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::var("AMQP_URL");
    let uri = uri.unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2F".to_owned());
    let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("hello.rust".into(), durable, FieldTable::default()).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;

    let persistent = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let published = channel
        .basic_publish("".into(), "hello.rust".into(), options, b"Hello, Leveret", persistent)
        .await?;
    published.await?; // now it is on disk

    let options = BasicConsumeOptions::default();
    let consuming =
        channel.basic_consume("hello.rust".into(), "".into(), options, FieldTable::default());
    let delivery = consuming.await?.next().await.ok_or("the consumer was cancelled")??;
    println!("received {}", String::from_utf8_lossy(&delivery.data));
    delivery.ack(BasicAckOptions::default()).await?;
    connection.close(200, "bye".into()).await?;
    Ok(())
}
