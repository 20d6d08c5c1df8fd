"""basic.publish: returns, refusals, and properties the broker looks at."""

from harness import tables, wire
from harness.registry import scenario
from harness.tables import binary


def with_queue(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    return c, ch, q


@scenario
def to_the_default_exchange(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "hello")
    ch.basic_get(queue=q)


@scenario
def empty_body(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, b"")
    ch.basic_get(queue=q)


@scenario
def body_of_every_octet(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, bytes(range(256)))
    ch.basic_get(queue=q)


@scenario
def unroutable_is_dropped(s):
    _, ch, _ = with_queue(s)
    ch.publish("", s.name("nobody"), "x")
    ch.publish("amq.direct", s.name("nobody"), "x")
    ch.quiet()


@scenario
def mandatory_unroutable_comes_back_whole(s):
    _, ch, _ = with_queue(s)
    ch.publish("amq.direct", s.name("nobody"), "body", mandatory=True, content_type="text/plain",
               headers={"a": 1}, message_id="m", delivery_mode=2)
    ch.sync()


@scenario
def mandatory_unroutable_with_an_empty_body(s):
    _, ch, _ = with_queue(s)
    ch.publish("", s.name("nobody"), b"", mandatory=True)
    ch.sync()


@scenario
def mandatory_routable_does_not_come_back(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", mandatory=True)
    ch.quiet()


@scenario
def returns_keep_their_order(s):
    _, ch, q = with_queue(s)
    for body in ("a", "b", "c"):
        ch.publish("amq.direct", s.name("nobody"), body, mandatory=True)
        ch.publish("", q, body, mandatory=True)
    ch.sync()


@scenario
def immediate(s):
    c, ch, q = with_queue(s)
    ch.publish("", q, "x", immediate=True)
    c.until_closed()


@scenario
def immediate_and_mandatory(s):
    c, ch, q = with_queue(s)
    ch.publish("", q, "x", immediate=True, mandatory=True)
    c.until_closed()


@scenario
def missing_exchange(s):
    _, ch, _ = with_queue(s)
    ch.publish(s.name("x"), "k", "x")
    ch.wait("channel_close")


@scenario
def missing_exchange_and_mandatory(s):
    _, ch, _ = with_queue(s)
    ch.publish(s.name("x"), "k", "x", mandatory=True)
    ch.wait("channel_close")


@scenario
def exchange_deleted_meanwhile(s):
    c, ch, _ = with_queue(s)
    x = s.name("x")
    ch.exchange_declare(exchange=x)
    ch.publish(x, "k", "x")
    ch.exchange_delete(exchange=x)
    ch.publish(x, "k", "x")
    ch.wait("channel_close")
    c.channel().sync()


@scenario
def routing_key_of_255_octets(s):
    _, ch, q = with_queue(s)
    key = "k" * 255
    ch.queue_bind(queue=q, exchange="amq.topic", routing_key=s.name("k", length=255))
    ch.publish("amq.topic", s.name("k", length=255), "x", mandatory=True)
    ch.publish("amq.topic", key, "x", mandatory=True)
    ch.sync()


# Properties


@scenario
def all_properties(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", content_type="text/plain", content_encoding="gzip", headers={"a": 1},
               delivery_mode=2, priority=5, correlation_id="c", reply_to="r", expiration="60000",
               message_id="m", timestamp=1700000000, message_type="t", user_id="guest",
               app_id="a", cluster_id="z")
    ch.basic_get(queue=q)


@scenario
def properties_present_but_empty(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", content_type="", content_encoding="", headers={}, correlation_id="",
               reply_to="", message_id="", message_type="", app_id="", cluster_id="")
    ch.basic_get(queue=q)


@scenario
def odd_delivery_modes(s):
    c, _, q = with_queue(s)
    for mode in (0, 1, 2, 3, 255):
        ch = c.renew(2)
        ch.publish("", q, "x", delivery_mode=mode)
        ch.basic_get(queue=q, no_ack=True)


@scenario
def odd_priorities(s):
    _, ch, q = with_queue(s)
    for priority in (0, 9, 10, 255):
        ch.publish("", q, "x", priority=priority)
        ch.basic_get(queue=q, no_ack=True)


@scenario
def timestamp_far_away(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", timestamp=(1 << 64) - 1)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def user_id_is_the_login(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", user_id="guest")
    ch.basic_get(queue=q, no_ack=True)


@scenario
def user_id_of_another(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", user_id="other")
    ch.wait("channel_close")


@scenario
def user_id_empty(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", user_id="")
    ch.wait("channel_close", timeout_s=1)


@scenario
def user_id_of_another_to_a_missing_exchange(s):
    _, ch, _ = with_queue(s)
    ch.publish(s.name("x"), "k", "x", user_id="other")
    ch.wait("channel_close")


def expiration(s, text):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", expiration=text)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def expiration_valid(s):
    expiration(s, "100000")


@scenario
def expiration_with_leading_zeros(s):
    expiration(s, "000100000")


@scenario
def expiration_with_a_plus_sign(s):
    expiration(s, "+100000")


@scenario
def expiration_word(s):
    expiration(s, "foo")


@scenario
def expiration_empty(s):
    expiration(s, "")


@scenario
def expiration_negative(s):
    expiration(s, "-1")


@scenario
def expiration_leftover(s):
    expiration(s, "10000foobar")


@scenario
def expiration_with_a_space_before(s):
    expiration(s, " 10000")


@scenario
def expiration_with_a_fraction(s):
    expiration(s, "1.5")


@scenario
def expiration_around_32_bits(s):
    c, _, q = with_queue(s)
    for text in ("4294967295", "4294967296", "9999999999"):
        ch = c.renew()
        ch.publish("", q, "x", expiration=text)
        ch.basic_get(queue=q, no_ack=True)


@scenario
def expiration_of_ten_years(s):
    expiration(s, "315360000000")


@scenario
def expiration_of_ten_years_and_a_millisecond(s):
    expiration(s, "315360000001")


@scenario
def expiration_enormous(s):
    expiration(s, "9" * 40)


@scenario
def expiration_invalid_to_a_missing_exchange(s):
    _, ch, _ = with_queue(s)
    ch.publish(s.name("x"), "k", "x", expiration="foo")
    ch.wait("channel_close")


# CC and BCC


def two_queues(s):
    c = s.connect()
    ch = c.channel()
    a, b = s.name("a"), s.name("b")
    ch.queue_declare(queue=a)
    ch.queue_declare(queue=b)
    return ch, a, b


def get_both(ch, a, b):
    for q in (a, b):
        ch.basic_get(queue=q, no_ack=True)
        ch.basic_get(queue=q, no_ack=True)


@scenario
def cc_adds_a_queue(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"CC": [b], "other": 1})
    get_both(ch, a, b)


@scenario
def bcc_adds_a_queue_and_is_removed(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"BCC": [b], "other": 1})
    get_both(ch, a, b)


@scenario
def bcc_alone_leaves_empty_headers(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"BCC": [b]}, message_id="m")
    get_both(ch, a, b)


@scenario
def cc_and_bcc_with_duplicates_make_one_copy(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"CC": [a, b, b], "BCC": [a, b]})
    get_both(ch, a, b)


