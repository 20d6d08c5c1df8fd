"""A relay before a broker that can drop a connection by its name.

Some suites ask RabbitMQ's management interface to close a connection, so as to see the client
recover. Here they connect through this relay instead, and ask it, which offers just the two
requests they need: `GET /api/connections/` and `DELETE /api/connections/NAME`. To the broker the
client is then simply gone; the client receives `connection.close` with 320, as from RabbitMQ.
"""

import contextlib
import http.server
import json
import re
import socket
import struct
import threading
import time
import urllib.parse

FRAME_HEADER_BYTES = 7
CONNECTION_NAME = re.compile(rb"\x0fconnection_nameS(....)", re.DOTALL)
REASON = b"CONNECTION_FORCED - dropped by the relay"
CLOSE = struct.pack(">HHHB", 10, 50, 320, len(REASON)) + REASON + struct.pack(">HH", 0, 0)
CLOSE_FRAME = struct.pack(">BHI", 1, 0, len(CLOSE)) + CLOSE + b"\xce"


class Pair:
    """A client's connection and the broker's beside it."""

    def __init__(self, client, broker, number):
        self.client, self.broker = client, broker
        self.name = f"127.0.0.1:{number} -> relay"
        self.connection_name = ""
        self.dropped = False
        self.ended = threading.Event()

    def start(self):
        """Copies both ways, each in a thread."""
        for copy in (self.from_client, self.from_broker):
            threading.Thread(target=copy, daemon=True).start()

    def from_client(self):
        """Copies to the broker; the first bytes tell the connection's name."""
        start = b""
        with contextlib.suppress(OSError):
            while data := self.client.recv(65536):
                if not self.dropped:
                    self.broker.sendall(data)
                if not self.connection_name and len(start) < 65536:
                    start += data
                    self.connection_name = find_name(start)
        self.end()

    def from_broker(self):
        """Copies whole frames to the client, so that one can be put between them."""
        held = b""
        with contextlib.suppress(OSError):
            while data := self.broker.recv(65536):
                held += data
                whole = whole_frames_bytes(held)
                self.client.sendall(held[:whole])
                held = held[whole:]
        if self.dropped:
            with contextlib.suppress(OSError):
                self.client.sendall(CLOSE_FRAME)
            self.ended.wait(1)
        self.end()

    def drop(self):
        """Takes the client away from the broker, and tells it so."""
        self.dropped = True
        with contextlib.suppress(OSError):
            self.broker.shutdown(socket.SHUT_RDWR)
        self.ended.wait(3)

    def end(self):
        """Closes both sides."""
        for side in (self.client, self.broker):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
        self.ended.set()


def find_name(start):
    """The `connection_name` among the client's properties, once it is there in full."""
    found = CONNECTION_NAME.search(start)
    if not found:
        return ""
    (length,) = struct.unpack(">I", found[1])
    name = start[found.end():found.end() + length]
    return name.decode("utf-8", "replace") if len(name) == length else ""


def whole_frames_bytes(data):
    """How many of the bytes are whole frames; a protocol header (a refusal) is passed on too."""
    if data[:4] == b"AMQP":
        return len(data)
    at = 0
    while len(data) >= at + FRAME_HEADER_BYTES:
        (payload,) = struct.unpack_from(">I", data, at + 3)
        after = at + FRAME_HEADER_BYTES + payload + 1
        if len(data) < after:
            break
        at = after
    return at


class Relay:
    """Listens on loopback: for AMQP on `port`, for requests on `http_port`; a context manager."""

    def __init__(self, broker):
        self.broker = broker
        self.pairs = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.http.daemon_threads = True
        self.http_port = self.http.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for pair in self.alive():
            pair.end()

    def accept(self):
        """Gives each client a connection to the broker."""
        with contextlib.suppress(OSError):
            while True:
                client, (_, number) = self.listener.accept()
                try:
                    broker = socket.create_connection(self.broker, timeout=10)
                except OSError:
                    client.close()
                    continue
                broker.settimeout(None)
                for side in (client, broker):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pair = Pair(client, broker, number)
                self.pairs.append(pair)
                pair.start()

    def alive(self):
        """The connections that are still there."""
        self.pairs = [pair for pair in self.pairs if not pair.ended.is_set()]
        return list(self.pairs)


def handler(relay):
    """The two requests."""
    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers them from the relay's connections."""

        def do_GET(self):
            """Lists the connections."""
            self.answer(200, [{
                "name": pair.name,
                "client_properties": {"connection_name": pair.connection_name},
            } for pair in relay.alive()])

        def do_DELETE(self):
            """Drops the connection that the path ends with."""
            name = urllib.parse.unquote(self.path.rpartition("/")[2])
            found = [pair for pair in relay.alive() if pair.name == name]
            for pair in found:
                pair.drop()
                time.sleep(0.05)
            self.answer(204 if found else 404, None)

        def answer(self, status, content):
            """Sends JSON, or no content."""
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Says nothing."""

    return Handler
