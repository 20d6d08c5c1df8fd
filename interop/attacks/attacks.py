"""Attacks on a broker, each beside good clients whose confirms are timed at a fixed rate. A table and
JSON say what the attack did to them, to the broker's memory, and to the attacker."""

import argparse
import collections
import json
import multiprocessing
import os
import selectors
import socket
import struct
import sys
import time

from amqp import (BODY, CONTENT, HEADER, Closed, Connection, frame, method, publish, short, start_ok,
                  table)
from broker import Broker
from replays import FLAGS as REPLAY_FLAGS
from replays import DEFINITIONS, guess_users, vulnerabilities

HANDSHAKE_SECONDS = 10


# Good clients ------------------------------------------------------------------------------------

def good_clients(port, count, seconds, output):
    """`count` connections, each publishing ten times a second to a queue that is consumed; the time
    from when a publish was due to its confirm, in milliseconds."""
    selector, clients = selectors.DefaultSelector(), []
    for number in range(count):
        client = Connection(port)
        client.open()
        client.confirms()
        client.declare(f"good.{number % 10}", arguments={"x-max-length": 1_000})
        client.socket.setblocking(False)
        client.due, client.tag, client.sent = [], 0, 0
        selector.register(client.socket, selectors.EVENT_READ, client)
        clients.append(client)
    output.put("ready")
    latencies, start = [], time.monotonic()
    schedule = [(start + number / count / 10, client) for number, client in enumerate(clients)]
    lost, index = 0, 0
    while time.monotonic() < start + seconds:
        at, client = schedule[index]
        for key, _ in selector.select(max(at - time.monotonic(), 0)):
            lost += not read_confirms(key.data, latencies, selector)
        if time.monotonic() >= at:
            try:
                client.socket.send(publish(1, "", f"good.{index % 10}", b"x" * 100))
                client.due.append(at)
            except OSError:
                lost += 1
            schedule[index] = (at + 0.1, client)
            index = (index + 1) % count
    now = time.monotonic()
    # What is not answered counts as if it were answered now.
    latencies += [(now - at) * 1000 for client in clients for at in client.due if now - at > 0.05]
    latencies.sort()
    output.put({"count": len(latencies), "lost_connections": lost,
                **{f"p{share}": round(latencies[int(len(latencies) * share / 100)], 2)
                   for share in (50, 99)}, "max": round(latencies[-1], 2)})


def read_confirms(client, latencies, selector):
    """Takes what is there; whether the connection is still there."""
    try:
        more = client.socket.recv(65_536)
    except BlockingIOError:
        return True
    except OSError:
        more = b""
    if not more:
        selector.unregister(client.socket)
        return False
    client.data, client.at, now = client.data[client.at:] + more, 0, time.monotonic()
    while client.end_of(client.at):
        client.step()
    for _, tag, _, _ in client.acks:
        while client.tag < tag and client.due:
            latencies.append((now - client.due.pop(0)) * 1000)
            client.tag += 1
    client.acks.clear()
    return True


class Good:
    """Good clients in a process of their own."""

    def __init__(self, broker, count, seconds):
        self.output = multiprocessing.Queue()
        self.process = multiprocessing.Process(
            target=good_clients, args=(broker.port, count, seconds, self.output), daemon=True)
        self.process.start()
        self.output.get(timeout=60)

    def result(self):
        found = self.output.get(timeout=300)
        self.process.join()
        return found


# What an attack costs the machine itself ----------------------------------------------------------

def accept_all(listener, patience):
    """Accepts, says nothing, and closes each connection after `patience` seconds."""
    os.nice(15)
    held = collections.deque()
    listener.settimeout(0.05)
    while True:
        try:
            held.append((time.monotonic() + patience, listener.accept()[0]))
        except TimeoutError:
            pass
        while held and held[0][0] <= time.monotonic():
            held.popleft()[1].close()


class Nobody:
    """Stands where the broker would, for an attack whose own cost is to be known."""

    def __init__(self, patience):
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = listener.getsockname()[1]
        self.process = multiprocessing.Process(
            target=accept_all, args=(listener, patience), daemon=True)
        self.process.start()
        listener.close()

    def memory(self):
        return 0.0

    def stop(self):
        self.process.kill()
        self.process.join()


