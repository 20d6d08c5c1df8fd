"""Plays scenarios on a broker, in a bounded pool of threads."""

import concurrent.futures
import fnmatch
import itertools
import secrets
import threading
import time
import traceback

from . import wire
from .driver import Address, Scenario

THREADS = 12
_counter = itertools.count()
_run = secrets.token_hex(3)
_lock = threading.Lock()


def _prefix() -> str:
    """Always of one length, since names are part of some frames' sizes."""
    with _lock:
        return f"df{_run}{next(_counter):05}-"


def play(registered, address: Address) -> tuple[list[str], float]:
    """The transcript of one scenario on one broker, and the seconds it took."""
    began = time.monotonic()
    run = Scenario(address, _prefix())
    try:
        registered.function(run)
    except Exception as error:  # a scenario must not take the others down
        where = traceback.extract_tb(error.__traceback__)[-1]
        run.note(f"raised {type(error).__name__}: {error} ({where.name} line {where.lineno})")
    try:
        run.finish()
    except Exception as error:
        run.note(f"cleaning up raised {type(error).__name__}: {error}")
    return run.transcript.lines(), time.monotonic() - began


def announced(address: Address) -> str:
    """The product and the version that a broker gives in connection.start."""
    run = Scenario(address, _prefix())
    connection = run.tcp()
    connection.push(wire.PROTOCOL_HEADER)
    start = connection.wait("connection_start")
    connection.abort()
    said = dict(start.server_properties.pairs()) if start else {}
    return " ".join(said.get(key, "?")[3:-1] for key in ("product", "version"))


def selected(scenarios: dict, patterns: list[str]) -> list:
    """The scenarios whose name matches a pattern, by `*` or as a substring; long ones first."""
    chosen = [
        it for name, it in sorted(scenarios.items())
        if not patterns or any(p in name or fnmatch.fnmatch(name, p) for p in patterns)
    ]
    return sorted(chosen, key=lambda it: -it.seconds)


def play_all(chosen: list, addresses: list[Address], threads: int):
    """Yields (scenario, transcripts and seconds on each broker) as they finish."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        def on_each(it):
            return it, [play(it, address) for address in addresses]
        futures = [pool.submit(on_each, it) for it in chosen]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
