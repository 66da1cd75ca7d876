"""The short cut for known requests answers exactly what the long way would."""

from __future__ import annotations

import asyncio
from dataclasses import fields as fields_of
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import penstock
from penstock.inbound.asgi import known as known_answers
from penstock.inbound.asgi.field_names import MATTERS
from penstock.testing import run_virtual

from .clients import Client, Site

NAMES = [
    *(b"accept-encoding", b"Accept-Encoding", b"accept_encoding", b"x-id", b"X-Id", b"X-ID", b"x_id", b"x" * 70),
    *(b"range", b"Range", b"if-range", b"if-match", b"if-unmodified-since", b"content-length", b"transfer-encoding"),
    *(b"if-none-match", b"If-None-Match", b"if-modified-since", b"If-Modified-Since"),
    *(b"connection", b"Connection", b"cookie", b"Cookie", b"authorization", b"Authorization", b"host", b"Host"),
    *(b"x-forwarded-host", b"X_Forwarded_Host", b"x-original-url", b"X_Original_URL", b"cache-control", b"pragma"),
]
VALUES = [
    *(b"a", b"gzip", b"gzip, br", b" gzip\t", b"bytes=0-1", b'"1"', b'W/"1", "2"', b"", b"0", b"sid=1", b"a=1; sid=2"),
    *(b"close", b"keep-alive", b"if-none-match", b"x-id, accept-encoding", b"Range", b"no-cache", b"other.example"),
    b"Thu, 01 Jan 2026 00:00:00 GMT",
]
FREQUENT = st.sampled_from(
    [
        *((b"accept-encoding", b"gzip"), (b"Accept-Encoding", b"br"), (b"x-id", b"a"), (b"X-Id", b"1")),
        *((b"cookie", b"sid=1"), (b"cookie", b"_ga=1"), (b"if-none-match", b'"1"'), (b"If-None-Match", b'"2"')),
    ]
)
FIELDS = st.lists(FREQUENT | st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)
STEP = st.tuples(
    st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    st.sampled_from(["/a", "/b", "/c", "/d?x=1"]),
    FIELDS,
    st.sampled_from([0, 0, 0, 120]),
    st.sampled_from([0.0, 0.4, 30.0]),
)
VARY = {"/a": [b"accept-encoding"], "/c": [b"x-id", b"cookie"], "/d": [b"if-none-match"]}
POLICY = penstock.CachePolicy(
    paths=(penstock.PathPolicy("/b", bypass_cookies=("sid",), ttl=60.0), penstock.PathPolicy("/d", drop_query=("x",)))
)


async def varied(scope: Any, receive: Any, send: Any) -> None:
    """Says what it depends on, in the body and in Vary; `/b` on nothing, and that is stored if the policy says so."""
    names = VARY.get(scope["path"], [])
    asked = [(name, value) for name, value in scope["headers"] if name.lower() in (*names, b"host")]
    vary = [(b"vary", b", ".join(names))] if names else []
    lifetime = [(b"cache-control", b"public, max-age=60")] if scope["path"] != "/b" else []
    fields = [(b"etag", b'"1"'), (b"last-modified", b"Thu, 01 Jan 2026 00:00:00 GMT"), *lifetime, *vary]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"%r %r" % (scope["path"].encode(), repr(asked).encode())})


def told(client: Client) -> tuple[Any, ...]:
    """All of an answer but the order of its fields."""
    return client.status, client.body, sorted(client.messages[0]["headers"])


def counted(app: penstock.CacheMiddleware) -> dict[str, Any]:
    """What it says of itself, but for times."""
    counters = app.counters
    return {each.name: getattr(counters, each.name) for each in fields_of(counters) if each.name != "origin_latency"}


def hits(target: str, *fields: tuple[bytes, bytes], more: int = 0) -> list[Any]:
    """First without them, then with these."""
    return [("GET", target, [*fields][:-1], 0, 0.0), ("GET", target, [*fields], more, 0.0)]


TAG, NAMED = (b"If-None-Match", b'"1"'), (b"connection", b"if-none-match")
GZIP, BR = (b"accept-encoding", b"gzip"), (b"Accept-Encoding", b"br")


@settings(deadline=None, max_examples=300)
@example(steps=hits("/c", TAG), trust=False, policy=False)
@example(steps=hits("/c", NAMED, (b"if-none-match", b'"1"')), trust=False, policy=False)
@example(steps=hits("/d", TAG), trust=False, policy=False)
@example(steps=[("GET", "/d", [], 0, 9.0), ("GET", "/d", [TAG], 0, 0.0)], trust=False, policy=False)
@example(steps=[("GET", "/a", [GZIP], 0, 0.0), ("GET", "/a", [BR], 0, 0.0)], trust=False, policy=False)
@example(steps=[("GET", "/a", [BR], 0, 0.0), ("GET", "/a", [], 0, 0.0)], trust=False, policy=False)
@example(steps=hits("/c", (b"x-a", b"1"), more=120), trust=False, policy=False)
@example(steps=hits("/c", (b"x-id", b"1"), (b"X_Original_URL", b"1")), trust=False, policy=False)
@example(steps=hits("/c", TAG, (b"x-forwarded-host", b"other.example")), trust=True, policy=False)
@example(steps=hits("/b", (b"Cookie", b"a=1"), (b"cookie", b"sid=2")), trust=False, policy=True)
@given(st.lists(STEP, max_size=8), st.booleans(), st.booleans())
def test_the_same_as_without_it(steps: list[Any], trust: bool, policy: bool) -> None:
    """Whatever came before, with lines twice, names in whatever case, a hundred fields, and time that passes.

    Four times, since what comes once is not remembered. Compared are the answers, the counters, and what is stored.
    """

    async def scenario() -> None:
        quick, slow = (
            penstock.CacheMiddleware(varied, trust_forwarded=trust, policy=POLICY if policy else None) for _ in range(2)
        )
        for method, target, fields, more, pause in steps * 4:
            slow.cache.site().known.clear()
            several = [*fields, *[(b"x-%d" % n, b"1") for n in range(more)]]
            one, other = (Client(app, target, method=method, fields=several) for app in (quick, slow))
            await one.go()
            await other.go()
            assert told(one) == told(other)
            assert counted(quick) == counted(slow)
            await asyncio.sleep(pause)
        stores = [app.cache.site().engine.store for app in (quick, slow)]
        assert stores[0].objects == stores[1].objects
        assert stores[0].bytes_used == stores[1].bytes_used

    run_virtual(scenario())


