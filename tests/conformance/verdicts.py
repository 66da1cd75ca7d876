"""From results to verdicts: section 6. The dependency rule is what makes a score mean something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from .suite import Suite, Test

PASSES = frozenset({"pass", "yes"})

KINDS: dict[str, tuple[str, str]] = {
    "required": ("pass", "fail"),
    "optimal": ("pass", "optional_fail"),
    "check": ("yes", "no"),
}
"""By kind of test: the verdict where all checks held, and where one did not."""

VERDICTS = (
    "pass",
    "yes",
    "fail",
    "optional_fail",
    "no",
    "setup_fail",
    "retry",
    "harness_fail",
    "dependency_fail",
    "untested",
)


def verdicts(suite: Suite, results: Mapping[str, str]) -> dict[str, str]:
    """The verdict on every test of the suite, from the kinds of results of those that were run."""
    found: dict[str, str] = {}

    def judge(test: Test) -> str:
        if test.id not in found:
            found[test.id] = (
                "untested"
                if test.id not in results
                else "dependency_fail"
                if any(judge(suite.tests[each]) not in PASSES for each in test.depends_on)
                else own_verdict(test.kind, results[test.id])
            )
        return found[test.id]

    return {test.id: judge(test) for test in suite}


def own_verdict(kind: str, result: str) -> str:
    """The verdict on a test whose dependencies all hold."""
    by_result = {"retry": "retry", "setup": "setup_fail", "timeout": "harness_fail"}
    if result in by_result:
        return by_result[result]
    good, bad = KINDS[kind]
    return good if result == "true" else bad


def totals(suite: Suite, found: Mapping[str, str]) -> dict[str, Counter[str]]:
    """How often each verdict was reached, by kind of test; without the untested."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for each, verdict in found.items():
        if verdict != "untested":
            counts[suite.tests[each].kind][verdict] += 1
    return counts


def passed(suite: Suite, found: Mapping[str, str], kinds: Iterable[str] = tuple(KINDS)) -> list[str]:
    """The ids of the tests of these kinds that passed, sorted."""
    wanted = set(kinds)
    return sorted(each for each, verdict in found.items() if verdict in PASSES and suite.tests[each].kind in wanted)
