"""Bindings from exchange to exchange."""

from harness.registry import scenario


def exchanges(s, *kinds):
    """A channel and one exchange of each type, named a, b, c …, and a queue."""
    ch = s.channel()
    names = [s.name(label) for label in "abcde"[:len(kinds)]]
    for name, kind in zip(names, kinds, strict=True):
        ch.exchange_declare(exchange=name, exchange_type=kind)
    ch.queue_declare(queue=s.name("q"))
    return ch, names, s.name("q")


def get_all(ch, q):
    while (reply := ch.basic_get(queue=q, no_ack=True)) and reply.key == "basic_get_ok":
        pass


@scenario
def through_two(s):
    ch, (a, b), q = exchanges(s, "direct", "topic")
    ch.exchange_bind(destination=b, source=a, routing_key="k.l")
    ch.queue_bind(queue=q, exchange=b, routing_key="k.*")
    ch.publish(a, "k.l", "x", mandatory=True)
    ch.publish(a, "k.m", "y", mandatory=True)
    ch.sync()
    get_all(ch, q)


@scenario
def several_paths_one_copy(s):
    ch, (a, b, c), q = exchanges(s, "fanout", "fanout", "fanout")
    for destination in (b, c):
        ch.exchange_bind(destination=destination, source=a)
        ch.queue_bind(queue=q, exchange=destination)
    ch.queue_bind(queue=q, exchange=a)
    ch.publish(a, "", "once")
    get_all(ch, q)


@scenario
def cycle(s):
    ch, (a, b), q = exchanges(s, "fanout", "fanout")
    ch.exchange_bind(destination=b, source=a)
    ch.exchange_bind(destination=a, source=b)
    ch.queue_bind(queue=q, exchange=b)
    ch.publish(a, "", "once")
    ch.publish(b, "", "once more")
    get_all(ch, q)


@scenario
def to_itself(s):
    ch, (a,), q = exchanges(s, "fanout")
    ch.exchange_bind(destination=a, source=a)
    ch.queue_bind(queue=q, exchange=a)
    ch.publish(a, "", "once")
    get_all(ch, q)


@scenario
def cycle_without_a_queue_returns_mandatory(s):
    ch, (a, b), _ = exchanges(s, "fanout", "fanout")
    ch.exchange_bind(destination=b, source=a)
    ch.exchange_bind(destination=a, source=b)
    ch.publish(a, "", "x", mandatory=True)
    ch.sync()


@scenario
def headers_are_matched_on_the_way(s):
    ch, (a, b), q = exchanges(s, "headers", "headers")
    ch.exchange_bind(destination=b, source=a, arguments={"x-match": "all", "a": 1})
    ch.queue_bind(queue=q, exchange=b, arguments={"x-match": "any", "b": 1})
    ch.publish(a, "", "both", headers={"a": 1, "b": 1})
    ch.publish(a, "", "only a", headers={"a": 1})
    ch.publish(a, "", "only b", headers={"b": 1})
    get_all(ch, q)


@scenario
def internal_as_destination(s):
    ch, (a,), q = exchanges(s, "fanout")
    b = s.name("internal")
    ch.exchange_declare(exchange=b, exchange_type="fanout", internal=True)
    ch.exchange_bind(destination=b, source=a)
    ch.queue_bind(queue=q, exchange=b)
    ch.publish(a, "", "x", mandatory=True)
    get_all(ch, q)


@scenario
def bind_twice_is_one(s):
    ch, (a, b), q = exchanges(s, "direct", "fanout")
    for _ in range(2):
        ch.exchange_bind(destination=b, source=a, routing_key="k")
    ch.queue_bind(queue=q, exchange=b)
    ch.publish(a, "k", "once")
    get_all(ch, q)
    ch.exchange_unbind(destination=b, source=a, routing_key="k")
    ch.publish(a, "k", "x", mandatory=True)
    ch.sync()


@scenario
def bind_missing_source(s):
    ch, (a,), _ = exchanges(s, "direct")
    ch.exchange_bind(destination=a, source=s.name("missing"), routing_key="k")


@scenario
def bind_missing_destination(s):
    ch, (a,), _ = exchanges(s, "direct")
    ch.exchange_bind(destination=s.name("missing"), source=a, routing_key="k")


