"""A server whose connections are all taken: whoever asks for nothing makes way for a newcomer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.wire.server import ServerExchange, ServerLimits

from .world import GET, OK, Answers, Reader, World, Writer, echo, ok, serve

pytestmark = pytest.mark.real

MOST = 16
Party = Callable[[World], Awaitable[tuple[Reader, Writer]]]


async def silent(world: World) -> tuple[Reader, Writer]:
    return await world.connect()


async def half_a_head(world: World) -> tuple[Reader, Writer]:
    reader, writer = await world.connect()
    writer.write(GET[:9])
    return reader, writer


async def kept(world: World) -> tuple[Reader, Writer]:
    reader, writer = await world.connect()
    writer.write(GET)
    assert await reader.readexactly(len(OK)) == OK
    return reader, writer


async def half_a_second_head(world: World) -> tuple[Reader, Writer]:
    reader, writer = await kept(world)
    writer.write(GET[:9])
    return reader, writer


async def answered_before_its_body(world: World) -> tuple[Reader, Writer]:
    reader, writer = await world.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    assert await reader.readexactly(len(OK)) == OK
    return reader, writer


async def not_closing(world: World) -> tuple[Reader, Writer]:
    reader, writer = await world.connect()
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    return reader, writer


PARTIES = [silent, half_a_head, kept, half_a_second_head, answered_before_its_body, not_closing]


def at_most(connections: int) -> ServerLimits:
    return ServerLimits(max_connections=connections, max_connections_per_address=None)


@pytest.mark.parametrize("party", PARTIES, ids=lambda party: party.__name__)
def test_who_asks_for_nothing_makes_way(party: Party) -> None:
    """All of them got 503 until the idle timeout, with whatever they asked."""

    async def body(world: World) -> None:
        for _ in range(MOST):
            await party(world)
        await asyncio.sleep(0.05)
        for _ in range(MOST):
            reader, writer = await world.connect()
            writer.write(GET)
            assert await reader.readexactly(len(OK)) == OK
        await asyncio.sleep(0.05)
        assert world.server.connections <= MOST
        assert (world.server.gave_way, world.server.refused) == (MOST, 0)

    serve(Answers(), body, limits=at_most(MOST), run=asyncio.run)


def test_first_who_never_asked_then_who_has_been_idle_for_longest() -> None:
    async def body(world: World) -> None:
        first_kept = await kept(world)
        first_silent = await silent(world)
        second_kept = await kept(world)
        second_silent = await silent(world)
        await asyncio.sleep(1.5)
        order = [first_silent, second_silent, first_kept, second_kept]
        for gone, (reader, _) in enumerate(order, 1):
            await kept(world)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            assert world.server.gave_way == gone
            assert not any(reader.at_eof() for reader, _ in order[gone:])

    serve(Answers(), body, limits=at_most(4), run=asyncio.run)


def waits(exchange: ServerExchange) -> None:
    exchange.on_resumed = None


def test_nobody_within_a_request_makes_way() -> None:
    """Whose answer is waited for, whose body comes, whose answer is not all sent."""
    handler = Answers(lambda exchange: {b"/wait": waits, b"/body": echo}.get(exchange.head.target, huge)(exchange))

    def huge(exchange: ServerExchange) -> None:
        exchange.respond(200, b"OK", [], b"x" * 20_000_000)

    async def body(world: World) -> None:
        for data in (
            b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            reader, writer = await world.connect(limit=1000)
            writer.write(data)
        await asyncio.sleep(0.1)
        reader, writer = await world.connect()
        writer.write(GET)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert (world.server.gave_way, world.server.refused) == (0, 1)
        ok(handler.kept[0])

    serve(handler, body, limits=at_most(3), run=asyncio.run)


def test_one_address_over_its_own_bound_pushes_nobody_out() -> None:
    async def body(world: World) -> None:
        for _ in range(3):
            await silent(world)
        reader, writer = await world.connect()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert (world.server.gave_way, world.server.refused) == (0, 1)
        del writer

    serve(Answers(), body, limits=ServerLimits(max_connections=3, max_connections_per_address=3), run=asyncio.run)
