"""A small AMQP 0-9-1 client on a blocking socket, for the attacks and the soak test. It says what it
is told to, also what no client may say; it has no heartbeats of its own."""

import socket
import struct
import time

HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, CONTENT, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"
CAPABILITIES = {"capabilities": {
    "authentication_failure_close": True, "connection.blocked": True,
    "consumer_cancel_notify": True, "publisher_confirms": True, "basic.nack": True}}


class Closed(Exception):
    """The broker closed the channel or the connection; `code` 0 is a lost connection."""

    def __init__(self, code, text):
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


def short(text):
    raw = text.encode()
    return bytes([len(raw)]) + raw


def long(raw):
    raw = raw.encode() if isinstance(raw, str) else raw
    return struct.pack(">I", len(raw)) + raw


def value(one):
    if isinstance(one, bool):
        return b"t" + bytes([one])
    if isinstance(one, int):
        return b"l" + struct.pack(">q", one)
    if isinstance(one, str):
        return b"S" + long(one)
    return b"F" + table(one)


def table(entries=None):
    return long(b"".join(short(name) + value(one) for name, one in (entries or {}).items()))


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method(channel, class_id, method_id, payload=b""):
    return frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + payload)


def publish(channel, exchange, key, body, persistent=False, mandatory=False):
    """A publish as bytes, in frames of at most 128 KiB."""
    flags, properties = (0x1000, b"\x02") if persistent else (0, b"")
    head = struct.pack(">HHQH", 60, 0, len(body), flags) + properties
    parts = [method(channel, 60, 40, struct.pack(">H", 0) + short(exchange) + short(key)
                    + bytes([mandatory])), frame(CONTENT, channel, head)]
    parts += [frame(BODY, channel, body[at:at + 131_000]) for at in range(0, len(body), 131_000)]
    return b"".join(parts)


def start_ok(user, password, properties=None, response=None, mechanism="PLAIN"):
    response = f"\0{user}\0{password}" if response is None else response
    return method(0, 10, 11, table(properties or CAPABILITIES) + short(mechanism) + long(response)
                  + short("en_US"))


