"""The order in which messages come back, what counts say meanwhile, what purge and delete do."""

from harness.registry import scenario
from harness.steps import declare, open_queue, take_all


def got(s, count, **named):
    """A queue of so many messages, all got and not acknowledged."""
    c, ch, q = open_queue(s, **named)
    s.put(q, *"abcdefgh"[:count])
    for _ in range(count):
        ch.basic_get(queue=q)
    return c, ch, q


@scenario
def nacks_one_by_one_backwards(s):
    _, ch, q = got(s, 4)
    for tag in (4, 3, 2, 1):
        ch.basic_nack(delivery_tag=tag, requeue=True)
    s.until(q, messages=4)
    take_all(ch, q)


@scenario
def nacks_in_no_order(s):
    _, ch, q = got(s, 5)
    for tag in (2, 5, 1, 4, 3):
        ch.basic_nack(delivery_tag=tag, requeue=True)
    s.until(q, messages=5)
    take_all(ch, q)


@scenario
def nack_of_several_then_of_the_rest(s):
    _, ch, q = got(s, 5)
    ch.basic_nack(delivery_tag=3, multiple=True, requeue=True)
    s.until(q, messages=3)
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    s.until(q, messages=5)
    take_all(ch, q)


@scenario
def acks_among_nacks(s):
    _, ch, q = got(s, 6)
    ch.basic_ack(delivery_tag=2)
    ch.basic_nack(delivery_tag=4, multiple=True, requeue=True)
    ch.basic_ack(delivery_tag=6, multiple=True)
    s.until(q, messages=3)
    take_all(ch, q)


@scenario
def nack_of_several_with_unknown_tags_above(s):
    _, ch, q = got(s, 2)
    ch.basic_nack(delivery_tag=5, multiple=True, requeue=True)
    ch.sync()
    s.until(q, messages=2)


@scenario
def nack_of_several_twice(s):
    _, ch, q = got(s, 2)
    ch.basic_nack(delivery_tag=2, multiple=True, requeue=True)
    ch.basic_nack(delivery_tag=2, multiple=True, requeue=True)
    ch.sync()


@scenario
def recover_after_some_acks(s):
    _, ch, q = got(s, 4)
    ch.basic_ack(delivery_tag=2)
    ch.basic_recover(requeue=True)
    s.until(q, messages=3)
    take_all(ch, q)


@scenario
def recover_over_two_queues(s):
    _, ch, q = got(s, 2)
    other = declare(s, ch, "other")
    s.put(other, "x", "y")
    ch.basic_get(queue=other)
    ch.basic_get(queue=other)
    ch.basic_recover(requeue=True)
    s.until(q, messages=2)
    s.until(other, messages=2)
    take_all(ch, q)
    take_all(ch, other)


@scenario
def nack_over_two_queues(s):
    _, ch, q = got(s, 2)
    other = declare(s, ch, "other")
    s.put(other, "x", "y")
    ch.basic_get(queue=other)
    ch.basic_get(queue=other)
    ch.basic_nack(delivery_tag=3, multiple=True, requeue=True)
    s.until(q, messages=2)
    s.until(other, messages=1)
    take_all(ch, q)
    take_all(ch, other)


@scenario
def two_channels_close_in_the_other_order(s):
    c, one, q = open_queue(s)
    two = c.channel()
    s.put(q, *"abcd")
    for ch in (one, two, one, two):
        ch.basic_get(queue=q)
    two.close()
    s.until(q, messages=2)
    one.close()
    s.until(q, messages=4)
    take_all(c.channel(), q)


@scenario
def prefetched_and_got_come_back_together(s):
    c, ch, q = open_queue(s)
    ch.basic_qos(prefetch_count=2)
    s.put(q, *"abcde")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(2)
    ch.basic_get(queue=q)
    ch.basic_cancel(consumer_tag="t")
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    s.until(q, messages=5)
    take_all(ch, q)


