"""The tiny client that scenarios are written in.

A scenario runs in one thread and everything is driven by it: what the broker sends is put into the
inbox of its channel as it is read, and is written to the transcript only when the scenario asks for
that channel. So the transcript's order does not depend on how channels happen to interleave, and a
scenario is deterministic as long as it waits for what it expects (`call`, `deliveries`, `confirms`,
`wait`) before it goes on.
"""

import collections
import contextlib
import itertools
import socket
import time
import urllib.parse

from . import normalise, wire
from .transcript import Transcript, show_content, show_method

REPLY_TIMEOUT_S = 20.0
DELIVERY_TIMEOUT_S = 5.0
QUIET_S = 0.05
CLIENT_PROPERTIES = {
    "product": "differential",
    "capabilities": {
        "publisher_confirms": True,
        "exchange_exchange_bindings": True,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "connection.blocked": True,
        "authentication_failure_close": True,
    },
}


class Address:
    """Where a broker listens and who to log in as, from an amqp:// URI."""

    def __init__(self, uri: str):
        parts = urllib.parse.urlsplit(uri)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 5672
        self.user = urllib.parse.unquote(parts.username or "guest")
        self.password = urllib.parse.unquote(parts.password or "guest")
        self.vhost = urllib.parse.unquote(parts.path[1:]) or "/"


class Scenario:
    """One run of one scenario on one broker: what the scenario functions get as `s`."""

    def __init__(self, address: Address, prefix: str):
        self.address = address
        self.names = normalise.Names(prefix)
        self.transcript = Transcript(self.names)
        self.connections = []
        self._helper = None

    def name(self, label: str, length: int = 0) -> str:
        """A unique name for a queue or an exchange; shown as {label}, deleted at the end."""
        return self.names.name(label, length)

    def note(self, text: str):
        self.transcript.add(f"# {text}")

    def tcp(self) -> "Connection":
        """A bare socket, nothing sent yet."""
        connection = Connection(self, f"c{len(self.connections) + 1}")
        self.connections.append(connection)
        return connection

    def connect(self, **options) -> "Connection":
        """An open connection; the handshake is not written down unless `log=True`."""
        connection = self.tcp()
        connection.handshake(**options)
        return connection

    def channel(self, **options) -> "Channel":
        """A channel on a new connection of its own."""
        return self.connect(**options).channel()

    @property
    def helper(self) -> "Channel":
        """A confirming channel on a connection that is not written down."""
        if self._helper is None or self._helper.is_gone:
            if self._helper is None or self._helper.connection.ended:
                connection = Connection(self, "helper", silent=True)
                connection.handshake()
            else:
                connection = self._helper.connection
            self._helper = connection.channel()
            self._helper.confirm_select()
        return self._helper

    def put(self, queue: str, *bodies, exchange="", **properties):
        """Publishes through the helper and waits until the broker has confirmed."""
        self.note(f"helper publishes to {exchange!r} key {queue!r}: {list(bodies)!r}")
        for body in bodies:
            self.helper.publish(exchange, queue, body, **properties)
        self.helper.confirms()

    def until(self, queue: str, **counts):
        """Waits, through the helper, until a queue has these `messages` and `consumers`."""
        self.helper.until(queue, report=self.note, **counts)

    def until_gone(self, queue: str, timeout_s=DELIVERY_TIMEOUT_S * 2):
        """Waits, through the helper, until a queue does not exist."""
        deadline = time.monotonic() + timeout_s
        while self.helper.silent_call("queue_declare", queue=queue, passive=True) is not None:
            if time.monotonic() > deadline:
                return self.note(f"queue {queue!r} is still there")
            time.sleep(0.02)
        return self.note(f"queue {queue!r} is gone")

    def drain(self, queue: str):
        """Takes all messages of a queue through the helper and writes them down."""
        while True:
            reply = self.helper.silent_call("basic_get", queue=queue, no_ack=True)
            if reply is None or reply.key != "basic_get_ok":
                return self.note(f"{queue!r} has no more" if reply else f"{queue!r} is missing")
            text = f"{show_method(reply, sent=False)}{show_content(reply.content)}"
            self.transcript.add(f"helper < {text}")

    def finish(self):
        """Writes down what nobody asked for, closes everything and deletes what was named."""
        for connection in self.connections:
            connection.flush()
            connection.abort()
        for name in list(self.names.given) + list(self.names.seen.get("gen", ())):
            self.helper.silent_call("queue_delete", queue=name)
            self.helper.silent_call("exchange_delete", exchange=name)
        if self._helper:
            self._helper.connection.abort()


