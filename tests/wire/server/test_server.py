"""The server on real sockets. Timeouts are tested in virtual time, with both ends in one loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme
import uvloop

from penstock.errors import UsageError
from penstock.testing.virtual_loop import run_virtual
from penstock.wire.server import Exchange, Server, ServerLimits

pytestmark = pytest.mark.real

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def ok(exchange: Exchange) -> None:
    exchange.respond(200, b"OK", [], b"ok")


def echo(exchange: Exchange) -> None:
    got: list[bytes] = []
    exchange.receive_body(got.append, lambda: exchange.respond(200, b"OK", [], b"".join(got)))


class Answers:
    """A handler made of one function; `kept` are the exchanges."""

    def __init__(self, begin: Callable[[Exchange], None] = ok) -> None:
        self._begin = begin
        self.kept: list[Exchange] = []
        self.table: dict[bytes, bytes] = {}

    def known(self, data: bytes) -> bytes | None:
        return self.table.get(data)

    def begin(self, exchange: Exchange) -> None:
        self.kept.append(exchange)
        self._begin(exchange)


class World:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = server.sockets[0].getsockname()[1]
        self._writers: list[Writer] = []

    async def connect(self, **options: Any) -> tuple[Reader, Writer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self._writers.append(writer)
        return reader, writer

    async def talk(self, data: bytes) -> bytes:
        """Send, close that direction, and read to the end."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        return await reader.read()

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await self.server.drain(5)


def serve(
    handler: Answers,
    body: Callable[[World], Awaitable[None]],
    *,
    limits: ServerLimits | None = None,
    run: Callable[[Any], Any] = uvloop.run,
    log: list[tuple[int, int]] | None = None,
    **options: Any,
) -> None:
    async def main() -> None:
        server = Server(on_answered=None if log is None else lambda _, status, size: log.append((status, size)))
        await server.start(handler, "127.0.0.1", 0, limits=limits, **options)
        world = World(server)
        try:
            async with asyncio.timeout(600):
                await body(world)
        finally:
            await world.close()
        assert server.connections == 0

    run(main())


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return request.param  # type: ignore[no-any-return]


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
    handler = Answers(lambda exchange: asyncio.get_running_loop().call_later(0.05, ok, exchange) and None)

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
    def begin(exchange: Exchange) -> None:
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
    begin: Callable[[Exchange], None], version: bytes, run: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        with pytest.raises(ConnectionResetError):
            await reader.read()

    serve(Answers(begin), body, run=run)


def test_failing_handler_is_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body(world: World) -> None:
        assert (await world.talk(GET)).startswith(b"HTTP/1.1 500 ")

    serve(Answers(lambda _: 1 / 0 and None), body)  # type: ignore[arg-type, return-value]
    assert "the handler failed" in caplog.text


def test_wrong_use_is_said() -> None:
    def begin(exchange: Exchange) -> None:
        for wrong in (
            lambda: exchange.write(b"x"),
            exchange.end,
            lambda: exchange.respond(200, b"OK", [(b"a", b"b\r\nc: d")], b""),
            lambda: exchange.respond(200, b"OK\n", [], b""),
            lambda: exchange.respond(103, b"x", [], b""),
            lambda: exchange.interim(101, b"x", []),
        ):
            with pytest.raises(UsageError):
                wrong()
        ok(exchange)
        with pytest.raises(UsageError):
            ok(exchange)

    async def body(world: World) -> None:
        assert await world.talk(GET) in {OK, CLOSING}

    serve(Answers(begin), body)


def test_interim_answers() -> None:
    def begin(exchange: Exchange) -> None:
        exchange.interim(103, b"Early Hints", [(b"link", b"x")])
        ok(exchange)

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(GET)
        hints = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        assert await reader.readexactly(len(hints + OK)) == hints + OK
        assert await world.talk(b"GET / HTTP/1.0\r\n\r\n") == CLOSING

    serve(Answers(begin), body)