@scenario
def bind_both_missing(s):
    ch, _, _ = exchanges(s)
    ch.exchange_bind(destination=s.name("one"), source=s.name("two"), routing_key="k")


@scenario
def bind_default_as_source(s):
    ch, (a,), _ = exchanges(s, "direct")
    ch.exchange_bind(destination=a, source="", routing_key="k")


@scenario
def bind_default_as_destination(s):
    ch, (a,), _ = exchanges(s, "direct")
    ch.exchange_bind(destination="", source=a, routing_key="k")


@scenario
def unbind_default(s):
    ch, (a,), _ = exchanges(s, "direct")
    ch.exchange_unbind(destination=a, source="", routing_key="k")


@scenario
def unbind_missing_parts(s):
    ch, (a,), _ = exchanges(s, "direct")
    ch.exchange_unbind(destination=a, source=a, routing_key="k")
    ch.exchange_unbind(destination=s.name("missing"), source=a, routing_key="k")
    ch.exchange_unbind(destination=a, source=s.name("missing"), routing_key="k")


@scenario
def nowait(s):
    ch, (a, b), q = exchanges(s, "direct", "fanout")
    ch.queue_bind(queue=q, exchange=b)
    ch.exchange_bind(destination=b, source=a, routing_key="k", nowait=True)
    ch.publish(a, "k", "x")
    get_all(ch, q)
    ch.exchange_unbind(destination=b, source=a, routing_key="k", nowait=True)
    ch.publish(a, "k", "x", mandatory=True)
    ch.sync()


@scenario
def nowait_error(s):
    ch, (a,), _ = exchanges(s, "direct")
    ch.exchange_bind(destination=a, source=s.name("missing"), routing_key="k", nowait=True)
    ch.wait("channel_close")


@scenario
def deleting_the_destination_unbinds(s):
    ch, (a, b), q = exchanges(s, "fanout", "fanout")
    ch.exchange_bind(destination=b, source=a)
    ch.queue_bind(queue=q, exchange=b)
    ch.exchange_delete(exchange=b)
    ch.exchange_declare(exchange=b, exchange_type="fanout")
    ch.queue_bind(queue=q, exchange=b)
    ch.publish(a, "", "x", mandatory=True)
    ch.sync()


@scenario
def predeclared_as_source_and_destination(s):
    ch, (a,), q = exchanges(s, "fanout")
    ch.exchange_bind(destination=a, source="amq.direct", routing_key=s.name("k"))
    ch.queue_bind(queue=q, exchange=a)
    ch.publish("amq.direct", s.name("k"), "x", mandatory=True)
    get_all(ch, q)


@scenario
def cc_through_exchanges(s):
    ch, (a, b), q = exchanges(s, "direct", "direct")
    ch.exchange_bind(destination=b, source=a, routing_key="k")
    ch.queue_bind(queue=q, exchange=b, routing_key="l")
    ch.publish(a, "k", "x", headers={"CC": ["l"]}, mandatory=True)
    ch.sync()
    get_all(ch, q)


@scenario
def long_chain(s):
    ch = s.channel()
    names = [s.name(f"x{number:02}") for number in range(30)]
    for name in names:
        ch.exchange_declare(exchange=name, exchange_type="fanout")
    for source, destination in zip(names, names[1:], strict=False):
        ch.exchange_bind(destination=destination, source=source)
    ch.queue_declare(queue=s.name("q"))
    ch.queue_bind(queue=s.name("q"), exchange=names[-1])
    ch.publish(names[0], "", "x", mandatory=True)
    get_all(ch, s.name("q"))


@scenario
def same_message_to_different_keys(s):
    """A destination matches on the original key, not on that of the binding it came by."""
    ch, (a, b), q = exchanges(s, "topic", "direct")
    ch.exchange_bind(destination=b, source=a, routing_key="*.b")
    ch.queue_bind(queue=q, exchange=b, routing_key="a.b")
    ch.publish(a, "a.b", "yes", mandatory=True)
    ch.publish(a, "c.b", "no", mandatory=True)
    ch.sync()
    get_all(ch, q)
