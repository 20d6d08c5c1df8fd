#!/usr/bin/env python3
"""Measure storage: Leveret beside RabbitMQ on the same disk, in one run.

The parts, each on brokers of its own with fresh data and default settings:

  ceiling     what the disk can commit: O_DIRECT writes into a file of zeros, fdatasync after each
  throughput  durable, persistent, confirmed, 1 KiB, producer and consumer together, windows of
              1,000 and 10,000; RabbitMQ with classic and with quorum queues; beside it the ceiling,
              and Leveret with the same load when there is nothing to store
  backlog     messages into one queue without a consumer, memory and disk at each tenth; kill -9,
              restart, count; a clean stop, restart; drained in order; what the disk gives back
  queues      many durable queues, declared over many connections and in a pipeline over one;
              memory for each; restart after kill -9 and after a clean stop
  fan         1,000 messages of 16 KiB to 100 queues: bytes written for each byte of one copy
  first       from the start of a broker without data to its first confirm

A part's figures are printed as a table in Markdown; --json keeps every single one. Standard library
and the loads of crates/client/examples/loads only; Linux only.

    bench/storage.py --parts throughput --rounds 3
    bench/storage.py --parts backlog --only leveret --messages 10000000 --json backlog.json
    bench/storage.py --set durability=os --parts throughput,backlog
"""

import argparse
import json
import mmap
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import brokers
import compare
from brokers import KIB, MIB, START_SECONDS, Failure, Leveret, RabbitMQ
from brokers import free_port, fresh, load, load_lines, memory
from tables import decimals, grouped, latency, markdown, milliseconds, ratio, spread

PARTS = ("ceiling", "throughput", "backlog", "queues", "fan", "first")
# Those that need the loads of crates/client/examples/loads.
LOADED = {"backlog", "queues", "fan", "first"}
COMMIT_SIZES = (4 * KIB, 64 * KIB, MIB, 4 * MIB)
CEILING_FILE_BYTES = 256 * MIB
# Scenario of compare.py, and the size of commits into which its window fits.
THROUGHPUT = {"durable": MIB, "durable10k": 4 * MIB}
# Leveret under the same load with nothing durable in it.
TRANSIENT = "Leveret, transient"
QUORUM = ("--queue-arg", "x-queue-type=quorum", "--queue", "leveret-perf-quorum")


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- what a process and a directory hold


def written_bytes(pid):
    """What a process has caused to be written to disks."""
    for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "write_bytes":
            return int(value)
    raise Failure(f"/proc/{pid}/io has no write_bytes")


