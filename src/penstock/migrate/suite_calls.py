"""Which test of this process calls which route.

A context variable would not do: it does not reach the threads in which some test clients run the app. But one test runs
at a time in a process, and what is called meanwhile is its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..adapters.forks import tell_after_fork
from ..rules.moving.suite import RouteCall
from . import calls_file, choice

_PHASES = {"setup": "its setup", "teardown": "its teardown"}


class SuiteCalls:
    """While `forced`, this process and its children serve one arm everywhere, and what they serve is kept."""

    def __init__(self) -> None:
        self.outside: set[tuple[str, str]] = set()
        """Route and arm of what was called while no test ran."""
        self._test: set[RouteCall] | None = None
        self._phase = ""
        self._fixtures: list[tuple[Any, str]] = []
        """Those that are made now, the innermost last."""
        self._of_fixture: dict[Any, set[RouteCall]] = {}
        self._folder: Path | None = None
        self._children = calls_file.CallsFile(Path())
        self._before: dict[str, str | None] = {}

    def force(self, arm: str) -> None:
        """From now on, until `restore`."""
        self._folder = Path(tempfile.mkdtemp(prefix="penstock-arm-"))
        path = self._folder / "calls"
        self._children = calls_file.CallsFile(path)
        self._before = {name: os.environ.get(name) for name in (choice.VARIABLE, calls_file.VARIABLE)}
        os.environ.update({choice.VARIABLE: arm, calls_file.VARIABLE: str(path)})
        choice.read_anew()
        choice.listen(self._heard)
        tell_after_fork(self)

    def restore(self) -> None:
        """As it was before `force`."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        choice.listen(None)
        choice.read_anew()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def after_fork(self) -> None:
        """A child of the tests: nobody asks this object any more."""
        if self._folder is not None:
            choice.listen(calls_file.writer())

    def begin(self) -> None:
        """A test runs from now on."""
        self._take_from_children()
        self._test = set()

    def enter(self, phase: str) -> None:
        """Its `setup`, `call` or `teardown` begins."""
        self._phase = phase

    def end(self) -> None:
        """It is over."""
        self._take_from_children()
        self._test = None

    @contextmanager
    def within_fixture(self, fixture: Any, name: str) -> Iterator[None]:
        """What is called meanwhile is for everybody who uses the fixture."""
        self._take_from_children()
        self._fixtures.append((fixture, name))
        try:
            yield
        finally:
            self._take_from_children()
            self._fixtures.pop()

    def of_test(self, fixtures: Iterable[Any]) -> tuple[RouteCall, ...]:
        """What the test that runs has called until now, and what those fixtures called that it uses."""
        self._take_from_children()
        found = set(self._test or ())
        for fixture in fixtures:
            found |= self._of_fixture.get(fixture, set())
        return tuple(sorted(found))

    def _take_from_children(self) -> None:
        for route, arm in self._children.new():
            self._heard(route, arm)

    def _heard(self, route: str, arm: str) -> None:
        if self._fixtures:
            fixture, name = self._fixtures[-1]
            call = RouteCall(route, arm, name)
            self._of_fixture.setdefault(fixture, set()).add(call)
        else:
            call = RouteCall(route, arm, _PHASES.get(self._phase, ""))
        if self._test is None:
            self.outside.add((route, arm))
        else:
            self._test.add(call)