@scenario
def cc_routes_what_the_key_does_not(s):
    ch, a, b = two_queues(s)
    ch.publish("", s.name("nobody"), "x", mandatory=True, headers={"CC": [a]})
    get_both(ch, a, b)


@scenario
def bcc_in_what_is_returned(s):
    ch, _, _ = two_queues(s)
    ch.publish("", s.name("nobody"), "x", mandatory=True,
               headers={"CC": [s.name("n1")], "BCC": [s.name("n2")]})
    ch.sync()


@scenario
def cc_with_topic_and_direct(s):
    ch, a, b = two_queues(s)
    ch.queue_bind(queue=a, exchange="amq.topic", routing_key=a + ".*")
    ch.queue_bind(queue=b, exchange="amq.topic", routing_key=b + ".#")
    ch.publish("amq.topic", s.name("nobody"), "x", headers={"CC": [a + ".1", b]})
    get_both(ch, a, b)


@scenario
def cc_with_fanout_makes_one_copy(s):
    ch, a, b = two_queues(s)
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type="fanout")
    ch.queue_bind(queue=a, exchange=x)
    ch.publish(x, "", "x", headers={"CC": ["k", b]})
    get_both(ch, a, b)


@scenario
def cc_is_no_array(s):
    ch, a, _ = two_queues(s)
    ch.publish("", a, "x", headers={"CC": 99})
    ch.wait("channel_close")


@scenario
def cc_is_a_string(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"CC": b})
    ch.wait("channel_close")


@scenario
def bcc_is_no_array(s):
    ch, a, _ = two_queues(s)
    ch.publish("", a, "x", headers={"BCC": {"a": 1}})
    ch.wait("channel_close")


@scenario
def cc_with_elements_that_are_no_strings(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"CC": [1, b, None, binary(b"x")]})
    get_both(ch, a, b)


@scenario
def cc_empty_array(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"CC": [], "BCC": []})
    get_both(ch, a, b)


@scenario
def cc_in_lower_case_is_nothing_special(s):
    ch, a, b = two_queues(s)
    ch.publish("", a, "x", headers={"cc": [b]})
    get_both(ch, a, b)


@scenario
def body_in_many_small_frames(s):
    _, ch, q = with_queue(s)
    ch.send("basic_publish", routing_key=q)
    ch.send_payload(wire.FRAME_HEADER, wire.encode_header(10, {}), "header of 10 octets")
    for octet in b"0123456789":
        ch.send_payload(wire.FRAME_BODY, bytes([octet]), f"body {octet:c}")
    ch.basic_get(queue=q)


@scenario
def header_with_a_weight(s):
    _, ch, q = with_queue(s)
    ch.send("basic_publish", routing_key=q)
    ch.send_payload(wire.FRAME_HEADER, wire.encode_header(1, {}, weight=5), "header, weight 5")
    ch.send_payload(wire.FRAME_BODY, b"x", "body")
    ch.basic_get(queue=q)


@scenario
def undefined_bits_in_property_flags(s):
    _, ch, q = with_queue(s)
    header = wire.encode_header(1, {"content_type": "a"})
    header = header[:12] + bytes([header[12], header[13] | 0x02]) + header[14:]
    ch.send("basic_publish", routing_key=q)
    ch.send_payload(wire.FRAME_HEADER, header, "header with an undefined flag")
    ch.send_payload(wire.FRAME_BODY, b"x", "body")
    ch.basic_get(queue=q)


@scenario
def header_table_with_a_key_twice(s):
    _, ch, q = with_queue(s)
    ch.publish("", q, "x", headers=tables.encode_table([("a", 1), ("b", 2), ("a", 3)]))
    ch.basic_get(queue=q)


@scenario
def to_another_connections_exclusive_queue(s):
    owner = s.channel()
    q = s.name("q")
    owner.queue_declare(queue=q, exclusive=True)
    ch = s.channel()
    ch.publish("", q, "x", mandatory=True)
    ch.sync()
    owner.basic_get(queue=q)