@scenario
def published_meanwhile_stays_behind(s):
    _, ch, q = got(s, 2)
    s.put(q, "new")
    ch.basic_nack(delivery_tag=2, requeue=True)
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(q, messages=3)
    take_all(ch, q)


@scenario
def cancelled_consumer_keeps_what_it_has(s):
    c, ch, q = open_queue(s)
    s.put(q, "a", "b")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(2)
    ch.basic_cancel(consumer_tag="t")
    s.until(q, messages=0, consumers=0)
    ch.basic_ack(delivery_tag=1)
    ch.basic_nack(delivery_tag=2, requeue=True)
    s.until(q, messages=1)
    take_all(ch, q)


@scenario
def counts_of_get_go_down_and_up(s):
    _, ch, q = open_queue(s)
    s.put(q, *"abc")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(q, messages=2)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)


@scenario
def purge_leaves_unacked_alone(s):
    _, ch, q = open_queue(s)
    s.put(q, *"abcd")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    ch.queue_purge(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    ch.basic_ack(delivery_tag=2)
    s.until(q, messages=1)
    take_all(ch, q)


@scenario
def purge_of_only_unacked_counts_none(s):
    _, ch, q = got(s, 2)
    ch.queue_purge(queue=q)
    ch.basic_recover(requeue=True)
    s.until(q, messages=2)
    ch.queue_purge(queue=q)


@scenario
def purge_then_publish_then_requeue(s):
    _, ch, q = got(s, 1)
    ch.queue_purge(queue=q)
    s.put(q, "new")
    ch.basic_reject(delivery_tag=1, requeue=True)
    s.until(q, messages=2)
    take_all(ch, q)


@scenario
def delete_counts_only_what_is_ready(s):
    _, ch, q = open_queue(s)
    s.put(q, *"abc")
    ch.basic_get(queue=q)
    ch.queue_delete(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    ch.sync()


@scenario
def delete_while_another_consumes(s):
    c, ch, q = open_queue(s)
    other = c.channel()
    s.put(q, "a", "b")
    other.basic_consume(queue=q, consumer_tag="t")
    other.deliveries(2)
    ch.queue_delete(queue=q)
    other.wait("basic_cancel")
    other.basic_ack(delivery_tag=2, multiple=True)
    other.sync()


@scenario
def declared_anew_old_tags_mean_nothing_to_it(s):
    _, ch, q = got(s, 1)
    ch.queue_delete(queue=q)
    ch.queue_declare(queue=q)
    s.put(q, "new")
    ch.basic_nack(delivery_tag=1, requeue=True)
    ch.sync()
    s.until(q, messages=1)
    take_all(ch, q)


@scenario
def rejected_ones_are_gone_the_others_in_order(s):
    _, ch, q = got(s, 5)
    ch.basic_reject(delivery_tag=3, requeue=False)
    ch.basic_reject(delivery_tag=1, requeue=False)
    ch.basic_recover(requeue=True)
    s.until(q, messages=3)
    take_all(ch, q)


@scenario
def expired_ones_are_not_put_back(s):
    _, ch, q = open_queue(s)
    s.put(q, "a", expiration="80")
    s.put(q, "b")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    s.put(s.name("q"), "c", expiration="50")
    s.until(q, messages=0)
    ch.sync()
    s.until(q, messages=0)


@scenario
def rolled_back_acks_leave_them_unacked(s):
    _, ch, q = got(s, 2)
    ch.tx_select()
    ch.basic_ack(delivery_tag=2, multiple=True)
    ch.tx_rollback()
    ch.basic_recover(requeue=True)
    s.until(q, messages=2)
    take_all(ch, q)


@scenario
def requeue_waits_for_the_commit(s):
    _, ch, q = got(s, 2)
    ch.tx_select()
    ch.basic_nack(delivery_tag=2, multiple=True, requeue=True)
    ch.sync()
    s.until(q, messages=0)
    ch.tx_commit()
    s.until(q, messages=2)
    take_all(ch, q)
