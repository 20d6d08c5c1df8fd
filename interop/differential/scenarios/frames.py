"""Malformed, oversized and misplaced frames on an open connection."""

import struct

from harness import wire
from harness.registry import scenario

METHOD, HEADER, BODY, HEARTBEAT = (
    wire.FRAME_METHOD, wire.FRAME_HEADER, wire.FRAME_BODY, wire.FRAME_HEARTBEAT)


def method(key, **fields):
    return wire.encode_method(wire.method(key, **fields))


def sends(s, *frames, timeout_s=5.0):
    """Opens channel 1, sends the frames as (type, channel, payload), reads to the end."""
    c = s.connect()
    ch = c.channel(1)
    for kind, channel, payload in frames:
        c.send_frame(kind, channel, payload)
    c.read_on(timeout_s)
    ch.take_all()
    c.until_closed(timeout_s=0)


PUBLISH = (METHOD, 1, method("basic_publish", routing_key="nobody"))
HEADER_OF_5 = (HEADER, 1, wire.encode_header(5, {}))


@scenario
def body_where_a_method_is_due(s):
    sends(s, (BODY, 1, b"body"))


@scenario
def header_where_a_method_is_due(s):
    sends(s, HEADER_OF_5)


@scenario
def method_where_a_header_is_due(s):
    sends(s, PUBLISH, PUBLISH)


@scenario
def body_where_a_header_is_due(s):
    sends(s, PUBLISH, (BODY, 1, b"body"))


@scenario
def method_where_a_body_is_due(s):
    sends(s, PUBLISH, HEADER_OF_5, PUBLISH)


@scenario
def header_where_a_body_is_due(s):
    sends(s, PUBLISH, HEADER_OF_5, HEADER_OF_5)


@scenario
def header_of_another_class(s):
    sends(s, PUBLISH, (HEADER, 1, wire.encode_header(5, {}, class_id=20)))


@scenario
def close_where_a_header_is_due(s):
    """A client may give up in the middle of a publish."""
    sends(s, PUBLISH, (METHOD, 1, method("channel_close", reply_code=200, reply_text="")))


@scenario
def close_of_the_connection_in_the_middle_of_a_publish(s):
    c = s.connect()
    c.channel(1)
    c.send_frame(*PUBLISH)
    c.send("connection_close", reply_code=200, reply_text="")
    c.wait("connection_close_ok")


@scenario
def another_channel_in_the_middle_of_a_publish(s):
    c = s.connect()
    one, two = c.channel(1), c.channel(2)
    q = s.name("q")
    two.queue_declare(queue=q)
    c.send_frame(METHOD, 1, method("basic_publish", routing_key="nobody"))
    two.publish("", q, "x")
    two.basic_get(queue=q, no_ack=True)
    c.send_frame(*HEADER_OF_5)
    two.sync()
    c.send_frame(BODY, 1, b"12345")
    one.sync()


@scenario
def heartbeat_in_the_middle_of_a_publish(s):
    c = s.connect()
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.send("basic_publish", routing_key=q)
    c.send_frame(HEARTBEAT, 0, b"")
    ch.send_payload(HEADER, wire.encode_header(5, {}), "header of 5 octets")
    c.send_frame(HEARTBEAT, 0, b"")
    ch.send_payload(BODY, b"12345", "body")
    ch.basic_get(queue=q, no_ack=True)


@scenario(seconds=1)
def body_longer_than_its_size(s):
    """RabbitMQ says nothing; the publish never happens."""
    c = s.connect()
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.send("basic_publish", routing_key=q)
    ch.send_payload(HEADER, wire.encode_header(5, {}), "header of 5 octets")
    ch.send_payload(BODY, b"1234567", "body of 7 octets")
    c.until_closed(timeout_s=1)
    s.drain(q)


@scenario
def empty_body_frame_before_the_body(s):
    c = s.connect()
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.send("basic_publish", routing_key=q)
    ch.send_payload(HEADER, wire.encode_header(5, {}), "header of 5 octets")
    ch.send_payload(BODY, b"", "empty body")
    ch.send_payload(BODY, b"12345", "body")
    ch.basic_get(queue=q, no_ack=True)


@scenario
def body_frame_after_an_empty_message(s):
    sends(s, PUBLISH, (HEADER, 1, wire.encode_header(0, {})), (BODY, 1, b""))


