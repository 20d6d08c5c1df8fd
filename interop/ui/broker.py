"""A broker to test the web pages on: one of our own, or one that is running (LEVERET_UI_URL)."""

import base64
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 30


def quote(name):
    return urllib.parse.quote(name, safe="")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """Where the pages are, and the API as a program would use it."""

    def __init__(self):
        self.url = os.environ.get("LEVERET_UI_URL", "").rstrip("/")
        self._process = self._directory = None

    def start(self):
        if self.url:
            return
        binary = os.environ.get("LEVERET_BIN", str(ROOT / "target" / "debug" / "leveret"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._directory = tempfile.TemporaryDirectory(prefix="leveret-ui-")
        command = [binary, "server", "--amqp-listen", "127.0.0.1:0",
                   "--management-tcp-port", str(port),
                   "--data-dir", os.path.join(self._directory.name, "data")]
        with open(os.path.join(self._directory.name, "log"), "wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log,
                                             stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.call("GET", "/whoami")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the broker did not get ready") from None
                time.sleep(0.1)

    def stop(self):
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def call(self, method, path, body=None):
        """The answer's JSON, or None if it has no body. Raises HTTPError on a refusal."""
        request = urllib.request.Request(f"{self.url}/api{path}", method=method)
        request.add_header("authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def there(self, path):
        try:
            self.call("GET", path)
            return True
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def forget(self, path):
        try:
            self.call("DELETE", path)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def declare(self, queue, **arguments):
        self.call("PUT", f"/queues/%2F/{quote(queue)}", {"durable": True, "arguments": arguments})

    def publish(self, queue, payload, **properties):
        self.call("POST", "/exchanges/%2F/amq.default/publish", {
            "routing_key": queue, "payload": payload, "payload_encoding": "string",
            "properties": {"delivery_mode": 2, **properties}})

    def take(self, queue, count, mode):
        return self.call("POST", f"/queues/%2F/{quote(queue)}/get",
                         {"count": count, "ackmode": mode, "encoding": "auto"})

    def ready(self, queue):
        """How many messages are ready, once the statistics have come."""
        return self.call("GET", f"/queues/%2F/{quote(queue)}").get("messages_ready")

    def wait_ready(self, queue, number, seconds=15):
        deadline = time.monotonic() + seconds
        while self.ready(queue) != number:
            if time.monotonic() > deadline:
                raise AssertionError(f"{queue!r} has {self.ready(queue)} ready, not {number}")
            time.sleep(0.2)
