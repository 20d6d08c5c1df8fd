"""Patterns over test names, in which only `*` is special: names often have brackets in them."""

import re


def as_expression(pattern):
    """The pattern as a regular expression."""
    return re.escape(pattern).replace(r"\*", ".*")


def matches(patterns, name):
    """The first pattern that fits the whole name, or None."""
    for pattern in patterns:
        if re.fullmatch(as_expression(pattern), name, re.DOTALL):
            return pattern
    return None
