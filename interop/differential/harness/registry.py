"""Collects the scenarios: every function under `scenarios/` that is decorated with `@scenario`."""

import importlib
import pkgutil

ALL = {}


class Registered:
    def __init__(self, function, seconds: float):
        self.function, self.seconds = function, seconds
        self.group = function.__module__.rsplit(".", 1)[-1]
        self.name = f"{self.group}.{function.__name__}"


def scenario(function=None, *, seconds=0.0):
    """Registers a scenario; `seconds` says how long it waits, so that long ones are begun first."""
    if function is None:
        return lambda it: scenario(it, seconds=seconds)
    registered = Registered(function, seconds)
    assert registered.name not in ALL, f"two scenarios are called {registered.name}"
    ALL[registered.name] = registered
    return function


def load() -> dict:
    import scenarios
    for module in pkgutil.iter_modules(scenarios.__path__):
        importlib.import_module(f"scenarios.{module.name}")
    return ALL
