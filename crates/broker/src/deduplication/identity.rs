//! What makes two publishes the same: a header's value, or a producer's sequence number.
//!
//! Whatever a client sends as a value, an identity has 16 bytes: the first half of a SHA-256.
//! Nobody can make two values that share it.

use sha2::{Digest as _, Sha256};

use crate::ids::Timestamp;
use crate::message::{FieldTable, HeaderTable, Message, Value};

const VALUE: &str = "x-deduplication-header";
const PRODUCER: &str = "x-producer-id";
const SEQUENCE: &str = "x-producer-sequence";
const TTL: &str = "x-cache-ttl";

/// A value as 16 bytes.
pub(super) type Digest = [u8; 16];

/// What is remembered of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The value of a header.
    Value(Digest),
    /// A producer, and its number for the message.
    Sequence(Digest, i64),
}

impl Key {
    /// As the log keeps it.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Value(digest) => [&[1][..], digest].concat(),
            Self::Sequence(digest, number) => [&[2][..], digest, &number.to_le_bytes()].concat(),
        }
    }

    /// What [`Self::encode`] gave; none if it is something else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (digest, rest) = rest.split_first_chunk()?;
        match (kind, rest) {
            (1, []) => Some(Self::Value(*digest)),
            (2, number) => {
                let number = i64::from_le_bytes(number.try_into().ok()?);
                Some(Self::Sequence(*digest, number))
            }
            _ => None,
        }
    }
}

/// A message's identity, if it has one, and for how long it asks to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(super) key: Key,
    /// Instead of what the queue or exchange says, in milliseconds.
    ttl_ms: Option<u64>,
}

impl Identity {
    /// The identity that the headers name.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let headers = message.headers()?;
        let key = value(&headers).or_else(|| sequence(&headers))?;
        let ttl_ms = headers.get(TTL).and_then(|ttl| ttl.as_integer());
        Some(Self { key, ttl_ms: ttl_ms.and_then(|millis| u64::try_from(millis).ok()) })
    }

    /// Until when it is remembered.
    pub(super) fn expires_at(&self, now: Timestamp, ttl_ms: Option<u64>) -> Timestamp {
        self.ttl_ms.or(ttl_ms).map_or(Timestamp::NEVER, |millis| now.after(millis))
    }
}

fn value(headers: &HeaderTable<'_>) -> Option<Key> {
    let digest = match headers.get(VALUE)? {
        Value::Void => return None,
        Value::LongStr(text) => digest(b'S', text),
        other => {
            let mut encoded = Vec::new();
            FieldTable(vec![(String::new(), other.to_owned())]).encode_content(&mut encoded);
            digest(b'F', &encoded)
        }
    };
    Some(Key::Value(digest))
}

fn sequence(headers: &HeaderTable<'_>) -> Option<Key> {
    let producer = headers.get(PRODUCER)?;
    let number = headers.get(SEQUENCE)?.as_integer()?;
    Some(Key::Sequence(digest(b'P', producer.as_str_bytes()?), number))
}

fn digest(kind: u8, bytes: &[u8]) -> Digest {
    let whole = Sha256::new().chain_update([kind]).chain_update(bytes).finalize();
    let mut half = Digest::default();
    half.copy_from_slice(&whole[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FieldValue, MessageBuilder};

    fn identity(headers: &[(&str, FieldValue)]) -> Option<Identity> {
        let table: FieldTable =
            headers.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        // The headers property alone.
        let mut properties = vec![0x20, 0x00];
        table.encode(&mut properties);
        let builder = MessageBuilder::new("", "q", &properties, 0, Some("guest"), None).unwrap();
        Identity::of(&builder.finish().0)
    }

    #[test]
    fn values_of_any_type_are_identities() {
        let values = [
            FieldValue::LongStr(b"1".to_vec()),
            FieldValue::LongStr(vec![7; 300]),
            FieldValue::LongStr(vec![7; 301]),
            FieldValue::I32(1),
            FieldValue::I64(1),
            FieldValue::Bool(true),
            FieldValue::F64(1.0),
            FieldValue::Array(vec![FieldValue::I32(1)]),
        ];
        let mut all: Vec<Key> =
            values.iter().map(|one| identity(&[(VALUE, one.clone())]).unwrap().key).collect();
        assert_eq!(identity(&[(VALUE, values[1].clone())]).unwrap().key, all[1]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), values.len(), "each is another");
        assert_eq!(identity(&[(VALUE, FieldValue::Void)]), None);
        assert_eq!(identity(&[("other", FieldValue::I32(1))]), None);
    }

    #[test]
    fn a_producer_needs_a_name_and_a_number() {
        let name = FieldValue::LongStr(b"p".to_vec());
        let of = |number| identity(&[(PRODUCER, name.clone()), (SEQUENCE, number)]);
        let key = of(FieldValue::I64(5)).unwrap().key;
        assert_eq!(of(FieldValue::U8(5)).unwrap().key, key, "of any width");
        assert_eq!(of(FieldValue::LongStr(b"5".to_vec())), None);
        assert_eq!(identity(&[(PRODUCER, name)]), None);
        for key in [key, Key::Value([9; 16])] {
            assert_eq!(Key::decode(&key.encode()), Some(key));
            assert_eq!(Key::decode(&key.encode()[..16]), None);
            assert_eq!(Key::decode(&[key.encode(), vec![0]].concat()), None);
        }
    }

    #[test]
    fn a_message_may_say_for_how_long() {
        let value = (VALUE, FieldValue::I32(1));
        let of = |ttl| identity(&[value.clone(), (TTL, ttl)]).unwrap();
        let (now, queue) = (Timestamp(100), Some(1000));
        assert_eq!(of(FieldValue::I32(5)).expires_at(now, queue), Timestamp(105));
        assert_eq!(of(FieldValue::I32(-5)).expires_at(now, queue), Timestamp(1100));
        assert_eq!(of(FieldValue::Void).expires_at(now, None), Timestamp::NEVER);
    }
}
