"""basic.qos: limits per consumer and per channel."""

from harness.registry import scenario


def with_messages(s, *bodies):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    if bodies:
        s.put(q, *bodies)
    return c, ch, q


@scenario
def prefetch_size(s):
    c, ch, _ = with_messages(s)
    ch.basic_qos(prefetch_size=10)
    c.until_closed()


@scenario
def prefetch_size_and_global(s):
    c, ch, _ = with_messages(s)
    ch.basic_qos(prefetch_size=1, prefetch_count=1, global_=True)
    c.until_closed()


@scenario
def limit_per_consumer(s):
    _, ch, q = with_messages(s, *"abcde")
    ch.basic_qos(prefetch_count=2)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(2)
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)
    ch.quiet()
    ch.basic_ack(delivery_tag=3, multiple=True)
    ch.deliveries(2)


@scenario
def limit_is_for_new_consumers_only(s):
    _, ch, q = with_messages(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_qos(prefetch_count=1)
    s.put(q, *"abc")
    ch.deliveries(3)


@scenario
def limit_is_each_consumers_own(s):
    _, ch, q = with_messages(s)
    other = s.name("r")
    ch.queue_declare(queue=other)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_consume(queue=other, consumer_tag="u")
    s.put(q, "a", "b")
    ch.deliveries(1)
    s.put(other, "c", "d")
    ch.deliveries(1)
    ch.quiet()
    ch.basic_ack(delivery_tag=2)
    ch.deliveries(1)


@scenario
def nack_frees_the_limit(s):
    _, ch, q = with_messages(s, "a", "b")
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    ch.basic_nack(delivery_tag=1, requeue=False)
    ch.deliveries(1)
    ch.basic_reject(delivery_tag=2, requeue=True)
    ch.deliveries(1)


@scenario
def no_ack_consumers_have_no_limit(s):
    _, ch, q = with_messages(s, *"abc")
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.deliveries(3)


@scenario
def get_does_not_count(s):
    _, ch, q = with_messages(s, *"abc")
    ch.basic_qos(prefetch_count=1)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)


@scenario
def get_does_not_count_for_the_shared_limit(s):
    _, ch, q = with_messages(s, *"abc")
    ch.basic_qos(prefetch_count=1, global_=True)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)


@scenario
def shared_limit(s):
    _, ch, q = with_messages(s)
    other = s.name("r")
    ch.queue_declare(queue=other)
    ch.basic_qos(prefetch_count=2, global_=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_consume(queue=other, consumer_tag="u")
    s.put(q, "a", "b")
    ch.deliveries(2)
    s.put(other, "c")
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)
    s.put(q, "d")
    ch.quiet()
    ch.basic_ack(delivery_tag=3, multiple=True)
    ch.deliveries(1)


@scenario
def shared_limit_applies_to_running_consumers(s):
    _, ch, q = with_messages(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_qos(prefetch_count=1, global_=True)
    s.put(q, *"abc")
    ch.deliveries(1)
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)


@scenario
def raising_the_shared_limit_releases(s):
    _, ch, q = with_messages(s, *"abcd")
    ch.basic_qos(prefetch_count=1, global_=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    ch.basic_qos(prefetch_count=3, global_=True)
    ch.deliveries(2)
    ch.quiet()
    ch.basic_qos(prefetch_count=0, global_=True)
    ch.deliveries(1)


@scenario
def lowering_the_shared_limit_waits(s):
    _, ch, q = with_messages(s, *"abcde")
    ch.basic_qos(prefetch_count=3, global_=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(3)
    ch.basic_qos(prefetch_count=1, global_=True)
    ch.basic_ack(delivery_tag=2, multiple=True)
    ch.quiet()
    ch.basic_ack(delivery_tag=3)
    ch.deliveries(1)
    ch.quiet()


@scenario
def both_limits_hold(s):
    _, ch, q = with_messages(s)
    other = s.name("r")
    ch.queue_declare(queue=other)
    ch.basic_qos(prefetch_count=2)
    ch.basic_qos(prefetch_count=3, global_=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_consume(queue=other, consumer_tag="u")
    s.put(q, *"abc")
    ch.deliveries(2)
    s.put(other, *"def")
    ch.deliveries(1)
    ch.quiet()
    ch.basic_ack(delivery_tag=3)
    ch.deliveries(1)
    ch.quiet()


@scenario
def cancelled_consumer_keeps_its_share(s):
    _, ch, q = with_messages(s, *"abc")
    ch.basic_qos(prefetch_count=1, global_=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    ch.basic_cancel(consumer_tag="t")
    ch.basic_consume(queue=q, consumer_tag="u")
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)


@scenario
def full_shared_limit_blocks_no_ack_consumers(s):
    _, ch, q = with_messages(s)
    other = s.name("r")
    ch.queue_declare(queue=other)
    ch.basic_qos(prefetch_count=1, global_=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_consume(queue=other, consumer_tag="u", no_ack=True)
    s.put(q, "a")
    ch.deliveries(1)
    s.put(other, "b")
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)


@scenario
def unacked_before_the_shared_limit_counts(s):
    _, ch, q = with_messages(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a", "b")
    ch.deliveries(2)
    ch.basic_qos(prefetch_count=2, global_=True)
    s.put(q, "c")
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)


@scenario
def fair_dispatch_to_the_idle_consumer(s):
    c, ch, q = with_messages(s)
    other = c.channel()
    for channel, tag in ((ch, "t"), (other, "u")):
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue=q, consumer_tag=tag)
    s.put(q, "a")
    ch.deliveries(1)
    s.put(q, "b")
    other.deliveries(1)
    s.put(q, "c", "d")
    other.basic_ack(delivery_tag=1)
    other.deliveries(1)
    other.basic_ack(delivery_tag=2)
    other.deliveries(1)
    ch.quiet()


@scenario
def largest_limit(s):
    _, ch, q = with_messages(s, "a")
    ch.basic_qos(prefetch_count=65535)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)


@scenario
def limit_within_a_transaction(s):
    """Acks free the window only when they are committed."""
    _, ch, q = with_messages(s, "a", "b")
    ch.tx_select()
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    ch.basic_ack(delivery_tag=1)
    ch.quiet()
    ch.tx_commit()
    ch.deliveries(1)


@scenario
def requeue_under_a_limit(s):
    c, ch, q = with_messages(s, *"abcd")
    ch.basic_qos(prefetch_count=2)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(2)
    ch.basic_cancel(consumer_tag="t")
    ch.basic_nack(delivery_tag=2, multiple=True, requeue=True)
    ch.sync()
    s.until(q, messages=4)
    s.drain(q)
