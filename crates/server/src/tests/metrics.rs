//! Metrics of a server that is used: what clients do is counted, and stays counted.

use std::collections::BTreeMap;

use leveret_client::{Channel, Connection, ConsumeOptions, Incoming, Publish, QueueOptions};

use super::*;
use crate::options::AutoPort;

/// The samples of a page, with their labels as they stand there.
fn scrape(address: SocketAddr, path: &str) -> BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(pair).collect()
}

fn publish(client: &mut Connection, channel: Channel, routing_key: &str, count: usize) {
    for _ in 0..count {
        client
            .publish(channel, &Publish { routing_key, body: b"x", ..Publish::default() })
            .unwrap();
    }
    client.wait_for_confirms(channel).unwrap();
}

/// Seven confirmed publishes to one queue and three to none, four deliveries with two acks, a get
/// and one that finds nothing.
fn use_it(address: SocketAddr) -> Connection {
    let mut client = Connection::connect(&format!("amqp://somebody:guest@{address}")).unwrap();
    let channel = client.open_channel().unwrap();
    client.declare_queue(channel, "a", &QueueOptions::default()).unwrap();
    client.declare_queue(channel, "empty", &QueueOptions::default()).unwrap();
    client.confirm_select(channel).unwrap();
    publish(&mut client, channel, "a", 7);
    publish(&mut client, channel, "nowhere", 3);
    assert!(client.get(channel, "a", true).unwrap().is_some());
    assert!(client.get(channel, "empty", true).unwrap().is_none());
    client.qos(channel, 4).unwrap();
    client.consume(channel, "a", &ConsumeOptions::default()).unwrap();
    let mut tags = Vec::new();
    while tags.len() < 4 {
        match client.next(Duration::from_secs(20)).unwrap() {
            Some(Incoming::Delivery(delivery)) => tags.push(delivery.delivery_tag),
            Some(Incoming::Ack { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    client.ack(channel, tags[1], true).unwrap();
    client.flush().unwrap();
    client
}

const GLOBAL: [(&str, f64); 11] = [
    ("rabbitmq_global_messages_received_total{protocol=\"amqp091\"}", 10.0),
    ("rabbitmq_global_messages_received_confirm_total{protocol=\"amqp091\"}", 10.0),
    ("rabbitmq_global_messages_confirmed_total{protocol=\"amqp091\"}", 10.0),
    ("rabbitmq_global_messages_routed_total{protocol=\"amqp091\"}", 7.0),
    ("rabbitmq_global_messages_unroutable_dropped_total{protocol=\"amqp091\"}", 3.0),
    ("rabbitmq_channel_messages_published_total", 10.0),
    ("rabbitmq_channel_get_total", 1.0),
    ("rabbitmq_channel_get_empty_total", 1.0),
    ("rabbitmq_channel_messages_acked_total", 2.0),
    ("rabbitmq_connections_opened_total", 1.0),
    ("leveret_confirm_seconds_count", 10.0),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_is_done_and_do_not_fall() {
    let data = DataDir::new("metrics");
    let options = Options { metrics_port: AutoPort::Number(0), ..data.options() };
    let server = Server::start(options).await.unwrap();
    let (amqp, metrics) = (server.amqp_addresses()[0], server.metrics_address().unwrap());
    let test = move || {
        let client = use_it(amqp);
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let settled = "rabbitmq_queue_messages_unacked";
        // Two are acknowledged, and two more come; the acks take a moment.
        let mut seen = scrape(metrics, "/metrics");
        while seen["leveret_queue_time_seconds_count"] < 7.0 {
            assert!(std::time::Instant::now() < deadline, "{seen:?}");
            seen = scrape(metrics, "/metrics");
        }
        for (name, value) in GLOBAL {
            assert_eq!(seen[name], value, "{name}");
        }
        assert_eq!((seen[settled], seen["rabbitmq_queue_messages_ready"]), (4.0, 0.0));
        assert_eq!((seen["rabbitmq_connections"], seen["rabbitmq_consumers"]), (1.0, 1.0));
        assert_eq!(seen["rabbitmq_global_publishers{protocol=\"amqp091\"}"], 1.0);
        assert_eq!(seen["leveret_queue_time_seconds_count"], 7.0);
        assert!(seen["leveret_confirm_seconds_sum"] > 0.0);
        let objects = scrape(metrics, "/metrics/per-object");
        let labels = "{vhost=\"/\",queue=\"a\"}";
        assert_eq!(objects[&format!("rabbitmq_queue_messages_unacked{labels}")], 4.0);
        assert_eq!(objects[&format!("rabbitmq_queue_messages_acked_total{labels}")], 2.0);
        let before = seen;
        client.close().unwrap();
        let mut after = scrape(metrics, "/metrics");
        while after["rabbitmq_connections_closed_total"] < 1.0 {
            assert!(std::time::Instant::now() < deadline, "{after:?}");
            after = scrape(metrics, "/metrics");
        }
        for (name, value) in &before {
            let counts = name.split('{').next().unwrap().ends_with("_total");
            assert!(!counts || after[name] >= *value, "{name}: {value} {}", after[name]);
        }
        assert_eq!((after["rabbitmq_connections"], after["rabbitmq_channels"]), (0.0, 0.0));
        for (name, value) in GLOBAL {
            assert_eq!(after[name], value, "{name} once all is closed");
        }
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    server.shutdown().await;
}
