"""Exclusive queues: one connection's own."""

from harness.registry import scenario


def owned(s, **options):
    """A connection with an exclusive queue; (connection, its channel, queue, a stranger)."""
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, exclusive=True, **options)
    return c, ch, q, s.connect()


def stranger(s, method, **fields):
    _, ch, q, other = owned(s)
    channel = other.channel()
    getattr(channel, method)(queue=q, **fields)
    channel.sync()
    ch.queue_declare(queue=q, exclusive=True)


@scenario
def stranger_declares(s):
    stranger(s, "queue_declare", exclusive=True)


@scenario
def stranger_declares_it_as_shared(s):
    stranger(s, "queue_declare")


@scenario
def stranger_declares_passively(s):
    stranger(s, "queue_declare", passive=True)


@scenario
def stranger_consumes(s):
    stranger(s, "basic_consume")


@scenario
def stranger_gets(s):
    stranger(s, "basic_get")


@scenario
def stranger_purges(s):
    stranger(s, "queue_purge")


@scenario
def stranger_deletes(s):
    stranger(s, "queue_delete")


@scenario
def stranger_binds(s):
    stranger(s, "queue_bind", exchange="amq.direct", routing_key="k")


@scenario
def stranger_unbinds_what_is_not_bound(s):
    stranger(s, "queue_unbind", exchange="amq.direct", routing_key="k")


@scenario
def stranger_unbinds_what_is_bound(s):
    _, ch, q, other = owned(s)
    ch.queue_bind(queue=q, exchange="amq.direct", routing_key=q)
    other.channel().queue_unbind(queue=q, exchange="amq.direct", routing_key=q)
    ch.publish("amq.direct", q, "x", mandatory=True)
    ch.sync()


@scenario
def stranger_publishes(s):
    _, ch, q, other = owned(s)
    channel = other.channel()
    channel.publish("", q, "x", mandatory=True)
    channel.sync()
    ch.basic_get(queue=q)


@scenario
def other_channel_of_the_owner(s):
    c, _, q, _ = owned(s)
    other = c.channel()
    other.queue_declare(queue=q, exclusive=True)
    other.publish("", q, "x")
    other.basic_get(queue=q)
    other.queue_delete(queue=q)


@scenario
def goes_with_its_connection(s):
    c, _, q, _ = owned(s)
    c.close()
    s.until_gone(q)


@scenario
def goes_when_the_socket_drops(s):
    c, _, q, _ = owned(s)
    c.abort()
    s.until_gone(q)


@scenario
def stays_when_its_channel_closes(s):
    c, ch, q, _ = owned(s)
    ch.close()
    c.channel().queue_declare(queue=q, passive=True)


@scenario
def stays_when_its_last_consumer_goes(s):
    _, ch, q, _ = owned(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_cancel(consumer_tag="t")
    ch.sync()
    ch.queue_declare(queue=q, passive=True)


@scenario
def durable_and_exclusive(s):
    c, ch, q, _ = owned(s, durable=True)
    ch.queue_declare(queue=q, exclusive=True, durable=True)
    c.close()
    s.until_gone(q)


@scenario
def exclusive_and_auto_delete(s):
    _, ch, q, _ = owned(s, auto_delete=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_cancel(consumer_tag="t")
    s.until_gone(q)


@scenario
def name_is_free_after_the_connection(s):
    c, _, q, other = owned(s)
    c.close()
    s.until_gone(q)
    other.channel().queue_declare(queue=q)


@scenario
def redeclared_as_exclusive_by_the_creator_of_a_shared_queue(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.queue_declare(queue=q, exclusive=True)


@scenario
def redeclared_as_exclusive_by_a_stranger_to_a_shared_queue(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.channel().queue_declare(queue=q, exclusive=True)


@scenario
def locked_is_checked_before_equivalence(s):
    _, _, q, other = owned(s)
    other.channel().queue_declare(queue=q, exclusive=True, durable=True, auto_delete=True)


@scenario
def binding_goes_with_the_connection(s):
    c, ch, q, other = owned(s)
    ch.queue_bind(queue=q, exchange="amq.direct", routing_key=q)
    c.close()
    s.until_gone(q)
    channel = other.channel()
    channel.publish("amq.direct", q, "x", mandatory=True)
    channel.sync()
