#!/usr/bin/env python3
"""Compare Leveret with RabbitMQ and with the limit: the same load, in turns, on the same machine.

Each round starts one broker, runs every scenario on it, stops it, and does the same with the next,
so that what else the machine does falls on all. A broker runs alone, with default settings, fresh
data and free ports. The limit is a program that moves the same bytes between the same load
generators and does nothing else (crates/client/examples/limit); it takes its turn where it can
play the part. Scenarios are loads of `leveret perf`, probes are loads of
crates/client/examples/loads. Reported are medians over the rounds with the lowest and highest
value, the ratio to RabbitMQ, the share of the limit, and the CPU time that the broker itself used
(from /proc, generator not included; microseconds a message are seconds a million). Standard
library only; Linux only.

    bench/compare.py --rounds 3 --json result.json
    bench/compare.py --scenarios all --rounds 1
    bench/compare.py --scenarios durable,latency --seconds 20
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

# Debian's package has its server script here; the one in PATH wants to be another user.
RABBITMQ_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"

# Name, what it is, arguments of `leveret perf`.
SCENARIOS = {
    "small": ("transient, 24 B, no ack", "--size 24 --auto-ack"),
    "transient": ("transient, 1 KiB, no ack", "--size 1024 --auto-ack"),
    "large": ("transient, 64 KiB, no ack", "--size 65536 --auto-ack"),
    "acked": (
        "acked and confirmed, 1 KiB, windows of 1,000",
        "--size 1024 --confirm 1000 --qos 1000",
    ),
    "many": (
        "transient, 1 KiB, 4 producers, 4 consumers, 4 queues",
        "--size 1024 --auto-ack --producers 4 --consumers 4 --queues 4",
    ),
    "queues100": (
        "transient, 1 KiB, no ack, 100 queues",
        "--size 1024 --auto-ack --queues 100",
    ),
    "connections1000": (
        "transient, 1 KiB, no ack, 1,000 connections, 500 queues",
        "--size 1024 --auto-ack --producers 500 --consumers 500 --queues 500"
        " --read-bytes 65536 --write-bytes 16384",
    ),
    "fanout": (
        "fan-out to 100 queues, 256 B, no ack, deliveries",
        "--size 256 --auto-ack --exchange bench.fanout --type fanout --queues 100 --consumers 4"
        " --routing-key all",
    ),
    "durable": (
        "durable, persistent, confirmed, 1 KiB, window 1,000",
        "--size 1024 --durable --persistent --confirm 1000 --qos 1000 --multi-ack-every 50",
    ),
    "durable10k": (
        "durable, persistent, confirmed, 1 KiB, window 10,000",
        "--size 1024 --durable --persistent --confirm 10000 --qos 1000 --multi-ack-every 50",
    ),
    "latency": ("latency at 1,000/s, 1 KiB, no ack", "--size 1024 --auto-ack --rate 1000"),
    "latency20k": ("latency at 20,000/s, 1 KiB, no ack", "--size 1024 --auto-ack --rate 20000"),
}
DEFAULT_SCENARIOS = "transient,small,acked"
# Scenarios that the limit can play: one size and one routing key for each producer, no disk.
LIMITED = {
    "small", "transient", "large", "acked", "many", "connections1000", "fanout", "latency",
    "latency20k",
}

# Seconds of warm-up in addition, where it takes them until all threads are under way.
MORE_WARMUP = {"connections1000": 4}

START_SECONDS = 60
STOP_SECONDS = 30
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """Something that ends the comparison, in words."""


def free_port():
    """A free port below those of outgoing connections, which could take it before the broker does,
    or meet themselves while they try to reach one that is not there yet."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def cpu_seconds(pid):
    """User and system time of a process and of its living descendants."""
    total, found = 0.0, [pid]
    while found:
        current = found.pop()
        try:
            stat = pathlib.Path(f"/proc/{current}/stat").read_text()
            tasks = list(pathlib.Path(f"/proc/{current}/task").iterdir())
        except OSError:
            continue
        user, system = stat.rpartition(")")[2].split()[11:13]
        total += (int(user) + int(system)) / TICKS_PER_SECOND
        for task in tasks:
            try:
                found += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                pass
    return total


