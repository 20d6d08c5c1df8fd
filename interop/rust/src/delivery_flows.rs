//! Flows about how a queue hands messages out: fairness, requeueing, sizes, priorities, cancels.

use std::hash::{BuildHasher, RandomState};

use lapin::message::BasicGetMessage;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};

use crate::harness::{
    Body, Consumer, Flow, Result, check, drain, equal, flows, publish, publish_with, ready, table,
    text_of,
};

pub const FLOWS: &[(&str, Body)] = flows![
    work_queue,
    get_nack_requeue,
    large_messages,
    consumer_cancel_notify,
    priorities_and_sac,
];

/// Two workers with prefetch 1: a busy one gets no second task; its task returns if it dies.
async fn work_queue(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let (durable, arguments) = (QueueDeclareOptions::durable(), FieldTable::default());
    let tasks = flow.queue_with(&channel, "tasks", durable, arguments).await?;
    let connection = flow.connect().await?;
    let first = flow.plain_channel(&connection).await?;
    let mut busy = worker(first, &tasks, 1, FieldTable::default()).await?;
    let second = flow.plain_channel(&connection).await?;
    let mut quick = worker(second, &tasks, 1, FieldTable::default()).await?;
    let numbers = ["0", "1", "2", "3", "4", "5"];
    for number in numbers {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        publish_with(&channel, "", &tasks, number, persistent).await?;
    }
    busy.wait(1).await?;
    for done in 1..6 {
        quick.wait(done).await?;
        quick.ack(done - 1).await?;
    }
    equal(busy.deliveries()?.len(), 1, "tasks given to the busy worker")?;
    let mut all = [busy.bodies()?, quick.bodies()?].concat();
    all.sort();
    equal(all, numbers, "all tasks")?;
    let redelivered = [busy.redelivered()?, quick.redelivered()?].concat();
    equal(redelivered, [false; 6], "redelivered flags")?;
    check(quick.bodies()?.is_sorted(), "order of the quick worker's tasks")?;

    busy.channel.close(200, "dead".into()).await?;
    let last = &quick.wait(6).await?[5];
    let expected = (busy.bodies()?.remove(0), true);
    equal((text_of(last), last.redelivered), expected, "the dead worker's task")?;
    quick.ack(5).await?;
    quick.channel.close(200, "done".into()).await?;
    equal(drain(&channel, &tasks).await?, [], "tasks left")
}

/// basic.get; nack of several at once; what is requeued comes back where it was.
async fn get_nack_requeue(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let queue = flow.queue(&channel, "queue").await?;
    for body in ["m1", "m2", "m3", "m4", "m5"] {
        publish(&channel, "", &queue, body).await?;
    }
    let first = get(&channel, &queue, 3).await?;
    let counts: Vec<_> = first.iter().map(|message| message.message_count).collect();
    equal(counts, [4, 3, 2], "message counts")?;
    let requeue = |multiple| BasicNackOptions { multiple, requeue: true };
    first[1].nack(requeue(true)).await?;
    let again = get(&channel, &queue, 3).await?;
    let expected = [("m1", true), ("m2", true), ("m4", false)];
    equal(seen(&again), expected.map(owned), "order and redelivered flags after the first nack")?;
    first[2].nack(requeue(false)).await?;
    let again = get(&channel, &queue, 1).await?;
    equal(seen(&again), [owned(("m3", true))], "the requeued message, ahead of m5")?;
    again[0].reject(BasicRejectOptions { requeue: false }).await?;
    channel.basic_ack(0, BasicAckOptions { multiple: true }).await?;
    let left = drain(&channel, &queue).await?;
    equal(left, [(queue.clone(), "m5".to_owned())], "what is left")?;
    let empty = channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
    check(empty.is_none(), "an empty queue gave a message")
}

async fn get(channel: &Channel, queue: &str, count: usize) -> Result<Vec<BasicGetMessage>> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
        messages.push(message.ok_or("the queue is empty")?);
    }
    Ok(messages)
}

fn seen(messages: &[BasicGetMessage]) -> Vec<(String, bool)> {
    let each = messages.iter();
    each.map(|message| (text_of(message), message.redelivered)).collect()
}

fn owned((body, redelivered): (&str, bool)) -> (String, bool) {
    (body.to_owned(), redelivered)
}

