"""The checks of section 5. The first that fails raises; the order counts."""

from __future__ import annotations

from collections.abc import Sequence

from .dates import DATE_HEADERS, leading_integer, resolve
from .exchange import RunnerResponse, TransportError
from .origin_state import Record
from .suite import Entry, ExpectedHeader, Value

NO_BODY = (204, 304)


class CheckFailed(Exception):
    """A check did not hold; `kind` is `failure`, `setup`, `retry` or `timeout`."""

    def __init__(self, kind: str, check: str, message: str, position: int) -> None:
        super().__init__(f"request {position}, {check}: {message}")
        self.kind = kind
        self.check = check
        self.position = position


def check_response(entry: Entry, position: int, run_id: str, response: RunnerResponse) -> None:
    """What must hold at once for the response to the entry of this position (from 1). Raises CheckFailed."""
    _check_repeats(position, response)
    _check_source(entry, position, response)
    _check_status(entry, position, response)
    for expected in entry.expected_response_headers:
        problem = header_problem(expected, response, entry.rfc850date)
        _require(entry, position, "expected_response_headers", problem)
    for name in entry.expected_response_headers_missing:
        there = name.lower() in response.headers
        _require(entry, position, "expected_response_headers_missing", f"there is {name}" if there else None)
    _check_interim(entry, position, response)
    _check_body(entry, position, run_id, response)


def check_records(entries: Sequence[Entry], responses: Sequence[RunnerResponse], records: Sequence[Record]) -> None:
    """What must hold, after the last entry, of the requests that the origin saw. Raises CheckFailed."""
    taken = 0
    for position, (entry, response) in enumerate(zip(entries, responses, strict=True), 1):
        if entry.expected_type == "cached":
            continue
        record = records[taken] if taken < len(records) else None
        taken += 1
        _check_arrival(entry, position, record)
        _check_request_headers(entry, position, record)
        if record is not None:
            _check_arrived_unchanged(position, record, response)
        if entry.expected_method is not None:
            method = _present(record, position, "expected_method").request_method
            other = f"the origin saw {method}, not {entry.expected_method}" if method != entry.expected_method else None
            _require(entry, position, "expected_method", other)


def header_problem(expected: ExpectedHeader, response: RunnerResponse, rfc850date: frozenset[str]) -> str | None:
    """What is wrong with a response header, None where nothing is."""
    name = expected.name
    value = response.headers.get(name.lower())
    if value is None:
        return f"there is no {name}"
    if expected.relation == ">":
        number, least = leading_integer(value), int(expected.operand)
        return None if number is not None and number > least else f"{name} is {value!r}, not above {least}"
    if expected.relation == "=":
        other = response.headers.get(str(expected.operand).lower())
        return None if value == other else f"{name} is {value!r}, but {expected.operand} is {other!r}"
    if expected.relation == "is":
        wanted = _wanted(name, expected.operand, response, rfc850date)
        return None if value == wanted else f"{name} is {value!r}, not {wanted!r}"
    return None


def _wanted(name: str, operand: Value, response: RunnerResponse, rfc850date: frozenset[str]) -> str | None:
    if isinstance(operand, int) and name.lower() in DATE_HEADERS:
        now = leading_integer(response.headers.get("server-now"))
        return None if now is None else resolve(name, operand, now, rfc850date)
    return str(operand)


def _require(entry: Entry, position: int, check: str, problem: str | None, *, always_setup: bool = False) -> None:
    if problem is not None:
        setup = always_setup or entry.setup or check in entry.setup_tests
        raise CheckFailed("setup" if setup else "failure", check, problem, position)


def _check_repeats(position: int, response: RunnerResponse) -> None:
    numbers = [each for each in response.headers.get("request-numbers", "").split() if each != "NaN"]
    if len(numbers) != len(set(numbers)):
        raise CheckFailed("retry", "repeats", f"the cache repeated a request: {' '.join(numbers)}", position)


def _check_source(entry: Entry, position: int, response: RunnerResponse) -> None:
    count = leading_integer(response.headers.get("server-request-count"))
    problem = None
    if entry.expected_type == "cached":
        if count is None and response.status != 304:
            problem = f"a {response.status} that does not come from the origin"
        elif count is not None and count >= position:
            problem = "the response comes from the origin"
    elif entry.expected_type == "not_cached" and count != position:
        problem = f"the response is not a new one (Server-Request-Count {count})"
    _require(entry, position, "expected_type", problem)


