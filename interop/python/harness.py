"""What every flow needs: named connections, checked assertions, waits that end, and tidying up.

A flow is a function taking a `Flow`. It fails by raising anything at all; `run` prints one line for
each. Nothing here knows what the flows do.
"""

import os
import signal
import sys
import time
import uuid

import pika

WAIT_S = 10  # the longest any single wait takes
FLOW_S = 60  # the longest a whole flow takes, whatever it is stuck in
RUN = uuid.uuid4().hex[:8]
URI = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, what):
    check(actual == expected, f"{what}: expected {expected!r}, got {actual!r}")


def eventually(condition, message):
    """Polls until `condition()` holds: for effects that the protocol does not acknowledge."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        check(time.monotonic() < deadline, message)
        time.sleep(0.02)


class Flow:
    """One flow's connections and names; everything it declared is gone after `close`."""

    def __init__(self, name):
        self.name = name
        self._connections = []
        self._queues = []
        self._exchanges = []

    def unique(self, suffix):
        return f"interop.python.{RUN}.{self.name}.{suffix}"

    def connect(self):
        parameters = pika.URLParameters(URI)
        parameters.socket_timeout = parameters.stack_timeout = WAIT_S
        parameters.blocked_connection_timeout = WAIT_S
        connection = pika.BlockingConnection(parameters)
        self._connections.append(connection)
        return connection

    def channel(self, connection=None):
        """A channel in confirm mode: a publish returns once the broker has taken it over."""
        channel = (connection or self.connect()).channel()
        channel.confirm_delivery()
        return channel

    def queue(self, channel, suffix, **options):
        name = self.unique(suffix)
        self._queues.append(name)
        channel.queue_declare(name, **options)
        return name

    def exchange(self, channel, suffix, kind, **options):
        name = self.unique(suffix)
        self._exchanges.append(name)
        channel.exchange_declare(name, kind, **options)
        return name

    def close(self):
        for connection in self._connections:
            if connection.is_open:
                connection.close()
        connection = pika.BlockingConnection(pika.URLParameters(URI))
        channel = connection.channel()
        for name in self._queues:
            channel.queue_delete(name)
        for name in self._exchanges:
            channel.exchange_delete(name)
        connection.close()


class Consumer:
    """Collects deliveries; `wait` drives the connection until enough of them came."""

    def __init__(self, channel, queue, auto_ack=False, **options):
        self.channel = channel
        self.deliveries = []  # (method, properties, body)
        self.tag = channel.basic_consume(queue, self._on_message, auto_ack=auto_ack, **options)

    def _on_message(self, _channel, method, properties, body):
        self.deliveries.append((method, properties, body))

    def wait(self, count):
        pump(self.channel.connection, lambda: len(self.deliveries) >= count,
             lambda: f"waited for {count} deliveries, got {self.bodies()}")
        equal(len(self.deliveries), count, "number of deliveries")
        return self.deliveries

    def bodies(self):
        return [body for _, _, body in self.deliveries]

    def redelivered(self):
        return [method.redelivered for method, _, _ in self.deliveries]

    def ack(self, position):
        self.channel.basic_ack(self.deliveries[position][0].delivery_tag)


def pump(connection, condition, message):
    """Handles the connection's incoming frames until `condition()` holds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        check(time.monotonic() < deadline, message())
        connection.process_data_events(time_limit=0.05)


def drain(channel, queue):
    """All (routing key, body) that lie in a queue, in order."""
    messages = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return messages
        messages.append((method.routing_key, body))


def ready(channel, queue):
    """How many messages lie ready in a queue."""
    return channel.queue_declare(queue, passive=True).method.message_count


def closes_channel(code, action):
    """Asserts that the broker answers `action()` by closing the channel with `code`."""
    try:
        action()
    except pika.exceptions.ChannelClosedByBroker as error:
        equal(error.reply_code, code, f"reply code of the channel's closing ({error.reply_text})")
        return
    raise AssertionError(f"the channel should have been closed with {code}")


def exists(connection, declare):
    """Whether the passive declaration `declare(channel)` finds what it names."""
    channel = connection.channel()
    try:
        declare(channel)
    except pika.exceptions.ChannelClosedByBroker as error:
        equal(error.reply_code, 404, f"reply code for something missing ({error.reply_text})")
        return False
    channel.close()
    return True


def _out_of_time(_signal, _frame):
    raise TimeoutError(f"flow took longer than {FLOW_S} s")


def _run_one(name, function):
    flow = Flow(name)
    started = time.monotonic()
    signal.alarm(FLOW_S)
    try:
        function(flow)
        flow.close()
        problem = None
    except Exception as error:  # pylint: disable=broad-except
        problem = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    took_ms = round((time.monotonic() - started) * 1000)
    print(f"FAIL {name} {took_ms} ms {problem}" if problem else f"ok {name} {took_ms} ms", flush=True)
    return problem is None


def run(flows):
    """Runs the flows named on the command line, or all; exits non-zero when one failed."""
    signal.signal(signal.SIGALRM, _out_of_time)
    wanted = sys.argv[1:] or [flow.__name__ for flow in flows]
    outcomes = [_run_one(flow.__name__, flow) for flow in flows if flow.__name__ in wanted]
    sys.exit(0 if outcomes and all(outcomes) else 1)
