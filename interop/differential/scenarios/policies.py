"""Policies and operator policies, alone, with arguments and with each other.

They come from `definitions.json`, which both brokers take over when they start; each has a pattern
that is the end of a queue's or an exchange's name, so the label of a name says which apply.
"""

import time

from harness.registry import scenario
from harness.steps import arguments, declare, open_queue, take_all

SHORT_MS, LONG_MS = 30, 60000


def gone(s, q):
    """Waits well over the lease of 300 ms: asking for a queue renews its lease."""
    time.sleep(1.2)
    s.until_gone(q)


def behind(s, ch, key, label="d"):
    """A queue bound to amq.direct, to which policies send dead letters and the unroutable."""
    d = declare(s, ch, label)
    ch.queue_bind(queue=d, exchange="amq.direct", routing_key=key)
    return d


def fill(s, label, *bodies, **named):
    """A queue of that name with these bodies published, and what is left of them."""
    quorum = named.pop("quorum", False)
    _, _, q = open_queue(s, label, quorum, **named)
    s.put(q, *bodies)
    return q


def left(s, q, count):
    s.until(q, messages=count)
    s.drain(q)


# Time to live


@scenario
def ttl(s):
    left(s, fill(s, "pol-ttl", "a", "b"), 0)


@scenario
def ttl_on_a_quorum_queue(s):
    left(s, fill(s, "pol-ttl", "a", quorum=True), 0)


@scenario
def ttl_zero(s):
    left(s, fill(s, "pol-ttl-zero", "a"), 0)


@scenario
def ttl_zero_with_a_consumer(s):
    _, ch, q = open_queue(s, "pol-ttl-zero")
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    s.put(q, "a")
    ch.deliveries(1)


@scenario
def ttl_of_the_argument_is_less(s):
    left(s, fill(s, "pol-ttl-long", "a", x_message_ttl=SHORT_MS), 0)


@scenario
def ttl_of_the_policy_is_less(s):
    left(s, fill(s, "pol-ttl", "a", x_message_ttl=LONG_MS), 0)


@scenario
def ttl_of_the_message_is_less(s):
    _, _, q = open_queue(s, "pol-ttl-long")
    s.put(q, "a", expiration=str(SHORT_MS))
    left(s, q, 0)


@scenario
def ttl_of_the_message_is_greater(s):
    _, _, q = open_queue(s, "pol-ttl")
    s.put(q, "a", expiration=str(LONG_MS))
    left(s, q, 0)


@scenario
def ttl_leaves_the_expiration_alone(s):
    _, ch, q = open_queue(s, "pol-ttl-long")
    s.put(q, "a", expiration="70000")
    take_all(ch, q)


@scenario
def ttl_and_dead_letters(s):
    _, ch, q = open_queue(s, "pol-ttl-dlx")
    d = behind(s, ch, q)
    s.put(q, "a", "b", headers={"mine": 1})
    left(s, d, 2)


# Length


@scenario
def length(s):
    left(s, fill(s, "pol-length", *"abcd"), 2)


@scenario
def length_on_a_quorum_queue(s):
    left(s, fill(s, "pol-length", *"abcd", quorum=True), 2)


@scenario
def length_zero(s):
    left(s, fill(s, "pol-length-zero", "a"), 0)


@scenario
def length_of_the_argument_is_less(s):
    left(s, fill(s, "pol-length", *"abcd", x_max_length=1), 1)


@scenario
def length_of_the_argument_is_greater(s):
    left(s, fill(s, "pol-length", *"abcd", x_max_length=3), 2)


@scenario
def length_with_bytes_as_argument(s):
    left(s, fill(s, "pol-length", "aaaa", "bbbb", "c", x_max_length_bytes=4), 1)


@scenario
def number_of_bytes(s):
    left(s, fill(s, "pol-bytes", "aaaa", "bbbb", "cccc"), 2)


@scenario
def length_dead_letters_by_argument(s):
    _, ch, q = open_queue(s, "pol-length", x_dead_letter_exchange="amq.direct")
    d = behind(s, ch, q)
    s.put(q, *"abc")
    left(s, d, 1)


