"""Publisher confirms."""

from harness.registry import scenario


def confirming(s, **options):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, **options)
    ch.confirm_select()
    return c, ch, q


@scenario
def select_twice(s):
    _, ch, q = confirming(s)
    ch.confirm_select()
    ch.publish("", q, "a")
    ch.confirms()


@scenario
def select_nowait(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.confirm_select(nowait=True)
    ch.publish("", q, "a")
    ch.confirms()


@scenario
def select_after_publishes_counts_from_one(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.publish("", q, "a")
    ch.publish("", q, "b")
    ch.confirm_select()
    ch.publish("", q, "c")
    ch.confirms(1)
    ch.quiet()


@scenario
def transient(s):
    _, ch, q = confirming(s)
    ch.publish("", q, "a", delivery_mode=1)
    ch.confirms()


@scenario
def persistent_to_a_durable_queue(s):
    _, ch, q = confirming(s, durable=True)
    ch.publish("", q, "a", delivery_mode=2)
    ch.confirms()


@scenario
def persistent_to_a_transient_queue(s):
    _, ch, q = confirming(s)
    ch.publish("", q, "a", delivery_mode=2)
    ch.confirms()


@scenario
def a_hundred(s):
    _, ch, q = confirming(s, durable=True)
    for number in range(100):
        ch.publish("", q, str(number), delivery_mode=2)
    ch.confirms()
    ch.quiet()


@scenario
def unroutable(s):
    _, ch, _ = confirming(s)
    ch.publish("", s.name("nobody"), "a")
    ch.confirms()


@scenario
def return_comes_before_the_confirm(s):
    _, ch, _ = confirming(s)
    ch.publish("", s.name("nobody"), "a", mandatory=True)
    ch.confirms()


@scenario
def returns_among_routable(s):
    _, ch, q = confirming(s)
    for number in range(3):
        ch.publish("", q, "routable")
        ch.confirms()
        ch.publish("", s.name("nobody"), str(number), mandatory=True)
        ch.confirms()


@scenario
def to_two_queues_is_one_confirm(s):
    _, ch, q = confirming(s)
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    ch.queue_bind(queue=q, exchange=x)
    ch.queue_declare(queue=s.name("r"), durable=True)
    ch.queue_bind(queue=s.name("r"), exchange=x)
    ch.publish(x, "", "a", delivery_mode=2)
    ch.confirms()
    ch.quiet()


@scenario
def missing_exchange_closes_without_a_confirm(s):
    _, ch, _ = confirming(s)
    ch.publish(s.name("missing"), "k", "a")
    ch.wait("channel_close")


@scenario
def queue_deleted_right_after(s):
    _, ch, q = confirming(s, durable=True)
    for number in range(20):
        ch.publish("", q, str(number), delivery_mode=2)
    s.helper.silent_call("queue_delete", queue=q)
    ch.confirms()
    ch.quiet()


@scenario
def consumed_before_it_is_on_disk(s):
    c, ch, q = confirming(s, durable=True)
    c.channel().basic_consume(queue=q, consumer_tag="t", no_ack=True)
    ch.publish("", q, "a", delivery_mode=2)
    ch.confirms()
    c.channels[2].deliveries(1)


@scenario
def expired_at_once(s):
    _, ch, q = confirming(s, arguments={"x-message-ttl": 0})
    ch.publish("", q, "a")
    ch.confirms()


@scenario
def dropped_by_a_length_limit(s):
    _, ch, q = confirming(s, arguments={"x-max-length": 1})
    for body in "abc":
        ch.publish("", q, body)
    ch.confirms()
    s.drain(q)


@scenario
def refused_by_a_length_limit(s):
    _, ch, q = confirming(s, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for body in "abc":
        ch.publish("", q, body)
        ch.confirms()
    s.drain(q)


@scenario
def refused_by_one_of_two_queues(s):
    _, ch, q = confirming(s, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    ch.queue_bind(queue=q, exchange=x)
    ch.queue_declare(queue=s.name("r"))
    ch.queue_bind(queue=s.name("r"), exchange=x)
    ch.publish(x, "", "a")
    ch.confirms()
    s.drain(s.name("r"))


@scenario
def without_select_there_are_none(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.publish("", q, "a")
    ch.quiet()


@scenario
def numbers_are_per_channel(s):
    c, ch, q = confirming(s)
    other = c.channel()
    other.confirm_select()
    ch.publish("", q, "a")
    ch.publish("", q, "b")
    other.publish("", q, "c")
    ch.confirms()
    other.confirms()


@scenario
def channel_close_after_confirms(s):
    _, ch, q = confirming(s)
    ch.publish("", q, "a")
    ch.confirms()
    ch.close()


@scenario
def client_ack_of_its_own_confirm_number(s):
    _, ch, q = confirming(s)
    ch.publish("", q, "a")
    ch.confirms()
    ch.basic_ack(delivery_tag=1)
    ch.wait("channel_close")
