"""An arm is called as the control is, so it has the same parameters: told at import, not at the first request."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import UsageError


def check_parameters(route: str, name: str, control: Callable[..., Any], arm: Callable[..., Any]) -> None:
    """Raise UsageError, which says what differs, unless names, kinds, defaults and annotations are the same."""
    ours, theirs = inspect.signature(control).parameters, inspect.signature(arm).parameters
    if list(ours) != list(theirs):
        raise UsageError(f"the arm {name!r} of {route} takes ({_list(theirs)}), and the control ({_list(ours)})")
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        for what, differs in (
            ("kind", one.kind is not other.kind),
            ("default", not _same(one.default, other.default)),
            ("annotation", not _same_annotation(one.annotation, other.annotation)),
        ):
            if differs:
                raise UsageError(
                    f"the arm {name!r} of {route} has another {what} of {one.name} than the control: {other}, not {one}"
                )


def check_callable(route: str, name: str, function: object) -> None:
    """Raise UsageError for what is no function, and for what yields: an arm returns its answer, perhaps a stream."""
    if not callable(function):
        raise UsageError(f"the arm {name!r} of {route} is no function, but {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"the arm {name!r} of {route} yields; return a streaming response from it")


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await."""
    call = getattr(function, "__call__", None)  # noqa: B004  # of an object that is no function
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call) or _is_marked(function)


def _is_marked(function: Callable[..., Any]) -> bool:
    # How Django marks what `as_view` of an async class gives; from Python 3.12 on inspect knows its mark.
    mark = getattr(asyncio.coroutines, "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def _list(parameters: Any) -> str:
    return ", ".join(parameters)


def _same(one: Any, other: Any) -> bool:
    # Two that are made alike, such as Depends(user), may not be equal, but look so.
    return one is other or (type(one) is type(other) and repr(one) == repr(other))


def _same_annotation(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return "".join(one.split()) == "".join(other.split())
    if isinstance(one, str) or isinstance(other, str):
        # One module has `from __future__ import annotations`; the control's annotation is what counts.
        return inspect.Parameter.empty not in (one, other)
    return _same(one, other)
