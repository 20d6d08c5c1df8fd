"""Dead letters that go further: by what they are routed, what they carry, and where they end."""

import time

from harness.registry import scenario
from harness.steps import arguments, declare, dying_queue, open_queue, reject, take_all
from harness.tables import float64, int8, timestamp

SHORT_MS = 30


def exchange(s, ch, kind, label="dlx", **named):
    name = s.name(label)
    ch.exchange_declare(exchange=name, exchange_type=kind, arguments=arguments(**named))
    return name


def behind(s, kind, *keys, key=None):
    """A dying queue, its dead-letter exchange, and a queue for each key bound to that."""
    c = s.connect()
    ch = c.channel()
    dlx = exchange(s, ch, kind)
    for number, binding in enumerate(keys):
        target = declare(s, ch, f"d{number}")
        ch.queue_bind(queue=target, exchange=dlx, routing_key=binding)
    more = {} if key is None else {"x_dead_letter_routing_key": key}
    return ch, declare(s, ch, "q", x_dead_letter_exchange=dlx, **more), dlx


def reject_only(ch, q, tag=1):
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=tag, requeue=False)
    ch.sync()


# By what dead letters are routed


@scenario
def cc_keys_route_too(s):
    ch, q, _ = behind(s, "direct", s.name("q"), "copy", "other")
    s.put(q, "a", headers={"CC": ["copy"]})
    reject(s, ch, q, s.name("d1"))
    for label in ("d0", "d1", "d2"):
        s.drain(s.name(label))


@scenario
def its_own_key_takes_the_place_of_cc(s):
    ch, q, _ = behind(s, "direct", s.name("q"), "copy", "dead", key="dead")
    s.put(q, "a", headers={"CC": ["copy"], "mine": 1})
    reject(s, ch, q, s.name("d2"))
    for label in ("d0", "d1", "d2"):
        s.drain(s.name(label))


@scenario
def cc_and_three_queues_that_die(s):
    ch = s.channel()
    d = declare(s, ch, "d")
    dlx = exchange(s, ch, "fanout")
    ch.queue_bind(queue=d, exchange=dlx)
    queues = [declare(s, ch, label, x_dead_letter_exchange=dlx) for label in "abc"]
    s.put(queues[0], "x", headers={"CC": queues[1:]})
    for tag, q in enumerate(queues, 1):
        reject(s, ch, q, d, tag)
        s.drain(d)


@scenario
def bcc_keys_route_too(s):
    ch, q, _ = behind(s, "direct", s.name("q"), "blind", "other")
    s.put(q, "a", headers={"BCC": ["blind"], "mine": 1})
    reject(s, ch, q, s.name("d1"))
    for label in ("d0", "d1", "d2"):
        s.drain(s.name(label))


@scenario
def its_own_key_takes_the_place_of_bcc(s):
    ch, q, _ = behind(s, "direct", s.name("q"), "copy", "blind", "dead", key="dead")
    s.put(q, "a", headers={"CC": ["copy"], "BCC": ["blind"]})
    reject(s, ch, q, s.name("d3"))
    for label in ("d0", "d1", "d2", "d3"):
        s.drain(s.name(label))


def two_hops(s, kind, *keys, key=None):
    """As `behind`; and what dies in `d0` goes on to an exchange with a queue for each key."""
    ch = s.channel()
    second = exchange(s, ch, "direct", "second")
    for number, binding in enumerate(keys):
        ch.queue_bind(queue=declare(s, ch, f"e{number}"), exchange=second, routing_key=binding)
    first = exchange(s, ch, kind)
    between = declare(s, ch, "d0", x_dead_letter_exchange=second)
    ch.queue_bind(queue=between, exchange=first, routing_key=s.name("q"))
    ch.queue_bind(queue=between, exchange=first, routing_key="dead")
    more = {} if key is None else {"x_dead_letter_routing_key": key}
    return ch, declare(s, ch, "q", x_dead_letter_exchange=first, **more), between