class Connection:
    """A socket, its frames sorted into channels, and the handshake."""

    def __init__(self, scenario: Scenario, label: str, silent=False):
        self.scenario, self.label, self.silent = scenario, label, silent
        self.socket = socket.create_connection((scenario.address.host, scenario.address.port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.channels = {}
        self.ended = False  # the socket's end was read
        self.closing = False  # the broker has sent connection.close
        self.asked_to_close = False  # the client has
        self.end_shown = False
        self.channel_max = self.frame_max = 0
        self.zero = Channel(self, 0)
        self.heartbeats = 0

    # Sending

    def send_raw(self, octets: bytes, shown: str | None = None):
        """Bytes as they are; `shown` is what the transcript says instead of their hex."""
        self.log(f"> {shown or octets.hex(' ')}")
        self.push(octets)

    def send_frame(self, kind: int, channel: int, payload: bytes, end=wire.FRAME_END):
        shown = payload.hex() if len(payload) <= 64 else f"<{len(payload)} octets>"
        bad_end = "" if end == wire.FRAME_END else f" end {end.hex()}"
        self.send_raw(
            wire.frame(kind, channel, payload, end),
            f"frame type {kind} channel {channel} payload {shown}{bad_end}")

    def push(self, octets: bytes):
        """Sends without writing down; a broken socket shows when it is read."""
        with contextlib.suppress(OSError):
            self.socket.sendall(octets)

    def log(self, text: str):
        if not self.silent:
            self.scenario.transcript.add(f"{self.label} {text}")

    # The handshake

    def handshake(self, log=False, user=None, password=None, vhost=None, frame_max=None,
                  channel_max=None, heartbeat=0, properties=None, mechanism="PLAIN",
                  response=None):
        """From the protocol header to connection.open-ok."""
        address, silence = self.scenario.address, self.silent
        self.silent = silence or not log
        user, password = user or address.user, password or address.password
        if response is None:
            response = f"\0{user}\0{password}"
        self.send_raw(wire.PROTOCOL_HEADER, "protocol header")
        self.wait("connection_start")
        self.send("connection_start_ok", client_properties=properties or CLIENT_PROPERTIES,
                  mechanism=mechanism, response=response)
        tune = self.wait("connection_tune")
        if tune is not None:
            self.channel_max = tune.channel_max if channel_max is None else channel_max
            self.frame_max = tune.frame_max if frame_max is None else frame_max
            self.send("connection_tune_ok", channel_max=self.channel_max,
                      frame_max=self.frame_max, heartbeat=heartbeat)
            self.send("connection_open", virtual_host=vhost or address.vhost)
            tune = self.wait("connection_open_ok")
        self.silent = silence
        if tune is None and not log:
            self.log("# the connection does not open")
        return self

    def send(self, key: str, **fields):
        self.asked_to_close |= key == "connection_close"
        self.zero.send(key, **fields)

    def wait(self, *keys, timeout_s=REPLY_TIMEOUT_S):
        return self.zero.wait(*keys, timeout_s=timeout_s)

    def channel(self, number: int | None = None) -> "Channel":
        """Opens a channel, by default the lowest number not in use."""
        if number is None:
            number = next(n for n in itertools.count(1)
                          if n not in self.channels or self.channels[n].is_gone)
        channel = Channel(self, number)
        self.channels[number] = channel
        if self.ended or self.closing:
            return channel.skip("channel.open")
        if channel.silent_call("channel_open") is None:
            self.log(f"# channel {number} does not open")
            channel.is_gone = True
        return channel

    def renew(self, number: int = 1) -> "Channel":
        """A channel anew on the same number, closed silently before if need be.

        For trying many things one after the other: what one of them does to the channel does not
        show in the others' lines.
        """
        old = self.channels.get(number)
        if old is not None and not old.is_gone:
            old.silent_call("channel_close")
            old.is_gone = True
        return self.channel(number)

    def bare_channel(self, number: int) -> "Channel":
        """A channel object without channel.open, for scenarios that speak out of turn."""
        self.channels[number] = channel = Channel(self, number)
        return channel

    def close(self):
        """The orderly end, up to close-ok; then the client drops the socket."""
        self.send("connection_close", reply_code=200, reply_text="bye")
        self.wait("connection_close_ok")
        self.abort()

    def abort(self):
        """Drops the socket; the broker's end of it is no longer looked at."""
        self.ended = self.end_shown = True
        self.socket.close()

    def until_closed(self, timeout_s=DELIVERY_TIMEOUT_S * 2):
        """Reads to the socket's end, and writes down what channel 0 got."""
        self.read_on(timeout_s)
        self.show_end()

    def read_on(self, timeout_s):
        """Reads into the inboxes until the socket's end or for so long."""
        deadline = time.monotonic() + timeout_s
        while not self.ended and self.pump(deadline):
            pass

    def show_end(self):
        self.zero.take_all()
        if not self.end_shown:
            self.end_shown = True
            self.log("< socket closed" if self.ended else "# the socket stays open")

    def flush(self):
        """Writes down what is left, a channel at a time, after a last round trip on each."""
        channels = [self.channels[number] for number in sorted(self.channels)]
        if not (self.ended or self.closing or self.asked_to_close or self.end_shown):
            for channel in channels:
                channel.sync()
            self.read_on(QUIET_S)
        for channel in [self.zero, *channels]:
            channel.take_all()
        if (self.ended or self.closing) and not self.end_shown:
            self.until_closed()

    # Receiving

    def pump(self, deadline: float) -> bool:
        """Reads one frame into an inbox; false at the deadline and at the socket's end."""
        while True:
            frame = wire.split_frame(self.buffer)
            if frame is not None:
                self._sort(*frame)
                return True
            if self.ended or not self._read(deadline):
                return False

    def _read(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 18)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        self.buffer += data
        self.ended = self.ended or not data
        return bool(data)

    def _sort(self, kind, number: int, payload: bytes):
        if kind == wire.FRAME_HEARTBEAT:
            self.heartbeats += 1
            return
        channel = self.zero if number == 0 else self.channels.get(number)
        if channel is None:
            channel = self.bare_channel(number)
        channel.receive(kind, payload)


class Channel:
    """A channel: the calls of scenarios, and the inbox of what came for it.

    Every method of the protocol is a Python method here, as in `ch.queue_declare(queue=q)`: it
    sends, and waits for the reply if the method has one and `nowait` is not set.
    """

    def __init__(self, connection: Connection, number: int):
        self.connection, self.number = connection, number
        self.label = f"{connection.label}.{number}"
        self.inbox = collections.deque()
        self.partial = None  # a method whose content is still arriving
        self.is_gone = False  # the scenario has been shown the close
        self.wire_closed = False  # the close has been answered on the wire
        self.published = 0
        self.settled = set()

    # Writing down

    def log(self, text: str):
        if not self.connection.silent:
            self.connection.scenario.transcript.add(f"{self.label} {text}")

    def skip(self, what: str):
        self.is_gone = True
        self.log(f"# not sent, since closed: {what}")
        return self

    # Sending

    def __getattr__(self, key: str):
        if key not in wire.SPECS:
            raise AttributeError(key)
        return lambda *args, **fields: self.call(key, *args, **fields)

    def send(self, key: str, *args, **fields) -> bool:
        method = wire.method(key, *args, **fields)
        text = show_method(_as_sent(method), sent=True)
        return self.send_payload(wire.FRAME_METHOD, wire.encode_method(method), text)

    def send_payload(self, kind: int, payload: bytes, shown: str) -> bool:
        """One frame, unless the scenario already knows that the channel is closed."""
        if self.is_gone or self.connection.end_shown:
            self.skip(shown)
            return False
        self.log(f"> {shown}")
        if not self.wire_closed:
            self.connection.push(wire.frame(kind, self.number, payload))
        return True

    def call(self, key: str, *args, **fields):
        """Sends a method; gives the reply, or nothing if there is none."""
        sent = self.send(key, *args, **fields)
        if not sent or fields.get("nowait") or not wire.REPLIES[key]:
            return None
        return self.wait(*wire.REPLIES[key])

    def publish(self, exchange="", routing_key="", body=b"", *, mandatory=False, immediate=False,
                **properties):
        """basic.publish with its header and its body, cut to the negotiated frame size."""
        body = body.encode() if isinstance(body, str) else body
        method = wire.method("basic_publish", exchange=exchange, routing_key=routing_key,
                             mandatory=mandatory, immediate=immediate)
        header = wire.encode_header(len(body), properties)
        content = wire.decode_header(header)
        content.body = body
        shown = show_method(method, sent=True) + show_content(content)
        if self.is_gone or self.connection.end_shown:
            return self.skip(shown)
        self.log(f"> {shown}")
        self.published += 1
        step = (self.connection.frame_max or (1 << 30)) - 8
        pieces = [body[at:at + step] for at in range(0, len(body), step)]
        if not self.wire_closed:
            frames = [(wire.FRAME_METHOD, wire.encode_method(method)), (wire.FRAME_HEADER, header)]
            frames += [(wire.FRAME_BODY, piece) for piece in pieces]
            self.connection.push(b"".join(wire.frame(k, self.number, p) for k, p in frames))
        return self

    def close(self):
        """channel.close and its reply; the number may be opened again."""
        self.send("channel_close", reply_code=200, reply_text="bye")
        self.wait("channel_close_ok")
        self.is_gone = True

    # Receiving

    def receive(self, kind, payload: bytes):
        """A frame for this channel, from the connection."""
        if kind == wire.FRAME_METHOD:
            self._receive_method(payload)
        elif kind == wire.FRAME_HEADER and self.partial:
            self.partial.content = wire.decode_header(payload)
            self._finish_content()
        elif kind == wire.FRAME_BODY and self.partial and self.partial.content:
            self.partial.content.frames.append(len(payload))
            self.partial.content.body += payload
            self._finish_content()
        else:
            self.inbox.append(f"frame of type {kind}: {payload!r}")

    def _receive_method(self, payload: bytes):
        method = wire.decode_method(payload)
        if method is None:
            self.inbox.append(f"method {payload.hex(' ')}")
        elif method.key in ("basic_deliver", "basic_get_ok", "basic_return"):
            self.partial = method
        else:
            self.inbox.append(method)
            self._answer(method)

    def _finish_content(self):
        if len(self.partial.content.body) >= self.partial.content.size:
            self.inbox.append(self.partial)
            self.partial = None

    def _answer(self, method):
        """The replies that the protocol asks of a client at once."""
        reply = {"channel_close": "channel_close_ok", "connection_close": "connection_close_ok"}
        if method.key in reply:
            self.wire_closed = True
            self.connection.closing |= method.key == "connection_close"
            payload = wire.encode_method(wire.method(reply[method.key]))
            self.connection.push(wire.frame(wire.FRAME_METHOD, self.number, payload))

    def take(self):
        """Takes the next thing out of the inbox and writes it down."""
        event = self.inbox.popleft()
        if isinstance(event, str):
            self.log(f"< {event}")
            return event
        if event.key in ("basic_ack", "basic_nack"):
            self._take_confirm(event)
            return event
        text = show_method(_as_received(event), sent=False)
        self.log(f"< {text}{show_content(event.content) if event.content else ''}")
        self.is_gone |= event.key in ("channel_close", "channel_close_ok", "connection_close")
        return event

    def _take_confirm(self, event):
        upto, settled = event.delivery_tag, self.settled
        tags = set(range(1, upto + 1)) - settled if event.multiple else {upto}
        new = tags - settled
        settled |= new
        if self.connection.silent:
            return
        run = self.connection.scenario.transcript.confirms(self.label)
        (run.acked if event.key == "basic_ack" else run.nacked).update(new)
        run.again |= (tags - new) or ({upto} if not tags else set())

    def take_all(self):
        while self.inbox:
            self.take()

    def wait(self, *keys, timeout_s=REPLY_TIMEOUT_S, until=None):
        """Writes down all that comes up to one of `keys`; nothing if a close comes first."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self.inbox:
                event = self.take()
                if not isinstance(event, str) and (event.key in keys or until and until()):
                    return event
            if self.is_gone or self._connection_is_over():
                return None
            if not self.connection.pump(deadline) and not self.connection.ended:
                names = " or ".join(sorted(key.replace("_", ".", 1) for key in keys))
                self.log(f"# timed out waiting for {names or 'that'}")
                self.is_gone |= any(key.endswith(("_ok", "_empty")) for key in keys)
                return None

    def _connection_is_over(self) -> bool:
        connection = self.connection
        if self.inbox or not (connection.ended or connection.closing):
            return False
        if self is connection.zero and connection.closing:
            return self.is_gone
        connection.until_closed()
        self.is_gone = True
        return not self.inbox

    def sync(self):
        """A round trip: writes down what came before the reply, not the round trip itself.

        A passive declare of a predeclared exchange touches nothing but the channel.
        """
        if self.is_gone or self.connection.end_shown:
            return self
        marker = object()
        self.silent_call("exchange_declare", exchange="amq.direct", passive=True, marker=marker)
        while self.inbox and self.inbox[0] is not marker:
            self.take()
        if self.inbox:
            self.inbox.popleft()
        self._connection_is_over()
        return self

    def quiet(self, for_s=QUIET_S):
        """Two round trips with a pause between: for showing that nothing more comes."""
        self.sync()
        if self.is_gone:
            return self
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline:
            if not self.connection.pump(deadline):
                break
        return self.sync()

    def silent_call(self, key: str, marker=None, **fields):
        """A call that is not written down; what comes in between stays in the inbox.

        With a `marker`, that takes the reply's place in the inbox.
        """
        before = len(self.inbox)
        payload = wire.encode_method(wire.method(key, **fields))
        if not self.wire_closed:
            self.connection.push(wire.frame(wire.FRAME_METHOD, self.number, payload))
        deadline = time.monotonic() + REPLY_TIMEOUT_S
        while True:
            for place in range(before, len(self.inbox)):
                event = self.inbox[place]
                if isinstance(event, str):
                    continue
                if event.key in wire.REPLIES[key]:
                    self.inbox[place] = marker
                    if marker is None:
                        del self.inbox[place]
                    return event
                if event.key == "channel_close" and self.connection.silent:
                    self.is_gone = True
                    return None
            if self.wire_closed or self.connection.closing or self.connection.ended:
                return None
            if not self.connection.pump(deadline) and not self.connection.ended:
                self.log(f"# timed out in a silent {key}")
                self.is_gone = True
                return None

    # What scenarios wait for

    def deliveries(self, count: int, unordered=False, timeout_s=DELIVERY_TIMEOUT_S) -> list:
        """Waits for so many deliveries; `unordered` writes them down sorted."""
        entries = self.connection.scenario.transcript.entries
        start, got = len(entries), []
        while len(got) < count:
            event = self.wait("basic_deliver", timeout_s=timeout_s)
            if event is None:
                self.log(f"# got {len(got)} of {count} deliveries")
                break
            got.append(event)
        if unordered:
            entries[start:] = sorted(entries[start:], key=str)
        return got

    def confirms(self, count: int | None = None):
        """Waits until all that was published here is confirmed."""
        count = self.published if count is None else count
        if len(self.settled) < count:
            self.wait(until=lambda: len(self.settled) >= count)
        return self

    def until(self, queue: str, report=None, timeout_s=DELIVERY_TIMEOUT_S, **counts):
        """Polls with passive declares until a queue has these `messages` and `consumers`."""
        wanted = {f"{what[:-1]}_count": number for what, number in counts.items()}
        deadline = time.monotonic() + timeout_s
        shown = " ".join(f"{what}={number}" for what, number in counts.items())
        report = report or (lambda text: self.log(f"# {text}"))
        while True:
            reply = self.silent_call("queue_declare", queue=queue, passive=True)
            if reply is None:
                return report(f"queue {queue!r} is missing")
            if all(getattr(reply, field) == number for field, number in wanted.items()):
                return report(f"queue {queue!r} has {shown}")
            if time.monotonic() > deadline:
                has = f"messages={reply.message_count} consumers={reply.consumer_count}"
                return report(f"queue {queue!r} never had {shown}, but {has}")
            time.sleep(0.01)


class _Shown:
    """A method with some fields replaced by the text to show for them."""

    def __init__(self, method, **replaced):
        self.name = method.name
        self.fields = {k: replaced.get(k, v) for k, v in method.fields.items()}


def _as_sent(method):
    if method.key == "connection_start_ok":
        return _Shown(method, client_properties="…", response="…")
    arguments = method.fields.get("arguments")
    if arguments:
        content = wire.tables.encode_table(arguments)[4:]
        return _Shown(method, arguments=wire.tables.Table(content))
    return method


def _as_received(method):
    if method.key == "connection_start":
        return _Shown(method, server_properties="…", mechanisms="…")
    return method
