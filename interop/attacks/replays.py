"""Published vulnerabilities of brokers and clients that can concern this one, replayed: each step says
how it was refused. CVE numbers are of RabbitMQ and its clients where no other name stands."""

import base64
import hashlib
import os
import random
import socket
import statistics
import struct
import time
from concurrent.futures import ThreadPoolExecutor

from amqp import (BODY, CAPABILITIES, CONTENT, HEADER, METHOD, Closed, Connection, frame, method,
                  publish, short, start_ok, table)

TUNE = b"\x00\x0a\x00\x1e"
PROXY = "127.0.0.2"  # the only address from which a PROXY header is heard
FLAGS = ["--proxy-protocol=true", f"--proxy-protocol-from={PROXY}"]
SECRET = "correct horse battery staple"  # a password that must not be in the log


def user(name, password, tags=""):
    """A user of a definitions file, with RabbitMQ's hash; none if there is no password."""
    salt = name.encode()[:4].ljust(4)
    digest = salt + hashlib.sha256(salt + (password or "").encode()).digest()
    return {"name": name, "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": tags,
            "password_hash": "" if password is None else base64.b64encode(digest).decode()}


def granted(name, vhost="/"):
    return {"user": name, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}


def topics(name, pattern):
    return {"user": name, "vhost": "/", "exchange": "amq.topic", "write": pattern, "read": pattern}


NAMES = {"keyless": None, "empty": "", "imported": SECRET, ".*": SECRET, "a|.*": SECRET,
         "device": SECRET}
DEFINITIONS = {
    "rabbit_version": "3.10.8", "vhosts": [{"name": "/"}],
    "users": [user("guest", "guest", "administrator")]
    + [user(name, password) for name, password in NAMES.items()],
    "permissions": [granted(name) for name in ["guest", *NAMES]],
    "topic_permissions": [topics(".*", "^{username}$"), topics("a|.*", "^{username}$"),
                          topics("device", r"^{client_id}\.up$")]}


def nested(depth):
    """A table that holds a table, and so on; innermost an empty one."""
    sizes = range(7 * (depth - 1), -1, -7)
    return struct.pack(">I", 7 * depth) + b"".join(
        short("t") + b"F" + struct.pack(">I", size) for size in sizes)


def answer_to(broker, raw, source="127.0.0.1", seconds=8):
    """What a fresh socket is answered to `raw`, until it is closed, logged in or the time is over."""
    address = ("127.0.0.1", broker.port)
    with socket.create_connection(address, seconds, (source, 0)) as one:
        got = b""
        try:
            one.sendall(raw)
            while TUNE not in got and (more := one.recv(65_536)):
                got += more
        except OSError:
            pass
        return got


def answers_to(broker, named):
    """The same for many at a time: `named` has what is sent, and from where."""
    with ThreadPoolExecutor(len(named)) as pool:
        answers = pool.map(lambda one: answer_to(broker, *one), named.values())
    return dict(zip(named, answers))


def refused(broker, expected, step, frame_max=131_072, **login):
    """Whether a client that does `step` is closed with one of the codes `expected`."""
    client = Connection(broker.port, frame_max=frame_max, **login)
    client.open()
    try:
        client.send(step)
        client.declare("probe.after", auto_delete=True)
        return 200 in expected, "accepted"
    except Closed as error:
        return error.code in expected, str(error)
    except OSError as error:
        return 0 in expected, str(error)
    finally:
        client.socket.close()


def kept_out(broker, named):
    """What nobody may be logged in by."""
    found = {}
    for name, got in answers_to(broker, named).items():
        what = "admitted" if TUNE in got else f"refused, {len(got)} bytes"
        found[name] = TUNE not in got and broker.runs(), what
    return found


def credentials(broker):
    """Logins without what proves who one is (2016-9877), and what is no login at all."""
    def login(response, mechanism="PLAIN", source="127.0.0.1"):
        return HEADER + start_ok("", "", response=response, mechanism=mechanism), source

    def amqplain(**fields):
        return login(table(fields)[4:], "AMQPLAIN")

    return kept_out(broker, {
        "an empty password": login("\0guest\0"), "no password": login("\0guest"),
        "no response": login(""), "no user": login("\0\0guest"), "both empty": login("\0\0"),
        "an empty password of a user without one": login("\0keyless\0"),
        "any password of a user without one": login("\0keyless\0guest"),
        "an empty password whose hash is stored": login("\0empty\0"),
        "AMQPLAIN without a password": amqplain(LOGIN="guest"),
        "AMQPLAIN with an empty password": amqplain(LOGIN="guest", PASSWORD=""),
        "AMQPLAIN with an empty password of a user without one":
            amqplain(LOGIN="keyless", PASSWORD=""),
        "AMQPLAIN with a password that is a number": amqplain(LOGIN="guest", PASSWORD=0),
        "EXTERNAL without a certificate": login("guest", "EXTERNAL"),
        "ANONYMOUS that nobody enabled": login("", "ANONYMOUS"),
        "a mechanism that was not offered": login("\0guest\0guest", "RABBIT-CR-DEMO"),
        "a password with a NUL": login("\0guest\0guest\0"),
        "AMQP 1.0 header (2021-22116)": (b"AMQP\x03\x01\x00\x00" + b"\0" * 100,),
        "a frame before login beyond 8 KiB": (HEADER + struct.pack(">BHI", METHOD, 0, 8_193),),
        "no AMQP at all": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",),
    })


