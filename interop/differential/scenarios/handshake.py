"""From the protocol header to connection.open-ok, and every way to get that wrong.

RabbitMQ waits about three seconds before it drops a connection that misbehaves before it is open;
such scenarios say `seconds=3`.
"""

from harness import normalise, tables, wire
from harness.driver import CLIENT_PROPERTIES
from harness.registry import scenario

WITHOUT_CAPABILITIES = {"product": "differential"}


def started(s):
    """A connection that has been greeted and has not answered yet."""
    c = s.tcp()
    c.send_raw(wire.PROTOCOL_HEADER, "protocol header")
    c.wait("connection_start")
    return c


def tuned(s):
    """A connection that is logged in and has been offered limits."""
    c = started(s)
    start_ok(c)
    c.wait("connection_tune")
    return c


def start_ok(c, response="\0guest\0guest", mechanism="PLAIN", properties=None, locale="en_US"):
    c.send("connection_start_ok", client_properties=properties or CLIENT_PROPERTIES,
           mechanism=mechanism, response=response, locale=locale)


def answer_to_header(s, octets):
    c = s.tcp()
    c.send_raw(octets)
    c.until_closed()


@scenario
def what_the_broker_says_of_itself(s):
    """The one place where the server properties are written down."""
    c = s.tcp()
    c.send_raw(wire.PROTOCOL_HEADER, "protocol header")
    start = c.wait("connection_start")
    s.note(normalise.server_properties(start.server_properties))
    s.note(f"mechanisms {start.mechanisms}")


@scenario
def whole_handshake_and_orderly_close(s):
    s.connect(log=True).close()


@scenario(seconds=1)
def who_ends_the_socket_after_close_ok(s):
    c = s.connect()
    c.send("connection_close", reply_code=200, reply_text="bye")
    c.wait("connection_close_ok")
    c.until_closed(timeout_s=1)


@scenario
def header_of_another_protocol(s):
    answer_to_header(s, b"HTTP/1.1")


@scenario
def header_amqp_1_1_0_8(s):
    answer_to_header(s, b"AMQP\x01\x01\x00\x08")


@scenario
def header_amqp_1_0(s):
    answer_to_header(s, b"AMQP\x00\x01\x00\x00")


@scenario
def header_amqp_1_0_sasl(s):
    answer_to_header(s, b"AMQP\x03\x01\x00\x00")


@scenario
def header_amqp_0_10(s):
    answer_to_header(s, b"AMQP\x01\x01\x00\x0a")


@scenario
def header_amqp_0_9_is_served(s):
    c = s.tcp()
    c.send_raw(b"AMQP\x01\x01\x00\x09")
    c.wait("connection_start")


@scenario
def header_amqp_0_9_1_in_its_odd_form_is_served(s):
    c = s.tcp()
    c.send_raw(b"AMQP\x01\x01\x09\x01")
    c.wait("connection_start")


@scenario
def header_all_zero(s):
    answer_to_header(s, bytes(8))


@scenario
def header_of_tls(s):
    answer_to_header(s, b"\x16\x03\x01\x02\x00\x01\x00\x01")


@scenario
def header_sent_an_octet_at_a_time(s):
    c = s.tcp()
    for octet in wire.PROTOCOL_HEADER:
        c.send_raw(bytes([octet]))
    c.wait("connection_start")


@scenario
def all_of_it_in_one_write(s):
    c = s.tcp()
    parts = [
        wire.method("connection_start_ok", client_properties=CLIENT_PROPERTIES,
                    mechanism="PLAIN", response="\0guest\0guest"),
        wire.method("connection_tune_ok", channel_max=2047, frame_max=131072, heartbeat=0),
        wire.method("connection_open", virtual_host="/"),
    ]
    frames = [wire.frame(wire.FRAME_METHOD, 0, wire.encode_method(it)) for it in parts]
    frames.append(wire.frame(wire.FRAME_METHOD, 1, wire.encode_method(wire.method("channel_open"))))
    c.send_raw(wire.PROTOCOL_HEADER + b"".join(frames), "header, start-ok, tune-ok, open, channel")
    c.wait("connection_open_ok")
    c.bare_channel(1).wait("channel_open_ok")


