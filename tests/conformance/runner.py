"""The client side of a test: section 4. Time is the running loop's, so it may be virtual."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .checks import CheckFailed, check_records, check_response
from .dates import leading_integer, resolve
from .exchange import RunnerRequest, RunnerResponse, Transport, TransportError, joined
from .origin_state import OriginState, Record
from .suite import Entry, Test

AT_ONCE = 25
LIMIT = 10.0
"""Seconds for each request, to the end of the body."""

PAUSE = 3.0
AFTER_ENTRY = 0.02
BEFORE_RECORDS = 0.1


@dataclass(slots=True)
class Result:
    """What a test came to: `kind` is `true`, `failure`, `setup`, `retry` or `timeout`."""

    kind: str
    message: str = ""
    check: str = ""
    trace: list[tuple[RunnerRequest, RunnerResponse | None]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def shown(self) -> str:
        """What went over the wire, for people."""
        blocks = []
        for number, (request, response) in enumerate(self.trace, 1):
            blocks += [f"--- request {number}", request.shown(), f"--- response {number}"]
            blocks.append(response.shown() if response is not None else "(none)")
        for number, record in enumerate(self.records, 1):
            seen = "\n".join(f"{name}: {value}" for name, value in record.request_headers.items())
            blocks += [f"--- seen by the origin, {number}", f"{record.request_method}\n{seen}"]
        return "\n".join(blocks)


async def run_tests(
    tests: Sequence[Test],
    state: OriginState,
    transport: Transport,
    *,
    at_once: int = AT_ONCE,
    on_result: Callable[[Test, Result], None] | None = None,
) -> dict[str, Result]:
    """Run the tests in order, `at_once` at a time, and return what each came to by its id."""
    results: dict[str, Result] = {}

    async def one(test: Test) -> None:
        results[test.id] = await run_test(test, state, transport)
        if on_result is not None:
            on_result(test, results[test.id])

    for first in range(0, len(tests), at_once):
        async with asyncio.TaskGroup() as group:
            for test in tests[first : first + at_once]:
                group.create_task(one(test))
    return {test.id: results[test.id] for test in tests}


async def wait_for_origin(transport: Transport, *, patience: float = 15.0) -> None:
    """Until the origin's own answer to an unknown run comes through the cache; TimeoutError if none does."""
    async with asyncio.timeout(patience):
        while True:
            request = RunnerRequest("GET", f"/test/{uuid.uuid4()}", [("Req-Num", "1")], None)
            try:
                if (await transport.exchange(request, LIMIT)).status == 409:
                    return
            except (TransportError, TimeoutError):
                pass  # the proxy is still starting
            await asyncio.sleep(0.05)


async def run_test(test: Test, state: OriginState, transport: Transport) -> Result:
    """Run one test."""
    run_id = str(uuid.uuid4())
    state.register(run_id, test.entries)
    result = Result("true")
    try:
        await _play(test, run_id, state, transport, result)
    except CheckFailed as failed:
        result.kind, result.check, result.message = failed.kind, failed.check, str(failed)
    except TransportError as error:
        result.kind, result.check, result.message = "failure", "transport", f"request {len(result.trace)}: {error}"
    except TimeoutError:
        result.kind, result.check, result.message = "timeout", "transport", f"request {len(result.trace)}: no response"
    result.records = list(state.records(run_id))
    return result


async def _play(test: Test, run_id: str, state: OriginState, transport: Transport, result: Result) -> None:
    responses: list[RunnerResponse] = []
    for position, entry in enumerate(test.entries, 1):
        request = build_request(test, position, run_id, responses[-1] if responses else None)
        result.trace.append((request, None))
        response = await transport.exchange(request, LIMIT)
        result.trace[-1] = (request, response)
        check_response(entry, position, run_id, response)
        responses.append(response)
        await asyncio.sleep(PAUSE if entry.pause_after else AFTER_ENTRY)
    await asyncio.sleep(BEFORE_RECORDS)
    check_records(test.entries, responses, state.records(run_id))


def build_request(test: Test, position: int, run_id: str, before: RunnerResponse | None) -> RunnerRequest:
    """The request of an entry (position from 1), given the response to the one before it."""
    entry = test.entries[position - 1]
    target = f"/test/{run_id}"
    if entry.filename is not None:
        target += f"/{entry.filename}"
    if entry.query_arg is not None:
        target += f"?{entry.query_arg}"
    own = [(name, _request_value(entry, name, value, before)) for name, value in entry.request_headers]
    names = {name.lower() for name, _ in own}
    lines = [("Pragma", "foo"), ("Cache-Control", "nothing-to-see-here"), *own]
    lines += [("Test-Name", test.name), ("Test-ID", test.id), ("Req-Num", str(position))]
    defaults = [
        ("Accept", "*/*"),
        ("Accept-Language", "*"),
        ("Accept-Encoding", "identity" if "range" in names else "gzip, deflate"),
        ("User-Agent", "penstock-conformance"),
        ("Sec-Fetch-Mode", "cors"),
    ]
    if entry.request_body is not None:
        defaults.insert(0, ("Content-Type", "text/plain;charset=UTF-8"))
    lines += [(name, value) for name, value in defaults if name.lower() not in names]
    body = None if entry.request_body is None else entry.request_body.encode()
    return RunnerRequest(entry.request_method, target, joined(lines), body)


def _request_value(entry: Entry, name: str, value: str | int, before: RunnerResponse | None) -> str:
    if not (entry.magic_ims and isinstance(value, int) and name.lower() == "if-modified-since"):
        return str(value)
    now = leading_integer(before.headers.get("server-now")) if before is not None else None
    return "Invalid Date" if now is None else resolve(name, value, now, entry.rfc850date)