def version_2(source, family=0x11):
    """A PROXY header of version 2; a local connection has no addresses."""
    command = 0x21 if source else 0x20
    addresses = b"".join(map(socket.inet_aton, (source, "127.0.0.1"))) + b"\x12\x67\x16\x28" \
        if source else b""
    return (b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family if source else 0])
            + struct.pack(">H", len(addresses)) + addresses)


def forged_addresses(broker):
    """The user of this machine alone, from elsewhere (2014-9494): by a header of one's own, or
    through a proxy that says where one is."""
    login = HEADER + start_ok("guest", "guest")
    local = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 5672\r\n"
    remote = b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 5672\r\n"
    found = kept_out(broker, {
        "a PROXY header of one's own": (local + login,),
        "a PROXY header of one's own, version 2": (version_2("127.0.0.1") + login,),
        "guest from elsewhere by a proxy": (remote + login, PROXY),
        "guest from elsewhere by a proxy, version 2": (version_2("198.51.100.7") + login, PROXY),
        "guest of an address that the proxy does not know": (b"PROXY UNKNOWN\r\n" + login, PROXY),
        "guest by a proxy without a header": (login, PROXY),
        "guest by a proxy, with a second header": (remote + local + login, PROXY),
        "a PROXY header without an end": (b"PROXY TCP4 " + b"1" * 4_096 + login, PROXY),
        "a PROXY header of a name": (b"PROXY TCP4 localhost 127.0.0.1 1 2\r\n" + login, PROXY),
    })
    # The same way in is open to whom it is meant for.
    got = answer_to(broker, remote + HEADER + start_ok("imported", SECRET), PROXY)
    found["others from elsewhere by a proxy"] = TUNE in got, "admitted" if TUNE in got else "refused"
    return found


def patterns(broker):
    """Names and client ids that are patterns themselves (2026-44838)."""
    found = {}

    def publishing(name, key, expected):
        step = publish(1, "amq.topic", key, b"x")
        found[f"'{name}' publishes '{key}'"] = refused(
            broker, expected, step, user=name, password=SECRET)

    publishing(".*", "other", {403})
    publishing(".*", ".*", {200})
    publishing("a|.*", "a", {403})
    publishing("a|.*", "other", {403})
    publishing("device", "other.up", {403})
    publishing("device", ".up", {403})
    # A client id of a client's own making stands for nothing.
    properties = dict(CAPABILITIES, client_id="other", **{"client-id": "other"})
    client = Connection(broker.port, "device", SECRET, properties=properties)
    client.open()
    try:
        client.send(publish(1, "amq.topic", "other.up", b"x"))
        client.declare("probe.after", auto_delete=True)
        found["a client id among the client's properties"] = False, "accepted"
    except Closed as error:
        found["a client id among the client's properties"] = error.code == 403, str(error)
    client.socket.close()
    return found


def frames(broker):
    """Frames, bodies and tables that are larger than agreed or than anything (2023-46120,
    2026-79921), or that have no end."""
    found = {}
    for size in (131_073, 1 << 24, 0xFFFFFFFF):
        step = struct.pack(">BHI", METHOD, 1, size) + b"x" * 16
        found[f"a frame of {size} bytes"] = refused(broker, {501}, step)
    begin = method(1, 60, 40, b"\0\0" + short("") + short("q") + b"\0")

    def content(size):
        return begin + frame(CONTENT, 1, struct.pack(">HHQH", 60, 0, size, 0))

    for size, expected in ((8_184, {200}), (8_193, {501}), (131_000, {501})):
        found[f"a body of {size} bytes where 8192 are agreed"] = refused(
            broker, expected, content(size) + frame(BODY, 1, b"x" * size), frame_max=8_192)
    found["a body longer than announced"] = refused(
        broker, {501, 505}, content(10) + frame(BODY, 1, b"x" * 11))
    found["a body of 2^62 bytes"] = refused(broker, {406}, content(1 << 62))
    for depth in (1, 10, 64, 65, 1_000, 10_000, 18_000, 100_000):
        arguments = nested(depth)
        step = method(1, 50, 10, b"\0\0" + short(f"n{depth}") + b"\x08" + arguments)
        expected = {200, 406} if depth < 60 else {200, 406, 501, 502, 0}
        good, text = refused(broker, expected, step)
        found[f"tables nested {depth} deep"] = good and broker.runs(), text
        headers = frame(CONTENT, 1, struct.pack(">HHQH", 60, 0, 0, 0x2000) + arguments)
        found[f"headers nested {depth} deep"] = refused(
            broker, {200, 406, 501, 502, 0}, begin + headers)
    stuff = method(1, 60, 20, b"\0\0" + short("q") + b"\xff" + b"x" * 10)
    found["a string beyond its frame"] = refused(broker, {501, 502}, stuff)
    found["an unknown method"] = refused(broker, {503, 540}, method(1, 60, 999))
    found["a second start-ok"] = refused(broker, {503, 504, 505, 530}, start_ok("guest", "guest"))
    found["what is sent to a client is within its frames"] = delivered_in_frames(broker)
    return found


