"""The server on real sockets: answers and their framing, its bounds on connections, its end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from penstock.errors import UsageError
from penstock.wire.server import Server, ServerExchange, ServerLimits

from .world import CLOSING, GET, OK, Answers, World, echo, ok, serve

pytestmark = pytest.mark.real


def test_split_at_every_byte(run: Callable[[Any], Any]) -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

    async def body(world: World) -> None:
        for data, answers in ((post, OK), (post + GET, OK + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")):
            for at in range(1, len(data)):
                reader, writer = await world.connect()
                writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                writer.write(data[:at])
                await asyncio.sleep(0.0005)
                writer.write(data[at:])
                assert await reader.readexactly(len(answers)) == answers
                writer.close()

    serve(Answers(echo), body, run=run)


def test_known_answers_skip_the_handler(run: Callable[[Any], Any]) -> None:
    handler = Answers()

    async def body(world: World) -> None:
        assert await world.talk(GET) == OK
        raw = handler.kept[0].raw
        assert raw == GET
        handler.table[raw] = b"known"
        assert await world.talk(GET * 3) == b"known" * 3
        assert len(handler.kept) == 1

    serve(handler, body, run=run)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
)
def test_no_raw_for_what_cannot_be_known(data: bytes) -> None:
    handler = Answers()

    async def body(world: World) -> None:
        await world.talk(data)
        assert handler.kept[0].raw is None

    serve(handler, body)


def test_pipelined_requests_are_answered_in_order_though_later_ones_are_ready_first() -> None:
    handler = Answers(lambda _: None)

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(200)))
        for n in range(200):
            while len(handler.kept) <= n:
                await asyncio.sleep(0)
            assert len(handler.kept) == n + 1
            handler.kept[n].respond(200, b"OK", [], handler.kept[n].head.target)
        got = await reader.readuntil(b"/199")
        assert got.count(b"HTTP/1.1 200") == 200

    serve(handler, body)


def test_half_closed_clients_get_their_answer(run: Callable[[Any], Any]) -> None:
    def later(exchange: ServerExchange) -> None:
        asyncio.get_running_loop().call_later(0.05, ok, exchange)

    handler = Answers(later)

    async def body(world: World) -> None:
        assert await world.talk(GET) == CLOSING
        assert await world.talk(GET + GET) == OK + CLOSING

    serve(handler, body, run=run)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        (b"GET / HTTP/1.0\r\n\r\n", CLOSING),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET, CLOSING),
    ],
)
def test_framing_of_whole_answers(data: bytes, answer: bytes) -> None:
    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(data)
        assert await reader.readexactly(len(answer)) == answer

    serve(Answers(lambda x: x.respond(200, b"OK", [(b"content-length", b"9"), (b"Connection", b"x")], b"ok")), body)


@pytest.mark.parametrize(
    ("status", "length", "version", "expected"),
    [
        (200, None, b"1.1", b"HTTP/1.1 200 R\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (200, None, b"1.0", b"HTTP/1.1 200 R\r\nConnection: close\r\n\r\nabc"),
        (200, 3, b"1.1", b"HTTP/1.1 200 R\r\nContent-Length: 3\r\n\r\nabc"),
        (204, None, b"1.1", b"HTTP/1.1 204 R\r\n\r\n"),
        (204, 3, b"1.1", b"HTTP/1.1 204 R\r\n\r\n"),
        (304, None, b"1.1", b"HTTP/1.1 304 R\r\nContent-Length: 7\r\n\r\n"),
    ],
)
def test_framing_of_pieces(status: int, length: int | None, version: bytes, expected: bytes) -> None:
    def begin(exchange: ServerExchange) -> None:
        exchange.start(status, b"R", [(b"content-length", b"7"), (b"transfer-encoding", b"x")], length)
        for chunk in (b"a", b"", b"bc") if b"chunked" not in expected else (b"", b"abc"):
            exchange.write(chunk)
        exchange.end()

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        assert await reader.readexactly(len(expected)) == expected

    serve(Answers(begin), body)


def test_refusals_are_read_although_more_was_sent(run: Callable[[Any], Any]) -> None:
    log: list[tuple[int, int]] = []

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 200_000)
        got = await reader.read()
        assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert got.endswith(b"Bad Request: no Host\n")
        assert b"\r\nConnection: close\r\n" in got
        assert log == [(400, len(got))]

    serve(Answers(), body, run=run, log=log)


@pytest.mark.parametrize(
    "begin",
    [
        lambda x: (x.start(200, b"OK", [], None), x.write(b"abc"), x.abort()),
        lambda x: (x.start(200, b"OK", [], 9), x.write(b"abc"), x.end()),
        lambda x: (x.start(200, b"OK", [], None), x.write(b"abc"), 1 / 0),
        lambda x: (x.start(200, b"OK", [], 2), x.write(b"abc")),
    ],
    ids=["abort", "short", "failure", "long"],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_broken_answers_look_broken(
    begin: Callable[[ServerExchange], None], version: bytes, run: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        with pytest.raises(ConnectionResetError):
            await reader.read()

    serve(Answers(begin), body, run=run)


def test_failing_handler_is_500_and_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    # import-linter, which runs in the test of the architecture, disables all loggers that were there before it.
    monkeypatch.setattr(logging.getLogger("penstock.wire.server.connection"), "disabled", False)

    def begin(_: ServerExchange) -> None:
        raise RuntimeError

    async def body(world: World) -> None:
        assert (await world.talk(GET)).startswith(b"HTTP/1.1 500 ")

    serve(Answers(begin), body)
    assert "the handler failed" in caplog.text


def test_wrong_use_is_said() -> None:
    def begin(exchange: ServerExchange) -> None:
        wrongs: list[Callable[[], None]] = [
            lambda: exchange.write(b"x"),
            exchange.end,
            lambda: exchange.respond(200, b"OK", [(b"a", b"b\r\nc: d")], b""),
            lambda: exchange.respond(200, b"OK\n", [], b""),
            lambda: exchange.respond(103, b"x", [], b""),
            lambda: exchange.interim(101, b"x", []),
        ]
        for wrong in wrongs:
            with pytest.raises(UsageError):
                wrong()
        ok(exchange)
        with pytest.raises(UsageError):
            ok(exchange)

    async def body(world: World) -> None:
        assert await world.talk(GET) in {OK, CLOSING}

    serve(Answers(begin), body)


def test_interim_answers() -> None:
    def begin(exchange: ServerExchange) -> None:
        exchange.interim(103, b"Early Hints", [(b"link", b"x")])
        ok(exchange)

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(GET)
        hints = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        assert await reader.readexactly(len(hints + OK)) == hints + OK
        assert await world.talk(b"GET / HTTP/1.0\r\n\r\n") == CLOSING

    serve(Answers(begin), body)


@pytest.mark.parametrize("bound", ["max_connections", "max_connections_per_address"])
def test_connection_caps(bound: str) -> None:
    handler = Answers(lambda _: None)

    async def body(world: World) -> None:
        first = [await world.connect() for _ in range(2)]
        for _, writer in first:
            writer.write(GET)
        while len(handler.kept) < 2:
            await asyncio.sleep(0.01)
        reader, _ = await world.connect()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert (world.server.accepted, world.server.refused) == (2, 1)
        for exchange in handler.kept:
            ok(exchange)
        for reader, writer in first:
            assert await reader.readexactly(len(OK)) == OK
            writer.transport.abort()
        while world.server.connections > 1:
            await asyncio.sleep(0.01)

    serve(handler, body, limits=ServerLimits(**{bound: 2}))


def test_requests_per_connection() -> None:
    handler = Answers()
    handler.table[GET] = OK

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(GET * 5)
        assert await reader.read() == OK + OK + CLOSING

    serve(handler, body, limits=ServerLimits(max_requests_per_connection=3))


def test_drain() -> None:
    handler = Answers(lambda _: None)

    async def body(world: World) -> None:
        idle, _ = await world.connect()
        busy, writer = await world.connect()
        stuck, other = await world.connect()
        writer.write(GET)
        other.write(GET)
        while len(handler.kept) < 2:
            await asyncio.sleep(0.01)
        draining = asyncio.create_task(world.server.drain(1))
        assert await idle.read() == b""
        with pytest.raises(OSError, match=r"Connect|refused"):
            await world.connect()
        handler.kept[0].respond(200, b"OK", [], b"ok")
        assert await busy.read() == CLOSING
        writer.close()
        with pytest.raises(ConnectionResetError):
            await stuck.read()
        await draining
        assert world.server.connections == 0

    serve(handler, body)


def test_port_taken() -> None:
    async def body(world: World) -> None:
        with pytest.raises(UsageError, match=r"^cannot listen on 127\.0\.0\.1:\d+: address already in use$"):
            await Server().start(Answers(), "127.0.0.1", world.port)

    serve(Answers(), body)


def test_tls(run: Callable[[Any], Any]) -> None:
    ca = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    ca.configure_trust(client_side)
    handler = Answers()

    async def body(world: World) -> None:
        reader, writer = await world.connect(ssl=client_side, server_hostname="localhost")
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK
        assert handler.kept[0].tls
        assert handler.kept[0].client == "127.0.0.1"
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert await reader.read() == CLOSING

    serve(handler, body, run=run, tls=server_side)
