"""From results to verdicts, by the dependency rule: section 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .runner import Result
from .suite import Suite, Test

GOOD = frozenset({"pass", "yes"})


def verdicts(suite: Suite, results: Mapping[str, Result]) -> dict[str, str]:
    """The verdict of each test that was run, and `untested` for what one of them depends on and was not."""
    found: dict[str, str] = {}

    def verdict(test: Test) -> str:
        if test.id not in found:
            found[test.id] = "untested" if test.id not in results else ""
            if test.id in results:
                holds = all(verdict(suite.tests[each]) in GOOD for each in test.depends_on)
                found[test.id] = _verdict(test, results[test.id], holds)
        return found[test.id]

    for test_id in results:
        verdict(suite.tests[test_id])
    return {test_id: each for test_id, each in found.items() if test_id in results}


def _verdict(test: Test, result: Result, dependencies_hold: bool) -> str:
    if not dependencies_hold:
        return "dependency_fail"
    problem = result.problem
    if problem is not None and problem.kind == "retry":
        return "retry"
    if problem is not None and problem.kind == "setup":
        return "setup_fail"
    if problem is not None and problem.kind == "timeout":
        return "harness_fail"
    good, bad = {"required": ("pass", "fail"), "optimal": ("pass", "optional_fail"), "check": ("yes", "no")}[test.kind]
    return good if problem is None else bad


def totals(suite: Suite, found: Mapping[str, str]) -> dict[str, Counter[str]]:
    """How many tests of each kind have which verdict."""
    counted: dict[str, Counter[str]] = {"required": Counter(), "optimal": Counter(), "check": Counter()}
    for test_id, verdict in found.items():
        counted[suite.tests[test_id].kind][verdict] += 1
    return counted


def by_suite(suite: Suite, found: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Passed and all of the required and optimal tests of each suite, in the order of the file."""
    table: dict[str, tuple[int, int]] = {}
    for test_id, verdict in found.items():
        test = suite.tests[test_id]
        if test.kind != "check":
            passed, of = table.get(test.suite, (0, 0))
            table[test.suite] = (passed + (verdict in GOOD), of + 1)
    return table