def disk_bytes(directory):
    """What the files below a directory occupy."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def settled_writes(broker, seconds=60):
    """Bytes written, once a broker has written nothing for two seconds, or has had its time."""
    before, since = written_bytes(broker.pid()), time.monotonic()
    deadline = since + seconds
    while time.monotonic() < min(deadline, since + 2):
        time.sleep(0.2)
        now = written_bytes(broker.pid())
        if now != before:
            before, since = now, time.monotonic()
    return before


def start(broker):
    """Starts a broker; how many seconds until it is ready."""
    started = time.monotonic()
    broker.start()
    return time.monotonic() - started


def stop(broker):
    """Stops a broker; how many seconds until it is gone."""
    started = time.monotonic()
    broker.stop()
    return time.monotonic() - started


# ---- ceiling


def commits(handle, size, seconds):
    """Commits of one size, one after the other through the file."""
    buffer = mmap.mmap(-1, size)
    buffer.write(os.urandom(min(size, MIB)) * max(1, size // MIB))
    times, offset, deadline = [], 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        began = time.perf_counter()
        os.pwrite(handle, buffer, offset)
        os.fdatasync(handle)
        times.append(time.perf_counter() - began)
        offset = (offset + size) % CEILING_FILE_BYTES
    per_second = len(times) / sum(times)
    return {
        "commits_per_second": per_second,
        "mib_per_second": per_second * size / MIB,
        "p50_ms": statistics.median(times) * 1000,
        "p99_ms": sorted(times)[len(times) * 99 // 100] * 1000,
    }


def ceiling(options):
    """What the disk of the data can commit, by size; in O_DIRECT where the file system has it."""
    with tempfile.NamedTemporaryFile(prefix="ceiling-", dir=options.directory) as file:
        zeros = bytes(MIB)
        for _ in range(CEILING_FILE_BYTES // MIB):
            file.write(zeros)
        file.flush()
        os.fsync(file.fileno())
        try:
            handle, direct = os.open(file.name, os.O_WRONLY | os.O_DIRECT), True
        except OSError:
            handle, direct = os.open(file.name, os.O_WRONLY), False
        try:
            found = {size: commits(handle, size, options.ceiling_seconds) for size in COMMIT_SIZES}
        finally:
            os.close(handle)
    return {"direct": direct, "sizes": found}


def ceiling_table(found):
    rows = [
        [
            f"{size // KIB:,} KiB",
            f"{figures['commits_per_second']:,.0f}",
            f"{figures['mib_per_second']:,.1f}",
            f"{figures['p50_ms']:.2f}",
            f"{figures['p99_ms']:.2f}",
        ]
        for size, figures in found["sizes"].items()
    ]
    how = "O_DIRECT" if found["direct"] else "through the page cache"
    return markdown([f"commit, {how}", "commits/s", "MiB/s", "p50 ms", "p99 ms"], rows)


# ---- throughput


def run_throughput(broker, options, name, contender, more):
    """A run of a scenario; of its counterpart without anything durable for TRANSIENT."""
    arguments = [*compare.SCENARIOS[name][1].split(), *more]
    if contender == TRANSIENT:
        arguments = [word for word in arguments if word not in ("--durable", "--persistent")]
    return brokers.perf(broker, options, arguments, options.seconds, options.warmup)


def throughput_turn(make, options, contenders):
    """One broker's turn: every scenario for each of its kinds of queues."""
    results = {}
    with fresh(make, options) as broker:
        broker.start()
        for contender, more in contenders.items():
            for name in THROUGHPUT:
                figures = run_throughput(broker, options, name, contender, more)
                results[contender, name] = figures
                say(f"{contender:18} {name:10} {figures['received_per_second']:9.0f}/s")
    return results


def throughput(options, makers):
    kinds = {
        Leveret.name: {Leveret.name: (), TRANSIENT: ()},
        RabbitMQ.name: {"RabbitMQ classic": (), "RabbitMQ quorum": QUORUM},
    }
    rounds = []
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}")
        found = {"ceiling": ceiling(options), "runs": {}}
        for name, make in makers.items():
            for (contender, scenario), figures in throughput_turn(
                make, options, kinds[name]
            ).items():
                found["runs"].setdefault(scenario, {})[contender] = figures
        rounds.append(found)
    return rounds


def throughput_table(rounds):
    rows = []
    for scenario, size in THROUGHPUT.items():
        title = compare.SCENARIOS[scenario][0]
        limit = [
            one["ceiling"]["sizes"][size]["mib_per_second"] * MIB / KIB for one in rounds
        ]
        contenders = {
            name: [one["runs"][scenario][name]["received_per_second"] for one in rounds]
            for name in rounds[0]["runs"][scenario]
        }
        ours = contenders.get(Leveret.name)
        for name, rates in contenders.items():
            runs = [one["runs"][scenario][name] for one in rounds]
            rows.append([
                title,
                name,
                spread(rates, grouped),
                ratio(ours, rates) if ours and name != Leveret.name else "",
                "" if name == TRANSIENT
                else f"{statistics.median(rates) / statistics.median(limit):.0%}",
                spread([run["broker_cpu_us_per_message"] for run in runs], decimals),
                spread(
                    [latency(run, "confirm_latency_us", "median") for run in runs],
                    milliseconds,
                ),
            ])
            title = ""
        rows.append([
            "", f"ceiling: commits of {size // MIB} MiB",
            spread(limit, grouped), "", "100%", "", "",
        ])
    heads = ["scenario", "broker", "messages/s", "Leveret is faster by", "of the ceiling",
             "CPU, µs/msg", "confirm p50, ms"]
    return markdown(heads, rows)


# ---- backlog


def tenths(options, broker, *arguments):
    """Runs a load that tells its tenths; with rate, memory and disk at each, and what else it
    told."""
    found, before, other = [], {"messages": 0, "seconds": 0.0}, {}
    for line in load_lines(broker, options, *arguments):
        if "tenth" not in line:
            other |= line
            continue
        count = line["messages"] - before["messages"]
        line["rate"] = count / (line["seconds"] - before["seconds"])
        line |= memory(broker.pid())
        line["disk_bytes"] = disk_bytes(broker.directory)
        say(f"{broker.name:9} {arguments[0]} {line['tenth']:2}/10 {line['rate']:9.0f}/s  "
            f"RSS {line['VmRSS'] / MIB:7.0f} MiB  disk {line['disk_bytes'] / MIB:8.0f} MiB")
        before = line
        found.append(line)
    return {"tenths": found, **other}


