"""Verdicts, and recorded lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..compare import compare, record, table
from ..suite import Suite, read_test
from ..verdicts import own_verdict, verdicts


def suite() -> Suite:
    tests: list[dict[str, Any]] = [
        # The one that others need comes last, as it may in the file.
        {"id": "a", "depends_on": ["b"]},
        {"id": "b", "kind": "optimal", "depends_on": ["c"]},
        {"id": "c", "kind": "check"},
        {"id": "d", "browser_only": True},
    ]
    return Suite(read_test({"name": "", "requests": [{}], **test}, "s") for test in tests)


@pytest.mark.parametrize(
    ("kind", "result", "verdict"),
    [
        *((kind, "retry", "retry") for kind in ("required", "optimal", "check")),
        *((kind, "setup", "setup_fail") for kind in ("required", "optimal", "check")),
        *((kind, "timeout", "harness_fail") for kind in ("required", "optimal", "check")),
        ("required", "true", "pass"),
        ("required", "failure", "fail"),
        ("optimal", "true", "pass"),
        ("optimal", "failure", "optional_fail"),
        ("check", "true", "yes"),
        ("check", "failure", "no"),
    ],
)
def test_own_verdict(kind: str, result: str, verdict: str) -> None:
    assert own_verdict(kind, result) == verdict


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({"a": "true", "b": "true", "c": "true"}, ["pass", "pass", "yes"]),
        ({"a": "true", "b": "true", "c": "failure"}, ["dependency_fail", "dependency_fail", "no"]),
        ({"a": "retry", "b": "setup", "c": "true"}, ["dependency_fail", "setup_fail", "yes"]),
        ({"a": "timeout", "b": "true", "c": "true"}, ["harness_fail", "pass", "yes"]),
        ({"a": "true", "b": "true"}, ["dependency_fail", "dependency_fail", "untested"]),
    ],
)
def test_a_test_counts_only_if_all_it_depends_on_passed(results: dict[str, str], expected: list[str]) -> None:
    assert list(verdicts(suite(), results).values()) == [*expected, "untested"]


def test_the_ids_asked_for_bring_what_they_depend_on() -> None:
    assert [test.id for test in suite().with_dependencies(["b"])] == ["b", "c"]
    with pytest.raises(KeyError, match="x"):
        suite().with_dependencies(["x"])


def test_a_recorded_list_shows_regressions_and_improvements(tmp_path: Path) -> None:
    good = verdicts(suite(), {"a": "failure", "b": "true", "c": "true"})
    record(suite(), good, "mine", tmp_path)
    assert compare(good, "mine", tmp_path) == ([], [])
    changed = verdicts(suite(), {"a": "true", "b": "true", "c": "true"})
    assert compare(changed, "mine", tmp_path) == ([], ["a"])
    worse = verdicts(suite(), {"a": "true", "b": "failure", "c": "true"})
    assert compare(worse, "mine", tmp_path) == (["b"], [])
    assert compare(verdicts(suite(), {"c": "true"}), "mine", tmp_path) == ([], [])
    assert compare({"b": "untested", "c": "untested"}, "mine", tmp_path) == ([], [])
    assert compare({}, "mine", tmp_path) == (["b", "c"], [])


def test_table_counts_by_kind_and_by_suite() -> None:
    shown = table(suite(), verdicts(suite(), {"a": "failure", "b": "true", "c": "true"}))
    assert "| required | 1 | 0 |  | 1 |" in shown
    assert "| s | 0 of 1 | 1 of 1 | 1 of 1 |" in shown
