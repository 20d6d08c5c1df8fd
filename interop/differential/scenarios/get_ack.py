"""basic.get, ack, nack, reject: tags, order, requeueing."""

from harness.registry import scenario


def with_messages(s, *bodies):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    if bodies:
        s.put(q, *bodies)
    return c, ch, q


def get(ch, q, times):
    for _ in range(times):
        ch.basic_get(queue=q)


@scenario
def get_counts_what_is_left(s):
    _, ch, q = with_messages(s, "a", "b", "c")
    get(ch, q, 4)


@scenario
def get_empty(s):
    _, ch, q = with_messages(s)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def get_missing(s):
    s.channel().basic_get(queue=s.name("q"))


@scenario
def get_without_a_current_queue(s):
    s.channel().basic_get(queue="")


@scenario
def get_no_ack_is_gone_for_good(s):
    _, ch, q = with_messages(s, "a")
    ch.basic_get(queue=q, no_ack=True)
    ch.close()
    s.until(q, messages=0)


def fails(s, method, **fields):
    """One message is outstanding with tag 1; the method must close the channel."""
    c, ch, q = with_messages(s, "a")
    get(ch, q, 1)
    getattr(ch, method)(**fields)
    ch.wait("channel_close")
    s.until(q, messages=1)


@scenario
def ack_unknown_tag(s):
    fails(s, "basic_ack", delivery_tag=99)


@scenario
def ack_unknown_tag_multiple(s):
    fails(s, "basic_ack", delivery_tag=99, multiple=True)


@scenario
def ack_tag_0(s):
    fails(s, "basic_ack", delivery_tag=0)


@scenario
def nack_unknown_tag(s):
    fails(s, "basic_nack", delivery_tag=2, requeue=True)


@scenario
def nack_unknown_tag_multiple(s):
    fails(s, "basic_nack", delivery_tag=2, requeue=True, multiple=True)


@scenario
def nack_tag_0(s):
    fails(s, "basic_nack", delivery_tag=0, requeue=True)


@scenario
def reject_unknown_tag(s):
    fails(s, "basic_reject", delivery_tag=2, requeue=True)


@scenario
def reject_tag_0(s):
    fails(s, "basic_reject", delivery_tag=0, requeue=True)


def settles_twice(s, **second):
    c, ch, q = with_messages(s, "a", "b")
    get(ch, q, 2)
    ch.basic_ack(delivery_tag=1)
    ch.basic_ack(**second)
    ch.wait("channel_close", timeout_s=1)


@scenario
def ack_twice(s):
    settles_twice(s, delivery_tag=1)


@scenario
def ack_twice_multiple(s):
    settles_twice(s, delivery_tag=1, multiple=True)


@scenario
def ack_multiple_covers_acked_ones(s):
    _, ch, q = with_messages(s, "a", "b", "c")
    get(ch, q, 3)
    ch.basic_ack(delivery_tag=2)
    ch.basic_ack(delivery_tag=3, multiple=True)
    ch.sync()
    ch.close()
    s.until(q, messages=0)


@scenario
def ack_0_multiple_is_all(s):
    _, ch, q = with_messages(s, "a", "b", "c")
    ch.basic_ack(delivery_tag=0, multiple=True)
    get(ch, q, 3)
    ch.basic_ack(delivery_tag=0, multiple=True)
    ch.basic_ack(delivery_tag=0, multiple=True)
    ch.sync()
    ch.close()
    s.until(q, messages=0)


@scenario
def nack_0_multiple_is_all(s):
    _, ch, q = with_messages(s, "a", "b", "c")
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    get(ch, q, 3)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    get(ch, q, 3)


@scenario
def ack_out_of_order(s):
    c, ch, q = with_messages(s, "a", "b", "c", "d")
    get(ch, q, 4)
    for tag in (3, 1):
        ch.basic_ack(delivery_tag=tag)
    ch.sync()
    ch.close()
    s.until(q, messages=2)
    s.drain(q)


