"""Runs tests through a cache: section 4."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from penstock.clock import current_clock

from .checks import Problem, check_records, check_response
from .dates import leading_integer, resolve
from .exchange import RunnerRequest, RunnerResponse, Transport, TransportError, joined
from .origin_state import OriginState
from .suite import Entry, Test

LIMIT = 10.0
"""Seconds for one request."""
_PAUSE, _SHORT, _LAST = 3.0, 0.02, 0.1
_AT_ONCE = 25


@dataclass
class Result:
    """What became of one test: no problem means true. `detail` is the exchange, for people."""

    problem: Problem | None = None
    detail: list[str] = field(default_factory=list)


async def run_tests(tests: Sequence[Test], transport: Transport, origin: OriginState) -> dict[str, Result]:
    """The results by test id; 25 tests at a time."""
    await _wait_for_origin(transport)
    results: dict[str, Result] = {}
    for start in range(0, len(tests), _AT_ONCE):
        part = tests[start : start + _AT_ONCE]
        async with asyncio.TaskGroup() as group:
            running = {test.id: group.create_task(_run_test(test, transport, origin)) for test in part}
        results |= {test_id: task.result() for test_id, task in running.items()}
    return results


async def _wait_for_origin(transport: Transport, attempts: int = 100) -> None:
    """Until the origin's 409 for an unknown run comes through: see section 4, "before the first test"."""
    for _ in range(attempts):
        request = RunnerRequest("GET", f"/test/{uuid.uuid4()}", [], None)
        try:
            if (await transport.exchange(request, LIMIT)).status == 409:
                return
        except (TransportError, TimeoutError):
            pass
        await current_clock().sleep(0.1)
    raise TransportError("the origin cannot be reached through the cache")


async def _run_test(test: Test, transport: Transport, origin: OriginState) -> Result:
    run_id = str(uuid.uuid4())
    origin.register(run_id, test.entries)
    result = Result()
    responses: list[RunnerResponse] = []
    for number, entry in enumerate(test.entries, 1):
        before = responses[-1] if responses else None
        request = build_request(test, entry, number, run_id, before)
        result.detail.append(request.shown())
        try:
            response = await transport.exchange(request, LIMIT)
        except TimeoutError:
            result.problem = Problem("timeout", f"request {number} took over {LIMIT:g} s")
            return result
        except TransportError as error:
            result.problem = Problem("failure", f"request {number}: {error}")
            return result
        result.detail.append(response.shown())
        responses.append(response)
        result.problem = check_response(entry, number, run_id, response)
        if result.problem is not None:
            return result
        await current_clock().sleep(_PAUSE if entry.pause_after else _SHORT)
    await current_clock().sleep(_LAST)
    records = origin.records(run_id)
    result.detail += [f"origin got: {r.request_method} {r.request_num} {r.request_headers}" for r in records]
    result.problem = check_records(test.entries, responses, records)
    return result


def build_request(test: Test, entry: Entry, number: int, run_id: str, before: RunnerResponse | None) -> RunnerRequest:
    """The request of one entry."""
    target = f"/test/{run_id}"
    if entry.filename is not None:
        target += f"/{entry.filename}"
    if entry.query_arg is not None:
        target += f"?{entry.query_arg}"
    lines = [("Pragma", "foo"), ("Cache-Control", "nothing-to-see-here")]
    lines += [(name, _value(entry, name, value, before)) for name, value in entry.request_headers]
    lines += [("Test-Name", test.name), ("Test-ID", test.id), ("Req-Num", str(number))]
    given = {name.lower() for name, _ in entry.request_headers}
    body = entry.request_body.encode() if entry.request_body is not None else None
    ranged = "range" in given
    defaults = [
        ("Content-Type", "text/plain;charset=UTF-8", body is not None),
        ("Accept", "*/*", True),
        ("Accept-Language", "*", True),
        ("Accept-Encoding", "identity" if ranged else "gzip, deflate", True),
        ("User-Agent", "penstock-conformance", True),
    ]
    lines += [(name, value) for name, value, wanted in defaults if wanted and name.lower() not in given]
    return RunnerRequest(entry.request_method, target, joined(lines), body)


def _value(entry: Entry, name: str, value: str | int, before: RunnerResponse | None) -> str:
    if isinstance(value, str):
        return value
    now = leading_integer(before.headers.get("server-now")) if before is not None else None
    if not entry.magic_ims or now is None:
        return "Invalid Date" if entry.magic_ims else str(value)
    return resolve(name, value, now, entry.rfc850date)


Progress = Callable[[int, int], None]
