"""What the app carries with each request: names, and how the value of each is read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

from ..errors import UsageError
from .log import LOG

Carried: TypeAlias = ContextVar[Any] | Callable[[], Any]


class Declared:
    """Names and their readers. It is filled at import, and read by every request."""

    def __init__(self) -> None:
        self._values: dict[str, Carried] = {}
        self._variables: tuple[tuple[str, Callable[[None], Any]], ...] = ()
        self._functions: tuple[tuple[str, Callable[[], Any]], ...] = ()
        self._raised: set[str] = set()
        self.own: frozenset[str] = frozenset()
        """What no two requests may have at once."""

    def __bool__(self) -> bool:
        return bool(self._values)

    @property
    def has_functions(self) -> bool:
        """Whether there is anything that could change while a request does nothing."""
        return bool(self._functions)

    def add(self, values: Mapping[str, Carried], own: Iterable[str]) -> None:
        """More of them. Raises UsageError."""
        names = frozenset(own)
        _check(values, own, names, self._values)
        for name, value in values.items():
            if name in self._values:
                continue
            self._values[name] = value
            if isinstance(value, ContextVar):
                self._variables += ((name, value.get),)
            else:
                self._functions += ((name, functools.partial(self._call, name, value)),)
        self.own |= names

    def read(self) -> dict[str, Any]:
        """All values as they are here and now; None for what is not there."""
        values = {name: get(None) for name, get in self._variables}
        if self._functions:
            values |= self.read_functions()
        return values

    def read_functions(self) -> dict[str, Any]:
        """Those of functions. A context variable changes by code of its own context only, and needs no second look."""
        return {name: read() for name, read in self._functions}

    def _call(self, name: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:  # noqa: BLE001  # a request must not fail because it is looked at
            if name not in self._raised:
                self._raised.add(name)
                LOG.warning("carry: the function for %r raised %s; that counts as no value", name, type(error).__name__)
            return None


def _check(values: Mapping[str, Carried], own: Iterable[str], names: frozenset[str], there: Mapping[str, Any]) -> None:
    if not values:
        raise UsageError("carry needs at least one name: carry(user=current_user)")
    for name, value in values.items():
        if there.get(name, value) is not value:
            raise UsageError(f"carry: {name!r} was declared before, as something else")
        if not isinstance(value, ContextVar):
            _check_function(name, value)
    if isinstance(own, str) or names - values.keys():
        raise UsageError(f"carry: own is a list of names that are given here, not {own!r}")


def _check_function(name: str, value: object) -> None:
    if not callable(value):
        raise UsageError(f"carry: {name!r} must be a ContextVar or a function, not {type(value).__name__}")
    if inspect.iscoroutinefunction(value):
        raise UsageError(f"carry: the function for {name!r} must not be async: it is called where nothing can wait")
    try:
        inspect.signature(value).bind()
    except TypeError as error:
        raise UsageError(f"carry: the function for {name!r} must need no arguments") from error
    except ValueError:
        return  # a function of C that does not tell its signature
