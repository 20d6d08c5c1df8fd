"""The broker under test: one at a URI, or a Leveret that is started for each suite."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.parse

from work import HERE, WORK, Failure

READY_S = 30
STOP_S = 15


def parse(uri):
    """Host and port of a URI; many suites know only `guest` and the virtual host `/`."""
    parts = urllib.parse.urlsplit(uri)
    user = (parts.username or "guest", parts.password or "guest")
    if parts.scheme != "amqp" or not parts.hostname or user != ("guest", "guest") \
            or parts.path.lower() not in ("", "/", "/%2f"):
        raise Failure(f"{uri}: must be amqp://guest:guest@HOST:PORT/")
    return parts.hostname, parts.port or 5672


def leveret_program():
    """`LEVERET_BIN`, or the release build of this checkout."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))
    program = pathlib.Path(os.environ.get("LEVERET_BIN") or target / "release" / "leveret")
    if not program.exists():
        raise Failure(f"{program} is not there: cargo build --release, or set LEVERET_BIN")
    return program.resolve()


@contextlib.contextmanager
def at(uri, suite):
    """Gives host, port and a list in which faults of the broker itself are noted at the end."""
    faults = []
    if uri:
        host, port = parse(uri)
        yield host, port, faults
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=10).close()
            return
        faults.append("the broker accepts no connections any more")
        return
    with started(suite, faults) as (host, port):
        yield host, port, faults


@contextlib.contextmanager
def started(suite, faults):
    """A Leveret with a data directory of its own."""
    data = WORK / "run" / f"leveret-{suite}"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    log = WORK / "log" / f"{suite}.leveret.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [leveret_program(), "server", "--amqp-listen", "127.0.0.1:0",
             "--data-dir", data / "data",
             # amqplib's suite checks the product's name.
             "--set", "product=RabbitMQ"],
            cwd=data, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output, text=True)
    timer = threading.Timer(READY_S, process.kill)
    timer.start()
    try:
        ready = next((found for line in process.stdout
                      if (found := re.match(r"ready .*?\bamqp=(\S+):(\d+)", line))), None)
        timer.cancel()
        if not ready:
            raise Failure(f"{process.args[0]} did not get ready; see {log.name}")
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        yield ready[1], int(ready[2])
        if process.poll() is not None:
            faults.append(f"the broker ended during the suite with {process.returncode}")
    finally:
        timer.cancel()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(STOP_S)
                if code != 0:
                    faults.append(f"the broker ended with {code} on SIGTERM")
            except subprocess.TimeoutExpired:
                faults.append(f"the broker did not end within {STOP_S} s of SIGTERM")
                process.kill()
                process.wait()
    if "panicked at" in log.read_text("utf-8", "replace"):
        faults.append(f"a thread of the broker panicked; see {log.name}")