@scenario
def cc_and_bcc_keys_route_at_the_second_hop(s):
    ch, q, between = two_hops(s, "direct", s.name("q"), "copy", "blind")
    s.put(q, "a", headers={"CC": ["copy"], "BCC": ["blind"]})
    reject(s, ch, q, between)
    reject(s, ch, between, s.name("e1"), 2)
    for label in ("e0", "e1", "e2"):
        s.drain(s.name(label))


@scenario
def a_key_at_the_first_hop_ends_cc_and_bcc(s):
    ch, q, between = two_hops(s, "direct", "dead", "copy", "blind", key="dead")
    s.put(q, "a", headers={"CC": ["copy"], "BCC": ["blind"]})
    reject(s, ch, q, between)
    reject(s, ch, between, s.name("e0"), 2)
    for label in ("e0", "e1", "e2"):
        s.drain(s.name(label))


@scenario
def the_same_key_in_cc_twice(s):
    ch, q, _ = behind(s, "direct", s.name("q"), "copy")
    s.put(q, "a", headers={"CC": ["copy", q, "copy"]})
    reject(s, ch, q, s.name("d1"))
    for label in ("d0", "d1"):
        s.drain(s.name(label))


@scenario
def cc_keys_of_what_expired(s):
    ch, q, _ = behind(s, "topic", "*.copy", "blind.#", "#")
    s.put(q, "a", headers={"CC": ["a.copy"], "BCC": ["blind.b"]}, expiration="1")
    s.until(s.name("d0"), messages=1)
    s.until(s.name("d2"), messages=1)
    for label in ("d0", "d1", "d2"):
        s.drain(s.name(label))


@scenario
def cc_and_bcc_keys_from_a_quorum_queue(s):
    ch = s.channel()
    dlx = exchange(s, ch, "direct")
    for number, key in enumerate((s.name("q"), "copy", "blind")):
        ch.queue_bind(queue=declare(s, ch, f"d{number}"), exchange=dlx, routing_key=key)
    q = declare(s, ch, quorum=True, x_dead_letter_exchange=dlx)
    s.put(q, "a", headers={"CC": ["copy"], "BCC": ["blind"]}, delivery_mode=2)
    reject(s, ch, q, s.name("d1"))
    for label in ("d0", "d1", "d2"):
        s.drain(s.name(label))


@scenario
def topic_by_the_key_of_the_publish(s):
    ch, q, _ = behind(s, "topic", "jobs.*", "#.failed")
    ch.queue_bind(queue=q, exchange="amq.topic", routing_key=q + ".jobs.#")
    ch.queue_bind(queue=s.name("d1"), exchange=s.name("dlx"), routing_key=q + ".jobs.*")
    s.put(q + ".jobs.mail", "a", exchange="amq.topic")
    reject(s, ch, q, s.name("d1"))
    s.drain(s.name("d0"))
    s.drain(s.name("d1"))


@scenario
def topic_by_its_own_key(s):
    ch, q, _ = behind(s, "topic", "jobs.*", "*.failed", "#", key="jobs.failed")
    s.put(q, "a")
    reject(s, ch, q, s.name("d2"))
    for label in ("d0", "d1", "d2"):
        s.drain(s.name(label))


@scenario
def headers_exchange_by_the_headers(s):
    ch = s.channel()
    dlx, yes, no = exchange(s, ch, "headers"), declare(s, ch, "yes"), declare(s, ch, "no")
    ch.queue_bind(queue=yes, exchange=dlx, arguments={"x-match": "all", "kind": "pdf"})
    ch.queue_bind(queue=no, exchange=dlx, arguments={"x-match": "all", "kind": "zip"})
    q = declare(s, ch, x_dead_letter_exchange=dlx)
    s.put(q, "a", headers={"kind": "pdf"})
    reject(s, ch, q, yes)
    s.drain(yes)
    s.drain(no)


