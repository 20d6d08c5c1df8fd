#!/usr/bin/env python3
"""Compare Leveret with RabbitMQ, with the limit and with NATS: the same load, in turns, on the same
machine.

Each round starts one broker, runs every scenario on it, stops it, and does the same with the next,
so that what else the machine does falls on all. A broker runs alone, with default settings, fresh
data and free ports. The limit is a program that moves the same bytes between the same load
generators and does nothing else (crates/client/examples/limit); NATS core is there for reference,
since it stores nothing and has neither acks nor confirms. Both take their turns where they can play
the part. Scenarios are loads of `leveret perf`, probes are loads of crates/client/examples/loads.
Reported are medians over the rounds with the lowest and highest value, the ratio to RabbitMQ, the
share of the limit, and the CPU time that the broker itself used (from /proc, generator not
included; microseconds a message are seconds a million). What a broker fails at has no figure, is
told below the table, and makes the comparison fail at its end, not before.

The sweep is latency over load: first the rate that a broker reaches by itself, then 1,000 messages
a second and shares of that rate. Latencies with a rate are counted from the time a message was
due, and include all that was due. Standard library only; Linux only.

    bench/compare.py --rounds 3 --json result.json
    bench/compare.py --scenarios all --rounds 1
    bench/compare.py --scenarios durable,latency,sweep --seconds 20
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import brokers
from brokers import Failure, Leveret, Limit, Nats, RabbitMQ
from brokers import cpu_seconds, fresh, load, memory, memory_mib, uri_of
from tables import confirm, decimals, grouped, kib, latency, markdown, milliseconds
from tables import ratio, share, spread

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
    "latency20k", "sweep",
}
# Those that NATS can play, one publisher with one subject, and what its load is told.
NATS = {
    "small": "--size 24",
    "transient": "--size 1024",
    "large": "--size 65536",
    "fanout": "--size 256 --subscribers 4 --subscriptions 100",
    "latency": "--size 1024 --rate 1000",
    "latency20k": "--size 1024 --rate 20000",
}
PLAYS = {Limit.name: LIMITED, Nats.name: set(NATS)}

# Seconds of warm-up in addition, where it takes them until all threads are under way.
MORE_WARMUP = {"connections1000": 4}

# The loads of the sweep, and the shares of what a broker reaches by itself.
SWEEP = {"no ack": "--size 1024 --auto-ack", "acked": "--size 1024 --confirm 1000 --qos 1000"}
SWEEP_SHARES = (0.1, 0.3, 0.5, 0.8)
SWEEP_IDLE = 1000
SWEEP_REST_SECONDS = 1.5
PERCENTILES = {"median": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}

# What churns: kind, and what its load is told. So many at once is where RabbitMQ is at its best.
CHURN = {
    "connections": "connections --threads 2 --at-once 8",
    "connections_whole": "connections --threads 2 --at-once 8 --whole",
    "channels": "channels --threads 2 --at-once 64",
    "queues": "queues --threads 2 --at-once 64",
}


def run_scenario(broker, options, name):
    """One run of the load; its figures with the broker's CPU and memory added."""
    run, arguments = brokers.perf, SCENARIOS[name][1].split()
    if broker.name == Nats.name:
        run, arguments = brokers.nats_perf, NATS[name].split()
    extra = MORE_WARMUP.get(name, 0)
    return run(broker, options, arguments, options.seconds + extra, options.warmup + extra)

# ---- probes: what is not a rate of messages through queues


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
        "cpu": told["broker_cpu"] * 1e6 / told["published_in_all"],
    }


def probe_churn(broker, options):
    found = {}
    for kind, arguments in CHURN.items():
        told = load(broker, options, "churn", *arguments.split(), "--seconds", options.seconds / 3)
        count = max(1, told["count"])
        found[kind] = told["count"] / told["seconds"]
        found[f"{kind}_cpu"] = told["broker_cpu"] * 1e6 / count
        found[f"{kind}_generator_cpu"] = told["generator_cpu"] * 1e6 / count
    return found


def probe_sweep(broker, options):
    """Of each load, what the broker reaches by itself, and latencies at rates below that."""
    seconds, warmup = options.sweep_seconds, options.sweep_seconds / 4
    found = {}
    for kind, arguments in SWEEP.items():
        run = lambda *more: brokers.perf(broker, options, [*arguments.split(), *more], seconds,
                                         warmup)
        capacity = run()["received_per_second"]
        # What is left of that must not be in the latencies: queues to delete, memory to collect.
        time.sleep(SWEEP_REST_SECONDS)
        points = {}
        for part in ("idle", *SWEEP_SHARES):
            rate = SWEEP_IDLE if part == "idle" else capacity * part
            figures = run("--rate", f"{rate:.1f}", "--drain", "5")
            points[str(part)] = {
                "rate": rate,
                "received_per_second": figures["received_per_second"],
                # What had not come five seconds after the end: then the rate was too much.
                "missing": figures["missing"],
                "lag_us_max": figures["lag_us_max"],
                "latency_us": figures["latency_us"],
                "confirm_latency_us": figures["confirm_latency_us"],
                "broker_cpu_us_per_message": figures["broker_cpu_us_per_message"],
            }
        found[kind] = {"capacity": capacity, "points": points}
    return found


