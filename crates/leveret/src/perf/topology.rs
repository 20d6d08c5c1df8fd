//! What is there before the first message: queues, exchange, bindings, and a connection for each
//! producer and consumer.

use std::sync::Arc;

use anyhow::Context;
use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::table::Table;
use leveret_client::{Channel, Connection, ExchangeOptions, Options, QueueOptions, Uri};

use super::arguments::PerfArgs;
use super::batch::{Batch, Kind};
use super::consumer::{Consumer, Reading};
use super::producer::{Pace, Producer};
use super::settler::Settler;
use super::tally::{Latencies, Shared};
use super::window::Window;

/// A connection with its one channel.
#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    channel: Channel,
}

impl Link {
    fn new(uri: &Uri, role: &str, receive_bytes: usize) -> anyhow::Result<Link> {
        let mut connection = connect(uri, role, receive_bytes)?;
        let channel = connection.open_channel()?;
        Ok(Link { connection, channel })
    }
}

/// Names of the queues, and the connection that declared them.
#[derive(Debug)]
pub(super) struct Topology<'a> {
    arguments: &'a PerfArgs,
    uri: Uri,
    queues: Vec<String>,
    control: Connection,
    channel: Channel,
}

impl<'a> Topology<'a> {
    /// Declares everything.
    pub(super) fn declare(arguments: &'a PerfArgs) -> anyhow::Result<Topology<'a>> {
        let uri: Uri = arguments.uri.parse()?;
        let queues: Vec<_> =
            (1..=arguments.queues).map(|n| format!("{}-{n}", arguments.queue)).collect();
        let mut control = connect(&uri, "control", 64 << 10)?;
        let channel = control.open_channel()?;
        let durable = arguments.durable;
        if !arguments.exchange.is_empty() {
            let options = ExchangeOptions { durable, ..ExchangeOptions::default() };
            let (exchange, kind) = (&arguments.exchange, &arguments.exchange_type);
            control.declare_exchange(channel, exchange, kind, &options)?;
        }
        let table = arguments.queue_arguments();
        let options = QueueOptions { durable, arguments: table, ..QueueOptions::default() };
        for queue in &queues {
            control.declare_queue(channel, queue, &options)?;
            if !arguments.exchange.is_empty() {
                let key = arguments.routing_key.as_ref().unwrap_or(queue);
                control.bind_queue(channel, queue, &arguments.exchange, key)?;
            }
        }
        Ok(Topology { arguments, uri, queues, control, channel })
    }

    /// The queues of one of `count` connections: each queue has one if there are enough
    /// connections, each connection has one if there are enough queues.
    fn share(&self, index: usize, count: usize) -> Vec<String> {
        let (queues, count) = (self.queues.len().max(1), count.max(1));
        let own = self.queues.iter().skip(index % queues).step_by(count.min(queues));
        let all = queues > count;
        own.take(if all { queues } else { 1 }).cloned().collect()
    }

    /// Connects all producers, before any time is taken.
    pub(super) fn connect_producers(&self) -> anyhow::Result<Vec<Link>> {
        let connect = |index| {
            let mut link = Link::new(&self.uri, &format!("producer-{index}"), 64 << 10)?;
            if self.arguments.confirm.is_some() {
                link.connection.confirm_select(link.channel)?;
            }
            Ok(link)
        };
        (0..self.arguments.producers).map(connect).collect()
    }

    /// Connects all consumers; they do not consume yet.
    pub(super) fn connect_consumers(&self) -> anyhow::Result<Vec<Link>> {
        let arguments = self.arguments;
        let connect = |index| {
            let name = format!("consumer-{index}");
            let mut link = Link::new(&self.uri, &name, arguments.read_bytes)?;
            if arguments.qos > 0 {
                link.connection.qos(link.channel, arguments.qos)?;
            }
            Ok(link)
        };
        (0..arguments.consumers).map(connect).collect()
    }

    /// A producer and what reads its confirms.
    pub(super) fn producer(
        &self,
        link: Link,
        index: usize,
        shared: &Arc<Shared>,
    ) -> anyhow::Result<(Producer, Settler)> {
        let arguments = self.arguments;
        let window = arguments.confirm.map(|size| Arc::new(Window::new(size)));
        let keys = match &arguments.routing_key {
            Some(key) => vec![key.clone()],
            None => self.share(index, arguments.producers),
        };
        let kind = Kind {
            exchange: &arguments.exchange,
            mandatory: arguments.mandatory,
            persistent: arguments.persistent,
            size: arguments.size,
            frame_max: link.connection.frame_max(),
        };
        let batch = Batch::new(link.channel, &kind, &keys, arguments.write_bytes);
        let share = index as f64 / arguments.producers as f64;
        let pace = arguments.rate.map(|rate| Pace::new(shared.start_ns, rate, share));
        let (sender, receiver) = link.connection.split()?;
        let limit = limit_of(arguments.messages, index, arguments.producers);
        let (shared, latencies) = (Arc::clone(shared), Latencies::new(shared.measure_from_ns)?);
        let settler =
            Settler { receiver, window: window.clone(), shared: Arc::clone(&shared), latencies };
        Ok((Producer { sender, batch, pace, window, limit, shared, sent: 0 }, settler))
    }

    /// A consumer, which begins to consume when it is run.
    pub(super) fn consumer(
        &self,
        link: Link,
        index: usize,
        shared: &Arc<Shared>,
    ) -> anyhow::Result<Consumer> {
        let arguments = self.arguments;
        let mut opening = Vec::new();
        for queue in self.share(index, arguments.consumers) {
            let consume = Method::BasicConsume {
                queue: &queue,
                consumer_tag: &format!("{queue}-{index}"),
                no_local: false,
                no_ack: arguments.auto_ack,
                exclusive: false,
                no_wait: true,
                arguments: Table::EMPTY,
            };
            consume.encode_frame(link.channel.0, &mut opening);
        }
        let (sender, receiver) = link.connection.split()?;
        let ack_every = if arguments.auto_ack { 0 } else { arguments.ack_every() };
        let reading = Reading::new(ack_every, Latencies::new(shared.measure_from_ns)?);
        Ok(Consumer { sender, receiver, opening, reading, shared: Arc::clone(shared) })
    }

    /// Deletes what was declared, unless it is to be kept.
    pub(super) fn remove(mut self) -> anyhow::Result<()> {
        if !self.arguments.keep {
            for queue in &self.queues {
                self.control.delete_queue(self.channel, queue)?;
            }
            let exchange = &self.arguments.exchange;
            if !exchange.is_empty() && !exchange.starts_with("amq.") {
                self.control.delete_exchange(self.channel, exchange)?;
            }
        }
        Ok(self.control.close()?)
    }
}

/// How many of `messages` fall to one of `count` producers.
fn limit_of(messages: Option<u64>, index: usize, count: usize) -> u64 {
    let (index, count) = (index as u64, count.max(1) as u64);
    messages.map_or(u64::MAX, |all| all / count + u64::from(index < all % count))
}

fn connect(uri: &Uri, role: &str, receive_bytes: usize) -> anyhow::Result<Connection> {
    let name = format!("leveret perf {role}");
    let options = Options { name, receive_bytes, ..Options::default() };
    Connection::connect_with(uri, &options)
        .with_context(|| format!("connecting to {}:{}", uri.host, uri.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_without_a_rest() {
        assert_eq!((0..3).map(|i| limit_of(Some(11), i, 3)).collect::<Vec<_>>(), [4, 4, 3]);
        assert_eq!(limit_of(None, 0, 3), u64::MAX);
    }
}
