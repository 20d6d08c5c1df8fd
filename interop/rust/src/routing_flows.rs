//! Flows about where a message goes: exchange types, bindings between exchanges, alternates.

use lapin::options::*;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Channel, ExchangeKind};

use crate::harness::{
    Body, Consumer, Flow, Result, bind, check, drain, equal, flows, publish, publish_mandatory,
    publish_with, table, take, text, unbind,
};

pub const FLOWS: &[(&str, Body)] =
    flows![publish_subscribe, routing, topics, headers, exchange_to_exchange, alternate_exchange,];

async fn keys_in(channel: &Channel, queue: &str) -> Result<Vec<String>> {
    let messages = drain(channel, queue).await?;
    Ok(messages.into_iter().map(|(key, _)| key).collect())
}

async fn bodies_in(channel: &Channel, queue: &str) -> Result<Vec<String>> {
    let messages = drain(channel, queue).await?;
    Ok(messages.into_iter().map(|(_, body)| body).collect())
}

/// fanout: each subscriber's own queue gets every message, until it is unbound.
async fn publish_subscribe(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let news = flow.exchange(&channel, "news", ExchangeKind::Fanout).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let mut readers = Vec::new();
    for _ in 0..2 {
        let declared = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
        let queue = declared.name().to_string();
        bind(&channel, &queue, &news, "").await?;
        let consumer = Consumer::start_auto_ack(&channel, &queue).await?;
        readers.push((queue, consumer));
    }
    publish(&channel, &news, "ignored", "first").await?;
    for (_, consumer) in &mut readers {
        consumer.wait(1).await?;
        equal(consumer.bodies()?, ["first"], "body for every subscriber")?;
    }
    unbind(&channel, &readers[0].0, &news, "").await?;
    publish(&channel, &news, "", "second").await?;
    readers[1].1.wait(2).await?;
    equal(readers[0].1.bodies()?, ["first"], "what the unbound subscriber has")
}

/// direct: the routing key must equal the binding key; several keys may lead to one queue.
async fn routing(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let (kind, arguments) = (ExchangeKind::Direct, FieldTable::default());
    let logs = flow.exchange_with(&channel, "logs", kind, durable, arguments).await?;
    let errors = flow.queue(&channel, "errors").await?;
    let everything = flow.queue(&channel, "everything").await?;
    bind(&channel, &errors, &logs, "error").await?;
    for severity in ["info", "warning", "error"] {
        bind(&channel, &everything, &logs, severity).await?;
    }
    for severity in ["info", "error", "debug", "warning", "error"] {
        publish(&channel, &logs, severity, severity.to_uppercase()).await?;
    }
    let expected = |key: &str| (key.to_owned(), key.to_uppercase());
    let arrived = drain(&channel, &errors).await?;
    equal(arrived, ["error", "error"].map(expected), "messages in errors")?;
    let arrived = drain(&channel, &everything).await?;
    let keys = ["info", "error", "warning", "error"];
    equal(arrived, keys.map(expected), "messages in everything")
}

/// topic: `*` is one word, `#` any number of them, and two matching bindings make one copy.
async fn topics(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let animals = flow.exchange(&channel, "animals", ExchangeKind::Topic).await?;
    let keys = [
        "quick.orange.rabbit",
        "lazy.orange.elephant",
        "quick.orange.fox",
        "lazy.pink.rabbit",
        "quick.brown.fox",
        "orange",
        "quick.orange.new.rabbit",
        "lazy",
        "quick.fox",
        "",
    ];
    let rabbits = [keys[0], keys[1], keys[3], "lazy"];
    let middle = ["quick.orange.fox", "quick.brown.fox", "quick.fox"];
    let cases: [(&str, &[&str], &[&str]); 4] = [
        ("orange", &["*.orange.*"], &keys[..3]),
        ("rabbits", &["*.*.rabbit", "lazy.#"], &rabbits),
        ("all", &["#"], &keys),
        ("middle", &["quick.#.fox"], &middle),
    ];
    for (name, patterns, _) in cases {
        let queue = flow.queue(&channel, name).await?;
        for pattern in patterns {
            bind(&channel, &queue, &animals, pattern).await?;
        }
    }
    for key in keys {
        publish(&channel, &animals, key, "").await?;
    }
    for (name, patterns, expected) in cases {
        let arrived = keys_in(&channel, &flow.unique(name)).await?;
        equal(arrived, expected, &format!("keys matching {patterns:?}"))?;
    }
    Ok(())
}

