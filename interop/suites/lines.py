"""A pytest plugin: leaves tests out by pattern, and writes each test's result as it comes.

`SUITES_RESULTS` names the file for the results, one JSON object a line, so that nothing is lost
when a suite is stopped in the middle; `SUITES_LEFT_OUT` holds a JSON list of patterns.
"""

import json
import os

from patterns import matches


def pytest_collection_modifyitems(config, items):
    """Leaves out what must not run at all."""
    patterns = json.loads(os.environ["SUITES_LEFT_OUT"])
    left_out = [item for item in items if matches(patterns, item.nodeid)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_logreport(report):
    """Writes a phase's outcome; the reader takes a test's worst one."""
    if report.when != "call" and report.passed:
        return
    text = ""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash else str(report.longrepr)
    line = {"test": report.nodeid, "outcome": report.outcome, "text": text[:2000]}
    with open(os.environ["SUITES_RESULTS"], "a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
