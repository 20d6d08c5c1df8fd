"""Dead lettering: reasons, headers, keys, cycles."""

import time

from harness.registry import scenario
from harness.tables import timestamp

SHORT_MS = 30


def queues(s, key=None, **arguments):
    """A queue `q` whose dead letters go through the fanout exchange `dlx` to the queue `dlq`."""
    c = s.connect()
    ch = c.channel()
    q, dlx, dlq = s.name("q"), s.name("dlx"), s.name("dlq")
    ch.exchange_declare(exchange=dlx, exchange_type="fanout")
    ch.queue_declare(queue=dlq)
    ch.queue_bind(queue=dlq, exchange=dlx)
    arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
    arguments["x-dead-letter-exchange"] = dlx
    if key is not None:
        arguments["x-dead-letter-routing-key"] = key
    ch.queue_declare(queue=q, arguments=arguments)
    return c, ch, q, dlq


def reject_one(s, ch, q, dlq):
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=1, requeue=False)
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def rejected(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", message_id="m", headers={"mine": 1})
    reject_one(s, ch, q, dlq)


@scenario
def order_of_other_headers(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", headers={"z": 1, "x-m": 2, "a": 3, "Z": 4})
    reject_one(s, ch, q, dlq)


@scenario
def rejected_without_headers(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a")
    reject_one(s, ch, q, dlq)


@scenario
def nacked_several(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", "b", "c")
    for _ in range(3):
        ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=3, multiple=True, requeue=False)
    s.until(dlq, messages=3)
    s.drain(dlq)


@scenario
def requeued_is_no_dead_letter(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=1, requeue=True)
    ch.basic_get(queue=q)
    s.drain(dlq)


@scenario
def expired_by_the_queue(s):
    _, _, q, dlq = queues(s, x_message_ttl=SHORT_MS)
    s.put(q, "a", "b")
    s.until(dlq, messages=2)
    s.drain(dlq)


@scenario
def expired_by_the_message(s):
    _, _, q, dlq = queues(s)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def expired_at_once(s):
    _, _, q, dlq = queues(s, x_message_ttl=0)
    s.put(q, "a")
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def over_the_length(s):
    _, _, q, dlq = queues(s, x_max_length=1)
    s.put(q, "a", "b", "c")
    s.until(dlq, messages=2)
    s.drain(dlq)
    s.drain(q)


@scenario
def refused_publishes_are_no_dead_letters(s):
    _, ch, q, dlq = queues(s, x_max_length=1, x_overflow="reject-publish")
    ch.confirm_select()
    for body in "abc":
        ch.publish("", q, body)
        ch.confirms()
    s.drain(dlq)


@scenario
def refused_publishes_are_dead_letters_if_asked(s):
    _, ch, q, dlq = queues(s, x_max_length=1, x_overflow="reject-publish-dlx")
    ch.confirm_select()
    for body in "abc":
        ch.publish("", q, body)
        ch.confirms()
    s.until(dlq, messages=2)
    s.drain(dlq)


@scenario
def purged_and_deleted_are_no_dead_letters(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", "b")
    ch.queue_purge(queue=q)
    s.put(q, "c")
    ch.queue_delete(queue=q)
    s.drain(dlq)


@scenario
def with_its_own_routing_key(s):
    _, ch, q, dlq = queues(s, key="dead")
    s.put(q, "a", headers={"CC": [s.name("cc")], "BCC": [s.name("bcc")]})
    reject_one(s, ch, q, dlq)


@scenario
def without_its_own_routing_key_cc_stays(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", headers={"CC": [s.name("cc")], "BCC": [s.name("bcc")]})
    reject_one(s, ch, q, dlq)


@scenario
def with_an_empty_routing_key(s):
    _, ch, q, dlq = queues(s, key="")
    s.put(q, "a")
    reject_one(s, ch, q, dlq)


@scenario
def through_an_exchange_with_its_key(s):
    _, ch, q, dlq = queues(s)
    ch.queue_bind(queue=q, exchange="amq.topic", routing_key=q + ".#")
    s.put(q + ".x", "a", exchange="amq.topic")
    reject_one(s, ch, q, dlq)


@scenario
def missing_exchange_drops(s):
    _, ch, q, dlq = queues(s)
    ch.exchange_delete(exchange=s.name("dlx"))
    s.put(q, "a", "b")
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=1, requeue=False)
    ch.sync()
    ch.exchange_declare(exchange=s.name("dlx"), exchange_type="fanout")
    ch.queue_bind(queue=dlq, exchange=s.name("dlx"))
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=2, requeue=False)
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def default_exchange_as_dead_letter_exchange(s):
    ch = s.channel()
    q, dlq = s.name("q"), s.name("dlq")
    ch.queue_declare(queue=dlq)
    ch.queue_declare(queue=q, arguments={"x-dead-letter-exchange": "",
                                         "x-dead-letter-routing-key": dlq})
    s.put(q, "a")
    reject_one(s, ch, q, dlq)


def circle(s, first=None, second=None):
    """Two queues that dead-letter to each other through the default exchange."""
    ch = s.channel()
    a, b = s.name("a"), s.name("b")
    for here, there, more in ((a, b, first), (b, a, second)):
        ch.queue_declare(queue=here, arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": there} | (more or {}))
    return ch, a, b


@scenario
def second_time_in_the_same_queue(s):
    ch, a, b = circle(s)
    s.put(a, "x")
    for tag, (q, other) in enumerate(((a, b), (b, a), (a, b), (b, a)), 1):
        s.until(q, messages=1)
        ch.basic_get(queue=q)
        ch.basic_reject(delivery_tag=tag, requeue=False)
        s.until(other, messages=1)


@scenario
def automatic_cycle_is_dropped(s):
    ch, a, b = circle(s, {"x-message-ttl": SHORT_MS}, {"x-message-ttl": SHORT_MS})
    s.put(a, "x")
    time.sleep(SHORT_MS * 15 / 1000)
    s.drain(a)
    s.drain(b)


@scenario
def cycle_with_a_rejection_goes_on(s):
    ch, a, b = circle(s, None, {"x-message-ttl": SHORT_MS})
    s.put(a, "x")
    for tag in (1, 2, 3):
        s.until(a, messages=1)
        ch.basic_get(queue=a)
        ch.basic_reject(delivery_tag=tag, requeue=False)
    s.until(a, messages=1)
    s.drain(a)


@scenario
def to_itself_when_expired(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": q, "x-message-ttl": SHORT_MS})
    s.put(q, "a")
    time.sleep(SHORT_MS * 10 / 1000)
    s.drain(q)


@scenario
def to_itself_when_rejected(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": q})
    s.put(q, "a")
    for tag in (1, 2):
        ch.basic_get(queue=q)
        ch.basic_reject(delivery_tag=tag, requeue=False)
        s.until(q, messages=1)
    s.drain(q)


@scenario
def chain_of_three_reasons(s):
    ch = s.channel()
    a, b, c, d = (s.name(label) for label in "abcd")
    for here, there, more in ((a, b, {"x-message-ttl": SHORT_MS}), (b, c, {"x-max-length": 0}),
                              (c, d, {})):
        ch.queue_declare(queue=here, arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": there} | more)
    ch.queue_declare(queue=d)
    s.put(a, "x", headers={"mine": "kept"}, priority=3)
    s.until(c, messages=1)
    ch.basic_get(queue=c)
    ch.basic_reject(delivery_tag=1, requeue=False)
    s.until(d, messages=1)
    s.drain(d)


@scenario
def order_of_six_deaths(s):
    ch = s.channel()
    names = [s.name(label) for label in "abcdefg"]
    for here, there in zip(names, names[1:], strict=False):
        ch.queue_declare(queue=here, arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": there})
    ch.queue_declare(queue=names[-1])
    s.put(names[0], "x")
    for tag, (here, there) in enumerate(zip(names, names[1:], strict=False), 1):
        ch.basic_get(queue=here)
        ch.basic_reject(delivery_tag=tag, requeue=False)
        s.until(there, messages=1)
    s.drain(names[-1])


@scenario
def republished_x_death_is_extended(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", headers={"x-death": [{
        "count": 7, "exchange": "", "queue": q, "reason": "rejected", "routing-keys": [q],
        "time": timestamp(1000000)}]})
    reject_one(s, ch, q, dlq)


@scenario
def republished_x_death_of_another_queue(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", headers={"x-death": [{
        "count": 7, "exchange": "e", "queue": "elsewhere", "reason": "expired",
        "routing-keys": ["k"], "time": timestamp(1000000)}]})
    reject_one(s, ch, q, dlq)


@scenario
def garbage_x_death_is_replaced(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", headers={"x-death": "garbage"})
    reject_one(s, ch, q, dlq)


@scenario
def x_first_death_is_never_overwritten(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", headers={"x-first-death-queue": "mine", "x-first-death-reason": "because",
                           "x-first-death-exchange": "somewhere"})
    reject_one(s, ch, q, dlq)


@scenario
def in_a_transaction(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a")
    ch.tx_select()
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=1, requeue=False)
    ch.sync()
    s.drain(dlq)
    ch.tx_commit()
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def several_queues_behind_the_exchange(s):
    _, ch, q, dlq = queues(s)
    other = s.name("other")
    ch.queue_declare(queue=other)
    ch.queue_bind(queue=other, exchange=s.name("dlx"))
    s.put(q, "a")
    reject_one(s, ch, q, dlq)
    s.until(other, messages=1)
    s.drain(other)


@scenario
def persistent_and_with_all_properties(s):
    _, ch, q, dlq = queues(s)
    s.put(q, "a", content_type="text/plain", content_encoding="gzip", delivery_mode=2, priority=5,
          correlation_id="c", reply_to="r", expiration="60000", message_id="m",
          timestamp=1700000000, message_type="t", user_id="guest", app_id="a")
    reject_one(s, ch, q, dlq)
