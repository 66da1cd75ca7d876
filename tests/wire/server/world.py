"""A server, its clients and a handler made of one function, for the tests on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from penstock.wire.server import Server, ServerExchange, ServerLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def ok(exchange: ServerExchange) -> None:
    exchange.respond(200, b"OK", [], b"ok")


def echo(exchange: ServerExchange) -> None:
    got: list[bytes] = []
    exchange.receive_body(got.append, lambda: exchange.respond(200, b"OK", [], b"".join(got)))


class Answers:
    """A handler made of one function; `kept` are the exchanges."""

    def __init__(self, begin: Callable[[ServerExchange], None] = ok) -> None:
        self._begin = begin
        self.kept: list[ServerExchange] = []
        self.table: dict[bytes, bytes] = {}

    def known(self, data: bytes) -> bytes | None:
        return self.table.get(data)

    def begin(self, exchange: ServerExchange) -> None:
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
        server = Server(None if log is None else lambda _, status, size, __: log.append((status, size)))
        await server.start(handler, "127.0.0.1", 0, limits=limits, **options)
        world = World(server)
        try:
            async with asyncio.timeout(600):
                await body(world)
        finally:
            await world.close()
        assert server.connections == 0

    run(main())
