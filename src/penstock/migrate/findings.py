"""Names that were lost, changed or shared: a count each time, and one line in the log for each place."""

from __future__ import annotations

import inspect
import sysconfig
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from ..rules.moving.context import CarryFinding
from .log import LOG

_NOT_THE_USERS = (
    str(Path(__file__).parents[1]),
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
    "<frozen",
)
NOBODY = "(unknown)"
"""Stands for route and arm of a call that may have been made for several requests."""
_ABSENT_AFTER = 20


class SeenAt(StrEnum):
    """Where it was seen, as the log says it."""

    ENTRY = "at the entry"
    START = "in the arm's thread, before its first line"
    RESUME = "after the arm had waited"
    CALL = "at a call"
    STRAY = "at a call from another thread"
    EXIT = "at the exit"


class Findings:
    """All that was found in this process. `count` is given route, arm and name, each time."""

    def __init__(self, count: Callable[[str, str, str], None]) -> None:
        self._count = count
        self._said: set[tuple[str, str, str, str]] = set()
        self._absent: dict[tuple[str, str], int] = {}
        self._inside: set[str] = set()

    def tell(self, route: str, arm: str, name: str, finding: CarryFinding, place: SeenAt) -> None:
        """It is so once more. Values are not told to anybody: they are users and sessions."""
        self._count(route, arm, name)
        key = (route, arm, name, place)
        if key in self._said:
            return
        self._said.add(key)
        at = _who_called() if place in {SeenAt.CALL, SeenAt.STRAY} else ""
        LOG.warning("%s, arm %s: %r %s %s%s. %s", route, arm, name, _WHAT[finding], place, at, _advice(finding, place))

    def present(self, route: str, name: str, *, there: bool) -> None:
        """Whether a request of the route had a value of this name at any point."""
        key = (route, name)
        count = self._absent.get(key, 0)
        if count < 0 or count >= _ABSENT_AFTER:
            return
        self._absent[key] = -1 if there else count + 1
        if not there and count + 1 == _ABSENT_AFTER:
            LOG.warning("%s: %r had no value in any of %d requests. %s", route, name, _ABSENT_AFTER, _ADVICE_ABSENT)

    def stays_inside(self, name: str) -> None:
        """A middleware around the app does not see what was set for the request."""
        if name not in self._inside:
            self._inside.add(name)
            LOG.warning("%r had a value in the arm and has none in MoveMiddleware around it. %s", name, _ADVICE_INSIDE)


def _who_called() -> str:
    """File and line of the user's code that makes the call, in brackets; empty where none is on the stack."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame = frame.f_back
    if frame is None:
        return ""
    return f" ({frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name})"


def _advice(finding: CarryFinding, place: SeenAt) -> str:
    return _ADVICE.get((finding, place)) or _ADVICE_FINDING[finding]


_WHAT = {
    CarryFinding.LOST: "was lost",
    CarryFinding.CHANGED: "had another value",
    CarryFinding.SHARED: "was that of another request",
}
_ADVICE_ABSENT = (
    "If one was expected: what a `def` dependency sets stays in its thread; write it `async def`, or as a pure ASGI "
    "middleware. If none was, there is nothing to do."
)
_ADVICE_INSIDE = (
    "A middleware in between, such as BaseHTTPMiddleware or @app.middleware, runs the app in a task of its own: what "
    "dependencies and handlers set does not come out of it. Middleware that wants it has to be pure ASGI, and so has "
    "all within it. If none wants it, there is nothing to do."
)
_ADVICE_FINDING = {
    CarryFinding.LOST: (
        "It had a value when the arm began. Work that is given to a thread or a queue needs the context of the "
        "request: contextvars.copy_context().run(function, ...)."
    ),
    CarryFinding.CHANGED: "It is kept for a thread or a process, where requests take turns: keep it in a ContextVar.",
    CarryFinding.SHARED: "Two requests that are under way have one: make it for each, and keep it in a ContextVar.",
}
_ADVICE = {
    (CarryFinding.LOST, SeenAt.START): (
        "It is kept for a thread (threading.local, scoped_session), and a `def` arm has a thread of its own: keep it "
        "in a ContextVar."
    ),
    (CarryFinding.LOST, SeenAt.STRAY): (
        "This thread has the context of no request: executor.submit(contextvars.copy_context().run, function, ...). A "
        "job that belongs to no request gives the name a value of its own."
    ),
}