# Attacks: each gives what became of it, and whether that is as it must be --------------------------

def half_open(broker, options):
    """Connections that send a byte a second of a handshake that never ends."""
    raw, sockets, refused = HEADER + start_ok("guest", "guest"), {}, 0
    start = time.monotonic()
    for _ in range(options.half_open):
        try:
            one = socket.create_connection(("127.0.0.1", broker.port), timeout=5)
            one.setblocking(False)
            sockets[one] = (time.monotonic(), 0)
        except OSError:
            refused += 1
    opened, peak, lifetimes = len(sockets), 0, []
    while sockets and time.monotonic() < start + HANDSHAKE_SECONDS * 2 + 20:
        turn = time.monotonic()
        for one, (since, at) in list(sockets.items()):
            try:
                one.send(raw[at:at + 1])
                sockets[one] = (since, min(at + 1, len(raw) - 2))
                if not one.recv(4096):
                    raise ConnectionError
            except BlockingIOError:
                continue
            except OSError:
                lifetimes.append(time.monotonic() - since)
                one.close()
                del sockets[one]
        peak = max(peak, broker.memory())
        time.sleep(max(turn + 1 - time.monotonic(), 0.01))
    left = len(sockets)
    for one in sockets:
        one.close()
    longest = round(max(lifetimes, default=0), 1)
    # Closing lags by at most a turn of ours and the linger of the broker.
    return {"opened": opened, "refused": refused, "left": left, "longest_seconds": longest,
            "peak_mib": round(peak, 1), "good": left == 0 and longest <= HANDSHAKE_SECONDS + 8}


def login_storm(broker, options):
    """Wrong passwords, as fast as the broker takes them (or `pace` a second), on 200 connections at a
    time."""
    start, selector = time.monotonic(), selectors.DefaultSelector()
    end = start + options.seconds
    tries = refused = admitted = 0

    def begin():
        nonlocal tries
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", broker.port))
        selector.register(one, selectors.EVENT_WRITE, 0)
        tries += 1

    def finish(one):
        selector.unregister(one)
        one.close()
        if options.pace:
            time.sleep(max(start + tries / options.pace - time.monotonic(), 0))
        if time.monotonic() < end:
            begin()

    for _ in range(200):
        begin()
    while time.monotonic() < end:
        for key, _ in selector.select(0.2):
            try:
                if key.data == 0:
                    key.fileobj.send(HEADER + start_ok("guest", f"wrong{tries}"))
                    selector.modify(key.fileobj, selectors.EVENT_READ, 1)
                    continue
                got = key.fileobj.recv(8192)
                admitted += b"\x00\x0a\x00\x1e" in got[:11]
                if not got or b"ACCESS_REFUSED" in got:
                    refused += b"ACCESS_REFUSED" in got
                    finish(key.fileobj)
            except OSError:
                finish(key.fileobj)
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return {"tries": tries, "refused": refused, "admitted": admitted,
            "good": tries > 0 and admitted == 0}


def fill(broker, options):
    """A queue with many messages."""
    filler = Connection(broker.port)
    filler.open()
    filler.confirms()
    filler.declare("stuck", durable=True)
    for sent in range(0, options.ready, 2_000):
        filler.send(publish(1, "", "stuck", b"x" * 100, True) * 2_000)
        filler.wait_confirmed(sent + 2_000)
    filler.close()


def stuck_consumer(broker, options):
    """Consumes a long queue without prefetch, without acks, and without ever reading."""
    before = broker.memory()
    consumers = []
    for number in range(options.stuck):
        one = Connection(broker.port)
        one.open()
        one.send(method(1, 60, 20, b"\0\0" + short("stuck") + short(f"c{number}") + b"\0" + table()))
        consumers.append(one)
    peak, end = before, time.monotonic() + options.seconds
    while time.monotonic() < end:
        time.sleep(0.2)
        peak = max(peak, broker.memory())
    for one in consumers:
        one.socket.close()
    filler = Connection(broker.port)
    filler.open()
    _, ready = filler.declare("stuck", durable=True)
    deadline = time.monotonic() + 20
    while ready < options.ready and time.monotonic() < deadline:
        time.sleep(0.2)
        _, ready = filler.declare("stuck", durable=True)
    filler.delete("stuck")
    filler.close()
    grown = round(peak - before, 1)
    return {"ready": options.ready, "grown_mib": grown, "back": ready,
            "good": grown <= 64 and ready == options.ready}


