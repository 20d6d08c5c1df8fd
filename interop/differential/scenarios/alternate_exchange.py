"""Alternate exchanges."""

from harness.registry import scenario


def chain(s, *names, kind="direct", last="fanout"):
    """Exchanges of which each has the next as its alternate; the last one has a queue."""
    ch = s.channel()
    exchanges = [s.name(name) for name in names]
    q = s.name("q")
    ch.queue_declare(queue=q)
    for name, following in zip(exchanges, exchanges[1:] + [None], strict=True):
        arguments = {"alternate-exchange": following} if following else {}
        ch.exchange_declare(exchange=name, exchange_type=kind if following else last,
                            arguments=arguments)
    ch.queue_bind(queue=q, exchange=exchanges[-1], routing_key="")
    return ch, exchanges, q


@scenario
def takes_what_is_unroutable(s):
    ch, (a, _), q = chain(s, "a", "b")
    ch.publish(a, "nothing", "x", mandatory=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def is_left_out_if_something_matched(s):
    ch, (a, _), q = chain(s, "a", "b")
    ch.queue_declare(queue=s.name("r"))
    ch.queue_bind(queue=s.name("r"), exchange=a, routing_key="k")
    ch.publish(a, "k", "x")
    ch.basic_get(queue=s.name("r"), no_ack=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def chain_of_three(s):
    ch, (a, _, _), q = chain(s, "a", "b", "c")
    ch.publish(a, "nothing", "x", mandatory=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def nothing_matches_in_the_whole_chain(s):
    ch, (a, _), q = chain(s, "a", "b", last="direct")
    ch.publish(a, "nothing", "x", mandatory=True)
    ch.sync()
    ch.basic_get(queue=q, no_ack=True)


@scenario
def missing_alternate(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("a"), arguments={"alternate-exchange": s.name("none")})
    ch.publish(s.name("a"), "k", "x", mandatory=True)
    ch.sync()


@scenario
def cycle(s):
    ch = s.channel()
    a, b = s.name("a"), s.name("b")
    ch.exchange_declare(exchange=a, arguments={"alternate-exchange": b})
    ch.exchange_declare(exchange=b, arguments={"alternate-exchange": a})
    ch.publish(a, "k", "x", mandatory=True)
    ch.sync()


@scenario
def to_itself(s):
    ch = s.channel()
    a = s.name("a")
    ch.exchange_declare(exchange=a, arguments={"alternate-exchange": a})
    ch.publish(a, "k", "x", mandatory=True)
    ch.sync()


@scenario
def to_the_default_exchange(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.exchange_declare(exchange=s.name("a"), arguments={"alternate-exchange": ""})
    ch.publish(s.name("a"), q, "x", mandatory=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def internal_alternate(s):
    ch = s.channel()
    a, b, q = s.name("a"), s.name("b"), s.name("q")
    ch.queue_declare(queue=q)
    ch.exchange_declare(exchange=b, exchange_type="fanout", internal=True)
    ch.exchange_declare(exchange=a, arguments={"alternate-exchange": b})
    ch.queue_bind(queue=q, exchange=b)
    ch.publish(a, "k", "x", mandatory=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def alternate_of_a_destination(s):
    """The destination of an exchange binding finds nothing: does its alternate get it?"""
    ch, (a, _), q = chain(s, "a", "b")
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    ch.exchange_bind(destination=a, source=x)
    ch.publish(x, "nothing", "x", mandatory=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def bound_to_an_exchange_that_finds_nothing(s):
    """A binding matched, but what it leads to has no queue: does the alternate get it?"""
    ch, (a, _), q = chain(s, "a", "b")
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="direct")
    ch.exchange_bind(destination=x, source=a, routing_key="k")
    ch.publish(a, "k", "x", mandatory=True)
    ch.sync()
    ch.basic_get(queue=q, no_ack=True)


@scenario
def headers_and_topic(s):
    for kind in ("topic", "headers"):
        ch, (a, _), q = chain(s, f"a-{kind}", f"b-{kind}", kind=kind)
        ch.publish(a, "nothing", kind, mandatory=True)
        ch.basic_get(queue=q, no_ack=True)


@scenario
def cc_keys_count_as_matches(s):
    ch, (a, _), q = chain(s, "a", "b")
    ch.queue_declare(queue=s.name("r"))
    ch.queue_bind(queue=s.name("r"), exchange=a, routing_key="k")
    ch.publish(a, "nothing", "x", headers={"CC": ["k"]})
    ch.basic_get(queue=s.name("r"), no_ack=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def alternate_created_later(s):
    ch = s.channel()
    a, b, q = s.name("a"), s.name("b"), s.name("q")
    ch.exchange_declare(exchange=a, arguments={"alternate-exchange": b})
    ch.exchange_declare(exchange=b, exchange_type="fanout")
    ch.queue_declare(queue=q)
    ch.queue_bind(queue=q, exchange=b)
    ch.publish(a, "k", "x", mandatory=True)
    ch.basic_get(queue=q, no_ack=True)
