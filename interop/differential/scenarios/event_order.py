"""The order of what a client is told: returns, confirms, cancels, commits, dead letters."""

from harness.registry import scenario
from harness.steps import declare, dying_queue, open_queue, take_all


def confirming(s):
    ch = s.channel()
    ch.confirm_select()
    return ch


def returned(ch, count=1):
    """Waits for returns, which are written down one by one, and then for the confirms."""
    for _ in range(count):
        ch.wait("basic_return")
    ch.confirms()


@scenario
def return_then_confirm_each(s):
    ch = confirming(s)
    for body in "abc":
        ch.publish("", s.name("none"), body, mandatory=True)
        returned(ch)


@scenario
def return_carries_properties_and_headers(s):
    ch = confirming(s)
    ch.publish("amq.topic", s.name("none"), "body", mandatory=True, content_type="text/plain",
               headers={"CC": [s.name("other")], "BCC": ["hidden"], "mine": 1}, priority=3,
               delivery_mode=2, expiration="50", message_id="m", correlation_id="c")
    returned(ch)


@scenario
def return_of_an_empty_body(s):
    ch = confirming(s)
    ch.publish("amq.direct", s.name("none"), "", mandatory=True)
    returned(ch)


@scenario
def return_of_a_body_in_several_frames(s):
    ch = s.connect(frame_max=4096).channel()
    ch.confirm_select()
    ch.publish("amq.direct", s.name("none"), "x" * 10000, mandatory=True)
    returned(ch)


@scenario
def mandatory_that_the_alternate_exchange_takes(s):
    ch = confirming(s)
    x, q = s.name("x"), declare(s, ch)
    ch.exchange_declare(exchange=x, arguments={"alternate-exchange": "amq.direct"})
    ch.queue_bind(queue=q, exchange="amq.direct", routing_key=q)
    ch.publish(x, q, "a", mandatory=True)
    ch.confirms()
    ch.publish(x, s.name("none"), "b", mandatory=True)
    returned(ch)


@scenario
def mandatory_into_a_queue_that_drops_it(s):
    _, ch, q = open_queue(s, x_max_length=0)
    ch.confirm_select()
    ch.publish("", q, "a", mandatory=True)
    ch.confirms()
    ch.quiet()


@scenario
def mandatory_into_a_queue_where_it_expires(s):
    _, ch, q = open_queue(s, x_message_ttl=0)
    ch.confirm_select()
    ch.publish("", q, "a", mandatory=True)
    ch.confirms()
    ch.quiet()


@scenario
def mandatory_by_cc_alone(s):
    ch = confirming(s)
    q = declare(s, ch)
    ch.publish("", s.name("none"), "a", mandatory=True, headers={"CC": [q]})
    ch.confirms()
    take_all(ch, q)


@scenario
def mandatory_by_bcc_alone(s):
    ch = confirming(s)
    q = declare(s, ch)
    ch.publish("", s.name("none"), "a", mandatory=True, headers={"BCC": [q], "mine": 1})
    ch.confirms()
    take_all(ch, q)


@scenario
def transaction_returns_before_commit_ok(s):
    ch = s.channel()
    q = declare(s, ch)
    ch.tx_select()
    ch.publish("", s.name("none"), "a", mandatory=True)
    ch.publish("", q, "b", mandatory=True)
    ch.publish("", s.name("none"), "c", mandatory=True)
    ch.sync()
    ch.tx_commit()
    ch.sync()
    take_all(ch, q)


@scenario
def rolled_back_returns_nothing(s):
    ch = s.channel()
    ch.tx_select()
    ch.publish("", s.name("none"), "a", mandatory=True)
    ch.tx_rollback()
    ch.quiet()


@scenario
def nack_of_a_refused_one_among_acks(s):
    _, ch, q = open_queue(s, x_max_length=1, x_overflow="reject-publish")
    other = declare(s, ch, "other")
    ch.confirm_select()
    for target in (q, other, q, other, q):
        ch.publish("", target, "a")
        ch.confirms()


@scenario
def return_and_nack_in_one_channel(s):
    _, ch, q = open_queue(s, x_max_length=1, x_overflow="reject-publish")
    ch.confirm_select()
    ch.publish("", q, "a", mandatory=True)
    ch.confirms()
    ch.publish("", s.name("none"), "b", mandatory=True)
    returned(ch)
    ch.publish("", q, "c", mandatory=True)
    ch.confirms()
    ch.quiet()


@scenario
def refused_on_the_way_of_a_dead_letter(s):
    """The publisher has its ack: that a dead letter finds no room is none of its business."""
    _, ch, q, _ = dying_queue(s, key=s.name("full"), x_message_ttl=0)
    declare(s, ch, "full", x_max_length=0, x_overflow="reject-publish")
    ch.confirm_select()
    ch.publish("", q, "a", mandatory=True)
    ch.confirms()
    ch.quiet()


@scenario
def expired_at_once_is_confirmed_and_dead(s):
    _, ch, q, dlq = dying_queue(s, x_message_ttl=0)
    ch.confirm_select()
    ch.publish("", q, "a", delivery_mode=2)
    ch.confirms()
    s.until(dlq, messages=1)
    s.drain(dlq)


@scenario
def pushed_out_at_once_is_confirmed_and_dead(s):
    _, ch, q, dlq = dying_queue(s, x_max_length=0)
    ch.confirm_select()
    for body in "ab":
        ch.publish("", q, body, mandatory=True)
        ch.confirms()
    s.until(dlq, messages=2)
    s.drain(dlq)


@scenario
def dead_letter_comes_after_what_was_published_before(s):
    _, ch, q, dlq = dying_queue(s)
    s.put(q, "dies")
    ch.basic_get(queue=q)
    s.put(dlq, "first")
    ch.basic_reject(delivery_tag=1, requeue=False)
    s.until(dlq, messages=2)
    s.drain(dlq)


@scenario
def cancels_of_several_consumers_on_a_channel(s):
    c, ch, q = open_queue(s)
    other = c.channel()
    for tag in "abc":
        other.basic_consume(queue=q, consumer_tag=tag)
    ch.queue_delete(queue=q)
    for _ in range(3):
        other.wait("basic_cancel")
    other.quiet()


@scenario
def cancel_comes_after_deliveries(s):
    c, ch, q = open_queue(s)
    other = c.channel()
    other.basic_consume(queue=q, consumer_tag="t")
    s.put(q, "a", "b")
    other.deliveries(2)
    ch.queue_delete(queue=q)
    other.wait("basic_cancel")


@scenario
def no_cancel_without_the_capability(s):
    c, ch, q = open_queue(s)
    other = s.channel(properties={"capabilities": {"consumer_cancel_notify": False}})
    other.basic_consume(queue=q, consumer_tag="t")
    ch.queue_delete(queue=q)
    s.until_gone(q)
    other.quiet()


@scenario
def cancel_when_the_lease_of_an_auto_delete_queue_ends(s):
    c = s.connect()
    ch, other = c.channel(), s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, auto_delete=True)
    other.basic_consume(queue=q, consumer_tag="t")
    other.close()
    s.until_gone(q)


@scenario
def confirms_of_transient_to_a_quorum_queue(s):
    _, ch, q = open_queue(s, quorum=True)
    ch.confirm_select()
    for body in "abc":
        ch.publish("", q, body, delivery_mode=1)
    ch.confirms()
    s.until(q, messages=3)


@scenario
def return_and_delivery_on_one_channel(s):
    ch = confirming(s)
    q = declare(s, ch)
    ch.basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.publish("", s.name("none"), "a", mandatory=True)
    returned(ch)
    s.put(q, "b")
    ch.deliveries(1)
