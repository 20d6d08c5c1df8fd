"""Quorum queues: delivery limits and counts, dead letters, limits, TTL, what they refuse."""

import time

from harness.registry import scenario
from harness.steps import declare, dying_queue, open_queue, reject, take_all

SHORT_MS, LONG_MS = 30, 60000


def consuming(s, prefetch=1, **named):
    c, ch, q = open_queue(s, quorum=True, **named)
    ch.basic_qos(prefetch_count=prefetch)
    ch.basic_consume(queue=q, consumer_tag="t")
    return c, ch, q


def nack(ch, *tags, times=1):
    """Requeues what is delivered, again and again."""
    for tag in tags:
        ch.deliveries(1)
        ch.basic_nack(delivery_tag=tag, requeue=True)


# Counts and limits of deliveries


@scenario
def count_of_a_first_delivery(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a", headers={"mine": 1})
    ch.basic_get(queue=q)


@scenario
def count_after_a_nack(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a", headers={"mine": 1})
    for tag in (1, 2):
        ch.basic_get(queue=q)
        ch.basic_nack(delivery_tag=tag, requeue=True)
        s.until(q, messages=1)
    ch.basic_get(queue=q)


@scenario
def count_after_a_reject_of_one_without_headers(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=1, requeue=True)
    s.until(q, messages=1)
    ch.basic_get(queue=q)


@scenario
def count_among_other_headers(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a", headers={"z": 1, "x-e": 2, "x-d": 3, "a": 4})
    ch.basic_get(queue=q)


@scenario
def count_without_acknowledgement(s):
    c, _, q = open_queue(s, quorum=True)
    s.put(q, "a")
    c.channel().basic_get(queue=q, no_ack=True)


@scenario
def count_to_a_consumer_after_a_get(s):
    c, ch, q = open_queue(s, quorum=True)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(q, messages=1)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.deliveries(1)


@scenario
def count_after_a_recover(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.basic_recover(requeue=True)
    s.until(q, messages=1)
    ch.basic_get(queue=q)


@scenario
def count_after_the_channel_closed(s):
    c, ch, q = open_queue(s, quorum=True)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.close()
    s.until(q, messages=1)
    c.channel().basic_get(queue=q)


@scenario
def count_to_a_consumer(s):
    _, ch, q = consuming(s)
    s.put(q, "a")
    nack(ch, 1, 2)
    ch.deliveries(1)


@scenario
def count_with_a_limit_that_is_not_reached(s):
    _, ch, q = consuming(s, x_delivery_limit=5)
    s.put(q, "a")
    nack(ch, 1, 2)
    ch.deliveries(1)


@scenario
def count_of_a_client_is_kept_or_not(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a", headers={"x-delivery-count": 7})
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(q, messages=1)
    ch.basic_get(queue=q)


@scenario
def limit_drops(s):
    _, ch, q = consuming(s, x_delivery_limit=1)
    s.put(q, "a")
    nack(ch, 1, 2)
    s.until(q, messages=0)
    ch.quiet()


@scenario
def limit_of_0(s):
    _, ch, q = consuming(s, x_delivery_limit=0)
    s.put(q, "a")
    nack(ch, 1)
    s.until(q, messages=0)
    ch.quiet()


@scenario
def limit_dead_letters(s):
    _, ch, q, dlq = dying_queue(s, quorum=True, x_delivery_limit=2)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a", headers={"mine": 1}, message_id="m")
    nack(ch, 1, 2, 3)
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def limit_counts_closed_channels(s):
    c, _, q, dlq = dying_queue(s, quorum=True, x_delivery_limit=1)
    s.put(q, "a")
    for _ in range(2):
        ch = c.channel(5)
        ch.basic_get(queue=q)
        ch.close()
        time.sleep(0.1)
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def limit_leaves_the_others_alone(s):
    _, ch, q = consuming(s, x_delivery_limit=1)
    s.put(q, "a", "b")
    nack(ch, 1, 2)
    ch.deliveries(1)
    ch.basic_ack(delivery_tag=3)
    s.until(q, messages=0)


@scenario
def limit_and_two_hops(s):
    ch = s.channel()
    last = declare(s, ch, "last")
    second = declare(s, ch, "second", quorum=True, x_message_ttl=SHORT_MS,
                     x_dead_letter_exchange="", x_dead_letter_routing_key=last)
    q = declare(s, ch, "q", quorum=True, x_delivery_limit=0, x_dead_letter_exchange="",
                x_dead_letter_routing_key=second)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(last, messages=1)
    s.drain(last)


# Dead letters


@scenario
def rejected(s):
    _, ch, q, dlq = dying_queue(s, quorum=True)
    s.put(q, "a", headers={"mine": 1}, expiration="60000", priority=3)
    reject(s, ch, q, dlq)
    s.drain(dlq)


@scenario
def expired_by_the_queue(s):
    _, _, q, dlq = dying_queue(s, quorum=True, x_message_ttl=SHORT_MS)
    s.put(q, "a", "b")
    s.until(dlq, messages=2)
    s.drain(dlq)


@scenario
def expired_by_the_message(s):
    _, _, q, dlq = dying_queue(s, quorum=True)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def over_the_length(s):
    _, _, q, dlq = dying_queue(s, quorum=True, x_max_length=1)
    s.put(q, "a", "b", "c")
    s.until(dlq, messages=2)
    s.drain(dlq)
    s.until(q, messages=1)
    s.drain(q)


@scenario
def at_least_once(s):
    _, ch, q, dlq = dying_queue(s, quorum=True, x_overflow="reject-publish",
                                x_dead_letter_strategy="at-least-once")
    s.put(q, "a", headers={"mine": 1})
    reject(s, ch, q, dlq)
    s.drain(dlq)


@scenario
def at_least_once_expired(s):
    _, _, q, dlq = dying_queue(s, quorum=True, x_overflow="reject-publish",
                               x_dead_letter_strategy="at-least-once", x_message_ttl=SHORT_MS)
    s.put(q, "a", "b")
    s.until(dlq, messages=2)
    s.drain(dlq)


@scenario
def to_a_quorum_queue(s):
    c = s.connect()
    ch = c.channel()
    dlq = declare(s, ch, "dlq", quorum=True)
    q = declare(s, ch, quorum=True, x_dead_letter_exchange="", x_dead_letter_routing_key=dlq)
    s.put(q, "a")
    reject(s, ch, q, dlq)
    s.drain(dlq)


@scenario(seconds=1)
def automatic_cycle_is_dropped(s):
    ch = s.channel()
    for here, there in ("ab", "ba"):
        declare(s, ch, here, quorum=True, x_message_ttl=SHORT_MS, x_dead_letter_exchange="",
                x_dead_letter_routing_key=s.name(there))
    s.put(s.name("a"), "x")
    time.sleep(1)
    s.drain(s.name("a"))
    s.drain(s.name("b"))


# Limits and time


@scenario
def the_head_is_dropped(s):
    _, _, q = open_queue(s, quorum=True, x_max_length=3)
    s.put(q, *"abcde")
    s.until(q, messages=3)
    s.drain(q)


@scenario
def length_0(s):
    _, _, q = open_queue(s, quorum=True, x_max_length=0)
    s.put(q, "a")
    s.until(q, messages=0)
    s.drain(q)


@scenario
def bytes_in_all(s):
    _, _, q = open_queue(s, quorum=True, x_max_length_bytes=10)
    s.put(q, "aaaa", "bbbb", "cccc")
    s.until(q, messages=2)
    s.drain(q)


@scenario
def ttl_of_the_queue(s):
    _, _, q = open_queue(s, quorum=True, x_message_ttl=SHORT_MS)
    s.put(q, "a")
    s.until(q, messages=0)
    s.drain(q)


@scenario
def the_lesser_ttl_counts(s):
    _, _, q = open_queue(s, quorum=True, x_message_ttl=LONG_MS)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.until(q, messages=0)
    s.drain(q)


@scenario
def expiration_is_kept(s):
    _, ch, q = open_queue(s, quorum=True, x_message_ttl=LONG_MS)
    s.put(q, "a", expiration="70000")
    take_all(ch, q)


@scenario(seconds=1)
def unacked_does_not_expire(s):
    _, ch, q = open_queue(s, quorum=True, x_message_ttl=100)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    ch.deliveries(1)
    time.sleep(0.5)
    ch.basic_ack(delivery_tag=1)
    s.until(q, messages=0)


@scenario(seconds=2)
def lease_runs_out(s):
    _, ch, q = open_queue(s, quorum=True, x_expires=300)
    s.put(q, "a")
    time.sleep(1.5)
    s.until_gone(q)


# Consumers


@scenario
def single_active_consumer_hands_over(s):
    c, _, q = open_queue(s, quorum=True, x_single_active_consumer=True)
    one, two = c.channel(), c.channel()
    one.basic_consume(queue=q, consumer_tag="one", no_ack=False)
    two.basic_consume(queue=q, consumer_tag="two", no_ack=False)
    s.put(q, "a")
    one.deliveries(1)
    one.basic_ack(delivery_tag=1)
    one.basic_cancel(consumer_tag="one")
    s.put(q, "b")
    two.deliveries(1)


@scenario
def single_active_consumer_dies_with_its_channel(s):
    c, _, q = open_queue(s, quorum=True, x_single_active_consumer=True)
    one, two = c.channel(), c.channel()
    one.basic_consume(queue=q, consumer_tag="one")
    two.basic_consume(queue=q, consumer_tag="two")
    s.put(q, "a")
    one.deliveries(1)
    one.close()
    two.deliveries(1)


@scenario
def cancelled_when_the_queue_goes(s):
    c, ch, q = open_queue(s, quorum=True)
    other = c.channel()
    other.basic_consume(queue=q, consumer_tag="t")
    ch.queue_delete(queue=q)
    other.wait("basic_cancel")


@scenario
def returned_one_comes_again(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(q, messages=2)
    take_all(ch, q)


@scenario
def counts_of_get(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a", "b", "c")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)


@scenario
def purge_leaves_unacked(s):
    _, ch, q = open_queue(s, quorum=True)
    s.put(q, "a", "b", "c")
    ch.basic_get(queue=q)
    ch.queue_purge(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    s.until(q, messages=1)
    take_all(ch, q)


@scenario
def priority_of_messages_means_nothing(s):
    _, ch, q = open_queue(s, quorum=True)
    for priority in (1, 9, 5):
        s.put(q, str(priority), priority=priority)
    take_all(ch, q)


@scenario
def global_qos(s):
    _, ch, q = open_queue(s, quorum=True)
    ch.basic_qos(prefetch_count=1, global_=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.sync()


@scenario
def delete_if_unused(s):
    _, ch, q = open_queue(s, quorum=True)
    ch.queue_delete(queue=q, if_unused=True)
    ch.sync()


@scenario
def delete_if_empty(s):
    _, ch, q = open_queue(s, quorum=True)
    ch.queue_delete(queue=q, if_empty=True)
    ch.sync()


@scenario
def in_a_transaction(s):
    _, ch, q = open_queue(s, quorum=True)
    ch.tx_select()
    ch.publish("", q, "a")
    ch.publish("", q, "b")
    ch.tx_commit()
    s.until(q, messages=2)
    s.drain(q)
