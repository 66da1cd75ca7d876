"""Which URLs are frequent: against exact counts."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.inbound.cache.counters import CacheCounters
from penstock.inbound.cache.purging import requests_for
from penstock.inbound.proxy.heavy_hitters import HeavyHitters
from penstock.inbound.proxy.top_urls import TopUrls
from penstock.stores.stored_response import StoredResponse
from penstock.testing import run_virtual

from .admin_tools import URL, Shop

STREAMS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=400)


@given(STREAMS, st.integers(1, 12))
def test_no_frequent_key_is_missing(stream: list[tuple[int, int]], max_keys: int) -> None:
    """What the algorithm promises of keys with more than their share of the weight, and of all counts."""
    table = HeavyHitters[int](max_keys)
    exact = Counter[int]()
    for key, weight in stream:
        table.add(key, weight, 0)
        exact[key] += weight
        assert len(table) <= 2 * max_keys
    found = {row.key: row.weight for row in table.rows()}
    share = sum(exact.values()) / max_keys
    for key, weight in exact.items():
        assert weight - share <= found.get(key, 0) <= weight
        assert key in found or weight <= share


@given(STREAMS)
def test_few_keys_are_counted_exactly(stream: list[tuple[int, int]]) -> None:
    """As long as there is room, nothing is lost, in total and by part."""
    table = HeavyHitters[int](31)
    exact, part = Counter[int](), Counter[int]()
    for key, weight in stream:
        table.add(key, weight, weight // 2)
        exact[key] += weight
        part[key] += weight // 2
    assert {row.key: row.weight for row in table.rows()} == exact
    assert {row.key: row.part for row in table.rows()} == {key: part[key] for key in exact}


def test_windows() -> None:
    """What is of late leaves after two turns; the total stays."""
    table = HeavyHitters[str](4)
    table.add("a", 5, 2)
    seen = []
    for _ in range(3):
        (row,) = table.rows()
        seen.append((row.weight, row.recent, row.recent_part))
        table.turn()
    assert seen == [(5, 5, 2), (5, 5, 2), (5, 0, 0)]


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def stored(key: bytes) -> StoredResponse:
    return StoredResponse(key=key, status=200, fields=[], body=b"x" * 10, sequence=0, received_at=0.0)


@pytest.mark.parametrize("shape", ["in turns", "by chance"])
@pytest.mark.parametrize("rate", [1, 100, 10_000, 1_000_000])
def test_samples_tell_the_truth(rate: int, shape: str) -> None:
    """At every rate and also where clients ask for URLs in turns; and a fast stream is looked at seldom."""
    counters, clock = CacheCounters(), Clock()
    top = TopUrls(counters, lambda request: b"", clock)
    keys = [b"http://a/%d" % number for number in range(16)]
    objects = {key: stored(key) for key in keys}
    chance = random.Random(5)
    exact, samples = Counter[bytes](), 0
    count = min(200_000, rate * 400)
    for number in range(count):
        clock.time += 1 / rate
        key = keys[number % 16] if shape == "in turns" else keys[min(15, int(chance.expovariate(0.5)))]
        exact[key] += 1
        counters.hits += 1
        if counters.hits >= counters.sample_at:
            samples += 1
            top.sample(objects[key])
    found = {row.key: row.requests for row in top.urls(100, with_query=True)}
    assert count - 600 <= sum(found.values()) <= count
    if rate <= 100:
        assert samples == count
        assert found == exact
    for key in keys:
        assert abs(found.get(key, 0) - exact[key]) <= 0.1 * count
    if rate == 1_000_000:
        assert samples < count / 30


def test_after_a_busy_time_the_quiet_is_seen() -> None:
    """A stride that is long because it was busy does not hide the next minutes."""
    counters, clock = CacheCounters(), Clock()
    top = TopUrls(counters, lambda request: b"", clock)
    one = stored(b"http://a/")
    for _ in range(100_000):
        clock.time += 1e-6
        counters.hits += 1
        if counters.hits >= counters.sample_at:
            top.sample(one)
    clock.time += 60
    assert top.urls(1, with_query=True)[0].recent == 0
    counters.hits += 1
    assert counters.hits >= counters.sample_at
    top.sample(one)
    assert top.urls(1, with_query=True)[0].recent > 0


def test_endless_urls_stay_in_bounds() -> None:
    """Anybody may ask for as many URLs as they like, and long ones."""
    counters, clock = CacheCounters(), Clock()
    top = TopUrls(counters, lambda request: request.target, clock, max_keys=10)
    for number in range(2000):
        (request, _) = requests_for(f"http://a/{number}{'x' * 3000}?y")
        top.looked_up(request, "uri-miss", None)
    for rows in (top.urls(1000, with_query=True), top.urls(1000, with_query=False)):
        assert len(rows) <= 20
        assert all(len(row.key) <= 1024 for row in rows)
    assert len(top.misses(1000, with_query=True)) <= 20


def test_a_long_silence_empties_both_windows() -> None:
    """Also where it was longer than many windows."""
    counters, clock = CacheCounters(), Clock()
    top = TopUrls(counters, lambda request: request.target, clock)
    (request, _) = requests_for("http://a/")
    top.looked_up(request, "uri-miss", None)
    assert top.misses(1, with_query=False)[0].recent == 1
    clock.time += 1e6
    assert top.misses(1, with_query=False)[0].recent == 0
    assert top.misses(1, with_query=False)[0].requests == 1


def test_a_url_that_is_missed_for_several_reasons_is_one_row() -> None:
    """It once stood there twice, in the same words; the most frequent reason names it."""
    counters, clock = CacheCounters(), Clock()
    top = TopUrls(counters, lambda request: request.target, clock)
    for number, why in enumerate(("uri-miss", "miss", "miss", "stale")):
        (request, _) = requests_for(f"http://a/x?{number}")
        top.looked_up(request, why, None)
    (request, _) = requests_for("http://a/y")
    top.looked_up(request, "uri-miss", None)
    first, second = top.misses(5, with_query=False)
    assert (first.key, first.why, first.requests, first.recent) == (b"/x", "miss", 4, 4)
    assert first.reasons == {"miss": 2, "stale": 1, "uri-miss": 1}
    assert first.example == b"/x?2"
    assert (second.key, second.reasons) == (b"/y", {"uri-miss": 1})
    assert top.counted(with_query=False) == (2, 2)
    assert top.counted(with_query=True) == (5, 5)


def test_every_kind_of_answer_is_counted_at_its_url() -> None:
    """Hit, miss, stale and collapsed, as the engine tells of them."""

    async def main() -> None:
        shop = Shop()
        clock = shop.engine.clock
        shop.answer("/products/7", ("cache-control", "max-age=10, stale-while-revalidate=60"), ("etag", '"1"'))
        shop.app.delay = 1.0
        first, second = shop.send(), shop.send()
        await first.done
        await second.done
        await shop.get()
        await clock.sleep(20)
        await shop.get()
        await clock.sleep(5)
        (row,) = shop.top.urls(5, with_query=True)
        assert (row.key.decode(), row.requests, row.spared) == (URL, 4, 3)
        (miss,) = shop.top.misses(5, with_query=True)
        assert (miss.why, miss.requests) == ("uri-miss", 1)
        assert shop.top.bytes_from_store == 200

    run_virtual(main())