def memory_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


class Broker:
    """A broker process in a directory of its own."""

    name = "?"

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.log = self.directory / "output.txt"
        self.process = None
        self.address = None

    def command(self):
        raise NotImplementedError

    def find_address(self):
        """Where it listens, once it does; None before."""
        raise NotImplementedError

    def pid(self):
        return self.process.pid

    def start(self):
        command, environment = self.command()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.address = self.find_address()
            if self.address:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.002)
        raise Failure(f"{self.name} did not start:\n{self.output()}")

    def output(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        try:
            os.kill(self.pid(), signal.SIGTERM)
        except ProcessLookupError:
            pass
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(self.pid(), signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def kill(self):
        """As `kill -9` does; the data stays for the next start."""
        os.kill(self.pid(), signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


class Leveret(Broker):
    name = "Leveret"

    def __init__(self, directory, binary, settings=()):
        super().__init__(directory)
        self.binary = binary
        self.settings = settings
        self.port = 0

    def command(self):
        command = [self.binary, "server", "--data-dir", str(self.directory / "data")]
        for listener, address in (
            ("amqp", f"127.0.0.1:{self.port}"),
            ("management", "none"),
            ("metrics", "none"),
        ):
            command += [f"--{listener}-listen", address]
        for setting in self.settings:
            command += ["--set", setting]
        return command, {}

    def find_address(self):
        text = self.log.read_text(errors="replace")
        found = re.search(r"^ready\b.*?\bamqp=(\S+:\d+)", text, re.MULTILINE)
        return found and found.group(1).rstrip(",")


class RabbitMQ(Broker):
    name = "RabbitMQ"

    def __init__(self, directory, server):
        super().__init__(directory)
        self.server = server
        self.port = free_port()

    def command(self):
        environment = {
            "HOME": str(self.directory),
            "RABBITMQ_NODENAME": f"compare-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
        }
        return [self.server], environment

    def pid(self):
        try:
            return int((self.directory / "pid").read_text())
        except (OSError, ValueError):
            return self.process.pid

    def find_address(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
        except OSError:
            return None
        return f"127.0.0.1:{self.port}"


class Limit(Broker):
    """Moves bytes and does nothing else."""

    name = "limit"

    def __init__(self, directory, binary):
        super().__init__(directory)
        self.binary = binary

    def command(self):
        return [self.binary], {}

    find_address = Leveret.find_address


def uri_of(broker):
    return f"amqp://guest:guest@{broker.address}"


def run_scenario(broker, options, name, more=()):
    """One run of the load; its figures with the broker's CPU and memory added."""
    arguments = SCENARIOS[name][1].split() + list(more)
    command = [options.perf, "perf", "--json", "--quiet", "--uri", uri_of(broker), *arguments]
    extra = MORE_WARMUP.get(name, 0)
    command += ["--time", str(options.seconds + extra), "--warmup", str(options.warmup + extra)]
    before = cpu_seconds(broker.pid())
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    used = cpu_seconds(broker.pid()) - before
    if done.returncode != 0:
        raise Failure(f"{name} on {broker.name}: {done.stderr.strip()}\n{broker.output()}")
    figures = json.loads(done.stdout)
    messages = figures["received_in_all"] or figures["sent_in_all"]
    figures["broker_cpu_seconds"] = used
    figures["broker_cpu_us_per_message"] = used * 1e6 / messages if messages else None
    figures["broker_memory_mib"] = memory_mib(broker.pid())
    return figures


# ---- probes: what is not a rate of messages through queues


def load(broker, options, *arguments):
    """Runs a load; what it told, with the broker's CPU."""
    command = [options.loads, *map(str, arguments), "--uri", uri_of(broker)]
    before = cpu_seconds(broker.pid())
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{arguments} on {broker.name}: {done.stderr.strip()}\n{broker.output()}")
    return {**json.loads(done.stdout), "cpu": cpu_seconds(broker.pid()) - before}


class Held:
    """A load that only stands there, while the body of a `with` looks at the broker."""

    def __init__(self, broker, options, kind, count):
        command = [options.loads, kind, "--uri", uri_of(broker), "--count", str(count)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        if not self.process.stdout.readline():
            raise Failure(self.process.stderr.read())
        time.sleep(1)

    def __exit__(self, *_):
        self.process.communicate()
        time.sleep(1)


def probe_topic(broker, options):
    told = load(broker, options, "topic", "--seconds", options.seconds - options.warmup,
                "--warmup", options.warmup)
    return {
        "published": told["published"] / told["seconds"],
        "delivered": told["delivered"] / told["seconds"],
        # Bindings included: they are part of the work, and nothing beside the messages.
        "cpu": told["cpu"] * 1e6 / told["published_in_all"],
    }


def probe_churn(broker, options):
    found = {}
    for kind in ("connections", "channels", "queues"):
        told = load(broker, options, "churn", kind, "--seconds", options.seconds / 2)
        found[kind] = told["count"] / told["seconds"]
        found[f"{kind}_cpu"] = told["cpu"] * 1e6 / max(1, told["count"])
    return found


def probe_footprint(broker, options):
    """Memory and CPU at rest; on a broker that has done nothing else yet."""
    time.sleep(1)
    found = {"idle_mib": memory_mib(broker.pid())}

    def weigh(kind, count, within=lambda: None):
        before = memory_mib(broker.pid())
        with Held(broker, options, kind, count):
            found[f"{kind}_{count}_kib"] = (memory_mib(broker.pid()) - before) * 1024 / count
            within()

    def rest():
        before = cpu_seconds(broker.pid())
        time.sleep(options.idle_seconds)
        found["idle_cpu_percent"] = (
            (cpu_seconds(broker.pid()) - before) / options.idle_seconds * 100
        )

    weigh("queues", 1000)
    weigh("connections", 1000, rest)
    if options.many_connections:
        weigh("connections", options.many_connections)
    return found


# Name, what it is, how to measure. The footprint comes first, on a broker of its own.
PROBES = {
    "footprint": ("at rest", probe_footprint),
    "topic": ("topic exchange, 10,000 bindings, 10 match", probe_topic),
    "churn": ("opened and closed", probe_churn),
}


def run_turn(make, options, names):
    """Starts one broker, runs scenarios and probes on it, stops it."""
    with tempfile.TemporaryDirectory(prefix="compare-", dir=options.directory) as directory:
        broker = make(directory)
        try:
            started = time.monotonic()
            broker.start()
            turn = {"start_seconds": time.monotonic() - started, "scenarios": {}, "probes": {}}
            for name in names:
                if name in PROBES:
                    turn["probes"][name] = figures = PROBES[name][1](broker, options)
                    shown = ", ".join(f"{key} {value:.1f}" for key, value in figures.items())
                else:
                    turn["scenarios"][name] = figures = run_scenario(broker, options, name)
                    cpu = figures["broker_cpu_us_per_message"]
                    shown = "none" if cpu is None else f"{cpu:.2f}"
                    shown = f"{figures['received_per_second']:10.0f}/s  {shown} us CPU a message"
                print(f"{broker.name:9} {name:15} {shown}", file=sys.stderr, flush=True)
            return turn
        finally:
            broker.stop()


def run_turns(make, options, names):
    """A broker's turn of a round."""
    if make is options.limit_maker:
        names = [name for name in names if name in LIMITED]
    rest = [name for name in names if name != "footprint"]
    turn = run_turn(make, options, rest) if rest else {"scenarios": {}, "probes": {}}
    if len(rest) < len(names):
        alone = run_turn(make, options, ["footprint"])
        turn["probes"] |= alone["probes"]
        turn.setdefault("start_seconds", alone["start_seconds"])
    return turn


def spread(values, shape):
    """Median (lowest to highest)."""
    values = [value for value in values if value is not None]
    if not values:
        return "–"
    middle = shape(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({shape(min(values))}–{shape(max(values))})"


def grouped(number):
    return f"{number:,.0f}"


def decimals(number):
    return f"{number:.2f}"


def milliseconds(number):
    return f"{number / 1000:,.2f}"


def kib(number):
    return f"{number:,.1f}"


# Heading, how to get it from a run, how to write it, whether ratios say something.
MEASURES = [
    ("received, msg/s", lambda run: run["received_per_second"], grouped, True),
    ("broker CPU, s a million", lambda run: run["broker_cpu_us_per_message"], decimals, True),
    ("latency p50, ms", lambda run: latency(run, "latency_us", "median"), milliseconds, True),
    ("latency p99, ms", lambda run: latency(run, "latency_us", "p99"), milliseconds, True),
    ("latency p99.9, ms", lambda run: latency(run, "latency_us", "p999"), milliseconds, True),
    ("confirm p50, ms", lambda run: confirm(run, "median"), milliseconds, False),
    ("confirm p99, ms", lambda run: confirm(run, "p99"), milliseconds, False),
    ("memory, MiB", lambda run: run["broker_memory_mib"], grouped, False),
]

# Of each probe: key, heading, how to write it.
PROBE_MEASURES = {
    "topic": [
        ("published", "published/s", grouped),
        ("delivered", "delivered/s", grouped),
        ("cpu", "broker CPU, s a million publishes", decimals),
    ],
    "churn": [
        ("connections", "connections/s", grouped),
        ("connections_cpu", "CPU, µs a connection", grouped),
        ("channels", "channels/s", grouped),
        ("channels_cpu", "CPU, µs a channel", grouped),
        ("queues", "queues/s", grouped),
        ("queues_cpu", "CPU, µs a queue", grouped),
    ],
    "footprint": [
        ("idle_mib", "memory, MiB", kib),
        ("queues_1000_kib", "KiB a queue with one message of 100 B, of 1,000", kib),
        ("connections_1000_kib", "KiB a connection with a consumer, of 1,000", kib),
        ("connections_10000_kib", "KiB a connection with a consumer, of 10,000", kib),
        ("idle_cpu_percent", "CPU with 1,000 idle connections, % of a core", decimals),
    ],
}


def latency(run, kind, which):
    figures = run[kind]
    return figures[which] if figures and figures["count"] else None


def confirm(run, which):
    return latency(run, "confirm_latency_us", which)


def ratio(ours, theirs):
    ours, theirs = ([v for v in values if v is not None] for values in (ours, theirs))
    if not ours or not theirs or statistics.median(theirs) == 0:
        return ""
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def share(ours, limit):
    """Of the limit, in per cent."""
    found = ratio(ours, limit)
    return f"{float(found):.0%}" if found else ""


def rows_of(names):
    """Name, title and, for each measure, heading, how to get it from a turn, how to write it,
    whether there is a ratio and whether there is a share of the limit."""
    for name in names:
        if name in PROBES:
            for key, heading, shape in PROBE_MEASURES[name]:
                get = lambda turn, name=name, key=key: turn["probes"].get(name, {}).get(key)
                yield PROBES[name][0], heading, get, shape, True, False
            continue
        for heading, of_run, shape, compared in MEASURES:
            def get(turn, name=name, of_run=of_run):
                run = turn["scenarios"].get(name)
                return run and of_run(run)
            yield SCENARIOS[name][0], heading, get, shape, compared, of_run is MEASURES[0][1]


def table(turns, names):
    """The result as markdown: one row for each scenario and measure, one column for each broker,
    one for the ratio to RabbitMQ and one for the share of the limit."""
    brokers, ours = list(turns), Leveret.name in turns
    ratios = ours and RabbitMQ.name in turns
    shares = ours and Limit.name in turns
    heads = ["scenario", "measure", *brokers]
    heads += [f"{Leveret.name} : {RabbitMQ.name}"] * ratios + ["of the limit"] * shares
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    rows = [*rows_of(names), ("start", "seconds", lambda turn: turn["start_seconds"], decimals,
                              True, False)]
    before = None
    for title, heading, get, shape, compared, shared in rows:
        values = {broker: [get(turn) for turn in turns[broker]] for broker in brokers}
        if all(value is None for column in values.values() for value in column):
            continue
        cells = ["" if title == before else title, heading]
        cells += [spread(values[broker], shape) for broker in brokers]
        before = title
        if ratios:
            cells.append(ratio(values[Leveret.name], values[RabbitMQ.name]) if compared else "")
        if shares:
            cells.append(share(values[Leveret.name], values[Limit.name]) if shared else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_arguments():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leveret", default=str(root / "target" / "release" / "leveret"))
    parser.add_argument("--rabbitmq", help="its server script; Debian's if not given")
    parser.add_argument("--perf", help="load generator; the binary of --leveret if not given")
    parser.add_argument("--only", choices=("leveret", "rabbitmq"), help="run one broker only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run, with warm-up")
    parser.add_argument("--warmup", type=float, default=2.0)
    parser.add_argument(
        "--scenarios",
        default=DEFAULT_SCENARIOS,
        help=f"of {','.join([*SCENARIOS, *PROBES])}; or all (default: {DEFAULT_SCENARIOS})",
    )
    parser.add_argument("--limit", help="the program; crates/client/examples/limit if not given")
    parser.add_argument("--no-limit", action="store_true", help="leave it out")
    parser.add_argument("--loads", help="crates/client/examples/loads if not given")
    parser.add_argument("--idle-seconds", type=float, default=10.0, help="of idle CPU")
    parser.add_argument("--many-connections", type=int, default=0, metavar="10000",
                        help="weigh so many idle connections, too")
    parser.add_argument("--directory", help="where brokers keep their data; a temporary one")
    parser.add_argument("--json", help="file for every single figure")
    options = parser.parse_args()
    options.perf = options.perf or options.leveret
    every = [*SCENARIOS, *PROBES]
    names = every if options.scenarios == "all" else options.scenarios.split(",")
    for name in names:
        if name not in every:
            parser.error(f"no scenario is called {name}")
    if options.rounds < 1:
        parser.error("--rounds has to be at least 1")
    return options, names


def brokers_of(options):
    """How to make each broker, in the order of their turns."""
    makers = {}
    if options.only != "rabbitmq":
        makers[Leveret.name] = lambda directory: Leveret(directory, options.leveret)
    if options.only != "leveret":
        packaged = RABBITMQ_SERVER if os.path.exists(RABBITMQ_SERVER) else None
        server = options.rabbitmq or packaged or shutil.which("rabbitmq-server")
        if not server:
            raise Failure("there is no rabbitmq-server; give --rabbitmq or --only leveret")
        makers[RabbitMQ.name] = lambda directory: RabbitMQ(directory, server)
    return makers


def example(name):
    """An example program of crates/client, built."""
    root = pathlib.Path(__file__).resolve().parent.parent
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "-p", "leveret-client",
         "--example", name],
        cwd=root, check=True,
    )
    return str(target / "release" / "examples" / name)


def add_limit(options, names, makers):
    """The limit takes its turn after the brokers, if it has a part."""
    options.limit_maker = None
    if options.no_limit or options.only == "rabbitmq" or not LIMITED & set(names):
        return
    binary = options.limit or example("limit")
    options.limit_maker = makers[Limit.name] = lambda directory: Limit(directory, binary)


def main():
    options, names = parse_arguments()
    makers = brokers_of(options)
    add_limit(options, names, makers)
    if set(PROBES) & set(names):
        options.loads = options.loads or example("loads")
    turns = {name: [] for name in makers}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for name, make in makers.items():
            turns[name].append(run_turns(make, options, names))
    print(table(turns, names))
    if options.json:
        result = {
            "rounds": options.rounds,
            "seconds": options.seconds,
            "warmup": options.warmup,
            "cores": os.cpu_count(),
            "scenarios": {name: SCENARIOS[name][1] for name in names if name in SCENARIOS},
            "turns": turns,
        }
        pathlib.Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, subprocess.CalledProcessError) as failure:
        sys.exit(f"compare: {failure}")