def many_channels(broker, options):
    """All channels of one connection, with many consumers each."""
    before, client = broker.memory(), Connection(broker.port)
    client.open()
    client.declare("many", exclusive=True)
    started, opened, consumers, refusal = time.monotonic(), 0, 0, None
    try:
        for channel in range(1, options.channels + 1):
            if channel > 1:
                client.open(channel)
            opened += 1
            client.send(b"".join(
                method(channel, 60, 20, b"\0\0" + short("many") + short(f"c{n}") + b"\0" + table())
                for n in range(options.consumers)))
            for _ in range(options.consumers):
                client.expect(channel, (60, 21))
            consumers += options.consumers
    except Closed as error:
        refusal = str(error)
    seconds, peak = time.monotonic() - started, broker.memory()
    client.socket.close()
    probe = Connection(broker.port)
    probe.open()
    probe.declare("probe", auto_delete=True)
    probe.close()
    time.sleep(2)
    each = (peak - before) * 1024 / max(consumers, 1)
    return {"channels": opened, "consumers": consumers, "refusal": refusal, "peak_mib": round(peak, 1),
            "kib_a_consumer": round(each, 2), "after_mib": round(broker.memory(), 1),
            "seconds": round(seconds, 1),
            "good": each < 4 or peak - before < 16}


def stalled_bodies(broker, options):
    """Clients that announce 16 MiB and stall: at once, and after as much as the broker takes."""
    before, clients = broker.memory(), []
    head = frame(CONTENT, 1, struct.pack(">HHQH", 60, 0, 16 << 20, 0))
    begin = method(1, 60, 40, b"\0\0" + short("") + short("nowhere") + b"\0") + head
    for number in range(options.stalled):
        client = Connection(broker.port)
        client.open()
        client.send(begin)
        clients.append(client)
    time.sleep(1)
    announced = broker.memory()
    piece = frame(BODY, 1, b"x" * 131_000)
    for client in clients:
        client.socket.setblocking(False)
        client.rest = b""
    peak, end, closed = announced, time.monotonic() + options.seconds, set()
    while time.monotonic() < end:
        for client in clients:
            if client in closed:
                continue
            try:
                client.sent = getattr(client, "sent", 0)
                if client.sent < 10 << 20:
                    client.rest = client.rest or piece
                    count = client.socket.send(client.rest)
                    client.rest, client.sent = client.rest[count:], client.sent + count
            except BlockingIOError:
                pass
            except OSError:
                closed.add(client)
        peak = max(peak, broker.memory())
    for client in clients:
        client.socket.close()
    time.sleep(2)
    return {"clients": len(clients), "announced_mib": round(announced - before, 1),
            "grown_mib": round(peak - before, 1), "closed": len(closed),
            "after_mib": round(broker.memory(), 1),
            "good": announced - before < 100 and peak - before < options.half_received_mib * 2 + 64}


# name, what it does, by how much the good clients' p99 may grow
ATTACKS = [("half-open", half_open, 2), ("login-storm", login_storm, 3),
           ("stuck-consumer", stuck_consumer, 3), ("many-channels", many_channels, 3),
           ("stalled-bodies", stalled_bodies, 3), ("vulnerabilities", vulnerabilities, None),
           ("guess-users", guess_users, None)]
# what the broker is started with
FLAGS = {"vulnerabilities": REPLAY_FLAGS,
         "guess-users": ["--login-failure-delay=0", "--login-backoff-max=0"]}
# what is also done to nobody, while good clients are timed: how long nobody waits to close
ALONE = {"half-open": HANDSHAKE_SECONDS, "login-storm": 0}
# what is done before good clients are timed
BEFORE = {"stuck-consumer": fill}


