"""The command line of `run`."""

import argparse
import collections
import json
import pathlib
import signal
import sys
import time

from . import brokers, compare, play, registry
from .driver import Address

HERE = pathlib.Path(__file__).resolve().parents[1]
RECORDED = HERE / "recorded"


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="run", description="Plays the same scenarios on Leveret and on RabbitMQ and compares.")
    add = parser.add_argument
    add("--leveret-uri", metavar="URI", help="a running Leveret; otherwise one is started")
    add("--rabbitmq-uri", metavar="URI", help="a running RabbitMQ; otherwise one is started")
    add("--only", metavar="PATTERN", action="append", default=[],
        help="scenarios by name, a glob or a part of it (repeatable)")
    add("--show", action="store_true", help="print each scenario's transcript")
    add("--list", action="store_true", help="print the scenarios' names")
    add("--record", metavar="DIR", nargs="?", const=str(RECORDED),
        help="only store RabbitMQ's transcripts (default: recorded/)")
    add("--against-recorded", metavar="DIR", nargs="?", const=str(RECORDED),
        help="compare Leveret with the recording; no RabbitMQ is needed")
    add("--self-check", metavar="TIMES", type=int,
        help="compare RabbitMQ with itself so many times: shows that scenarios are deterministic")
    add("--as-listed", action="store_true",
        help="print differences as entries for listed.toml, for the reasons to be filled in")
    add("--context", metavar="LINES", type=int, default=8, help="context lines of diffs (8)")
    add("--threads", metavar="N", type=int, default=play.THREADS,
        help=f"scenarios at a time ({play.THREADS})")
    add("--slowest", metavar="N", type=int, default=0, help="print the N slowest scenarios")
    return parser.parse_args(argv)


class Run:
    """One invocation: the brokers it started, and its counts."""

    def __init__(self, options):
        self.options, self.started = options, []
        self.scenarios = registry.load()
        self.chosen = play.selected(self.scenarios, options.only)
        if not self.chosen:
            raise SystemExit("no scenario matches")

    def address(self, what: str, uri, start) -> Address:
        if uri is None:
            broker = start()
            self.started.append(broker)
            uri = broker.uri
        address = Address(uri)
        print(f"{what}: {play.announced(address)}", flush=True)
        return address

    def rabbitmq(self) -> Address:
        return self.address("rabbitmq", self.options.rabbitmq_uri, brokers.start_rabbitmq)

    def leveret(self) -> Address:
        return self.address("leveret", self.options.leveret_uri, brokers.start_leveret)

    def stop(self):
        for broker in self.started:
            broker.stop()

    def play(self, *addresses):
        return play.play_all(self.chosen, list(addresses), self.options.threads)

    # The modes

    def record(self, directory: pathlib.Path) -> int:
        groups = collections.defaultdict(dict)
        suspicious = 0
        for it, [(lines, _)] in self.play(self.rabbitmq()):
            groups[it.group][it.name] = lines
            suspicious += self.check_recording(it.name, lines)
        directory.mkdir(parents=True, exist_ok=True)
        for group, transcripts in groups.items():
            path = directory / f"{group}.json"
            kept = json.loads(path.read_text()) if path.exists() and self.options.only else {}
            known = {k: v for k, v in (kept | transcripts).items() if k in self.scenarios}
            path.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        print(f"{len(self.chosen)} recorded, {suspicious} suspicious")
        return 1 if suspicious else 0

    @staticmethod
    def check_recording(name: str, lines: list[str]) -> bool:
        """A time-out or an exception in RabbitMQ's transcript is a fault of the scenario."""
        bad = [line for line in lines if "# raised" in line or "# timed out" in line
               or "# cleaning up raised" in line or "# got " in line or " never had " in line]
        for line in bad:
            print(f"{name}: {line}")
        return bool(bad)

    def against_recorded(self, directory: pathlib.Path) -> int:
        recorded = {}
        for path in sorted(directory.glob("*.json")):
            recorded |= json.loads(path.read_text())
        missing = [it.name for it in self.chosen if it.name not in recorded]
        if missing:
            raise SystemExit(f"not recorded, run with --record: {' '.join(missing)}")
        results = (
            (it, recorded[it.name], lines, seconds)
            for it, [(lines, seconds)] in self.play(self.leveret()))
        return self.judge(results)

    def side_by_side(self) -> int:
        results = (
            (it, rabbitmq[0], leveret[0], leveret[1])
            for it, [rabbitmq, leveret] in self.play(self.rabbitmq(), self.leveret()))
        return self.judge(results)

    def self_check(self, times: int) -> int:
        address = self.rabbitmq()
        failed = 0
        for turn in range(times):
            began, different = time.monotonic(), 0
            for it, [(one, _), (two, _)] in self.play(address, address):
                different += bool(compare.differing_lines(one, two))
                self.report(it, one, two, "DIFFERENT" if one != two else "agrees")
            failed += different
            spent = time.monotonic() - began
            print(f"turn {turn + 1}: {len(self.chosen) - different} agree with themselves, "
                  f"{different} do not, {spent:.0f} s", flush=True)
        return 1 if failed else 0

    # What is printed

    def judge(self, results) -> int:
        listed = compare.Listed(HERE / "listed.toml", set(self.scenarios))
        counts, times, began = collections.Counter(), [], time.monotonic()
        for it, expected, actual, seconds in results:
            verdict = listed.judge(it.name, compare.differing_lines(expected, actual))
            counts[verdict] += 1
            times.append((seconds, it.name))
            self.report(it, expected, actual, verdict)
        for seconds, name in sorted(times, reverse=True)[:self.options.slowest]:
            print(f"{seconds:6.2f} s {name}")
        for error in listed.errors:
            print(f"listed.toml: {error}")
        for broker in self.started:
            if broker.has_died():
                counts["DIED"] += 1
                print(f"{broker.name} ended during the run")
        shown = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        print(f"{len(times)} scenarios: {shown} ({time.monotonic() - began:.0f} s)")
        bad = counts["DIFFERENT"] + counts["STALE"] + counts["DIED"] + len(listed.errors)
        return 1 if bad else 0

    def report(self, it, expected, actual, verdict):
        if self.options.show:
            print(f"--- {it.name}: {verdict}", *actual, sep="\n")
        if verdict == "DIFFERENT" and self.options.as_listed:
            print(compare.entry(it.name, compare.differing_lines(expected, actual)))
        elif verdict == "DIFFERENT" or verdict == "STALE":
            why = {"STALE": " (listed.toml says something else)"}.get(verdict, "")
            print(f"=== {it.name}: {verdict}{why}")
            print(*compare.unified(expected, actual, self.options.context), "", sep="\n")
        sys.stdout.flush()


def main(argv=None) -> int:
    options = arguments(argv)
    run = Run(options)
    if options.list:
        print(*sorted(it.name for it in run.chosen), sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that brokers are stopped
    try:
        if options.self_check:
            return run.self_check(options.self_check)
        if options.record:
            return run.record(pathlib.Path(options.record))
        if options.against_recorded:
            return run.against_recorded(pathlib.Path(options.against_recorded))
        return run.side_by_side()
    finally:
        run.stop()