def test_expect_continue() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"

    async def asked(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert await reader.readexactly(len(OK)) == OK
        writer.write(head + b"ok")
        assert await reader.readexactly(len(OK)) == OK

    async def not_asked(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(head)
        assert await reader.read() == CLOSING

    serve(Answers(echo), asked)
    serve(Answers(), not_asked)


def test_unread_body_is_dropped_or_closes() -> None:
    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
        assert await reader.readexactly(len(OK)) == OK
        writer.write(b"x" * 60_000 + GET)
        assert await reader.readexactly(len(OK)) == OK
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n" + b"x" * 300_000)
        assert await reader.read() == CLOSING
        reader, writer = await world.connect()
        writer.write(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fffff\r\n" + b"x" * 300_000
        )
        assert await reader.read() == OK

    serve(Answers(), body)


def test_body_is_held_within_a_bound_until_it_is_wanted() -> None:
    handler = Answers(lambda _: None)
    size = 20_000_000

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        while not handler.kept:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        exchange = handler.kept[0]
        connection: Any = exchange._channel
        assert 64 * 1024 < connection._reader.buffered < 1_000_000
        sizes: list[int] = []
        paused: list[bool] = []

        def take(piece: bytes) -> None:
            sizes.append(len(piece))
            exchange.pause_body()
            paused.append(True)
            asyncio.get_running_loop().call_soon(resume)

        def resume() -> None:
            paused.clear()
            exchange.resume_body()

        exchange.receive_body(take, lambda: exchange.respond(200, b"OK", [], b"ok"))
        assert await reader.readexactly(len(OK)) == OK
        assert sum(sizes) == size

    serve(handler, body)


def test_bad_body_is_refused_and_told(run: Callable[[Any], Any]) -> None:
    gone: list[bool] = []

    def begin(exchange: Exchange) -> None:
        exchange.on_closed = lambda: gone.append(True)
        exchange.receive_body(lambda _: None, lambda: None)

    async def body(world: World) -> None:
        data = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX"
        reader, writer = await world.connect()
        writer.write(data)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        assert gone == [True]

    serve(Answers(begin), body, run=run)


def test_client_that_goes_away_is_told_once(run: Callable[[Any], Any]) -> None:
    gone: list[bool] = []
    handler = Answers(lambda x: setattr(x, "on_closed", lambda: gone.append(True)))

    async def body(world: World) -> None:
        _, writer = await world.connect()
        writer.write(GET)
        while not handler.kept:
            await asyncio.sleep(0.01)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        while not gone:
            await asyncio.sleep(0.01)
        handler.kept[0].respond(200, b"OK", [], b"nobody")
        assert handler.kept[0].closed

    serve(handler, body, run=run)
    assert gone == [True]


def test_pipelined_flood_without_reading_is_held_back(run: Callable[[Any], Any]) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + b"x" * 10_000
    handler = Answers(lambda x: x.respond_raw(answer))

    async def flood(world: World) -> None:
        reader, writer = await world.connect(limit=1024)
        count = 20_000
        writer.write(GET * count)
        await asyncio.sleep(0.5)
        (connection,) = world.server._connections
        begun = connection.requests
        assert connection.paused
        assert connection._transport.get_write_buffer_size() < 200_000
        assert connection._reader.buffered < 1_000_000
        assert begun < count
        got = 0
        while got < count * len(answer):
            got += len(await reader.read(1_000_000))
        assert connection.requests == count

    serve(handler, flood, run=run)


def test_write_backpressure_reaches_the_handler() -> None:
    pauses: list[int] = []
    total = 10_000_000

    def begin(exchange: Exchange) -> None:
        left = [total]
        exchange.start(200, b"OK", [], total)

        def go() -> None:
            while left[0] and not exchange.paused:
                exchange.write(b"x" * 10_000)
                left[0] -= 10_000
            if left[0]:
                pauses.append(left[0])
            else:
                exchange.end()

        exchange.on_resumed = go
        go()

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert len(await reader.readexactly(total)) == total
        assert b"10000000" in head
        assert pauses

    serve(Answers(begin), body)


def test_connection_caps() -> None:
    async def body(world: World) -> None:
        first = [await world.connect() for _ in range(2)]
        reader, _ = await world.connect()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert (world.server.accepted, world.server.refused) == (2, 1)
        for reader, writer in first:
            writer.write(GET)
            assert await reader.readexactly(len(OK)) == OK
            writer.transport.abort()
        while world.server.connections > 1:
            await asyncio.sleep(0.01)

    serve(Answers(), body, limits=ServerLimits(max_connections_per_address=2))
    serve(Answers(), body, limits=ServerLimits(max_connections=2))


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
        with pytest.raises(OSError, match="Connect|refused"):
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
        with pytest.raises(UsageError, match=r"^cannot listen on 127\.0\.0\.1:\d+: Address already in use$"):
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


# Timeouts, in virtual time.


def test_slow_head_is_408() -> None:
    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await world.connect()
        start = loop.time()
        for byte in GET[:6]:
            writer.write(bytes([byte]))
            await asyncio.sleep(1.5)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        assert 10 <= loop.time() - start <= 12

    serve(Answers(), body, run=run_virtual)


def test_idle_connections_close() -> None:
    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        for requests in (0, 1, 5):
            reader, writer = await world.connect()
            for _ in range(requests):
                writer.write(GET)
                assert await reader.readexactly(len(OK)) == OK
                await asyncio.sleep(40)
            start = loop.time()
            assert await reader.read() == b""
            assert (20 if requests else 60) <= loop.time() - start + 1 <= (23 if requests else 63)

    serve(Answers(), body, run=run_virtual)


def test_slow_body_is_408_and_progress_is_enough() -> None:
    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await world.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        for _ in range(5):
            writer.write(b"x")
            await asyncio.sleep(25)
        start = loop.time()
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        assert 4 <= loop.time() - start <= 7

    serve(Answers(echo), body, run=run_virtual)


def test_slow_handler_and_paused_body_have_no_timeout() -> None:
    def begin(exchange: Exchange) -> None:
        exchange.receive_body(lambda _: exchange.pause_body(), lambda: None)
        asyncio.get_running_loop().call_later(400, ok, exchange)

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        assert await reader.readexactly(len(OK)) == OK

    serve(Answers(begin), body, run=run_virtual)


def test_reader_that_takes_nothing_is_cut_off() -> None:
    log: list[tuple[int, int]] = []

    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with socket.socket() as silent:
            silent.setblocking(False)
            await loop.sock_connect(silent, ("127.0.0.1", world.port))
            await loop.sock_sendall(silent, GET)
            while world.server.connections or not log:
                await asyncio.sleep(0.5)
        assert 30 <= loop.time() - start <= 35

    huge = Answers(lambda x: x.respond(200, b"OK", [], b"x" * 50_000_000))
    serve(huge, body, run=run_virtual, log=log)


def test_client_that_does_not_close_after_the_last_answer_is_cut_off() -> None:
    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as silent:
            silent.setblocking(False)
            await loop.sock_connect(silent, ("127.0.0.1", world.port))
            await loop.sock_sendall(silent, b"GET / HTTP/1.1\r\n\r\n")
            start = loop.time()
            await asyncio.sleep(0.5)
            assert world.server.connections == 1
            while world.server.connections:
                await asyncio.sleep(0.5)
        assert 5 <= loop.time() - start <= 8

    serve(Answers(), body, run=run_virtual)


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_limits_are_above_zero(wrong: float) -> None:
    with pytest.raises(UsageError):
        ServerLimits(idle_timeout=wrong)