@scenario
def tags_are_per_channel(s):
    c, ch, q = with_messages(s, "a", "b")
    other = c.channel()
    get(ch, q, 1)
    get(other, q, 1)
    other.basic_ack(delivery_tag=1)
    other.sync()
    ch.basic_reject(delivery_tag=1, requeue=True)
    get(ch, q, 1)


@scenario
def tags_start_again_on_a_new_channel(s):
    c, ch, q = with_messages(s, "a")
    get(ch, q, 1)
    ch.close()
    s.until(q, messages=1)
    get(c.channel(), q, 1)


@scenario
def reject_requeues_with_the_flag(s):
    _, ch, q = with_messages(s, "a", "b")
    get(ch, q, 1)
    ch.basic_reject(delivery_tag=1, requeue=True)
    get(ch, q, 2)


@scenario
def reject_without_requeue_drops(s):
    _, ch, q = with_messages(s, "a", "b")
    get(ch, q, 1)
    ch.basic_reject(delivery_tag=1, requeue=False)
    get(ch, q, 2)


@scenario
def nack_without_requeue_drops(s):
    _, ch, q = with_messages(s, "a", "b", "c")
    get(ch, q, 2)
    ch.basic_nack(delivery_tag=2, multiple=True, requeue=False)
    get(ch, q, 2)


@scenario
def requeued_messages_take_their_old_place(s):
    _, ch, q = with_messages(s, *"abcdef")
    get(ch, q, 4)
    for tag in (3, 1, 4, 2):
        ch.basic_reject(delivery_tag=tag, requeue=True)
    get(ch, q, 6)


@scenario
def requeue_of_the_middle(s):
    _, ch, q = with_messages(s, *"abcde")
    get(ch, q, 3)
    ch.basic_nack(delivery_tag=2, requeue=True)
    get(ch, q, 3)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    get(ch, q, 5)


@scenario
def requeue_by_two_channels(s):
    c, ch, q = with_messages(s, *"abcd")
    other = c.channel()
    for channel in (ch, other, ch, other):
        get(channel, q, 1)
    other.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    other.sync()
    get(other, q, 1)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    get(ch, q, 4)


@scenario
def requeue_before_new_messages(s):
    _, ch, q = with_messages(s, "a", "b")
    get(ch, q, 2)
    s.put(q, "c")
    ch.basic_nack(delivery_tag=2, multiple=True, requeue=True)
    get(ch, q, 3)


@scenario
def channel_close_requeues_in_order(s):
    c, ch, q = with_messages(s, *"abcd")
    get(ch, q, 3)
    ch.close()
    get(c.channel(), q, 4)


@scenario
def redelivered_is_per_message(s):
    _, ch, q = with_messages(s, "a", "b", "c")
    get(ch, q, 2)
    ch.basic_reject(delivery_tag=2, requeue=True)
    get(ch, q, 2)


@scenario
def redelivered_flag_of_a_message_that_was_never_seen(s):
    """The consumer's prefetch holds it, the client drops before it reads."""
    c, ch, q = with_messages(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t")
    s.until(q, messages=0)
    ch.deliveries(1)
    c.abort()
    s.until(q, messages=1, consumers=0)
    s.drain(q)


@scenario
def requeue_to_the_same_consumer(s):
    _, ch, q = with_messages(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t")
    for tag in (1, 2, 3):
        ch.deliveries(1)
        ch.basic_reject(delivery_tag=tag, requeue=True)
    ch.deliveries(1)


@scenario
def many_messages_keep_their_order(s):
    _, ch, q = with_messages(s)
    for number in range(100):
        ch.publish("", q, str(number))
    for _ in range(101):
        ch.basic_get(queue=q, no_ack=True)


@scenario
def persistent_and_transient_keep_their_order(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, durable=True)
    for number in range(10):
        ch.publish("", q, str(number), delivery_mode=1 + number % 2)
    get(ch, q, 10)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    get(ch, q, 10)
