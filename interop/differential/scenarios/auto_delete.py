"""Queues and exchanges that go when the last user of them goes."""

from harness.registry import scenario


def queue(s, **options):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, auto_delete=True, **options)
    return c, ch, q


def exchange_with_queue(s, **options):
    c = s.connect()
    ch = c.channel()
    x, q = s.name("x"), s.name("q")
    ch.exchange_declare(exchange=x, auto_delete=True, **options)
    ch.queue_declare(queue=q)
    ch.queue_bind(queue=q, exchange=x, routing_key="k")
    return c, ch, x, q


@scenario
def queue_stays_before_its_first_consumer(s):
    c, ch, q = queue(s)
    ch.close()
    c.channel().queue_declare(queue=q, passive=True)


@scenario
def queue_goes_with_its_last_consumer(s):
    c, ch, q = queue(s)
    other = c.channel()
    ch.basic_consume(queue=q, consumer_tag="t")
    other.basic_consume(queue=q, consumer_tag="u")
    ch.basic_cancel(consumer_tag="t")
    s.until(q, consumers=1)
    other.basic_cancel(consumer_tag="u")
    s.until_gone(q)


@scenario
def queue_goes_when_the_channel_closes(s):
    _, ch, q = queue(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.close()
    s.until_gone(q)


@scenario
def queue_goes_when_the_connection_drops(s):
    c, ch, q = queue(s)
    ch.basic_consume(queue=q, consumer_tag="t")
    c.abort()
    s.until_gone(q)


@scenario
def queue_goes_with_messages_in_it(s):
    _, ch, q = queue(s)
    s.put(q, "a", "b")
    ch.basic_qos(prefetch_count=1)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.deliveries(1)
    ch.basic_cancel(consumer_tag="t")
    s.until_gone(q)
    ch.basic_ack(delivery_tag=1)
    ch.sync()


@scenario
def get_is_no_consumer(s):
    _, ch, q = queue(s)
    s.put(q, "a")
    ch.basic_get(queue=q, no_ack=True)
    ch.sync()
    ch.queue_declare(queue=q, auto_delete=True)


@scenario
def durable_auto_delete_queue(s):
    _, ch, q = queue(s, durable=True)
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_cancel(consumer_tag="t")
    s.until_gone(q)


@scenario
def queue_redeclared_with_a_consumer_waiting(s):
    _, ch, q = queue(s)
    for _ in range(2):
        ch.queue_declare(queue=q, auto_delete=True)
        ch.basic_consume(queue=q, consumer_tag="t")
        ch.basic_cancel(consumer_tag="t")
        s.until_gone(q)


@scenario
def exchange_stays_before_its_first_binding(s):
    ch = s.channel()
    x = s.name("x")
    ch.exchange_declare(exchange=x, auto_delete=True)
    ch.queue_unbind(queue=s.name("q"), exchange=x, routing_key="k")
    ch.exchange_declare(exchange=x, passive=True)


@scenario
def exchange_goes_with_its_last_unbind(s):
    _, ch, x, q = exchange_with_queue(s)
    ch.queue_bind(queue=q, exchange=x, routing_key="l")
    ch.queue_unbind(queue=q, exchange=x, routing_key="k")
    ch.exchange_declare(exchange=x, passive=True)
    ch.queue_unbind(queue=q, exchange=x, routing_key="l")
    ch.exchange_declare(exchange=x, passive=True)


@scenario
def exchange_goes_with_its_last_queue(s):
    _, ch, x, q = exchange_with_queue(s)
    ch.queue_delete(queue=q)
    ch.exchange_declare(exchange=x, passive=True)


@scenario
def exchange_goes_with_an_exclusive_queue(s):
    c = s.connect()
    ch = c.channel()
    x, q = s.name("x"), s.name("q")
    ch.exchange_declare(exchange=x, auto_delete=True)
    ch.queue_declare(queue=q, exclusive=True)
    ch.queue_bind(queue=q, exchange=x, routing_key="k")
    c.close()
    s.until_gone(q)
    s.channel().exchange_declare(exchange=x, passive=True)


@scenario
def exchange_goes_with_an_auto_delete_queue(s):
    c, ch, q = queue(s)
    x = s.name("x")
    ch.exchange_declare(exchange=x, auto_delete=True)
    ch.queue_bind(queue=q, exchange=x, routing_key="k")
    ch.basic_consume(queue=q, consumer_tag="t")
    ch.basic_cancel(consumer_tag="t")
    s.until_gone(q)
    ch.exchange_declare(exchange=x, passive=True)


@scenario
def exchange_stays_when_it_is_only_a_destination(s):
    ch = s.channel()
    a, b = s.name("a"), s.name("b")
    ch.exchange_declare(exchange=a)
    ch.exchange_declare(exchange=b, auto_delete=True)
    ch.exchange_bind(destination=b, source=a, routing_key="k")
    ch.exchange_unbind(destination=b, source=a, routing_key="k")
    ch.exchange_declare(exchange=b, passive=True)


@scenario
def exchange_goes_as_a_source_of_another(s):
    ch = s.channel()
    a, b = s.name("a"), s.name("b")
    ch.exchange_declare(exchange=a, auto_delete=True)
    ch.exchange_declare(exchange=b)
    ch.exchange_bind(destination=b, source=a, routing_key="k")
    ch.exchange_delete(exchange=b)
    ch.exchange_declare(exchange=a, passive=True)


@scenario
def exchanges_go_along_a_chain(s):
    c = s.connect()
    ch = c.channel()
    names = [s.name(label) for label in "abc"]
    q = s.name("q")
    for name in names:
        ch.exchange_declare(exchange=name, auto_delete=True)
    for source, destination in zip(names, names[1:], strict=False):
        ch.exchange_bind(destination=destination, source=source, routing_key="k")
    ch.queue_declare(queue=q)
    ch.queue_bind(queue=q, exchange=names[-1], routing_key="k")
    ch.queue_delete(queue=q)
    for name in names:
        c.channel().exchange_declare(exchange=name, passive=True)


@scenario
def exchanges_in_a_loop(s):
    c = s.connect()
    ch = c.channel()
    a, b, q = s.name("a"), s.name("b"), s.name("q")
    for name in (a, b):
        ch.exchange_declare(exchange=name, auto_delete=True)
    ch.exchange_bind(destination=b, source=a, routing_key="k")
    ch.exchange_bind(destination=a, source=b, routing_key="k")
    ch.queue_declare(queue=q)
    ch.queue_bind(queue=q, exchange=b, routing_key="k")
    ch.queue_delete(queue=q)
    for name in (a, b):
        c.channel().exchange_declare(exchange=name, passive=True)
    c.channel().exchange_unbind(destination=b, source=a, routing_key="k")
    for name in (a, b):
        c.channel().exchange_declare(exchange=name, passive=True)
