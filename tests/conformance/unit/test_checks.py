"""Every check fails where it must, as what it must, and in its turn."""

from __future__ import annotations

from typing import Any

import pytest

from ..checks import CheckFailed, check_records, check_response
from ..exchange import RunnerResponse, TransportError
from ..origin_state import Record
from ..suite import Interim, read_entry

RUN = "00000000-0000-4000-8000-000000000000"


def response(status: int = 200, body: str = RUN, count: object = 1, **headers: str) -> RunnerResponse:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    if count is not None:
        lines["server-request-count"] = str(count)
    return RunnerResponse(status, lines, body=body.encode())


def outcome(entry: dict[str, Any], got: RunnerResponse, position: int = 1) -> tuple[str, str] | None:
    try:
        check_response(read_entry(entry), position, RUN, got)
    except CheckFailed as failed:
        return failed.kind, failed.check
    return None


TYPE = "expected_type"
HEADERS = "expected_response_headers"
MISSING = "expected_response_headers_missing"
INTERIM = "expected_interim_responses"
IN_2026 = str(1_767_225_600_123)
HINTS = {INTERIM: [[103, [["Link", "a"]]]]}


@pytest.mark.parametrize(
    ("entry", "got", "position", "expected"),
    [
        ({}, response(), 1, None),
        ({}, response(request_numbers="1 2 1"), 3, ("retry", "repeats")),
        ({}, response(request_numbers="NaN NaN"), 2, None),
        ({"setup": True, "expected_type": "cached"}, response(request_numbers="1 1"), 1, ("retry", "repeats")),
        # Where a response comes from.
        ({TYPE: "cached"}, response(count=1), 2, None),
        ({TYPE: "cached"}, response(count=2), 2, ("failure", TYPE)),
        ({TYPE: "cached", "setup_tests": [TYPE]}, response(count=2), 2, ("setup", TYPE)),
        ({TYPE: "cached", "setup": True}, response(count=2), 2, ("setup", TYPE)),
        ({TYPE: "cached", "setup_tests": [HEADERS]}, response(count=2), 2, ("failure", TYPE)),
        ({TYPE: "cached"}, response(count=None), 2, ("failure", TYPE)),
        ({TYPE: "cached"}, response(count="x"), 2, ("failure", TYPE)),
        ({TYPE: "cached", "expected_status": 304}, response(304, "", None), 2, None),
        ({TYPE: "not_cached"}, response(count=2), 2, None),
        ({TYPE: "not_cached"}, response(count=1), 2, ("failure", TYPE)),
        ({TYPE: "not_cached"}, response(count=None), 2, ("failure", TYPE)),
        ({TYPE: "etag_validated"}, response(count=1), 2, None),
        # Status.
        ({"expected_status": None}, response(502), 1, None),
        ({"expected_status": 304}, response(200), 1, ("failure", "expected_status")),
        ({"expected_status": 304, "setup_tests": ["expected_status"]}, response(), 1, ("setup", "expected_status")),
        ({"expected_status": 200, "response_status": [500, "No"]}, response(200), 1, None),
        ({"response_status": [404, "Not Found"]}, response(404), 1, None),
        ({"response_status": [404, "Not Found"]}, response(200), 1, ("setup", "response_status")),
        ({}, response(999), 1, ("failure", TYPE)),
        ({"setup_tests": [TYPE]}, response(999), 1, ("setup", TYPE)),
        ({}, response(502), 1, ("setup", "status")),
        # Headers.
        ({HEADERS: ["Age"]}, response(age="0"), 1, None),
        ({HEADERS: ["Age"]}, response(), 1, ("failure", HEADERS)),
        ({HEADERS: [["Foo", "a, b"]]}, response(foo="a, b"), 1, None),
        ({HEADERS: [["Foo", "a"]]}, response(foo="A"), 1, ("failure", HEADERS)),
        ({HEADERS: [["Age", ">", 2]]}, response(age="3"), 1, None),
        ({HEADERS: [["Age", ">", 2]]}, response(age="2"), 1, ("failure", HEADERS)),
        ({HEADERS: [["Age", ">", 2]]}, response(age="old"), 1, ("failure", HEADERS)),
        ({HEADERS: [["Foo", "=", "Bar"]]}, response(foo="1", bar="1"), 1, None),
        ({HEADERS: [["Foo", "=", "Bar"]]}, response(foo="1"), 1, ("failure", HEADERS)),
        (
            {HEADERS: [["Date", -1]]},
            response(server_now=IN_2026, date="Wed, 31 Dec 2025 23:59:59 GMT"),
            1,
            None,
        ),
        (
            {HEADERS: [["Date", 0]]},
            response(server_now=IN_2026, date="Wed, 31 Dec 2025 23:59:59 GMT"),
            1,
            ("failure", HEADERS),
        ),
        ({HEADERS: [["Date", 0]]}, response(date="Thu, 01 Jan 2026 00:00:00 GMT"), 1, ("failure", HEADERS)),
        ({MISSING: ["Foo"]}, response(), 1, None),
        ({MISSING: ["Foo"]}, response(foo=""), 1, ("failure", MISSING)),
        ({MISSING: [["Foo", "1"]]}, response(foo="1"), 1, None),
        # The body.
        ({}, response(body="other"), 1, ("setup", "response_body")),
        ({"check_body": False}, response(body="other"), 1, None),
        ({"response_body": "mine"}, response(body="mine"), 1, None),
        ({"response_body": "mine"}, response(), 1, ("setup", "response_body")),
        ({"response_body": None}, response(), 1, None),
        ({"expected_response_text": None}, response(body="other"), 1, None),
        ({"expected_response_text": "a"}, response(body="b"), 1, ("failure", "expected_response_text")),
        ({"expected_status": 304}, response(304, ""), 1, None),
        ({"request_method": "HEAD"}, response(body=""), 1, None),
    ],
)
def test_response(entry: dict[str, Any], got: RunnerResponse, position: int, expected: tuple[str, str] | None) -> None:
    assert outcome(entry, got, position) == expected


