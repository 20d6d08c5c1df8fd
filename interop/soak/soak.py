"""A soak test: mixed load for a time, with samples of what the broker takes. It fails when messages
are lost or doubled, when the broker says no, or when memory, descriptors or disk clearly grow."""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "attacks"))
from amqp import Closed, Connection, publish  # noqa: E402
from broker import Broker  # noqa: E402

COUNTERS = ["sent", "received", "cycles", "errors"]


class Work:
    """What a worker gets: the port, when to stop, where to count."""

    def __init__(self, name, port, options):
        self.name, self.port, self.options = name, port, options
        self.stop = multiprocessing.Event()
        self.counts = {name: multiprocessing.Value("q", 0, lock=False) for name in COUNTERS}
        self.faults = multiprocessing.Queue()

    def count(self, name, number=1):
        self.counts[name].value += number

    def fault(self, text):
        self.count("errors")
        print(f"fault of {self.name}: {text}", flush=True)
        if self.counts["errors"].value <= 20:
            self.faults.put(f"{self.name}: {text}")

    def pause(self, seconds):
        """Waits, and says whether to stop."""
        return self.stop.wait(seconds)


def number_of(body):
    return int(body[:16])


def body_of(number, size=100):
    return b"%016d" % number + b"x" * (size - 16)


def steady(work):
    """Persistent messages with confirms at a steady rate; a consumer acknowledges them in order."""
    connection = Connection(work.port)
    connection.open(1), connection.open(2)
    connection.declare("soak.steady", durable=True)
    connection.confirms(1)
    connection.prefetch(500, channel=2)
    connection.consume("soak.steady", "c", channel=2)
    sent, expected = 0, 0
    while not work.pause(0.02) or expected < sent:
        if not work.stop.is_set():
            batch = range(sent, sent + random.randint(1, 60))
            sizes = [random.choice([20, 100, 1_000, 20_000]) for _ in batch]
            connection.send(b"".join(publish(1, "", "soak.steady", body_of(n, size), True)
                                     for n, size in zip(batch, sizes)))
            sent += len(batch)
            if connection.wait_confirmed(sent):
                work.fault("a publish was refused")
            work.count("sent", len(batch))
        for _, tag, _, body in connection.take(5 if work.stop.is_set() else 0.01):
            if number_of(body) != expected:
                work.fault(f"message {number_of(body)} came instead of {expected}")
                expected = number_of(body)
            expected += 1
            work.count("received")
            connection.ack(tag, channel=2)
    connection.close()


def backlog(work):
    """A queue that fills up and is drained, each time to another length; order and number count."""
    queue, number = "soak.backlog", 0
    while not work.stop.is_set():
        connection = Connection(work.port)
        connection.open(1)
        connection.declare(queue, durable=True)
        connection.confirms(1)
        length = random.randint(1, work.options.backlog_max)
        first, persistent, tag = number, random.random() < 0.7, 0
        while number < first + length and not work.stop.is_set():
            batch = range(number, min(number + 2_000, first + length))
            connection.send(b"".join(publish(1, "", queue, body_of(n), persistent) for n in batch))
            number, tag = batch.stop, tag + len(batch)
            if connection.wait_confirmed(tag):
                work.fault("a publish was refused")
            work.count("sent", len(batch))
            time.sleep(0.02)
        connection.close()
        drain(work, queue, first, number)
        work.count("cycles")


def drain(work, queue, expected, end):
    connection = Connection(work.port)
    connection.open(1)
    connection.prefetch(2_000)
    connection.consume(queue, "drain")
    while expected < end:
        taken = connection.take(30)
        if not taken:
            work.fault(f"nothing came; message {expected} of {end} is missing")
            break
        for _, _, _, body in taken:
            if number_of(body) != expected:
                work.fault(f"message {number_of(body)} came instead of {expected}")
                expected = number_of(body)
            expected += 1
        connection.ack(taken[-1][1], multiple=True)
        work.count("received", len(taken))
        time.sleep(0.005)
    # So that the acks are processed before the connection is gone.
    connection.prefetch(1)
    connection.close()


