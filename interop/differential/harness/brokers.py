"""Starts the two brokers on free ports in temporary directories, and stops them."""

import contextlib
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from . import wire

START_TIMEOUT_S = 240  # a machine with much else to do
STOP_TIMEOUT_S = 10
ROOT = pathlib.Path(__file__).resolve().parents[3]
# Exchange types that Leveret has and RabbitMQ has by these.
PLUGINS = ("rabbitmq_consistent_hash_exchange", "rabbitmq_random_exchange",
           "rabbitmq_recent_history_exchange", "rabbitmq_sharding")
# Taken over by both when they start: the policies that scenarios count on, by patterns of labels.
DEFINITIONS = pathlib.Path(__file__).resolve().parents[1] / "definitions.json"


class Broker:
    """A process group of ours with its temporary directory."""

    def __init__(self, name: str, command: list, environment: dict, files: dict | None = None):
        self.name = name
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"differential-{name}-"))
        self.directory.chmod(0o777)  # a packaged RabbitMQ changes to a user of its own
        fill = {"DIR": str(self.directory)}
        files = {file: text.format(**fill) for file, text in (files or {}).items()}
        for file, text in (files | {"definitions.json": DEFINITIONS.read_text()}).items():
            (self.directory / file).write_text(text)
            (self.directory / file).chmod(0o666)
        self.log = self.directory / "output.log"
        self.process = subprocess.Popen(
            [part.format(**fill) for part in command],
            env=os.environ | {k: v.format(**fill) for k, v in environment.items()},
            cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.log.open("wb"), start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.uri = None

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode(errors="replace"))
        self.lines.put(None)

    def fail(self, why: str):
        tail = self.log.read_text(errors="replace")[-2000:]
        self.stop()
        raise SystemExit(f"{self.name} {why}\n{tail}")

    def has_died(self) -> bool:
        return self.process.poll() is not None

    def stop(self):
        """Ends what was started.

        A packaged RabbitMQ runs as another user in a session of its own, below a wrapper: its pid
        file says which process it is, and the wrapper ends with it.
        """
        pid_file = self.directory / "pid"
        own_pid = int(pid_file.read_text()) if pid_file.exists() else self.process.pid
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.kill(own_pid, sign)
                self.process.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


def start_leveret() -> Broker:
    binary = os.environ.get("LEVERET_BIN") or str(ROOT / "target/release/leveret")
    if not os.access(binary, os.X_OK):
        raise SystemExit(f"no leveret at {binary}: build it, or set LEVERET_BIN")
    off = ["--management-tcp-port", "none", "--prometheus-tcp-port", "none"]
    broker = Broker(
        "leveret",
        [binary, "server", "--amqp-listen", "127.0.0.1:0", "--data-dir", "{DIR}/data",
         "--load-definitions", "{DIR}/definitions.json", *off], {})
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            line = broker.lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            broker.fail("did not say that it is ready")
        if line is None:
            broker.fail("ended before it was ready")
        ready = re.search(r"\bready\b.*\bamqp=(\S+)", line)
        if ready:
            broker.uri = f"amqp://guest:guest@{ready[1]}"
            return broker


def start_rabbitmq() -> Broker:
    server = os.environ.get("RABBITMQ_SERVER") or shutil.which("rabbitmq-server")
    if server is None:
        raise SystemExit("no rabbitmq-server found: set RABBITMQ_SERVER, or use --against-recorded")
    port, distribution_port = _free_ports(2)
    broker = Broker("rabbitmq", [server], {
        "HOME": "{DIR}",
        "RABBITMQ_NODENAME": f"differential{os.getpid()}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_MNESIA_BASE": "{DIR}/mnesia",
        "RABBITMQ_LOG_BASE": "{DIR}/log",
        "RABBITMQ_PID_FILE": "{DIR}/pid",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "{DIR}/enabled-plugins",
        "RABBITMQ_CONFIG_FILE": "{DIR}/rabbitmq.conf",
        "RABBITMQ_CONF_ENV_FILE": "{DIR}/no-environment",
    }, {
        "enabled-plugins": f"[{','.join(PLUGINS)}].\n",
        "rabbitmq.conf": "load_definitions = {DIR}/definitions.json\n",
    })
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _greets(port):
        if broker.has_died() or time.monotonic() > deadline:
            broker.fail("did not start")
        time.sleep(0.2)
    broker.uri = f"amqp://guest:guest@127.0.0.1:{port}"
    return broker


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return ports


def _greets(port: int) -> bool:
    """Whether something there answers the protocol header with a frame."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as it:
            it.sendall(wire.PROTOCOL_HEADER)
            return it.recv(1) == b"\x01"
    except OSError:
        return False
