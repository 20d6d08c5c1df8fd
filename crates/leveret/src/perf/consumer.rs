//! The consuming thread: large reads, bodies counted and not copied, one write of acks a read.

use std::sync::Arc;

use hdrhistogram::Histogram;
use leveret_client::wire::amqp091::frame::{ContentHeader, Event, write_ack};
use leveret_client::wire::amqp091::method::Method;
use leveret_client::{Closed, Error, Receiver, Sender, delivery_tag};

use super::batch::STAMP_LEN;
use super::tally::{Latencies, Shared};

/// One consuming connection.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// The frames that start consuming.
    pub(super) opening: Vec<u8>,
    pub(super) reading: Reading,
    pub(super) shared: Arc<Shared>,
}

impl Consumer {
    /// Reads until the socket ends.
    pub(super) fn run(mut self) -> anyhow::Result<Histogram<u64>> {
        let opening = std::mem::take(&mut self.opening);
        self.write(&opening)?;
        loop {
            match self.receiver.read() {
                Ok(true) => {}
                Err(_) | Ok(false) if self.shared.is_stopping() => break,
                Ok(false) => return Err(Error::Disconnected.into()),
                Err(error) => return Err(error.into()),
            }
            let reading = &mut self.reading;
            reading.now = self.shared.clock.now();
            self.receiver.drain(|event| reading.take(event))?;
            self.shared.received.add(std::mem::take(&mut reading.messages));
            let mut acks = std::mem::take(&mut reading.acks);
            self.write(&acks)?;
            acks.clear();
            self.reading.acks = acks;
        }
        Ok(self.reading.latencies.finish())
    }

    /// Writes frames, if any; that the socket is gone at the end of the run is no error.
    fn write(&mut self, frames: &[u8]) -> Result<(), Error> {
        if frames.is_empty() {
            return Ok(());
        }
        match self.sender.write(frames) {
            Err(_) if self.shared.is_stopping() => Ok(()),
            result => result,
        }
    }
}

/// What is known of the delivery that is being received.
#[derive(Debug)]
pub(super) struct Reading {
    /// Acknowledge every so many deliveries; 0 is never.
    ack_every: u64,
    unacked: u64,
    tag: u64,
    missing: u64,
    stamp: [u8; STAMP_LEN],
    stamp_len: usize,
    now: u64,
    messages: u64,
    acks: Vec<u8>,
    latencies: Latencies,
}

impl Reading {
    pub(super) fn new(ack_every: u64, latencies: Latencies) -> Reading {
        Reading {
            ack_every,
            unacked: 0,
            tag: 0,
            missing: 0,
            stamp: [0; STAMP_LEN],
            stamp_len: 0,
            now: 0,
            messages: 0,
            acks: Vec::new(),
            latencies,
        }
    }

    #[inline]
    fn take(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Method { channel, payload } => match delivery_tag(payload) {
                Some(tag) => self.tag = tag,
                None => return on_other(channel, payload),
            },
            Event::Header { channel, payload } => {
                self.missing = ContentHeader::decode(payload)?.body_size;
                self.stamp_len = 0;
                if self.missing == 0 {
                    self.finish(channel);
                }
            }
            Event::Body { channel, chunk, .. } => {
                self.keep_stamp(chunk);
                let before = self.missing;
                self.missing = before.saturating_sub(chunk.len() as u64);
                if before > 0 && self.missing == 0 {
                    self.finish(channel);
                }
            }
            Event::Heartbeat { .. } => {}
        }
        Ok(())
    }

    #[inline]
    fn keep_stamp(&mut self, chunk: &[u8]) {
        if self.stamp_len == 0
            && let Some(stamp) = chunk.first_chunk()
        {
            (self.stamp, self.stamp_len) = (*stamp, STAMP_LEN);
        } else if let Some(room) = self.stamp.get_mut(self.stamp_len..) {
            let len = room.len().min(chunk.len());
            room.iter_mut().zip(chunk).for_each(|(slot, byte)| *slot = *byte);
            self.stamp_len += len;
        }
    }

    #[inline]
    fn finish(&mut self, channel: u16) {
        self.messages += 1;
        if self.stamp_len == STAMP_LEN {
            self.latencies.record(self.now, u64::from_be_bytes(self.stamp));
        }
        if self.ack_every == 0 {
            return;
        }
        self.unacked += 1;
        if self.unacked >= self.ack_every {
            write_ack(&mut self.acks, channel, self.tag, self.ack_every > 1);
            self.unacked = 0;
        }
    }
}

/// A method that is no delivery: closing and cancelling end the run.
#[cold]
fn on_other(channel: u16, payload: &[u8]) -> Result<(), Error> {
    let method = Method::decode(payload)?;
    if let Method::BasicCancel { .. } = method {
        return Err(Error::Unexpected { expected: "basic.deliver", got: method.name() });
    }
    Closed::of_method(channel, &method).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use leveret_client::wire::amqp091::frame::{
        Decoder, FRAME_END, write_body_frame_header, write_content_header, write_deliver,
    };

    use super::*;

    fn delivery(tag: u64, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_deliver(&mut out, 1, "c", tag, false, "", "q");
        write_content_header(&mut out, 1, body.len() as u64, &[0, 0]);
        for chunk in body.chunks(5) {
            write_body_frame_header(&mut out, 1, chunk.len() as u32);
            out.extend_from_slice(chunk);
            out.push(FRAME_END);
        }
        out
    }

    fn read(ack_every: u64, frames: &[u8], now: u64) -> Reading {
        let mut reading = Reading::new(ack_every, Latencies::new(0).unwrap());
        reading.now = now;
        let (mut decoder, mut input) = (Decoder::new(0), frames);
        while let Some(event) = decoder.next(&mut input).unwrap() {
            reading.take(event).unwrap();
        }
        reading
    }

    #[test]
    fn a_stamp_is_put_together_from_pieces() {
        let mut body = 5_000_000u64.to_be_bytes().to_vec();
        body.extend_from_slice(&[b'x'; 20]);
        let reading = read(0, &delivery(1, &body), 7_000_000);
        assert_eq!((reading.messages, reading.acks.len()), (1, 0));
        let histogram = reading.latencies.finish();
        assert_eq!((histogram.len(), histogram.max() / 10), (1, 200));
    }

    #[test]
    fn acks_cover_what_was_asked_and_short_bodies_have_no_latency() {
        let frames = [delivery(1, b""), delivery(2, b"abc"), delivery(3, b"abcd")].concat();
        let reading = read(2, &frames, 1);
        assert_eq!((reading.messages, reading.unacked), (3, 1));
        let mut expected = Vec::new();
        write_ack(&mut expected, 1, 2, true);
        assert_eq!(reading.acks, expected);
        assert_eq!(reading.latencies.finish().len(), 0);
    }
}