def probe_footprint(broker, options):
    """Memory and CPU at rest; on a broker that has done nothing else yet."""
    time.sleep(1)
    found = {"idle_mib": memory_mib(broker.pid())}

    def weigh(kind, count, within=lambda: None):
        # Without pages of the binary, which come on the way and are nobody's.
        before = memory(broker.pid())["RssAnon"]
        with Held(broker, options, kind, count):
            grown = memory(broker.pid())["RssAnon"] - before
            found[f"{kind}_{count}_kib"] = grown / 1024 / count
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
    "sweep": ("latency over load", probe_sweep),
}


def tell(broker, name, figures):
    """One line of progress."""
    if name in SCENARIOS:
        cpu = figures["broker_cpu_us_per_message"]
        cpu = "none" if cpu is None else f"{cpu:.2f}"
        shown = f"{figures['received_per_second']:10.0f}/s  {cpu} us CPU a message"
    elif name == "sweep":
        shown = "; ".join(
            f"{kind} of {swept['capacity']:.0f}/s, p99 "
            + ", ".join(f"{point['latency_us']['p99']}" for point in swept["points"].values())
            + " us" for kind, swept in figures.items()
        )
    else:
        shown = ", ".join(f"{key} {value:.1f}" for key, value in figures.items())
    print(f"{broker.name:9} {name:15} {shown}", file=sys.stderr, flush=True)


def run_turn(make, options, names):
    """Starts one broker, runs scenarios and probes on it, stops it."""
    with fresh(make, options) as broker:
        started = time.monotonic()
        broker.start()
        turn = {"start_seconds": time.monotonic() - started, "scenarios": {}, "probes": {},
                "failures": []}
        for name in names:
            try:
                if name in PROBES:
                    turn["probes"][name] = figures = PROBES[name][1](broker, options)
                else:
                    turn["scenarios"][name] = figures = run_scenario(broker, options, name)
            except Failure as failure:
                print(f"{broker.name:9} {name:15} {failure}", file=sys.stderr, flush=True)
                turn["failures"].append(f"{name}: {str(failure).splitlines()[0]}")
                continue
            tell(broker, name, figures)
        return turn


def run_turns(kind, make, options, names):
    """A broker's turn of a round."""
    names = [name for name in names if name in PLAYS.get(kind, names)]
    rest = [name for name in names if name != "footprint"]
    turn = {"scenarios": {}, "probes": {}, "failures": []}
    if rest:
        turn = run_turn(make, options, rest)
    if len(rest) < len(names):
        alone = run_turn(make, options, ["footprint"])
        turn["probes"] |= alone["probes"]
        turn["failures"] += alone["failures"]
        turn.setdefault("start_seconds", alone["start_seconds"])
    return turn


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
        (f"{kind}{key}", f"{name}{heading}", grouped if key == "" else shape)
        for kind, name, shape in (
            ("connections", "connections", grouped),
            ("connections_whole", "connections, all in one write", grouped),
            ("channels", "channels", decimals),
            ("queues", "queues", decimals),
        )
        for key, heading in (("", "/s"), ("_cpu", ": broker CPU, µs each"),
                             ("_generator_cpu", ": generator CPU, µs each"))
    ],
    "footprint": [
        ("idle_mib", "memory, MiB", kib),
        ("queues_1000_kib", "KiB a queue with one message of 100 B, of 1,000", kib),
        ("connections_1000_kib", "KiB a connection with a consumer, of 1,000", kib),
        ("connections_10000_kib", "KiB a connection with a consumer, of 10,000", kib),
        ("idle_cpu_percent", "CPU with 1,000 idle connections, % of a core", decimals),
    ],
}


