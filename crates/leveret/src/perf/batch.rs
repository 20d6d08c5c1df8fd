//! Prebuilt messages: frames that lie one behind the other, ready to be written, of which only the
//! stamps at the head of the bodies change.

use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::{Channel, Publish};

/// Size of the stamp at the head of a body.
pub(super) const STAMP_LEN: usize = 8;

/// What all messages of a producer have in common.
#[derive(Debug, Clone)]
pub(super) struct Kind<'a> {
    pub(super) exchange: &'a str,
    pub(super) mandatory: bool,
    pub(super) persistent: bool,
    pub(super) size: usize,
    pub(super) frame_max: u32,
}

/// Messages in a ring, going through the routing keys in turns.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each message begins; one more for the end of the last.
    starts: Vec<usize>,
    /// Where each message's stamp lies; empty if bodies are too short for one.
    stamps: Vec<usize>,
    cursor: usize,
}

impl Batch {
    /// As many messages as fit `bytes_max`, but at least one for each routing key.
    pub(super) fn new(
        channel: Channel,
        kind: &Kind<'_>,
        routing_keys: &[String],
        bytes_max: usize,
    ) -> Batch {
        let body = vec![b'x'; kind.size];
        let mut batch = Batch { bytes: Vec::new(), starts: vec![0], stamps: Vec::new(), cursor: 0 };
        loop {
            for routing_key in routing_keys {
                batch.push(channel, kind, routing_key, &body);
            }
            let count = batch.len().max(1);
            if routing_keys.is_empty() || batch.bytes.len() / count * (count + 1) > bytes_max {
                return batch;
            }
        }
    }

    fn push(&mut self, channel: Channel, kind: &Kind<'_>, routing_key: &str, body: &[u8]) {
        let delivery_mode = Some(if kind.persistent { 2 } else { 1 });
        let message = Publish {
            exchange: kind.exchange,
            routing_key,
            mandatory: kind.mandatory,
            properties: BasicProperties { delivery_mode, ..BasicProperties::default() },
            body,
        };
        let head = Publish { body: &[], ..message.clone() };
        let start = self.bytes.len();
        head.encode(channel, kind.frame_max, &mut self.bytes);
        let body_start = self.bytes.len() + 7;
        self.bytes.truncate(start);
        message.encode(channel, kind.frame_max, &mut self.bytes);
        self.starts.push(self.bytes.len());
        if kind.size >= STAMP_LEN {
            self.stamps.push(body_start);
        }
    }

    /// How many messages there are.
    pub(super) const fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The next messages, at most `count`, each stamped with what `stamp` says of its place among
    /// them; with how many they are.
    pub(super) fn next(
        &mut self,
        count: usize,
        mut stamp: impl FnMut(usize) -> u64,
    ) -> (&[u8], usize) {
        let first = self.cursor;
        let end = first.saturating_add(count).min(self.len());
        for (index, &at) in self.stamps.get(first..end).unwrap_or_default().iter().enumerate() {
            if let Some(slot) = self.bytes.get_mut(at..at + STAMP_LEN) {
                slot.copy_from_slice(&stamp(index).to_be_bytes());
            }
        }
        self.cursor = if end == self.len() { 0 } else { end };
        let at = |index: usize| self.starts.get(index).copied().unwrap_or_default();
        (self.bytes.get(at(first)..at(end)).unwrap_or_default(), end - first)
    }
}

#[cfg(test)]
mod tests {
    use leveret_client::wire::amqp091::frame::{Decoder, Event};
    use leveret_client::wire::amqp091::method::Method;

    use super::*;

    fn kind(size: usize) -> Kind<'static> {
        Kind { exchange: "x", mandatory: false, persistent: true, size, frame_max: 4096 }
    }

    /// Routing key, body length and stamp of every message in `frames`.
    fn read(frames: &[u8]) -> Vec<(String, usize, u64)> {
        let (mut decoder, mut input, mut found) = (Decoder::new(4096), frames, Vec::new());
        while let Some(event) = decoder.next(&mut input).unwrap() {
            match (event, found.last_mut()) {
                (Event::Method { payload, .. }, _) => match Method::decode(payload).unwrap() {
                    Method::BasicPublish { exchange: "x", routing_key, .. } => {
                        found.push((routing_key.to_owned(), 0, 0));
                    }
                    other => panic!("{other:?}"),
                },
                (Event::Body { chunk, .. }, Some((_, len, stamp))) => {
                    if *len == 0 {
                        *stamp = u64::from_be_bytes(*chunk.first_chunk().unwrap());
                    }
                    *len += chunk.len();
                }
                _ => {}
            }
        }
        assert!(input.is_empty());
        found
    }

    #[test]
    fn keys_take_turns_and_stamps_lie_at_the_head() {
        let keys = ["a".to_owned(), "b".to_owned()];
        let mut batch = Batch::new(Channel(1), &kind(10_000), &keys, 45_000);
        assert_eq!(batch.len(), 4);
        let (frames, count) = batch.next(3, |index| 100 + index as u64);
        assert_eq!(count, 3);
        let expected = [("a", 10_000, 100), ("b", 10_000, 101), ("a", 10_000, 102)];
        assert_eq!(read(frames), expected.map(|(key, len, stamp)| (key.to_owned(), len, stamp)));
        let (frames, count) = batch.next(9, |_| 7);
        assert_eq!((count, read(frames)), (1, vec![("b".to_owned(), 10_000, 7)]));
        assert_eq!(batch.next(9, |_| 8).1, 4);
    }

    #[test]
    fn short_bodies_have_no_stamp_and_large_ones_stand_alone() {
        let keys = ["a".to_owned()];
        let mut short = Batch::new(Channel(1), &kind(3), &keys, 200);
        assert!(short.len() > 1);
        let (frames, _) = short.next(1, |_| panic!("there is no room"));
        assert!(frames.windows(3).any(|window| window == b"xxx"));
        assert_eq!(Batch::new(Channel(1), &kind(100_000), &keys, 200).len(), 1);
    }
}
