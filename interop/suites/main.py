"""The command line, the runs, and their comparison with expected.json."""

import argparse
import json
import re
import time

import broker
import catalogue
from catalogue import FAILED, PASSED, SKIPPED
from patterns import matches
from work import HERE, WORK, Failure, must

EXPECTED = HERE / "expected.json"
NOWHERE = "amqp://guest:guest@127.0.0.1:1/"


def arguments():
    """The command line."""
    names = [suite.name for suite in catalogue.SUITES]
    parser = argparse.ArgumentParser(prog="interop/suites/run", description=__doc__)
    parser.add_argument("--uri", help="the broker; without it a Leveret is started")
    parser.add_argument("--only", action="append", metavar="SUITE", choices=names,
                        help=f"may be repeated; one of {', '.join(names)}")
    parser.add_argument("--list", action="store_true", help="list the suites")
    parser.add_argument("--record", type=int, metavar="RUNS",
                        help="run each suite so often against --uri, which has to be the baseline,"
                             " and once against no broker, and write expected.json")
    parser.add_argument("--reset", metavar="COMMAND",
                        help="a shell command that empties the broker at --uri, run before each"
                             " suite: some do not pass twice on the same broker")
    parser.add_argument("--report", metavar="FILE", help="write all results as JSON")
    options = parser.parse_args()
    if options.record and not options.uri:
        parser.error("--record needs --uri")
    return options


def run_suite(suite, uri, reset, left_out, log):
    """Runs one suite once. Gives its results, faults of the run, and the seconds it took."""
    if reset:
        must(["sh", "-c", reset], cwd=WORK, log=log, timeout=60)
    started = time.monotonic()
    with broker.at(uri, suite.name) as (host, port, faults):
        call = catalogue.Call(host, port, list(left_out), log, time.monotonic() + suite.timeout)
        code = suite.run(call)
        if code is None:
            faults.append(f"not done within {suite.timeout} s")
        if not call.results:
            faults.append(f"no test ran; see {log.name}")
    # Where this checkout is must not be part of a test's name.
    here = re.compile(re.escape(str(WORK)) + r"/\S*/")
    results = {here.sub("", test): result for test, result in sorted(call.results.items())
               if not matches(left_out, test)}
    return results, faults, time.monotonic() - started


def compare(expected, results):
    """The tests that pass on the baseline only, those listed as varying, and those better here."""
    worse, varying, better = {}, {}, []
    for test in expected["passed"]:
        if matches(expected["left_out"], test):
            continue
        outcome, text = results.get(test, (None, "did not run"))
        if outcome == PASSED:
            continue
        text = text or f"was {outcome}"
        (varying if matches(expected["flaky"], test) else worse)[test] = text
    for test in expected["failed"]:
        if results.get(test, (None,))[0] == PASSED:
            better.append(test)
    return worse, varying, better


def counts(results, offline):
    """How many tests had each outcome, and how many of those that passed need a broker."""
    number = {outcome: 0 for outcome in (PASSED, FAILED, SKIPPED)}
    for outcome, _ in results.values():
        number[outcome] += 1
    number["broker"] = sum(
        outcome == PASSED and test not in offline for test, (outcome, _) in results.items())
    return number


def report(suite, expected, results, faults, seconds):
    """Prints what a suite's run showed; returns its row of the table and whether it is in order."""
    worse, varying, better = compare(expected, results)
    for test, text in worse.items():
        print(f"  WORSE {test}\n" + indented(text))
    for test, text in varying.items():
        print(f"  varies {test}: {expected['flaky'][matches(expected['flaky'], test)]}\n"
              + indented(text))
    for test in better:
        print(f"  better than the baseline: {test}")
    known = {*expected["passed"], *expected["failed"], *expected["skipped"]}
    for test in sorted(results.keys() - known):
        print(f"  not in expected.json: {test}: {results[test][0]}")
    for fault in faults:
        print(f"  FAULT {fault}")
    number = counts(results, set(expected["offline"]))
    row = (suite.name, suite.version, number[PASSED], number["broker"], number[FAILED],
           number[SKIPPED], len(expected["left_out"]), len(worse), f"{seconds:.0f}")
    return row, not worse and not faults


