"""x-max-length and x-max-length-bytes, and what gives way."""

from harness.registry import scenario


def queue(s, **arguments):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, arguments={k.replace("_", "-"): v for k, v in arguments.items()})
    return c, ch, q


@scenario
def the_head_is_dropped(s):
    _, _, q = queue(s, x_max_length=3)
    s.put(q, *"abcde")
    s.drain(q)


@scenario
def length_0(s):
    _, _, q = queue(s, x_max_length=0)
    s.put(q, "a")
    s.drain(q)


@scenario
def length_0_with_a_consumer(s):
    _, ch, q = queue(s, x_max_length=0)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    s.put(q, "a", "b")
    ch.deliveries(2)


@scenario
def bytes_count_bodies(s):
    _, _, q = queue(s, x_max_length_bytes=10)
    s.put(q, "aaaa", "bbbb", "cccc", headers={"long": "x" * 100})
    s.drain(q)


@scenario
def a_body_over_the_limit(s):
    _, _, q = queue(s, x_max_length_bytes=10)
    s.put(q, "a", "b" * 11)
    s.drain(q)


@scenario
def both_limits(s):
    _, _, q = queue(s, x_max_length=2, x_max_length_bytes=5)
    s.put(q, "aaa", "bbb", "c", "d")
    s.drain(q)


@scenario
def unacked_does_not_count(s):
    _, ch, q = queue(s, x_max_length=2)
    s.put(q, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    s.put(q, "c", "d")
    s.until(q, messages=2)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    ch.sync()
    s.until(q, messages=2)
    s.drain(q)


@scenario
def refused_when_full(s):
    _, ch, q = queue(s, x_max_length=2, x_overflow="reject-publish")
    ch.confirm_select()
    for body in "abc":
        ch.publish("", q, body)
        ch.confirms()
    ch.basic_get(queue=q, no_ack=True)
    ch.publish("", q, "d")
    ch.confirms()
    s.drain(q)


@scenario
def refused_by_bytes(s):
    _, ch, q = queue(s, x_max_length_bytes=5, x_overflow="reject-publish")
    ch.confirm_select()
    for body in ("aaa", "bbb", "c", "d"):
        ch.publish("", q, body)
        ch.confirms()
    s.drain(q)


@scenario
def refused_without_confirms_is_silent(s):
    _, ch, q = queue(s, x_max_length=1, x_overflow="reject-publish")
    for body in "ab":
        ch.publish("", q, body, mandatory=True)
    ch.quiet()
    s.drain(q)


@scenario
def refused_in_a_transaction(s):
    _, ch, q = queue(s, x_max_length=1, x_overflow="reject-publish")
    ch.tx_select()
    for body in "abc":
        ch.publish("", q, body)
    ch.tx_commit()
    s.drain(q)


@scenario
def refused_with_a_consumer_waiting(s):
    _, ch, q = queue(s, x_max_length=0, x_overflow="reject-publish")
    publisher = s.channel()
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    publisher.confirm_select()
    publisher.publish("", q, "a")
    publisher.confirms()
    ch.quiet()
