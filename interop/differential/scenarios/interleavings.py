"""Several channels of one connection at once."""

from harness import wire
from harness.registry import scenario


@scenario
def publishes_cut_into_each_other(s):
    """Method, header and body frames of three channels take turns."""
    c = s.connect()
    channels = [c.channel() for _ in range(3)]
    queues = [s.name(f"q{number}") for number in range(3)]
    for ch, q in zip(channels, queues, strict=True):
        ch.queue_declare(queue=q)
    for ch, q in zip(channels, queues, strict=True):
        ch.send("basic_publish", routing_key=q)
    for ch in channels:
        header = wire.encode_header(6, {"message_id": ch.label})
        ch.send_payload(wire.FRAME_HEADER, header, "header")
    for part in (b"abc", b"def"):
        for ch in reversed(channels):
            ch.send_payload(wire.FRAME_BODY, part, f"body {part.decode()}")
    for ch, q in zip(channels, queues, strict=True):
        ch.basic_get(queue=q, no_ack=True)


@scenario
def error_in_the_middle_of_anothers_publish(s):
    c = s.connect()
    one, two = c.channel(), c.channel()
    q = s.name("q")
    one.queue_declare(queue=q)
    one.send("basic_publish", routing_key=q)
    two.queue_declare(queue=s.name("missing"), passive=True)
    one.send_payload(wire.FRAME_HEADER, wire.encode_header(1, {}), "header")
    one.send_payload(wire.FRAME_BODY, b"x", "body")
    one.basic_get(queue=q, no_ack=True)


@scenario
def closing_in_the_middle_of_ones_own_publish(s):
    c = s.connect()
    one, two = c.channel(), c.channel()
    q = s.name("q")
    two.queue_declare(queue=q)
    one.send("basic_publish", routing_key=q)
    one.send_payload(wire.FRAME_HEADER, wire.encode_header(10, {}), "header")
    one.send_payload(wire.FRAME_BODY, b"half", "half of the body")
    one.close()
    two.basic_get(queue=q)
    c.until_closed(timeout_s=0.3)


@scenario
def connection_error_ends_all_channels(s):
    c = s.connect()
    one, two = c.channel(), c.channel()
    q = s.name("q")
    two.queue_declare(queue=q)
    s.put(q, "a")
    two.basic_get(queue=q)
    one.basic_qos(prefetch_size=1)
    s.until(q, messages=1)
    s.drain(q)


@scenario
def consumers_on_many_channels(s):
    c = s.connect()
    q = s.name("q")
    channels = [c.channel() for _ in range(10)]
    channels[0].queue_declare(queue=q)
    for ch in channels:
        ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    for number in range(20):
        s.put(q, str(number))
    for ch in channels:
        ch.deliveries(2)


@scenario
def each_has_its_own_current_queue(s):
    c = s.connect()
    one, two = c.channel(), c.channel()
    one.queue_declare(queue=s.name("a"))
    two.queue_declare(queue=s.name("b"))
    one.publish("", s.name("a"), "for a")
    one.sync()
    two.basic_get(queue="")
    one.basic_get(queue="")


@scenario
def each_has_its_own_mode(s):
    c = s.connect()
    plain, confirming, transactional = c.channel(), c.channel(), c.channel()
    q = s.name("q")
    plain.queue_declare(queue=q)
    confirming.confirm_select()
    transactional.tx_select()
    plain.publish("", q, "plain")
    plain.sync()
    confirming.publish("", q, "confirming")
    confirming.confirms()
    transactional.publish("", q, "transactional")
    transactional.sync()
    s.until(q, messages=2)
    transactional.tx_commit()
    s.until(q, messages=3)
    s.drain(q)


@scenario
def ack_on_the_wrong_channel(s):
    c = s.connect()
    one, two = c.channel(), c.channel()
    q = s.name("q")
    one.queue_declare(queue=q)
    s.put(q, "a")
    one.basic_get(queue=q)
    two.basic_ack(delivery_tag=1)
    two.wait("channel_close")
    one.basic_ack(delivery_tag=1)
    one.sync()


@scenario
def cancel_on_the_wrong_channel(s):
    c = s.connect()
    one, two = c.channel(), c.channel()
    q = s.name("q")
    one.queue_declare(queue=q)
    one.basic_consume(queue=q, consumer_tag="t")
    two.basic_cancel(consumer_tag="t")
    s.put(q, "a")
    one.deliveries(1)


@scenario
def open_use_close_a_hundred_times(s):
    c = s.connect()
    q = s.name("q")
    c.channel(1).queue_declare(queue=q)
    for number in range(100):
        ch = c.channel(2)
        ch.publish("", q, str(number))
        ch.close()
    for _ in range(101):
        c.channels[1].basic_get(queue=q, no_ack=True)


@scenario
def pipelined_declares_over_channels(s):
    c = s.connect()
    channels = [c.channel() for _ in range(5)]
    for number, ch in enumerate(channels):
        ch.send("queue_declare", queue=s.name(f"q{number}"))
        ch.send("queue_declare", queue=s.name(f"q{number}"), passive=True)
        ch.send("queue_delete", queue=s.name(f"q{number}"))
    for ch in reversed(channels):
        ch.wait("queue_delete_ok")


@scenario
def publish_and_consume_on_one_channel(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    for number in range(50):
        ch.publish("", q, str(number))
    ch.deliveries(50)
