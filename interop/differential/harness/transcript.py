"""What is written down of a scenario, as lines of text that two brokers are compared by.

Three explicit rules live here, because they need to see more than one line:
- A run of confirms on one channel is written as the sets of publishes it covers: how a broker
  groups confirms with `multiple`, and their order, is its own affair. A confirm for something
  already confirmed is shown as `again`.
- Received methods show every field; sent ones only what differs from zero.
- Content is shown with its properties in wire order and the body, cut with a checksum if long.
Rules that rewrite finished lines are in `normalise`.
"""

from .normalise import Names, show_table
from .tables import Table, render_text

HIDDEN = {"ticket"}


class Confirms:
    """A run of acks and nacks of publishes on one channel, still growing."""

    def __init__(self, where: str):
        self.where, self.acked, self.nacked, self.again = where, set(), set(), set()

    def __str__(self):
        parts = [
            f"{name} {_ranges(tags)}"
            for name, tags in (
                ("acked", self.acked), ("nacked", self.nacked), ("again", self.again))
            if tags
        ]
        return f"{self.where} < confirms: {', '.join(parts)}"


def _ranges(tags: set) -> str:
    """`1-3 5` for {1, 2, 3, 5}."""
    runs = []
    for tag in sorted(tags):
        if runs and runs[-1][1] == tag - 1:
            runs[-1][1] = tag
        else:
            runs.append([tag, tag])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


class Transcript:
    """The lines of one scenario on one broker."""

    def __init__(self, names: Names):
        self.entries, self.names = [], names

    def add(self, line: str):
        self.entries.append(line)

    def confirms(self, where: str) -> Confirms:
        """The run of confirms to add to: the last entry if it is one of this channel."""
        last = self.entries[-1] if self.entries else None
        if not (isinstance(last, Confirms) and last.where == where):
            last = Confirms(where)
            self.entries.append(last)
        return last

    def lines(self) -> list[str]:
        return [self.names.normalise(str(entry)) for entry in self.entries]


def show_value(value) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (str, bytes)):
        return render_text(value if isinstance(value, bytes) else value.encode())
    if isinstance(value, Table):
        return show_table(value)
    return repr(value)


def show_method(method, sent: bool) -> str:
    shown = [
        f"{field}={show_value(value)}"
        for field, value in method.fields.items()
        if field not in HIDDEN and (value or not sent)
    ]
    return " ".join([method.name, *shown])


def show_content(content) -> str:
    properties = " ".join(f"{k}={show_value(v)}" for k, v in content.properties.items())
    parts = [f"body={render_text(content.body)}"]
    if properties:
        parts.insert(0, properties)
    if (content.class_id, content.weight) != (60, 0) or content.size != len(content.body):
        parts.append(f"class={content.class_id} weight={content.weight} size={content.size}")
    if len(content.frames) > 1:
        parts.append(f"in {len(content.frames)} frames, the largest {max(content.frames)}")
    return " | " + " | ".join(parts)
