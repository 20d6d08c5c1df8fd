//! Opening and closing as fast as the broker goes.
//!
//! So that the broker is measured and not this program, frames are encoded once, and each thread
//! asks for many at once before it looks at an answer: a thread wakes once for all of them, not
//! once for each. A connection's handshake still goes step by step, as that of every client does
//! and as the protocol's grammar has it, but for what needs no answer (`tune-ok`, `open` and
//! `channel.open` are one write); with `--whole` it is one write, which is the least that a
//! connection can cost a broker.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use leveret_client::wire::amqp091::PROTOCOL_HEADER;
use leveret_client::wire::amqp091::frame::{Decoder, Event};
use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::table::Table;
use leveret_client::{Closed, Connection, Receiver, Sender, Uri};

/// Channel numbers that are used in turns; brokers allow 2,047.
const CHANNELS: u16 = 2000;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// What to open and close.
#[derive(Debug, Clone, Args)]
pub struct Churn {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// What.
    #[arg(value_enum)]
    kind: Kind,
    /// How long, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Threads; with channels and queues each has a connection of its own.
    #[arg(long, default_value_t = 4)]
    threads: u16,
    /// How many each thread has open at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    at_once: u16,
    /// The whole of a connection is written before anything is read.
    #[arg(long)]
    whole: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Connect, open a channel, close the connection.
    Connections,
    /// Open a channel and close it.
    Channels,
    /// Declare a transient queue and delete it.
    Queues,
}

/// Prints how many were opened and closed in what time, and this program's own CPU time.
pub fn run(churn: &Churn) -> anyhow::Result<()> {
    let started = Instant::now();
    let end = started + Duration::try_from_secs_f64(churn.seconds)?;
    let count = std::thread::scope(|scope| {
        let start = |thread| {
            scope.spawn(move || match churn.kind {
                Kind::Connections => connections(churn, end),
                Kind::Channels => requests(churn, end, channels),
                Kind::Queues => requests(churn, end, |_, count, out| queues(thread, count, out)),
            })
        };
        let threads: Vec<_> = (0..churn.threads).map(start).collect();
        let mut count = 0;
        for thread in threads {
            match thread.join() {
                Ok(done) => count += done?,
                Err(_) => bail!("a thread panicked"),
            }
        }
        Ok(count)
    })?;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), own_cpu_seconds()?);
    println!("{{\"count\": {count}, \"seconds\": {seconds:.6}, \"generator_cpu\": {cpu:.2}}}");
    Ok(())
}

/// CPU seconds of this process, in user and kernel mode; the kernel tells hundredths.
fn own_cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? as f64 / 100.0)
}

/// Bytes to write, and the answer to wait for before the next.
type Step = (Vec<u8>, fn(&Method<'_>) -> bool);

/// The life of a connection that opens one channel.
fn steps(uri: &Uri, whole: bool) -> Vec<Step> {
    let (mut start_ok, mut opening, mut closing) = (Vec::new(), Vec::new(), Vec::new());
    Method::ConnectionStartOk {
        client_properties: Table::EMPTY,
        mechanism: "PLAIN",
        response: format!("\0{}\0{}", uri.user, uri.password).as_bytes(),
        locale: "en_US",
    }
    .encode_frame(0, &mut start_ok);
    Method::ConnectionTuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 0 }
        .encode_frame(0, &mut opening);
    Method::ConnectionOpen { virtual_host: &uri.vhost }.encode_frame(0, &mut opening);
    Method::ChannelOpen {}.encode_frame(1, &mut opening);
    let (reply_code, reply_text) = (200, "bye");
    Method::ConnectionClose { reply_code, reply_text, class_id: 0, method_id: 0 }
        .encode_frame(0, &mut closing);
    let header = PROTOCOL_HEADER.to_vec();
    if whole {
        let all = [header, start_ok, opening, closing].concat();
        return vec![(all, |method| matches!(method, Method::ConnectionCloseOk {}))];
    }
    vec![
        (header, |method| matches!(method, Method::ConnectionStart { .. })),
        (start_ok, |method| matches!(method, Method::ConnectionTune { .. })),
        (opening, |method| matches!(method, Method::ChannelOpenOk {})),
        (closing, |method| matches!(method, Method::ConnectionCloseOk {})),
    ]
}

/// Opens some connections and takes them through their steps together, again and again.
fn connections(churn: &Churn, end: Instant) -> anyhow::Result<u64> {
    let uri: Uri = churn.uri.parse()?;
    let address = SocketAddr::new(uri.host.parse()?, uri.port);
    let (steps, mut piece) = (steps(&uri, churn.whole), vec![0; 16 << 10]);
    let mut count = 0;
    while Instant::now() < end {
        let connect = |_| TcpStream::connect(address);
        let mut streams = (0..churn.at_once).map(connect).collect::<Result<Vec<_>, _>>()?;
        for stream in &streams {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_WAIT))?;
        }
        for (frames, is_answer) in &steps {
            for stream in &mut streams {
                stream.write_all(frames)?;
            }
            for stream in &mut streams {
                wait_for(stream, *is_answer, &mut piece)?;
            }
        }
        count += u64::from(churn.at_once);
    }
    Ok(count)
}

