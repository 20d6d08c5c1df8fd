"""Queues with message priorities, single active consumers and consumer priorities, further."""

from harness.registry import scenario
from harness.steps import declare, open_queue, take_all

SAC = {"x-single-active-consumer": True}


def consume(c, q, tag, priority=None, prefetch=0, **options):
    ch = c.channel()
    if prefetch:
        ch.basic_qos(prefetch_count=prefetch)
    arguments = {} if priority is None else {"x-priority": priority}
    ch.basic_consume(queue=q, consumer_tag=tag, arguments=arguments, **options)
    return ch


def put_each(s, q, *priorities):
    for number, priority in enumerate(priorities):
        s.put(q, f"{number} of {priority}", priority=priority)


# Message priorities


@scenario
def of_one_priority_in_order(s):
    _, ch, q = open_queue(s, x_max_priority=10)
    put_each(s, q, 4, 4, 4, 0, 0, 4)
    take_all(ch, q)


@scenario
def maximum_255(s):
    _, ch, q = open_queue(s, x_max_priority=255)
    put_each(s, q, 254, 0, 255, 100)
    take_all(ch, q)


@scenario
def maximum_1(s):
    _, ch, q = open_queue(s, x_max_priority=1)
    put_each(s, q, 0, 9, 0, 1)
    take_all(ch, q)


@scenario
def without_a_priority_is_0(s):
    _, ch, q = open_queue(s, x_max_priority=5)
    s.put(q, "none")
    put_each(s, q, 0, 1)
    take_all(ch, q)


@scenario
def over_the_maximum_stays_in_the_properties(s):
    _, ch, q = open_queue(s, x_max_priority=3)
    put_each(s, q, 200, 3)
    take_all(ch, q)


@scenario
def unacked_is_overtaken_after_a_requeue(s):
    _, ch, q = open_queue(s, x_max_priority=5)
    put_each(s, q, 1, 2)
    ch.basic_get(queue=q)
    ch.basic_get(queue=q)
    put_each(s, q, 5)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=True)
    s.until(q, messages=3)
    take_all(ch, q)


@scenario
def counts_are_over_all_priorities(s):
    _, ch, q = open_queue(s, x_max_priority=5)
    put_each(s, q, 1, 5, 3)
    ch.basic_get(queue=q)
    s.until(q, messages=2)
    ch.queue_purge(queue=q)
    ch.basic_get(queue=q)


@scenario
def a_higher_one_comes_next_to_a_slow_consumer(s):
    _, ch, q = open_queue(s, x_max_priority=5)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    put_each(s, q, 0, 1, 5)
    for tag in (1, 2, 3):
        ch.deliveries(1)
        ch.basic_ack(delivery_tag=tag)
    ch.sync()


@scenario
def expire_at_every_priority(s):
    _, ch, q = open_queue(s, x_max_priority=5, x_message_ttl=50)
    put_each(s, q, 1, 5, 3)
    s.until(q, messages=0)
    take_all(ch, q)


@scenario
def the_lowest_is_dropped_first(s):
    _, ch, q = open_queue(s, x_max_priority=5, x_max_length=3)
    put_each(s, q, 2, 1, 3, 1, 5, 0)
    take_all(ch, q)


@scenario
def the_lowest_is_dropped_first_by_bytes(s):
    _, ch, q = open_queue(s, x_max_priority=5, x_max_length_bytes=18)
    put_each(s, q, 2, 1, 3, 5)
    take_all(ch, q)


@scenario
def in_a_transaction(s):
    _, ch, q = open_queue(s, x_max_priority=5)
    ch.tx_select()
    for priority in (1, 5, 3):
        ch.publish("", q, str(priority), priority=priority)
    ch.tx_commit()
    take_all(ch, q)


@scenario
def durable_and_persistent(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, durable=True, arguments={"x-max-priority": 5})
    for priority in (1, 5, 3):
        s.put(q, str(priority), priority=priority, delivery_mode=2)
    take_all(ch, q)


@scenario
def to_two_queues_of_which_one_has_priorities(s):
    _, ch, q = open_queue(s, x_max_priority=5)
    plain = declare(s, ch, "plain")
    for priority in (1, 5, 3):
        s.put(q, str(priority), priority=priority, headers={"CC": [plain]})
    take_all(ch, q)
    take_all(ch, plain)


# Single active consumers


def sac(s, **named):
    return open_queue(s, x_single_active_consumer=True, **named)


@scenario
def sac_cancel_notify_when_the_queue_goes(s):
    c, ch, q = sac(s)
    one, two = consume(c, q, "one"), consume(c, q, "two")
    ch.queue_delete(queue=q)
    one.wait("basic_cancel")
    two.wait("basic_cancel")


@scenario
def sac_fails_over_twice(s):
    first, second = s.connect(), s.connect()
    c, _, q = sac(s)
    consume(first, q, "one")
    consume(second, q, "two")
    three = consume(c, q, "three")
    s.until(q, consumers=3)
    first.abort()
    s.until(q, consumers=2)
    second.abort()
    s.until(q, consumers=1)
    s.put(q, "a")
    three.deliveries(1)


