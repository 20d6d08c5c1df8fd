"""Differences between transcripts, and the list of those that are intended.

An entry of `listed.toml` says which scenario differs, exactly how, and why:

    [[listed]]
    scenario = "queues.declare_passive_missing"
    differs = ["-c1.1 < …", "+c1.1 < …"]   # all differing lines in order; "~regex" matches one
    reason = "…"

`-` is RabbitMQ, `+` is Leveret. An entry that does not match all that differs, or whose scenario
agrees or does not exist, is an error: the list cannot go stale.
"""

import difflib
import json
import re
import tomllib


def differing_lines(expected: list[str], actual: list[str]) -> list[str]:
    """The lines that only one side has, marked with - and +."""
    diff = difflib.unified_diff(expected, actual, n=0, lineterm="")
    return [line for line in list(diff)[2:] if not line.startswith("@@")]


def unified(expected: list[str], actual: list[str], context: int) -> list[str]:
    diff = difflib.unified_diff(
        expected, actual, "rabbitmq", "leveret", n=context, lineterm="")
    return list(diff)


def entry(name: str, differing: list[str]) -> str:
    """An entry for `listed.toml` that lacks only its reason."""
    lines = "".join(f"    {json.dumps(line, ensure_ascii=False)},\n" for line in differing)
    return f'[[listed]]\nscenario = "{name}"\nreason = ""\ndiffers = [\n{lines}]\n'


class Listed:
    """`listed.toml`, by scenario."""

    def __init__(self, path, known: set):
        entries = tomllib.loads(path.read_text()).get("listed", []) if path.exists() else []
        self.entries, self.errors = {}, []
        for entry in entries:
            name = entry["scenario"]
            if not entry.get("reason"):
                self.errors.append(f"{name} is listed without a reason")
            if name not in known:
                self.errors.append(f"{name} is listed but there is no such scenario")
            if name in self.entries:
                self.errors.append(f"{name} is listed twice")
            self.entries[name] = entry

    def judge(self, name: str, differing: list[str]) -> str:
        """`agrees`, `DIFFERENT`, `listed`, or `STALE` if the list says something else."""
        entry = self.entries.get(name)
        if entry is None:
            return "DIFFERENT" if differing else "agrees"
        wanted = entry["differs"]
        same = len(wanted) == len(differing) and all(map(_matches, wanted, differing))
        return "listed" if same and differing else "STALE"


def _matches(wanted: str, line: str) -> bool:
    return bool(re.fullmatch(wanted[1:], line)) if wanted.startswith("~") else wanted == line