@scenario
def login_with_amqplain(s):
    credentials = tables.encode_table({"LOGIN": "guest", "PASSWORD": "guest"})[4:]
    s.connect(log=True, mechanism="AMQPLAIN", response=credentials)


@scenario
def login_with_amqplain_keys_in_the_other_order(s):
    credentials = tables.encode_table({"PASSWORD": "guest", "x": 1, "LOGIN": "guest"})[4:]
    s.connect(log=True, mechanism="AMQPLAIN", response=credentials)


@scenario(seconds=1)
def login_with_amqplain_without_password(s):
    c = started(s)
    start_ok(c, tables.encode_table({"LOGIN": "guest"})[4:], "AMQPLAIN")
    c.until_closed()


@scenario(seconds=1)
def login_with_amqplain_wrong_password(s):
    c = started(s)
    start_ok(c, tables.encode_table({"LOGIN": "guest", "PASSWORD": "no"})[4:], "AMQPLAIN")
    c.until_closed()


@scenario(seconds=1)
def login_with_amqplain_garbage(s):
    c = started(s)
    start_ok(c, b"garbage", "AMQPLAIN")
    c.until_closed()


@scenario(seconds=1)
def login_wrong_password(s):
    c = started(s)
    start_ok(c, "\0guest\0wrong")
    c.until_closed()


@scenario(seconds=1)
def login_unknown_user(s):
    c = started(s)
    start_ok(c, "\0nobody\0guest")
    c.until_closed()


@scenario(seconds=3)
def login_wrong_password_without_the_capability(s):
    c = started(s)
    start_ok(c, "\0guest\0wrong", properties=WITHOUT_CAPABILITIES)
    c.until_closed()


@scenario(seconds=1)
def login_empty_response(s):
    c = started(s)
    start_ok(c, "")
    c.until_closed()


@scenario(seconds=1)
def login_plain_without_separators(s):
    c = started(s)
    start_ok(c, "guest")
    c.until_closed()


@scenario
def login_plain_with_authorisation_identity(s):
    s.connect(log=True, response="someone\0guest\0guest")


@scenario(seconds=1)
def login_plain_with_a_third_separator(s):
    c = started(s)
    start_ok(c, "\0guest\0guest\0more")
    c.until_closed()


@scenario(seconds=3)
def login_unknown_mechanism(s):
    c = started(s)
    start_ok(c, mechanism="GSSAPI")
    c.until_closed()


@scenario(seconds=3)
def login_mechanism_in_lower_case(s):
    c = started(s)
    start_ok(c, mechanism="plain")
    c.until_closed()


@scenario(seconds=3)
def login_external(s):
    c = started(s)
    start_ok(c, "", mechanism="EXTERNAL")
    c.until_closed()


@scenario
def another_locale_is_taken(s):
    c = started(s)
    start_ok(c, locale="de_CH")
    c.wait("connection_tune")


@scenario
def client_properties_of_every_type(s):
    s.connect(log=True, properties=CLIENT_PROPERTIES | {
        "t": True, "b": tables.int8(-1), "B": tables.uint8(200), "s": tables.int16(-2),
        "u": tables.uint16(60000), "I": 5, "i": tables.uint32(1 << 31), "l": 1 << 40,
        "f": tables.float32(1.5), "d": 2.5, "D": tables.decimal(2, 314), "S": "text",
        "A": [1, "a", [2]], "T": tables.timestamp(0), "F": {"a": {"b": 1}}, "V": None,
        "x": tables.binary(b"\0\xff"),
    })


@scenario
def client_capabilities_of_a_wrong_type(s):
    s.connect(log=True, properties={"capabilities": "all of them"})


@scenario(seconds=3)
def client_properties_over_4096_octets(s):
    c = started(s)
    start_ok(c, properties=CLIENT_PROPERTIES | {"long": "x" * 5000})
    c.until_closed()


