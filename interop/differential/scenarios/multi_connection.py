"""Several connections at once."""

from harness.registry import scenario


def two(s):
    """Two connections with a channel each, and a queue."""
    one, other = s.connect(), s.connect()
    q = s.name("q")
    channel = one.channel()
    channel.queue_declare(queue=q)
    return one, channel, other, other.channel(), q


@scenario
def publish_here_consume_there(s):
    _, ch, _, there, q = two(s)
    there.basic_consume(queue=q, consumer_tag="t")
    for body in "abc":
        ch.publish("", q, body)
    there.deliveries(3)
    there.basic_ack(delivery_tag=3, multiple=True)
    there.sync()


@scenario
def delete_there_while_consuming_here(s):
    _, ch, _, there, q = two(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_consume(queue=q, consumer_tag="u")
    there.queue_delete(queue=q)
    s.note("both are cancelled, in any order")
    entries = s.transcript.entries
    start = len(entries)
    ch.wait("basic_cancel")
    ch.wait("basic_cancel")
    entries[start:] = sorted(entries[start:])


@scenario
def purge_there_while_unacked_here(s):
    _, ch, _, there, q = two(s)
    s.put(q, "a", "b")
    ch.basic_get(queue=q)
    there.queue_purge(queue=q)
    ch.close()
    s.until(q, messages=1)
    there.basic_get(queue=q, no_ack=True)


@scenario
def redelivery_goes_to_the_other_connection(s):
    one, ch, _, there, q = two(s)
    s.put(q, "a", "b", "c")
    ch.basic_qos(prefetch_count=2)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(2)
    there.basic_consume(queue=q, consumer_tag="u")
    there.deliveries(1)
    one.abort()
    there.deliveries(2)


@scenario
def same_consumer_tag_on_two_connections(s):
    _, ch, _, there, q = two(s)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    there.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    s.put(q, "a")
    ch.deliveries(1)
    s.put(q, "b")
    there.deliveries(1)


@scenario
def exclusive_consumer_over_connections(s):
    one, ch, _, there, q = two(s)
    ch.basic_consume(queue=q, consumer_tag="t", exclusive=True)
    there.basic_consume(queue=q, consumer_tag="u")
    one.abort()
    s.until(q, consumers=0)
    there = s.channel()
    there.basic_consume(queue=q, consumer_tag="u", exclusive=True)


@scenario
def work_is_shared_by_prefetch(s):
    _, ch, _, there, q = two(s)
    for channel, tag in ((ch, "t"), (there, "u")):
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue=q, consumer_tag=tag)
    s.put(q, "a", "b")
    ch.deliveries(1)
    there.deliveries(1)
    s.put(q, *"cdef")
    for tag in (1, 2, 3):
        there.basic_ack(delivery_tag=tag)
        there.deliveries(1)
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)


@scenario
def declare_here_use_there(s):
    _, ch, _, there, _ = two(s)
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="topic")
    there.exchange_declare(exchange=x, exchange_type="topic")
    there.queue_declare(queue=s.name("r"), durable=True)
    ch.queue_bind(queue=s.name("r"), exchange=x, routing_key="#")
    there.publish(x, "any", "x", mandatory=True)
    there.sync()
    ch.basic_get(queue=s.name("r"), no_ack=True)


@scenario
def transaction_here_seen_there(s):
    _, ch, _, there, q = two(s)
    ch.tx_select()
    ch.publish("", q, "a")
    ch.sync()
    there.basic_get(queue=q)
    ch.tx_commit()
    s.until(q, messages=1)
    there.basic_get(queue=q)


@scenario
def dropped_connection_loses_its_transaction(s):
    one, ch, _, there, q = two(s)
    s.put(q, "old")
    ch.tx_select()
    ch.basic_get(queue=q)
    ch.basic_ack(delivery_tag=1)
    ch.publish("", q, "new")
    ch.sync()
    one.abort()
    s.until(q, messages=1)
    there.basic_get(queue=q)


@scenario
def request_and_reply_between_two(s):
    _, ch, _, there, q = two(s)
    reply = ch.queue_declare(queue="", exclusive=True).queue
    ch.basic_consume(queue=reply, consumer_tag="replies", no_ack=True)
    there.basic_consume(queue=q, consumer_tag="requests")
    ch.publish("", q, "ping", reply_to=reply, correlation_id="1")
    there.deliveries(1)
    there.publish("", reply, "pong", correlation_id="1")
    there.basic_ack(delivery_tag=1)
    ch.deliveries(1)


@scenario
def twenty_connections_on_a_queue(s):
    q = s.name("q")
    channels = [s.channel() for _ in range(20)]
    channels[0].queue_declare(queue=q)
    for ch in channels:
        ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    for number in range(20):
        s.put(q, str(number))
    for ch in channels:
        ch.deliveries(1)