def apart(attack, broker, options):
    """Runs an attack in a process of its own, which leaves the processor to the others: the
    attacker's cost is not the broker's."""
    output = multiprocessing.Queue()

    def child():
        os.nice(15)
        try:
            output.put(attack(broker, options))
        except (Closed, OSError) as error:
            output.put({"good": False, "error": f"{type(error).__name__}: {error}"})

    process = multiprocessing.Process(target=child, daemon=True)
    process.start()
    found = output.get(timeout=600)
    process.join()
    return found


def machine_share(name, attack, found, broker, options):
    """How good clients fare beside an attack that does the same to nobody, as often."""
    nobody = Nobody(ALONE[name])
    try:
        good = Good(broker, options.good, options.seconds + options.longer)
        options.pace = found.get("tries", 0) / options.seconds
        apart(attack, nobody, options)
        return good.result()
    finally:
        options.pace = 0
        nobody.stop()


def run_one(name, attack, factor, options):
    flags = [f"--half-received-max={options.half_received_mib}MiB", *FLAGS.get(name, []),
             *options.flag]
    broker = Broker("--log-level", "debug" if name == "vulnerabilities" else "error", *flags,
                    definitions=DEFINITIONS)
    try:
        BEFORE.get(name, lambda *_: None)(broker, options)
        baseline = Good(broker, options.good, options.baseline).result()
        before = broker.memory()
        good = Good(broker, options.good, options.seconds + options.longer) if factor else None
        found = apart(attack, broker, options)
        during = good.result() if good else baseline
        alone = None
        if options.machine and name in ALONE:
            alone = machine_share(name, attack, found, broker, options)
    finally:
        ran = broker.runs()
        stopped = broker.stop()
    # Below a few milliseconds a factor measures the machine only.
    bound = max(baseline["p99"] * (factor or 1), options.floor_ms)
    verdict = found["good"] and ran and stopped and not during["lost_connections"]
    slowed = bool(factor) and during["p99"] > bound
    return {"attack": name, "passed": verdict and (not slowed or options.ignore_latency),
            "slowed": slowed, "baseline": baseline, "during": during, "machine": alone,
            "memory_before_mib": round(before, 1), "found": found}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small numbers, for each change")
    parser.add_argument("--only", action="append", help="an attack's name")
    parser.add_argument("--json", help="where to write the results")
    parser.add_argument("--flag", action="append", default=[], help="for the broker")
    parser.add_argument("--floor-ms", type=float, default=10, help="a p99 that is never too slow")
    parser.add_argument("--machine", action="store_true", help="also do half-open and login-storm to"
                        " a listener that does nothing: what they cost without a broker's work")
    parser.add_argument("--ignore-latency", action="store_true", help="report it, and judge the rest")
    options = parser.parse_args()
    few, options.pace = options.short, 0
    for name, small, large in [
            ("half_open", 500, 10_000), ("ready", 40_000, 1_000_000), ("stuck", 1, 1),
            ("channels", 100, 2047), ("consumers", 20, 100), ("stalled", 100, 1_000),
            ("seconds", 3, 20), ("baseline", 2, 10), ("good", 20, 100), ("longer", 1, 5),
            ("half_received_mib", 32, 256), ("guesses", 20, 150),
            # Few guesses on a busy machine say less; what a check takes is 1.
            ("guess_differs", 0.3, 0.05)]:
        setattr(options, name, small if few else large)
    return options


def main():
    options, results = arguments(), []
    for name, attack, factor in ATTACKS:
        if options.only and name not in options.only:
            continue
        result = run_one(name, attack, factor, options)
        results.append(result)
        found = {key: one for key, one in result["found"].items() if key not in ("good", "answers")}
        alone = result["machine"]
        alone = f" ({alone['p99']} without a broker's work)" if alone else ""
        print(f"{'ok  ' if result['passed'] else 'FAIL'} {name:16} good p99 "
              f"{result['baseline']['p99']:8} -> {result['during']['p99']:8} ms{alone}, max "
              f"{result['during']['max']:8} ms; {json.dumps(found)}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    sys.exit(0 if all(result["passed"] for result in results) else 1)


if __name__ == "__main__":
    main()