/// Bodies around the frame size and far above it arrive byte for byte.
async fn large_messages(flow: &Flow) -> Result {
    let connection = flow.connect().await?;
    let channel = flow.channel_on(&connection).await?;
    let queue = flow.queue(&channel, "queue").await?;
    let mut consumer = Consumer::start(&channel, &queue).await?;
    let frame_max = connection.configuration().frame_max() as usize;
    let around = [frame_max - 8, frame_max].map(|size| [size - 1, size, size + 1]);
    let above = [2 * (frame_max - 8), 1 << 20, 16 << 20];
    let sizes = [&[0, 1], around.as_flattened(), &above].concat();
    for (position, size) in sizes.into_iter().enumerate() {
        let body = random_bytes(size);
        publish(&channel, "", &queue, &body).await?;
        let received = &consumer.wait(position + 1).await?[position].data;
        equal(received.len(), size, "length of the body")?;
        check(*received == body, format!("a body of {size} bytes changed"))?;
        consumer.ack(position).await?;
    }
    Ok(())
}

fn random_bytes(size: usize) -> Vec<u8> {
    let state = RandomState::new();
    let words = (0..size.div_ceil(8)).flat_map(|number| state.hash_one(number).to_le_bytes());
    words.take(size).collect()
}

/// A consumer is told when its queue is deleted, and its channel stays usable.
async fn consumer_cancel_notify(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let doomed = flow.queue(&channel, "doomed").await?;
    let mut consumer = Consumer::start(&channel, &doomed).await?;
    publish(&channel, "", &doomed, "before").await?;
    consumer.wait(1).await?;
    let deleting = flow.channel().await?;
    deleting.queue_delete(doomed.into(), QueueDeleteOptions::default()).await?;
    consumer.cancelled().await?;
    let other = flow.queue(&channel, "other").await?;
    publish(&channel, "", &other, "after").await?;
    let through = drain(&channel, &other).await?;
    equal(through, [(other, "after".to_owned())], "messages through the same channel")
}

/// x-priority: the higher consumer first while it has room. Single active: one, then the next.
async fn priorities_and_sac(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let queue = flow.queue(&channel, "priorities").await?;
    let mut low = own_worker(flow, &queue, table([("x-priority", (-1).into())])).await?;
    let mut high = own_worker(flow, &queue, table([("x-priority", 10.into())])).await?;
    for body in ["0", "1", "2"] {
        publish(&channel, "", &queue, body).await?;
    }
    high.wait(2).await?;
    low.wait(1).await?;
    equal(high.bodies()?, ["0", "1"], "high first")?;
    equal(low.bodies()?, ["2"], "the rest to low")?;
    high.ack(0).await?;
    ready(&high.channel, &queue).await?; // the queue has seen the ack: publishes go another way
    publish(&channel, "", &queue, "3").await?;
    let third = text_of(&high.wait(3).await?[2]);
    equal(third, "3", "message after high has room again")?;
    equal(low.deliveries()?.len(), 1, "deliveries to low")?;

    let single = table([("x-single-active-consumer", true.into())]);
    let queue = flow.queue_with(&channel, "single", QueueDeclareOptions::default(), single).await?;
    let mut active = own_worker(flow, &queue, FieldTable::default()).await?;
    let mut waiting = own_worker(flow, &queue, FieldTable::default()).await?;
    for body in ["0", "1"] {
        publish(&channel, "", &queue, body).await?;
    }
    active.wait(2).await?;
    active.ack(0).await?;
    equal(ready(&channel, &queue).await?, 0, "messages ready")?;
    equal(waiting.deliveries()?.len(), 0, "deliveries to the waiting consumer")?;
    active.channel.close(200, "done".into()).await?;
    let next = &waiting.wait(1).await?[0];
    let next = (text_of(next), next.redelivered);
    equal(next, owned(("1", true)), "first message after the fail-over")?;
    publish(&channel, "", &queue, "2").await?;
    let second = text_of(&waiting.wait(2).await?[1]);
    equal(second, "2", "second message after the fail-over")
}

/// A worker with prefetch 2 on a connection of its own.
async fn own_worker(flow: &Flow, queue: &str, arguments: FieldTable) -> Result<Consumer> {
    let connection = flow.connect().await?;
    let channel = flow.plain_channel(&connection).await?;
    worker(channel, queue, 2, arguments).await
}

async fn worker(
    channel: Channel,
    queue: &str,
    prefetch: u16,
    arguments: FieldTable,
) -> Result<Consumer> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    Consumer::start_with(&channel, queue, BasicConsumeOptions::default(), arguments).await
}
