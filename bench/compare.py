#!/usr/bin/env python3
"""Compare Leveret with RabbitMQ: the same load, in turns, on the same machine.

Each round starts one broker, runs every scenario on it with `leveret perf`, stops it, and does the
same with the other, so that what else the machine does falls on both. A broker runs alone, with
default settings, fresh data and free ports. Reported are medians over the rounds with the lowest
and highest value, the ratio of the rates, and the CPU time that the broker itself used for a
message (from /proc, generator not included). Standard library only; Linux only.

    bench/compare.py --rounds 3 --json result.json
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
    "transient": ("transient, 1 KiB, no ack", "--size 1024 --auto-ack"),
    "small": ("transient, 24 B, no ack", "--size 24 --auto-ack"),
    "acked": (
        "acked and confirmed, 1 KiB, windows of 1,000",
        "--size 1024 --confirm 1000 --qos 1000",
    ),
    "many": (
        "transient, 1 KiB, 4 producers, 4 consumers, 4 queues",
        "--size 1024 --auto-ack --producers 4 --consumers 4 --queues 4",
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


def run_scenario(broker, options, name, more=()):
    """One run of the load; its figures with the broker's CPU and memory added."""
    arguments = SCENARIOS[name][1].split() + list(more)
    uri = f"amqp://guest:guest@{broker.address}"
    command = [options.perf, "perf", "--json", "--quiet", "--uri", uri, *arguments]
    command += ["--time", str(options.seconds), "--warmup", str(options.warmup)]
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


def run_turn(make, options, names):
    """Starts one broker, runs the scenarios on it, stops it."""
    with tempfile.TemporaryDirectory(prefix="compare-", dir=options.directory) as directory:
        broker = make(directory)
        try:
            started = time.monotonic()
            broker.start()
            start_seconds = time.monotonic() - started
            results = {}
            for name in names:
                results[name] = figures = run_scenario(broker, options, name)
                rate, cpu = figures["received_per_second"], figures["broker_cpu_us_per_message"]
                shown = "none" if cpu is None else f"{cpu:.2f}"
                print(
                    f"{broker.name:9} {name:10} {rate:10.0f}/s  {shown} us CPU a message",
                    file=sys.stderr,
                    flush=True,
                )
            return {"start_seconds": start_seconds, "scenarios": results}
        finally:
            broker.stop()


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


# Heading, how to get it from a run, how to write it, whether a ratio says something.
MEASURES = [
    ("received, msg/s", lambda run: run["received_per_second"], grouped, True),
    ("broker CPU, µs/msg", lambda run: run["broker_cpu_us_per_message"], decimals, True),
    ("latency p50, ms", lambda run: latency(run, "latency_us", "median"), milliseconds, False),
    ("latency p99, ms", lambda run: latency(run, "latency_us", "p99"), milliseconds, False),
    ("confirm p50, ms", lambda run: latency(run, "confirm_latency_us", "median"), milliseconds, False),
    ("confirm p99, ms", lambda run: latency(run, "confirm_latency_us", "p99"), milliseconds, False),
    ("memory, MiB", lambda run: run["broker_memory_mib"], grouped, False),
]


def latency(run, kind, which):
    figures = run[kind]
    return figures[which] if figures and figures["count"] else None


def ratio(ours, theirs):
    ours, theirs = ([v for v in values if v is not None] for values in (ours, theirs))
    if not ours or not theirs or statistics.median(theirs) == 0:
        return ""
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def table(turns, names):
    """The result as markdown: one row for each scenario and measure, one column for each broker."""
    brokers = list(turns)
    both = len(brokers) == 2
    heads = ["scenario", "measure", *brokers] + ([" : ".join(brokers)] if both else [])
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in names:
        title = SCENARIOS[name][0]
        for measure, get, shape, compared in MEASURES:
            values = {
                broker: [get(turn["scenarios"][name]) for turn in turns[broker]]
                for broker in brokers
            }
            if all(value is None for column in values.values() for value in column):
                continue
            cells = [title, measure, *(spread(values[broker], shape) for broker in brokers)]
            if both:
                cells.append(ratio(*values.values()) if compared else "")
            lines.append("| " + " | ".join(cells) + " |")
            title = ""
    starts = {broker: [turn["start_seconds"] for turn in turns[broker]] for broker in brokers}
    cells = ["start", "seconds", *(spread(starts[broker], decimals) for broker in brokers)]
    lines.append("| " + " | ".join(cells + ([""] if both else [])) + " |")
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
        help=f"of {','.join(SCENARIOS)}; or all (default: {DEFAULT_SCENARIOS})",
    )
    parser.add_argument("--directory", help="where brokers keep their data; a temporary one")
    parser.add_argument("--json", help="file for every single figure")
    options = parser.parse_args()
    options.perf = options.perf or options.leveret
    names = list(SCENARIOS) if options.scenarios == "all" else options.scenarios.split(",")
    for name in names:
        if name not in SCENARIOS:
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


def main():
    options, names = parse_arguments()
    makers = brokers_of(options)
    turns = {name: [] for name in makers}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for name, make in makers.items():
            turns[name].append(run_turn(make, options, names))
    print(table(turns, names))
    if options.json:
        result = {
            "rounds": options.rounds,
            "seconds": options.seconds,
            "warmup": options.warmup,
            "cores": os.cpu_count(),
            "scenarios": {name: SCENARIOS[name][1] for name in names},
            "turns": turns,
        }
        pathlib.Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"compare: {failure}")
