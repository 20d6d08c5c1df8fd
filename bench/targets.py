"""What is to be reached, and what was: one row for each target, from the results of compare.py and
storage.py.

A target is met by the medians of one run on one machine; the ratio is Leveret's to RabbitMQ's.

What a durable rate is held against is what binds: the disk, or the CPU. The disk's ceiling is what
its group commits of a window's size could take. The CPU's is the rate of the same broker in the
same turn under the same load with nothing durable: sockets, frames, routing, acks and confirms are
in both, so that what is missing to it is what storing costs. The limit program is not taken for
it: its confirms cost nothing, and a share of it is already a target of the transient rows. The row
is met by 70 % of either, since a machine whose disk outruns its CPU is bound by the CPU, and the
other way round; both shares are told.
"""

import statistics

import compare
import storage
from brokers import Leveret, Limit, RabbitMQ
from tables import markdown

CLASSIC, QUORUM = "RabbitMQ classic", "RabbitMQ quorum"


class Results:
    """Medians out of both results; None where something was not measured."""

    def __init__(self, compared, stored):
        self.turns = compared.get("turns", {})
        self.stored = stored

    @staticmethod
    def median(values):
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    def run(self, broker, scenario, *path):
        """A figure of a scenario."""

        def of(turn):
            found = turn["scenarios"].get(scenario)
            for step in path:
                found = found and found.get(step)
            return found

        return self.median(map(of, self.turns.get(broker, [])))

    def probe(self, broker, name, key):
        turns = self.turns.get(broker, [])
        return self.median(turn["probes"].get(name, {}).get(key) for turn in turns)

    def durable(self, contender, scenario):
        """Messages a second of the storage's throughput."""
        runs = [one["runs"].get(scenario, {}) for one in self.stored.get("throughput", [])]
        return self.median(run.get(contender, {}).get("received_per_second") for run in runs)

    def ceiling(self, scenario):
        """Messages of 1 KiB a second that the disk can commit in a window."""
        size = str(storage.THROUGHPUT[scenario])
        rounds = self.stored.get("throughput", [])
        return self.median(one["ceiling"]["sizes"][size]["mib_per_second"] * 1024 for one in rounds)

    def tenths(self, what):
        """Rates of Leveret's tenths of the backlog: `fill` or `drain`."""
        backlog = self.stored.get("backlog", {}).get(Leveret.name, {})
        return [tenth["rate"] for tenth in backlog.get(what, {}).get("tenths", [])]

    def first(self, broker):
        return self.median(self.stored.get("first", {}).get(broker, {}).get("milliseconds", []))


def quotient(ours, theirs):
    return ours / theirs if ours is not None and theirs else None


def times(value):
    return f"{value:,.1f}×"


def percent(value):
    return f"{value:.0%}"


def part(value):
    return f"1/{1 / value:,.1f}" if value else "0"


def unit(name, digits=1):
    return lambda value: f"{value:,.{digits}f} {name}"


def rate_targets(results):
    """Throughput: scenario, what of it, figure, bound, whether more is better, how to write."""
    for scenario, rate, cpu, share in (
        ("small", 10, 20, 0.6), ("transient", 6, 12, 0.6), ("acked", 6, 12, 0.5),
    ):
        title = compare.SCENARIOS[scenario][0]
        received, used = "received_per_second", "broker_cpu_us_per_message"
        ours, theirs, limit = (
            results.run(broker, scenario, received)
            for broker in (Leveret.name, RabbitMQ.name, Limit.name)
        )
        yield title, "rate", quotient(ours, theirs), rate, True, times
        ours_cpu, theirs_cpu = (
            results.run(broker, scenario, used) for broker in (Leveret.name, RabbitMQ.name)
        )
        yield title, "CPU a message", quotient(ours_cpu, theirs_cpu), 1 / cpu, False, part
        yield title, "of the limit", quotient(ours, limit), share, True, percent
    for scenario, peers in (
        ("durable", ((CLASSIC, 8), (QUORUM, 8))), ("durable10k", ((CLASSIC, 25),)),
    ):
        title, ours = compare.SCENARIOS[scenario][0], results.durable(Leveret.name, scenario)
        for peer, rate in peers:
            ratio = quotient(ours, results.durable(peer, scenario))
            yield title, f"rate, {peer.split()[1]}", ratio, rate, True, times
        shares = {
            "disk": quotient(ours, results.ceiling(scenario)),
            "CPU": quotient(ours, results.durable(storage.TRANSIENT, scenario)),
        }
        shares = {name: found for name, found in shares.items() if found is not None}
        told = ", ".join(f"{percent(found)} of the {name}" for name, found in shares.items())
        best = max(shares.values(), default=None)
        yield title, f"of what binds ({told or 'disk or CPU'})", best, 0.7, True, percent


