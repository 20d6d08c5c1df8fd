//! Emptying a queue: messages have to come in the order of their numbers.

use anyhow::{bail, ensure};
use leveret_client::wire::amqp091::frame::{Event, write_ack};
use leveret_client::wire::amqp091::method::Method;
use leveret_client::wire::amqp091::table::Table;
use leveret_client::{Closed, Error, Sender, delivery_tag};

use super::backlog::{Amount, Tenths};

/// What has come.
#[derive(Debug, Default)]
struct Order {
    expected: u64,
    wrong: u64,
    /// The beginning of the body that is coming.
    head: Vec<u8>,
}

impl Order {
    fn piece(&mut self, chunk: &[u8]) {
        let missing = 8 - self.head.len();
        if missing == 0 {
            return;
        }
        self.head.extend_from_slice(chunk.get(..missing.min(chunk.len())).unwrap_or_default());
        if let Some(number) = self.head.first_chunk() {
            let number = u64::from_be_bytes(*number);
            self.wrong += u64::from(number != self.expected);
            self.expected = number.wrapping_add(1);
        }
    }
}

/// Consumes all messages, acknowledging many at once; the last line has what was out of order.
pub fn run(amount: &Amount) -> anyhow::Result<()> {
    let (mut connection, channel) = amount.target.open()?;
    connection.qos(channel, amount.window)?;
    let (mut sender, mut receiver) = connection.split()?;
    consume(&mut sender, channel.0, &amount.target.queue)?;
    let (mut order, mut tenths) = (Order::default(), Tenths::new(amount.messages));
    let ack_every = u64::from(amount.window / 4).max(1);
    let (mut tag, mut acked, mut closed) = (0, 0, false);
    while !closed {
        ensure!(receiver.read()?, "the broker closed the connection");
        let before = tag;
        receiver.drain(|event| {
            match event {
                Event::Method { payload, channel } => match delivery_tag(payload) {
                    Some(delivered) => tag = delivered,
                    None => closed |= is_close_ok(channel, payload)?,
                },
                Event::Header { .. } => order.head.clear(),
                Event::Body { chunk, .. } => order.piece(chunk),
                Event::Heartbeat { .. } => {}
            }
            Ok(())
        })?;
        let before_full = tenths.are_full();
        tenths.add(tag - before);
        if tag >= acked + ack_every || (tenths.are_full() && tag > acked) {
            acked = tag;
            ack(&mut sender, channel.0, tag)?;
        }
        if tenths.are_full() && !before_full {
            close(&mut sender, channel.0)?;
        }
    }
    println!("{{\"received\": {tag}, \"out_of_order\": {}}}", order.wrong);
    if order.wrong > 0 {
        bail!("{} messages were out of order", order.wrong);
    }
    Ok(())
}

fn is_close_ok(channel: u16, payload: &[u8]) -> Result<bool, Error> {
    let method = Method::decode(payload)?;
    match Closed::of_method(channel, &method) {
        Some(error) => Err(error),
        None => Ok(matches!(method, Method::ChannelCloseOk {})),
    }
}

/// Begins to consume; there is no answer, which might come with deliveries behind it.
fn consume(sender: &mut Sender, channel: u16, queue: &str) -> Result<(), Error> {
    let (no_local, no_ack, exclusive, no_wait) = (false, false, false, true);
    let (consumer_tag, arguments) = ("drain", Table::EMPTY);
    let mut frame = Vec::new();
    #[rustfmt::skip]
    Method::BasicConsume {
        queue, consumer_tag, no_local, no_ack, exclusive, no_wait, arguments,
    }
    .encode_frame(channel, &mut frame);
    sender.write(&frame)
}

fn ack(sender: &mut Sender, channel: u16, tag: u64) -> Result<(), Error> {
    let mut frame = Vec::new();
    write_ack(&mut frame, channel, tag, true);
    sender.write(&frame)
}

/// Closes the channel, so that the broker has had the last ack when it answers.
fn close(sender: &mut Sender, channel: u16) -> Result<(), Error> {
    let mut frame = Vec::new();
    let (reply_code, reply_text) = (200, "bye");
    Method::ChannelClose { reply_code, reply_text, class_id: 0, method_id: 0 }
        .encode_frame(channel, &mut frame);
    sender.write(&frame)
}
