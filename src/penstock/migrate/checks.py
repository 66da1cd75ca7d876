"""One request in an arm, looked at from its entry to its exit: is what it carries still its own?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from ..adapters.bridge import runs_in_a_loop
from ..adapters.forks import tell_after_fork
from ..rules.moving.context import CarryFinding, held, kept
from .declared import Declared
from .findings import NOBODY, Findings, SeenAt


class OpenChecks:
    """The requests that are under way in arms of this process, and what each of them holds for itself."""

    def __init__(self) -> None:
        self.after_fork()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Those of the parent are no business of a child."""
        self._lock = threading.Lock()
        self._checks: dict[int, CarryCheck] = {}
        self._held: dict[tuple[str, Any], tuple[CarryCheck, Any]] = {}

    def add(self, check: CarryCheck) -> None:
        """One more."""
        with self._lock:
            self._checks[id(check)] = check

    def remove(self, check: CarryCheck) -> None:
        """It has left its arm, and with it what it held."""
        with self._lock:
            self._checks.pop(id(check), None)
            for key in check.holds:
                self._held.pop(key, None)

    def hold(self, check: CarryCheck, name: str, value: Any) -> bool:
        """From now on the value is this request's; False where it is another's."""
        key = (name, _key(value))
        with self._lock:
            # The value is kept, too: the place in memory of one that is gone could be another's.
            holder, _ = self._held.setdefault(key, (check, value))
            if holder is check:
                check.holds.add(key)
            return holder.request is check.request

    def whose(self) -> tuple[str, str] | None:
        """Route and arm of all that are under way; `NOBODY` where they differ, None where there are none."""
        with self._lock:
            arms = {(check.route, check.arm) for check in self._checks.values()}
        if not arms:
            return None
        return arms.pop() if len(arms) == 1 else (NOBODY, NOBODY)


class CarryCheck:
    """One request in one arm. Each method looks once; a finding is told, never raised."""

    __slots__ = (
        "_at_the_end",
        "_declared",
        "_entry",
        "_findings",
        "_last",
        "_open",
        "_seen",
        "_task",
        "arm",
        "holds",
        "left",
        "outer",
        "request",
        "route",
    )

    def __init__(
        self,
        route: str,
        arm: str,
        declared: Declared,
        findings: Findings,
        under_way: OpenChecks,
        outer: CarryCheck | None = None,
    ) -> None:
        self.route = route
        self.arm = arm
        self.holds: set[tuple[str, Any]] = set()
        self.left = False
        self.outer = outer
        """That of an arm which has called this one as a function."""
        self.request: CarryCheck = self if outer is None else outer.request
        """The outermost: one request holds what it holds in all its arms."""
        self._task = current_task()
        self._declared = declared
        self._findings = findings
        self._open = under_way
        self._entry = declared.read()
        self._last: dict[str, Any] = {}
        self._at_the_end: dict[str, Any] | None = None
        self._seen = {name for name, value in self._entry.items() if value is not None}
        under_way.add(self)
        self._claim(self._entry, SeenAt.ENTRY)

    def start(self) -> None:
        """In the thread of a sync arm, before the arm runs."""
        self._judge_held(self._entry, self._declared.read(), SeenAt.START)

    def finish(self) -> None:
        """In the thread of a sync arm, after the arm has run."""
        self._at_the_end = self._declared.read()

    def suspend(self) -> None:
        """The coroutine of an async arm is about to wait."""
        self._last = self._declared.read_functions()

    def resume(self) -> None:
        """It goes on. Nothing that it has may be another's by now."""
        self._judge_held(self._last, self._declared.read_functions(), SeenAt.RESUME)

    def effect(self) -> None:
        """The service calls another, in any thread or task of this request, perhaps after its exit."""
        self._judge_kept(self._declared.read(), SeenAt.CALL)

    def leave(self) -> None:
        """The arm has ended. What it set in its thread has to be here as well, for the middleware around."""
        now = self._declared.read()
        if self._at_the_end is None:
            self._judge_kept(now, SeenAt.EXIT)
        else:
            self._judge_held(self._at_the_end, now, SeenAt.EXIT)
        self._last = now
        self.left = True
        self._open.remove(self)
        for name in now:
            self._findings.present(self.route, name, there=name in self._seen)

    def answer(self) -> None:
        """In a middleware around the app, afterwards: where the arm had a task of its own, nothing set there is here.

        It may well be that nobody here wants it, so it is said, and not counted.
        """
        if current_task() is self._task:
            return
        for name, value in self._declared.read().items():
            if kept(self._last.get(name), value):
                self._findings.stays_inside(name)

    def _judge_held(self, before: Mapping[str, Any], now: Mapping[str, Any], place: SeenAt) -> None:
        for name, value in now.items():
            if value is before.get(name):
                continue  # nearly always
            finding = held(before.get(name), value)
            if finding is not None:
                self._tell(name, finding, place)
        self._claim(now, place)

    def _judge_kept(self, now: Mapping[str, Any], place: SeenAt) -> None:
        for name, value in now.items():
            finding = kept(self._entry.get(name), value)
            if finding is not None:
                self._tell(name, finding, place)
        self._claim(now, place)

    def _claim(self, now: Mapping[str, Any], place: SeenAt) -> None:
        if self.left:
            return
        if len(self._seen) < len(now):
            self._seen.update(name for name, value in now.items() if value is not None)
        for name in self._declared.own:
            value = now.get(name)
            if value is not None and not self._open.hold(self, name, value):
                self._tell(name, CarryFinding.SHARED, place)

    def _tell(self, name: str, finding: CarryFinding, place: SeenAt) -> None:
        self._findings.tell(self.route, self.arm, name, finding, place)


def current_task() -> object:
    """What runs here; None without an event loop."""
    return asyncio.current_task() if runs_in_a_loop() else None


def _key(value: Any) -> Any:
    # Two of these can be equal, as ids of a request are; of anything else it is the object that must not be shared.
    return value if isinstance(value, (str, bytes, int)) else (id(value),)
