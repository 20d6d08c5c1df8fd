//! Messages that wait in a delayed-message exchange: how late each comes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use clap::Args;
use hdrhistogram::Histogram;
use leveret_client::wire::amqp091::properties::BasicProperties;
use leveret_client::wire::amqp091::table::FieldValue;
use leveret_client::{
    Channel, Connection, ConsumeOptions, ExchangeOptions, Incoming, Publish, QueueOptions,
};

/// How many messages are on their way without a confirm, at most.
const WINDOW: u64 = 10_000;

/// Messages with times.
#[derive(Debug, Clone, Args)]
pub struct Delayed {
    /// The broker.
    #[arg(long)]
    uri: String,
    /// How many.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Body size in bytes; at least 8.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// When the first is due, in milliseconds from the start: publishing should be over by then.
    #[arg(long, default_value_t = 30_000)]
    lead: u64,
    /// Over how many milliseconds their times are spread.
    #[arg(long, default_value_t = 60_000)]
    spread: u64,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A number's place in a random-looking order.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}

fn declare(connection: &mut Connection, channel: Channel) -> anyhow::Result<()> {
    let kind = FieldValue::LongStr(b"direct".to_vec());
    let arguments = [("x-delayed-type", kind)].into_iter().collect();
    let options = ExchangeOptions { durable: true, arguments, ..ExchangeOptions::default() };
    connection.declare_exchange(channel, "later", "x-delayed-message", &options)?;
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    connection.declare_queue(channel, "due", &options)?;
    connection.bind_queue(channel, "due", "later", "k")?;
    Ok(())
}

fn publish(
    load: &Delayed,
    (connection, channel): (&mut Connection, Channel),
    first: u64,
) -> anyhow::Result<()> {
    let mut body = vec![b'x'; load.size];
    for number in 0..load.count {
        let due = first + scatter(number) % load.spread.max(1);
        body[..8].copy_from_slice(&due.to_be_bytes());
        let at = FieldValue::I64(i64::try_from(due)?);
        let headers = Some([("x-deliver-at", at)].into_iter().collect());
        let properties =
            BasicProperties { delivery_mode: Some(2), headers, ..BasicProperties::default() };
        let (exchange, routing_key, mandatory) = ("later", "k", false);
        let message = Publish { exchange, routing_key, mandatory, properties, body: &body };
        connection.publish(channel, &message)?;
        if number % WINDOW == WINDOW - 1 {
            connection.wait_for_confirms(channel)?;
        }
    }
    connection.wait_for_confirms(channel)?;
    Ok(())
}

/// Publishes all, then consumes them as they become due; one line at the end of each.
pub fn run(load: &Delayed) -> anyhow::Result<()> {
    ensure!(load.size >= 8, "a body has to have room for its time");
    let mut connection = Connection::connect(&load.uri)?;
    let channel = connection.open_channel()?;
    declare(&mut connection, channel)?;
    connection.confirm_select(channel)?;
    let start = now();
    let first = start + load.lead;
    publish(load, (&mut connection, channel), first)?;
    let took = now() - start;
    println!("{{\"published\": {}, \"ms\": {took}}}", load.count);
    ensure!(took < load.lead, "publishing took longer than the lead");
    let options = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    connection.consume(channel, "due", &options)?;
    let mut worst = [0_u64; 20];
    let (mut late, mut early, mut backwards, mut last) =
        (Histogram::<u64>::new(3)?, 0_u64, 0_u64, 0);
    let most = Duration::from_millis(load.lead + load.spread + 60_000);
    while late.len() + early < load.count {
        let Some(incoming) = connection.next(most)? else { break };
        let Incoming::Delivery(delivery) = incoming else { continue };
        let Some(due) = delivery.body.first_chunk() else { continue };
        let due = u64::from_be_bytes(*due);
        backwards += u64::from(due < last);
        last = due;
        match now().checked_sub(due) {
            Some(millis) => {
                late.record(millis)?;
                let part = (due - first) * 20 / load.spread.max(1);
                worst[part as usize] = worst[part as usize].max(millis);
            }
            None => early += 1,
        }
    }
    println!(
        "{{\"received\": {}, \"early\": {early}, \"before_their_turn\": {backwards}, \
         \"late_ms_p50\": {}, \"late_ms_p99\": {}, \"late_ms_max\": {}}}",
        late.len() + early,
        late.value_at_quantile(0.5),
        late.value_at_quantile(0.99),
        late.max(),
    );
    println!("{{\"late_ms_max_of_each_20th\": {worst:?}}}");
    connection.close()?;
    Ok(())
}
