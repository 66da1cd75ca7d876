"""The timeouts of the server, in virtual time: real sockets with both ends in one loop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.testing.virtual_loop import run_virtual
from penstock.wire.server import ServerExchange, ServerLimits

from .world import GET, OK, Answers, World, echo, ok, serve

pytestmark = pytest.mark.real


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


def test_a_client_that_resets_just_when_its_time_is_over_stops_no_timeout() -> None:
    """The kernel knows and the loop does not yet. The look at all connections failed, and there was no other."""

    async def body(world: World) -> None:
        gone, stays = socket.create_connection(("127.0.0.1", world.port)), (await world.connect())[0]
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while world.server.connections < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0.75)
        gone.close()
        world.server._sweep()
        assert await stays.read() == b""
        later = (await world.connect())[0]
        assert await later.read() == b""

    serve(Answers(), body, limits=ServerLimits(idle_timeout=0.5), run=run_virtual)


def test_a_look_that_fails_is_not_the_last() -> None:
    """Whatever it is that fails: without the next one no client has a time any more."""

    async def body(world: World) -> None:
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        reader, _ = await world.connect()
        world.server._connections[None] = None  # type: ignore[index]
        while not failed:
            await asyncio.sleep(0.1)
        del world.server._connections[None]  # type: ignore[arg-type]
        assert await reader.read() == b""

    serve(Answers(), body, limits=ServerLimits(idle_timeout=5), run=run_virtual)


def test_a_body_that_stops_is_408() -> None:
    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await world.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        start = loop.time()
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        assert 4 <= loop.time() - start <= 7

    serve(Answers(echo), body, limits=ServerLimits(body_timeout=5), run=run_virtual)


BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def drop(exchange: ServerExchange) -> None:
    """Answer at once: the body is read only to keep the connection."""
    exchange.respond(200, b"OK", [], b"ok")


@pytest.mark.parametrize(
    ("head", "piece", "begin", "answer"),
    [
        (BODY, b"x", echo, b"HTTP/1.1 408 "),
        (BODY, b"x" * 400, echo, b"HTTP/1.1 408 "),
        (CHUNKED, b"1\r\nx\r\n", echo, b"HTTP/1.1 408 "),
        # What is only framing is no body.
        (CHUNKED, b"1;" + b"e" * 100 + b"\r\nx\r\n", echo, b"HTTP/1.1 408 "),
        (BODY.replace(b"1000000", b"60000"), b"x", drop, OK),
    ],
    ids=["a-byte", "nearly", "chunked", "extensions", "dropped"],
)
def test_a_body_that_trickles_is_408(
    head: bytes, piece: bytes, begin: Callable[[ServerExchange], None], answer: bytes
) -> None:
    """A byte a second held a connection, and what is behind it, for as long as its client liked."""

    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await world.connect()
        writer.write(head)
        start = loop.time()
        got = asyncio.ensure_future(reader.read())
        while not got.done() and loop.time() < start + 200:
            writer.write(piece)
            await asyncio.sleep(1)
        assert (await got).startswith(answer)
        assert 20 <= loop.time() - start <= 24 if len(piece) < 400 else 95 <= loop.time() - start <= 115

    serve(Answers(begin), body, run=run_virtual)


def test_a_body_at_the_least_rate_has_all_its_time() -> None:
    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(BODY.replace(b"1000000", b"100000"))
        for _ in range(200):
            writer.write(b"x" * 500)
            await asyncio.sleep(1)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    serve(Answers(echo), body, run=run_virtual)


def test_what_came_fast_is_no_excuse_for_what_trickles() -> None:
    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await world.connect()
        writer.write(BODY + b"x" * 900_000)
        start = loop.time()
        got = asyncio.ensure_future(reader.read())
        while not got.done():
            writer.write(b"x")
            await asyncio.sleep(1)
        assert (await got).startswith(b"HTTP/1.1 408 ")
        assert 20 <= loop.time() - start <= 24

    serve(Answers(echo), body, run=run_virtual)


def test_a_client_that_is_let_wait_is_not_accused() -> None:
    """The taker pauses for 50 s after each piece: the client is slow because it must be."""
    got: list[bytes] = []

    def begin(exchange: ServerExchange) -> None:
        loop = asyncio.get_running_loop()

        def take(data: bytes) -> None:
            got.append(data)
            exchange.pause_body()
            loop.call_later(50, exchange.resume_body)

        exchange.receive_body(take, lambda: ok(exchange))

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n")
        for _ in range(9):
            writer.write(b"x" * 1000)
            await asyncio.sleep(51)
        assert await reader.readexactly(len(OK)) == OK

    serve(Answers(begin), body, limits=ServerLimits(body_timeout=20), run=run_virtual)


def test_without_a_least_rate_progress_is_enough() -> None:
    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        for _ in range(9):
            writer.write(b"x")
            await asyncio.sleep(25)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    serve(Answers(echo), body, limits=ServerLimits(min_body_rate=None), run=run_virtual)


def test_slow_handler_and_paused_body_have_no_timeout() -> None:
    def begin(exchange: ServerExchange) -> None:
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
