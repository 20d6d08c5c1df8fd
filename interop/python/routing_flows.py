"""Flows about where a message goes: exchange types, bindings between exchanges, alternates."""

from datetime import datetime, timezone
from decimal import Decimal

import pika

from harness import Consumer, drain, equal


def publish_subscribe(flow):
    """fanout: each subscriber's own queue gets every message, until it is unbound."""
    channel = flow.channel()
    news = flow.exchange(channel, "news", "fanout")
    readers = []
    for _ in range(2):
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, news)
        readers.append((queue, Consumer(channel, queue, auto_ack=True)))
    channel.basic_publish(news, "ignored", b"first")
    for _, reader in readers:
        equal(reader.wait(1)[0][2], b"first", "body for every subscriber")
    channel.queue_unbind(readers[0][0], news)
    channel.basic_publish(news, "", b"second")
    readers[1][1].wait(2)
    equal(readers[0][1].bodies(), [b"first"], "what the unbound subscriber has")


def routing(flow):
    """direct: the routing key must equal the binding key; several keys may lead to one queue."""
    channel = flow.channel()
    logs = flow.exchange(channel, "logs", "direct", durable=True)
    errors = flow.queue(channel, "errors")
    everything = flow.queue(channel, "everything")
    channel.queue_bind(errors, logs, "error")
    for severity in ("info", "warning", "error"):
        channel.queue_bind(everything, logs, severity)
    for severity in ("info", "error", "debug", "warning", "error"):
        channel.basic_publish(logs, severity, severity.upper().encode())
    equal(drain(channel, errors), [("error", b"ERROR")] * 2, "messages in errors")
    expected = [(key, key.upper().encode()) for key in ("info", "error", "warning", "error")]
    equal(drain(channel, everything), expected, "messages in everything")


def topics(flow):
    """topic: `*` is one word, `#` any number of them, and two matching bindings make one copy."""
    channel = flow.channel()
    animals = flow.exchange(channel, "animals", "topic")
    bindings = {
        "orange": ["*.orange.*"],
        "rabbits": ["*.*.rabbit", "lazy.#"],
        "all": ["#"],
        "middle": ["quick.#.fox"],
    }
    queues = {name: flow.queue(channel, name) for name in bindings}
    for name, patterns in bindings.items():
        for pattern in patterns:
            channel.queue_bind(queues[name], animals, pattern)
    keys = ["quick.orange.rabbit", "lazy.orange.elephant", "quick.orange.fox", "lazy.pink.rabbit",
            "quick.brown.fox", "orange", "quick.orange.new.rabbit", "lazy", "quick.fox", ""]
    for key in keys:
        channel.basic_publish(animals, key, b"")
    arrived = {name: [key for key, _ in drain(channel, queue)] for name, queue in queues.items()}
    equal(arrived["orange"], keys[:3], "keys matching *.orange.*")
    equal(arrived["rabbits"], [keys[0], keys[1], keys[3], "lazy"], "keys of two patterns, once each")
    equal(arrived["all"], keys, "keys matching #")
    equal(arrived["middle"], ["quick.orange.fox", "quick.brown.fox", "quick.fox"],
          "keys matching quick.#.fox")


FIELDS = {
    "boolean": True,
    "int": -70_000,
    "long": 2**40 + 1,
    "decimal": Decimal("3.14"),
    "timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
    "text": "Häschen 🐇",
    "bytes": b"\x00\xff\x80",
    "void": None,
    "array": [1, "two", False, None, [b"\x00"], {"deep": 3}],
    "table": {"inner": {"key": "value"}, "empty": {}, "nothing": []},
}
PROPERTIES = {
    "content_type": "text/plain", "content_encoding": "utf-8", "delivery_mode": 1, "priority": 3,
    "correlation_id": "c-1", "reply_to": "somewhere", "expiration": "60000", "message_id": "m-1",
    "timestamp": 1_767_323_045, "type": "sample", "user_id": "guest", "app_id": "interop",
}


def headers(flow):
    """headers: x-match all and any; and every field type and property arrives as it was sent."""
    channel = flow.channel()
    papers = flow.exchange(channel, "papers", "headers")
    both = flow.queue(channel, "both")
    either = flow.queue(channel, "either")
    wanted = {"format": "pdf", "pages": 7}
    channel.queue_bind(both, papers, arguments={"x-match": "all", **wanted})
    channel.queue_bind(either, papers, arguments={"x-match": "any", **wanted})
    samples = [wanted, {**wanted, "more": 1}, {"format": "pdf"}, {"format": "zip", "pages": 7},
               {"format": "zip"}, {}]
    for number, sample in enumerate(samples):
        properties = pika.BasicProperties(headers=sample)
        channel.basic_publish(papers, "", str(number).encode(), properties)
    equal([body for _, body in drain(channel, both)], [b"0", b"1"], "matched by all")
    equal([body for _, body in drain(channel, either)], [b"0", b"1", b"2", b"3"], "matched by any")

    channel.basic_publish("", both, b"", pika.BasicProperties(headers=FIELDS, **PROPERTIES))
    _, properties, _ = channel.basic_get(both, auto_ack=True)
    for key, value in FIELDS.items():
        equal(properties.headers[key], value, f"header {key}")
    equal(len(properties.headers), len(FIELDS), "number of headers")
    for key, value in PROPERTIES.items():
        equal(getattr(properties, key), value, f"property {key}")


def exchange_to_exchange(flow):
    """Exchanges bound to exchanges: chained patterns, one copy for two ways, and unbinding."""
    channel = flow.channel()
    source = flow.exchange(channel, "source", "topic")
    relay = flow.exchange(channel, "relay", "fanout")
    queue = flow.queue(channel, "queue")
    channel.exchange_bind(relay, source, "orders.#")
    channel.queue_bind(queue, relay)
    channel.queue_bind(queue, source, "*.paid")
    for key in ("orders.new", "orders.paid", "parcels.sent"):
        channel.basic_publish(source, key, b"")
    equal([key for key, _ in drain(channel, queue)], ["orders.new", "orders.paid"], "keys by relay")
    channel.exchange_unbind(relay, source, "orders.#")
    channel.basic_publish(source, "orders.new", b"")
    equal(drain(channel, queue), [], "messages after unbinding the exchanges")


def alternate_exchange(flow):
    """What no binding takes goes to the alternate exchange, and is then not returned."""
    channel = flow.channel()
    rest = flow.exchange(channel, "rest", "fanout")
    main = flow.exchange(channel, "main", "direct", arguments={"alternate-exchange": rest})
    known = flow.queue(channel, "known")
    unknown = flow.queue(channel, "unknown")
    channel.queue_bind(known, main, "known")
    channel.queue_bind(unknown, rest)
    channel.basic_publish(main, "known", b"1", mandatory=True)
    channel.basic_publish(main, "other", b"2", mandatory=True)  # raises if it were returned
    equal(drain(channel, known), [("known", b"1")], "messages bound for")
    equal(drain(channel, unknown), [("other", b"2")], "messages of the alternate exchange")
    channel.queue_unbind(unknown, rest)
    try:
        channel.basic_publish(main, "other", b"3", mandatory=True)
    except pika.exceptions.UnroutableError as error:
        equal(error.messages[0].method.reply_code, 312, "reply code of the return")
    else:
        raise AssertionError("a message that the alternate cannot route either must be returned")


FLOWS = [publish_subscribe, routing, topics, headers, exchange_to_exchange, alternate_exchange]
