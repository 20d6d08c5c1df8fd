"""queue.declare, delete and purge."""

from harness.registry import scenario
from harness.tables import float64, int8, int16, int64


def redeclare(s, first, second):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"), **first)
    ch.queue_declare(queue=s.name("q"), **second)


@scenario
def declare_twice(s):
    redeclare(s, {"durable": True}, {"durable": True})


@scenario
def redeclare_with_another_durability(s):
    redeclare(s, {"durable": True}, {"durable": False})


@scenario
def redeclare_with_another_auto_delete(s):
    redeclare(s, {}, {"auto_delete": True})


@scenario
def redeclare_as_exclusive(s):
    redeclare(s, {}, {"exclusive": True})


@scenario
def redeclare_exclusive_as_shared(s):
    redeclare(s, {"exclusive": True}, {})


@scenario
def redeclare_with_several_differences(s):
    redeclare(s, {}, {"durable": True, "auto_delete": True, "arguments": {"x-message-ttl": 1000}})


@scenario
def redeclare_with_a_further_argument(s):
    redeclare(s, {}, {"arguments": {"x-message-ttl": 5}})


@scenario
def redeclare_with_an_argument_less(s):
    redeclare(s, {"arguments": {"x-message-ttl": 60000}}, {})


@scenario
def redeclare_with_another_value(s):
    redeclare(s, {"arguments": {"x-max-length": 10}}, {"arguments": {"x-max-length": 11}})


@scenario
def redeclare_with_another_string(s):
    redeclare(s, {"arguments": {"x-overflow": "drop-head"}},
              {"arguments": {"x-overflow": "reject-publish"}})


@scenario
def redeclare_with_another_dead_letter_exchange(s):
    redeclare(s, {"arguments": {"x-dead-letter-exchange": "a"}},
              {"arguments": {"x-dead-letter-exchange": "b"}})


@scenario
def redeclare_ignores_the_width_of_integers(s):
    ch = s.channel()
    for value in (int8(100), int16(100), 100, int64(100)):
        ch.queue_declare(queue=s.name("q"), arguments={"x-max-length": value})


@scenario
def redeclare_does_not_take_a_float_for_an_integer(s):
    redeclare(s, {"arguments": {"x-max-length": 10}},
              {"arguments": {"x-max-length": float64(10.0)}})


@scenario
def redeclare_with_another_unknown_argument(s):
    redeclare(s, {"arguments": {"x-nonsense": 1}}, {"arguments": {"x-other": ["a"], "y": "b"}})


@scenario
def redeclare_with_explicit_classic_type(s):
    redeclare(s, {}, {"arguments": {"x-queue-type": "classic"}})


@scenario
def redeclare_with_the_default_overflow(s):
    redeclare(s, {}, {"arguments": {"x-overflow": "drop-head"}})


@scenario
def redeclare_with_another_max_priority(s):
    redeclare(s, {"arguments": {"x-max-priority": 3}}, {"arguments": {"x-max-priority": 4}})


@scenario
def redeclare_with_single_active_consumer(s):
    redeclare(s, {}, {"arguments": {"x-single-active-consumer": True}})


@scenario
def redeclare_with_another_mode(s):
    redeclare(s, {}, {"arguments": {"x-queue-mode": "lazy"}})


@scenario
def server_named(s):
    ch = s.channel()
    named = ch.queue_declare(queue="", exclusive=True)
    ch.queue_declare(queue=named.queue, passive=True)
    ch.queue_declare(queue="", exclusive=True)


@scenario
def server_named_becomes_the_current_queue(s):
    ch = s.channel()
    ch.queue_declare(queue="", exclusive=True)
    ch.queue_bind(queue="", exchange="amq.direct", routing_key="")
    ch.queue_purge(queue="")
    ch.basic_get(queue="")
    ch.queue_delete(queue="")


