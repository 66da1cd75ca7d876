"""What a test run with a forced arm has shown: lines and verdict, by the rule alone."""

from __future__ import annotations

import pytest

from penstock.rules.moving.suite import RouteCall, Suite, SuiteTest, proves_nothing, summary

A, B = "GET /a", "GET /b"


def suite(arm: str, *tests: SuiteTest, routes: dict[str, set[str]] | None = None) -> Suite:
    known = {A: {"control", "async"}, B: {"control"}} if routes is None else routes
    return Suite(arm, known, {f"t.py::{number}": test for number, test in enumerate(tests)})


def called(*routes: str, arm: str = "broken", by: str = "", red: bool = False, skipped: bool = False) -> SuiteTest:
    return SuiteTest(tuple(RouteCall(route, arm, by) for route in routes), red, skipped)


# What was run; whether it has to fail although no test did; lines that are there; words that are not.
RUNS: list[tuple[str, Suite, bool, list[str], list[str]]] = [
    ("both called", suite("control", called(A, B, arm="control")), False, ["1 of 1 tests called 2 of 2"], ["no test"]),
    ("uncalled", suite("control", called(A, arm="control")), False, [f"{B}: no test called it"], [f"{A}:"]),
    ("no such arm", suite("async", called(A, arm="async"), called(B, arm="control")), False,
     [f"{B} has no arm async: tested with control"], [f"{A} has"]),
    ("cannot serve", suite("async", called(A, arm="control")), False,
     [f"{A} has no arm async that can serve here: tested with control"], []),
    ("misspelt", suite("asnyc", called(A, arm="control")), True, ["no route has an arm asnyc"], []),
    ("misspelt, none called", suite("asnyc", SuiteTest()), True, ["no route has an arm asnyc"], []),
    ("no routes", suite("async", SuiteTest(), routes={}), False, ["no route with arms is known"], []),
    ("noticed", suite("broken", called(A, red=True)), False, ["1 of 1 tests noticed"], ["never looks"]),
    ("blind", suite("broken", called(A), called(A, red=True)), True,
     [f"t.py::0 never looks at the answer of {A}", "1 of 2 tests noticed"], ["t.py::1 never"]),
    ("blind twice", suite("broken", called(A, B)), True, [f"t.py::0 never looks at the answer of {A}",
                                                         f"t.py::0 never looks at the answer of {B}"], []),
    ("skipped", suite("broken", called(A, skipped=True)), True, [f"the answer of {A} (it was skipped)"], []),
    ("by a fixture", suite("broken", called(A, by="the fixture shop")), True,
     [f"the answer of {A} (called by the fixture shop)"], []),
    ("itself and by a fixture", suite("broken", SuiteTest((RouteCall(A, "broken", "the fixture shop"),
                                                           RouteCall(A, "broken", "")))), True,
     [f"t.py::0 never looks at the answer of {A}"], ["fixture"]),
    ("others do not count", suite("broken", called(A, red=True), SuiteTest(red=True), SuiteTest()), False,
     ["1 of 3 tests called"], ["never looks"]),
    ("nothing called", suite("broken", SuiteTest()), True, ["this run shows nothing"], []),
]  # fmt: skip


@pytest.mark.parametrize(("_name", "run", "fails", "there", "not_there"), RUNS, ids=[row[0] for row in RUNS])
def test_what_a_run_has_shown(_name: str, run: Suite, fails: bool, there: list[str], not_there: list[str]) -> None:
    """Each route that was not tested, or not with the arm, and each test that cannot fail has a line."""
    assert proves_nothing(run) is fails
    lines = "\n".join(summary(run))
    assert [part for part in there if part not in lines] == []
    assert [part for part in not_there if part in lines] == []


def test_a_call_outside_of_the_tests_is_said_and_is_nobodys() -> None:
    """At import, or by a thread that goes on."""
    run = suite("control", called(A, arm="control"))
    run.outside.add((B, "control"))
    assert f"{B}: no test called it, only something outside of the tests did" in summary(run)


def test_workers_know_different_routes() -> None:
    """The parent knows them all, with all their arms."""
    run = suite("async", routes={})
    run.knows({A: ["control"]})
    run.knows({A: ["control", "async"], B: ["control"]})
    assert run.routes == {A: {"control", "async"}, B: {"control"}}
