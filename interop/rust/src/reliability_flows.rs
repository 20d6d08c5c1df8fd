//! Flows about promises: requests answered, confirms, transactions, errors, ownership.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::ExchangeKind;
use lapin::options::*;
use lapin::types::FieldTable;

use crate::harness::{
    Body, Consumer, Flow, Result, bind, check, closes, drain, equal, exchange_exists, flows,
    publish, publish_mandatory, publish_with, queue_exists, ready, take, taken_over, text_of,
    unbind, within,
};

pub const FLOWS: &[(&str, Body)] = flows![
    rpc,
    confirms_returns,
    transactions,
    reconnect_after_forced_close,
    exclusive_and_auto_delete,
];

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Direct reply-to: answers come without a reply queue, matched by correlation id.
async fn rpc(flow: &Flow) -> Result {
    let server = flow.plain_channel(&*flow.connect().await?).await?;
    let queue = flow.queue(&server, "squares").await?;
    let mut requests = Consumer::start(&server, &queue).await?;
    let client = flow.plain_channel(&*flow.connect().await?).await?;
    let mut answers = Consumer::start_auto_ack(&client, REPLY_TO).await?;
    for number in [3, 4, 5] {
        let request = BasicProperties::default()
            .with_reply_to(REPLY_TO.into())
            .with_correlation_id(format!("id-{number}").into());
        publish_with(&client, "", &queue, number.to_string(), request).await?;
    }
    for request in requests.wait(3).await? {
        let square = text_of(request).parse::<u32>()?.pow(2);
        let asked = &request.properties;
        let address = asked.reply_to().as_ref().ok_or("no reply address")?.as_str();
        let direct = address.starts_with(&format!("{REPLY_TO}."));
        check(direct, format!("reply address: {address}"))?;
        let id = asked.correlation_id().clone().ok_or("no correlation id")?;
        let reply = BasicProperties::default().with_correlation_id(id);
        publish_with(&server, "", address, square.to_string(), reply).await?;
        request.ack(BasicAckOptions::default()).await?;
    }
    let received = answers.wait(3).await?.iter();
    let got: Vec<_> = received
        .map(|answer| {
            let id = answer.properties.correlation_id().clone();
            (id.map(String::from).unwrap_or_default(), text_of(answer))
        })
        .collect();
    let expected = [("id-3", "9"), ("id-4", "16"), ("id-5", "25")];
    let expected = expected.map(|(id, body)| (id.to_owned(), body.to_owned()));
    equal(got, expected, "answers")
}

/// Every publish is confirmed once; an unroutable mandatory one is returned before that.
///
/// lapin matches confirms with publishes itself: it closes the channel on a confirm too many. The
/// next confirm after a return carries the returned message, so one alone must carry its own.
async fn confirms_returns(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let queue = flow.queue(&channel, "queue").await?;
    let mut confirms = Vec::new();
    for number in 0..=100 {
        let mandatory = number == 100;
        let (exchange, key) = match mandatory {
            true => ("amq.direct", "nowhere"),
            false => ("", queue.as_str()),
        };
        let options = BasicPublishOptions { mandatory, ..Default::default() };
        let (body, properties) = (number.to_string(), BasicProperties::default());
        let confirm = channel
            .basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties)
            .await?;
        confirms.push(confirm);
    }
    let mut returned = Vec::new();
    for confirm in confirms {
        if let Some(message) = taken_over(within(confirm, "confirms are missing").await??)? {
            returned.push((message.reply_code, message.routing_key.to_string()));
        }
    }
    equal(returned, [(312, "nowhere".to_owned())], "returns")?;
    equal(ready(&channel, &queue).await?, 100, "messages in the queue")?;
    let returned = publish_mandatory(&channel, "", &flow.unique("missing"), "").await?;
    let reply = returned.map(|message| message.reply_text.to_string());
    equal(reply.as_deref(), Some("NO_ROUTE"), "reply text of the return from a missing queue")
}