def churn(work):
    """Connections, channels, queues, exchanges, bindings come and go, some without a word."""
    turn = 0
    while not work.pause(0.02):
        turn += 1
        connection = Connection(work.port)
        try:
            for channel in range(1, random.randint(2, 6)):
                connection.open(channel)
            names = [connection.declare("", exclusive=True)[0] for _ in range(3)]
            names.append(connection.declare(f"soak.churn.{turn % 50}", durable=True)[0])
            exchange = f"soak.churn.{turn % 7}"
            connection.exchange(exchange, random.choice(["topic"]), durable=True)
            for name in names:
                connection.bind(name, exchange, f"{name}.#")
                connection.send(publish(1, exchange, f"{name}.a", b"x" * 200, True))
                work.count("sent")
            connection.consume(names[0], "c", no_ack=True)
            if connection.get(names[1]) is None:
                work.fault("a routed message is not there")
            connection.delete(names[3])
            if turn % 5 == 0:
                connection.delete_exchange(exchange)
            work.count("cycles")
            if turn % 3 == 0:
                connection.socket.close()
            else:
                connection.close()
        except Closed as error:
            work.fault(f"closed: {error}")


def dead(work):
    """Messages that expire into another queue: as many must arrive as went in."""
    connection = Connection(work.port)
    connection.open(1), connection.open(2)
    connection.declare("soak.grave", durable=True)
    ttl = {"x-message-ttl": 500, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "soak.grave"}
    connection.declare("soak.ttl", durable=True, arguments=ttl)
    connection.confirms(1)
    connection.consume("soak.grave", "c", channel=2)
    sent, received = 0, 0
    while not work.pause(0.05) or received < sent:
        if not work.stop.is_set():
            batch = range(sent, sent + 50)
            connection.send(b"".join(publish(1, "", "soak.ttl", body_of(n), True) for n in batch))
            sent = batch.stop
            connection.wait_confirmed(sent)
            work.count("sent", len(batch))
        taken = connection.take(10 if work.stop.is_set() else 0.02)
        if not taken and work.stop.is_set():
            work.fault(f"{sent - received} dead letters are missing")
            break
        for _, tag, _, body in taken:
            if number_of(body) != received:
                work.fault(f"dead letter {number_of(body)} came instead of {received}")
                received = number_of(body)
            received += 1
            connection.ack(tag, channel=2)
        work.count("received", len(taken))
    connection.close()


def transactions(work):
    """Commits and rollbacks; what was committed is there, and nothing else."""
    connection = Connection(work.port)
    connection.open(1), connection.open(2)
    connection.declare("soak.tx", durable=True)
    connection.call(1, 90, 10)
    number = 0
    while not work.pause(0.05):
        count, commit = random.randint(1, 100), random.random() < 0.6
        batch = range(number, number + count)
        connection.send(b"".join(publish(1, "", "soak.tx", body_of(n), True) for n in batch))
        connection.call(1, 90, 20 if commit else 30)
        if commit:
            number += count
            work.count("sent", count)
            for n in batch:
                body = connection.get("soak.tx", channel=2)
                if body is None or number_of(body) != n:
                    work.fault(f"{body} came instead of the committed message {n}")
                    break
                work.count("received")
        elif connection.get("soak.tx", channel=2) is not None:
            work.fault("a message that was rolled back is there")
        work.count("cycles")
    connection.close()


def returned(work):
    """Consumers that end with deliveries out: everything comes back, and comes again."""
    queue = "soak.returned"
    while not work.pause(0.1):
        connection = Connection(work.port)
        connection.open(1)
        connection.declare(queue, durable=True)
        connection.purge(queue)
        connection.confirms(1)
        connection.send(b"".join(publish(1, "", queue, body_of(n), True) for n in range(300)))
        connection.wait_confirmed(300)
        connection.prefetch(100)
        connection.consume(queue, "c")
        for index, (_, tag, _, _) in enumerate(connection.take(5)):
            if index % 2:
                connection.reject(tag, True)
        connection.socket.close()
        work.count("sent", 300)
        connection = Connection(work.port)
        connection.open(1)
        connection.prefetch(0)
        connection.consume(queue, "c")
        seen = set()
        while len(seen) < 300:
            taken = connection.take(10)
            if not taken:
                work.fault(f"{300 - len(seen)} messages did not return")
                break
            seen.update(number_of(body) for _, _, _, body in taken)
            connection.ack(taken[-1][1], multiple=True)
        work.count("received", len(seen))
        work.count("cycles")
        connection.prefetch(1)
        connection.close()


WORKERS = [steady, backlog, churn, dead, transactions, returned]


def run_worker(worker, work):
    while True:
        try:
            return worker(work)
        except (Closed, OSError, TimeoutError) as error:
            work.fault(f"{type(error).__name__}: {error}")
            if work.pause(1):
                return None


