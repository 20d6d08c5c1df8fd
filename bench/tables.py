"""Writing figures down: numbers, spreads over rounds, ratios, tables in Markdown."""

import statistics


def spread(values, shape):
    """Median (lowest to highest)."""
    values = [value for value in values if value is not None]
    if not values:
        return "–"
    middle = shape(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({shape(min(values))}–{shape(max(values))})"


def grouped(number):
    return f"{number:,.0f}"


def decimals(number):
    return f"{number:.2f}"


def milliseconds(number):
    return f"{number / 1000:,.2f}"


def kib(number):
    return f"{number:,.1f}"


def latency(run, kind, which):
    figures = run[kind]
    return figures[which] if figures and figures["count"] else None


def confirm(run, which):
    return latency(run, "confirm_latency_us", which)


def ratio(ours, theirs):
    ours, theirs = ([v for v in values if v is not None] for values in (ours, theirs))
    if not ours or not theirs or statistics.median(theirs) == 0:
        return ""
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def share(ours, limit):
    """Of the limit, in per cent."""
    found = ratio(ours, limit)
    return f"{float(found):.0%}" if found else ""


def markdown(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
