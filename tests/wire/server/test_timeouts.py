"""The timeouts of the server, in virtual time: real sockets with both ends in one loop."""

from __future__ import annotations

import asyncio
import socket

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
