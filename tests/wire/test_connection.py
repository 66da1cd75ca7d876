"""One connection, without a socket."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import BadBody, CallError, ConnectionLost, ResponseTooLarge, Sent, TlsError
from penstock.messages import Request, Response
from penstock.wire.connection import Connection
from penstock.wire.known_heads import KnownHeads
from penstock.wire.streams.connection import StreamConnection

from .fakes import FakeKeeper, FakeTransport, Line, run

GET = Request("GET", "http://peer/x")
HEAD = Request("HEAD", "http://peer/x")
OK = b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\nok"


def ended(future: asyncio.Future[Response]) -> Response:
    assert future.done()
    return future.result()


def test_a_request_is_one_write_and_its_answer_ends_the_future() -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"REQUEST", GET)
        assert line.transport.written == b"REQUEST"
        line.connection.data_received(OK)
        got = ended(future)
        assert (got.status, got.body, got.url, got.headers.get("x")) == (200, b"ok", GET.url, "y")
        assert line.keeper.log == ["made", "finished"]

    run(test)


def test_a_known_head_gives_the_same_answer_as_a_parsed_one() -> None:
    async def test() -> None:
        line = Line()
        for n in range(3):
            future = line.connection.exchange(b"R", GET)
            body = b"%02d" % n
            line.connection.data_received(OK[:-2] + body)
            got = ended(future)
            assert (got.status, got.body, list(got.headers)) == (
                200,
                body,
                [("X", "y"), ("Content-Length", "2")],
            )
        assert line.heads.hits == 2

    run(test)


@pytest.mark.parametrize("surplus", [b"!", b"\r\n", OK])
def test_a_known_head_does_not_hide_surplus_bytes(surplus: bytes) -> None:
    async def test() -> None:
        line = Line()
        for data, closed in ((OK, False), (OK + surplus, True)):
            future = line.connection.exchange(b"R", GET)
            line.connection.data_received(data)
            assert ended(future).body == b"ok"
            assert line.connection.closed is line.transport.aborted is closed

    run(test)


def test_a_known_head_is_not_taken_for_the_answer_to_head() -> None:
    async def test() -> None:
        line = Line()
        line.connection.exchange(b"R", GET)
        line.connection.data_received(OK)
        future = line.connection.exchange(b"R", HEAD)
        line.connection.data_received(OK[:-2])
        assert ended(future).body == b""
        assert line.heads.hits == 0
        assert not line.connection.closed
        future = line.connection.exchange(b"R", GET)
        line.connection.data_received(OK)
        assert ended(future).body == b"ok"

    run(test)


def test_a_body_sent_in_answer_to_head_is_surplus_though_its_head_is_known() -> None:
    async def test() -> None:
        line = Line()
        line.connection.exchange(b"R", GET)
        line.connection.data_received(OK)
        future = line.connection.exchange(b"R", HEAD)
        line.connection.data_received(OK)
        assert ended(future).body == b""
        assert line.connection.closed

    run(test)


def test_an_answer_to_head_teaches_nothing() -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"R", HEAD)
        line.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        ended(future)
        assert line.heads.table == {}

    run(test)


@given(st.lists(st.integers(1, len(OK) - 1), max_size=5), st.booleans())
def test_any_split_gives_the_answer_whether_its_head_is_known_or_not(cuts: list[int], known: bool) -> None:
    async def test() -> None:
        line = Line()
        if known:
            line.connection.exchange(b"R", GET)
            line.connection.data_received(OK)
        future = line.connection.exchange(b"R", GET)
        edges = [0, *sorted(set(cuts)), len(OK)]
        for start, end in itertools.pairwise(edges):
            assert not future.done()
            line.connection.data_received(OK[start:end])
        assert ended(future).body == b"ok"
        assert not line.connection.closed

    run(test)


def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    async def test() -> None:
        line = Line()
        line.connection.data_received(OK)
        assert line.transport.aborted
        assert line.connection.closed
        line.connection.data_received(OK)
        line.connection.connection_lost(None)
        assert line.keeper.log == ["made", "unasked", "lost", "gone"]

    run(test)


def test_a_cancelled_exchange_aborts_and_reports_once() -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"R", GET)
        future.cancel()
        line.connection.abandon(future)
        line.connection.abandon(future)
        line.connection.data_received(OK)
        line.connection.connection_lost(None)
        assert line.transport.aborted
        assert line.keeper.log == ["made", "finished closed", "gone"]

    run(test)


def test_an_answer_that_comes_as_its_task_is_cancelled_keeps_the_connection() -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"R", GET)
        future.cancel()
        line.connection.data_received(OK)
        line.connection.abandon(future)
        assert line.keeper.log == ["made", "finished"]
        assert not line.connection.closed

    run(test)


@pytest.mark.parametrize(
    ("before", "error", "sent"),
    [
        (b"", None, Sent.UNKNOWN),
        (b"", ConnectionResetError("reset"), Sent.UNKNOWN),
        (b"H", None, Sent.YES),
        (OK[:-1], ConnectionResetError("reset"), Sent.YES),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", ConnectionResetError("reset"), Sent.YES),
    ],
)
def test_a_lost_connection_says_how_much_was_sent(before: bytes, error: OSError | None, sent: Sent) -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"R", GET)
        if before:
            line.connection.data_received(before)
        line.connection.connection_lost(error)
        caught = future.exception()
        assert isinstance(caught, ConnectionLost)
        assert caught.sent is sent
        assert "http://peer" in str(caught)
        assert line.keeper.log == ["made", "finished closed", "gone"]

    run(test)


def test_end_of_file_ends_a_body_without_length() -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"R", GET)
        line.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nabc")
        line.connection.eof_received()
        assert ended(future).body == b"abc"
        assert line.keeper.log == ["made", "finished closed"]

    run(test)


def test_a_tls_alert_before_the_first_answer_is_a_tls_error() -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"R", GET)
        line.connection.connection_lost(ssl.SSLError(1, "certificate required"))
        assert isinstance(future.exception(), TlsError)

    run(test)


def test_only_a_reused_connection_without_a_byte_is_stale() -> None:
    async def test() -> None:
        for exchanges, data, stale in ((1, b"", False), (2, b"", True), (2, b"H", False)):
            line = Line()
            for _ in range(exchanges - 1):
                line.connection.exchange(b"R", GET)
                line.connection.data_received(OK)
            future = line.connection.exchange(b"R", GET)
            if data:
                line.connection.data_received(data)
            line.connection.eof_received()
            assert isinstance(future.exception(), ConnectionLost)
            assert line.connection.stale is stale

    run(test)


def test_an_answer_before_the_request_is_out_closes_the_connection() -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(bytes(100_000), GET)
        line.transport.unsent = 50_000
        line.connection.data_received(OK)
        assert ended(future).body == b"ok"
        assert line.keeper.log == ["made", "finished closed"]

    run(test)


def test_a_failed_decoding_closes_the_connection() -> None:
    async def test() -> None:
        packed = gzip.compress(bytes(5000))
        for body, error in ((b"plain", BadBody), (packed, ResponseTooLarge)):
            line = Line(max_bytes=4999)
            future = line.connection.exchange(b"R", GET)
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
            line.connection.data_received(head.encode() + body)
            assert type(future.exception()) is error
            assert "http://peer" in str(future.exception())
            assert line.keeper.log == ["made", "finished closed"]

    run(test)


def test_an_idle_connection_holds_no_request() -> None:
    async def test() -> None:
        line = Line()
        line.connection.exchange(b"R", GET)
        line.connection.data_received(OK)
        assert line.connection._request is not GET
        assert line.connection._reader.take_body() == b""

    run(test)


def test_a_connection_given_up_before_it_opened_is_closed_when_it_does() -> None:
    async def test() -> None:
        line = Line(open_now=False)
        line.connection.discard()
        line.open()
        assert line.transport.aborted
        assert line.keeper.log == ["gone", "made"]

    run(test)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5), st.booleans())
def test_arbitrary_bytes_end_the_exchange_once_at_most(pieces: list[bytes], reset: bool) -> None:
    async def test() -> None:
        line = Line()
        future = line.connection.exchange(b"R", GET)
        for piece in pieces:
            line.connection.data_received(piece)
        line.connection.connection_lost(OSError("reset") if reset else None)
        assert isinstance(future.exception(), CallError | None)
        assert line.keeper.log.count("finished") + line.keeper.log.count("finished closed") == 1

    run(test)


def test_a_streaming_connection_says_where_it_is() -> None:
    async def main() -> None:
        owner: Any = SimpleNamespace(receiver=None, on_progress=lambda: None)
        connection = StreamConnection(FakeKeeper(), "http://peer", lenient=False)
        connection.connection_made(cast("asyncio.BaseTransport", FakeTransport()))
        assert repr(connection) == "<StreamConnection http://peer idle, 0 exchanges>"
        connection.begin(b"GET / HTTP/1.1\r\n\r\n", owner, head_only=False)
        assert repr(connection) == "<StreamConnection http://peer asked, 1 exchanges>"
        connection.data_received(b"HTTP/1.1 200 OK\r\n")
        assert repr(connection) == "<StreamConnection http://peer answering, 1 exchanges>"
        connection.cancel()
        assert repr(connection) == "<StreamConnection http://peer closed, 1 exchanges>"

    run(main)


def test_an_interim_response_with_a_head_over_the_bound_is_not_handed_on() -> None:
    """It reached the client, 200 KB of it, before the bound was looked at."""

    async def main() -> None:
        interims: list[int] = []
        lost: list[CallError] = []
        owner: Any = SimpleNamespace(
            receiver=SimpleNamespace(on_interim=lambda status, _fields: interims.append(status)),
            on_lost=lambda error, *, stale: lost.append(error),
        )
        connection = StreamConnection(FakeKeeper(), "http://peer", lenient=False)
        connection.connection_made(cast("asyncio.BaseTransport", FakeTransport()))
        connection.begin(b"GET / HTTP/1.1\r\n\r\n", owner, head_only=False)
        connection.data_received(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 200_000 + b"\r\n\r\n")
        assert not interims
        assert "head of more than" in str(lost)

    run(main)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (OK, ["unasked", "lost"]),
        (b"H", ["unasked", "lost"]),
        (b"0\r\n\r\n", ["unasked", "lost"]),
        (b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", ["lost"]),
        (b"HTTP/1.0 408 Request Time-out\r\n\r\n", ["lost"]),
        (b"\r\n", ["lost"]),
    ],
)
def test_bytes_on_an_idle_connection(data: bytes, told: list[str], streams: bool) -> None:
    """It is closed in any case; only what could be the answer to a request speaks against the peer, and once."""

    async def test() -> None:
        keeper, transport = FakeKeeper(), FakeTransport()
        connection = (
            StreamConnection(keeper, "http://peer", lenient=False)
            if streams
            else Connection(keeper, "http://peer", KnownHeads(), max_bytes=100, decompress=True)
        )
        connection.connection_made(cast("asyncio.BaseTransport", transport))
        connection.data_received(data)
        connection.data_received(data)
        assert transport.aborted
        assert connection.closed
        assert keeper.log == ["made", *told]

    run(test)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("surplus", "told"),
    [(OK, ["unasked"]), (b"x", ["unasked"]), (b"\r\n", []), (b"HTTP/1.1 408 Timeout\r\nConnection: close\r\n\r\n", [])],
)
def test_bytes_in_the_packet_of_an_answer(surplus: bytes, told: list[str], streams: bool) -> None:
    """The same verdict as a moment later, when the connection is idle."""

    async def test() -> None:
        keeper, transport = FakeKeeper(), FakeTransport()
        connection: Connection
        if streams:
            quiet = SimpleNamespace(on_head=lambda *_: None, on_body=lambda _: None, on_end=lambda: None)
            owner: Any = SimpleNamespace(receiver=quiet, sent_all=True, repeatable=True, on_settled=lambda: None)
            connection = streaming = StreamConnection(keeper, "http://peer", lenient=False)
            connection.connection_made(cast("asyncio.BaseTransport", transport))
            streaming.begin(b"GET / HTTP/1.1\r\n\r\n", owner, head_only=False)
        else:
            connection = Connection(keeper, "http://peer", KnownHeads(), max_bytes=100, decompress=True)
            connection.connection_made(cast("asyncio.BaseTransport", transport))
            connection.exchange(b"GET / HTTP/1.1\r\n\r\n", Request("GET", "http://peer/"))
        connection.data_received(OK + surplus)
        assert transport.aborted
        assert keeper.log == ["made", *told, "finished closed"]

    run(test)
