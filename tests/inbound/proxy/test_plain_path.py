"""What the short way of plain requests takes and what not, and that each thing that can happen meanwhile is seen to.

That both ways do the same is in `test_two_ways`; here it is that the one that is meant was gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.inbound.proxy.access_log import AccessLog
from penstock.inbound.proxy.known_hits import match_plain
from penstock.inbound.proxy.origin import SUSPECT
from penstock.inbound.proxy.proxy import Proxy, ProxySettings
from penstock.rules.caching.http_fields import HOP_BY_HOP
from penstock.testing import run_virtual
from penstock.wire.server import ServerLimits

from .two_ways import ORIGIN, End, World

GET = b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n"
OTHER = GET.replace(b"/a", b"/b")
DATE = b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
STORED = b"HTTP/1.1 200 OK\r\n" + DATE + b"Cache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nbody"
PRIVATE = STORED.replace(b"max-age=60", b"private")


def in_world(test: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        world = World(plain=True, **options)
        await world.open(1000.0)
        try:
            await test(world)
        finally:
            await world.close()

    run_virtual(main())


def way(world: World) -> tuple[int, int]:
    """How many went the short way to its end, and how many were inflated."""
    assert world.proxy.plain is not None
    return world.proxy.plain.answered, world.proxy.plain.inflated


def asked(world: World) -> End:
    """The one connection to the origin on which an answer is waited for."""
    (origin,) = [each for each in world.origins if each.waits]
    return origin


def answer(world: World, data: bytes) -> None:
    origin = asked(world)
    origin.take()
    origin.transport.feed(data)


@pytest.mark.parametrize(("data", "word"), [(STORED, b"uri-miss; stored"), (PRIVATE, b"uri-miss; detail=private")])
def test_a_plain_answer_goes_the_short_way(data: bytes, word: bytes) -> None:
    async def test(world: World) -> None:
        client = world.connect()
        client.transport.feed(GET)
        answer(world, data)
        assert way(world) == (1, 0)
        assert b"cache-status: penstock; fwd=" + word + b"\r\n" in client.take()
        client.transport.feed(GET)
        if data is STORED:
            assert b"; hit; ttl=60" in client.take()
        else:
            # Remembered: it goes alone, and the short way again.
            answer(world, data)
            assert way(world) == (2, 0)
            assert b"fwd=miss; detail=private\r\n" in client.take()

    in_world(test)


@pytest.mark.parametrize("tls", [False, True])
def test_the_scheme_is_that_of_the_connection(tls: bool) -> None:
    """In the key and in what the app is told."""
    scheme = b"https" if tls else b"http"

    async def test(world: World) -> None:
        world.connect().transport.feed(GET)
        assert b"\r\nX-Forwarded-Proto: %b\r\n" % scheme in asked(world).transport.written
        answer(world, STORED)
        assert way(world) == (1, 0)
        assert world.proxy.store.get(scheme + b"://shop.example/a") is not None

    in_world(test, tls=tls)


def test_the_host_is_that_of_keys() -> None:
    async def test(world: World) -> None:
        world.connect().transport.feed(GET.replace(b"shop.example", b"SHOP.example:80"))
        assert asked(world).transport.written.startswith(b"GET /a HTTP/1.1\r\nHost: shop.example\r\nVia: 1.1 ")

    in_world(test)


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET.replace(b"Host", b"host"),
        GET.replace(b"\r\n\r\n", b"\r\nX-Mark: 1\r\n\r\n"),
        GET.replace(b"Host", b"Accept: */*\r\nHost"),
        GET.replace(b"shop.example", b"a" * 400),
        GET.replace(b"shop.example", b"other.example"),
        GET.replace(b"\r\n\r\n", b"\r\n" + b"DNT: 1\r\n" * 100 + b"\r\n"),
    ],
)
def test_what_is_not_plain_is_parsed(request_bytes: bytes) -> None:
    async def test(world: World) -> None:
        world.connect().transport.feed(request_bytes)
        assert not world.proxy.engine.flights.plain

    in_world(test, hosts=("shop.example",))


def test_a_policy_for_the_path_is_seen_to_in_general() -> None:
    async def test(world: World) -> None:
        for data in (GET, OTHER):
            world.connect().transport.feed(data)
        assert list(world.proxy.engine.flights.plain) == [b"http://shop.example/b"]

    in_world(test, policy=Policy((PathPolicy("/a", 5.0),)))


@pytest.mark.parametrize(
    "settings",
    [
        # Off by itself.
        {"plain_path": ProxySettings(ORIGIN).plain_path},
        {"trust_forwarded": True},
        {"limits": ServerLimits(max_line_bytes=1000)},
        {"limits": ServerLimits(max_requests_per_connection=5)},
    ],
)
def test_where_there_is_no_short_way(settings: dict[str, Any]) -> None:
    async def main() -> None:
        on: dict[str, Any] = {"plain_path": True}
        assert Proxy(ProxySettings(ORIGIN, **on)).plain is not None
        assert Proxy(ProxySettings(ORIGIN, **on | settings)).plain is None

    run_virtual(main())


def test_with_an_access_log_there_is_none(tmp_path: Any) -> None:
    async def main() -> None:
        log = AccessLog(Proxy(ProxySettings(ORIGIN)).engine.clock, tmp_path / "log")
        assert Proxy(ProxySettings(ORIGIN, plain_path=True), access_log=log).plain is None
        log.close()

    run_virtual(main())


@pytest.mark.parametrize(
    "name", sorted(SUSPECT | HOP_BY_HOP | {b"authorization", b"range", b"via", b"x-forwarded-for"})
)
def test_no_field_that_is_dropped_or_rewritten_is_plain(name: bytes) -> None:
    """It would reach the origin as it came. Connection: keep-alive alone is plain, and taken out."""
    for spelt in (name.title(), name):
        assert match_plain(b"GET / HTTP/1.1\r\nHost: a\r\n%b: x\r\n\r\n" % spelt) is None


def test_connection_is_taken_out_and_nothing_that_looks_like_it() -> None:
    fields = b"Connection: keep-alive\r\nReferer: Connection: keep-alive\r\nConnection: keep-alive\r\n"

    async def test(world: World) -> None:
        world.connect().transport.feed(GET.replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n"))
        assert world.proxy.engine.flights.plain
        sent = asked(world).transport.written
        assert b"\r\nReferer: Connection: keep-alive\r\nVia: " in sent
        assert sent.count(b"keep-alive") == 1

    in_world(test)


async def joins(world: World, client: End) -> None:
    world.connect("192.0.2.7").transport.feed(GET)
    answer(world, STORED)
    assert b"; collapsed" in world.clients[-1].transport.written
    assert b"fwd=uri-miss; stored\r\n" in client.take()


async def asks_on(world: World, client: End) -> None:
    client.transport.feed(OTHER)
    answer(world, STORED)
    assert client.take().endswith(b"body")
    answer(world, STORED)
    assert client.take().endswith(b"body")


async def leaves(world: World, client: End) -> None:
    client.transport.reset()
    await asyncio.sleep(0)
    answer(world, STORED)
    assert world.proxy.store.get(b"http://shop.example/a") is not None, "it was for all"


async def is_drained(world: World, client: End) -> None:
    cast("Any", client.connection).drain()
    answer(world, STORED)
    assert b"\r\nConnection: close\r\n" in client.take()


async def is_silent(world: World, client: End) -> None:
    await asyncio.sleep(61.0)
    assert client.take().startswith(b"HTTP/1.1 504 ")
    assert world.proxy.engine.counters.origin_failures == {"timeout": 1}


async def is_lost(world: World, client: End) -> None:
    asked(world).transport.reset()
    await asyncio.sleep(0)
    assert client.take().startswith(b"HTTP/1.1 502 ")


async def comes_in_pieces(world: World, client: End) -> None:
    origin = asked(world)
    for number in range(len(STORED)):
        origin.transport.feed(STORED[number : number + 1])
        await asyncio.sleep(0)
    assert client.take().endswith(b"body")


async def is_listed(world: World, client: End) -> None:
    assert len(world.proxy.engine.flights) == 1
    assert [flight.key for flight in world.proxy.engine.flights] == [b"http://shop.example/a"]
    answer(world, STORED)
    assert client.take().endswith(b"body")


@pytest.mark.parametrize(
    "happens", [joins, asks_on, leaves, is_drained, is_silent, is_lost, comes_in_pieces, is_listed]
)
def test_what_else_happens_is_seen_to_in_general(happens: Callable[[World, End], Awaitable[None]]) -> None:
    async def test(world: World) -> None:
        client = world.connect()
        client.transport.feed(GET)
        assert world.proxy.engine.flights.plain
        await happens(world, client)
        assert way(world)[1] == 1
        assert not world.proxy.engine.flights.plain

    in_world(test)


@pytest.mark.parametrize("what", [{"urls": ["http://shop.example/a"]}, {"tags": ["t"]}, {"everything": True}])
def test_what_is_purged_meanwhile_is_not_stored_and_nobody_joins(what: dict[str, Any]) -> None:
    """It goes its way to the end all the same."""

    async def test(world: World) -> None:
        client = world.connect()
        client.transport.feed(GET)
        first = asked(world)
        first.take()
        world.proxy.purge(**what)
        assert not world.proxy.engine.flights.plain
        world.connect().transport.feed(GET)
        answer(world, STORED.replace(b"body", b"anew"))
        first.transport.feed(STORED)
        assert client.take().endswith(b"body")
        assert world.clients[1].take().endswith(b"anew")
        resource = world.proxy.store.get(b"http://shop.example/a")
        assert resource is not None
        (stored,) = resource
        # A tag says nothing of an answer without one, and of two that are the later is kept.
        assert stored.body == (b"body" if "tags" in what else b"anew")

    in_world(test)


def test_an_answer_to_a_connection_that_was_just_closed_opens_nothing() -> None:
    """The loop tells of the loss a turn later."""

    async def test(world: World) -> None:
        client = world.connect()
        client.transport.feed(GET)
        connection = cast("Any", client.connection)
        connection.abort()
        answer(world, STORED)
        assert "closed" in repr(connection)
        assert not connection._idle
        await asyncio.sleep(0)
        assert world.proxy.store.get(b"http://shop.example/a") is not None

    in_world(test)


def test_who_is_inflated_keeps_its_place_among_the_silent() -> None:
    """The first of three, and then all of them in their order."""

    async def test(world: World) -> None:
        for target in (b"/a", b"/b", b"/c"):
            world.connect().transport.feed(GET.replace(b"/a", target))
            await asyncio.sleep(1.0)
        world.clients[0].transport.feed(GET)
        touched = [each.touched for each in world.proxy.client._silent]
        assert touched == sorted(touched)
        assert len(set(touched)) == 3
        await asyncio.sleep(57.5)
        assert world.clients[0].take().startswith(b"HTTP/1.1 504 ")
        assert world.clients[1].take() == b""

    in_world(test)


def test_who_is_inflated_while_others_time_out_is_answered_once() -> None:
    """One that times out is asked on, at once, for what another waits for that is late as well."""

    async def test(world: World) -> None:
        first, second = world.connect("192.0.2.1"), world.connect("192.0.2.2")
        first.transport.feed(GET)
        second.transport.feed(OTHER)
        first.transport.feed(OTHER)
        await asyncio.sleep(62.0)
        assert first.take().count(b"HTTP/1.1 504 ") == 2
        assert second.take().count(b"HTTP/1.1 ") == 1
        assert world.proxy.engine.counters.errors == 3
        assert way(world) == (0, 2)

    in_world(test)


def test_a_client_that_lets_it_wait_meanwhile_gets_its_answers_in_their_order() -> None:
    async def test(world: World) -> None:
        client = world.connect()
        client.transport.feed(OTHER)
        answer(world, STORED)
        client.transport.feed(GET)
        client.take()
        client.connection.pause_writing()
        client.connection.resume_writing()
        client.transport.feed(OTHER)
        assert client.take() == b""
        answer(world, STORED.replace(b"body", b"anew"))
        first, second = client.take().split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert first.endswith(b"anew")
        assert second.endswith(b"body")

    in_world(test)


def test_a_stale_answer_is_not_refreshed_while_one_is_on_its_way() -> None:
    """One that went alone was stored meanwhile, and is stale already."""

    async def test(world: World) -> None:
        world.connect().transport.feed(GET)
        answer(world, PRIVATE)
        world.connect().transport.feed(GET)
        alone = asked(world)
        alone.take()
        await asyncio.sleep(6.0)
        world.connect().transport.feed(GET)
        assert world.proxy.engine.flights.plain
        alone.transport.feed(STORED.replace(b"max-age=60", b"max-age=2, stale-while-revalidate=90"))
        await asyncio.sleep(3.0)
        client = world.connect()
        client.transport.feed(GET)
        assert b"; detail=stale-while-revalidate" in client.take()
        assert world.proxy.engine.counters.refreshes == 0
        assert world.proxy.engine.counters.origin_requests == 3

    in_world(test, uncacheable_ttl=5.0)


def test_misses_are_counted_for_top() -> None:
    async def test(world: World) -> None:
        top = world.proxy.watched().top
        assert top is not None
        world.connect().transport.feed(GET)
        answer(world, STORED)
        assert way(world) == (1, 0)
        ((key, why, requests, *_),) = top.misses(5, with_query=True)
        assert (key, why, requests) == (b"http://shop.example/a", "uri-miss", 1)

    in_world(test)