@scenario
def sac_unacked_goes_to_the_next_in_order(s):
    c, _, q = sac(s)
    one, two = consume(c, q, "one", prefetch=3), consume(c, q, "two", prefetch=3)
    s.put(q, *"abc")
    one.deliveries(3)
    one.close()
    two.deliveries(3)


@scenario
def sac_the_same_consumer_comes_back_last(s):
    c, _, q = sac(s)
    one, two = consume(c, q, "one", no_ack=True), consume(c, q, "two", no_ack=True)
    one.basic_cancel(consumer_tag="one")
    one.basic_consume(queue=q, consumer_tag="again", no_ack=True)
    s.put(q, "a", "b")
    two.deliveries(2)
    one.quiet()


@scenario
def sac_two_consumers_on_one_channel(s):
    _, ch, q = sac(s)
    ch.basic_consume(queue=q, consumer_tag="one", no_ack=True)
    ch.basic_consume(queue=q, consumer_tag="two", no_ack=True)
    s.put(q, "a", "b")
    ch.deliveries(2)
    ch.basic_cancel(consumer_tag="one")
    s.put(q, "c")
    ch.deliveries(1)


@scenario
def sac_with_message_priorities(s):
    c, _, q = sac(s, x_max_priority=5)
    put_each(s, q, 1, 5, 3)
    one = consume(c, q, "one", prefetch=1)
    one.deliveries(1)
    one.close()
    two = consume(c, q, "two", no_ack=True)
    two.deliveries(3)


@scenario
def sac_waits_while_none_is_there(s):
    c, _, q = sac(s)
    one = consume(c, q, "one", no_ack=True)
    one.basic_cancel(consumer_tag="one")
    s.put(q, "a")
    two = consume(c, q, "two", no_ack=True)
    two.deliveries(1)


@scenario
def sac_exclusive_queue(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, exclusive=True, arguments=SAC)
    one, two = consume(c, q, "one", no_ack=True), consume(c, q, "two", no_ack=True)
    s.put(s.name("q"), "a")
    one.deliveries(1)
    two.quiet()


@scenario
def sac_auto_delete_goes_with_the_last(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, auto_delete=True, arguments=SAC)
    one, two = consume(c, q, "one"), consume(c, q, "two")
    one.basic_cancel(consumer_tag="one")
    s.until(q, consumers=1)
    two.basic_cancel(consumer_tag="two")
    s.until_gone(q)


@scenario
def sac_nacked_comes_back_to_the_active_one(s):
    c, _, q = sac(s)
    one, two = consume(c, q, "one"), consume(c, q, "two")
    s.put(q, "a")
    one.deliveries(1)
    one.basic_nack(delivery_tag=1, requeue=True)
    one.deliveries(1)
    two.quiet()


# Consumer priorities


@scenario
def three_levels(s):
    c, _, q = open_queue(s)
    chs = [consume(c, q, f"p{p}", priority=p, prefetch=1) for p in (1, 3, 2)]
    s.put(q, *"abc")
    for ch in chs:
        ch.deliveries(1)


@scenario
def very_large_and_negative(s):
    c, _, q = open_queue(s)
    low = consume(c, q, "low", priority=-(1 << 31), no_ack=True)
    high = consume(c, q, "high", priority=(1 << 40), no_ack=True)
    s.put(q, "a")
    high.deliveries(1)
    low.quiet()


@scenario
def a_later_higher_one_takes_over(s):
    c, _, q = open_queue(s)
    low = consume(c, q, "low", no_ack=True)
    s.put(q, "a")
    low.deliveries(1)
    high = consume(c, q, "high", priority=10, no_ack=True)
    s.put(q, "b")
    high.deliveries(1)
    low.quiet()


@scenario
def requeued_goes_to_the_lower_while_the_higher_is_full(s):
    c, _, q = open_queue(s)
    high = consume(c, q, "high", priority=5, prefetch=1)
    low = consume(c, q, "low", priority=1, prefetch=2)
    s.put(q, *"abc")
    high.deliveries(1)
    low.deliveries(2)
    low.basic_nack(delivery_tag=1, requeue=True)
    low.deliveries(1)
    high.quiet()


@scenario
def closed_high_gives_its_unacked_to_the_low(s):
    c, _, q = open_queue(s)
    high = consume(c, q, "high", priority=5)
    low = consume(c, q, "low")
    s.put(q, "a")
    high.deliveries(1)
    high.close()
    low.deliveries(1)


@scenario
def priority_with_single_active_is_taken(s):
    c, _, q = sac(s)
    low = consume(c, q, "low", priority=1, prefetch=1)
    high = consume(c, q, "high", priority=9, prefetch=1)
    low.close()
    s.put(q, "a")
    high.deliveries(1)