/// Publishes and acks take effect at commit, and not at all after a rollback.
async fn transactions(flow: &Flow) -> Result {
    let connection = flow.connect().await?;
    let watch = flow.plain_channel(&connection).await?;
    let queue = flow.queue(&watch, "queue").await?;
    let channel = flow.plain_channel(&connection).await?;
    let get = async || -> Result<_> {
        let message = channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await?;
        Ok(message.ok_or("the queue is empty")?.delivery)
    };
    let ack = async |tag| channel.basic_ack(tag, BasicAckOptions::default()).await;
    channel.tx_select().await?;
    publish(&channel, "", &queue, "1").await?;
    publish(&channel, "", &queue, "2").await?;
    equal(ready(&watch, &queue).await?, 0, "messages before commit")?;
    channel.tx_commit().await?;
    equal(ready(&watch, &queue).await?, 2, "messages after commit")?;
    publish(&channel, "", &queue, "3").await?;
    channel.tx_rollback().await?;
    channel.tx_commit().await?;
    equal(ready(&watch, &queue).await?, 2, "messages after rollback")?;

    let first = get().await?;
    equal(text_of(&first), "1", "first message")?;
    ack(first.delivery_tag).await?;
    channel.tx_rollback().await?;
    ack(first.delivery_tag).await?; // allowed: the first ack never happened
    channel.tx_commit().await?;
    let second = get().await?;
    equal(text_of(&second), "2", "second message")?;
    ack(second.delivery_tag).await?;
    channel.close(200, "done".into()).await?; // without commit: the message returns
    let last = take(&watch, &queue).await?.ok_or("the queue is empty")?;
    let expected = ("2".to_owned(), true);
    let what = "message whose ack was not committed";
    equal((text_of(&last), last.redelivered), expected, what)?;
    equal(drain(&watch, &queue).await?, [], "messages left")
}

/// A channel error costs the channel, a connection error the connection; both can go on.
async fn reconnect_after_forced_close(flow: &Flow) -> Result {
    let connection = flow.connect().await?;
    let channel = flow.channel_on(&connection).await?;
    let (durable, arguments) = (QueueDeclareOptions::durable(), FieldTable::default());
    let queue = flow.queue_with(&channel, "queue", durable, arguments).await?;
    let missing = flow.unique("missing");
    closes(404, publish(&channel, &missing, "", "")).await?;
    let open = connection.status().connected();
    check(open, "a channel error must leave the connection open")?;
    let channel = flow.channel_on(&connection).await?;
    publish(&channel, "", &queue, "kept").await?;

    // lapin cannot ask for a prefetch size, so another feature that is missing closes it.
    let immediate = BasicPublishOptions { immediate: true, ..Default::default() };
    let properties = BasicProperties::default();
    closes(540, async {
        channel
            .basic_publish("".into(), queue.as_str().into(), immediate, b"", properties)
            .await?
            .await
    })
    .await?;
    check(!connection.status().connected(), "the connection must be closed")?;

    let channel = flow.channel().await?;
    publish(&channel, "", &queue, "new").await?;
    let mut consumer = Consumer::start_auto_ack(&channel, &queue).await?;
    consumer.wait(2).await?;
    equal(consumer.bodies()?, ["kept", "new"], "messages after reconnecting")
}

/// An exclusive queue is its connection's own; auto-delete goes with the last user.
async fn exclusive_and_auto_delete(flow: &Flow) -> Result {
    let owner = flow.connect().await?;
    let other = flow.connect().await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let owning = flow.plain_channel(&owner).await?;
    let mine = flow.queue_with(&owning, "private", exclusive, FieldTable::default()).await?;
    let probe = flow.plain_channel(&other).await?;
    closes(405, ready(&probe, &mine)).await?;
    let probe = flow.plain_channel(&other).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consuming = probe.basic_consume(mine.as_str().into(), "".into(), options, arguments);
    closes(405, consuming).await?;
    owner.close(200, "done".into()).await?;
    let gone = async {
        while queue_exists(&other, &mine).await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Result::Ok(())
    };
    within(gone, "the exclusive queue outlived its connection").await??;

    let channel = flow.channel_on(&other).await?;
    let auto_delete = QueueDeclareOptions { auto_delete: true, ..Default::default() };
    let queue = flow.queue_with(&channel, "fleeting", auto_delete, FieldTable::default()).await?;
    let first = Consumer::start(&channel, &queue).await?;
    let second = Consumer::start(&channel, &queue).await?;
    first.cancel().await?;
    let stands = queue_exists(&other, &queue).await?;
    check(stands, "the auto-delete queue is gone though one consumer is left")?;
    second.cancel().await?;
    let stands = queue_exists(&other, &queue).await?;
    check(!stands, "the auto-delete queue outlived its last consumer")?;

    let (kind, arguments) = (ExchangeKind::Fanout, FieldTable::default());
    let auto_delete = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
    let exchange = flow.exchange_with(&channel, "passing", kind, auto_delete, arguments).await?;
    let bound = flow.queue(&channel, "bound").await?;
    bind(&channel, &bound, &exchange, "").await?;
    let stands = exchange_exists(&other, &exchange).await?;
    check(stands, "the auto-delete exchange is gone though it is bound")?;
    unbind(&channel, &bound, &exchange, "").await?;
    let stands = exchange_exists(&other, &exchange).await?;
    check(!stands, "the auto-delete exchange outlived its last binding")
}