class Connection:
    """An open connection, unless `steps` says how far to go."""

    def __init__(self, port, user="guest", password="guest", vhost="/", heartbeat=0,
                 frame_max=131_072, timeout=60, properties=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data, self.at, self.blocked = b"", 0, False
        self.deliveries, self.acks = [], []
        self.socket.sendall(HEADER)
        self.expect(0, (10, 10))
        self.socket.sendall(start_ok(user, password, properties))
        self.expect(0, (10, 30))
        self.socket.sendall(method(0, 10, 31, struct.pack(">HIH", 2047, frame_max, heartbeat))
                            + method(0, 10, 40, short(vhost) + b"\0\0"))
        self.expect(0, (10, 41))

    def send(self, raw):
        self.socket.sendall(raw)

    def frame(self):
        """The next frame: kind, channel, payload."""
        while True:
            if len(self.data) - self.at >= 7:
                kind, channel, size = struct.unpack_from(">BHI", self.data, self.at)
                end = self.at + 7 + size
                if len(self.data) > end:
                    payload = self.data[self.at + 7:end]
                    self.at = end + 1
                    return kind, channel, payload
            try:
                more = self.socket.recv(262_144)
            except ConnectionError as error:
                raise Closed(0, str(error)) from error
            if not more:
                raise Closed(0, "end of file")
            self.data, self.at = self.data[self.at:] + more, 0

    def step(self):
        """Takes one frame, keeps deliveries and acks; its ids and payload if it is something else."""
        kind, channel, payload = self.frame()
        if kind != METHOD:
            return None
        ids = struct.unpack_from(">HH", payload)
        if ids == (60, 60):
            at = 5 + payload[4]
            tag = struct.unpack_from(">Q", payload, at)[0]
            size = struct.unpack(">Q", self.frame()[2][4:12])[0]
            body = b""
            while len(body) < size:
                body += self.frame()[2]
            self.deliveries.append((channel, tag, payload[at + 8], body))
            return None
        if ids in ((60, 80), (60, 120)):
            tag, flags = struct.unpack_from(">QB", payload, 4)
            self.acks.append((channel, tag, bool(flags & 1), ids == (60, 80)))
            return None
        if ids in ((10, 60), (10, 61)):
            self.blocked = ids == (10, 60)
            return None
        if ids == (60, 50):
            self.frame()
            return None
        if ids in ((10, 50), (20, 40)):
            code, = struct.unpack_from(">H", payload, 4)
            text = payload[7:7 + payload[6]].decode(errors="replace")
            self.send(method(channel, ids[0], ids[1] + 1))
            raise Closed(code, text)
        return channel, ids, payload[4:]

    def expect(self, channel, *ids):
        while True:
            found = self.step()
            if found and found[0] == channel and found[1] in ids:
                return found[1], found[2]

    def call(self, channel, class_id, method_id, payload=b"", reply=None):
        self.send(method(channel, class_id, method_id, payload))
        return self.expect(channel, *(reply or [(class_id, method_id + 1)]))

    def open(self, channel=1):
        self.call(channel, 20, 10, b"\0")

    def confirms(self, channel=1):
        self.call(channel, 85, 10, b"\0")

    def declare(self, queue, durable=False, exclusive=False, auto_delete=False, arguments=None,
                passive=False, channel=1):
        """Its name and how many messages are ready in it."""
        bits = passive | durable << 1 | exclusive << 2 | auto_delete << 3
        _, found = self.call(channel, 50, 10, b"\0\0" + short(queue) + bytes([bits])
                             + table(arguments))
        name = found[1:1 + found[0]].decode()
        return name, struct.unpack_from(">I", found, 1 + found[0])[0]

    def exchange(self, name, kind, durable=False, auto_delete=False, channel=1):
        self.call(channel, 40, 10, b"\0\0" + short(name) + short(kind)
                  + bytes([durable << 1 | auto_delete << 2]) + table())

    def bind(self, queue, exchange, key, channel=1):
        self.call(channel, 50, 20, b"\0\0" + short(queue) + short(exchange) + short(key) + b"\0"
                  + table())

    def delete(self, queue, channel=1):
        self.call(channel, 50, 40, b"\0\0" + short(queue) + b"\0")

    def delete_exchange(self, name, channel=1):
        self.call(channel, 40, 20, b"\0\0" + short(name) + b"\0")

    def purge(self, queue, channel=1):
        self.call(channel, 50, 30, b"\0\0" + short(queue) + b"\0")

    def prefetch(self, count, channel=1):
        self.call(channel, 60, 10, struct.pack(">IHB", 0, count, 0))

    def consume(self, queue, tag, no_ack=False, channel=1):
        self.call(channel, 60, 20, b"\0\0" + short(queue) + short(tag) + bytes([no_ack << 1])
                  + table())

    def ack(self, tag, multiple=False, channel=1):
        self.send(method(channel, 60, 80, struct.pack(">QB", tag, multiple)))

    def reject(self, tag, requeue, channel=1):
        self.send(method(channel, 60, 90, struct.pack(">QB", tag, requeue)))

    def get(self, queue, no_ack=True, channel=1):
        """A body, or none."""
        ids, _ = self.call(channel, 60, 70, b"\0\0" + short(queue) + bytes([no_ack]),
                           [(60, 71), (60, 72)])
        if ids == (60, 72):
            return None
        size = struct.unpack(">Q", self.frame()[2][4:12])[0]
        body = b""
        while len(body) < size:
            body += self.frame()[2]
        return body

    def wait_confirmed(self, tag):
        """Waits until all publishes up to `tag` of a channel are answered; how many nacks came."""
        nacks = 0
        while True:
            while self.acks:
                _, last, _, good = self.acks.pop()
                nacks += not good
                if last >= tag:
                    self.acks.clear()
                    return nacks
            self.step()

    def take(self, patience):
        """The deliveries that are here, or come within `patience` seconds; bodies in one frame."""
        end = time.monotonic() + patience
        old = self.socket.gettimeout()
        try:
            while True:
                while self.whole():
                    self.step()
                rest = end - time.monotonic()
                if self.deliveries or rest <= 0:
                    break
                self.socket.settimeout(rest)
                more = self.socket.recv(262_144)
                if not more:
                    raise Closed(0, "end of file")
                self.data, self.at = self.data[self.at:] + more, 0
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(old)
        taken, self.deliveries = self.deliveries, []
        return taken

    def whole(self):
        """Whether the next frame is here, and if it is a delivery, all of that."""
        end = self.end_of(self.at)
        if end is None or self.data[self.at + 7:self.at + 11] != b"\0\x3c\0\x3c":
            return end is not None
        header = end
        end = self.end_of(header)
        if end is None:
            return False
        return struct.unpack_from(">Q", self.data, header + 11)[0] == 0 or self.end_of(end) is not None

    def end_of(self, at):
        """Where the frame at `at` ends, if it is here."""
        if len(self.data) - at < 7:
            return None
        end = at + 8 + struct.unpack_from(">I", self.data, at + 3)[0]
        return end if len(self.data) >= end else None

    def close(self):
        try:
            self.call(0, 10, 50, struct.pack(">H", 200) + short("") + b"\0\0\0\0")
        except (Closed, OSError):
            pass
        self.socket.close()
