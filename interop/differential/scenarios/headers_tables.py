"""Field tables: every type comes back octet by octet, also where the broker writes them anew."""

from harness import tables
from harness.registry import scenario

EVERY_TYPE = {
    "t0": False, "t1": True,
    "b": tables.int8(-128), "B": tables.uint8(255),
    "s": tables.int16(-32768), "u": tables.uint16(65535),
    "I": tables.int32(-(1 << 31)), "i": tables.uint32((1 << 32) - 1),
    "l": tables.int64(-(1 << 63)), "L": tables.int64_spec((1 << 63) - 1),
    "f": tables.float32(3.5), "d": tables.float64(-2.25e300),
    "D": tables.decimal(255, -5), "S": "text", "S8": tables.longstr(b"\xff\xfe"),
    "empty": "", "T": tables.timestamp(1 << 40), "V": None,
    "x": tables.binary(bytes(range(16))),
    "A": [], "F": {},
    "A2": [1, "two", [3, [4]], {"five": 6}, None, True, tables.int8(7)],
    "F2": {"a": {"b": {"c": [{"d": 1}]}}},
}


def echo(s, headers, **options):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q, **options.pop("queue", {}))
    ch.publish("", q, "x", headers=headers, **options)
    ch.sync()
    ch.basic_get(queue=q)


@scenario
def every_type(s):
    echo(s, EVERY_TYPE)


@scenario
def every_type_persistent(s):
    echo(s, EVERY_TYPE, delivery_mode=2, queue={"durable": True})


@scenario
def every_type_through_the_brokers_own_encoder(s):
    """BCC is removed, so the broker has to write the table anew."""
    echo(s, EVERY_TYPE | {"BCC": [s.name("nobody")]})


@scenario
def every_type_in_a_return(s):
    ch = s.channel()
    ch.publish("", s.name("nobody"), "x", mandatory=True, headers=EVERY_TYPE)
    ch.sync()


@scenario
def every_type_in_queue_arguments(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"), arguments=EVERY_TYPE)
    ch.queue_declare(queue=s.name("q"), arguments=EVERY_TYPE)


@scenario
def every_type_in_exchange_arguments(s):
    ch = s.channel()
    ch.exchange_declare(exchange=s.name("x"), arguments=EVERY_TYPE)
    ch.exchange_declare(exchange=s.name("x"), arguments=EVERY_TYPE)


@scenario
def every_type_in_binding_arguments(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"))
    for method in (ch.queue_bind, ch.queue_unbind):
        method(queue=s.name("q"), exchange="amq.direct", routing_key="k", arguments=EVERY_TYPE)


@scenario
def every_type_in_consumer_arguments(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"))
    ch.basic_consume(queue=s.name("q"), consumer_tag="t", arguments=EVERY_TYPE)


@scenario
def booleans_that_are_not_0_or_1(s):
    echo(s, {"a": tables.Typed("t", b"\x02"), "b": tables.Typed("t", b"\xff")})


@scenario
def booleans_that_are_not_0_or_1_written_anew(s):
    echo(s, {"a": tables.Typed("t", b"\x02"), "BCC": []})


@scenario
def not_a_number_and_infinity(s):
    nan, infinity = float("nan"), float("inf")
    echo(s, {"a": tables.float64(infinity), "b": tables.float64(nan), "c": tables.float32(nan)})


@scenario
def negative_zero(s):
    echo(s, {"a": tables.float64(-0.0), "b": tables.float32(-0.0)})


@scenario
def keys_of_128_and_of_255_octets(s):
    echo(s, {"k" * 128: 1, "l" * 255: 2})


@scenario
def empty_key(s):
    echo(s, {"": "empty"})


@scenario
def key_that_is_not_utf8(s):
    echo(s, tables.encode_table([(b"\xff\xfe", 1)]))


@scenario
def keys_are_case_sensitive(s):
    echo(s, {"a": 1, "A": 2})


@scenario
def nested_tables_32_deep(s):
    value = {"bottom": 1}
    for _ in range(32):
        value = {"n": value}
    echo(s, value)


@scenario
def many_keys(s):
    echo(s, {f"key{number}": number for number in range(500)})


@scenario
def value_of_100000_octets(s):
    echo(s, {"long": "x" * 100000})


@scenario
def order_of_keys_is_kept(s):
    echo(s, [("z", 1), ("a", 2), ("m", 3)])


@scenario
def order_of_keys_written_anew(s):
    echo(s, [("z", 1), ("a", 2), ("BCC", []), ("m", 3), ("a", 4)])


@scenario
def table_of_an_unknown_type(s):
    """RabbitMQ's channel process fails on it; it may leave the client without an answer."""
    c = s.connect()
    ch = c.channel()
    arguments = tables.encode_table({"a": tables.Typed("?", b"\0")})
    ch.send("queue_declare", queue="differential", arguments=arguments)
    c.until_closed(timeout_s=3)


@scenario
def table_shorter_than_its_length(s):
    c = s.connect()
    ch = c.channel()
    ch.send("queue_declare", queue="differential", arguments=b"\0\0\0\x10\x01a")
    c.until_closed(timeout_s=3)


@scenario
def string_longer_than_its_table(s):
    c = s.connect()
    ch = c.channel()
    inside = b"\x01aS\0\0\0\xffshort"
    ch.send("queue_declare", queue="differential", arguments=tables.encode_value(inside)[1:])
    c.until_closed(timeout_s=3)
