"""`--memory` holds: whatever one client sends, all that is remembered of it stays within the budget.

A budget of 16 MiB once came with 500 MiB beside it: whole URLs in tables that counted entries and not bytes.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import penstock
from penstock.inbound.cache.bounded_table import BoundedTable, short_key
from penstock.inbound.cache.counters import CacheCounters
from penstock.inbound.cache.flights import Flights, VaryHint
from penstock.inbound.cache.hit_for_miss import HitForMiss
from penstock.inbound.proxy.known_hits import KnownHits
from penstock.inbound.proxy.top_urls import TopUrls, reserve_keys
from penstock.rules.caching.cookies import without_cookies
from penstock.rules.caching.decisions import Decision
from penstock.stores.memory import MemoryStore
from penstock.stores.stored_response import StoredResponse
from penstock.testing import run_virtual

from .asgi.clients import Client, Site
from .cache.fakes import FRESH, PRIVATE, Bench

MIB = 1 << 20
BUDGET = MIB
URLS = 4000
LONG = "x" * 7900
VARIES = ("vary", "accept")
PERSONAL = Decision(False, "private", "RFC 9111, 3")


@contextmanager
def growth() -> Iterator[Callable[[], int]]:
    """A function that says how many bytes more there are now than at the beginning."""
    gc.collect()
    tracemalloc.start()
    begin = tracemalloc.get_traced_memory()[0]

    def grown() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - begin

    try:
        yield grown
    finally:
        tracemalloc.stop()


def stored_in(store: MemoryStore, key: bytes) -> StoredResponse:
    fields = [(b"content-type", b"text/plain")]
    response = StoredResponse(key=key, status=200, fields=fields, body=b"x", sequence=0, received_at=0.0)
    assert store.put(response)
    return response


def url_of(number: int) -> bytes:
    return b"http://shop.example/%d?%s" % (number, LONG.encode())


def watched_bench(memory: int) -> Bench:
    """With the counts for `penstock top`."""
    bench = Bench(memory=memory)
    engine = bench.engine
    top = TopUrls(engine.counters, engine.key_of, engine.clock.now, reserve_keys(bench.store))
    engine.on_looked_up = top.looked_up
    return bench


async def ask_for_many(bench: Bench, urls: int, fields: tuple[tuple[str, str], ...]) -> None:
    for number in range(urls):
        bench.send(f"/{number}?{LONG}")
        bench.origin.fetches.pop().answer(*fields, body=b"x")
        if number % 32 == 0:
            await bench.turn()
    await bench.turn()


@pytest.mark.slow
@pytest.mark.parametrize("fields", [(PRIVATE,), (FRESH, VARIES), (FRESH,)], ids=["refused", "varies", "stored"])
def test_many_long_urls_through_the_engine(fields: tuple[tuple[str, str], ...]) -> None:
    """As an attacker sends them; what is charged is within the budget, and it is what there really is."""

    async def main() -> None:
        bench = watched_bench(BUDGET)
        with growth() as grown:
            await ask_for_many(bench, URLS, fields)
            charged = bench.store.bytes_used + bench.store.table_bytes
            assert BUDGET / 20 < charged <= BUDGET
            assert grown() <= 1.05 * charged
        bench.at_rest()

    run_virtual(main())


@pytest.mark.slow
def test_long_urls_that_are_refused() -> None:
    """66,000 URLs of 7.9 KB took 508 MiB beside a budget of 16 MiB; a quarter of them fill the table as well."""

    async def main() -> None:
        bench = watched_bench(16 * MIB)
        await ask_for_many(bench, 16_500, (PRIVATE,))
        assert bench.store.table_bytes <= 2 * MIB
        assert 2000 < len(bench.engine.refusals) < 16_500
        bench.at_rest()

    run_virtual(main())


@pytest.mark.slow
@pytest.mark.parametrize("varies", [False, True])
def test_many_long_urls_through_the_middleware(varies: bool) -> None:
    """Each is asked for three times, so that it is known, by a client with fields that nobody had before."""
    answer = [(b"cache-control", b"public, max-age=60"), (b"x-note", b"y" * 500)]
    site = Site(fields=[*answer, (b"vary", b"accept")] if varies else answer)

    async def main() -> None:
        app = penstock.CacheMiddleware(site, memory=BUDGET)
        names = [(b"x-name-%d" % number, b"1") for number in range(40)]
        await Client(app, "/", fields=names).go()
        store = app.cache.site().engine.store
        with growth() as grown:
            for number in range(600):
                for _ in range(3):
                    await Client(app, f"/{number}{LONG[:3900]}", fields=names).go()
                site.scopes.clear()
            charged = store.bytes_used + store.table_bytes
            assert charged <= BUDGET
            assert len(app.cache.site().known)
            assert grown() <= 1.05 * charged + 100_000

    run_virtual(main())


def fill_refusals(store: MemoryStore, count: int) -> object:
    table = HitForMiss(store)
    for number in range(count):
        table.note(url_of(number), {b"cookie": b""}, float(number), PERSONAL, 403 + number)
    return table


def fill_hints(store: MemoryStore, count: int) -> object:
    flights = Flights(store, 1)
    for number in range(count):
        flights.vary_hints.keep(short_key(url_of(number)), VaryHint((b"accept", b"accept-%d" % number), ()))
    return flights


def fill_known_hits(store: MemoryStore, count: int, more: bytes = b"") -> object:
    known = KnownHits(store, CacheCounters(), lambda: 0.0, lambda stored, now: (b"", 0.0))
    stored = stored_in(store, b"http://a/")
    for number in range(count):
        data = b"GET /%d%s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (number, LONG[:3900].encode(), more)
        for _ in range(2):
            known.learn(data, stored, stored, float(number))
    assert len(known)
    return known


def fill_known_hits_as_they_came(store: MemoryStore, count: int) -> object:
    return fill_known_hits(store, count, b"X-Own: 1\r\n")


def test_the_proxy_keeps_what_has_a_field_of_its_own_when_it_comes_again() -> None:
    """And a plain form at once, which others have too."""
    store = MemoryStore(MIB)
    known = KnownHits(store, CacheCounters(), lambda: 0.0, lambda stored, now: (b"", 0.0))
    stored = stored_in(store, b"http://a/")
    charged = store.table_bytes
    own = [b"GET / HTTP/1.1\r\nHost: a\r\nX-Own: %d\r\n\r\n" % number for number in range(20)]
    for data in own:
        known.learn(data, stored, stored, 1.0)
    assert len(known) == 0
    assert store.table_bytes == charged > 0
    for data in own * 2:
        known.learn(data, stored, stored, 1.0)
        known.learn(data, stored, stored, 1.0)
    assert len(known) == 20
    known.learn(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", stored, stored, 1.0)
    assert len(known) == 21
    known.clear()
    assert store.table_bytes == charged
    known.learn(own[0], stored, stored, 1.0)
    assert len(known) == 0


@pytest.mark.slow
@pytest.mark.parametrize("memory", [100_000, MIB, 8 * MIB])
@pytest.mark.parametrize("fill", [fill_refusals, fill_hints, fill_known_hits, fill_known_hits_as_they_came])
def test_each_table_takes_its_share_and_what_it_is_charged(
    fill: Callable[[MemoryStore, int], object], memory: int
) -> None:
    """A sixteenth of the budget at most, or a little of a small one; never less than it really takes."""
    store = MemoryStore(memory)
    with growth() as grown:
        table = fill(store, URLS)
        assert 0 < store.table_bytes <= max(memory // 16, 16 * 1024)
        assert grown() <= store.table_bytes + store.bytes_used + 40 * 1024
        del table


@pytest.mark.parametrize("urls", [1, 200, 1500])
def test_the_table_of_top_is_charged_before_it_is_filled(urls: int) -> None:
    """It is never charged again, so what it takes when it is full counts from the beginning."""

    async def main() -> None:
        bench = Bench()
        with growth() as grown:
            engine = bench.engine
            top = TopUrls(engine.counters, engine.key_of, engine.clock.now, reserve_keys(bench.store))
            engine.on_looked_up = top.looked_up
            assert 0 < bench.store.table_bytes <= bench.store.max_bytes // 16
            for number in range(urls):
                bench.send(f"/{number}{LONG}?{number}")
                bench.origin.fetches.pop().answer(PRIVATE)
                await bench.turn()
            assert grown() <= bench.store.table_bytes + 100_000
        bench.at_rest()

    run_virtual(main())


def test_what_tables_take_is_taken_from_what_is_stored() -> None:
    """And given back: the budget is one for both."""
    store = MemoryStore(40_000)
    for number in range(100):
        stored_in(store, b"http://a/%d" % number)
    full = store.objects
    assert store.charge_table(20_000)
    assert store.bytes_used + store.table_bytes <= store.max_bytes
    assert 0 < store.objects < full
    left = store.objects
    assert not store.charge_table(20_001)
    assert store.objects == left, "nothing goes for what has no room anyway"
    assert store.charge_table(-20_000)
    for number in range(100, 200):
        stored_in(store, b"http://a/%d" % number)
    assert store.objects == full


def test_an_object_as_large_as_the_budget_does_not_empty_the_store_for_nothing() -> None:
    """There is no room for it beside the tables, whatever goes."""
    store = MemoryStore(40_000, max_object_bytes=40_000)
    stored_in(store, b"http://a/")
    assert store.charge_table(10_000)
    large = StoredResponse(key=b"b", status=200, fields=[], body=b"x" * 35_000, sequence=0, received_at=0.0)
    assert not store.put(large)
    assert store.objects == 1


def test_a_table_forgets_the_oldest_and_gives_back_all() -> None:
    """Also what is noted again is then the newest."""
    store = MemoryStore(MIB)
    table = BoundedTable[int](store, 2000, 3, lambda value: value)
    for key in (b"a", b"b", b"c", b"a", b"d"):
        table.keep(key, 100)
    assert list(table.entries) == [b"c", b"a", b"d"]
    table.keep(b"e", 1000)
    assert list(table.entries) == [b"d", b"e"]
    table.keep(b"f", 3000)
    assert not table.entries, "what is larger than the table has no place in it, nor has what it was to replace"
    assert table.bytes_used == store.table_bytes == 0
    table.keep(b"a", 100)
    table.drop(b"a")
    table.drop(b"a")
    table.keep(b"b", 100)
    assert table.bytes_used == store.table_bytes > 0
    table.clear()
    assert table.bytes_used == store.table_bytes == 0


@pytest.mark.parametrize("length", [0, 1, 64, 65, 8000])
def test_short_keys(length: int) -> None:
    """What is short stays as it is; what is long becomes what no URL is, and two never become one."""
    key = b"http://a/"[:length].ljust(length, b"x")
    short = short_key(key)
    assert (short == key) is (length <= 64)
    assert len(short) <= 64
    assert short_key(short) == short
    assert short_key(key + b"y" * 64) != short_key(key + b"z" * 64)


@pytest.mark.parametrize("target", ["/", "/" + LONG])
def test_a_purge_forgets_the_refusals_of_a_long_url_too(target: str) -> None:
    """Of every kind of request, and of no other URL; and until then it is known."""

    async def main() -> None:
        bench = Bench()
        for each in (target, target + "b"):
            bench.fill(PRIVATE, target=each)
            bench.fill(PRIVATE, target=each, cookie="a=b")
        key, other = (b"http://shop.example" + each.encode() for each in (target, target + "b"))
        now = bench.engine.clock.now()
        assert [whose for whose, _ in bench.engine.refusals.of_all_kinds(key, now)] == ["", "cookie"]
        first, second = bench.send(target), bench.send(target)
        assert len(bench.origin) == 6, "side by side"
        for fetch in bench.origin.fetches[4:]:
            fetch.answer(PRIVATE)
        assert first.ended
        assert second.ended
        bench.engine.forget_url(key)
        assert bench.engine.refusals.of_all_kinds(key, now) == []
        assert len(bench.engine.refusals.of_all_kinds(other, now)) == 2
        bench.engine.purge_all()
        assert bench.store.table_bytes == 0
        bench.at_rest()

    run_virtual(main())


def test_a_long_url_that_varies_is_asked_for_once_by_equals() -> None:
    """Its hint is found by the digest of the URL, as by a short one."""

    async def main() -> None:
        bench = Bench()
        target = "/" + LONG
        bench.fill(("cache-control", "max-age=1"), VARIES, target=target, accept="a")
        await asyncio.sleep(5)
        bench.engine.purge_all()
        for accept in ("a", "b", "a"):
            bench.send(target, accept=accept)
        assert len(bench.origin) == 3, "one for each variant"
        for fetch in bench.origin.fetches[1:]:
            fetch.answer(FRESH)
        assert bench.store.table_bytes == 0, "it varies no more"
        bench.at_rest()

    run_virtual(main())


def test_long_cookies_are_not_remembered() -> None:
    """4,096 of them, as long as clients like, once took as much as all that was stored."""
    with growth() as grown:
        for number in range(4096):
            cookie = b"seen=%d; keep=%s" % (number, LONG.encode())
            assert without_cookies(cookie, ("seen",)) == b"keep=" + LONG.encode()
        assert grown() < MIB