@scenario
def headers_exchange_by_the_first_death(s):
    ch = s.channel()
    dlx, yes, no = exchange(s, ch, "headers"), declare(s, ch, "yes"), declare(s, ch, "no")
    for target, reason in ((yes, "rejected"), (no, "expired")):
        ch.queue_bind(queue=target, exchange=dlx, arguments={
            "x-match": "any-with-x", "x-first-death-reason": reason})
    q = declare(s, ch, x_dead_letter_exchange=dlx)
    s.put(q, "a")
    reject(s, ch, q, yes)
    s.drain(yes)
    s.drain(no)


@scenario
def through_an_exchange_binding(s):
    ch, q, dlx = behind(s, "fanout")
    second, d = exchange(s, ch, "fanout", "second"), declare(s, ch, "d")
    ch.exchange_bind(destination=second, source=dlx)
    ch.queue_bind(queue=d, exchange=second)
    s.put(q, "a")
    reject(s, ch, q, d)
    s.drain(d)


@scenario
def through_an_alternate_exchange(s):
    ch = s.channel()
    ae, d = exchange(s, ch, "fanout", "ae"), declare(s, ch, "d")
    ch.queue_bind(queue=d, exchange=ae)
    dlx = exchange(s, ch, "direct", alternate_exchange=ae)
    q = declare(s, ch, x_dead_letter_exchange=dlx)
    s.put(q, "a")
    reject(s, ch, q, d)
    s.drain(d)


@scenario
def through_an_internal_exchange(s):
    ch = s.channel()
    dlx, d = s.name("dlx"), declare(s, ch, "d")
    ch.exchange_declare(exchange=dlx, exchange_type="fanout", internal=True)
    ch.queue_bind(queue=d, exchange=dlx)
    q = declare(s, ch, x_dead_letter_exchange=dlx)
    s.put(q, "a")
    reject(s, ch, q, d)
    s.drain(d)


@scenario
def through_a_hash_exchange(s):
    ch, q, _ = behind(s, "x-consistent-hash", "1")
    s.put(q, "a")
    reject(s, ch, q, s.name("d0"))
    s.drain(s.name("d0"))


@scenario
def through_a_history_exchange(s):
    ch, q, dlx = behind(s, "x-recent-history", "")
    s.put(q, "a")
    reject(s, ch, q, s.name("d0"))
    late = declare(s, ch, "late")
    ch.queue_bind(queue=late, exchange=dlx)
    s.until(late, messages=1)
    s.drain(late)


@scenario
def default_exchange_without_a_key_is_the_queue_itself(s):
    _, ch, q = open_queue(s, x_dead_letter_exchange="")
    s.put(q, "a")
    reject(s, ch, q, q)
    s.drain(q)


@scenario
def default_exchange_with_the_key_of_a_missing_queue(s):
    _, ch, q = open_queue(s, x_dead_letter_exchange="",
                          x_dead_letter_routing_key=s.name("none"))
    s.put(q, "a", mandatory=True)
    reject_only(ch, q)
    ch.basic_get(queue=q)


@scenario
def predeclared_topic_exchange(s):
    ch = s.channel()
    d, q = declare(s, ch, "d"), declare(s, ch, x_dead_letter_exchange="amq.topic")
    ch.queue_bind(queue=d, exchange="amq.topic", routing_key=q)
    s.put(q, "a")
    reject(s, ch, q, d)
    s.drain(d)


@scenario
def exchange_declared_anew_with_another_type(s):
    ch, q, dlx = behind(s, "direct", "other")
    ch.exchange_delete(exchange=dlx)
    ch.exchange_declare(exchange=dlx, exchange_type="fanout")
    ch.queue_bind(queue=s.name("d0"), exchange=dlx)
    s.put(q, "a")
    reject(s, ch, q, s.name("d0"))
    s.drain(s.name("d0"))


# What dead letters carry


@scenario
def nacked_is_rejected(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=False)
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def types_of_headers_stay(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "a", headers={
        "small": int8(5), "float": float64(1.5), "when": timestamp(1700000000), "none": None,
        "list": [1, "b", True], "table": {"inner": {"deep": 1}}, "text": "ü"})
    reject(s, ch, q, dlq)
    s.drain(dlq)