def backlog(options, broker, messages):
    """The whole story of one long queue."""
    result = {"messages": messages, "first_start_seconds": start(broker)}
    amount = ("--messages", messages, "--size", options.size)
    result["memory_before"] = memory(broker.pid())
    result["disk_before"] = disk_bytes(broker.directory)
    result["fill"] = tenths(options, broker, "fill", *amount, "--window", 10000)
    result["memory_full"] = memory(broker.pid())
    broker.kill()
    result["start_after_kill_seconds"] = start(broker)
    result["memory_after_kill"] = memory(broker.pid())
    result["count_after_kill"] = load(broker, options, "count")["messages"]
    result["stop_seconds"] = stop(broker)
    result["start_after_stop_seconds"] = start(broker)
    result["memory_after_stop"] = memory(broker.pid())
    result["count_after_stop"] = load(broker, options, "count")["messages"]
    say(f"{broker.name:9} ready {result['start_after_kill_seconds']:.2f} s after kill -9, "
        f"{result['start_after_stop_seconds']:.2f} s after a stop of "
        f"{result['stop_seconds']:.2f} s, {result['count_after_kill']} messages")
    for when in ("kill", "stop"):
        if result[f"count_after_{when}"] != messages:
            raise Failure(f"{broker.name} has {result[f'count_after_{when}']} of {messages} "
                          f"messages after the {when}")
    result["drain"] = tenths(options, broker, "drain", *amount, "--window", 1000)
    result["disk_drained"] = disk_bytes(broker.directory)
    time.sleep(10)
    result["disk_drained_10s"] = disk_bytes(broker.directory)
    result["memory_drained"] = memory(broker.pid())
    return result


BACKLOG_ROWS = [
    ("messages", lambda r: f"{r['messages']:,}"),
    ("published/s, first tenth", lambda r: f"{r['fill']['tenths'][0]['rate']:,.0f}"),
    ("published/s, slowest tenth", lambda r: f"{min(rates(r, 'fill')):,.0f}"),
    ("published/s, last tenth", lambda r: f"{r['fill']['tenths'][-1]['rate']:,.0f}"),
    ("last tenth : first tenth", lambda r: f"{rates(r, 'fill')[-1] / rates(r, 'fill')[0]:.2f}"),
    ("RSS at the first tenth, MiB", lambda r: mib(r["fill"]["tenths"][0]["VmRSS"])),
    ("RSS at the end, MiB (of it anonymous)",
     lambda r: f"{mib(r['memory_full']['VmRSS'])} ({mib(r['memory_full']['RssAnon'])})"),
    ("memory a message over the last nine tenths, bytes: RSS (anonymous)",
     lambda r: f"{growth(r, 'VmRSS'):.1f} ({growth(r, 'RssAnon'):.1f})"),
    ("RSS a message after a restart, bytes", lambda r: f"{restarted(r):.1f}"),
    ("disk at the end, MiB", lambda r: mib(r["fill"]["tenths"][-1]["disk_bytes"])),
    ("ready after kill -9, s", lambda r: f"{r['start_after_kill_seconds']:.2f}"),
    ("messages after kill -9", lambda r: f"{r['count_after_kill']:,}"),
    ("clean stop, s", lambda r: f"{r['stop_seconds']:.2f}"),
    ("ready after a clean stop, s", lambda r: f"{r['start_after_stop_seconds']:.2f}"),
    ("drained/s", lambda r: f"{r['messages'] / r['drain']['tenths'][-1]['seconds']:,.0f}"),
    ("drained/s, slowest tenth", lambda r: f"{min(rates(r, 'drain')):,.0f}"),
    ("out of order", lambda r: str(r["drain"]["out_of_order"])),
    ("disk before, MiB", lambda r: mib(r["disk_before"])),
    ("disk drained, MiB", lambda r: mib(r["disk_drained"])),
    ("disk 10 s later, MiB", lambda r: mib(r["disk_drained_10s"])),
]