def sample(broker, works, started):
    counts = {work.name: {name: work.counts[name].value for name in COUNTERS} for work in works}
    return {"seconds": round(time.monotonic() - started, 1), "rss_mib": round(broker.memory(), 1),
            "descriptors": broker.descriptors(), "disk_mib": round(broker.disk(), 1),
            "messages": sum(one["sent"] for one in counts.values()),
            "errors": sum(one["errors"] for one in counts.values()), "workers": counts}


def slope_per_hour(samples, key):
    """By least squares."""
    if len(samples) < 3:
        return 0.0
    return statistics.linear_regression([one["seconds"] for one in samples],
                                        [one[key] for one in samples]).slope * 3600


def clear_growth(samples, key, factor, margin):
    """Whether the last third is clearly above the first one, after the warm-up."""
    third = max(len(samples) // 3, 1)
    early = statistics.median(one[key] for one in samples[:third])
    late = statistics.median(one[key] for one in samples[-third:])
    return late > early * factor + margin, early, late


def judge(samples, rest, faults, stopped):
    """The verdict: what is wrong, and the figures."""
    warm = samples[len(samples) // 5:] or samples
    wrong, figures = list(faults), {}
    for key, factor, margin in [("rss_mib", 1.25, 48), ("descriptors", 1.1, 20),
                                ("disk_mib", 1.5, 1_200)]:
        grows, early, late = clear_growth(warm, key, factor, margin)
        figures[key] = {"first_third": early, "last_third": late, "after": rest[key],
                        "slope_per_hour": round(slope_per_hour(warm, key), 2)}
        if grows:
            wrong.append(f"{key} grows: {early} to {late}")
    if rest["descriptors"] > samples[0]["descriptors"] + 20:
        wrong.append(f"{rest['descriptors']} descriptors are open at the end")
    for name, one in rest["workers"].items():
        if name in ("steady", "backlog", "dead", "transactions", "returned"):
            if one["sent"] != one["received"] and not one["errors"]:
                wrong.append(f"{name}: {one['sent']} sent, {one['received']} received")
    if not stopped:
        wrong.append("the broker did not stop in good order")
    return wrong, figures


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--every", type=float, default=10, help="seconds between samples")
    parser.add_argument("--backlog-max", type=int, default=1_000_000)
    parser.add_argument("--json", help="where to write samples and verdict")
    parser.add_argument("--flag", action="append", default=[], help="for the broker")
    return parser.parse_args()


def main():
    options = arguments()
    broker = Broker(*options.flag)
    started = time.monotonic()
    works = [Work(worker.__name__, broker.port, options) for worker in WORKERS]
    processes = [multiprocessing.Process(target=run_worker, args=pair, daemon=True)
                 for pair in zip(WORKERS, works)]
    for process in processes:
        process.start()
    samples = []
    while broker.runs() and time.monotonic() - started < options.minutes * 60:
        time.sleep(options.every)
        if not broker.runs():
            break
        samples.append(sample(broker, works, started))
        shown = {key: one for key, one in samples[-1].items() if key != "workers"}
        print(json.dumps(shown), flush=True)
    for work in works:
        work.stop.set()
    for process in processes:
        process.join(300)
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.terminate()
    finish(options, broker, works, samples, started, len(late))


def finish(options, broker, works, samples, started, late):
    faults = ["a worker did not end"] * late
    for work in works:
        while not work.faults.empty():
            faults.append(work.faults.get())
    if not broker.runs() or not samples:
        print("SOAK FAILED: the broker ended by itself\n" + broker.tail())
        sys.exit(1)
    time.sleep(min(options.minutes * 6, 15))
    rest = sample(broker, works, started)
    wrong, figures = judge(samples, rest, faults, broker.stop())
    report = {"minutes": options.minutes, "verdict": "failed" if wrong else "passed",
              "wrong": wrong, "figures": figures, "at_rest": rest, "samples": samples}
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)
    print(json.dumps({"figures": figures, "workers": rest["workers"]}))
    rss = figures["rss_mib"]
    print(f"SOAK {'FAILED: ' + '; '.join(wrong[:10]) if wrong else 'PASSED'}: {options.minutes:g} "
          f"minutes, {rest['messages']} messages, RSS {rss['first_third']} to {rss['last_third']} MiB "
          f"({rss['slope_per_hour']} MiB/h), {rss['after']} MiB at rest")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