@scenario
def original_expiration(s):
    _, _, q, dlq = dying_queue(s)
    s.put(q, "a", expiration=str(SHORT_MS))
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def expiration_of_one_that_the_queue_expires(s):
    _, _, q, dlq = dying_queue(s, x_message_ttl=SHORT_MS)
    s.put(q, "a", expiration="60000")
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def expiration_of_a_rejected_one(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "a", expiration="60000")
    reject(s, ch, q, dlq)
    s.drain(dlq)


@scenario
def expiration_of_one_too_many(s):
    _, _, q, dlq = dying_queue(s, x_max_length=0)
    s.put(q, "a", expiration="60000")
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def too_many_bytes_are_maxlen(s):
    _, _, q, dlq = dying_queue(s, x_max_length_bytes=4)
    s.put(q, "aaa", "bbb")
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def refused_publish_is_maxlen(s):
    _, ch, q, dlq = dying_queue(s, x_max_length=0, x_overflow="reject-publish-dlx")
    ch.confirm_select()
    ch.publish("", q, "a", headers={"mine": 1}, expiration="60000", priority=1)
    ch.confirms()
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def exchange_and_key_of_the_publish(s):
    ch, q, _ = behind(s, "fanout", "", key="dead")
    x = exchange(s, ch, "topic", "x")
    ch.queue_bind(queue=q, exchange=x, routing_key="a.#")
    s.put("a.b.c", "1", exchange=x)
    reject(s, ch, q, s.name("d0"))
    s.drain(s.name("d0"))


