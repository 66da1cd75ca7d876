"""Both faces of an Http, through one table: the same outcome, attempts, requests on the wire and errors."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import penstock
from penstock.adapters import loop_engine
from penstock.rules.retries.retry import RetryPolicy
from penstock.testing import Reply

from .served import RST, Raw, Replying, in_a_thread

AGAIN = {"Retry-After": "0"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@dataclass
class Case:
    """One call, what the server does, and what is to come of it."""

    name: str
    server: list[Any]
    """Replies, or raw bytes (None: nothing, ever)."""
    expect: int | str
    """The status, or the name of the error."""
    attempts: int = 1
    method: str = "GET"
    url: str = "/x"
    call: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    sent: str = ""
    """What the first request on the wire has to contain."""


def reply(status: int = 200, body: bytes = b"{}", **headers: str) -> Reply:
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


FAST = {"attempt_timeout": 0.15, "total_timeout": 5.0}
CASES = [
    Case("plain GET", [reply()], 200, sent="GET /x"),
    Case("HEAD has no body", [reply()], 200, method="HEAD", sent="HEAD /x"),
    Case("DELETE", [reply(204, b"")], 204, method="DELETE", sent="DELETE /x"),
    Case("json", [reply()], 200, method="POST", call={"json": {"a": [1, None]}}, sent='{"a":[1,null]}'),
    Case("form", [reply()], 200, method="POST", call={"data": {"a": "1 2", "b": ["x", "y"]}}, sent="a=1+2&b=x&b=y"),
    Case("bytes", [reply()], 200, method="PUT", call={"data": b"\x00\x01"}, sent="PUT /x"),
    Case("text", [reply()], 200, method="PATCH", call={"data": "é"}, sent="PATCH /x"),
    Case(
        "params",
        [reply()],
        200,
        url="/x?a=1",
        call={"params": {"b": True, "c": None, "d": 2}},
        sent="/x?a=1&b=true&d=2",
    ),
    Case("a space and an umlaut", [reply()], 200, url="/a b/ü", sent="/a%20b/%C3%BC"),
    Case("a percent sign that is there", [reply()], 200, url="/a%20b", sent="/a%20b"),
    Case("fields of the client", [reply()], 200, options={"headers": {"x-a": "1"}}, sent="x-a: 1"),
    Case(
        "a field of the call wins",
        [reply()],
        200,
        options={"headers": {"X-A": "1"}},
        call={"headers": {"x-a": "2"}},
        sent="x-a: 2",
    ),
    Case(
        "a deadline",
        [reply()],
        200,
        options={"deadline_header": "x-deadline", "attempt_timeout": 5.0},
        sent="x-deadline: ",
    ),
    Case("any method", [reply()], 200, method="REPORT", sent="REPORT /x"),
    Case("404 is an answer", [reply(404)], 404),
    Case("400 is not tried again", [reply(400)], 400),
    Case("301 is an answer", [reply(301, Location="/y")], 301),
    Case(
        "301 is followed if asked",
        [reply(301, Location="/y"), reply()],
        200,
        attempts=2,
        options={"follow_redirects": 3},
    ),
    Case("202 is an answer", [reply(202)], 202),
    Case("500 to GET is tried again", [reply(500), reply()], 200, attempts=2),
    Case("500 to POST is not", [reply(500), reply()], 500, method="POST"),
    Case(
        "500 to POST with a key is",
        [reply(500), reply()],
        200,
        attempts=2,
        method="POST",
        call={"headers": {"Idempotency-Key": "1"}},
    ),
    Case(
        "500 to POST is, if it is said so",
        [reply(500), reply()],
        200,
        attempts=2,
        method="POST",
        options={"retry_on": "transient"},
    ),
    Case("500 to the end", [reply(500)], 500, attempts=3),
    Case("501 lasts", [reply(501)], 501),
    Case("nothing is tried again", [reply(500), reply()], 500, options={"retry_on": "none"}),
    Case("one attempt", [reply(503, Retry_After="0"), reply()], 503, options={"max_attempts": 1}),
    Case("429 to POST is tried again", [reply(429, Retry_After="0"), reply()], 200, attempts=2, method="POST"),
    Case("503 with Retry-After to POST", [reply(503, Retry_After="0"), reply()], 200, attempts=2, method="POST"),
    Case("429 to the end", [reply(429, Retry_After="0")], 429, attempts=3),
    Case(
        "429 for longer than there is time",
        [reply(429, Retry_After="3600"), reply()],
        429,
        options={"total_timeout": 2.0},
    ),
    Case(
        "what asks to slow down by the word of the user",
        [reply(418, Retry_After="0"), reply()],
        200,
        attempts=2,
        options={"throttle_when": 418},
    ),
    Case("no answer in time", [None], "AttemptTimeout", options={**FAST, "max_attempts": 2}, attempts=2),
    Case("no answer in time to POST", [None], "AttemptTimeout", method="POST", options=FAST),
    Case("no time at all", [None], "TotalTimeout", options={"total_timeout": 0.15}),
    Case("closed without an answer", [b"", OK], 200, attempts=2),
    Case("closed without an answer to POST", [b"", OK], "ConnectionLost", method="POST"),
    Case("reset", [RST], "ConnectionLost", attempts=3),
    Case("not HTTP", [b"SSH-2.0-OpenSSH\r\n\r\n"], "ProtocolError", options={"max_attempts": 1}),
    Case("a body over the cap", [reply(body=b"x" * 2000)], "ResponseTooLarge", options={"max_response_bytes": 1000}),
    Case("nobody is there", [], "ConnectError", attempts=0, options={"max_attempts": 2}),
    Case("a URL that is none", [reply()], "UsageError", attempts=0, url="ftp://host/x"),
    Case("a field that smuggles", [reply()], "UsageError", attempts=0, call={"headers": {"a": "b\r\nc: d"}}),
    Case(
        "a field that is the client's", [reply()], "UsageError", attempts=0, call={"headers": {"Content-Length": "3"}}
    ),
]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_engine, "RetryPolicy", functools.partial(RetryPolicy, backoff_base=0.02))


@contextlib.contextmanager
def server_of(case: Case) -> Iterator[tuple[str, Any]]:
    """Its URL, and a function that says which requests came."""
    if not case.server:
        yield "http://127.0.0.1:9", list
    elif isinstance(case.server[0], Reply):
        replying = Replying(case.server)
        with in_a_thread(replying.make) as fault:
            yield fault.url, lambda: [as_text(each) for each in replying.requests]
    else:
        with in_a_thread(Raw(case.server).serving) as scripted:
            yield scripted.url, lambda: [each.decode("latin-1") for each in scripted.requests]


def as_text(request: Any) -> str:
    fields = "".join(f"{name}: {value}\n" for name, value in request.headers.items())
    return f"{request.method} {request.target.decode()}\n{fields}\n{request.body.decode('latin-1')}"


def through(case: Case, face: str) -> dict[str, Any]:
    """What came of the case through one of the faces."""
    with server_of(case) as (url, requests):
        target = case.url if case.url.startswith("ftp:") else url + case.url
        http = penstock.Http(**case.options)
        outcome: dict[str, Any] = {}
        try:
            if face == "sync":
                response = http.request(case.method, target, **case.call)
            else:
                response = asyncio.run(awaited(http, case, target))
            outcome |= {"what": response.status, "body": response.body, "fields": sorted(response.headers)}
            outcome["fields"] = [(name, value) for name, value in outcome["fields"] if name.lower() != "date"]
        except penstock.PenstockError as error:
            outcome |= {"what": type(error).__name__, "message": str(error).replace(url, "URL")}
        statistics = http.statistics()
        outcome |= {"attempts": statistics.attempts, "throttled": statistics.throttled, "left": statistics.in_flight}
        http.close()
        outcome["wire"] = [each.replace(url.removeprefix("http://"), "HOST") for each in requests()]
        return outcome


async def awaited(http: penstock.Http, case: Case, target: str) -> penstock.Response:
    return await http.aio.request(case.method, target, **case.call)


def without_times(outcome: dict[str, Any]) -> dict[str, Any]:
    """A deadline counts down while the request is made."""
    wire = [
        "\n".join(line for line in each.split("\n") if not line.startswith("x-deadline")) for each in outcome["wire"]
    ]
    return {**outcome, "wire": wire}


@pytest.mark.real
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_faces_do_the_same(case: Case) -> None:
    """And what the table says."""
    sync, aio = through(case, "sync"), through(case, "aio")
    assert without_times(sync) == without_times(aio)
    assert sync["what"] == case.expect
    assert len(sync["wire"]) == case.attempts
    assert sync["left"] == 0
    assert not case.sent or case.sent in sync["wire"][0]


def test_the_table_is_long_enough() -> None:
    """The contract has forty cases and more."""
    assert len({case.name for case in CASES}) == len(CASES) >= 40
