"""`module:name` and `module:make()` as the app that they name."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError

FACTORY = "PENSTOCK_BENCH_FACTORY"
"""Names the function that `SERVED` calls."""
SERVED = "penstock.migrate.bench.served:app"
"""What a server is given in the place of a factory."""


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """`factory` is the name of the function that made it; empty: it was there."""

    app: Any
    factory: str = ""


def load(name: str) -> LoadedApp:
    """Import it. Raises UsageError for a name that is none, and whatever the import of the module raises."""
    module, colon, attribute = name.partition(":")
    called = attribute.endswith("()")
    attribute = attribute.removesuffix("()")
    if not colon or not module or not attribute or not all(part.isidentifier() for part in attribute.split(".")):
        raise UsageError(f"{name!r} names no app; write module:app, or module:make() for a function that makes it")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"module {module!r} has no {attribute!r}")
        found = getattr(found, part)
    if called or makes_an_app(found):
        return LoadedApp(found(), f"{module}:{attribute}")
    if not callable(found):
        raise UsageError(f"{name!r} is {type(found).__name__}, which is no app")
    return LoadedApp(found)


def makes_an_app(found: Any) -> bool:
    """Whether it is a plain function that can be called with nothing: an app takes two arguments or three."""
    if not inspect.isfunction(found) or inspect.iscoroutinefunction(found):
        return False
    needed = [
        each
        for each in inspect.signature(found).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    return not needed