@scenario
def header_too_short(s):
    sends(s, PUBLISH, (HEADER, 1, b"\0\x3c\0\0\0\0"))


@scenario
def header_with_properties_cut_off(s):
    header = wire.encode_header(1, {"content_type": "text/plain"})[:-4]
    sends(s, PUBLISH, (HEADER, 1, header), (BODY, 1, b"x"), timeout_s=1)


@scenario
def header_of_an_enormous_size(s):
    sends(s, PUBLISH, (HEADER, 1, wire.encode_header(1 << 40, {})), timeout_s=1)


@scenario
def header_of_the_largest_size(s):
    sends(s, PUBLISH, (HEADER, 1, wire.encode_header((1 << 64) - 1, {})), timeout_s=1)


@scenario
def unknown_frame_type_0(s):
    sends(s, (0, 1, b"12345"))


@scenario
def unknown_frame_type_4(s):
    sends(s, (4, 0, b"12345"))


@scenario
def unknown_frame_type_5(s):
    sends(s, (5, 1, b"12345"))


@scenario
def unknown_frame_type_255_binary(s):
    sends(s, (255, 1, b"\0\1\2\xff"))


@scenario
def unknown_frame_type_without_payload(s):
    sends(s, (5, 1, b""))


@scenario
def heartbeat_on_channel_1(s):
    sends(s, (HEARTBEAT, 1, b""))


@scenario
def header_on_channel_0(s):
    sends(s, (HEADER, 0, wire.encode_header(5, {})))


@scenario
def body_on_channel_0(s):
    sends(s, (BODY, 0, b"12345"))


@scenario
def body_on_a_channel_never_opened(s):
    sends(s, (BODY, 9, b"12345"))


@scenario
def empty_method_frame(s):
    sends(s, (METHOD, 1, b""))


@scenario
def empty_method_frame_on_channel_0(s):
    sends(s, (METHOD, 0, b""))


@scenario
def method_frame_of_3_octets(s):
    sends(s, (METHOD, 1, b"\0\x3c\0"))


@scenario
def wrong_frame_end(s):
    c = s.connect()
    c.channel(1)
    c.send_frame(METHOD, 1, method("tx_select"), end=b"\0")
    c.until_closed()


@scenario
def wrong_frame_end_on_a_body(s):
    c = s.connect()
    c.channel(1)
    c.send_frame(*PUBLISH)
    c.send_frame(*HEADER_OF_5)
    c.send_frame(BODY, 1, b"12345", end=b"\x41")
    c.until_closed()


@scenario
def frame_over_frame_max(s):
    sends(s, (METHOD, 1, bytes(140000)))


@scenario
def frame_just_over_frame_max(s):
    c = s.connect(frame_max=4096)
    ch = c.channel(1)
    ch.send("basic_publish", routing_key=s.name("nobody"))
    ch.send_payload(HEADER, wire.encode_header(10000, {}), "header of 10000 octets")
    ch.send_payload(BODY, bytes(4097), "body of frame_max + 1 octets")
    c.until_closed()


@scenario
def frame_over_frame_max_by_less_than_its_own_head(s):
    """RabbitMQ lets frames pass that are up to 8 octets over the limit."""
    c = s.connect(frame_max=4096)
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.send("basic_publish", routing_key=q)
    ch.send_payload(HEADER, wire.encode_header(4096, {}), "header of 4096 octets")
    ch.send_payload(BODY, bytes(4096), "body of frame_max octets")
    ch.basic_get(queue=q, no_ack=True)
    c.until_closed(timeout_s=0)


@scenario
def frame_of_exactly_frame_max(s):
    c = s.connect(frame_max=4096)
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.send("basic_publish", routing_key=q)
    ch.send_payload(HEADER, wire.encode_header(5000, {}), "header of 5000 octets")
    ch.send_payload(BODY, bytes(4088), "body of frame_max - 8 octets")
    ch.send_payload(BODY, bytes(912), "body of the rest")
    ch.basic_get(queue=q, no_ack=True)


@scenario
def only_the_head_of_an_oversized_frame(s):
    c = s.connect()
    c.channel(1)
    c.send_raw(struct.pack(">BHI", METHOD, 1, 0xFFFFFFFF))
    c.until_closed()


@scenario
def unknown_class(s):
    sends(s, (METHOD, 1, struct.pack(">HH", 99, 10)))