/// Reads until a method has come. What comes behind it in the same read is not looked at: nothing
/// does that a later step waits for.
fn wait_for(
    stream: &mut TcpStream,
    is_answer: fn(&Method<'_>) -> bool,
    piece: &mut [u8],
) -> anyhow::Result<()> {
    let (mut decoder, mut kept) = (Decoder::new(0), 0);
    loop {
        let got = stream.read(piece.get_mut(kept..).unwrap_or_default())?;
        ensure!(got > 0, "the broker closed the connection");
        kept += got;
        let mut input = piece.get(..kept).unwrap_or_default();
        while let Some(event) = decoder.next(&mut input)? {
            let Event::Method { channel, payload } = event else { continue };
            let method = Method::decode(payload)?;
            if is_answer(&method) {
                return Ok(());
            }
            if let Some(closed) = Closed::of_method(channel, &method) {
                return Err(closed.into());
            }
        }
        let used = kept - input.len();
        piece.copy_within(used..kept, 0);
        kept -= used;
    }
}

/// Writes requests over one connection and waits for their answers, again and again; `encode` gets
/// the number of the first and how many, and each ends with an answer that [`ends`].
fn requests(
    churn: &Churn,
    end: Instant,
    encode: impl Fn(u64, u16, &mut Vec<u8>),
) -> anyhow::Result<u64> {
    let mut connection = Connection::connect(&churn.uri)?;
    connection.open_channel()?;
    let (mut sender, mut receiver): (Sender, Receiver) = connection.split()?;
    let (mut count, mut frames) = (0, Vec::new());
    while Instant::now() < end {
        frames.clear();
        encode(count, churn.at_once, &mut frames);
        sender.write(&frames)?;
        let mut answers = 0;
        while answers < churn.at_once {
            ensure!(receiver.read()?, "the broker closed the connection");
            receiver.drain(|event| {
                let Event::Method { channel, payload } = event else { return Ok(()) };
                let method = Method::decode(payload)?;
                answers += u16::from(ends(&method));
                Closed::of_method(channel, &method).map_or(Ok(()), Err)
            })?;
        }
        count += u64::from(churn.at_once);
    }
    Ok(count)
}

const fn ends(method: &Method<'_>) -> bool {
    matches!(method, Method::ChannelCloseOk {} | Method::QueueDeleteOk { .. })
}

/// Channels that are opened and closed; none has a number that could still be open.
fn channels(first: u64, count: u16, frames: &mut Vec<u8>) {
    for index in 0..u64::from(count) {
        let channel = 2 + ((first + index) % u64::from(CHANNELS)) as u16;
        Method::ChannelOpen {}.encode_frame(channel, frames);
        let (reply_code, reply_text) = (200, "bye");
        Method::ChannelClose { reply_code, reply_text, class_id: 0, method_id: 0 }
            .encode_frame(channel, frames);
    }
}

/// Transient queues that are declared and deleted, over the first channel.
fn queues(thread: u16, count: u16, frames: &mut Vec<u8>) {
    for index in 0..count {
        let queue = &format!("churn-{thread}-{index}");
        let (passive, durable, exclusive, auto_delete) = (false, false, false, false);
        let (no_wait, arguments) = (false, Table::EMPTY);
        #[rustfmt::skip]
        Method::QueueDeclare {
            queue, passive, durable, exclusive, auto_delete, no_wait, arguments,
        }
        .encode_frame(1, frames);
        let (if_unused, if_empty) = (false, false);
        Method::QueueDelete { queue, if_unused, if_empty, no_wait }.encode_frame(1, frames);
    }
}
