//! A peer for measuring a load generator and nothing else: `blackhole [PORT] [SIZE]`.
//!
//! It answers what a client asks for at its start, then throws away what is published, unread, and
//! sends a consumer deliveries of SIZE bytes as fast as its socket takes them. It is no broker:
//! publishes and deliveries have nothing to do with each other.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use leveret_wire::amqp091::frame::{
    Decoder, Event, FRAME_END, write_body_frame_header, write_content_header, write_deliver,
};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::Table;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(0);
    let size = arguments.next().and_then(|size| size.parse().ok()).unwrap_or(256);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("ready amqp={}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve(stream, size));
    }
    Ok(())
}

/// What to do with a connection after a method.
enum Next {
    Answer,
    Discard,
    Flood(u16),
}

fn serve(mut stream: TcpStream, size: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut header = [0; 8];
    stream.read_exact(&mut header)?;
    let mut out = Vec::new();
    Method::ConnectionStart {
        version_major: 0,
        version_minor: 9,
        server_properties: Table::parse(b"\x07productS\0\0\0\x09blackhole").unwrap_or_default(),
        mechanisms: b"PLAIN",
        locales: b"en_US",
    }
    .encode_frame(0, &mut out);
    let (mut decoder, mut kept, mut piece) = (Decoder::new(0), Vec::new(), vec![0; 1 << 20]);
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
            let Event::Method { channel, payload } = event else { continue };
            let Ok(method) = Method::decode(payload) else { return Ok(()) };
            match answer(channel, &method, &mut out) {
                Next::Answer => {}
                Next::Discard => {
                    while stream.read(&mut piece)? > 0 {}
                    return Ok(());
                }
                Next::Flood(channel) => return flood(stream, channel, size),
            }
        }
        kept = input.to_vec();
    }
}

fn answer(channel: u16, method: &Method<'_>, out: &mut Vec<u8>) -> Next {
    let reply = match *method {
        Method::ConnectionStartOk { .. } => {
            Method::ConnectionTune { channel_max: 2047, frame_max: 131_072, heartbeat: 0 }
        }
        Method::ConnectionOpen { .. } => Method::ConnectionOpenOk {},
        Method::ConnectionClose { .. } => Method::ConnectionCloseOk {},
        Method::ChannelOpen {} => Method::ChannelOpenOk {},
        Method::ConfirmSelect { .. } => Method::ConfirmSelectOk {},
        Method::BasicQos { .. } => Method::BasicQosOk {},
        Method::QueueDeclare { queue, .. } => {
            Method::QueueDeclareOk { queue, message_count: 0, consumer_count: 0 }
        }
        Method::QueueDelete { .. } => Method::QueueDeleteOk { message_count: 0 },
        Method::BasicPublish { .. } => return Next::Discard,
        Method::BasicConsume { .. } => return Next::Flood(channel),
        _ => return Next::Answer,
    };
    reply.encode_frame(channel, out);
    Next::Answer
}

/// Sends deliveries until the socket ends, while another thread throws acks away.
fn flood(mut stream: TcpStream, channel: u16, size: usize) -> std::io::Result<()> {
    let mut reading = stream.try_clone()?;
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 << 10];
        while matches!(reading.read(&mut piece), Ok(1..)) {}
    });
    let mut frames = Vec::new();
    while frames.len() < 128 << 10 {
        write_deliver(&mut frames, channel, "consumer-1", 1, false, "", "leveret-perf-1");
        write_content_header(&mut frames, channel, size as u64, &[0x10, 0, 1]);
        write_body_frame_header(&mut frames, channel, size as u32);
        frames.resize(frames.len() + size, 0);
        frames.push(FRAME_END);
    }
    loop {
        stream.write_all(&frames)?;
    }
}