@scenario(seconds=3)
def client_properties_with_an_unknown_field_type(s):
    c = started(s)
    start_ok(c, properties=tables.encode_table({"odd": tables.Typed("?", b"\0\0\0\0")}))
    c.until_closed()


@scenario(seconds=3)
def vhost_missing(s):
    c = tuned(s)
    c.send("connection_tune_ok", channel_max=2047, frame_max=131072, heartbeat=0)
    c.send("connection_open", virtual_host="nope")
    c.until_closed()


@scenario(seconds=3)
def vhost_empty(s):
    c = tuned(s)
    c.send("connection_tune_ok", channel_max=2047, frame_max=131072, heartbeat=0)
    c.send("connection_open", virtual_host="")
    c.until_closed()


@scenario
def open_with_capabilities_and_insist(s):
    c = tuned(s)
    c.send("connection_tune_ok", channel_max=2047, frame_max=131072, heartbeat=0)
    c.send("connection_open", virtual_host="/", capabilities="some", insist=True)
    c.wait("connection_open_ok")


def bad_tune(s, **limits):
    c = tuned(s)
    usual = {"channel_max": 2047, "frame_max": 131072, "heartbeat": 0}
    c.send("connection_tune_ok", **(usual | limits))
    c.send("connection_open", virtual_host="/")
    c.until_closed()


@scenario(seconds=3)
def tune_frame_max_100(s):
    bad_tune(s, frame_max=100)


@scenario(seconds=3)
def tune_frame_max_4095(s):
    bad_tune(s, frame_max=4095)


@scenario(seconds=3)
def tune_frame_max_above_the_offer(s):
    bad_tune(s, frame_max=131073)


@scenario(seconds=3)
def tune_channel_max_above_the_offer(s):
    bad_tune(s, channel_max=2048)


@scenario(seconds=3)
def tune_frame_max_0(s):
    """No limit is more than RabbitMQ offered, unless it is configured to have none."""
    bad_tune(s, frame_max=0)


@scenario(seconds=3)
def tune_channel_max_0(s):
    bad_tune(s, channel_max=0)


@scenario
def tune_frame_max_4096(s):
    c = s.connect(log=True, frame_max=4096)
    c.channel().sync()


@scenario
def tune_channel_max_1(s):
    c = s.connect(log=True, channel_max=1)
    c.channel(1)
    c.bare_channel(2).channel_open()
    c.until_closed()


@scenario
def tune_channel_max_2_but_a_high_number(s):
    c = s.connect(log=True, channel_max=2)
    c.channel(1000).sync()
    c.channel(2).sync()


@scenario
def tune_heartbeat_above_the_offer(s):
    c = s.connect(log=True, heartbeat=600)
    c.channel().sync()


@scenario(seconds=3)
def open_before_start_ok(s):
    c = started(s)
    c.send("connection_open", virtual_host="/")
    c.until_closed()


@scenario(seconds=3)
def tune_ok_before_start_ok(s):
    c = started(s)
    c.send("connection_tune_ok", channel_max=0, frame_max=0, heartbeat=0)
    c.until_closed()


@scenario(seconds=3)
def open_before_tune_ok(s):
    c = tuned(s)
    c.send("connection_open", virtual_host="/")
    c.until_closed()


@scenario(seconds=3)
def start_ok_twice(s):
    c = tuned(s)
    start_ok(c)
    c.until_closed()


@scenario(seconds=3)
def secure_ok_unasked(s):
    c = started(s)
    c.send("connection_secure_ok", response="x")
    c.until_closed()


@scenario(seconds=3)
def channel_open_before_connection_open(s):
    c = tuned(s)
    c.send("connection_tune_ok", channel_max=2047, frame_max=131072, heartbeat=0)
    c.bare_channel(1).send("channel_open")
    c.until_closed()


@scenario(seconds=3)
def channel_open_before_start_ok(s):
    c = started(s)
    c.bare_channel(1).send("channel_open")
    c.until_closed()