@scenario
def length_with_priorities(s):
    _, ch, q = open_queue(s, "pol-length", x_max_priority=5)
    for body, priority in (("a", 5), ("b", 1), ("c", 3), ("d", 0)):
        s.put(q, body, priority=priority)
    take_all(ch, q)


def publish_each(s, ch, q, *bodies):
    ch.confirm_select()
    for body in bodies:
        ch.publish("", q, body)
        ch.confirms()


@scenario
def refuses_publishes(s):
    _, ch, q = open_queue(s, "pol-refuse")
    publish_each(s, ch, q, *"abc")
    s.drain(q)


@scenario
def overflow_of_the_policy_with_a_length_as_argument(s):
    _, ch, q = open_queue(s, "pol-refuse-only", x_max_length=1)
    publish_each(s, ch, q, *"abc")
    s.drain(q)


@scenario
def overflow_of_the_argument_against_the_policy(s):
    _, ch, q = open_queue(s, "pol-refuse", x_overflow="drop-head")
    publish_each(s, ch, q, *"abc")
    s.drain(q)


@scenario
def overflow_of_the_argument_with_a_length_by_policy(s):
    _, ch, q = open_queue(s, "pol-length", x_overflow="reject-publish")
    publish_each(s, ch, q, *"abcd")
    s.drain(q)


@scenario
def refused_publishes_are_dead_letters(s):
    _, ch, q = open_queue(s, "pol-refuse-dlx")
    d = behind(s, ch, q)
    publish_each(s, ch, q, *"abc")
    left(s, d, 2)


# Dead letters


def reject(ch, q, tag=1):
    ch.basic_get(queue=q)
    ch.basic_reject(delivery_tag=tag, requeue=False)
    ch.sync()


@scenario
def dead_letter_exchange(s):
    _, ch, q = open_queue(s, "pol-dlx")
    d = behind(s, ch, q)
    s.put(q, "a")
    reject(ch, q)
    left(s, d, 1)


@scenario
def dead_letter_exchange_on_a_quorum_queue(s):
    _, ch, q = open_queue(s, "pol-dlx", quorum=True)
    d = behind(s, ch, q)
    s.put(q, "a")
    reject(ch, q)
    left(s, d, 1)


@scenario
def dead_letter_exchange_with_a_key(s):
    _, ch, q = open_queue(s, "pol-dlx-key")
    d = behind(s, ch, "policy-dlx-key")
    s.put(q, "a", headers={"CC": [s.name("cc")]})
    reject(ch, q)
    left(s, d, 1)


@scenario
def dead_letter_exchange_of_the_argument_wins(s):
    _, ch, q = open_queue(s, "pol-dlx", x_dead_letter_exchange="",
                          x_dead_letter_routing_key=s.name("e"))
    d, e = behind(s, ch, q), declare(s, ch, "e")
    s.put(q, "a")
    reject(ch, q)
    left(s, e, 1)
    s.drain(d)


@scenario
def key_of_the_policy_with_an_exchange_as_argument(s):
    _, ch, q = open_queue(s, "pol-key-only", x_dead_letter_exchange="amq.direct")
    d, e = behind(s, ch, q), behind(s, ch, "policy-key-only", "e")
    s.put(q, "a")
    reject(ch, q)
    left(s, e, 1)
    s.drain(d)


@scenario
def key_of_the_argument_with_an_exchange_by_policy(s):
    """Without its exchange the argument is refused, policy or not."""
    s.channel().queue_declare(queue=s.name("pol-dlx"), arguments={
        "x-dead-letter-routing-key": "k"})


@scenario
def exchange_of_the_argument_against_exchange_and_key_of_the_policy(s):
    _, ch, q = open_queue(s, "pol-dlx-key-other", x_dead_letter_exchange="amq.direct")
    e = behind(s, ch, q, "e")
    s.put(q, "a")
    reject(ch, q)
    time.sleep(0.1)
    s.drain(e)


@scenario
def key_without_any_exchange(s):
    _, ch, q = open_queue(s, "pol-key-alone")
    e = behind(s, ch, "policy-key-alone", "e")
    s.put(q, "a")
    reject(ch, q)
    time.sleep(0.1)
    s.drain(e)


