"""The origin's bytes, its state, and what the client makes of bytes."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest

from penstock.testing import run_virtual

from ..dates import http_date, leading_integer
from ..exchange import RunnerRequest, TransportError, decoded, joined
from ..http_client import parse_response_head, request_bytes
from ..in_process import App, AppCaller, run_in_process
from ..origin import answer_bytes, parse_request_head
from ..origin_state import Answer, OriginState
from ..runner import build_request
from ..suite import read_entry, read_test


def answers(entries: list[dict[str, Any]], *requests: dict[str, str], wait: float = 0.0) -> list[Answer]:
    state = OriginState()
    state.register("id", [read_entry(entry) for entry in entries])

    async def main() -> list[Answer]:
        found = []
        for headers in requests:
            found.append(await state.answer("GET", "/test/id", headers))
            await asyncio.sleep(wait)
        return found

    return run_virtual(main())


def test_the_origins_answer_byte_for_byte() -> None:
    entry = {"response_headers": [["A", "1"], ["B", "2"], ["a", "3"], ["Date", 0]], "response_status": [299, "Odd"]}
    (answer,) = answers([entry], {"req-num": "1"})
    assert answer_bytes(answer, "GET", old=False, stays=True) == (
        b"HTTP/1.1 299 Odd\r\nServer-Base-Url: /test/id\r\nServer-Request-Count: 1\r\nClient-Request-Count: 1\r\n"
        b"Server-Now: 1767225600000\r\nA: 1\r\na: 3\r\nB: 2\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        b"Content-Type: text/plain\r\nRequest-Numbers: 1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
        b"Content-Length: 2\r\n\r\nid"
    )


@pytest.mark.parametrize(
    ("headers", "status", "method", "old", "there", "absent"),
    [
        ([("Connection", "foo"), ("Date", "x")], 200, "GET", False, b"Content-Length", b"Keep-Alive"),
        ([("Keep-Alive", "foo"), ("Date", "x")], 200, "GET", False, b"Connection: keep-alive", b"timeout"),
        ([("Content-Length", "10"), ("Date", "x")], 200, "GET", False, b"Content-Length: 10\r\n", b"Length: 4"),
        ([("Transfer-Encoding", "x"), ("Date", "x")], 200, "GET", False, b"\r\n\r\nbody", b"Content-Length"),
        ([("Date", "x")], 200, "HEAD", False, b"Keep-Alive", b"Content-Length"),
        ([("Date", "x")], 204, "GET", False, b"Keep-Alive", b"Content-Length"),
        ([("Date", "x")], 304, "GET", False, b"Keep-Alive", b"body"),
        ([("Date", "x")], 200, "GET", True, b"Connection: close", b"Content-Length"),
    ],
)
def test_what_is_added_on_the_wire(
    headers: list[tuple[str, str]], status: int, method: str, old: bool, there: bytes, absent: bytes
) -> None:
    sent = answer_bytes(Answer(status, "x", headers, b"body"), method, old=old, stays=not old)
    assert there in sent
    assert absent not in sent


def test_dates_are_fixed_when_they_are_first_sent() -> None:
    first, second = answers([{"response_headers": [["Expires", 5]]}], {"req-num": "1"}, {"req-num": "1"}, wait=60)
    assert first.value("expires") == second.value("expires") == "Thu, 01 Jan 2026 00:00:05 GMT"
    assert first.value("server-now") != second.value("server-now")
    assert second.value("request-numbers") == "1 1"


def test_a_validated_entry_gets_304_only_for_the_validator_that_was_sent() -> None:
    entries: list[dict[str, Any]] = [
        {"response_headers": [["ETag", '"a"'], ["Last-Modified", -9]]},
        {"expected_type": "etag_validated"},
    ]

    def status(*requests: dict[str, str]) -> int:
        return answers(entries, *requests)[-1].status

    date = "Wed, 31 Dec 2025 23:59:51 GMT"
    assert status({"req-num": "1"}, {"req-num": "2", "if-none-match": '"a"'}) == 304
    assert status({"req-num": "1"}, {"req-num": "2", "if-modified-since": date}) == 304
    assert status({"req-num": "1"}, {"req-num": "2", "if-none-match": 'W/"a"'}) == 999
    assert status({"req-num": "1"}, {"req-num": "2"}) == 999
    assert status({"req-num": "2", "if-modified-since": date}) == 999


def test_without_a_number_the_origin_counts_and_what_it_does_not_know_it_refuses() -> None:
    got = answers([{}, {"response_status": [201, "x"]}], {}, {}, {}, {"req-num": "3"}, {"req-num": "0"})
    assert [answer.status for answer in got] == [200, 201, 409, 409, 409]
    assert got[1].value("request-numbers") == "NaN NaN"


def test_locations_are_made_absolute_paths_however_often() -> None:
    entry = {"magic_locations": True, "response_headers": [["Location", "x"], ["Content-Location", ""]]}
    for answer in answers([entry], {"req-num": "1"}, {"req-num": "1"}):
        assert (answer.value("location"), answer.value("content-location")) == ("/test/id/x", "/test/id")


def test_requests_are_parsed_and_what_is_none_is_refused() -> None:
    head = b"GET /a?b HTTP/1.1\r\nA: 1\r\nB:\r\na:  2 \r\n\r\n"
    assert parse_request_head(head) == ("GET", "/a?b", "HTTP/1.1", {"a": "1, 2", "b": ""})
    for bad in (b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n"):
        with pytest.raises(ValueError, match=r"no header|unpack"):
            parse_request_head(bad)


def test_dates_in_both_forms_and_integers_at_the_start() -> None:
    assert http_date(1_795_242_238_999) == "Sat, 21 Nov 2026 06:23:58 GMT"
    assert http_date(1_795_242_238_000, rfc850=True) == "Saturday, 21-Nov-26 06:23:58 GMT"
    assert http_date(-1) == "Wed, 31 Dec 1969 23:59:59 GMT"
    texts = ["12", " -3x", "x", "", None, "1, 2"]
    assert [leading_integer(text) for text in texts] == [12, -3, None, None, None, 1]


def test_a_request_as_it_travels() -> None:
    entry = {
        "request_method": "POST",
        "request_headers": [["Cache-Control", "no-cache"], ["Foo", " 1, 2 "], ["Range", "bytes=0-1"]],
        "request_body": "ü",
        "filename": "f",
        "query_arg": "q",
    }
    test = read_test({"id": "i", "name": "n", "requests": [entry]}, "s")
    request = build_request(test, 1, "id", None)
    assert request_bytes(request, "h:1") == (
        b"POST /test/id/f?q HTTP/1.1\r\nHost: h:1\r\nConnection: keep-alive\r\nPragma: foo\r\n"
        b"Cache-Control: nothing-to-see-here, no-cache\r\nFoo: 1, 2\r\nRange: bytes=0-1\r\nTest-Name: n\r\n"
        b"Test-ID: i\r\nReq-Num: 1\r\nContent-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\n"
        b"Accept-Language: *\r\nAccept-Encoding: identity\r\nUser-Agent: penstock-conformance\r\n"
        b"Sec-Fetch-Mode: cors\r\nContent-Length: 2\r\n\r\n\xc3\xbc"
    )


@pytest.mark.parametrize("head", [b"", b"HTTP/2 200 OK", b"HTTP/1.1 20 x", b"HTTP/1.1 abc", b"HTTP/1.1 200 OK\r\nx"])
def test_what_is_no_response_is_a_transport_error(head: bytes) -> None:
    with pytest.raises(TransportError):
        parse_response_head(head)


def test_lines_of_one_name_become_one() -> None:
    assert joined([("A", " 1 "), ("b", "2"), ("a", "3")]) == [("A", "1, 3"), ("b", "2")]


def test_content_codings() -> None:
    bare = zlib.compressobj(wbits=-15)
    raw = bare.compress(b"x") + bare.flush()
    assert decoded(gzip.compress(b"x"), "gzip") == b"x"
    assert decoded(zlib.compress(b"x"), "Deflate") == decoded(raw, "deflate") == b"x"
    assert decoded(gzip.compress(zlib.compress(b"x")), "deflate, gzip") == b"x"
    assert decoded(b"x", "nonsense") == b"x"
    for bad in (b"x", gzip.compress(b"x")[:-3]):
        with pytest.raises(TransportError):
            decoded(bad, "gzip")


def body_of(app: App) -> Any:
    async def main() -> Any:
        caller = AppCaller(app)
        try:
            response = await caller.exchange(RunnerRequest("GET", "/", [], None), 10)
        except TimeoutError:
            return "timeout"
        return response.status, type(response.body_problem).__name__ if response.body_problem else response.body

    return run_virtual(main())


def sending(start: dict[str, Any], *bodies: dict[str, Any], then: str = "") -> App:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        if start:
            await send({"type": "http.response.start", "status": 200, **start})
        for body in bodies:
            await send({"type": "http.response.body", **body})
        if then == "raise":
            raise ValueError
        if then == "hang":
            await asyncio.sleep(60)

    return app


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (sending({"headers": []}, {"body": b"a", "more_body": True}, {}), (200, b"a")),
        (sending({"headers": [(b"content-length", b"1")]}, {"body": b"ab"}), (200, b"a")),
        (sending({"headers": [(b"content-length", b"3")]}, {"body": b"ab"}), (200, "TransportError")),
        (sending({}, then="raise"), (500, b"Internal Server Error")),
        (sending({}), (500, b"Internal Server Error")),
        (sending({}, {"body": b"early"}), (500, b"Internal Server Error")),
        (sending({"headers": []}, {"body": b"a", "more_body": True}, then="raise"), (200, "TransportError")),
        (sending({"headers": []}, {"body": b"a", "more_body": True}, then="hang"), (200, "TimeoutError")),
        (sending({"headers": []}, {"body": b"a"}, then="hang"), (200, b"a")),
        (sending({}, then="hang"), "timeout"),
    ],
)
def test_an_app_is_called_as_a_server_would(app: App, expected: Any) -> None:
    assert body_of(app) == expected


def test_in_process_a_pause_takes_virtual_time_and_the_apps_errors_are_kept() -> None:
    entries = [
        {"pause_after": True, "response_headers": [["Date", 0]]},
        {"expected_response_headers": [["Age", ">", 2]]},
    ]
    test = read_test({"id": "i", "name": "n", "requests": entries}, "s")

    def make_app(origin: App, clock: Any) -> App:
        started = clock.wall()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def aged(message: Any) -> None:
                if "headers" in message:
                    message["headers"].append((b"age", b"%d" % (clock.wall() - started)))
                await send(message)

            await origin(scope, receive, aged)
            if scope["type"] == "http":
                raise ValueError("after the response")

        return app

    ran = run_in_process([test], make_app)
    assert ran.results["i"].kind == "true", ran.results["i"].message
    assert [str(error) for error in ran.app_errors] == ["after the response"] * 2
