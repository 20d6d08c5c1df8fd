"""What gives way in a full queue: kinds of overflow, with all that may meet them."""

from harness.registry import scenario
from harness.steps import declare, dying_queue, open_queue, take_all


def publish_each(ch, q, *bodies, **options):
    """Publishes one after the other and waits for each confirm."""
    for body in bodies:
        ch.publish("", q, body, **options)
        ch.confirms()


def full(s, *bodies, **named):
    """A queue that refuses, filled with these through the channel that is given back."""
    c, ch, q = open_queue(s, x_overflow="reject-publish", **named)
    ch.confirm_select()
    publish_each(ch, q, *bodies)
    return c, ch, q


@scenario
def explicit_drop_head(s):
    _, _, q = open_queue(s, x_max_length=2, x_overflow="drop-head")
    s.put(q, *"abcd")
    s.drain(q)


@scenario
def refusing_without_a_limit(s):
    _, ch, q = full(s, "a", "b", "c")
    s.drain(q)


@scenario
def length_1_of_a_hundred(s):
    _, _, q = open_queue(s, x_max_length=1)
    s.put(q, *(str(number) for number in range(100)))
    s.drain(q)


@scenario
def bytes_0(s):
    _, _, q = open_queue(s, x_max_length_bytes=0)
    s.put(q, "", "a")
    s.drain(q)


@scenario
def empty_bodies_weigh_nothing(s):
    _, _, q = open_queue(s, x_max_length_bytes=1)
    s.put(q, "", "", "a", "")
    s.drain(q)


@scenario
def exactly_full_by_bytes(s):
    _, _, q = open_queue(s, x_max_length_bytes=4)
    s.put(q, "aa", "bb")
    s.until(q, messages=2)
    s.put(q, "c")
    s.drain(q)


@scenario
def one_large_body_pushes_out_many(s):
    _, _, q = open_queue(s, x_max_length_bytes=10)
    s.put(q, "aa", "bb", "cc", "dd", "e" * 9)
    s.drain(q)


@scenario
def refused_again_and_again_until_there_is_room(s):
    _, ch, q = full(s, "a", "b", "c", x_max_length=1)
    ch.basic_get(queue=q)
    publish_each(ch, q, "d")
    ch.basic_ack(delivery_tag=1)
    ch.sync()
    publish_each(ch, q, "e")
    s.drain(q)


@scenario
def unacked_leaves_room(s):
    """Only what is ready counts."""
    _, ch, q = full(s, "a", "b", x_max_length=2)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    publish_each(ch, q, "c", "d", "e")
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    s.until(q, messages=4)
    publish_each(ch, q, "f")
    s.drain(q)


@scenario
def unacked_leaves_room_by_bytes(s):
    _, ch, q = full(s, "aaa", x_max_length_bytes=3)
    ch.basic_get(queue=q)
    publish_each(ch, q, "bbb", "c")
    s.drain(q)


@scenario
def refused_by_bytes_that_are_exceeded_first(s):
    """A queue under its limit takes a body of any size."""
    _, ch, q = full(s, "a", "b" * 100, "c", x_max_length_bytes=5)
    s.drain(q)


@scenario
def refused_and_mandatory_is_not_returned(s):
    _, ch, q = full(s, "a", x_max_length=1)
    publish_each(ch, q, "b", mandatory=True)
    ch.quiet()


@scenario
def refused_by_one_of_two_queues_is_in_the_other(s):
    _, ch, q = full(s, "a", x_max_length=1)
    other, x = declare(s, ch, "other"), s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    for target in (q, other):
        ch.queue_bind(queue=target, exchange=x)
    ch.publish(x, "k", "b")
    ch.confirms()
    s.drain(q)
    s.drain(other)


@scenario
def purge_makes_room(s):
    _, ch, q = full(s, "a", "b", x_max_length=1)
    ch.queue_purge(queue=q)
    publish_each(ch, q, "c")
    s.drain(q)


@scenario
def expiry_makes_room(s):
    _, ch, q = full(s, "a", x_max_length=1, x_message_ttl=50)
    s.until(q, messages=0)
    publish_each(ch, q, "b")