def indented(text, lines=12):
    """The first and last lines of a failure's text."""
    every = [line for line in text.splitlines() if line.strip()]
    if len(every) > lines:
        every = [*every[:lines // 2], "…", *every[-lines // 2:]]
    return "\n".join(f"        {line[:300]}" for line in every)


def record(suite, entry, options, log):
    """Runs a suite several times on the baseline, and once without a broker; updates its entry."""
    outcomes, runs = [], options.record
    for number in range(runs):
        results, faults, seconds = run_suite(
            suite, options.uri, options.reset, entry["left_out"], log)
        print(f"  run {number + 1}: {counts(results, set())}, {seconds:.0f} s", *faults)
        outcomes.append(results)
    offline, _, _ = run_suite(suite, NOWHERE, None, entry["left_out"], log)
    every = sorted(set().union(*outcomes))
    entry.update(version=suite.version, passed=[], failed={}, skipped=[])
    for test in every:
        seen = [results.get(test, ("missing", ""))[0] for results in outcomes]
        if PASSED in seen:
            entry["passed"].append(test)
            if set(seen) != {PASSED} and not matches(entry["flaky"], test):
                print(f"  VARIES: {test}: {seen}")
                entry["flaky"][test] = f"passed in {seen.count(PASSED)} of {runs} baseline runs"
        elif FAILED in seen:
            text = next(result[test][1] for result in outcomes if test in result)
            entry["failed"][test] = " ".join(text.split())[-200:]
        else:
            entry["skipped"].append(test)
    passed = set(entry["passed"])
    entry["offline"] = [test for test in sorted(offline)
                        if offline[test][0] == PASSED and test in passed]


def load():
    """What expected.json says, with an empty entry for a suite that it does not have."""
    content = json.loads(EXPECTED.read_text("utf-8")) if EXPECTED.exists() else {}
    content.setdefault("baseline", "RabbitMQ 3.10.8")
    content.setdefault("suites", {})
    for suite in catalogue.SUITES:
        entry = content["suites"].setdefault(suite.name, {})
        for key, empty in (("version", suite.version), ("left_out", {}), ("flaky", {}),
                           ("failed", {}), ("skipped", []), ("offline", []), ("passed", [])):
            entry.setdefault(key, empty)
    return content


def table(rows):
    """Prints aligned columns."""
    head = ("suite", "version", "passed", "of these with broker", "failed", "skipped",
            "left out", "worse", "seconds")
    rows = [head, *[tuple(map(str, row)) for row in rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main():
    """Runs the suites. Exit code 1: a test or suite fails here that does not on the baseline."""
    options = arguments()
    if options.list:
        table_of_suites()
        return 0
    expected = load()
    rows, everything, in_order = [], {}, True
    (WORK / "log").mkdir(parents=True, exist_ok=True)
    (WORK / "run").mkdir(exist_ok=True)
    (WORK / "source").mkdir(exist_ok=True)
    for suite in catalogue.SUITES:
        if options.only and suite.name not in options.only:
            continue
        entry = expected["suites"][suite.name]
        log = WORK / "log" / f"{suite.name}.log"
        log.unlink(missing_ok=True)
        print(f"== {suite.name} {suite.version}", flush=True)
        try:
            began = time.monotonic()
            suite.prepare(log)
            print(f"  prepared in {time.monotonic() - began:.0f} s", flush=True)
            if options.record:
                record(suite, entry, options, log)
                EXPECTED.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
                continue
            results, faults, seconds = run_suite(
                suite, options.uri, options.reset, entry["left_out"], log)
        except Failure as failure:
            print(f"  FAULT {failure}")
            in_order = False
            continue
        row, good = report(suite, entry, results, faults, seconds)
        in_order = in_order and good
        rows.append(row)
        everything[suite.name] = {"results": results, "faults": faults, "seconds": seconds}
    if options.report:
        with open(options.report, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
    if rows:
        print()
        table(rows)
        print(f"baseline: {expected['baseline']};",
              "as there" if in_order else "NOT as there: see WORSE and FAULT above")
    return 0 if in_order else 1


def table_of_suites():
    """Prints the suites."""
    for suite in catalogue.SUITES:
        print(f"{suite.name:12} {suite.version:8} {suite.language:10} at most {suite.timeout} s")
