#!/usr/bin/env python3
"""Draws the results of bench/run as SVG: rates with their spreads, broker CPU a message, latency
over load.

    bench/plots.py bench/results/<commit>.json docs/img

A picture has its own light and dark colours and takes those of the reader's system, also as an
`<img>`. Scales are logarithmic, since brokers differ by powers of ten: of a bar compare the end,
and the figure written there. Standard library only.
"""

import html
import json
import math
import pathlib
import statistics
import sys

SERIES = ("Leveret", "RabbitMQ", "limit", "NATS")
NAMES = {"limit": "limit (moves bytes only)", "NATS": "NATS core (reference)"}
# Told apart also by those who see few colours, on light and on dark; and by dashes in lines.
LIGHT = {"Leveret": "#0072b2", "RabbitMQ": "#c2500a", "limit": "#6b7280", "NATS": "#00856a"}
DARK = {"Leveret": "#56b4e9", "RabbitMQ": "#f08a3c", "limit": "#a3a9b5", "NATS": "#2fc79f"}
DASHES = {"Leveret": "", "RabbitMQ": "7 4", "limit": "2 3", "NATS": "9 3 2 3"}
SCENARIOS = {
    "small": "24 B, no ack",
    "transient": "1 KiB, no ack",
    "large": "64 KiB, no ack",
    "acked": "1 KiB, acked and confirmed",
    "many": "1 KiB, 4 queues",
    "queues100": "1 KiB, 100 queues",
    "connections1000": "1 KiB, 1,000 connections",
    "fanout": "256 B to 100 queues",
}
SWEEPS = {"no ack": "1 KiB, no ack", "acked": "1 KiB, acked and confirmed"}
WIDTH, LEFT, RIGHT, BAR, GAP = 860, 200, 130, 13, 14


def text(x, y, words, kind="", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f"{html.escape(words)}</text>")


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def page(height, title, parts):
    """A picture with its colours."""
    def colours(palette, ground, ink, faint):
        rules = [f".ground{{fill:{ground}}}text{{fill:{ink}}}.grid{{stroke:{faint}}}"
                 f".axis,.spread{{stroke:{ink}}}"]
        for index, name in enumerate(SERIES):
            rules.append(f".f{index}{{fill:{palette[name]}}}.s{index}{{stroke:{palette[name]}}}")
        return "".join(rules)

    dashes = "".join(f".s{index}{{stroke-dasharray:{DASHES[name]}}}"
                     for index, name in enumerate(SERIES) if DASHES[name])
    style = (
        "text{font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}"
        ".small{font-size:11px}.grid{stroke-width:1}.axis{stroke-width:1}"
        ".spread{stroke-width:1.5;opacity:.75}.curve{fill:none;stroke-width:2}"
        + dashes + colours(LIGHT, "#ffffff", "#1f2328", "#d8dee4")
        + "@media (prefers-color-scheme:dark){"
        + colours(DARK, "#0d1117", "#e6edf3", "#30363d") + "}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
        + f'<rect width="{WIDTH}" height="{height:.0f}" class="ground"/>'
        + text(16, 26, title, "title") + "".join(parts) + "</svg>\n"
    )


class Scale:
    """Logarithmic, from one end of the picture to the other."""

    def __init__(self, values, from_at, to_at):
        self.low = 10 ** math.floor(math.log10(min(values)))
        self.high = 10 ** math.ceil(math.log10(max(values) * 1.001))
        self.from_at, self.to_at = from_at, to_at

    def at(self, value):
        part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.from_at + part * (self.to_at - self.from_at)

    def ticks(self):
        value = self.low
        while value <= self.high * 1.001:
            yield value
            value *= 10


