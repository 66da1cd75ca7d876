"""The short cut for known requests answers exactly what the long way would."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock
from penstock.inbound.asgi import known as known_answers
from penstock.testing import run_virtual

from .clients import Client, Site

NAMES = [b"accept-encoding", b"x-id", b"X-Id", b"Range", b"range", b"if-none-match", b"cookie", b"x-forwarded-host"]
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([b"a", b"bytes=0-1", b'"1"'])), max_size=4)


async def varied(scope: Any, receive: Any, send: Any) -> None:
    """Says what it depends on, in the body and in Vary; `/a` on one field, others on none."""
    asked = dict(scope["headers"]).get(b"accept-encoding", b"-")
    vary = [(b"vary", b"accept-encoding")] if scope["path"] == "/a" else []
    fields = [(b"cache-control", b"public, max-age=60"), (b"etag", b'"1"'), *vary]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"body for %b" % (asked if vary else b"all")})


def told(client: Client) -> tuple[Any, ...]:
    """All of an answer but the order of its fields."""
    return client.status, client.body, sorted(client.messages[0]["headers"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["/a", "/b"]), FIELDS, st.sampled_from([0.0, 0.4, 30.0])), max_size=8))
def test_the_same_as_without_it(steps: list[tuple[str, list[tuple[bytes, bytes]], float]]) -> None:
    """Whatever came before, with lines twice, names in whatever case, and time that passes.

    Four times, since what comes once is not remembered.
    """

    async def scenario() -> list[Any]:
        quick, slow = penstock.CacheMiddleware(varied), penstock.CacheMiddleware(varied)
        answers = []
        for target, fields, pause in steps * 4:
            slow.cache.site().known.clear()
            one, other = Client(quick, target, fields=fields), Client(slow, target, fields=fields)
            await one.go()
            await other.go()
            answers.append((told(one), told(other)))
            await asyncio.sleep(pause)
        return answers

    for one, other in run_virtual(scenario()):
        assert one == other


def test_it_is_used_for_fields_that_are_never_the_same() -> None:
    """And counts as a hit; the messages are the receiver's own to change."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        known = app.cache.site().known
        for n in range(5):
            client = await Client(app, fields=[(b"x-request-id", b"%d" % n)]).go()
            client.messages[0]["headers"].append((b"x-spoilt", b"1"))
        assert len(known) == 1
        assert app.counters.hits == 4
        assert app.counters.requests == 5
        assert b"x-spoilt" not in (await Client(app).go()).fields

    run_virtual(scenario())


@pytest.mark.parametrize("purge", ["url", "tag", "all", "post", "time", "replaced"])
def test_it_ends_with_the_response(purge: str) -> None:
    """A purge, an invalidation, the end of freshness, another variant: each is looked at anew."""
    site = Site(fields=[(b"cache-control", b"max-age=60"), (b"surrogate-key", b"t")])

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        for _ in range(4):
            await Client(app).go()
        assert site.calls == 1
        assert len(app.cache.site().known) == 1
        site.chunks = [b"new"]
        if purge == "url":
            app.purge_url("http://example.com/")
        elif purge == "tag":
            app.purge_tag("t")
        elif purge == "all":
            app.purge_all()
        elif purge == "post":
            await Client(app, method="POST").go()
        elif purge == "time":
            await asyncio.sleep(61)
        else:
            app.purge_url("http://example.com/", soft=True)
            assert "stale-while-revalidate" in (await Client(app).go()).cache_status
            await asyncio.sleep(1)
        assert (await Client(app).go()).body == b"new"

    run_virtual(scenario())


def test_it_keeps_nothing_alive_that_has_left_the_store() -> None:
    """Once a second it lets go."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        for _ in range(3):
            await Client(app).go()
        known = app.cache.site().known
        assert len(known) == 1
        app.purge_url("http://example.com/")
        await asyncio.sleep(3)
        assert len(known) == 0

    run_virtual(scenario())


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many URLs and fields there are; when it is full it starts over."""
    monkeypatch.setattr(known_answers, "_MOST_ANSWERS", 100)
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        known = app.cache.site().known
        most = 0
        await Client(app).go()
        for n in range(130):
            for _ in range(2):
                await Client(app, fields=[(b"X-%d" % n, b"")]).go()
            most = max(most, len(known))
        assert most == 100
        assert len(known) == 30

    run_virtual(scenario())


def test_what_comes_once_is_not_remembered() -> None:
    """Most requests with a field of their own never come again. To keep and charge each made them a fifth dearer."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        engine, known = app.cache.site().engine, app.cache.site().known
        await Client(app).go()
        charged = engine.store.table_bytes
        for n in range(100):
            assert "hit" in (await Client(app, fields=[(b"X-Own", b"%d" % n)]).go()).cache_status
        assert len(known) == 0
        assert engine.store.table_bytes == charged > 0
        for n in range(10):
            for times in range(2):
                await Client(app, fields=[(b"X-Other", b"%d" % n)]).go()
                assert len(known) == n + times
        assert engine.store.table_bytes > charged
        known.clear()
        assert engine.store.table_bytes == charged
        await Client(app, fields=[(b"X-Other", b"1")]).go()
        assert len(known) == 0, "nothing has come before"

    run_virtual(scenario())


def test_a_server_that_uses_lists() -> None:
    """ASGI allows any iterable of two; the answer is the same."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        for expected in ("stored", "hit", "hit"):
            client = Client(app)
            client.scope["headers"] = [[b"host", b"example.com"], [b"x-a", b"1"]]
            assert expected in (await client.go()).cache_status

    run_virtual(scenario())
