"""Why an error is not stored is told to who asks, though it decides nothing for the next request."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.inbound.cache.explain import explain_url
from penstock.inbound.cache.hit_for_miss import HitForMiss
from penstock.rules.caching.decisions import Decision
from penstock.stores.memory import MemoryStore
from penstock.testing import run_virtual

from .admin_tools import URL, Shop

CASES = [
    (400, []),
    (429, []),
    (500, []),
    (500, [("cache-control", "no-store")]),
    (503, [("retry-after", "3")]),
]


def miss_of(shop: Shop) -> dict[str, Any]:
    """What `top` says of the one URL that was missed."""
    (row,) = shop.watched.snapshot(with_query=True)["top_misses"]
    found: dict[str, Any] = row
    return found


@pytest.mark.parametrize(("status", "fields"), CASES)
def test_an_error_that_always_comes_is_told(status: int, fields: list[tuple[str, str]]) -> None:
    """It once said "not stored yet", and that nobody had asked for it; each next one still waits for the others."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/products/7", *fields, status=status)
        for _ in range(2):
            reply = await shop.get()
            assert b"fwd=uri-miss" in reply.cache_status
        reason = reply.cache_status.partition(b"detail=")[2].decode()
        assert reason
        assert (miss_of(shop)["why"], miss_of(shop)["not_stored"]) == ("uri-miss", reason)
        found = explain_url(shop.engine, URL)
        (refused,) = found["refused"]
        assert (refused["status"], refused["reason"], refused["side_by_side"]) == (status, reason, False)
        assert (found["would"], found["why"]) == ("miss", "Nothing is stored for it.")
        (advice,) = found["to_store"]
        assert advice["reason"] == reason
        assert "Ask for it once" not in advice["sentence"]
        assert shop.engine.refusals.look_up(URL.encode(), {}, shop.engine.clock.now()) is None

    run_virtual(main())


def test_what_is_told_goes_with_what_comes_next() -> None:
    """A stored answer, a purge and time end it; a refusal that holds for all stands beside it, the newer one first."""

    async def main() -> None:
        shop = Shop()
        clock = shop.engine.clock

        def told() -> list[tuple[int, bool]]:
            return [(each["status"], each["side_by_side"]) for each in explain_url(shop.engine, URL)["refused"]]

        shop.answer("/products/7", status=500)
        await shop.get()
        shop.engine.forget_url(URL.encode())
        assert told() == []
        await shop.get()
        await clock.sleep(121)
        assert told() == []
        shop.answer("/products/7", ("cache-control", "private"))
        await shop.get()
        await clock.sleep(1)
        shop.answer("/products/7", status=500)
        await shop.get()
        assert told() == [(500, False), (200, True)]
        assert miss_of(shop)["not_stored"] == "no-freshness"
        await clock.sleep(1)
        shop.answer("/products/7", ("cache-control", "private"))
        await shop.get()
        assert told() == [(200, True)]
        shop.answer("/products/7", status=500)
        await shop.get()
        shop.engine.purge_all()
        assert told() == []
        await shop.get()
        shop.answer("/products/7", ("cache-control", "max-age=60"))
        await shop.get()
        assert told() == []

    run_virtual(main())


def test_one_clients_own_is_not_told() -> None:
    """A range or a condition says nothing of the URL."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/products/7", status=500)
        await shop.get(if_match='"1"')
        assert explain_url(shop.engine, URL)["refused"] == []

    run_virtual(main())


def test_errors_take_no_room_from_what_decides() -> None:
    """Who provokes many of them makes nobody forget a refusal; they are charged, bounded and given back."""
    store = MemoryStore(1 << 22)
    table = HitForMiss(store)
    private = Decision(False, "private", "RFC 9111, 5.2.2.7")
    table.note(b"http://a/", {}, 0.0, private, 200)
    before = store.table_bytes
    for number in range(20_000):
        table.note(b"http://a/%d" % number, {}, 0.0, private, 500, for_all=False)
    assert table.look_up(b"http://a/", {}, 1.0) is not None
    assert 0 < store.table_bytes - before <= 1 << 18
    table.clear()
    assert store.table_bytes == 0
