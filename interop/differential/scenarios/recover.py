"""basic.recover and its asynchronous form."""

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
def requeues_what_was_got(s):
    _, ch, q = with_messages(s, "a", "b", "c")
    for _ in range(2):
        ch.basic_get(queue=q)
    ch.basic_recover(requeue=True)
    for _ in range(4):
        ch.basic_get(queue=q)


@scenario
def with_nothing_outstanding(s):
    _, ch, _ = with_messages(s)
    ch.basic_recover(requeue=True)


@scenario
def without_requeue(s):
    c, ch, q = with_messages(s, "a")
    ch.basic_get(queue=q)
    ch.basic_recover(requeue=False)
    c.until_closed()


@scenario
def without_requeue_with_nothing_outstanding(s):
    c, ch, _ = with_messages(s)
    ch.basic_recover(requeue=False)
    c.until_closed()


@scenario
def to_the_same_consumer(s):
    _, ch, q = with_messages(s, "a", "b")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(2)
    ch.basic_recover(requeue=True)
    ch.deliveries(2)


@scenario
def asynchronous(s):
    _, ch, q = with_messages(s, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_recover_async(requeue=True)
    ch.sync()
    ch.basic_get(queue=q)


@scenario
def asynchronous_without_requeue(s):
    c, ch, _ = with_messages(s)
    ch.basic_recover_async(requeue=False)
    c.until_closed()


@scenario
def tags_from_before_are_unknown_after(s):
    _, ch, q = with_messages(s, "a")
    ch.basic_get(queue=q)
    ch.basic_recover(requeue=True)
    ch.basic_ack(delivery_tag=1)
    ch.wait("channel_close")


@scenario
def leaves_other_channels_alone(s):
    c, ch, q = with_messages(s, "a", "b")
    other = c.channel()
    ch.basic_get(queue=q)
    other.basic_get(queue=q)
    ch.basic_recover(requeue=True)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    other.basic_ack(delivery_tag=1)
    other.sync()


@scenario
def leaves_no_ack_deliveries_alone(s):
    _, ch, q = with_messages(s, "a", "b")
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_get(queue=q)
    ch.basic_recover(requeue=True)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)


@scenario
def after_a_purge(s):
    _, ch, q = with_messages(s, "a", "b")
    ch.basic_get(queue=q)
    ch.queue_purge(queue=q)
    ch.basic_recover(requeue=True)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)


@scenario
def after_the_queue_was_deleted(s):
    _, ch, q = with_messages(s, "a")
    ch.basic_get(queue=q)
    ch.queue_delete(queue=q)
    ch.basic_recover(requeue=True)


@scenario
def within_a_transaction(s):
    """What was acked but not committed is not redelivered."""
    _, ch, q = with_messages(s, "a", "b", "c")
    ch.tx_select()
    for _ in range(3):
        ch.basic_get(queue=q)
    ch.basic_ack(delivery_tag=2)
    ch.basic_recover(requeue=True)
    for _ in range(3):
        ch.basic_get(queue=q)
    ch.tx_rollback()
    ch.close()
    s.until(q, messages=3)
    s.drain(q)
