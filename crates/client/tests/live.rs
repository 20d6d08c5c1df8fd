//! The client against a broker that runs: `LEVERET_TEST_URI=amqp://… cargo test -- --ignored`.

use std::time::Duration;

use leveret_client::{Connection, ConsumeOptions, Error, ExchangeOptions, Incoming};
use leveret_client::{Publish, QueueOptions};
use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::table::FieldTable;

const WAIT: Duration = Duration::from_secs(10);

#[test]
#[ignore = "needs a broker at LEVERET_TEST_URI"]
fn a_message_goes_all_the_way() {
    let uri = std::env::var("LEVERET_TEST_URI").expect("LEVERET_TEST_URI is set");
    let mut connection = Connection::connect(&uri).expect("connected");
    let channel = connection.open_channel().expect("opened");
    let passing = ExchangeOptions { auto_delete: true, ..ExchangeOptions::default() };
    connection.declare_exchange(channel, "client-live", "topic", &passing).expect("declared");
    let own = QueueOptions { exclusive: true, ..QueueOptions::default() };
    let queue = connection.declare_queue(channel, "", &own).expect("declared").queue;
    connection.bind_queue(channel, &queue, "client-live", "a.*").expect("bound");
    connection.confirm_select(channel).expect("confirm mode");

    let headers: FieldTable = [("one", 1i64)].into_iter().collect();
    let properties = BasicProperties { headers: Some(headers), ..BasicProperties::default() };
    let body = vec![7; 300_000];
    let (exchange, routing_key) = ("client-live", "a.b");
    let message = Publish { exchange, routing_key, properties, body: &body, ..Publish::default() };
    assert_eq!(connection.publish(channel, &message).expect("published"), 1);
    let lost = Publish { exchange, routing_key: "c", mandatory: true, ..Publish::default() };
    assert_eq!(connection.publish(channel, &lost).expect("published"), 2);
    connection.wait_for_confirms(channel).expect("both are confirmed");

    let got = connection.get(channel, &queue, false).expect("asked").expect("there is one");
    assert_eq!(got.body, body);
    connection.nack(channel, got.delivery_tag, false, true).expect("sent back");
    connection.consume(channel, &queue, &ConsumeOptions::default()).expect("consuming");
    let (mut again, mut returned) = (None, None);
    while again.is_none() || returned.is_none() {
        match connection.next(WAIT).expect("connected").expect("in time") {
            Incoming::Delivery(delivery) => again = Some(delivery),
            Incoming::Returned(message) => returned = Some(message),
            _ => {}
        }
    }
    let again = again.expect("it came");
    assert!(again.redelivered);
    assert_eq!(again.properties, message.properties);
    assert_eq!(returned.expect("it came").reply_code, 312);
    connection.ack(channel, again.delivery_tag, false).expect("acknowledged");
    connection.cancel(channel, &again.consumer_tag).expect("cancelled");
    assert_eq!(connection.delete_queue(channel, &queue).expect("deleted"), 0);

    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    let error = connection.declare_queue(channel, "client-live-none", &passive);
    assert!(matches!(error, Err(Error::ChannelClosed { closed, .. }) if closed.reply_code == 404));
    connection.open_channel().expect("the connection lives");
    connection.close().expect("closed");
}
