//! The client's side: the bytes that connections send before and while they are counted.

use leveret_client::{Channel, Publish};
use leveret_server::hot_path::{Peer, World};
use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::frame::{Decoder, Event};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::table::{FieldTable, Table};

/// The largest frame, in bytes.
const FRAME_MAX: u32 = 131_072;

/// Sends methods of one channel.
pub struct Client {
    pub peer: Peer,
    /// Makes durable what answers may wait for.
    commit: Box<dyn Fn()>,
}

impl Client {
    /// An open connection with channel 1 open.
    pub fn open(world: &World, commit: impl Fn() + 'static) -> Self {
        let mut client = Self { peer: world.connect(), commit: Box::new(commit) };
        client.peer.receive(&PROTOCOL_HEADER);
        let (response, empty) = ("\0guest\0guest", Table::EMPTY);
        client.call(
            0,
            &Method::ConnectionStartOk {
                client_properties: empty,
                mechanism: "PLAIN",
                response: response.as_bytes(),
                locale: "en_US",
            },
        );
        let tune = Method::ConnectionTuneOk { channel_max: 10, frame_max: FRAME_MAX, heartbeat: 0 };
        client.send(0, &tune);
        client.call(0, &Method::ConnectionOpen { virtual_host: "/" });
        client.call(1, &Method::ChannelOpen {});
        client
    }

    fn send(&mut self, channel: u16, method: &Method<'_>) {
        let mut bytes = Vec::new();
        method.encode_frame(channel, &mut bytes);
        assert_eq!(self.peer.receive(&bytes), bytes.len(), "{} is read", method.name());
    }

    /// Sends a method, which must be answered by its own `-ok`.
    fn call(&mut self, channel: u16, method: &Method<'_>) {
        self.send(channel, method);
        (self.commit)();
        let answers = self.peer.answers();
        let mut rest = &answers[..];
        let mut last = String::new();
        let mut decoder = Decoder::new(0);
        while let Some(event) = decoder.next(&mut rest).expect("the server's frames are right") {
            let Event::Method { payload, .. } = event else { continue };
            last = Method::decode(payload).expect("and its methods").name().to_owned();
        }
        let refused = last.ends_with(".close") || last.is_empty();
        assert!(!refused, "{} was answered by {last:?}", method.name());
    }

    pub fn declare_queue(&mut self, queue: &str, durable: bool, arguments: &FieldTable) {
        let (passive, exclusive, auto_delete, no_wait) = (false, false, false, false);
        let content = arguments.to_content();
        let arguments = Table::parse(&content).expect("it was encoded just now");
        self.call(
            1,
            &Method::QueueDeclare {
                queue,
                passive,
                durable,
                exclusive,
                auto_delete,
                no_wait,
                arguments,
            },
        );
    }

    pub fn bind(&mut self, queue: &str, exchange: &str, routing_key: &str) {
        let (no_wait, arguments) = (false, Table::EMPTY);
        self.call(1, &Method::QueueBind { queue, exchange, routing_key, no_wait, arguments });
    }

    pub fn select_confirms(&mut self) {
        self.call(1, &Method::ConfirmSelect { no_wait: false });
    }

    pub fn limit_prefetch(&mut self, prefetch_count: u16) {
        self.call(1, &Method::BasicQos { prefetch_size: 0, prefetch_count, global: false });
    }

    pub fn consume(&mut self, queue: &str, no_ack: bool) {
        let (no_local, exclusive, no_wait, arguments) = (false, false, false, Table::EMPTY);
        self.call(
            1,
            &Method::BasicConsume {
                queue,
                consumer_tag: queue,
                no_local,
                no_ack,
                exclusive,
                no_wait,
                arguments,
            },
        );
    }
}

/// Appends a publish on channel 1.
pub fn publish(out: &mut Vec<u8>, to: (&str, &str), properties: BasicProperties, body: &[u8]) {
    let (exchange, routing_key) = to;
    Publish { exchange, routing_key, mandatory: false, properties, body }.encode(
        Channel(1),
        FRAME_MAX,
        out,
    );
}

/// A content type and a delivery mode are what nearly all clients send.
pub fn properties(persistent: bool) -> BasicProperties {
    BasicProperties {
        content_type: Some("text/plain".into()),
        delivery_mode: Some(if persistent { 2 } else { 1 }),
        ..BasicProperties::default()
    }
}
