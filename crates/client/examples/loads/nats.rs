//! Messages through NATS' core protocol, in the manner of `leveret perf --auto-ack`: one publisher
//! that writes batches, subscribers that read as much as there is, a stamp at the head of a body.
//! Nothing is stored, acknowledged or confirmed, so it is a reference and no like for like.
//!
//! With a rate, a stamp is when the message was due, and all that was due is waited for.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;

/// About how many bytes are written at once.
const WRITE_BYTES: usize = 64 << 10;

/// How many bytes are read at once.
const READ_BYTES: usize = 256 << 10;

/// Longest latency that is told apart, in microseconds: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// How long messages that were due may take when the time is over.
const DRAIN: Duration = Duration::from_secs(10);

const STAMP_LEN: usize = 8;

/// A load of a NATS server.
#[derive(Debug, Clone, Args)]
pub struct Nats {
    /// The server, as host:port.
    #[arg(long)]
    address: String,
    /// Body size in bytes, at least 8.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Messages a second; as many as possible if not given.
    #[arg(long)]
    rate: Option<f64>,
    /// Subscribing connections.
    #[arg(long, default_value_t = 1)]
    subscribers: u64,
    /// Subscriptions, spread over them; each gets all messages.
    #[arg(long, default_value_t = 1)]
    subscriptions: u64,
    /// Seconds to run, the warm-up included.
    #[arg(long, default_value_t = 10.0)]
    time: f64,
    /// Seconds at the start that do not count.
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
}

/// What all threads know.
#[derive(Debug)]
struct Shared {
    started: Instant,
    /// From when on latencies count, and when the publisher stops; since the start.
    measured: (Duration, Duration),
    sent: AtomicU64,
    received: AtomicU64,
    stopping: AtomicBool,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// Prints rates and latencies under the names that `leveret perf --json` has for them.
pub fn run(load: &Nats) -> anyhow::Result<()> {
    ensure!(load.size >= STAMP_LEN, "a body has to have room for its stamp");
    ensure!(load.subscriptions >= load.subscribers, "each connection subscribes");
    // Sleeping threads wake within a microsecond; where it cannot be set, rates are less even.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1000");
    let publisher = connect(&load.address, 0)?;
    let share = |index| {
        load.subscriptions / load.subscribers
            + u64::from(index < load.subscriptions % load.subscribers)
    };
    let subscribers: Vec<_> = (0..load.subscribers)
        .map(|index| connect(&load.address, share(index)))
        .collect::<anyhow::Result<_>>()?;
    let from = Duration::try_from_secs_f64(load.warmup)?;
    let measured = (from, Duration::try_from_secs_f64(load.time)?);
    let shared = Shared {
        started: Instant::now(),
        measured,
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
    };
    let sockets: Vec<_> = subscribers
        .iter()
        .chain([&publisher])
        .map(TcpStream::try_clone)
        .collect::<Result<_, _>>()?;
    std::thread::scope(|scope| {
        let reading: Vec<_> = subscribers
            .into_iter()
            .map(|stream| scope.spawn(|| read(stream, load.size, &shared)))
            .collect();
        let writing = scope.spawn(|| publish(publisher, load, &shared));
        let told = watch(load, &shared);
        shared.stopping.store(true, Relaxed);
        for socket in &sockets {
            // The server may have been faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
        let mut latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        for thread in reading {
            match thread.join() {
                Ok(part) => latencies.add(part?)?,
                Err(_) => bail!("a reading thread panicked"),
            }
        }
        match writing.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("the writing thread panicked"),
        }
        print(&shared, told, &latencies);
        Ok(())
    })
}

/// A connection that has said hello and subscribed so often.
fn connect(address: &str, subscriptions: u64) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
    stream.set_nodelay(true)?;
    let mut hello = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n".to_vec();
    for number in 0..subscriptions {
        hello.extend_from_slice(format!("SUB perf {number}\r\n").as_bytes());
    }
    hello.extend_from_slice(b"PING\r\n");
    stream.write_all(&hello)?;
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    while !said.windows(6).any(|window| window == b"PONG\r\n") {
        let got = stream.read(&mut piece)?;
        ensure!(got > 0, "the server closed the connection");
        said.extend_from_slice(piece.get(..got).unwrap_or_default());
    }
    Ok(stream)
}

