//! Filling a queue: one thread writes, one reads confirms.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::Thread;
use std::time::Duration;

use anyhow::{bail, ensure};
use leveret_client::wire::amqp091::frame::Event;
use leveret_client::wire::amqp091::method::Method;
use leveret_client::{Channel, Closed, Error, Publish, Receiver, Sender};

use super::backlog::{Amount, Tenths, persistent};

/// How many bytes are written at once.
const WRITE_BYTES: usize = 128 << 10;

/// What both threads know.
#[derive(Debug, Default)]
struct Progress {
    settled: AtomicU64,
    ended: AtomicBool,
}

/// Publishes all messages; each body begins with its number, from 0.
pub fn run(amount: &Amount) -> anyhow::Result<()> {
    ensure!(amount.size >= 8, "a body has to have room for its number");
    let (mut connection, channel) = amount.target.open()?;
    connection.confirm_select(channel)?;
    let frame_max = connection.frame_max();
    let (sender, receiver) = connection.split()?;
    let batch = Batch::new(amount, channel, frame_max);
    let progress = Progress::default();
    let writer = std::thread::current();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let ended = read(receiver, amount.messages, &progress, &writer);
            progress.ended.store(true, SeqCst);
            writer.unpark();
            ended
        });
        let written = write(sender, batch, amount, &progress);
        match reading.join() {
            Ok(ended) => ended.and(written),
            Err(_) => bail!("the reading thread panicked"),
        }
    })
}

fn write(
    mut sender: Sender,
    mut batch: Batch,
    amount: &Amount,
    progress: &Progress,
) -> anyhow::Result<()> {
    let window = u64::from(amount.window);
    let worthwhile = (window / 8).clamp(1, batch.len());
    let mut sent = 0;
    while sent < amount.messages {
        let room = (progress.settled.load(SeqCst) + window).saturating_sub(sent);
        let left = amount.messages - sent;
        if room < worthwhile.min(left) {
            ensure!(!progress.ended.load(SeqCst), "the broker does not confirm any more");
            std::thread::park_timeout(Duration::from_millis(100));
            continue;
        }
        let count = room.min(left).min(batch.len());
        sender.write(batch.numbered(sent, count))?;
        sent += count;
    }
    while !progress.ended.load(SeqCst) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    sender.shutdown();
    Ok(())
}

fn read(
    mut receiver: Receiver,
    messages: u64,
    progress: &Progress,
    writer: &Thread,
) -> anyhow::Result<()> {
    let (mut settled, mut tenths) = (Settled::default(), Tenths::new(messages));
    while !tenths.are_full() {
        ensure!(receiver.read()?, "the broker closed the connection");
        let before = settled.count;
        receiver.drain(|event| {
            let Event::Method { channel, payload } = event else { return Ok(()) };
            match Method::decode(payload)? {
                Method::BasicAck { delivery_tag, multiple } => {
                    settled.settle(delivery_tag, multiple);
                    Ok(())
                }
                Method::BasicNack { .. } => Err(Error::NotConfirmed(1)),
                method => Closed::of_method(channel, &method).map_or(Ok(()), Err),
            }
        })?;
        progress.settled.store(settled.count, SeqCst);
        writer.unpark();
        tenths.add(settled.count - before);
    }
    Ok(())
}

/// Which confirms have come, in whatever order.
#[derive(Debug, Default)]
pub struct Settled {
    /// All up to this number are settled.
    base: u64,
    /// Those after.
    marks: VecDeque<bool>,
    count: u64,
}

impl Settled {
    /// How many are settled.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// A confirm has come.
    pub fn settle(&mut self, tag: u64, multiple: bool) {
        let Some(reach) = tag.checked_sub(self.base).map(|reach| reach as usize) else { return };
        if self.marks.len() < reach {
            self.marks.resize(reach, false);
        }
        let from = if multiple { 0 } else { reach.saturating_sub(1) };
        for mark in self.marks.range_mut(from..reach) {
            self.count += u64::from(!*mark);
            *mark = true;
        }
        while self.marks.front() == Some(&true) {
            self.marks.pop_front();
            self.base += 1;
        }
    }
}

/// Frames of many messages, of which only the numbers change.
struct Batch {
    bytes: Vec<u8>,
    message_bytes: usize,
    number_at: usize,
}

impl Batch {
    fn new(amount: &Amount, channel: Channel, frame_max: u32) -> Batch {
        let body = vec![b'x'; amount.size];
        let routing_key = &amount.target.queue;
        let properties = persistent();
        let message = Publish { routing_key, properties, body: &body, ..Publish::default() };
        let (mut head, mut one) = (Vec::new(), Vec::new());
        Publish { body: &[], ..message.clone() }.encode(channel, frame_max, &mut head);
        message.encode(channel, frame_max, &mut one);
        let count = (WRITE_BYTES / one.len()).max(1);
        Batch { message_bytes: one.len(), number_at: head.len() + 7, bytes: one.repeat(count) }
    }

    fn len(&self) -> u64 {
        (self.bytes.len() / self.message_bytes) as u64
    }

    /// The next messages, with their numbers.
    fn numbered(&mut self, first: u64, count: u64) -> &[u8] {
        let messages = self.bytes.chunks_exact_mut(self.message_bytes);
        for (message, number) in messages.zip(first..first + count) {
            if let Some(slot) = message.get_mut(self.number_at..self.number_at + 8) {
                slot.copy_from_slice(&number.to_be_bytes());
            }
        }
        self.bytes.get(..count as usize * self.message_bytes).unwrap_or_default()
    }
}
