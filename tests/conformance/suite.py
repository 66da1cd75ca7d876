"""The suite's data, with types: section 2."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Value = str | int
"""Of a header; an integer in a header of dates is relative to the origin's time."""

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Interim:
    """A 1xx response."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExpectedHeader:
    """What a response header must be: there ("" as relation), equal to, more than, or the same as another header."""

    name: str
    relation: str
    operand: Value


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a test: what is sent, what the origin answers, what must hold. Names are the suite's own."""

    given: frozenset[str]
    """The members that the data has: with some of them, null says something else than their absence."""
    request_method: str
    request_headers: tuple[tuple[str, Value], ...]
    request_body: str | None
    filename: str | None
    query_arg: str | None
    magic_ims: bool
    rfc850date: frozenset[str]
    pause_after: bool
    response_status: tuple[int, str]
    response_headers: tuple[tuple[str, Value, bool], ...]
    response_body: str | None
    response_pause: float
    disconnect: bool
    interim_responses: tuple[Interim, ...]
    magic_locations: bool
    expected_type: str | None
    expected_status: int | None
    expected_response_headers: tuple[ExpectedHeader, ...]
    expected_response_headers_missing: tuple[str, ...]
    """Bare names only: of pairs the suite's own runner checks nothing (section 8)."""
    expected_response_text: str | None
    check_body: bool
    expected_interim_responses: tuple[Interim, ...] | None
    expected_request_headers: tuple[tuple[str, str | None], ...]
    expected_method: str | None
    setup: bool
    setup_tests: frozenset[str]


@dataclass(frozen=True, slots=True)
class Test:
    """One test of the suite."""

    __test__ = False

    id: str
    name: str
    suite: str
    kind: str
    depends_on: tuple[str, ...]
    browser_only: bool
    entries: tuple[Entry, ...]


class Suite:
    """All tests, by id and in the order of the file."""

    def __init__(self, tests: Iterable[Test]) -> None:
        self.tests = {test.id: test for test in tests}

    def __iter__(self) -> Iterator[Test]:
        return iter(self.tests.values())

    def for_proxies(self) -> list[Test]:
        """Those that are run against a shared cache."""
        return [test for test in self if not test.browser_only]

    def with_dependencies(self, ids: Iterable[str]) -> list[Test]:
        """The tests of these ids and all they depend on, in the order of the file; KeyError names an unknown id."""
        wanted: set[str] = set()
        waiting = list(ids)
        while waiting:
            each = waiting.pop()
            if each not in wanted:
                wanted.add(each)
                waiting.extend(self.tests[each].depends_on)
        return [test for test in self.for_proxies() if test.id in wanted]


def suite_path() -> Path:
    """Where the suite is, or would be."""
    named = os.environ.get("PENSTOCK_CACHE_TESTS")
    return Path(named) if named else PROJECT.parent / "shared" / "cache-tests" / "suite.json"


def load_suite() -> Suite | None:
    """The suite, or None where the file is not there."""
    path = suite_path()
    if not path.is_file():
        return None
    suites = json.loads(path.read_text("utf-8"))
    return Suite(read_test(test, suite["id"]) for suite in suites for test in suite["tests"])


def read_test(data: Mapping[str, Any], suite: str) -> Test:
    """A test from the suite's JSON."""
    return Test(
        id=data["id"],
        name=data["name"],
        suite=suite,
        kind=data.get("kind", "required"),
        depends_on=tuple(data.get("depends_on", ())),
        browser_only=data.get("browser_only", False),
        entries=tuple(read_entry(entry) for entry in data["requests"]),
    )


def read_entry(data: Mapping[str, Any]) -> Entry:
    """An entry from the suite's JSON."""
    status, phrase = data.get("response_status") or (200, "OK")
    expected_interim = data.get("expected_interim_responses")
    return Entry(
        given=frozenset(data),
        request_method=data.get("request_method", "GET"),
        request_headers=tuple((name, value) for name, value in data.get("request_headers", ())),
        request_body=data.get("request_body"),
        filename=data.get("filename"),
        query_arg=data.get("query_arg"),
        magic_ims=data.get("magic_ims", False),
        rfc850date=frozenset(data.get("rfc850date", ())),
        pause_after=data.get("pause_after", False),
        response_status=(status, phrase),
        response_headers=tuple((line[0], line[1], line[2:] != [False]) for line in data.get("response_headers", ())),
        response_body=data.get("response_body"),
        response_pause=data.get("response_pause", 0),
        disconnect=data.get("disconnect", False),
        interim_responses=_interims(data.get("interim_responses", ())),
        magic_locations=data.get("magic_locations", False),
        expected_type=data.get("expected_type"),
        expected_status=data.get("expected_status"),
        expected_response_headers=tuple(_expected(each) for each in data.get("expected_response_headers", ())),
        expected_response_headers_missing=tuple(
            each for each in data.get("expected_response_headers_missing", ()) if isinstance(each, str)
        ),
        expected_response_text=data.get("expected_response_text"),
        check_body=data.get("check_body", True),
        expected_interim_responses=None if expected_interim is None else _interims(expected_interim),
        expected_request_headers=tuple(
            (each, None) if isinstance(each, str) else (each[0], each[1])
            for each in data.get("expected_request_headers", ())
        ),
        expected_method=data.get("expected_method"),
        setup=data.get("setup", False),
        setup_tests=frozenset(data.get("setup_tests", ())),
    )


def _interims(data: Iterable[Any]) -> tuple[Interim, ...]:
    return tuple(
        Interim(each[0], tuple((name, value) for name, value in (each[1] if len(each) > 1 else ()))) for each in data
    )


def _expected(data: Any) -> ExpectedHeader:
    if isinstance(data, str):
        return ExpectedHeader(data, "", "")
    if len(data) == 2:
        return ExpectedHeader(data[0], "is", data[1])
    return ExpectedHeader(data[0], data[1], data[2])