def _check_status(entry: Entry, position: int, response: RunnerResponse) -> None:
    status = response.status
    if "expected_status" in entry.given:
        if entry.expected_status is not None and status != entry.expected_status:
            _require(entry, position, "expected_status", f"{status}, not {entry.expected_status}")
    elif "response_status" in entry.given:
        if status != entry.response_status[0]:
            problem = f"{status}, not {entry.response_status[0]}"
            _require(entry, position, "response_status", problem, always_setup=True)
    elif status == 999:
        _require(entry, position, "expected_type", "the request should have been conditional")
    elif status != 200:
        _require(entry, position, "status", f"{status}, not 200", always_setup=True)


def _check_interim(entry: Entry, position: int, response: RunnerResponse) -> None:
    expected = entry.expected_interim_responses
    if expected is None:
        return
    problem = None
    for each, got in zip(expected, response.interim, strict=False):
        names = {name.lower() for name, _ in got.headers}
        if got.status != each.status or any(name.lower() not in names for name, _ in each.headers):
            problem = f"interim response {got.status} {list(got.headers)}, not {each.status} {list(each.headers)}"
            break
    if problem is None and len(expected) != len(response.interim):
        problem = f"{len(response.interim)} interim responses, not {len(expected)}"
    _require(entry, position, "expected_interim_responses", problem)


def _check_body(entry: Entry, position: int, run_id: str, response: RunnerResponse) -> None:
    if isinstance(response.body_problem, TransportError):
        raise CheckFailed("failure", "body", str(response.body_problem), position)
    if response.body_problem is not None:
        raise CheckFailed("timeout", "body", "the body did not end in time", position)
    if not entry.check_body:
        return
    text = response.body.decode("utf-8", "replace")
    if "expected_response_text" in entry.given:
        wanted = entry.expected_response_text
        if wanted is not None and text != wanted:
            _require(entry, position, "expected_response_text", f"the body is {text!r}, not {wanted!r}")
    elif entry.response_body is not None:
        problem = f"the body is {text!r}, not {entry.response_body!r}" if text != entry.response_body else None
        _require(entry, position, "response_body", problem, always_setup=True)
    elif response.status not in NO_BODY and entry.request_method != "HEAD" and text != run_id:
        _require(entry, position, "response_body", f"the body is {text!r}, not the run id", always_setup=True)


def _check_arrival(entry: Entry, position: int, record: Record | None) -> None:
    """Whether the origin saw the request that the type of this entry asks for."""
    check = "expected_type"
    if entry.expected_type == "not_cached":
        number = _present(record, position, check).request_num
        _require(entry, position, check, f"the origin saw request {number} instead" if number != position else None)
    condition = {"etag_validated": "if-none-match", "lm_validated": "if-modified-since"}.get(entry.expected_type or "")
    if condition is None:
        return
    if record is None:
        _require(entry, position, check, "the origin saw no request")
    elif condition not in record.request_headers:
        _require(entry, position, check, f"the origin's request had no {condition}")


def _check_request_headers(entry: Entry, position: int, record: Record | None) -> None:
    check = "expected_request_headers"
    for name, wanted in entry.expected_request_headers:
        value = _present(record, position, check).request_headers.get(name.lower())
        if value is None or (wanted is not None and value != wanted):
            _require(entry, position, check, f"the origin saw {name}: {value!r}, not {wanted!r}")


def _check_arrived_unchanged(position: int, record: Record, response: RunnerResponse) -> None:
    for name, sent in record.response_headers.items():
        got = response.headers.get(name)
        if name != "date" and got != sent:
            problem = f"the origin sent {name}: {sent!r}, {got!r} arrived"
            raise CheckFailed("setup", "response_headers", problem, position)


def _present(record: Record | None, position: int, check: str) -> Record:
    """The record; that it is missing is a failure even in an entry that only sets up."""
    if record is None:
        raise CheckFailed("failure", check, "the origin saw no request", position)
    return record