def rates(result, what):
    return [tenth["rate"] for tenth in result[what]["tenths"]]


def growth(result, which):
    """Bytes of memory for each message, over all but the first tenth."""
    first, last = result["fill"]["tenths"][0], result["fill"]["tenths"][-1]
    return (last[which] - first[which]) / max(1, last["messages"] - first["messages"])


def restarted(result):
    """Bytes of resident memory for each message in a broker that has just started on them."""
    more = result["memory_after_stop"]["VmRSS"] - result["memory_before"]["VmRSS"]
    return more / result["messages"]


# ---- queues


def queues(options, broker, count):
    """Many durable queues."""
    result = {"queues": count, "first_start_seconds": start(broker)}
    before = memory(broker.pid())
    declared = load(broker, options, "declare", "--queues", count,
                    "--connections", options.connections)
    after = memory(broker.pid())
    result["declared_per_second"] = declared["declared"] / declared["seconds"]
    result["rss_per_queue"] = (after["VmRSS"] - before["VmRSS"]) / count
    result["disk_bytes"] = disk_bytes(broker.directory)
    broker.kill()
    result["start_after_kill_seconds"] = start(broker)
    result["rss_after_kill_per_queue"] = (memory(broker.pid())["VmRSS"] - before["VmRSS"]) / count
    result["stop_seconds"] = stop(broker)
    result["start_after_stop_seconds"] = start(broker)
    # The last one is there only if all are: there is no count without a management interface.
    load(broker, options, "count", "--queue", f"many-{count - 1}")
    piped = load(broker, options, "declare", "--queues", count, "--queue", "piped",
                 "--pipeline", 1000, "--seconds", options.pipeline_seconds)
    result["piped_per_second"] = piped["declared"] / piped["seconds"]
    single = load(broker, options, "declare", "--queues", count, "--queue", "single",
                  "--seconds", options.pipeline_seconds)
    result["single_per_second"] = single["declared"] / single["seconds"]
    say(f"{broker.name:9} {result['declared_per_second']:.0f} declares/s, "
        f"{result['piped_per_second']:.0f} in a pipeline, "
        f"ready {result['start_after_kill_seconds']:.2f} s after kill -9")
    return result


QUEUES_ROWS = [
    ("queues", lambda r: f"{r['queues']:,}"),
    ("declared/s, many connections", lambda r: f"{r['declared_per_second']:,.0f}"),
    ("declared/s, one connection, 1,000 in the pipeline",
     lambda r: f"{r['piped_per_second']:,.0f}"),
    ("declared/s, one connection, one by one", lambda r: f"{r['single_per_second']:,.0f}"),
    ("RSS a queue, bytes", lambda r: f"{r['rss_per_queue']:,.0f}"),
    ("RSS a queue after kill -9, bytes", lambda r: f"{r['rss_after_kill_per_queue']:,.0f}"),
    ("disk, MiB", lambda r: mib(r["disk_bytes"])),
    ("ready after kill -9, s", lambda r: f"{r['start_after_kill_seconds']:.2f}"),
    ("clean stop, s", lambda r: f"{r['stop_seconds']:.2f}"),
    ("ready after a clean stop, s", lambda r: f"{r['start_after_stop_seconds']:.2f}"),
]


# ---- fan


def fan(options, broker):
    """Bytes that a fan-out writes, for each byte of one copy."""
    start(broker)
    load(broker, options, "fan", "--prepare")
    before = settled_writes(broker)
    figures = load(broker, options, "fan")
    at_once = written_bytes(broker.pid()) - before
    settled = settled_writes(broker) - before
    copy = figures["messages"] * 16 * KIB
    say(f"{broker.name:9} fan-out: {at_once / copy:.2f} times one copy")
    return {"seconds": figures["seconds"], "written_bytes": at_once, "settled_bytes": settled,
            "copy_bytes": copy}


FAN_ROWS = [
    ("16 KiB to 100 queues: messages/s",
     lambda r: f"{r['copy_bytes'] / 16 / KIB / r['seconds']:,.0f}"),
    ("bytes written when all are confirmed : one copy",
     lambda r: f"{r['written_bytes'] / r['copy_bytes']:.2f}"),
    ("the same once nothing more is written",
     lambda r: f"{r['settled_bytes'] / r['copy_bytes']:.2f}"),
]


# ---- first