@scenario
def redelivered_is_forgotten(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    reject(s, ch, q, dlq, 2)
    s.drain(dlq)


@scenario
def mandatory_dead_letter_is_not_returned(s):
    _, ch, q = open_queue(s, x_message_ttl=0, x_dead_letter_exchange=s.name("none"))
    ch.confirm_select()
    ch.publish("", q, "a", mandatory=True)
    ch.confirms()
    ch.quiet()


@scenario
def two_queues_that_lead_to_one(s):
    ch = s.channel()
    d = declare(s, ch, "d")
    queues = [declare(s, ch, label, x_dead_letter_exchange="", x_dead_letter_routing_key=d)
              for label in "ab"]
    x = exchange(s, ch, "fanout", "x")
    for q in queues:
        ch.queue_bind(queue=q, exchange=x)
    s.put("k", "1", exchange=x)
    for tag, q in enumerate(queues, 1):
        reject(s, ch, q, d, tag)
        s.drain(d)


@scenario
def empty_x_death_of_a_client(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "a", headers={"x-death": []})
    reject(s, ch, q, dlq)
    s.drain(dlq)


@scenario
def x_last_death_of_a_client_stays(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "a", headers={"x-last-death-queue": "mine", "x-first-death-queue": "first"})
    reject(s, ch, q, dlq)
    s.drain(dlq)


# Several hops


def hop(s, ch, here, there, **named):
    return declare(s, ch, here, x_dead_letter_exchange="",
                   x_dead_letter_routing_key=s.name(there), **named)


@scenario
def two_reasons_in_one_queue_are_two_entries(s):
    ch = s.channel()
    a, b = hop(s, ch, "a", "b", x_message_ttl=600), hop(s, ch, "b", "a")
    s.put(a, "x")
    reject(s, ch, a, b)
    reject(s, ch, b, a, 2)
    s.until(b, messages=1)
    s.drain(b)


@scenario
def retry_three_times_then_park(s):
    """The retry loop people build: work rejects, wait expires back into work."""
    ch = s.channel()
    work, wait = hop(s, ch, "work", "wait"), hop(s, ch, "wait", "work", x_message_ttl=SHORT_MS)
    s.put(work, "x", headers={"attempt": 1}, message_id="m")
    for tag in (1, 2, 3):
        s.until(work, messages=1)
        ch.basic_get(queue=work)
        ch.basic_reject(delivery_tag=tag, requeue=False)
        s.until(wait, messages=0)
    s.until(work, messages=1)
    s.drain(work)


@scenario
def retry_by_the_expiration_of_the_message(s):
    ch = s.channel()
    work, wait = hop(s, ch, "work", "wait"), hop(s, ch, "wait", "work")
    s.put(wait, "x", expiration=str(SHORT_MS))
    s.until(work, messages=1)
    reject(s, ch, work, wait)
    s.drain(wait)


@scenario
def through_exchanges_on_every_hop(s):
    ch = s.channel()
    one, two = exchange(s, ch, "topic", "one"), exchange(s, ch, "direct", "two")
    a = declare(s, ch, "a", x_dead_letter_exchange=two, x_dead_letter_routing_key="second")
    b = declare(s, ch, "b", x_dead_letter_exchange=one, x_message_ttl=SHORT_MS)
    c = declare(s, ch, "c")
    ch.queue_bind(queue=a, exchange=one, routing_key="first.#")
    ch.queue_bind(queue=b, exchange=two, routing_key="second")
    ch.queue_bind(queue=c, exchange=one, routing_key="second")
    s.put("first.1", "x", exchange=one)
    ch.basic_get(queue=a)
    ch.basic_reject(delivery_tag=1, requeue=False)
    s.until(c, messages=1)
    s.drain(c)


@scenario
def cc_over_two_hops(s):
    ch = s.channel()
    dlx = exchange(s, ch, "fanout")
    a = declare(s, ch, "a", x_dead_letter_exchange=dlx)
    b, c = hop(s, ch, "b", "c"), declare(s, ch, "c")
    ch.queue_bind(queue=b, exchange=dlx)
    s.put(a, "x", headers={"CC": ["copy"]})
    reject(s, ch, a, b)
    reject(s, ch, b, c, 2)
    s.drain(c)


@scenario
def maxlen_chain(s):
    ch = s.channel()
    hop(s, ch, "a", "b", x_max_length=0)
    hop(s, ch, "b", "c", x_max_length=1)
    c = declare(s, ch, "c")
    s.put(s.name("a"), "1", "2", "3")
    s.until(c, messages=2)
    s.drain(c)
    s.drain(s.name("b"))


# Cycles


def left(s, *queues):
    time.sleep(SHORT_MS * 12 / 1000)
    for q in queues:
        s.drain(q)


@scenario(seconds=1)
def cycle_of_three_that_expire(s):
    ch = s.channel()
    queues = [hop(s, ch, here, there, x_message_ttl=SHORT_MS)
              for here, there in ("ab", "bc", "ca")]
    s.put(queues[0], "x")
    left(s, *queues)


@scenario(seconds=1)
def cycle_of_length_limits(s):
    ch = s.channel()
    a, b = hop(s, ch, "a", "b", x_max_length=0), hop(s, ch, "b", "a", x_max_length=0)
    s.put(a, "x")
    left(s, a, b)


@scenario(seconds=1)
def cycle_to_itself_by_a_length_limit(s):
    ch = s.channel()
    a = hop(s, ch, "a", "a", x_max_length=1)
    s.put(a, "x", "y")
    left(s, a)


@scenario(seconds=1)
def cycle_of_expiry_and_length(s):
    ch = s.channel()
    a = hop(s, ch, "a", "b", x_message_ttl=SHORT_MS)
    b = hop(s, ch, "b", "a", x_max_length=0)
    s.put(a, "x")
    left(s, a, b)


@scenario(seconds=1)
def rejected_once_a_cycle_goes_on(s):
    """A rejection since the last time in a queue keeps the message alive on later rounds."""
    ch = s.channel()
    a, b = hop(s, ch, "a", "b"), hop(s, ch, "b", "c", x_message_ttl=SHORT_MS)
    c = hop(s, ch, "c", "a", x_message_ttl=SHORT_MS)
    s.put(a, "x")
    for tag in (1, 2):
        s.until(a, messages=1)
        ch.basic_get(queue=a)
        ch.basic_reject(delivery_tag=tag, requeue=False)
    left(s, a, b, c)


@scenario(seconds=1)
def cycle_that_a_client_claims(s):
    """x-death of a client says that the message has been in the target: is that a cycle?"""
    _, _, q, dlq = dying_queue(s, x_message_ttl=SHORT_MS)
    s.put(q, "a", headers={"x-death": [{
        "count": 1, "exchange": "", "queue": dlq, "reason": "expired", "routing-keys": [dlq],
        "time": timestamp(1000000)}]})
    left(s, dlq)


@scenario
def one_of_two_targets_is_a_cycle(s):
    ch = s.channel()
    dlx = exchange(s, ch, "fanout")
    a, d = declare(s, ch, "a", x_dead_letter_exchange=dlx, x_message_ttl=SHORT_MS), s.name("d")
    declare(s, ch, "d")
    for q in (a, d):
        ch.queue_bind(queue=q, exchange=dlx)
    s.put(a, "x")
    s.until(d, messages=1)
    left(s, d, a)


# Where they end, and when


@scenario
def to_a_full_queue_that_refuses(s):
    _, ch, q, dlq = dying_queue(s, key=s.name("full"))
    full = declare(s, ch, "full", x_max_length=1, x_overflow="reject-publish")
    s.put(full, "first")
    s.put(q, "a")
    reject(s, ch, q, full)
    time.sleep(0.2)
    s.drain(full)
    ch.basic_get(queue=q)


@scenario
def to_a_full_queue_that_drops(s):
    _, ch, q, _ = dying_queue(s, key=s.name("full"))
    full = declare(s, ch, "full", x_max_length=1)
    s.put(full, "first")
    s.put(q, "a")
    reject_only(ch, q)
    s.until(full, messages=1)
    time.sleep(0.2)
    s.drain(full)


@scenario
def to_a_queue_with_priorities(s):
    _, ch, q, _ = dying_queue(s, key=s.name("p"))
    p = declare(s, ch, "p", x_max_priority=5)
    for priority in (1, 5, 3):
        s.put(q, str(priority), priority=priority)
    for _ in range(3):
        ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=0, multiple=True, requeue=False)
    s.until(p, messages=3)
    s.drain(p)