/// Messages and seconds of the measured interval, and how many messages never came.
fn watch(load: &Nats, shared: &Shared) -> (u64, u64, f64, u64) {
    let totals = || (shared.sent.load(Relaxed), shared.received.load(Relaxed));
    let (from, end) = shared.measured;
    std::thread::sleep(from.saturating_sub(shared.started.elapsed()));
    let (before, began) = (totals(), shared.started.elapsed());
    std::thread::sleep(end.saturating_sub(shared.started.elapsed()));
    let (after, ended) = (totals(), shared.started.elapsed());
    let missing = || {
        let (sent, received) = totals();
        (sent * load.subscriptions).saturating_sub(received)
    };
    if load.rate.is_some() {
        let deadline = Instant::now() + DRAIN;
        std::thread::sleep(Duration::from_millis(5));
        while missing() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let missing = if load.rate.is_some() { missing() } else { 0 };
    (after.0 - before.0, after.1 - before.1, (ended - began).as_secs_f64(), missing)
}

fn print(
    shared: &Shared,
    (sent, received, seconds, missing): (u64, u64, f64, u64),
    latencies: &Histogram<u64>,
) {
    let at = |percentile| latencies.value_at_percentile(percentile);
    println!(
        "{{\"seconds\": {seconds:.6}, \"sent\": {sent}, \"received\": {received}, \
         \"sent_per_second\": {:.1}, \"received_per_second\": {:.1}, \
         \"sent_in_all\": {}, \"received_in_all\": {}, \"missing\": {missing}, \
         \"latency_us\": {{\"count\": {}, \"min\": {}, \"median\": {}, \"p95\": {}, \
         \"p99\": {}, \"p999\": {}, \"max\": {}}}, \"confirm_latency_us\": null}}",
        sent as f64 / seconds,
        received as f64 / seconds,
        shared.sent.load(Relaxed),
        shared.received.load(Relaxed),
        latencies.len(),
        latencies.min(),
        at(50.0),
        at(95.0),
        at(99.0),
        at(99.9),
        latencies.max(),
    );
}

/// Writes messages until the end of the time; with a rate, all that was due by then.
fn publish(mut stream: TcpStream, load: &Nats, shared: &Shared) -> anyhow::Result<()> {
    let head = format!("PUB perf {}\r\n", load.size).into_bytes();
    let one = [&head, vec![b'x'; load.size].as_slice(), b"\r\n"].concat();
    let most = (WRITE_BYTES / one.len()).max(1);
    let mut batch = one.repeat(most);
    let end_ns = shared.measured.1.as_nanos() as u64;
    let interval_ns = load.rate.map(|rate| 1e9 / rate);
    let mut sent = 0;
    while !shared.stopping.load(Relaxed) {
        let now = shared.now_ns();
        let (due, due_at_end) = match interval_ns {
            Some(interval) => {
                let due_by = |at: u64| (at as f64 / interval) as u64 + 1;
                (due_by(now.min(end_ns - 1)).saturating_sub(sent), due_by(end_ns - 1))
            }
            None => (most as u64, 0),
        };
        if now >= end_ns && sent >= due_at_end {
            break;
        }
        if let (0, Some(interval)) = (due, interval_ns) {
            let at = (sent as f64 * interval) as u64;
            std::thread::sleep(Duration::from_nanos(at.saturating_sub(shared.now_ns())));
            continue;
        }
        let count = due.min(most as u64);
        for (index, message) in (0..count).zip(batch.chunks_exact_mut(one.len())) {
            let stamp = interval_ns.map_or(now, |ns| ((sent + index) as f64 * ns) as u64);
            if let Some(slot) = message.get_mut(head.len()..head.len() + STAMP_LEN) {
                slot.copy_from_slice(&stamp.to_be_bytes());
            }
        }
        match stream.write_all(batch.get(..count as usize * one.len()).unwrap_or_default()) {
            Err(_) if shared.stopping.load(Relaxed) => break,
            result => result.context("the server does not take messages")?,
        }
        sent += count;
        shared.sent.store(sent, Relaxed);
    }
    Ok(())
}

/// What is known of the bytes that come.
struct Reading {
    size: usize,
    /// Bytes left of a body and its line end.
    left: usize,
    messages: u64,
    asked: bool,
}

impl Reading {
    /// Takes whole lines and bodies, telling stamps; returns how many bytes are used up.
    fn take(&mut self, input: &[u8], mut tell: impl FnMut(u64)) -> anyhow::Result<usize> {
        let mut rest = input;
        loop {
            if self.left > 0 {
                let got = self.left.min(rest.len());
                rest = rest.get(got..).unwrap_or_default();
                self.left -= got;
                if self.left > 0 {
                    break;
                }
                self.messages += 1;
            }
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { break };
            let (line, body) = rest.split_at(end + 1);
            if line.starts_with(b"MSG ") {
                let Some(stamp) = body.first_chunk() else { break };
                tell(u64::from_be_bytes(*stamp));
                self.left = self.size + 2;
            } else if line.starts_with(b"PING") {
                self.asked = true;
            } else if line.starts_with(b"-ERR") {
                bail!("{}", String::from_utf8_lossy(line).trim());
            }
            rest = body;
        }
        Ok(input.len() - rest.len())
    }
}

fn read(mut stream: TcpStream, size: usize, shared: &Shared) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
    let (mut piece, mut kept) = (vec![0; READ_BYTES], 0);
    let mut reading = Reading { size, left: 0, messages: 0, asked: false };
    let from_ns = shared.measured.0.as_nanos() as u64;
    loop {
        let got = match stream.read(piece.get_mut(kept..).unwrap_or_default()) {
            Ok(0) | Err(_) if shared.stopping.load(Relaxed) => return Ok(latencies),
            Ok(0) => bail!("the server closed the connection; did it take us for too slow?"),
            got => got?,
        };
        kept += got;
        let now = shared.now_ns();
        // Messages that were read together and have one stamp are recorded together.
        let mut run = (0, 0);
        let used = reading.take(piece.get(..kept).unwrap_or_default(), |stamp| {
            if stamp != run.0 {
                latencies.saturating_record_n(now.saturating_sub(run.0) / 1000, run.1);
                run = (stamp, 0);
            }
            run.1 += u64::from(now >= from_ns);
        })?;
        latencies.saturating_record_n(now.saturating_sub(run.0) / 1000, run.1);
        piece.copy_within(used..kept, 0);
        kept -= used;
        shared.received.fetch_add(std::mem::take(&mut reading.messages), Relaxed);
        if std::mem::take(&mut reading.asked) {
            stream.write_all(b"PONG\r\n")?;
        }
    }
}