def rows_of(names):
    """Name, title and, for each measure, heading, how to get it from a turn, how to write it,
    whether there is a ratio and whether there is a share of the limit."""
    for name in names:
        if name == "sweep":
            continue
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
    players, ours = list(turns), Leveret.name in turns
    ratios = ours and RabbitMQ.name in turns
    shares = ours and Limit.name in turns
    heads = ["scenario", "measure", *players]
    heads += [f"{Leveret.name} : {RabbitMQ.name}"] * ratios + ["of the limit"] * shares
    lines = []
    rows = [*rows_of(names), ("start", "seconds", lambda turn: turn["start_seconds"], decimals,
                              True, False)]
    before = None
    for title, heading, get, shape, compared, shared in rows:
        values = {broker: [get(turn) for turn in turns[broker]] for broker in players}
        if all(value is None for column in values.values() for value in column):
            continue
        cells = ["" if title == before else title, heading]
        cells += [spread(values[broker], shape) for broker in players]
        before = title
        if ratios:
            cells.append(ratio(values[Leveret.name], values[RabbitMQ.name]) if compared else "")
        if shares:
            cells.append(share(values[Leveret.name], values[Limit.name]) if shared else "")
        lines.append(cells)
    return markdown(heads, lines)


def swept(turns, broker, kind, part, which):
    """A latency of the sweep over the rounds, in microseconds; none where the rate was too much."""
    found = []
    for turn in turns[broker]:
        point = turn["probes"].get("sweep", {}).get(kind, {}).get("points", {}).get(part)
        if point and not point["missing"]:
            found.append(latency(point, "latency_us", which))
    return found


def sweep_table(turns):
    """Latency over load: one row for each load, share and percentile, one column for each
    broker."""
    players = [broker for broker in turns if any("sweep" in turn["probes"]
                                                  for turn in turns[broker])]
    rows = []
    for kind in SWEEP:
        capacities = {
            broker: [turn["probes"]["sweep"][kind]["capacity"] for turn in turns[broker]
                     if "sweep" in turn["probes"]]
            for broker in players
        }
        rows.append([f"1 KiB, {kind}", "capacity, msg/s",
                     *(spread(capacities[broker], grouped) for broker in players)])
        for part in ("idle", *map(str, SWEEP_SHARES)):
            title = f"{SWEEP_IDLE:,}/s" if part == "idle" else f"{float(part):.0%} of capacity"
            for which, heading in PERCENTILES.items():
                values = [swept(turns, broker, kind, part, which) for broker in players]
                rows.append([title, f"{heading}, ms",
                             *(spread(column, milliseconds) for column in values)])
                title = ""
    return markdown(["load", "measure", *players], rows)


def failures_of(turns):
    """What each broker failed at, in words."""
    return [f"failed, {broker}: {failure}" for broker, column in turns.items()
            for turn in column for failure in turn["failures"]]


def all_tables(turns, names):
    """Everything as Markdown."""
    found = [table(turns, names)]
    if Nats.name in turns:
        found.append(
            "NATS core is a reference: it stores nothing, and has no acks and no confirms."
        )
    if "sweep" in names:
        found.append(sweep_table(turns))
    failures = failures_of(turns)
    if failures:
        found.append("\n".join(f"- {failure}" for failure in failures))
    return "\n\n".join(found)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    brokers.add_options(parser)
    parser.add_argument(
        "--scenarios",
        default=DEFAULT_SCENARIOS,
        help=f"of {','.join([*SCENARIOS, *PROBES])}; or all (default: {DEFAULT_SCENARIOS})",
    )
    parser.add_argument("--limit", help="the program; crates/client/examples/limit if not given")
    parser.add_argument("--no-limit", action="store_true", help="leave it out")
    parser.add_argument("--no-nats", action="store_true", help="leave it out, too")
    parser.add_argument("--idle-seconds", type=float, default=30.0, help="of idle CPU")
    parser.add_argument("--sweep-seconds", type=float, default=5.0, help="of each of its rates")
    parser.add_argument("--many-connections", type=int, default=0, metavar="10000",
                        help="weigh so many idle connections, too")
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


def add_references(options, names, makers):
    """The limit and NATS take their turns after the brokers, if they have a part."""
    if options.only == "rabbitmq":
        return
    if not options.no_limit and LIMITED & set(names):
        binary = options.limit or brokers.example("limit")
        makers[Limit.name] = lambda directory: Limit(directory, binary)
    server = brokers.nats_server()
    if not options.no_nats and not options.only and server and NATS.keys() & set(names):
        makers[Nats.name] = lambda directory: Nats(directory, server)


def main():
    options, names = parse_arguments()
    makers = brokers.brokers_of(options)
    add_references(options, names, makers)
    if set(PROBES) & set(names) or Nats.name in makers:
        options.loads = options.loads or brokers.example("loads")
    turns = {name: [] for name in makers}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for name, make in makers.items():
            turns[name].append(run_turns(name, make, options, names))
    print(all_tables(turns, names))
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
    return 1 if failures_of(turns) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, subprocess.CalledProcessError) as failure:
        sys.exit(f"compare: {failure}")