@scenario
def to_a_consumer(s):
    _, ch, q, dlq = dying_queue(s)
    other = s.channel()
    other.basic_consume(queue=dlq, consumer_tag="t")
    s.put(q, "a")
    reject_only(ch, q)
    other.deliveries(1)


@scenario
def to_an_exclusive_queue_of_another_connection(s):
    _, ch, q, _ = dying_queue(s, key=s.name("mine"))
    other = s.channel()
    other.queue_declare(queue=s.name("mine"), exclusive=True)
    other.basic_consume(queue=s.name("mine"), consumer_tag="t")
    s.put(q, "a")
    reject_only(ch, q)
    other.deliveries(1)


@scenario
def order_of_several_nacks(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, *"abcd")
    for _ in range(4):
        ch.basic_get(queue=q)
    for tag in (3, 1, 4, 2):
        ch.basic_nack(delivery_tag=tag, requeue=False)
    s.until(dlq, messages=4)
    s.drain(dlq)


@scenario
def order_of_those_that_expire_together(s):
    _, _, q, dlq = dying_queue(s, x_message_ttl=SHORT_MS)
    s.put(q, *"abcdefgh")
    s.until(dlq, messages=8)
    s.drain(dlq)


@scenario
def closing_the_channel_requeues(s):
    c, ch, q, dlq = dying_queue(s)
    s.put(q, "a")
    ch.basic_get(queue=q)
    ch.close()
    s.until(q, messages=1)
    s.drain(dlq)
    take_all(c.channel(), q)


@scenario(seconds=1)
def lease_of_the_queue_runs_out(s):
    _, _, q, dlq = dying_queue(s, x_expires=100)
    s.put(q, "a")
    time.sleep(1.0)
    s.until_gone(q)
    s.drain(dlq)


@scenario
def rolled_back_rejection(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "a")
    ch.tx_select()
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=1, requeue=False)
    ch.tx_rollback()
    s.drain(dlq)
    ch.basic_nack(delivery_tag=1, requeue=False)
    ch.tx_commit()
    s.until(dlq, messages=1)
    s.drain(dlq)