@scenario
def unknown_method_of_a_known_class(s):
    sends(s, (METHOD, 1, struct.pack(">HH", 50, 99)))


@scenario
def unknown_method_on_channel_0(s):
    sends(s, (METHOD, 0, struct.pack(">HH", 10, 99)))


@scenario
def truncated_method(s):
    sends(s, (METHOD, 1, struct.pack(">HH", 50, 10)))


@scenario
def truncated_method_on_channel_0(s):
    sends(s, (METHOD, 0, struct.pack(">HH", 10, 40)))


@scenario
def method_with_octets_left_over(s):
    sends(s, (METHOD, 1, method("tx_select") + b"more"), timeout_s=0.5)


@scenario
def method_with_undefined_bits(s):
    """Bits of queue.declare beyond the five that are defined."""
    payload = method("queue_declare", queue="differential-bits", exclusive=True)
    payload = payload[:-5] + bytes([payload[-5] | 0xE0]) + payload[-4:]
    sends(s, (METHOD, 1, payload), timeout_s=0.5)


@scenario
def string_that_runs_past_the_end(s):
    sends(s, (METHOD, 1, struct.pack(">HHHB", 50, 10, 0, 200) + b"short"))


def only_from_servers(s, key, **fields):
    sends(s, (METHOD, 1, method(key, **fields)), timeout_s=1)


@scenario
def server_only_channel_open_ok(s):
    only_from_servers(s, "channel_open_ok")


@scenario
def server_only_basic_deliver(s):
    only_from_servers(s, "basic_deliver", consumer_tag="t", delivery_tag=1, redelivered=False,
                      exchange="", routing_key="")


@scenario
def server_only_queue_declare_ok(s):
    only_from_servers(s, "queue_declare_ok", queue="q", message_count=0, consumer_count=0)


@scenario
def server_only_connection_start_on_channel_0(s):
    sends(s, (METHOD, 0, method("connection_tune", channel_max=0, frame_max=0, heartbeat=0)))


@scenario
def connection_blocked_from_the_client(s):
    sends(s, (METHOD, 0, method("connection_blocked", reason="why")))


@scenario
def garbage(s):
    c = s.connect()
    c.channel(1)
    c.send_raw(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n" * 4)
    c.until_closed()


@scenario
def second_protocol_header(s):
    c = s.connect()
    c.channel(1)
    c.send_raw(wire.PROTOCOL_HEADER)
    c.wait("connection_close")
    c.abort()


@scenario
def frame_in_single_octets(s):
    c = s.connect()
    ch = c.channel(1)
    for octet in wire.frame(METHOD, 1, method("tx_select")):
        c.push(bytes([octet]))
    ch.wait("tx_select_ok")


@scenario
def many_methods_in_one_write(s):
    c = s.connect()
    ch = c.channel(1)
    q = s.name("q")
    declare = wire.frame(METHOD, 1, method("queue_declare", queue=q))
    get = wire.frame(METHOD, 1, method("basic_get", queue=q))
    c.send_raw(declare + get * 3 + declare, "declare, three gets and declare in one write")
    for reply in ("queue_declare_ok", *["basic_get_empty"] * 3, "queue_declare_ok"):
        ch.wait(reply)


@scenario
def frames_after_the_brokers_close_are_dropped(s):
    c = s.connect()
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    bad = wire.frame(5, 1, b"bad")
    publish = (wire.frame(METHOD, 1, method("basic_publish", routing_key=q))
               + wire.frame(HEADER, 1, wire.encode_header(1, {})) + wire.frame(BODY, 1, b"x"))
    c.send_raw(bad + publish, "a bad frame and a whole publish in one write")
    c.until_closed()
    s.drain(q)


@scenario
def publish_before_the_bad_frame_counts(s):
    c = s.connect()
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.publish("", q, "good")
    c.send_frame(5, 1, b"bad")
    c.until_closed()
    s.until(q, messages=1)
    s.drain(q)


@scenario
def socket_dropped_in_the_middle_of_a_frame(s):
    c = s.connect()
    ch = c.channel(1)
    q = s.name("q")
    ch.queue_declare(queue=q)
    s.put(q, "a")
    ch.basic_get(queue=q)
    c.send_raw(wire.frame(METHOD, 1, method("basic_ack", delivery_tag=1))[:-3], "most of an ack")
    c.abort()
    s.until(q, messages=1)
    s.drain(q)
