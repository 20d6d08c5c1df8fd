//! The limit that a broker's rate is measured against: `limit [PORT]`.
//!
//! Between the same load generators it moves the same bytes through the same sockets and does
//! nothing else. Requests get ready-made answers; what a producer sends is counted, not decoded,
//! and for each message that has come, a ready-made delivery of the same size goes to each
//! consumer; with confirms, one ack goes back for each read. One thread for a connection, and so
//! one from a producer to its consumers and one for what these say, which is thrown away. Nothing
//! is queued: a consumer that does not read holds its producers up. The only bytes carried over
//! are the load generator's stamps, so that there are latencies.
//!
//! It serves `leveret perf` where all messages of a producer have one size and one routing key; an
//! exchange of any type sends to all queues bound to it.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

mod pump;
mod world;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use leveret_client::wire::amqp091::frame::{ContentHeader, Decoder, Event};
use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::table::Table;

use pump::{Pump, Shape};
use world::World;

/// Size of reads, and about that of writes; small enough to stay in a core's cache.
const PIECE_BYTES: usize = 64 << 10;

/// Largest frame, as brokers offer it.
const FRAME_MAX: u32 = 131_072;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("ready amqp={}", listener.local_addr()?);
    let world = Arc::new(World::default());
    for stream in listener.incoming() {
        let (stream, world) = (stream?, Arc::clone(&world));
        std::thread::spawn(move || serve(stream, &world));
    }
    Ok(())
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Session {
    confirms: bool,
    /// Exchange and routing key of the first message, whose header is still to come.
    publish: Option<(String, String)>,
}

/// What a connection turns out to be, once it is.
enum Role {
    Producer(Box<Pump>),
    Consumer,
}

fn serve(mut stream: TcpStream, world: &World) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut header = [0; 8];
    stream.read_exact(&mut header)?;
    let mut out = Vec::new();
    Method::ConnectionStart {
        version_major: 0,
        version_minor: 9,
        server_properties: Table::parse(b"\x07productS\0\0\0\x05limit").unwrap_or_default(),
        mechanisms: b"PLAIN",
        locales: b"en_US",
    }
    .encode_frame(0, &mut out);
    let (mut decoder, mut kept, mut piece) = (Decoder::new(0), Vec::new(), vec![0; PIECE_BYTES]);
    let mut session = Session::default();
    loop {
        stream.write_all(&out)?;
        out.clear();
        let got = stream.read(&mut piece)?;
        if got == 0 {
            return Ok(());
        }
        kept.extend_from_slice(piece.get(..got).unwrap_or_default());
        let mut input = kept.as_slice();
        while let Ok(Some(event)) = decoder.next(&mut input) {
            match session.on_event(event, (&stream, world), &mut out)? {
                None => {}
                Some(Role::Consumer) => return discard(stream, &mut piece),
                Some(Role::Producer(pump)) => return pump.run(stream, input, &mut piece),
            }
        }
        kept = input.to_vec();
    }
}

/// Reads until the end, for nothing.
fn discard(mut stream: TcpStream, piece: &mut [u8]) -> std::io::Result<()> {
    while stream.read(piece)? > 0 {}
    Ok(())
}

impl Session {
    /// Answers, and says what the connection is at its first message or its first ack.
    fn on_event(
        &mut self,
        event: Event<'_>,
        (stream, world): (&TcpStream, &World),
        out: &mut Vec<u8>,
    ) -> std::io::Result<Option<Role>> {
        match event {
            Event::Method { channel, payload } => {
                let method = Method::decode(payload).map_err(std::io::Error::other)?;
                match method {
                    Method::BasicAck { .. } => return Ok(Some(Role::Consumer)),
                    Method::BasicPublish { exchange, routing_key, .. } => {
                        self.publish = Some((exchange.to_owned(), routing_key.to_owned()));
                    }
                    Method::BasicConsume { queue, consumer_tag, .. } => {
                        world.consume(queue, (channel, consumer_tag), stream.try_clone()?);
                    }
                    Method::ConfirmSelect { .. } => self.confirms = true,
                    Method::QueueBind { queue, exchange, .. } => world.bind(exchange, queue),
                    Method::QueueDelete { queue, .. } => world.delete(queue),
                    _ => {}
                }
                if let Some(reply) = answer(&method) {
                    reply.encode_frame(channel, out);
                }
            }
            Event::Header { channel, payload } => {
                let header = ContentHeader::decode(payload).map_err(std::io::Error::other)?;
                if let Some((exchange, routing_key)) = self.publish.take() {
                    let shape = Shape::new(channel, (&exchange, &routing_key), &header);
                    let targets = world.targets(&shape);
                    let pump = Pump::new(shape, targets, self.confirms.then_some(channel));
                    return Ok(Some(Role::Producer(Box::new(pump))));
                }
            }
            _ => {}
        }
        Ok(None)
    }
}

/// The ready-made answer to a request; none to what has no answer.
fn answer<'a>(method: &Method<'a>) -> Option<Method<'a>> {
    Some(match *method {
        Method::ConnectionStartOk { .. } => {
            Method::ConnectionTune { channel_max: 2047, frame_max: FRAME_MAX, heartbeat: 0 }
        }
        Method::ConnectionOpen { .. } => Method::ConnectionOpenOk {},
        Method::ConnectionClose { .. } => Method::ConnectionCloseOk {},
        Method::ChannelOpen {} => Method::ChannelOpenOk {},
        Method::ChannelClose { .. } => Method::ChannelCloseOk {},
        Method::ConfirmSelect { .. } => Method::ConfirmSelectOk {},
        Method::BasicQos { .. } => Method::BasicQosOk {},
        Method::ExchangeDeclare { .. } => Method::ExchangeDeclareOk {},
        Method::ExchangeDelete { .. } => Method::ExchangeDeleteOk {},
        Method::QueueBind { .. } => Method::QueueBindOk {},
        Method::QueueDeclare { queue, .. } => {
            Method::QueueDeclareOk { queue, message_count: 0, consumer_count: 0 }
        }
        Method::QueueDelete { .. } => Method::QueueDeleteOk { message_count: 0 },
        _ => return None,
    })
}
