"""channel.open, close, flow; numbers and their reuse."""

from harness import wire
from harness.registry import scenario


@scenario
def open_and_close(s):
    c = s.connect()
    ch = c.bare_channel(1)
    ch.channel_open()
    ch.channel_close(200, "bye", 0, 0)


@scenario
def open_with_out_of_band_text(s):
    ch = s.connect().bare_channel(1)
    ch.channel_open(out_of_band="abc")


@scenario
def number_is_free_again_after_close(s):
    c = s.connect()
    ch = c.channel(7)
    ch.close()
    again = c.channel(7)
    again.queue_declare(queue=s.name("q"), exclusive=True)


@scenario
def number_is_free_again_after_an_error(s):
    c = s.connect()
    c.channel(3).queue_declare(queue=s.name("missing"), passive=True)
    c.channel(3).queue_declare(queue=s.name("q"), exclusive=True)


@scenario
def open_twice(s):
    c = s.connect()
    c.channel(1)
    c.bare_channel(1).channel_open()
    c.until_closed()


@scenario
def method_on_a_channel_never_opened(s):
    c = s.connect()
    c.bare_channel(1).queue_declare(queue=s.name("q"))
    c.until_closed()


@scenario
def method_on_a_closed_channel(s):
    c = s.connect()
    c.channel(1).close()
    c.bare_channel(1).queue_declare(queue=s.name("q"))
    c.until_closed()


@scenario
def close_on_a_channel_never_opened(s):
    c = s.connect()
    c.bare_channel(5).channel_close(200, "bye", 0, 0)
    c.until_closed(timeout_s=0.5)


@scenario
def close_ok_on_a_channel_never_opened(s):
    c = s.connect()
    c.bare_channel(5).channel_close_ok()
    c.until_closed(timeout_s=1)


@scenario
def close_ok_unasked(s):
    c = s.connect()
    ch = c.channel(1)
    ch.channel_close_ok()
    ch.quiet()


@scenario
def channel_method_on_channel_0(s):
    c = s.connect()
    c.send("channel_open")
    c.until_closed()


@scenario
def queue_method_on_channel_0(s):
    c = s.connect()
    c.send("queue_declare", queue=s.name("q"))
    c.until_closed()


@scenario
def connection_method_on_channel_1(s):
    c = s.connect()
    ch = c.channel(1)
    ch.send("connection_close", reply_code=200, reply_text="bye")
    c.until_closed()


@scenario
def flow_active(s):
    s.channel().channel_flow(active=True)


@scenario
def flow_inactive(s):
    c = s.connect()
    c.channel().channel_flow(active=False)
    c.until_closed()


@scenario
def flow_ok_unasked(s):
    c = s.connect()
    ch = c.channel()
    ch.channel_flow_ok(active=True)
    ch.quiet()


@scenario
def error_on_one_channel_leaves_the_others(s):
    c = s.connect()
    one, two = c.channel(1), c.channel(2)
    q = s.name("q")
    two.queue_declare(queue=q)
    one.queue_declare(queue=s.name("missing"), passive=True)
    two.queue_declare(queue=q)
    two.publish("", q, "x")
    two.basic_get(queue=q, no_ack=True)


@scenario
def what_is_in_flight_after_an_error_is_absorbed(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    ch.publish(s.name("missing"), "k", "lost")
    for body in ("a", "b", "c"):
        ch.publish("", q, body)
    ch.wait("channel_close")
    s.drain(q)


@scenario
def methods_after_the_error_do_nothing(s):
    c = s.connect()
    ch = c.channel()
    q = s.name("q")
    ch.send("queue_declare", queue=s.name("missing"), passive=True)
    ch.send("queue_declare", queue=q)
    ch.wait("channel_close")
    c.channel(1).queue_declare(queue=q, passive=True)


@scenario
def close_while_closing(s):
    """Both ends close at once: the client's close crosses the broker's."""
    c = s.connect()
    ch = c.channel(1)
    ch.send("queue_declare", queue=s.name("missing"), passive=True)
    ch.send("channel_close", reply_code=200, reply_text="bye")
    ch.wait("channel_close_ok")
    c.channel(2).quiet()


@scenario
def many_channels(s):
    c = s.connect()
    for number in range(1, 101):
        c.channel(number)
    c.channels[100].queue_declare(queue=s.name("q"), exclusive=True)
    c.close()


@scenario
def highest_number(s):
    c = s.connect()
    c.channel(65535).queue_declare(queue=s.name("q"), exclusive=True)


@scenario
def number_above_channel_max(s):
    c = s.connect()
    c.channel(2048).queue_declare(queue=s.name("q"), exclusive=True)


@scenario
def access_request(s):
    """Class 30 is no longer in the specification but old clients send it."""
    ch = s.channel()
    payload = bytes.fromhex("001e000a") + b"\x05/data" + b"\x1f"
    ch.send_payload(wire.FRAME_METHOD, payload, "access.request")
    ch.quiet()


@scenario
def close_with_unknown_reply_code(s):
    ch = s.connect().channel()
    ch.channel_close(999, "whatever", 60, 40)
