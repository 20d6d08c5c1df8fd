"""The flow through an alarm: publishers are blocked and told so, consumers are not."""

import os
import subprocess
import time

import pika

from harness import URI, Consumer, check, equal, pump

ALARM = os.environ.get("ALARM")
BLOCKED_S = 1  # how soon a publisher learns that it is blocked
HEARTBEAT_S = 1


def connect_with_heartbeats():
    parameters = pika.URLParameters(URI)
    parameters.heartbeat = HEARTBEAT_S
    return pika.BlockingConnection(parameters)


def alarm(state):
    subprocess.run([ALARM, state], check=True)


def blocked(flow):
    """Blocked within a second, alive beyond two heartbeats, then all that was sent meanwhile."""
    connection, notices = connect_with_heartbeats(), []
    connection.add_on_connection_blocked_callback(lambda _, frame: notices.append(
        ("blocked", frame.method.reason)))
    connection.add_on_connection_unblocked_callback(lambda *_: notices.append("unblocked"))
    channel = flow.channel(connection)
    queue = flow.queue(channel, "queue")
    plain = connection.channel()  # does not wait for confirms, which do not come for now

    def send(numbers):
        for number in numbers:
            plain.basic_publish("", queue, b"%d" % number)

    send(range(10))
    try:
        alarm("on")
        since = time.monotonic()
        pump(connection, lambda: notices, lambda: "no connection.blocked came")
        took = time.monotonic() - since
        check(took < BLOCKED_S, f"connection.blocked took {took:.2f} s")
        equal(notices, [("blocked", "low on memory")], "notices")
        send(range(10, 20))
        inbox = Consumer(flow.connect().channel(), queue, auto_ack=True)
        inbox.wait(10)
        while time.monotonic() < since + 3.5 * HEARTBEAT_S:
            connection.process_data_events(time_limit=0.1)
            inbox.channel.connection.process_data_events(time_limit=0)
        equal(len(inbox.wait(10)), 10, "deliveries while blocked")
    finally:
        alarm("off")
    pump(connection, lambda: len(notices) > 1, lambda: "no connection.unblocked came")
    equal(notices[1:], ["unblocked"], "notices")
    send(range(20, 30))
    inbox.wait(30)
    equal(inbox.bodies(), [b"%d" % number for number in range(30)], "all that was published")


FLOWS = [blocked] if ALARM else []