def first_once(make, options):
    """Milliseconds from the start of a broker without data to its first confirm."""
    with fresh(make, options) as broker:
        broker.port = free_port()
        address = f"amqp://guest:guest@127.0.0.1:{broker.port}"
        client = subprocess.Popen(
            [options.loads, "first", "--uri", address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        client.stdout.readline()
        ended = []
        watch = threading.Thread(
            target=lambda: ended.append((client.stdout.readline(), time.monotonic()))
        )
        watch.start()
        began = time.monotonic()
        try:
            broker.start()
            watch.join(START_SECONDS)
        finally:
            broker.stop()
            client.kill()
            error = client.communicate()[1]
    if not ended or "confirmed" not in ended[0][0]:
        raise Failure(f"{broker.name} confirmed nothing: {error.strip()}")
    return (ended[0][1] - began) * 1000


def first(make, options, times):
    found = [first_once(make, options) for _ in range(times)]
    say(f"first confirm after {statistics.median(found):.1f} ms")
    return {"milliseconds": found}


FIRST_ROWS = [
    ("start to first durable confirm, ms",
     lambda r: spread(r["milliseconds"], lambda value: f"{value:,.1f}")),
]


# ---- all together


def mib(count):
    return f"{count / MIB:,.1f}"


def side_by_side(results, rows):
    """One row for each measure, one column for each broker."""
    return markdown(
        ["measure", *results],
        [[name, *(show(result) for result in results.values())] for name, show in rows],
    )


def on_each(options, makers, measure):
    """Runs a measurement on a fresh broker of each kind."""
    results = {}
    for name, make in makers.items():
        with fresh(make, options) as broker:
            results[name] = measure(broker)
    return results


def run_part(part, options, makers):
    """A part's figures and its table."""
    if part == "ceiling":
        found = ceiling(options)
        return found, ceiling_table(found)
    if part == "throughput":
        found = throughput(options, makers)
        return found, throughput_table(found)
    ours = {Leveret.name: True, RabbitMQ.name: False}
    if part == "backlog":
        amount = {True: options.messages, False: options.rabbitmq_messages}
        found = on_each(options, makers, lambda b: backlog(options, b, amount[ours[b.name]]))
        return found, side_by_side(found, BACKLOG_ROWS)
    if part == "queues":
        amount = {True: options.queues, False: options.rabbitmq_queues}
        found = on_each(options, makers, lambda b: queues(options, b, amount[ours[b.name]]))
        return found, side_by_side(found, QUEUES_ROWS)
    if part == "fan":
        found = on_each(options, makers, lambda b: fan(options, b))
        return found, side_by_side(found, FAN_ROWS)
    times = {True: options.starts, False: min(2, options.starts)}
    found = {name: first(make, options, times[ours[name]]) for name, make in makers.items()}
    return found, side_by_side(found, FIRST_ROWS)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--parts", default=",".join(PARTS), help="some of them (default: all)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to Leveret")
    brokers.add_options(parser)
    add("--ceiling-seconds", type=float, default=2.0, help="for each size of commit")
    add("--messages", type=int, default=10_000_000, help="of the backlog")
    add("--rabbitmq-messages", type=int, default=1_000_000)
    add("--size", type=int, default=1024, help="of the backlog's bodies")
    add("--queues", type=int, default=100_000)
    add("--rabbitmq-queues", type=int, default=5_000)
    add("--connections", type=int, default=64, help="that declare the queues")
    add("--pipeline-seconds", type=float, default=10.0,
        help="declaring over one connection ends after so long")
    add("--starts", type=int, default=10, help="of first; at most 2 of RabbitMQ")
    options = parser.parse_args()
    options.perf = options.perf or options.leveret
    options.parts = options.parts.split(",")
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part is called {part}; there are {', '.join(PARTS)}")
    return options


def main():
    options = parse_arguments()
    if LOADED & set(options.parts):
        options.loads = options.loads or brokers.example("loads")
    makers = brokers.brokers_of(options, options.set)
    results = {"cores": os.cpu_count(), "set": options.set}
    for part in options.parts:
        say(f"== {part}")
        results[part], table = run_part(part, options, makers)
        print(f"{table}\n", flush=True)
        if options.json:
            text = json.dumps(results, indent=1, default=str)
            pathlib.Path(options.json).write_text(text + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, subprocess.CalledProcessError) as failure:
        sys.exit(f"storage: {failure}")
