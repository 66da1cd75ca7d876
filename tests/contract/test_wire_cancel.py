"""A call can be cancelled at any await, and nothing is lost: no connection, no slot, no turn."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable

import pytest
import trustme

from penstock.messages import Request
from penstock.wire import Client

from .conftest import Bench
from .scripted_server import OK, Peer, always, serving
from .test_wire_tls import client_side, server_side

pytestmark = pytest.mark.real


async def cancel_after(turns: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Cancel `call` after `turns` turns of the loop; False where it had already ended."""
    task = asyncio.ensure_future(call())
    for _ in range(turns):
        if task.done():
            break
        # Sockets need real time, so some of the turns are longer than others.
        await asyncio.sleep(0 if turns < 10 else 0.0003)
    cancelled = task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return cancelled


async def assert_nothing_held(client: Client) -> None:
    now = client.statistics()
    assert (now.in_use, now.waiting) == (0, 0), now


async def slowly(peer: Peer) -> None:
    while True:
        await peer.request()
        for i in range(len(OK)):
            await peer.send(OK[i : i + 1])
            await asyncio.sleep(0)


@pytest.mark.slow
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_cancel_at_every_await(wire: Bench, with_tls: bool, host: str) -> None:
    """The call resolves, connects, shakes hands, writes, reads; it is cancelled after 0, 1, 2, ... turns."""
    ca = trustme.CA()

    async def test() -> None:
        context = server_side(ca, "127.0.0.1", "localhost") if with_tls else None
        async with serving(slowly, context) as server:
            url = server.url.replace("127.0.0.1", host)
            files = len(os.listdir("/proc/self/fd"))
            for turns in range(45):
                async with Client(tls=client_side(ca), max_connections_per_origin=1) as client:
                    await cancel_after(turns, functools.partial(client, Request("POST", url, body=b"x")))
                    await assert_nothing_held(client)
                    # The slot is there for the next call, and its answer is its own.
                    assert (await client(Request("POST", url))).body == b"ok"
            while server.tasks or len(os.listdir("/proc/self/fd")) > files:
                await asyncio.sleep(0.001)

    wire.run(test)


def test_cancel_while_waiting_for_a_slot(wire: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server, wire.client(max_connections_per_origin=1) as client:
            held = await client.prepare(Request("GET", server.url))
            calls = [asyncio.create_task(client(Request("GET", f"{server.url}/{n}"))) for n in range(6)]
            await asyncio.sleep(0)
            assert client.statistics().waiting == 6
            calls[0].cancel()
            calls[3].cancel()
            await asyncio.sleep(0)
            assert client.statistics().waiting == 4
            held.release()
            await asyncio.gather(*calls, return_exceptions=True)
            assert [r.split()[1] for r in server.requests] == [b"/1", b"/2", b"/4", b"/5"]
            await assert_nothing_held(client)

    wire.run(test)


@pytest.mark.parametrize("release_first", [True, False])
def test_cancel_in_the_same_turn_as_the_hand_over(wire: Bench, release_first: bool) -> None:
    """The slot given to a cancelled call goes to the next in line, whichever of the two happens first."""

    async def test() -> None:
        async with serving(always(OK)) as server, wire.client(max_connections_per_origin=1) as client:
            held = await client.prepare(Request("GET", server.url))
            first = asyncio.create_task(client(Request("GET", f"{server.url}/1")))
            second = asyncio.create_task(client(Request("GET", f"{server.url}/2")))
            await asyncio.sleep(0)
            if release_first:
                held.release()
                first.cancel()
            else:
                first.cancel()
                held.release()
            assert (await second).body == b"ok"
            assert first.cancelled() or (await asyncio.gather(first, return_exceptions=True))
            assert [r.split()[1] for r in server.requests] == [b"/2"]
            await assert_nothing_held(client)
            assert server.connections == 1

    wire.run(test)


def test_cancel_storm_keeps_every_slot(wire: Bench) -> None:
    """500 calls over 5 connections, a third of them cancelled at odd moments."""

    async def test() -> None:
        async with serving(slowly) as server, wire.client(max_connections_per_origin=5) as client:

            async def one(n: int) -> None:
                if n % 3 == 0:
                    await cancel_after(n % 40, lambda: client(Request("GET", f"{server.url}/{n}")))
                else:
                    assert (await client(Request("GET", f"{server.url}/{n}"))).body == b"ok"

            await asyncio.gather(*(one(n) for n in range(500)))
            await assert_nothing_held(client)
            assert client.statistics().idle <= 5

    wire.run(test)


def test_a_cancelled_exchange_closes_its_connection(wire: Bench) -> None:
    """Else the late answer would be read as the answer to the next request."""

    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await asyncio.sleep(0.05)
            await peer.answer(OK)

        async with serving(script) as server, wire.client() as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await client(Request("GET", server.url))
            await assert_nothing_held(client)
            assert client.statistics().idle == 0
            while not server.closed_by_client:
                await asyncio.sleep(0.001)

    wire.run(test)