@pytest.mark.parametrize(
    ("expected", "received", "result"),
    [
        ([[103, [["Link", "a"]]]], [Interim(103, (("link", "b"),))], None),
        ([[103, [["Link", "a"]]]], [Interim(103, (("Other", "a"),))], ("failure", INTERIM)),
        ([[103]], [Interim(102, ())], ("failure", INTERIM)),
        ([[102]], [], ("failure", INTERIM)),
        ([[102]], [Interim(102, ()), Interim(102, ())], ("failure", INTERIM)),
        ([], [Interim(102, ())], ("failure", INTERIM)),
        ([], [], None),
    ],
)
def test_interim_responses(expected: list[Any], received: list[Interim], result: tuple[str, str] | None) -> None:
    got = response()
    got.interim = received
    assert outcome({INTERIM: expected}, got) == result


@pytest.mark.parametrize("check_body", [True, False])
def test_a_broken_body_is_a_failure_even_in_a_setup_entry_but_only_in_its_turn(check_body: bool) -> None:
    got = response()
    got.body_problem = TransportError("cut")
    assert outcome({"setup": True, "check_body": check_body}, got) == ("failure", "body")
    assert outcome({TYPE: "cached", "setup": True}, got) == ("setup", TYPE)
    got.body_problem = TimeoutError()
    assert outcome({"check_body": check_body}, got) == ("timeout", "body")


def seen(number: int | None = 1, method: str = "GET", answered: dict[str, str] | None = None, **headers: str) -> Record:
    return Record(number, method, {name.replace("_", "-"): value for name, value in headers.items()}, answered or {})


ARRIVED = "expected_request_headers"
METHOD = "expected_method"


@pytest.mark.parametrize(
    ("entry", "records", "expected"),
    [
        ({}, [], None),
        ({TYPE: "not_cached"}, [seen()], None),
        ({TYPE: "not_cached", "setup": True}, [], ("failure", TYPE)),
        ({TYPE: "not_cached"}, [seen(2)], ("failure", TYPE)),
        ({TYPE: "not_cached", "setup": True}, [seen(2)], ("setup", TYPE)),
        ({TYPE: "not_cached"}, [seen(None)], ("failure", TYPE)),
        ({TYPE: "cached", METHOD: "PUT"}, [], None),
        ({TYPE: "etag_validated"}, [seen(if_none_match='"a"')], None),
        ({TYPE: "etag_validated"}, [seen(if_modified_since="x")], ("failure", TYPE)),
        ({TYPE: "etag_validated", "setup": True}, [], ("setup", TYPE)),
        ({TYPE: "lm_validated"}, [seen(if_modified_since="x")], None),
        ({TYPE: "lm_validated", "setup_tests": [TYPE]}, [seen()], ("setup", TYPE)),
        ({ARRIVED: [["Abc", "1"]]}, [seen(abc="1")], None),
        ({ARRIVED: [["Abc", "1"]]}, [seen(abc="2")], ("failure", ARRIVED)),
        ({ARRIVED: ["Abc"]}, [seen(abc="2")], None),
        ({ARRIVED: ["Abc"]}, [seen()], ("failure", ARRIVED)),
        ({ARRIVED: ["Abc"], "setup": True}, [], ("failure", ARRIVED)),
        ({METHOD: "PUT"}, [seen(method="PUT")], None),
        ({METHOD: "PUT"}, [seen()], ("failure", METHOD)),
        ({METHOD: "PUT", "setup": True}, [], ("failure", METHOD)),
        ({}, [seen(answered={"foo": "1", "date": "never"})], None),
        ({}, [seen(answered={"foo": "2"})], ("setup", "response_headers")),
        ({}, [seen(answered={"bar": "1"})], ("setup", "response_headers")),
    ],
)
def test_records(entry: dict[str, Any], records: list[Record], expected: tuple[str, str] | None) -> None:
    got = None
    try:
        check_records([read_entry(entry)], [response(foo="1")], records)
    except CheckFailed as failed:
        got = failed.kind, failed.check
    assert got == expected


def test_records_are_taken_by_position_and_cached_entries_take_none() -> None:
    entries = [read_entry({}), read_entry({TYPE: "cached"}), read_entry({METHOD: "PUT"})]
    check_records(entries, [response()] * 3, [seen(), seen(3, "PUT")])
    with pytest.raises(CheckFailed):
        check_records(entries, [response()] * 3, [seen(), seen(2), seen(3, "PUT")])
