"""Alternate exchanges and the exchange types of plugins together, and their arguments."""

from harness.registry import scenario
from harness.steps import arguments, declare
from harness.tables import binary, float64

PLUGIN_TYPES = ("x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history")


def exchange(s, ch, label, kind="direct", **named):
    x = s.name(label)
    ch.exchange_declare(exchange=x, exchange_type=kind, arguments=arguments(**named))
    return x


def bound(s, ch, x, key="", label="q"):
    q = declare(s, ch, label)
    ch.queue_bind(queue=q, exchange=x, routing_key=key)
    return q


@scenario
def plugin_types_have_alternates_too(s):
    ch = s.channel()
    ae = exchange(s, ch, "ae", "fanout")
    q = bound(s, ch, ae)
    for kind in PLUGIN_TYPES:
        x = exchange(s, ch, kind, kind, alternate_exchange=ae)
        ch.publish(x, "1", kind, mandatory=True)
        ch.sync()
    s.until(q, messages=4)
    s.drain(q)


@scenario
def plugin_types_as_alternates(s):
    ch = s.channel()
    for kind in PLUGIN_TYPES:
        ae = exchange(s, ch, f"ae-{kind}", kind)
        q = bound(s, ch, ae, "1", f"q-{kind}")
        x = exchange(s, ch, f"x-{kind}", alternate_exchange=ae)
        ch.publish(x, "nothing", kind, mandatory=True)
        s.until(q, messages=1)
        s.drain(q)


@scenario
def fanout_without_a_binding(s):
    ch = s.channel()
    ae = exchange(s, ch, "ae", "fanout")
    q = bound(s, ch, ae)
    x = exchange(s, ch, "x", "fanout", alternate_exchange=ae)
    ch.publish(x, "k", "a", mandatory=True)
    r = bound(s, ch, x, "", "r")
    ch.publish(x, "k", "b", mandatory=True)
    ch.sync()
    s.drain(q)
    s.drain(r)


@scenario
def chain_with_two_that_match(s):
    """The first exchange of the chain that finds a queue takes the message alone."""
    ch = s.channel()
    c = exchange(s, ch, "c", "fanout")
    b = exchange(s, ch, "b", "direct", alternate_exchange=c)
    a = exchange(s, ch, "a", "topic", alternate_exchange=b)
    q, r = bound(s, ch, b, "k", "q"), bound(s, ch, c, "", "r")
    for key in ("k", "other"):
        ch.publish(a, key, key, mandatory=True)
    ch.sync()
    s.drain(q)
    s.drain(r)


@scenario
def alternate_by_cc_of_which_none_matches(s):
    ch = s.channel()
    ae = exchange(s, ch, "ae", "direct")
    q = bound(s, ch, ae, "copy")
    x = exchange(s, ch, "x", "direct", alternate_exchange=ae)
    ch.publish(x, "nothing", "a", headers={"CC": ["copy"]}, mandatory=True)
    ch.sync()
    s.drain(q)


@scenario
def exchange_and_key_are_those_of_the_publish(s):
    ch = s.channel()
    ae = exchange(s, ch, "ae", "fanout")
    bound(s, ch, ae)
    x = exchange(s, ch, "x", "direct", alternate_exchange=ae)
    ch.publish(x, "the.key", "a", headers={"mine": 1}, message_id="m")
    ch.basic_get(queue=s.name("q"), no_ack=True)


@scenario
def deleted_alternate(s):
    ch = s.channel()
    ae = exchange(s, ch, "ae", "fanout")
    q = bound(s, ch, ae)
    x = exchange(s, ch, "x", "direct", alternate_exchange=ae)
    ch.exchange_delete(exchange=ae)
    ch.publish(x, "k", "a", mandatory=True)
    ch.wait("basic_return")
    s.drain(q)


@scenario
def alternate_is_in_use_for_if_unused(s):
    """Being an alternate is no use of an exchange."""
    ch = s.channel()
    ae = exchange(s, ch, "ae", "fanout")
    exchange(s, ch, "x", "direct", alternate_exchange=ae)
    ch.exchange_delete(exchange=ae, if_unused=True)


@scenario
def topic_publish_through_an_alternate_topic(s):
    ch = s.channel()
    ae = exchange(s, ch, "ae", "topic")
    q = bound(s, ch, ae, "a.*")
    x = exchange(s, ch, "x", "topic", alternate_exchange=ae)
    for key in ("a.b", "a.b.c"):
        ch.publish(x, key, key, mandatory=True)
    ch.wait("basic_return")
    s.drain(q)


