"""TTL of messages and leases of queues, further: what starts, stops and survives them."""

import time

from harness.registry import scenario
from harness.steps import declare, dying_queue, open_queue, take_all
from harness.tables import int64

SHORT_MS, LONG_MS = 40, 60000


@scenario
def zero_and_zero(s):
    _, ch, q = open_queue(s, x_message_ttl=0)
    s.put(q, "a", expiration="0")
    s.until(q, messages=0)


@scenario
def zero_of_the_message_with_a_consumer(s):
    _, ch, q = open_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    s.put(q, "a", expiration="0")
    ch.deliveries(1)


@scenario
def zero_of_the_message_under_a_long_one_of_the_queue(s):
    _, _, q = open_queue(s, x_message_ttl=LONG_MS)
    s.put(q, "a", expiration="0")
    s.put(q, "b")
    s.until(q, messages=1)
    s.drain(q)


@scenario
def equal_times(s):
    _, _, q = open_queue(s, x_message_ttl=SHORT_MS)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.until(q, messages=0)


@scenario
def of_a_64_bit_argument(s):
    _, _, q = open_queue(s, x_message_ttl=int64(SHORT_MS))
    s.put(q, "a")
    s.until(q, messages=0)


@scenario
def of_the_message_in_two_queues(s):
    _, ch, q = open_queue(s)
    lasting = declare(s, ch, "lasting")
    s.put(q, "a", headers={"CC": [lasting]}, expiration=str(SHORT_MS))
    s.until(q, messages=0)
    s.until(lasting, messages=0)


@scenario
def of_the_queue_in_only_one_of_two(s):
    _, ch, q = open_queue(s, x_message_ttl=SHORT_MS)
    lasting = declare(s, ch, "lasting")
    s.put(q, "a", headers={"CC": [lasting]})
    s.until(q, messages=0)
    s.drain(lasting)


@scenario
def some_expire_and_some_last(s):
    _, ch, q = open_queue(s)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.put(q, "b")
    s.put(q, "c", expiration=str(LONG_MS))
    s.until(q, messages=2)
    take_all(ch, q)


@scenario
def a_consumer_gets_only_what_lasts(s):
    _, ch, q = open_queue(s)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.put(q, "b")
    s.until(q, messages=1)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.deliveries(1)


@scenario
def expired_at_the_head_when_got(s):
    _, ch, q = open_queue(s)
    s.put(q, "a", expiration=str(SHORT_MS))
    time.sleep(SHORT_MS * 5 / 1000)
    ch.basic_get(queue=q)


@scenario(seconds=1)
def a_requeued_one_keeps_its_time(s):
    """Its time goes on while it is out, and it is gone when it comes back too late."""
    _, ch, q = open_queue(s)
    s.put(q, "a", expiration="200")
    ch.basic_get(queue=q)
    time.sleep(0.6)
    ch.basic_reject(delivery_tag=1, requeue=True)
    ch.basic_get(queue=q)


@scenario(seconds=1)
def nobody_takes_an_expired_one_from_a_closed_channel(s):
    c, ch, q, dlq = dying_queue(s, x_message_ttl=200)
    s.put(q, "a")
    ch.basic_get(queue=q)
    time.sleep(0.6)
    ch.close()
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def with_a_length_limit(s):
    _, _, q, dlq = dying_queue(s, x_message_ttl=400, x_max_length=1)
    s.put(q, "a", "b")
    s.until(dlq, messages=2)
    s.drain(dlq)


@scenario
def of_a_message_with_priorities(s):
    _, ch, q = open_queue(s, x_max_priority=5)
    s.put(q, "a", priority=1, expiration=str(SHORT_MS))
    s.put(q, "b", priority=5)
    time.sleep(SHORT_MS * 5 / 1000)
    take_all(ch, q)


@scenario
def purge_before_the_time(s):
    _, ch, q, dlq = dying_queue(s, x_message_ttl=300)
    s.put(q, "a")
    ch.queue_purge(queue=q)
    time.sleep(0.5)
    s.drain(dlq)


@scenario
def expirations_of_other_forms(s):
    c = s.connect()
    q = declare(s, c.channel())
    for text in ("1.5", "+5", " 5", "5 ", "0x10", "1e3", "٣", "-0", "00", "007"):
        ch = c.renew()
        ch.publish("", q, "a", expiration=text)
        ch.sync()


@scenario
def in_a_transaction_a_wrong_expiration(s):
    _, ch, q = open_queue(s)
    ch.tx_select()
    ch.publish("", q, "a")
    ch.publish("", q, "b", expiration="soon")
    ch.sync()
    s.until(q, messages=0)


# Leases


@scenario(seconds=2)
def lease_starts_again_when_the_consumer_goes(s):
    c, ch, q = open_queue(s, x_expires=300)
    other = c.channel()
    other.basic_consume(queue=q, consumer_tag="t")
    time.sleep(0.8)
    other.close()
    time.sleep(1.2)
    s.until_gone(q)


@scenario(seconds=1)
def lease_with_unacked_messages(s):
    _, ch, q = open_queue(s, x_expires=200)
    s.put(q, "a")
    ch.basic_get(queue=q)
    time.sleep(1.0)
    ch.basic_ack(delivery_tag=1)
    ch.sync()
    s.until_gone(q)


@scenario(seconds=1)
def lease_takes_the_bindings_along(s):
    ch = s.channel()
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    q = declare(s, ch, x_expires=200)
    ch.queue_bind(queue=q, exchange=x)
    time.sleep(1.0)
    ch.publish(x, "k", "a", mandatory=True)
    ch.wait("basic_return")
    ch.exchange_delete(exchange=x, if_unused=True)


@scenario(seconds=1)
def lease_of_an_exclusive_queue(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"), exclusive=True, arguments={"x-expires": 200})
    time.sleep(1.0)
    ch.queue_declare(queue=s.name("q"), passive=True)


@scenario(seconds=1)
def lease_of_a_durable_queue(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"), durable=True, arguments={"x-expires": 200})
    s.put(s.name("q"), "a", delivery_mode=2)
    time.sleep(1.0)
    ch.queue_declare(queue=s.name("q"), passive=True)


@scenario(seconds=1)
def lease_of_a_server_named_queue(s):
    ch = s.channel()
    ch.queue_declare(queue="", arguments={"x-expires": 200})
    time.sleep(1.0)
    ch.queue_declare(queue="", passive=True)