def short(value):
    """A figure in three digits or so."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.2g}" if value < 1 else f"{value:.3g}"


def legend(names, y):
    parts, x = [], LEFT
    for name in names:
        shown = NAMES.get(name, name)
        parts.append(f'<rect x="{x}" y="{y - 9}" width="12" height="10" rx="2" '
                     f'class="f{SERIES.index(name)}"/>')
        parts.append(text(x + 17, y, shown))
        x += 36 + 7 * len(shown)
    return parts


def bars(title, unit, groups):
    """Grouped bars; each group is a heading and, by series, the values of the rounds."""
    series = [name for name in SERIES if any(name in found for _, found in groups)]
    scale = Scale([value for _, found in groups for values in found.values() for value in values],
                  LEFT, WIDTH - RIGHT)
    top = 62
    height = top + sum(BAR * len(found) + GAP for _, found in groups) + 44
    bottom = height - 44
    parts = legend(series, 48)
    for tick in scale.ticks():
        parts.append(line(scale.at(tick), top, scale.at(tick), bottom, "grid"))
        parts.append(text(scale.at(tick), bottom + 16, short(tick), "small", "middle"))
    y = top + GAP / 2
    for heading, found in groups:
        parts.append(text(LEFT - 10, y + BAR * len(found) / 2 + 4, heading, "", "end"))
        for name in series:
            if name in found:
                parts += bar(scale, y, name, found[name])
                y += BAR
        y += GAP
    parts.append(line(LEFT, top, LEFT, bottom, "axis"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, unit, "small", "middle"))
    return page(height, title, parts)


def bar(scale, y, name, values):
    """A bar to the median, a stroke from the lowest to the highest, the figure behind."""
    end, middle = scale.at(statistics.median(values)), y + (BAR - 2) / 2
    parts = [f'<rect x="{LEFT}" y="{y:.1f}" width="{max(1, end - LEFT):.1f}" '
             f'height="{BAR - 2}" rx="1.5" class="f{SERIES.index(name)}"/>']
    low, high = scale.at(min(values)), scale.at(max(values))
    if high - low > 1:
        parts.append(line(low, middle, high, middle, "spread"))
        parts += [line(at, middle - 3, at, middle + 3, "spread") for at in (low, high)]
    parts.append(text(max(end, high) + 5, middle + 4, short(statistics.median(values)), "small"))
    return parts


def curves(title, axes, panels):
    """Two panels side by side or more; each is a heading and, by series, points of rate and
    latency with whether the rate was held."""
    points = [point for _, found in panels for curve in found.values() for point in curve]
    series = [name for name in SERIES if any(name in found for _, found in panels)]
    width, top, bottom = (WIDTH - 30) / len(panels), 92, 372
    up = Scale([latency for _, latency, _ in points], bottom, top)
    parts = [*legend(series, 48)]
    for index, (heading, found) in enumerate(panels):
        left, right = 30 + width * index + 44, 30 + width * (index + 1) - 16
        across = Scale([rate for rate, _, _ in points], left, right)
        parts.append(text((left + right) / 2, top - 12, heading, "", "middle"))
        for tick in across.ticks():
            parts.append(line(across.at(tick), top, across.at(tick), bottom, "grid"))
            parts.append(text(across.at(tick), bottom + 16, short(tick), "small", "middle"))
        for tick in up.ticks():
            parts.append(line(left, up.at(tick), right, up.at(tick), "grid"))
            parts.append(text(left - 6, up.at(tick) + 4, short(tick), "small", "end"))
        parts += [line(left, bottom, right, bottom, "axis"), line(left, top, left, bottom, "axis")]
        parts.append(text((left + right) / 2, bottom + 34, axes[0], "small", "middle"))
        for name in series:
            parts += curve(name, found.get(name, []), across, up)
    middle = (top + bottom) / 2
    parts.append(f'<g transform="rotate(-90 18 {middle})">'
                 + text(18, middle, axes[1], "small", "middle") + "</g>")
    return page(bottom + 50, title, parts)


def curve(name, found, across, up):
    """A line through what was held; a hollow point for what was not."""
    number = SERIES.index(name)
    held = [(across.at(rate), up.at(latency)) for rate, latency, is_held in found if is_held]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in held)
    parts = [f'<polyline points="{path}" class="curve s{number}"/>'] if held else []
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="f{number}"/>' for x, y in held]
    parts += [
        f'<circle cx="{across.at(rate):.1f}" cy="{up.at(latency):.1f}" r="4" '
        f'class="curve s{number}" style="stroke-dasharray:none"/>'
        for rate, latency, is_held in found if not is_held
    ]
    return parts


# ---- from results


def groups_of(turns, key):
    """Of each scenario the values of the rounds, by series."""
    found = []
    for scenario, heading in SCENARIOS.items():
        by_series = {}
        for name in SERIES:
            runs = [turn["scenarios"].get(scenario) for turn in turns.get(name, [])]
            values = [run[key] for run in runs if run and run.get(key)]
            if values:
                by_series[name] = values
        if by_series:
            found.append((heading, by_series))
    return found


def durable_groups(stored):
    """The rates of what is stored, classic queues for RabbitMQ."""
    found = []
    for scenario, heading in (("durable", "persistent, window 1,000"),
                              ("durable10k", "persistent, window 10,000")):
        by_series = {}
        for name, contender in (("Leveret", "Leveret"), ("RabbitMQ", "RabbitMQ classic")):
            runs = [one["runs"].get(scenario, {}).get(contender)
                    for one in stored.get("throughput", [])]
            values = [run["received_per_second"] for run in runs if run]
            if values:
                by_series[name] = values
        if by_series:
            found.append((heading, by_series))
    return found


def panels_of(turns, which):
    """Of each load of the sweep, points of rate and latency over the rounds' medians."""
    panels = []
    for kind, heading in SWEEPS.items():
        by_series = {}
        for name in SERIES:
            swept = [turn["probes"]["sweep"][kind]["points"] for turn in turns.get(name, [])
                     if "sweep" in turn["probes"]]
            curve = []
            for part in swept[0] if swept else ():
                points = [points[part] for points in swept]
                latencies = [point["latency_us"][which] for point in points
                             if point["latency_us"] and point["latency_us"]["count"]]
                if latencies:
                    curve.append((
                        statistics.median(point["rate"] for point in points),
                        max(1e-3, statistics.median(latencies) / 1000),
                        not any(point["missing"] for point in points),
                    ))
            if curve:
                by_series[name] = sorted(curve)
        if by_series:
            panels.append((heading, by_series))
    return panels


def write(result, directory):
    """Draws what the results have; returns the files."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    turns, stored = result["compare"].get("turns", {}), result["storage"]
    pictures = {}
    rates = groups_of(turns, "received_per_second") + durable_groups(stored)
    if rates:
        pictures["rates"] = bars(
            "Messages a second; strokes are the lowest and highest round",
            "messages received a second, logarithmic", rates,
        )
    costs = groups_of(turns, "broker_cpu_us_per_message")
    if costs:
        pictures["cpu"] = bars(
            "What a message costs the broker; less is better",
            "CPU time a message, µs, logarithmic", costs,
        )
    for which, shown in (("median", "p50"), ("p99", "p99"), ("p999", "p99.9")):
        panels = panels_of(turns, which)
        if panels:
            pictures[f"latency-{which}"] = curves(
                f"Latency over load, {shown}; hollow points are rates that were not held",
                ("messages a second, logarithmic", f"{shown} from due to received, ms"), panels,
            )
    files = []
    for name, picture in pictures.items():
        files.append(directory / f"{name}.svg")
        files[-1].write_text(picture)
    return files


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for path in write(json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2]):
        print(path)