@scenario(seconds=3)
def close_before_start_ok(s):
    c = started(s)
    c.send("connection_close", reply_code=200, reply_text="never mind")
    c.until_closed()


@scenario(seconds=3)
def close_before_open(s):
    c = tuned(s)
    c.send("connection_close", reply_code=200, reply_text="never mind")
    c.until_closed()


@scenario(seconds=3)
def heartbeat_before_start_ok(s):
    c = started(s)
    c.send_frame(wire.FRAME_HEARTBEAT, 0, b"")
    start_ok(c)
    c.wait("connection_tune")


@scenario(seconds=3)
def frame_of_unknown_type_before_start_ok(s):
    c = started(s)
    c.send_frame(7, 0, b"12345")
    c.until_closed()


@scenario(seconds=3)
def wrong_frame_end_before_start_ok(s):
    c = started(s)
    payload = wire.encode_method(wire.method(
        "connection_start_ok", client_properties={}, mechanism="PLAIN", response="\0guest\0guest"))
    c.send_frame(wire.FRAME_METHOD, 0, payload, end=b"\x00")
    c.until_closed()


@scenario
def open_twice(s):
    c = s.connect()
    c.send("connection_open", virtual_host="/")
    c.until_closed()


@scenario
def tune_ok_when_open(s):
    c = s.connect()
    c.send("connection_tune_ok", channel_max=0, frame_max=0, heartbeat=0)
    c.until_closed()


@scenario
def start_ok_when_open(s):
    c = s.connect()
    c.send("connection_start_ok", client_properties={}, mechanism="PLAIN", response="")
    c.until_closed()


@scenario
def close_ok_unasked(s):
    c = s.connect()
    c.send("connection_close_ok")
    c.until_closed()


@scenario
def close_with_channels_open(s):
    c = s.connect()
    c.channel().queue_declare(queue=s.name("q"), exclusive=True)
    c.channel()
    c.close()


@scenario
def close_twice(s):
    c = s.connect()
    method = wire.encode_method(wire.method("connection_close", reply_code=200, reply_text=""))
    twice = wire.frame(wire.FRAME_METHOD, 0, method) * 2
    c.send_raw(twice, "connection.close twice in one write")
    c.wait("connection_close_ok")
    c.until_closed(timeout_s=0.5)


@scenario
def frames_after_close_are_dropped(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    close = wire.encode_method(wire.method("connection_close", reply_code=200, reply_text=""))
    declare = wire.encode_method(wire.method("queue_declare", queue=q))
    c.send_raw(wire.frame(wire.FRAME_METHOD, 0, close)
               + wire.frame(wire.FRAME_METHOD, 1, declare), "close, then a declare on channel 1")
    c.wait("connection_close_ok")
    c.read_on(0.2)
    ch.take_all()
    c.abort()
    s.until_gone(q)


@scenario
def update_secret(s):
    c = s.connect()
    c.send("connection_update_secret", new_secret="guest", reason="renewed")
    c.wait("connection_update_secret_ok")


@scenario(seconds=3)
def heartbeats_are_sent_when_idle(s):
    c = s.connect(heartbeat=1)
    ch = c.channel()
    for _ in range(3):
        ch.quiet(for_s=1.2)
        c.push(wire.frame(wire.FRAME_HEARTBEAT, 0, b""))
    s.note(f"heartbeats came: {c.heartbeats > 0}")


@scenario(seconds=4)
def silent_client_is_cut(s):
    c = s.connect(heartbeat=1)
    c.until_closed(timeout_s=8)


@scenario
def heartbeat_when_none_was_agreed(s):
    c = s.connect(heartbeat=0)
    ch = c.channel()
    c.send_frame(wire.FRAME_HEARTBEAT, 0, b"")
    ch.queue_declare(queue=s.name("q"), exclusive=True)


@scenario
def heartbeat_with_a_payload(s):
    c = s.connect()
    c.send_frame(wire.FRAME_HEARTBEAT, 0, b"beat")
    c.channel().queue_declare(queue=s.name("q"), exclusive=True)
    c.until_closed(timeout_s=0.3)
