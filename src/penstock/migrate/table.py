"""All routes of this process that have arms, and the counts of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..errors import UsageError
from .tally import ArmTally, Tallies


class RouteOfTable(Protocol):
    """What is in the table."""

    name: str
    control: Callable[..., Any]

    @property
    def arm_names(self) -> list[str]:
        """The control first."""
        ...

    @property
    def wsgi(self) -> bool:
        """Whether it is served without an event loop."""
        ...


ROUTES: dict[str, RouteOfTable] = {}
TALLIES = Tallies()


def tally_of(route: str, arm: str) -> ArmTally:
    """The counts of an arm in this process."""
    return TALLIES.of(route, arm)


def register(route: RouteOfTable) -> None:
    """Put it into the table. Raises UsageError where another function has its name.

    The same function may come again: an app that is made twice, or a module that is loaded anew.
    """
    there = ROUTES.get(route.name)
    if there is not None and _is_another(there.control, route.control):
        raise UsageError(
            f"{route.name!r} is the route of {_place(there.control)} already: give {_place(route.control)} another name"
        )
    ROUTES[route.name] = route


def _is_another(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    if _name(one) != _name(other):
        return True
    # Of one name in one file: written twice, unless it stands where it stood.
    (file, line), (other_file, other_line) = _code(one), _code(other)
    return file == other_file and line != other_line


def _name(function: Callable[..., Any]) -> tuple[str, str]:
    # One function stands for all classes of views of Django or Flask, and says which of them it is.
    function = getattr(function, "view_class", function)
    return function.__module__, getattr(function, "__qualname__", type(function).__qualname__)


def _code(function: Callable[..., Any]) -> tuple[str, int]:
    code = getattr(function, "__code__", None)
    return ("", 0) if code is None else (code.co_filename, code.co_firstlineno)


def _place(function: Callable[..., Any]) -> str:
    file, line = _code(function)
    return f"{'.'.join(_name(function))} ({file}:{line})"