@scenario
def consumer_makes_room(s):
    _, ch, q = full(s, "a", x_max_length=1)
    other = s.channel()
    other.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    other.deliveries(1)
    publish_each(ch, q, "b")
    other.deliveries(1)


@scenario
def refused_with_priorities(s):
    _, ch, q = open_queue(s, x_max_priority=5, x_max_length=1, x_overflow="reject-publish")
    ch.confirm_select()
    publish_each(ch, q, "low", priority=1)
    publish_each(ch, q, "high", priority=5)
    s.drain(q)


@scenario
def rolled_back_publishes_take_no_room(s):
    _, ch, q = open_queue(s, x_max_length=1, x_overflow="reject-publish")
    ch.tx_select()
    ch.publish("", q, "a")
    ch.tx_rollback()
    ch.publish("", q, "b")
    ch.tx_commit()
    s.drain(q)


@scenario
def requeue_into_a_full_queue_drops_the_head(s):
    _, ch, q = open_queue(s, x_max_length=1)
    s.put(q, "a")
    ch.basic_get(queue=q)
    s.put(q, "b")
    ch.basic_nack(delivery_tag=1, requeue=True)
    # The queue has one message before and after: its answer here comes behind the nack.
    ch.queue_declare(queue=q, passive=True)
    s.drain(q)


@scenario
def requeue_into_a_full_queue_with_dead_letters(s):
    _, ch, q, dlq = dying_queue(s, x_max_length=1)
    s.put(q, "a")
    ch.basic_get(queue=q)
    s.put(q, "b")
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(dlq, messages=1)
    s.drain(dlq)
    s.drain(q)


@scenario
def closing_a_channel_fills_it_over(s):
    c, ch, q = open_queue(s, x_max_length=2)
    s.put(q, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    s.put(q, "c", "d")
    ch.close()
    s.until(q, messages=2)
    s.drain(q)


@scenario
def dead_letters_by_priority(s):
    _, _, q, dlq = dying_queue(s, x_max_length=1, x_max_priority=3)
    for priority in (3, 1, 2):
        s.put(q, str(priority), priority=priority)
    s.until(dlq, messages=2)
    s.drain(dlq)
    s.drain(q)


@scenario
def dead_letters_by_bytes_in_order(s):
    _, _, q, dlq = dying_queue(s, x_max_length_bytes=3)
    s.put(q, "a", "b", "c", "ddd")
    s.until(dlq, messages=3)
    s.drain(dlq)


@scenario
def refused_dead_letters_are_confirmed_with_nack(s):
    _, ch, q, dlq = dying_queue(s, x_max_length=1, x_overflow="reject-publish-dlx")
    ch.confirm_select()
    publish_each(ch, q, "a", "b", mandatory=True)
    ch.quiet()
    s.until(dlq, messages=1)
    s.drain(dlq)
    s.drain(q)


@scenario
def refused_dead_letters_without_an_exchange(s):
    _, ch, q = open_queue(s, x_max_length=1, x_overflow="reject-publish-dlx")
    ch.confirm_select()
    publish_each(ch, q, "a", "b")
    s.drain(q)


@scenario
def refused_dead_letters_in_a_transaction(s):
    _, ch, q, dlq = dying_queue(s, x_max_length=1, x_overflow="reject-publish-dlx")
    ch.tx_select()
    ch.publish("", q, "a")
    ch.publish("", q, "b")
    ch.tx_commit()
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def refused_dead_letters_to_the_queue_itself(s):
    _, ch, q = open_queue(s, x_max_length=1, x_overflow="reject-publish-dlx",
                          x_dead_letter_exchange="")
    ch.confirm_select()
    publish_each(ch, q, "a", "b")
    s.drain(q)


@scenario
def single_active_consumer_and_a_limit(s):
    c, ch, q = open_queue(s, x_max_length=1, x_single_active_consumer=True)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    ch.deliveries(1)
    s.put(q, "b", "c")
    ch.basic_ack(delivery_tag=1)
    ch.deliveries(1)


@scenario
def counts_of_get_in_a_full_queue(s):
    _, ch, q = open_queue(s, x_max_length=3)
    s.put(q, *"abcde")
    take_all(ch, q)