def latency_targets(results):
    for scenario, which in (("latency", "median"), ("latency", "p999"), ("latency20k", "p99")):
        ours, theirs = (
            results.run(broker, scenario, "latency_us", which)
            for broker in (Leveret.name, RabbitMQ.name)
        )
        title = compare.SCENARIOS[scenario][0]
        yield title, which, quotient(ours, theirs), 1 / 4, False, part
        if which == "median":
            yield title, which, ours, 60, False, unit("µs", 0)


def other_targets(results):
    ours, theirs, limit = (
        results.run(broker, "fanout", "received_per_second")
        for broker in (Leveret.name, RabbitMQ.name, Limit.name)
    )
    yield "fan-out to 100", "deliveries", quotient(ours, theirs), 15, True, times
    yield "fan-out to 100", "of the limit", quotient(ours, limit), 0.5, True, percent
    ours, theirs = (
        results.probe(broker, "topic", "published") for broker in (Leveret.name, RabbitMQ.name)
    )
    yield "topic, 10,000 bindings", "publishes", quotient(ours, theirs), 20, True, times
    yield "topic, 10,000 bindings", "publishes", ours, 50_000, True, unit("/s", 0)
    rest = lambda key: results.probe(Leveret.name, "footprint", key)
    yield "memory", "idle broker", rest("idle_mib"), 12, False, unit("MiB")
    yield "memory", "connection, of 1,000", rest("connections_1000_kib"), 8, False, unit("KiB")
    yield "memory", "connection, of 10,000", rest("connections_10000_kib"), 8, False, unit("KiB")
    yield "memory", "queue with a message", rest("queues_1000_kib"), 2, False, unit("KiB")
    for kind, ratio in (("connections", 15), ("channels", 13), ("queues", 9)):
        ours, theirs = (
            results.probe(broker, "churn", kind) for broker in (Leveret.name, RabbitMQ.name)
        )
        yield "churn", kind, quotient(ours, theirs), ratio, True, times
    ours, theirs = results.first(Leveret.name), results.first(RabbitMQ.name)
    yield "start to first durable confirm", "time", ours, 30, False, unit("ms")
    yield "start to first durable confirm", "faster", quotient(theirs, ours), 200, True, times
    yield "idle, 1,000 connections", "CPU", rest("idle_cpu_percent"), 0.5, False, unit("%", 2)
    base = results.run(Leveret.name, "transient", "received_per_second")
    for scenario in ("queues100", "connections1000"):
        rate = results.run(Leveret.name, scenario, "received_per_second")
        title = compare.SCENARIOS[scenario][0]
        yield title, "of the rate of one queue", quotient(rate, base), 0.75, True, percent
    for what, title in (("fill", "backlog, filled"), ("drain", "backlog, drained")):
        tenths = results.tenths(what) or [None]
        found = quotient(tenths[-1], tenths[0])
        yield title, "last tenth : first", found, 0.75, True, percent


def rows(compared, stored):
    """Scenario, measure, target, figure, and whether it is met; for a table or for JSON. What was
    not measured has its row, too."""
    results = Results(compared, stored)
    for targets in (rate_targets, latency_targets, other_targets):
        for title, measure, value, bound, more, show in targets(results):
            target = f"{'≥' if more else '≤'} {show(bound)}"
            if value is None:
                yield [title, measure, target, "–", "not measured"]
                continue
            met = value >= bound if more else value <= bound
            yield [title, measure, target, show(value), "met" if met else "MISSED"]


def table(compared, stored):
    return markdown(
        ["scenario", "measure", "target", "reached", ""], list(rows(compared, stored))
    )
