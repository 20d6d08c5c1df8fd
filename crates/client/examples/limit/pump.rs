//! A producer's bytes in, its consumers' bytes out.
//!
//! All messages of a producer have the same length, so that the number of bytes that have come
//! says how many messages they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::PoisonError;

use leveret_client::wire::amqp091::frame::{
    ContentHeader, FRAME_END, write_ack, write_body_frame_header, write_content_header,
    write_deliver, write_publish,
};

use super::world::Sink;
use super::{FRAME_MAX, PIECE_BYTES};

/// Size of the load generator's stamp at the head of a body.
const STAMP_LEN: usize = 8;

/// What a method frame begins with.
const FRAME_METHOD: u8 = 1;

type Stamp = [u8; STAMP_LEN];

/// What a producer's messages look like.
#[derive(Debug)]
pub struct Shape {
    pub exchange: String,
    pub routing_key: String,
    body_size: usize,
    properties: Vec<u8>,
    /// Length of the frames before the body's.
    head_len: usize,
    message_len: usize,
}

impl Shape {
    /// That of a message that was published thus.
    pub fn new(channel: u16, to: (&str, &str), header: &ContentHeader<'_>) -> Shape {
        let (body_size, properties) = (header.body_size as usize, header.properties.to_vec());
        let mut frames = Vec::new();
        write_publish(&mut frames, channel, to.0, to.1, false);
        write_content_header(&mut frames, channel, header.body_size, &properties);
        let head_len = frames.len();
        write_body(&mut frames, channel, body_size);
        let (exchange, routing_key) = (to.0.to_owned(), to.1.to_owned());
        let message_len = frames.len();
        Shape { exchange, routing_key, body_size, properties, head_len, message_len }
    }
}

fn write_body(frames: &mut Vec<u8>, channel: u16, size: usize) {
    let (mut left, max) = (size, FRAME_MAX as usize - 8);
    while left > 0 {
        let len = left.min(max);
        write_body_frame_header(frames, channel, len as u32);
        frames.resize(frames.len() + len, b'x');
        frames.push(FRAME_END);
        left -= len;
    }
}

/// Ready-made deliveries to one socket.
#[derive(Debug)]
pub struct Target {
    pub sink: Sink,
    /// How many of each message.
    pub copies: usize,
    frames: Vec<u8>,
    delivery_len: usize,
    stamp_at: Option<usize>,
}

impl Target {
    /// Deliveries in a producer's shape to a consumer, by its channel and tag.
    pub fn new(sink: Sink, (channel, tag): (u16, &str), shape: &Shape) -> Target {
        let mut one = Vec::new();
        write_deliver(&mut one, channel, tag, 1, false, &shape.exchange, &shape.routing_key);
        write_content_header(&mut one, channel, shape.body_size as u64, &shape.properties);
        let stamp_at = (shape.body_size >= STAMP_LEN).then_some(one.len() + 7);
        write_body(&mut one, channel, shape.body_size);
        let frames = one.repeat((PIECE_BYTES / one.len()).max(1));
        Target { sink, copies: 1, frames, delivery_len: one.len(), stamp_at }
    }

    /// A delivery for each stamp, as often as there are copies; false when the socket is gone.
    fn write(&mut self, stamps: &[Stamp]) -> bool {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.frames.len() / self.delivery_len;
        (0..self.copies).all(|_| {
            stamps.chunks(most).all(|stamps| {
                if let Some(at) = self.stamp_at {
                    let deliveries = self.frames.chunks_exact_mut(self.delivery_len);
                    for (delivery, stamp) in deliveries.zip(stamps) {
                        if let Some(slot) = delivery.get_mut(at..at + STAMP_LEN) {
                            slot.copy_from_slice(stamp);
                        }
                    }
                }
                let len = stamps.len() * self.delivery_len;
                sink.write_all(self.frames.get(..len).unwrap_or_default()).is_ok()
            })
        })
    }
}

/// A producer's connection, from its first message on.
#[derive(Debug)]
pub struct Pump {
    shape: Shape,
    targets: Vec<Target>,
    /// The channel to confirm on.
    confirms: Option<u16>,
    /// Bytes that have come since the first message began.
    position: usize,
    /// Messages that have come whole.
    messages: usize,
    /// Stamps of messages that are not delivered; bodies too short for one have zeros.
    stamps: Vec<Stamp>,
    last_stamp: Stamp,
}

impl Pump {
    /// One whose first message's method and header have come, and nothing else.
    pub fn new(shape: Shape, targets: Vec<Target>, confirms: Option<u16>) -> Pump {
        let (position, last_stamp) = (shape.head_len, Stamp::default());
        Pump { shape, targets, confirms, position, messages: 0, stamps: Vec::new(), last_stamp }
    }

    /// Moves bytes until the producer ends; `begun` is what has been read already.
    pub fn run(
        mut self,
        mut stream: TcpStream,
        begun: &[u8],
        piece: &mut [u8],
    ) -> std::io::Result<()> {
        let mut acks = Vec::new();
        let mut count = self.take(begun);
        loop {
            if count > 0 {
                let stamps = self.stamps.get(..count).unwrap_or_default();
                self.targets.retain_mut(|target| target.write(stamps));
                self.stamps.drain(..count);
                if let Some(channel) = self.confirms {
                    write_ack(&mut acks, channel, self.messages as u64, true);
                    stream.write_all(&acks)?;
                    acks.clear();
                }
            }
            let got = stream.read(piece)?;
            if got == 0 {
                return Ok(());
            }
            let read = piece.get(..got).unwrap_or_default();
            self.check(read)?;
            count = self.take(read);
        }
    }

    /// An error if the first message that begins in a piece does not begin with a method: then
    /// messages are not all of one length.
    fn check(&self, piece: &[u8]) -> std::io::Result<()> {
        let begun = self.position % self.shape.message_len;
        let at = if begun == 0 { 0 } else { self.shape.message_len - begun };
        match piece.get(at) {
            Some(&frame_type) if frame_type != FRAME_METHOD => {
                Err(std::io::Error::other("messages differ in length"))
            }
            _ => Ok(()),
        }
    }

    /// Counts bytes; how many more messages are whole.
    fn take(&mut self, piece: &[u8]) -> usize {
        let (before, end) = (self.position, self.position + piece.len());
        let stamp_at = self.shape.head_len + 7;
        loop {
            let number = self.messages + self.stamps.len();
            let at = number * self.shape.message_len + stamp_at;
            let whole = (number + 1) * self.shape.message_len <= end;
            if at + STAMP_LEN > end && !whole {
                break;
            }
            // A stamp cut in two by the reads is as late as the one before.
            let stamp = at.checked_sub(before).and_then(|at| piece.get(at..)?.first_chunk());
            self.last_stamp = stamp.copied().unwrap_or(self.last_stamp);
            self.stamps.push(self.last_stamp);
        }
        self.position = end;
        let count = end / self.shape.message_len - self.messages;
        self.messages += count;
        count
    }
}
