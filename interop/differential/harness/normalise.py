"""Every rule by which transcripts are made comparable. Nothing else rewrites a line.

1. A name that a scenario asked for with `s.name("q")` becomes `{q}`: they differ in every run.
2. A name the broker generated becomes `{gen1}`, `{ctag1}` … in order of appearance, if it has
   the form RabbitMQ gives it: `amq.gen-` or `amq.ctag-` and 22 characters of URL-safe base 64.
3. A direct reply-to address becomes `{reply1}` …: what follows `amq.rabbitmq.reply-to.` is opaque.
4. `time` in x-death becomes `T=now` if it is within an hour of this machine's clock.
5. Of the server properties only the keys and the capabilities are kept, sorted: the values are
   version strings, names and copyright notices.
6. A closed socket is `socket closed`, however it was closed: whether the peer sees FIN or RST
   depends on what was still unread.
7. A table with x-death in it has been written anew by the broker (RabbitMQ sorts its keys), and
   tables have no order of their own: its keys, and those of the entries, are sorted.
8. A refusal names the permission that is missing, and a topic's exchange by its kind, as in newer
   versions of RabbitMQ than 3.10.8: `write access to …` becomes `access to …`. Which permission is
   asked for shows by who is refused.
"""

import re
import time

from .tables import Table

_GENERATED = re.compile(r"amq\.(gen|ctag)-[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")
_REPLY_TO = re.compile(r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=._-]+")
_DEATH_TIME = re.compile(r"\btime:T=(\d+)")
_PERMISSION = re.compile(
    r"(?<=ACCESS_REFUSED - )(?:configure|write|read) (?=access to (?:queue|exchange|topic) )")
_TOPIC_KIND = re.compile(r"(?<=' in exchange )topic (?=')")
_HOUR = 3600


class Names:
    """The names of one scenario's run and their stand-ins."""

    def __init__(self, prefix: str):
        self.prefix, self.given, self.seen = prefix, {}, {}

    def name(self, label: str, length: int = 0) -> str:
        """A name no other run uses, filled up to `length`."""
        name = f"{self.prefix}{label}".ljust(length, "x")
        self.given[name] = "{" + label + "}"
        return name

    def _stand_in(self, kind: str, text: str) -> str:
        of_kind = self.seen.setdefault(kind, {})
        return of_kind.setdefault(text, "{" + f"{kind}{len(of_kind) + 1}" + "}")

    def normalise(self, line: str) -> str:
        for name in sorted(self.given, key=len, reverse=True):
            line = line.replace(name, self.given[name])
        line = _GENERATED.sub(lambda m: self._stand_in(m[1], m[0]), line)
        line = _REPLY_TO.sub(lambda m: self._stand_in("reply", m[0]), line)
        line = _TOPIC_KIND.sub("", line) if _PERMISSION.search(line) else line
        line = _PERMISSION.sub("", line)
        return _DEATH_TIME.sub(_death_time, line)


def show_table(table: Table) -> str:
    text = table.render(in_order=False)
    return table.render(in_order=True) if "x-death:A=" in text else text


def _death_time(match) -> str:
    recent = abs(int(match[1]) - time.time()) < _HOUR
    return "time:T=now" if recent else match[0]


def server_properties(properties: Table) -> str:
    pairs = dict(properties.pairs())
    capabilities = pairs.get("capabilities", "none")
    inside = sorted(capabilities.removeprefix("F={").removesuffix("}").split(", "))
    return f"keys {' '.join(sorted(pairs))}; capabilities {' '.join(inside)}"
