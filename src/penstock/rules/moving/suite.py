"""What a test run with a forced arm has shown: which routes were tested, with what, and which tests cannot fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .state import BROKEN, CONTROL


class RouteCall(NamedTuple):
    """A route that a test has called, perhaps often."""

    route: str
    arm: str
    """The one that served."""
    by: str
    """Who called it if not the test itself: `the fixture shop`, `its setup`. Else empty."""


@dataclass(slots=True)
class SuiteTest:
    """One test that has run."""

    calls: tuple[RouteCall, ...] = ()
    red: bool = False
    """It failed, at whatever time."""
    skipped: bool = False


@dataclass(slots=True)
class Suite:
    """A whole run, by all its processes."""

    arm: str
    """The one that was asked for."""
    routes: dict[str, set[str]] = field(default_factory=dict)
    """The arms of each route that is known."""
    tests: dict[str, SuiteTest] = field(default_factory=dict)
    outside: set[tuple[str, str]] = field(default_factory=set)
    """Route and arm of calls while no test was running."""

    def knows(self, routes: Mapping[str, Iterable[str]]) -> None:
        """What a process has imported."""
        for route, arms in routes.items():
            self.routes.setdefault(route, set()).update(arms)

    @property
    def callers(self) -> dict[str, SuiteTest]:
        """The tests that have called a route with arms, by their ids."""
        return {name: test for name, test in self.tests.items() if test.calls}

    @property
    def blind(self) -> dict[str, SuiteTest]:
        """Those of them that did not fail."""
        return {name: test for name, test in self.callers.items() if not test.red}

    @property
    def served(self) -> dict[str, set[str]]:
        """The arms that served tests, by route."""
        found: dict[str, set[str]] = {}
        for test in self.tests.values():
            for call in test.calls:
                found.setdefault(call.route, set()).add(call.arm)
        return found

    @property
    def is_misnamed(self) -> bool:
        """Routes are known, and none has the arm."""
        there = {CONTROL, BROKEN}.union(*self.routes.values(), *self.served.values())
        return bool(self.routes) and self.arm not in there


def proves_nothing(suite: Suite) -> bool:
    """Whether the run has to fail, although no test did."""
    return suite.is_misnamed or (suite.arm == BROKEN and (bool(suite.blind) or not suite.callers))


def summary(suite: Suite) -> list[str]:
    """What to print at the end, a line for each thing."""
    served = suite.served
    known = sorted(suite.routes.keys() | served.keys())
    if not known:
        return ["no route with arms is known: no test has imported one, or only in another process"]
    lines = [f"{len(suite.callers)} of {len(suite.tests)} tests called {len(served)} of {len(known)} routes with arms"]
    if suite.is_misnamed:
        there = sorted({CONTROL}.union(*suite.routes.values()))
        lines.append(f"no route has an arm {suite.arm}, so nothing was tested with it; there are {', '.join(there)}")
    for route in known:
        lines += _of_route(suite, route, served.get(route, set()))
    if suite.arm == BROKEN:
        lines += _of_broken(suite)
    return lines


def _of_route(suite: Suite, route: str, served: set[str]) -> list[str]:
    if not served:
        others = any(name == route for name, _ in suite.outside)
        return [f"{route}: no test called it" + (", only something outside of the tests did" if others else "")]
    if suite.arm in served:
        return []
    why = "no arm " + suite.arm + (" that can serve here" if suite.arm in suite.routes.get(route, ()) else "")
    return [f"{route} has {why}: tested with {', '.join(sorted(served))}"]


def _of_broken(suite: Suite) -> list[str]:
    if not suite.callers:
        return ["no test called a route that was broken, so this run shows nothing"]
    noticed = len(suite.callers) - len(suite.blind)
    return [
        *(
            f"{name} never looks at the answer of {call.route}"
            + _in_brackets(["it was skipped"] * test.skipped + [f"called by {call.by}"] * bool(call.by))
            for name, test in sorted(suite.blind.items())
            for call in _once_a_route(test.calls)
        ),
        f"{noticed} of {len(suite.callers)} tests noticed that a route was broken (-rx lists them)",
    ]


def _once_a_route(calls: tuple[RouteCall, ...]) -> list[RouteCall]:
    """The test itself before others."""
    return list({call.route: call for call in sorted(calls, reverse=True)}.values())


def _in_brackets(remarks: list[str]) -> str:
    return f" ({', '.join(remarks)})" if remarks else ""
