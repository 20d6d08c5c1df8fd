//! The messages: who wrote which one, and whether one came back as it was written.
//!
//! A body is the publisher (1 byte), the number (5), a CRC-32C of both and the rest (4), and the
//! rest, which follows from publisher and number. The message id repeats both.

use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::{Channel, Connection, Delivery, Error, Publish};

use super::random::Random;
use super::topology::{self, Queue, Route};

/// The smallest body.
pub const SIZE_MIN: u32 = 10;
/// The largest body.
pub const SIZE_MAX: u32 = 64 << 10;

/// One message: the publisher and its number, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    /// Who published it.
    pub publisher: u8,
    /// Its number among those of the publisher.
    pub number: u64,
}

/// One copy of a message: the message in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The queue.
    pub queue: Queue,
    /// The message.
    pub id: Id,
}

/// A size, as often below 1 KiB as above.
pub fn random_size(random: &mut Random, max: u32) -> u32 {
    let share = random.below(1 << 20) as f64 / f64::from(1 << 20);
    let ratio = f64::from(max) / f64::from(SIZE_MIN);
    (f64::from(SIZE_MIN) * ratio.powf(share)).round() as u32
}

/// The body of a message.
pub fn body(id: Id, size: u32) -> Vec<u8> {
    let mut body = vec![id.publisher];
    body.extend_from_slice(&id.number.to_be_bytes()[3..]);
    body.extend_from_slice(&[0; 4]);
    let mut random = Random::of(id.number, u64::from(id.publisher));
    while body.len() < size as usize {
        body.extend_from_slice(&random.next().to_be_bytes());
    }
    body.truncate(size.max(SIZE_MIN) as usize);
    let sum = checksum(&body);
    body[6..10].copy_from_slice(&sum.to_be_bytes());
    body
}

fn checksum(body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&body[..6]), &body[10..])
}

/// Publishes a persistent message by one of the routes; returns its confirm's number.
pub fn publish(
    connection: &mut Connection,
    channel: Channel,
    id: Id,
    (route, size): (Route, u32),
) -> Result<u64, Error> {
    let (exchange, routing_key) = topology::address(route);
    let properties = BasicProperties {
        delivery_mode: Some(2),
        message_id: Some(format!("{}-{}", id.publisher, id.number).as_str().into()),
        ..BasicProperties::default()
    };
    let body = body(id, size);
    let message = Publish { exchange, routing_key, mandatory: false, properties, body: &body };
    connection.publish(channel, &message)
}

/// Which message a delivery is; in words if it is none that was ever written.
pub fn read(delivery: &Delivery) -> Result<Id, String> {
    let body = &delivery.body;
    if body.len() < SIZE_MIN as usize {
        return Err(format!("a body of {} bytes", body.len()));
    }
    let mut number = [0; 8];
    number[3..].copy_from_slice(&body[1..6]);
    let id = Id { publisher: body[0], number: u64::from_be_bytes(number) };
    let told = delivery.properties.message_id.as_ref().and_then(|id| id.as_str());
    let named = format!("{}-{}", id.publisher, id.number);
    if checksum(body).to_be_bytes() != body[6..10] {
        return Err(format!("a damaged body of {} bytes, message id {told:?}", body.len()));
    }
    if told != Some(&named) || delivery.properties.delivery_mode != Some(2) {
        return Err(format!("message {named} with properties {:?}", delivery.properties));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: Id, size: u32) -> Delivery {
        let message_id = Some(format!("{}-{}", id.publisher, id.number).as_str().into());
        let properties =
            BasicProperties { delivery_mode: Some(2), message_id, ..BasicProperties::default() };
        Delivery { body: body(id, size), properties, ..Delivery::default() }
    }

    #[test]
    fn a_changed_bit_is_noticed() {
        let id = Id { publisher: 3, number: 0x12_3456_789A };
        for size in [10, 11, 200] {
            assert_eq!(read(&delivery(id, size)), Ok(id));
            for bit in 0..size as usize * 8 {
                let mut damaged = delivery(id, size);
                damaged.body[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&damaged).is_err(), "bit {bit} of {size} bytes");
            }
        }
    }

    #[test]
    fn sizes_stay_within_their_bounds() {
        let mut random = Random::of(1, 1);
        let sizes: Vec<_> = (0..10_000).map(|_| random_size(&mut random, SIZE_MAX)).collect();
        assert!(sizes.iter().all(|size| (SIZE_MIN..=SIZE_MAX).contains(size)));
        assert!(sizes.iter().filter(|&&size| size < 1024).count() > 4000);
        assert!(sizes.iter().any(|&size| size > 60_000));
    }
}