@scenario
def publish_to_two_exchanges_that_lead_to_one_queue(s):
    """A queue gets a message once, by however many ways."""
    ch = s.channel()
    x = exchange(s, ch, "x", "fanout")
    q = bound(s, ch, x)
    for label, kind in (("h", "x-random"), ("i", "x-recent-history"), ("j", "fanout")):
        y = exchange(s, ch, label, kind)
        ch.exchange_bind(destination=y, source=x)
        ch.queue_bind(queue=q, exchange=y)
    ch.publish(x, "k", "a")
    ch.sync()
    s.drain(q)


# Arguments


def declares(s, kind, *several):
    c = s.connect()
    for number, wanted in enumerate(several):
        if c.closing or c.ended:
            c.flush()
            c = s.connect()
        c.renew().exchange_declare(exchange=s.name(f"x{number}"), exchange_type=kind,
                                   arguments=wanted)


@scenario
def alternate_exchange_of_other_types(s):
    declares(s, "direct", *({"alternate-exchange": value} for value in (
        "", "name", 5, True, None, [], {}, float64(1.0), binary(b"x"), "amq.direct",
        "amq.nonsense")))


@scenario
def alternate_exchange_on_each_type(s):
    for kind in ("fanout", "topic", "headers"):
        c = s.connect()
        for value in ("x", 5):
            c.renew().exchange_declare(exchange=s.name(f"{kind}{value}"), exchange_type=kind,
                                       arguments={"alternate-exchange": value})


@scenario
def unknown_exchange_arguments(s):
    declares(s, "direct", {"x-nonsense": 1}, {"": "a"}, {"hash-header": "h"},
             {"x-recent-history-length": "a"}, {"x-delayed-type": 5})


@scenario
def history_length_of_other_types(s):
    declares(s, "x-recent-history", {"x-recent-history-length": 0},
             {"x-recent-history-length": -5}, {"x-recent-history-length": "a"},
             {"x-recent-history-length": True})


@scenario
def redeclared_with_another_history_length(s):
    ch = s.channel()
    x = exchange(s, ch, "x", "x-recent-history", x_recent_history_length=3)
    ch.exchange_declare(exchange=x, exchange_type="x-recent-history",
                        arguments={"x-recent-history-length": 4})
    ch.exchange_declare(exchange=x, exchange_type="x-recent-history")


@scenario
def redeclared_with_another_alternate(s):
    c = s.connect()
    exchange(s, c.channel(), "x", "direct", alternate_exchange="a")
    for value in ("a", "b", "", None):
        c.renew().exchange_declare(exchange=s.name("x"), arguments={"alternate-exchange": value})
    c.renew().exchange_declare(exchange=s.name("x"))
    c.renew().exchange_declare(exchange=s.name("x"), passive=True)


@scenario
def redeclared_plugin_type_as_another(s):
    c = s.connect()
    exchange(s, c.channel(), "x", "x-random")
    for kind in ("direct", "x-consistent-hash", "x-nonsense"):
        c.renew().exchange_declare(exchange=s.name("x"), exchange_type=kind)


@scenario
def both_hash_arguments(s):
    declares(s, "x-consistent-hash", {"hash-header": "h", "hash-property": "message_id"},
             {"hash-property": "message_id"}, {"hash-property": "content_type"},
             {"hash-property": ""}, {"hash-header": ""})


# Weights


def spread(s, *weights, count=200):
    """How many of so many keys each queue gets from a hash exchange."""
    ch = s.channel()
    ch.confirm_select()
    x = exchange(s, ch, "x", "x-consistent-hash")
    queues = [bound(s, ch, x, str(weight), f"q{number}")
              for number, weight in enumerate(weights)]
    s.put("", *[], exchange=x)
    for number in range(count):
        s.helper.publish(x, f"key-{number}", "")
    s.helper.confirms()
    for q in queues:
        ch.queue_purge(queue=q)


@scenario
def weights_of_equal_queues(s):
    spread(s, 1, 1)


@scenario
def weights_of_which_one_is_ten_times_the_other(s):
    spread(s, 1, 10)


@scenario
def weights_of_three_queues(s):
    spread(s, 2, 3, 5)


@scenario
def weights_of_equal_but_large_queues(s):
    spread(s, 100, 100, 100)


@scenario
def weight_of_zero(s):
    spread(s, 0, 1)


@scenario
def weights_rebound_with_another_one(s):
    """A second binding of a queue adds its weight, or is of no effect."""
    ch = s.channel()
    x = exchange(s, ch, "x", "x-consistent-hash")
    q, r = bound(s, ch, x, "1", "q"), bound(s, ch, x, "1", "r")
    ch.queue_bind(queue=q, exchange=x, routing_key="5")
    for number in range(200):
        s.helper.publish(x, f"key-{number}", "")
    s.helper.confirms()
    ch.queue_purge(queue=q)
    ch.queue_purge(queue=r)