@scenario
def default_exchange_leads_back(s):
    _, ch, q = open_queue(s, "pol-dlx-default")
    s.put(q, "a")
    reject(ch, q)
    left(s, q, 1)


# Other keys


@scenario(seconds=2)
def expires(s):
    _, _, q = open_queue(s, "pol-expires")
    gone(s, q)


@scenario(seconds=2)
def expires_with_a_greater_argument(s):
    _, _, q = open_queue(s, "pol-expires", x_expires=LONG_MS)
    gone(s, q)


@scenario(seconds=2)
def expires_is_held_by_a_consumer(s):
    _, ch, q = open_queue(s, "pol-expires")
    ch.basic_consume(queue=q, consumer_tag="t")
    time.sleep(0.8)
    ch.basic_cancel(consumer_tag="t")
    gone(s, q)


@scenario
def delivery_limit(s):
    _, ch, q = open_queue(s, "pol-limit", quorum=True)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    for tag in (1, 2):
        ch.deliveries(1)
        ch.basic_nack(delivery_tag=tag, requeue=True)
    s.until(q, messages=0)


@scenario
def delivery_limit_with_a_greater_argument(s):
    _, ch, q = open_queue(s, "pol-limit", quorum=True, x_delivery_limit=3)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    for tag in (1, 2):
        ch.deliveries(1)
        ch.basic_nack(delivery_tag=tag, requeue=True)
    s.until(q, messages=0)


@scenario
def delivery_limit_means_nothing_to_a_classic_queue(s):
    _, ch, q = open_queue(s, "pol-limit")
    s.put(q, "a")
    for tag in (1, 2, 3, 4):
        ch.basic_get(queue=q)
        ch.basic_nack(delivery_tag=tag, requeue=True)
    ch.basic_get(queue=q)


@scenario
def retired_keys_have_no_effect(s):
    left(s, fill(s, "pol-lazy", "a", "b"), 2)


@scenario
def redeclare_without_the_arguments_of_the_policy(s):
    _, ch, q = open_queue(s, "pol-length")
    ch.queue_declare(queue=q)
    ch.queue_declare(queue=q, arguments={"x-max-length": 2})


# Alternate exchanges


def exchange(s, ch, label, **named):
    x = s.name(label)
    ch.exchange_declare(exchange=x, arguments=arguments(**named))
    return x


@scenario
def alternate_exchange(s):
    ch = s.channel()
    x, d = exchange(s, ch, "pol-alternate"), behind(s, ch, s.name("key"))
    ch.publish(x, s.name("key"), "a", mandatory=True)
    ch.publish(x, s.name("other"), "b", mandatory=True)
    ch.wait("basic_return")
    s.drain(d)


@scenario
def alternate_exchange_of_a_policy_for_all(s):
    ch = s.channel()
    x, d = exchange(s, ch, "pol-alternate-all"), behind(s, ch, s.name("key"))
    ch.publish(x, s.name("key"), "a", mandatory=True)
    ch.sync()
    s.drain(d)


@scenario
def alternate_exchange_of_the_argument_wins(s):
    ch = s.channel()
    d, e = behind(s, ch, s.name("key")), declare(s, ch, "e")
    x = exchange(s, ch, "pol-alternate", alternate_exchange="")
    ch.publish(x, s.name("key"), "a", mandatory=True)
    ch.publish(x, e, "b", mandatory=True)
    ch.wait("basic_return")
    s.drain(d)
    s.drain(e)


@scenario
def alternate_exchange_of_a_policy_is_no_argument(s):
    ch = s.channel()
    x = exchange(s, ch, "pol-alternate")
    ch.exchange_declare(exchange=x)
    ch.exchange_declare(exchange=x, arguments={"alternate-exchange": "amq.direct"})


@scenario
def policy_for_exchanges_leaves_queues_alone(s):
    left(s, fill(s, "pol-exchanges-only", "a", "b"), 2)


@scenario
def policy_for_queues_leaves_exchanges_alone(s):
    ch = s.channel()
    x = exchange(s, ch, "pol-dlx")
    ch.publish(x, "nothing", "a", mandatory=True)
    ch.wait("basic_return")


