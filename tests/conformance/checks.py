"""What must hold of each response and of the origin's records: section 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .dates import leading_integer, resolve
from .exchange import RunnerResponse
from .origin_state import Record
from .suite import Entry, ExpectedHeader

_FOREVER = "-always-"


@dataclass(frozen=True, slots=True)
class Problem:
    """The first check that failed; `kind` is failure, setup, retry or timeout."""

    kind: str
    message: str


def _problem(entry: Entry, name: str, message: str) -> Problem:
    setup = name == _FOREVER or entry.setup or name in entry.setup_tests
    return Problem("setup" if setup else "failure", message)


def check_response(entry: Entry, number: int, run_id: str, response: RunnerResponse) -> Problem | None:
    """The checks on one response, in order; None where all hold."""
    return (
        _repeated(response)
        or _came_from(entry, number, response)
        or _status(entry, response)
        or _headers(entry, response)
        or _interim(entry, response)
        or _body(entry, run_id, response)
    )


def _repeated(response: RunnerResponse) -> Problem | None:
    numbers = response.headers.get("request-numbers", "").split()
    return Problem("retry", f"a request was repeated: {numbers}") if len(set(numbers)) < len(numbers) else None


def _came_from(entry: Entry, number: int, response: RunnerResponse) -> Problem | None:
    count = leading_integer(response.headers.get("server-request-count"))
    if entry.expected_type == "cached":
        if count is None and response.status == 304:
            return None
        if count is None or count >= number:
            return _problem(entry, "expected_type", f"response {number} does not come from the cache (count {count})")
    if entry.expected_type == "not_cached" and count != number:
        return _problem(entry, "expected_type", f"response {number} comes from the cache (count {count})")
    return None


def _status(entry: Entry, response: RunnerResponse) -> Problem | None:
    status = response.status
    if "expected_status" in entry.given:
        if entry.expected_status is not None and status != entry.expected_status:
            return _problem(entry, "expected_status", f"status {status}, not {entry.expected_status}")
    elif "response_status" in entry.given:
        if status != entry.response_status[0]:
            return _problem(entry, _FOREVER, f"status {status}, not {entry.response_status[0]}")
    elif status == 999:
        return _problem(entry, "expected_type", "the request should have been conditional")
    elif status != 200:
        return _problem(entry, _FOREVER, f"status {status}, not 200")
    return None


def _headers(entry: Entry, response: RunnerResponse) -> Problem | None:
    for expected in entry.expected_response_headers:
        message = _header(entry, expected, response)
        if message:
            return _problem(entry, "expected_response_headers", message)
    for name in entry.expected_response_headers_missing:
        if name.lower() in response.headers:
            return _problem(entry, "expected_response_headers_missing", f"header {name} is there")
    return None


def _header(entry: Entry, expected: ExpectedHeader, response: RunnerResponse) -> str:
    found = response.headers.get(expected.name.lower())
    if found is None:
        return f"header {expected.name} is missing"
    if expected.relation == ">":
        number = leading_integer(found)
        return "" if number is not None and number > int(expected.operand) else f"{expected.name}: {found} is too small"
    if expected.relation == "=":
        other = response.headers.get(str(expected.operand).lower())
        return "" if found == other else f"{expected.name}: {found}, not {other}"
    if expected.relation == "is":
        now = leading_integer(response.headers.get("server-now"))
        wanted = str(expected.operand)
        if isinstance(expected.operand, int):
            if now is None:
                return "there is no Server-Now to compare with"
            wanted = resolve(expected.name, expected.operand, now, entry.rfc850date)
        return "" if found == wanted else f"{expected.name}: {found}, not {wanted}"
    return ""


def _interim(entry: Entry, response: RunnerResponse) -> Problem | None:
    expected = entry.expected_interim_responses
    if expected is None:
        return None
    name = "expected_interim_responses"
    for place, wanted in enumerate(expected):
        if place >= len(response.interim) or response.interim[place].status != wanted.status:
            return _problem(entry, name, f"interim response {wanted.status} is missing")
        there = {header.lower() for header, _ in response.interim[place].headers}
        for header, _ in wanted.headers:
            if header.lower() not in there:
                return _problem(entry, name, f"interim response {wanted.status} lacks {header}")
    if len(response.interim) != len(expected):
        return _problem(entry, name, f"{len(response.interim)} interim responses, not {len(expected)}")
    return None


def _body(entry: Entry, run_id: str, response: RunnerResponse) -> Problem | None:
    if response.body_problem is not None:
        kind = "timeout" if isinstance(response.body_problem, TimeoutError) else "failure"
        return Problem(kind, f"the body: {response.body_problem}")
    if not entry.check_body:
        return None
    text = response.body.decode("utf-8", "replace")
    if "expected_response_text" in entry.given:
        if entry.expected_response_text is not None and text != entry.expected_response_text:
            return _problem(entry, "expected_response_text", f"body {text!r}, not {entry.expected_response_text!r}")
        return None
    if entry.response_body is not None:
        return None if text == entry.response_body else _problem(entry, _FOREVER, f"body {text!r}")
    if response.status in (204, 304) or entry.request_method == "HEAD":
        return None
    return None if text == run_id else _problem(entry, _FOREVER, f"body {text!r}, not the run id")


def check_records(
    entries: Sequence[Entry], responses: Sequence[RunnerResponse], records: Sequence[Record]
) -> Problem | None:
    """The checks on what reached the origin, by position."""
    place = 0
    for number, (entry, response) in enumerate(zip(entries, responses, strict=True), 1):
        if entry.expected_type == "cached":
            continue
        record = records[place] if place < len(records) else None
        place += 1
        problem = _record(entry, number, response, record)
        if problem is not None:
            return problem
    return None


def _record(entry: Entry, number: int, response: RunnerResponse, record: Record | None) -> Problem | None:
    if record is None and (
        entry.expected_type == "not_cached" or entry.expected_request_headers or entry.expected_method is not None
    ):
        return Problem("failure", f"request {number} did not reach the origin")
    problem = _record_type(entry, number, record)
    if problem is not None or record is None:
        return problem
    for name, value in entry.expected_request_headers:
        found = record.request_headers.get(name.lower())
        if found is None or (value is not None and found != value):
            return _problem(entry, "expected_request_headers", f"the origin got {name}: {found}, not {value}")
    for name, value in record.response_headers.items():
        if name.lower() != "date" and response.headers.get(name.lower()) != value:
            return _problem(entry, _FOREVER, f"{name}: {response.headers.get(name.lower())!r} arrived, not {value!r}")
    if entry.expected_method is not None and record.request_method != entry.expected_method:
        return _problem(entry, "expected_method", f"the origin got {record.request_method}")
    return None


def _record_type(entry: Entry, number: int, record: Record | None) -> Problem | None:
    kind = entry.expected_type
    if kind == "not_cached" and record is not None and record.request_num != number:
        return _problem(entry, "expected_type", f"the origin got request {record.request_num}, not {number}")
    wanted = {"etag_validated": "if-none-match", "lm_validated": "if-modified-since"}.get(kind or "")
    if wanted and (record is None or wanted not in record.request_headers):
        return _problem(entry, "expected_type", f"request {number} was not validated by {wanted}")
    return None