/// headers: x-match all and any; and every field type and property arrives as it was sent.
async fn headers(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let papers = flow.exchange(&channel, "papers", ExchangeKind::Headers).await?;
    let format = |value| ("format", text(value));
    let pages = ("pages", AMQPValue::from(7));
    let mut queues = Vec::new();
    for (name, how) in [("both", "all"), ("either", "any")] {
        let queue = flow.queue(&channel, name).await?;
        let arguments = table([("x-match", text(how)), format("pdf"), pages.clone()]);
        let options = QueueBindOptions::default();
        let (to, from) = (queue.as_str().into(), papers.as_str().into());
        channel.queue_bind(to, from, "".into(), options, arguments).await?;
        queues.push(queue);
    }
    let samples = [
        table([format("pdf"), pages.clone()]),
        table([format("pdf"), pages.clone(), ("more", 1.into())]),
        table([format("pdf")]),
        table([format("zip"), pages]),
        table([format("zip")]),
        table([]),
    ];
    for (number, sample) in samples.into_iter().enumerate() {
        let properties = BasicProperties::default().with_headers(sample);
        publish_with(&channel, &papers, "", number.to_string(), properties).await?;
    }
    let matched = bodies_in(&channel, &queues[0]).await?;
    equal(matched, ["0", "1"], "matched by all")?;
    let matched = bodies_in(&channel, &queues[1]).await?;
    equal(matched, ["0", "1", "2", "3"], "matched by any")?;

    let sent = all_properties().with_headers(all_field_types());
    publish_with(&channel, "", &queues[0], "", sent.clone()).await?;
    let received = take(&channel, &queues[0]).await?.ok_or("no message came")?;
    equal(received.properties, sent, "properties and headers")
}

fn all_field_types() -> FieldTable {
    let array = FieldArray::from(vec![
        1.into(),
        text("two"),
        false.into(),
        AMQPValue::Void,
        FieldArray::from(vec![ByteArray::from(&b"\x00"[..]).into()]).into(),
        table([("deep", 3.into())]).into(),
    ]);
    let nested = table([
        ("inner", table([("key", text("value"))]).into()),
        ("empty", table([]).into()),
        ("nothing", FieldArray::default().into()),
    ]);
    let decimal = DecimalValue { scale: 2, value: 314 };
    table([
        ("boolean", true.into()),
        ("int", (-70_000).into()),
        ("long", ((1_i64 << 40) + 1).into()),
        ("decimal", decimal.into()),
        ("timestamp", 1_767_323_045_u64.into()),
        ("text", text("Häschen 🐇")),
        ("bytes", ByteArray::from(&b"\x00\xff\x80"[..]).into()),
        ("void", AMQPValue::Void),
        ("array", array.into()),
        ("table", nested.into()),
    ])
}

fn all_properties() -> BasicProperties {
    BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(1)
        .with_priority(3)
        .with_correlation_id("c-1".into())
        .with_reply_to("somewhere".into())
        .with_expiration("60000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_767_323_045)
        .with_type("sample".into())
        .with_user_id("guest".into())
        .with_app_id("interop".into())
}

/// Exchanges bound to exchanges: chained patterns, one copy for two ways, and unbinding.
async fn exchange_to_exchange(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let source = flow.exchange(&channel, "source", ExchangeKind::Topic).await?;
    let relay = flow.exchange(&channel, "relay", ExchangeKind::Fanout).await?;
    let queue = flow.queue(&channel, "queue").await?;
    let names = || (relay.as_str().into(), source.as_str().into(), "orders.#".into());
    let (to, from, key) = names();
    let options = ExchangeBindOptions::default();
    channel.exchange_bind(to, from, key, options, FieldTable::default()).await?;
    bind(&channel, &queue, &relay, "").await?;
    bind(&channel, &queue, &source, "*.paid").await?;
    for key in ["orders.new", "orders.paid", "parcels.sent"] {
        publish(&channel, &source, key, "").await?;
    }
    let arrived = keys_in(&channel, &queue).await?;
    equal(arrived, ["orders.new", "orders.paid"], "keys by relay")?;
    let (to, from, key) = names();
    let options = ExchangeUnbindOptions::default();
    channel.exchange_unbind(to, from, key, options, FieldTable::default()).await?;
    publish(&channel, &source, "orders.new", "").await?;
    equal(drain(&channel, &queue).await?, [], "messages after unbinding the exchanges")
}

/// What no binding takes goes to the alternate exchange, and is then not returned.
async fn alternate_exchange(flow: &Flow) -> Result {
    let channel = flow.channel().await?;
    let rest = flow.exchange(&channel, "rest", ExchangeKind::Fanout).await?;
    let (kind, options) = (ExchangeKind::Direct, ExchangeDeclareOptions::default());
    let alternate = table([("alternate-exchange", text(&rest))]);
    let main = flow.exchange_with(&channel, "main", kind, options, alternate).await?;
    let known = flow.queue(&channel, "known").await?;
    let unknown = flow.queue(&channel, "unknown").await?;
    bind(&channel, &known, &main, "known").await?;
    bind(&channel, &unknown, &rest, "").await?;
    for (key, body) in [("known", "1"), ("other", "2")] {
        let returned = publish_mandatory(&channel, &main, key, body).await?;
        check(returned.is_none(), format!("{key} was returned"))?;
    }
    let message = |key: &str, body: &str| [(key.to_owned(), body.to_owned())];
    let arrived = drain(&channel, &known).await?;
    equal(arrived, message("known", "1"), "messages bound for")?;
    let arrived = drain(&channel, &unknown).await?;
    equal(arrived, message("other", "2"), "messages of the alternate exchange")?;
    unbind(&channel, &unknown, &rest, "").await?;
    let returned = publish_mandatory(&channel, &main, "other", "3").await?;
    let code = returned.map(|message| message.reply_code);
    equal(code, Some(312), "reply code of the return of what the alternate cannot route either")
}