def delivered_in_frames(broker):
    client = Connection(broker.port, frame_max=4_096)
    client.open()
    client.declare("large", auto_delete=True)
    body = os.urandom(100_000)
    pieces = b"".join(frame(BODY, 1, body[at:at + 4_000]) for at in range(0, len(body), 4_000))
    client.send(method(1, 60, 40, b"\0\0" + short("") + short("large") + b"\0")
                + frame(CONTENT, 1, struct.pack(">HHQH", 60, 0, len(body), 0)) + pieces)
    client.call(1, 60, 70, b"\0\0" + short("large") + b"\x01", [(60, 71)])
    largest, got = 0, b""
    client.frame()
    while len(got) < len(body):
        piece = client.frame()[2]
        largest, got = max(largest, len(piece) + 8), got + piece
    client.close()
    return largest <= 4_096 and got == body, f"the largest has {largest} bytes"


def nothing_logged(broker):
    """Secrets of logins, good and bad, are not in the log, which tells all that it can (2025-50200,
    2022-31008)."""
    wrong = "a wrong password that is a secret too"
    answer_to(broker, HEADER + start_ok("imported", wrong))
    answer_to(broker, HEADER + start_ok("", "", response=table(
        {"LOGIN": "imported", "PASSWORD": wrong})[4:], mechanism="AMQPLAIN"))
    client = Connection(broker.port, "imported", SECRET)
    client.close()
    texts = {"a right password": SECRET, "a wrong password": wrong,
             "a hash": DEFINITIONS["users"][3]["password_hash"]}
    found = {f"{name} in the log": (not broker.has_logged(text), "looked for")
             for name, text in texts.items()}
    found["who failed is in the log"] = broker.has_logged("imported"), "looked for"
    return found


def vulnerabilities(broker, _):
    """All of them; what went wrong, and the answers."""
    found = {}
    for replay in (credentials, forged_addresses, patterns, frames, nothing_logged):
        found |= replay(broker)
    wrong = {name: text for name, (good, text) in found.items() if not good}
    return {"replayed": len(found), "wrong": wrong, "good": not wrong and broker.runs(),
            "answers": {name: text for name, (_, text) in found.items()}}


def guess_users(broker, options):
    """How long a refusal takes: of an unknown user, and of users with a wrong password, whatever is
    stored of theirs. In rounds of all kinds, each in an order of its own, so that what else the
    machine does hits all alike."""
    Connection(broker.port).close()  # from now on guest's hash is argon2id
    kinds = ["nobody", "guest", "imported", "keyless"]
    times = {kind: [] for kind in kinds}
    order = random.Random(1)
    for number in range(options.guesses):
        for kind in order.sample(kinds, len(kinds)):
            name = f"nobody{number}" if kind == "nobody" else kind
            with socket.create_connection(("127.0.0.1", broker.port), 30) as one:
                one.sendall(HEADER)
                one.recv(65_536)
                start = time.perf_counter()
                one.sendall(start_ok(name, f"wrong{number}"))
                one.recv(65_536)
                times[kind].append((time.perf_counter() - start) * 1000)
    medians = {kind: statistics.median(found) for kind, found in times.items()}
    # By rounds: what the refusal of a user who is known takes more than one of nobody's.
    more = {kind: [mine - its for mine, its in zip(times[kind], times["nobody"])]
            for kind in kinds[1:]}
    spread = {kind: statistics.quantiles(found, n=4) for kind, found in more.items()}
    # A hash that is checked in another way, or not at all, tells itself by a whole check's time.
    good = all(abs(middle) < options.guess_differs * medians["nobody"]
               for _, middle, _ in spread.values())
    return {"median_ms": {kind: round(one, 2) for kind, one in medians.items()},
            "more_than_nobody_ms": {kind: [round(one, 2) for one in quartiles]
                                    for kind, quartiles in spread.items()},
            "guesses": options.guesses, "good": good}
