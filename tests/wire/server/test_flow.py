"""The server on real sockets: request bodies, backpressure in both directions, clients that go away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from penstock.wire.server import ServerExchange

from .world import CLOSING, GET, OK, Answers, World, echo, serve

pytestmark = pytest.mark.real


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

    def begin(exchange: ServerExchange) -> None:
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
    handler = Answers(lambda x: x.respond(200, b"OK", [], b"x" * 10_000))

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
        while got < count * 10_000:
            got += (await reader.read(1_000_000)).count(b"x")
        assert connection.requests == count

    serve(handler, flood, run=run)


def test_write_backpressure_reaches_the_handler() -> None:
    pauses: list[int] = []
    total = 10_000_000

    def begin(exchange: ServerExchange) -> None:
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


def test_a_connection_says_where_it_is() -> None:
    handler = Answers(lambda _: None)

    async def body(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(GET + b"GET")
        while not handler.kept:
            await asyncio.sleep(0.01)
        connection: Any = handler.kept[0]._channel
        assert repr(connection) == "<ServerConnection busy, 1 requests, 3 bytes not read>"
        handler.kept[0].respond(200, b"OK", [], b"ok")
        assert await reader.readexactly(len(OK)) == OK
        assert repr(connection) == "<ServerConnection head, 1 requests, 3 bytes not read>"
        connection.drain()
        assert repr(connection) == "<ServerConnection head draining, 1 requests, 3 bytes not read>"
        writer.close()
        while "closed" not in repr(connection):
            await asyncio.sleep(0.01)

    serve(handler, body)
