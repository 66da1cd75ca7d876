"""How the client finds the pool of a URL, without a network."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from penstock.errors import ConnectionLost, UsageError
from penstock.messages import Request
from penstock.testing import run_virtual
from penstock.wire import Client
from penstock.wire import client as client_module
from penstock.wire.connection import Connection
from penstock.wire.url import split_url

from .fakes import FakeTransport, run

URLS = [
    "http://h:8/", "http://h:80", "http://h:80/", "http://h", "http://h/", "HTTP://H/x", "http://h?a", "http://h?a/b",
    "http://h#/x", "http://h/a#b", "http://h/a", "https://h", "https://h/", "https://h:80/", "http://h:8", "http://h:",
    "http://[::1]", "http://[::1]:80/", "http://h:8#", "http://h/?", "http://a.b/", "http://a.bc", "http://h:8/",
]  # fmt: skip


def test_the_short_way_to_a_pool_leads_where_the_long_way_leads() -> None:
    async def test() -> None:
        client = Client()
        for url in URLS * 3:
            pool, target = client._locate(url)
            origin, expected = split_url(url)
            assert (client._pools[origin], target) == (pool, expected), url

    run(test)


@pytest.mark.parametrize("target", ["/a b", "/\n", "/é", "/\x7f", "/a\tb?c"])
def test_a_bad_target_is_refused_on_the_short_way_too(target: str) -> None:
    async def test() -> None:
        client = Client()
        client._locate("http://h/")
        for _ in range(2):
            with pytest.raises(UsageError):
                client._locate(f"http://h{target}")

    run(test)


def test_a_connection_that_opens_slowly_is_swept_later_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sweep found nothing and was the last."""

    async def dial(*args: object) -> Connection:
        await asyncio.sleep(8.0)
        made = cast("Connection", args[3]())  # type: ignore[operator]
        made.connection_made(cast("asyncio.BaseTransport", FakeTransport()))
        return made

    monkeypatch.setattr(client_module, "dial", dial)

    async def test() -> None:
        client = Client(idle_timeout=15.0)
        (await client.prepare(Request("GET", "http://h/"))).release()
        assert client.statistics().idle == 1
        await asyncio.sleep(20.0)
        assert client.statistics().idle == 0

    run_virtual(test())


def test_origins_that_are_not_in_use_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dial(*args: object) -> Connection:
        made = cast("Connection", args[3]())  # type: ignore[operator]
        made.connection_made(cast("asyncio.BaseTransport", FakeTransport()))
        return made

    monkeypatch.setattr(client_module, "dial", dial)

    async def test() -> None:
        client = Client()
        kept = await client.prepare(Request("GET", "http://kept/"))
        for n in range(5000):
            client._locate(f"http://h{n}/")
        assert len(client._pools) <= 1024
        assert len(client._pool_by_text) <= 2048
        assert (client.statistics().in_use, client.statistics().opened) == (1, 1)
        pool, _ = client._locate("http://kept/")
        kept.release()
        assert (pool.in_use, pool.idle) == (0, 1)

    run(test)


def test_the_answer_to_a_call_under_way_is_lost_when_the_client_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also on a connection used before, where a peer that closed would have meant to try once more."""
    made: list[Connection] = []

    async def dial(*args: object) -> Connection:
        made.append(cast("Connection", args[3]()))  # type: ignore[operator]
        made[-1].connection_made(cast("asyncio.BaseTransport", FakeTransport()))
        return made[-1]

    monkeypatch.setattr(client_module, "dial", dial)

    async def test() -> None:
        client = Client()
        first = asyncio.create_task(client(Request("GET", "http://h/")))
        for _ in range(3):
            await asyncio.sleep(0)
        made[0].data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await first
        second = asyncio.create_task(client(Request("GET", "http://h/")))
        while made[0].exchanges < 2:
            await asyncio.sleep(0)
        closing = asyncio.create_task(client.aclose())
        for _ in range(3):
            await asyncio.sleep(0)
        made[0].connection_lost(None)
        with pytest.raises(ConnectionLost, match="the client was closed"):
            await second
        await closing
        assert len(made) == 1

    run(test)


def test_a_connection_that_opens_while_the_client_closes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Connection] = []
    gate = asyncio.Event()

    async def dial(*args: object) -> Connection:
        await gate.wait()
        made.append(cast("Connection", args[3]()))  # type: ignore[operator]
        made[-1].connection_made(cast("asyncio.BaseTransport", FakeTransport()))
        return made[-1]

    monkeypatch.setattr(client_module, "dial", dial)

    async def test() -> None:
        client = Client()
        call = asyncio.create_task(client(Request("GET", "http://h/")))
        await asyncio.sleep(0)
        await client.aclose()
        gate.set()
        with pytest.raises(UsageError, match="closed"):
            await call
        assert made[0].closed

    run(test)


@pytest.mark.parametrize("url", ["", "http://h", "http://h/", "http://h/x", "nonsense"])
def test_nothing_is_ready_before_anything_was_called(url: str) -> None:
    """A client without a connection says so of every URL, the empty one too, and raises nothing."""
    assert not Client().ready_for(url)