def test_nothing_is_looked_up_for_what_makes_no_difference() -> None:
    """A name in whatever case, a name or a value that nobody sent before, a condition: one pass over the fields."""
    site = Site(fields=[(b"cache-control", b"max-age=60"), (b"etag", b'"1"')])
    new = [
        *[(b"x-request-id", b"%d" % n) for n in range(3)],
        *[(b"X-Asked", b"%d" % n) for n in range(3)],
        *[(b"x-name-%d" % n, b"1") for n in range(3)],
        *[(b"Cookie", b"_ga=%d" % n) for n in range(3)],
        *[(b"cache-control", b"max-age=%d" % n) for n in range(3)],
        *[(b"if-none-match", b'"%d"' % n) for n in range(3)],
        *[(b"If-Modified-Since", b"%d" % n) for n in range(3)],
    ]

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        for _ in range(3):
            await Client(app).go()
        engine, statuses = app.cache.site().engine, []
        engine.look_up = None  # type: ignore[assignment,method-assign]  # to ask it is an error
        for field in new:
            client = await Client(app, fields=[field, (b"connection", b"close")][: 1 if field[1] else 2]).go()
            assert "hit" in client.cache_status
            statuses.append(client.status)
        assert statuses.count(304) == 1
        assert app.counters.not_modified == 1
        assert app.counters.hits == len(new) + 2

    run_virtual(scenario())


class Recording(dict[bytes, bytes]):
    """Request fields that know which of them were asked for."""

    def __init__(self, fields: dict[bytes, bytes], asked: set[bytes]) -> None:
        super().__init__(fields)
        self.asked = asked

    def get(self, name: bytes, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: bytes) -> bytes:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        self.asked.add(name)
        return super().__contains__(name)

    def __iter__(self) -> Any:
        raise AssertionError("all fields were looked at")


@pytest.mark.parametrize("path", ["/a", "/b", "/c"])
@pytest.mark.parametrize("field", [(b"x-id", b"1"), (b"range", b"bytes=0-1"), (b"if-none-match", b'"1"')])
def test_every_field_that_rules_read_for_a_hit_matters(path: str, field: tuple[bytes, bytes]) -> None:
    """A rule that goes by one more field has to have it in MATTERS, or a hit would be another client's."""
    asked: set[bytes] = set()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(varied, policy=POLICY)
        engine = app.cache.site().engine
        look_up = engine.look_up

        def recorded(request: Any) -> Any:
            request.fields = Recording(request.fields, asked)
            return look_up(request)

        await Client(app, path).go()
        engine.look_up = recorded  # type: ignore[method-assign]
        app.cache.site().known.learn = lambda *_: None  # type: ignore[method-assign]  # it looks at all of them
        assert "hit" in (await Client(app, path, fields=[field]).go()).cache_status or path == "/c"

    run_virtual(scenario())
    assert asked >= {b"if-match", b"if-none-match"}
    assert asked - {*VARY.get(path, []), b"cookie"} <= MATTERS


def test_names_are_bounded_and_charged() -> None:
    """Whoever makes up names pushes out other names, and no answer."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        store, known = app.cache.site().engine.store, app.cache.site().known
        charged = store.table_bytes
        for _ in range(3):
            await Client(app).go()
        with_answer = store.table_bytes
        for n in range(2000):
            for _ in range(2):
                client = Client(app, fields=[(b"x-%d" % n, b"1"), (b"y" * 65 + b"%d" % n, b"1")])
                assert "hit" in (await client.go()).cache_status
        assert len(known) == 1
        assert 0 < store.table_bytes - with_answer < 512 * 500
        known.clear()
        assert store.table_bytes == charged

    run_virtual(scenario())


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
                await Client(app, fields=[(b"authorization", b"%d" % n)]).go()
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
            assert "hit" in (await Client(app, fields=[(b"authorization", b"%d" % n)]).go()).cache_status
        assert len(known) == 0
        assert engine.store.table_bytes == charged > 0
        for n in range(10):
            for times in range(2):
                await Client(app, fields=[(b"authorization", b"other %d" % n)]).go()
                assert len(known) == n + times
        assert engine.store.table_bytes > charged
        known.clear()
        assert engine.store.table_bytes == charged
        await Client(app, fields=[(b"authorization", b"other 1")]).go()
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
