"""exchange.declare and delete."""

from harness.registry import scenario


@scenario
def each_type(s):
    ch = s.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        ch.exchange_declare(exchange=s.name(kind), exchange_type=kind)
        ch.exchange_declare(exchange=s.name(kind), exchange_type=kind)


@scenario
def unknown_type(s):
    c = s.connect()
    c.channel().exchange_declare(exchange=s.name("x"), exchange_type="banana")
    c.until_closed()


@scenario
def unknown_type_of_an_existing_exchange(s):
    c = s.connect()
    ch = c.channel()
    ch.exchange_declare(exchange=s.name("x"), exchange_type="direct")
    ch.exchange_declare(exchange=s.name("x"), exchange_type="banana")
    c.until_closed()


@scenario
def empty_type(s):
    c = s.connect()
    c.channel().exchange_declare(exchange=s.name("x"), exchange_type="")
    c.until_closed()


@scenario
def type_in_upper_case(s):
    c = s.connect()
    c.channel().exchange_declare(exchange=s.name("x"), exchange_type="DIRECT")
    c.until_closed()


@scenario
def passive_existing_ignores_all_else(s):
    ch = s.channel()
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    ch.exchange_declare(exchange=x, exchange_type="topic", passive=True, durable=True)
    ch.exchange_declare(exchange=x, exchange_type="banana", passive=True)


@scenario
def passive_missing(s):
    s.channel().exchange_declare(exchange=s.name("x"), passive=True)


@scenario
def passive_predeclared(s):
    ch = s.channel()
    for name in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match",
                 "amq.rabbitmq.trace"):
        ch.exchange_declare(exchange=name, passive=True)


@scenario
def passive_default(s):
    s.channel().exchange_declare(exchange="", passive=True)


@scenario
def declare_default(s):
    s.channel().exchange_declare(exchange="", exchange_type="direct", durable=True)


@scenario
def declare_reserved(s):
    s.channel().exchange_declare(exchange="amq.mine")


@scenario
def declare_reserved_of_another_letter_case(s):
    ch = s.channel()
    ch.exchange_declare(exchange="AMQ.mine", auto_delete=True)
    ch.exchange_delete(exchange="AMQ.mine")


@scenario
def redeclare_predeclared_as_it_is(s):
    s.channel().exchange_declare(exchange="amq.direct", exchange_type="direct", durable=True)


@scenario
def redeclare_predeclared_otherwise(s):
    s.channel().exchange_declare(exchange="amq.direct", exchange_type="fanout", durable=True)


def redeclare(s, first, second):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("x"), **first)
    ch.exchange_declare(exchange=s.name("x"), **second)


@scenario
def redeclare_with_another_type(s):
    redeclare(s, {"exchange_type": "direct"}, {"exchange_type": "fanout"})


@scenario
def redeclare_with_another_durability(s):
    redeclare(s, {"durable": True}, {"durable": False})


@scenario
def redeclare_with_another_auto_delete(s):
    redeclare(s, {}, {"auto_delete": True})


@scenario
def redeclare_with_another_internal(s):
    redeclare(s, {"internal": True}, {})


@scenario
def redeclare_with_several_differences(s):
    redeclare(s, {}, {"exchange_type": "topic", "durable": True, "internal": True})


@scenario
def redeclare_with_an_alternate_exchange(s):
    redeclare(s, {}, {"arguments": {"alternate-exchange": "ae"}})


@scenario
def redeclare_without_its_alternate_exchange(s):
    redeclare(s, {"arguments": {"alternate-exchange": "ae"}}, {})


@scenario
def redeclare_with_another_unknown_argument(s):
    redeclare(s, {"arguments": {"x-nonsense": 1}}, {"arguments": {"x-nonsense": "two"}})


@scenario
def alternate_exchange_of_a_wrong_type(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("x"), arguments={"alternate-exchange": 5})


@scenario
def line_ends_are_stripped_from_names(s):
    ch = s.channel()
    a, ab = s.name("a"), s.name("ab")
    ch.exchange_declare(exchange=f"\r{a}\r\nb\n")
    ch.exchange_declare(exchange=ab, passive=True)
    ch.exchange_declare(exchange=f"{a}\nb", passive=True)


@scenario
def name_of_255_octets(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("x", length=255))


@scenario
def name_in_unicode_and_with_spaces(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("größe 漢 x"))
    ch.exchange_declare(exchange=s.name("größe 漢 x"), passive=True)


@scenario
def delete(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("x"))
    ch.exchange_delete(exchange=s.name("x"))
    ch.exchange_declare(exchange=s.name("x"), passive=True)


@scenario
def delete_missing(s):
    ch = s.channel()
    ch.exchange_delete(exchange=s.name("x"))
    ch.exchange_delete(exchange=s.name("x"), if_unused=True)


@scenario
def delete_default(s):
    s.channel().exchange_delete(exchange="")


@scenario
def delete_predeclared(s):
    c = s.connect()
    for name in ("amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match",
                 "amq.rabbitmq.trace", "amq.rabbitmq.log", "amq.nothing"):
        c.channel().exchange_delete(exchange=name)


@scenario
def delete_if_unused_as_source(s):
    c = s.connect()
    ch = c.channel()
    x, q = s.name("x"), s.name("q")
    ch.exchange_declare(exchange=x)
    ch.queue_declare(queue=q)
    ch.queue_bind(queue=q, exchange=x, routing_key="k")
    ch.exchange_delete(exchange=x, if_unused=True)
    ch = c.channel()
    ch.queue_unbind(queue=q, exchange=x, routing_key="k")
    ch.exchange_delete(exchange=x, if_unused=True)


@scenario
def delete_if_unused_as_destination(s):
    ch = s.channel()
    a, b = s.name("a"), s.name("b")
    ch.exchange_declare(exchange=a)
    ch.exchange_declare(exchange=b)
    ch.exchange_bind(destination=b, source=a, routing_key="k")
    ch.exchange_delete(exchange=b, if_unused=True)
    ch.exchange_declare(exchange=b, passive=True)


@scenario
def nowait(s):
    ch = s.channel()
    x = s.name("x")
    ch.exchange_declare(exchange=x, nowait=True)
    ch.exchange_declare(exchange=x, passive=True)
    ch.exchange_delete(exchange=x, nowait=True)
    ch.exchange_declare(exchange=x, passive=True)


@scenario
def nowait_errors_close_the_channel(s):
    ch = s.channel()
    ch.exchange_declare(exchange="amq.mine", nowait=True)
    ch.wait("channel_close")


@scenario
def passive_nowait_missing(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("x"), passive=True, nowait=True)
    ch.wait("channel_close")


@scenario
def internal_cannot_be_published_to(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("x"), internal=True)
    ch.publish(s.name("x"), "k", "x")
    ch.wait("channel_close")


@scenario
def bindings_do_not_come_back_with_the_name(s):
    ch = s.channel()
    x, q = s.name("x"), s.name("q")
    ch.queue_declare(queue=q)
    for _ in range(2):
        ch.exchange_declare(exchange=x, exchange_type="fanout")
        ch.publish(x, "", "x", mandatory=True)
        ch.sync()
        ch.queue_bind(queue=q, exchange=x)
        ch.exchange_delete(exchange=x)
