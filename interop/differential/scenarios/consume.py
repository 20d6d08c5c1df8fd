"""basic.consume, cancel and deliveries."""

from harness.registry import scenario
from harness.tables import float64, int64


def with_queue(s, *bodies, **options):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, **options)
    if bodies:
        s.put(q, *bodies)
    return c, ch, q


@scenario
def what_waits_is_delivered(s):
    _, ch, q = with_queue(s, "a", "b", "c")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(3)


@scenario
def what_comes_later_is_delivered(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    s.put(q, "a", "b")
    ch.deliveries(2)


@scenario
def generated_tags(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q)
    ch.basic_consume(queue=q)


@scenario
def missing_queue(s):
    _, ch, _ = with_queue(s)
    ch.basic_consume(queue=s.name("missing"))


@scenario
def empty_queue_name(s):
    _, ch, _ = with_queue(s, "a")
    ch.basic_consume(queue="", consumer_tag="t")
    ch.deliveries(1)


@scenario
def empty_queue_name_before_any_declare(s):
    s.channel().basic_consume(queue="")


@scenario
def nowait(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t", nowait=True)
    ch.deliveries(1)
    ch.basic_cancel(consumer_tag="t", nowait=True)
    s.until(q, consumers=0)


@scenario
def nowait_with_an_empty_tag(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="", nowait=True)
    ch.deliveries(1)


@scenario
def no_local_changes_nothing(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t", no_local=True, no_ack=True)
    ch.publish("", q, "mine")
    ch.deliveries(1)


@scenario
def tag_used_twice_on_a_channel(s):
    c, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_consume(queue=q, consumer_tag="t")
    c.until_closed()


@scenario
def tag_used_on_two_channels(s):
    c, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    c.channel().basic_consume(queue=q, consumer_tag="t")


@scenario
def tag_used_again_after_cancel(s):
    _, ch, q = with_queue(s)
    for _ in range(2):
        ch.basic_consume(queue=q, consumer_tag="t")
        ch.basic_cancel(consumer_tag="t")


@scenario
def tag_of_255_octets(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t" * 255)
    ch.deliveries(1)


@scenario
def cancel_unknown(s):
    _, ch, _ = with_queue(s)
    ch.basic_cancel(consumer_tag="nothing")
    ch.basic_cancel(consumer_tag="")


@scenario
def cancel_stops_deliveries_and_keeps_what_is_unacked(s):
    c, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    ch.basic_cancel(consumer_tag="t")
    s.put(q, "b")
    ch.quiet()
    s.until(q, messages=1, consumers=0)
    ch.basic_ack(delivery_tag=1)
    ch.sync()
    s.drain(q)


@scenario
def exclusive_consumer_refuses_others(s):
    c, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t", exclusive=True)
    c.channel().basic_consume(queue=q, consumer_tag="u")
    c.channel().basic_consume(queue=q, consumer_tag="u", exclusive=True)
    ch.basic_cancel(consumer_tag="t")
    c.channel().basic_consume(queue=q, consumer_tag="u")


@scenario
def exclusive_consumer_refused_since_there_is_one(s):
    c, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    c.channel().basic_consume(queue=q, consumer_tag="u", exclusive=True)


@scenario
def exclusive_consumer_and_get(s):
    c, ch, q = with_queue(s)
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t", exclusive=True)
    s.put(q, "a", "b")
    ch.deliveries(1)
    c.channel().basic_get(queue=q, no_ack=True)


@scenario
def exclusive_consumer_goes_with_its_channel(s):
    c, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t", exclusive=True)
    ch.close()
    s.until(q, consumers=0)
    c.channel().basic_consume(queue=q, consumer_tag="u", exclusive=True)


@scenario
def two_consumers_take_turns(s):
    c, ch, q = with_queue(s)
    other = c.channel()
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    other.basic_consume(queue=q, consumer_tag="u", no_ack=True)
    for body in "abcdef":
        s.put(q, body)
    ch.deliveries(3)
    other.deliveries(3)


@scenario
def two_consumers_of_one_channel_take_turns(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.basic_consume(queue=q, consumer_tag="u", no_ack=True)
    for body in "abcd":
        s.put(q, body)
        ch.deliveries(1)


@scenario
def queue_deleted_by_another(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.channel().queue_delete(queue=q)
    ch.wait("basic_cancel")
    ch.basic_cancel(consumer_tag="t")
    ch.sync()


@scenario
def queue_deleted_without_the_capability(s):
    c = s.connect(properties={"product": "differential"})
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.channel().queue_delete(queue=q)
    ch.quiet()
    ch.basic_consume(queue=q, consumer_tag="t")


@scenario
def queue_deleted_with_messages_unacked(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    s.channel().queue_delete(queue=q)
    ch.wait("basic_cancel")
    ch.basic_ack(delivery_tag=1)
    ch.sync()


@scenario
def cancel_ok_to_the_brokers_cancel(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.channel().queue_delete(queue=q)
    ch.wait("basic_cancel")
    ch.basic_cancel_ok(consumer_tag="t")
    ch.sync()
    ch.connection.until_closed(timeout_s=0.5)


@scenario
def delivery_tags_count_over_consumers_and_gets(s):
    _, ch, q = with_queue(s, "a", "b", "c")
    ch.basic_get(queue=q)
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    s.put(q, "d")
    ch.deliveries(1)


@scenario
def no_ack_deliveries_cannot_be_acked(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.deliveries(1)
    ch.basic_ack(delivery_tag=1)
    ch.wait("channel_close")


@scenario
def unacked_returns_when_the_channel_closes(s):
    c, ch, q = with_queue(s, "a", "b", "c")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(3)
    ch.basic_ack(delivery_tag=2)
    ch.close()
    s.until(q, messages=2)
    s.drain(q)


@scenario
def unacked_returns_when_the_connection_drops(s):
    c, ch, q = with_queue(s, "a", "b", "c")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(3)
    c.abort()
    s.until(q, messages=3, consumers=0)
    s.drain(q)


@scenario
def unacked_returns_when_a_channel_error_occurs(s):
    c, ch, q = with_queue(s, "a", "b")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(2)
    ch.basic_ack(delivery_tag=99)
    ch.wait("channel_close")
    s.until(q, messages=2)
    s.drain(q)


@scenario
def no_ack_deliveries_do_not_return(s):
    c, ch, q = with_queue(s, "a", "b")
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.deliveries(2)
    ch.close()
    s.until(q, messages=0, consumers=0)


@scenario
def requeued_goes_to_the_other_consumer(s):
    c, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    other = c.channel()
    other.basic_consume(queue=q, consumer_tag="u")
    ch.close()
    other.deliveries(1)


@scenario
def own_exclusive_queue(s):
    _, ch, q = with_queue(s, exclusive=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a")
    ch.deliveries(1)


@scenario
def unknown_arguments_are_ignored(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t", arguments={"x-nonsense": "a", "b": [1]})
    ch.deliveries(1)


@scenario
def priority_of_a_wrong_type(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q, arguments={"x-priority": "banana"})


@scenario
def priority_as_a_float(s):
    _, ch, q = with_queue(s)
    ch.basic_consume(queue=q, arguments={"x-priority": float64(1.0)})


@scenario
def priority_as_a_wide_integer(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t", arguments={"x-priority": int64(1 << 40)})
    ch.deliveries(1)


@scenario
def stream_offset_on_a_classic_queue(s):
    _, ch, q = with_queue(s, "a")
    ch.basic_consume(queue=q, consumer_tag="t", arguments={"x-stream-offset": "first"})


@scenario
def deliveries_carry_exchange_and_key(s):
    _, ch, q = with_queue(s)
    ch.queue_bind(queue=q, exchange="amq.topic", routing_key=q + ".#")
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.publish("amq.topic", q + ".a.b", "x", headers={"a": 1})
    ch.deliveries(1)