@scenario
def passive_of_the_empty_name_after_a_declare(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"))
    ch.queue_declare(queue="", passive=True)


@scenario
def passive_of_the_empty_name_before_any_declare(s):
    s.channel().queue_declare(queue="", passive=True)


@scenario
def passive_missing(s):
    s.channel().queue_declare(queue=s.name("q"), passive=True)


@scenario
def passive_ignores_all_else(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"), durable=True)
    ch.queue_declare(queue=s.name("q"), passive=True, auto_delete=True,
                     arguments={"x-message-ttl": "nonsense"})


@scenario
def passive_sets_the_current_queue(s):
    c = s.connect()
    one, two = c.channel(), c.channel()
    one.queue_declare(queue=s.name("q"))
    two.queue_declare(queue=s.name("q"), passive=True)
    two.basic_get(queue="")


@scenario
def declare_reserved(s):
    s.channel().queue_declare(queue="amq.mine")


@scenario
def passive_reserved_missing(s):
    s.channel().queue_declare(queue="amq.mine", passive=True)


@scenario
def redeclare_a_server_named_queue(s):
    ch = s.channel()
    named = ch.queue_declare(queue="", exclusive=True)
    ch.queue_declare(queue=named.queue, exclusive=True)


@scenario
def line_ends_are_stripped_from_names(s):
    ch = s.channel()
    a, ab = s.name("a"), s.name("ab")
    ch.queue_declare(queue=f"\r{a}\r\nb\n")
    ch.queue_declare(queue=ab, passive=True)
    ch.queue_declare(queue=f"{a}\nb", passive=True)
    ch.publish("", f"{a}\nb", "x", mandatory=True)
    ch.sync()
    ch.queue_delete(queue=f"{a}\nb")
    ch.queue_declare(queue=ab, passive=True)


@scenario
def name_of_255_octets(s):
    ch = s.channel()
    q = s.name("q", length=255)
    ch.queue_declare(queue=q)
    ch.publish("", q, "x")
    ch.basic_get(queue=q, no_ack=True)


@scenario
def name_that_is_not_utf8(s):
    c = s.connect()
    ch = c.channel()
    ch.queue_declare(queue=b"\xff\xfe\xfa", exclusive=True)
    c.until_closed(timeout_s=1)


@scenario
def name_in_unicode_and_with_spaces(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name(" größe 漢 "), exclusive=True)


@scenario
def counts_messages_and_consumers(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "a", "b", "c")
    s.until(q, messages=3)
    ch.queue_declare(queue=q)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    s.until(q, messages=2, consumers=1)
    ch.queue_declare(queue=q)


@scenario
def nowait(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, nowait=True)
    ch.queue_declare(queue=q, passive=True)
    ch.queue_bind(queue=q, exchange="amq.direct", routing_key=q, nowait=True)
    ch.publish("amq.direct", q, "x", mandatory=True)
    ch.basic_get(queue=q, no_ack=True)
    ch.queue_purge(queue=q, nowait=True)
    ch.queue_delete(queue=q, nowait=True)
    ch.queue_declare(queue=q, passive=True)


@scenario
def nowait_error_closes_the_channel(s):
    ch = s.channel()
    ch.queue_declare(queue="amq.mine", nowait=True)
    ch.wait("channel_close")


@scenario
def nowait_with_the_empty_name(s):
    ch = s.channel()
    ch.queue_declare(queue="", exclusive=True, nowait=True)
    ch.quiet()
    ch.basic_get(queue="")


@scenario
def delete_missing(s):
    ch = s.channel()
    ch.queue_delete(queue=s.name("q"))
    ch.queue_delete(queue=s.name("q"), if_unused=True, if_empty=True)


@scenario
def delete_counts_the_messages(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "a", "b", "c")
    ch.basic_get(queue=q)
    ch.queue_delete(queue=q)


@scenario
def delete_of_the_empty_name_before_any_declare(s):
    s.channel().queue_delete(queue="")


@scenario
def delete_if_unused(s):
    c = s.connect()
    ch, other = c.channel(), c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    other.basic_consume(queue=q, consumer_tag="t")
    ch.queue_delete(queue=q, if_unused=True)
    other.basic_cancel(consumer_tag="t")
    c.channel().queue_delete(queue=q, if_unused=True)


@scenario
def delete_if_empty(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "x")
    ch.queue_delete(queue=q, if_empty=True)
    ch = c.channel()
    ch.queue_purge(queue=q)
    ch.queue_delete(queue=q, if_empty=True)


@scenario
def delete_if_empty_with_an_unacked_message(s):
    c = s.connect()
    ch, other = c.channel(), c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "x")
    other.basic_get(queue=q)
    ch.queue_delete(queue=q, if_empty=True)


@scenario
def delete_if_unused_and_if_empty_when_neither(s):
    c = s.connect()
    ch, other = c.channel(), c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "a", "b")
    other.basic_qos(prefetch_count=1)
    other.basic_consume(queue=q, consumer_tag="t")
    other.deliveries(1)
    ch.queue_delete(queue=q, if_unused=True, if_empty=True)


@scenario
def deleted_queue_is_no_longer_current(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"))
    ch.queue_delete(queue="")
    ch.basic_get(queue="")


@scenario
def purge(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "a", "b", "c")
    ch.basic_get(queue=q)
    ch.queue_purge(queue=q)
    ch.basic_get(queue=q)
    ch.basic_nack(delivery_tag=1, requeue=True)
    ch.basic_get(queue=q)


@scenario
def purge_missing(s):
    s.channel().queue_purge(queue=s.name("q"))


@scenario
def purge_of_the_empty_name_before_any_declare(s):
    s.channel().queue_purge(queue="")


@scenario
def messages_are_gone_with_their_queue(s):
    ch = s.channel()
    q = s.name("q")
    for _ in range(2):
        ch.queue_declare(queue=q)
        ch.basic_get(queue=q)
        ch.publish("", q, "x")
        ch.queue_delete(queue=q)


@scenario
def ack_after_the_queue_was_deleted(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "x")
    ch.basic_get(queue=q)
    ch.queue_delete(queue=q)
    ch.basic_ack(delivery_tag=1)
    ch.quiet()
    ch.basic_ack(delivery_tag=1)
    ch.wait("channel_close")