@scenario
def one_policy_for_both_kinds(s):
    q = fill(s, "pol-all-kinds", "a", "b")
    left(s, q, 1)
    ch = s.channel()
    x, d = exchange(s, ch, "pol-all-kinds"), behind(s, ch, s.name("key"))
    ch.publish(x, s.name("key"), "a", mandatory=True)
    ch.sync()
    s.drain(d)


# Which policy applies


@scenario
def the_highest_priority_applies(s):
    left(s, fill(s, "pol-two", *"abcd"), 3)


@scenario
def the_one_that_matches_applies(s):
    left(s, fill(s, "pol-two-more", *"abcd"), 1)


@scenario
def negative_priorities(s):
    left(s, fill(s, "pol-three", *"abcd"), 2)


@scenario
def two_policies_do_not_add_up(s):
    """The one of the highest priority applies alone, even where the other has other keys."""
    left(s, fill(s, "pol-combined", *"abcd"), 4)


@scenario
def anchored_pattern(s):
    left(s, fill(s, "pol-begins-and-more", *"ab"), 1)


@scenario
def patterns_are_regular_expressions(s):
    left(s, fill(s, "pol.dots", *"ab"), 1)
    left(s, fill(s, "polxdots", *"ab"), 1)


@scenario
def patterns_tell_capital_letters(s):
    left(s, fill(s, "pol-case", *"ab"), 2)
    left(s, fill(s, "POL-CASE", *"ab"), 1)


@scenario
def server_named_queues_match_too(s):
    """No pattern here is for them: nothing applies."""
    ch = s.channel()
    q = ch.queue_declare(queue="").queue
    s.put(q, "a", "b")
    s.drain(q)


# Operator policies


@scenario
def operator_length(s):
    left(s, fill(s, "op-length", *"abcd"), 2)


@scenario
def operator_length_and_a_lesser_argument(s):
    left(s, fill(s, "op-length", *"abcd", x_max_length=1), 1)


@scenario
def operator_length_and_a_greater_argument(s):
    left(s, fill(s, "op-length", *"abcd", x_max_length=3), 2)


@scenario
def operator_length_with_an_overflow_as_argument(s):
    _, ch, q = open_queue(s, "op-length", x_overflow="reject-publish")
    publish_each(s, ch, q, *"abcd")
    s.drain(q)


@scenario
def operator_bytes(s):
    left(s, fill(s, "op-bytes", "aaaa", "bbbb", "cccc"), 2)


@scenario
def operator_ttl(s):
    left(s, fill(s, "op-ttl", "a"), 0)


@scenario
def operator_ttl_and_a_greater_argument(s):
    left(s, fill(s, "op-ttl", "a", x_message_ttl=LONG_MS), 0)


@scenario(seconds=2)
def operator_expires(s):
    _, _, q = open_queue(s, "op-expires", x_expires=LONG_MS)
    gone(s, q)


@scenario
def operator_delivery_limit(s):
    _, ch, q = open_queue(s, "op-limit", quorum=True, x_delivery_limit=5)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    for tag in (1, 2):
        ch.deliveries(1)
        ch.basic_nack(delivery_tag=tag, requeue=True)
    s.until(q, messages=0)


@scenario
def operator_is_less_than_the_policy(s):
    left(s, fill(s, "pol-both-length", *"abcd"), 1)


@scenario
def operator_is_greater_than_the_policy(s):
    left(s, fill(s, "pol-both-greater", *"abcd"), 1)


@scenario
def operator_adds_its_keys_to_the_policy(s):
    _, ch, q = open_queue(s, "op-mixed")
    d = behind(s, ch, q)
    s.put(q, *"abc")
    left(s, d, 2)
    s.drain(q)


@scenario
def operator_of_the_highest_priority(s):
    left(s, fill(s, "op-two", *"abcd"), 3)
    left(s, fill(s, "op-two-more", *"abcd"), 1)


@scenario
def operator_policy_on_a_quorum_queue(s):
    left(s, fill(s, "op-length", *"abcd", quorum=True), 2)
