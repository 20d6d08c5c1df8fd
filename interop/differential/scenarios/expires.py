"""Time: message TTL, per-message expiration, queue leases.

Times are chosen so that what is to have expired had ten times as long as it needs, and what is not
to have expired has a minute left.
"""

import time

from harness.registry import scenario

SHORT_MS, LONG_MS = 30, 60000


def queue(s, **arguments):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, arguments={k.replace("_", "-"): v for k, v in arguments.items()})
    return c, ch, q


def get_all(ch, q):
    while (reply := ch.basic_get(queue=q, no_ack=True)) and reply.key == "basic_get_ok":
        pass


@scenario
def queue_ttl(s):
    _, ch, q = queue(s, x_message_ttl=SHORT_MS)
    s.put(q, "a", "b")
    s.until(q, messages=0)
    get_all(ch, q)


@scenario
def queue_ttl_long(s):
    _, ch, q = queue(s, x_message_ttl=LONG_MS)
    s.put(q, "a")
    get_all(ch, q)


@scenario
def ttl_0_without_a_consumer(s):
    _, ch, q = queue(s, x_message_ttl=0)
    ch.publish("", q, "a")
    get_all(ch, q)


@scenario
def ttl_0_with_a_consumer(s):
    _, ch, q = queue(s, x_message_ttl=0)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    s.put(q, "a")
    ch.deliveries(1)


@scenario
def ttl_0_with_a_consumer_without_credit(s):
    _, ch, q = queue(s, x_message_ttl=0)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    ch.deliveries(1)
    s.put(q, "b")
    ch.basic_ack(delivery_tag=1)
    ch.quiet()


@scenario
def expiration_0_without_a_consumer(s):
    _, ch, q = queue(s)
    ch.publish("", q, "a", expiration="0")
    get_all(ch, q)


@scenario
def expiration_0_and_mandatory(s):
    _, ch, q = queue(s)
    ch.publish("", q, "a", expiration="0", mandatory=True)
    ch.sync()


@scenario
def expiration_short(s):
    _, ch, q = queue(s)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.until(q, messages=0)
    get_all(ch, q)


@scenario
def expiration_is_kept_on_delivery(s):
    _, ch, q = queue(s, x_message_ttl=LONG_MS)
    s.put(q, "a", expiration="70000")
    get_all(ch, q)


@scenario
def the_smaller_one_counts(s):
    _, ch, q = queue(s, x_message_ttl=SHORT_MS)
    s.put(q, "a", expiration=str(LONG_MS))
    s.until(q, messages=0)
    q = s.name("r")
    ch.queue_declare(queue=q, arguments={"x-message-ttl": LONG_MS})
    s.put(q, "b", expiration=str(SHORT_MS))
    s.until(q, messages=0)


@scenario(seconds=1)
def behind_a_lasting_head_nothing_expires(s):
    """Per-message expiration is looked at only at the head of the queue."""
    _, ch, q = queue(s)
    s.put(q, "lasting")
    s.put(q, "short", expiration=str(SHORT_MS))
    time.sleep(SHORT_MS * 10 / 1000)
    s.until(q, messages=2)
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario(seconds=1)
def unacked_does_not_expire(s):
    _, ch, q = queue(s, x_message_ttl=SHORT_MS)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    ch.deliveries(1)
    time.sleep(SHORT_MS * 10 / 1000)
    ch.basic_ack(delivery_tag=1)
    ch.sync()


@scenario(seconds=1)
def requeued_after_its_time_expires(s):
    _, ch, q = queue(s, x_message_ttl=SHORT_MS)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    ch.deliveries(1)
    time.sleep(SHORT_MS * 10 / 1000)
    ch.basic_cancel(consumer_tag="t")
    ch.basic_nack(delivery_tag=1, requeue=True)
    get_all(ch, q)


@scenario(seconds=1)
def queue_lease_runs_out(s):
    _, ch, q = queue(s, x_expires=100)
    s.put(q, "a")
    time.sleep(1.0)
    ch.queue_declare(queue=q, passive=True)


@scenario(seconds=1)
def queue_lease_is_held_by_a_consumer(s):
    _, ch, q = queue(s, x_expires=100)
    ch.basic_consume(queue=q, consumer_tag="t")
    time.sleep(0.6)
    s.put(q, "a")
    ch.deliveries(1)
    ch.basic_cancel(consumer_tag="t")
    time.sleep(1.0)
    ch.queue_declare(queue=q, passive=True)


@scenario(seconds=2)
def queue_lease_is_renewed_by_declare(s):
    _, ch, q = queue(s, x_expires=600)
    for _ in range(5):
        time.sleep(0.25)
        ch.queue_declare(queue=q, arguments={"x-expires": 600})
    for _ in range(5):
        time.sleep(0.25)
        ch.queue_declare(queue=q, passive=True)


@scenario(seconds=2)
def queue_lease_is_renewed_by_get(s):
    _, ch, q = queue(s, x_expires=600)
    for _ in range(5):
        time.sleep(0.25)
        ch.basic_get(queue=q)


@scenario(seconds=2)
def queue_lease_is_not_renewed_by_publish(s):
    _, ch, q = queue(s, x_expires=500)
    for _ in range(8):
        time.sleep(0.25)
        ch.publish("", q, "x")
        ch.sync()
    ch.queue_declare(queue=q, passive=True)


@scenario(seconds=1)
def in_a_transaction_the_clock_starts_at_commit(s):
    _, ch, q = queue(s, x_message_ttl=400)
    ch.tx_select()
    ch.publish("", q, "a")
    time.sleep(0.8)
    ch.tx_commit()
    get_all(ch, q)
