"""What goes straight through: as the app and the server would have it without a cache between them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import penstock
from penstock.rules.caching.unkeyed import NEVER_KEYED
from penstock.testing import run_virtual

from .clients import Client, Site


async def links(scope: Any, receive: Any, send: Any) -> None:
    """An app that builds absolute links out of what the client says, as frameworks do."""
    fields: dict[bytes, bytes] = dict(scope["headers"])
    host = fields.get(b"x-forwarded-host") or fields[b"host"]
    scheme = fields.get(b"x-forwarded-proto", scope["scheme"].encode())
    path: bytes = fields.get(b"x-original-url") or scope["raw_path"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"public, max-age=60")]})
    await send({"type": "http.response.body", "body": b"%b://%b%b" % (scheme, host, path)})


POISON = [
    (b"x-forwarded-host", b"evil.example"),
    (b"X-Forwarded-Host", b"evil.example"),
    (b"x-forwarded-proto", b"evil"),
    (b"forwarded", b"host=evil.example"),
    *[(name, b"/evil") for name in sorted(NEVER_KEYED)],
]


@pytest.mark.parametrize("field", POISON, ids=lambda field: field[0].decode())
def test_an_unkeyed_field_poisons_nobody(field: tuple[bytes, bytes]) -> None:
    """Neither stored, nor joined, nor answered from the store."""

    async def scenario() -> None:
        app = penstock.CacheMiddleware(links)
        evil = await Client(app, "/a", fields=[field]).go()
        assert "fwd=bypass" in evil.cache_status
        assert "stored" not in evil.cache_status
        good = await Client(app, "/a").go()
        assert good.body == b"http://example.com/a"
        assert "stored" in good.cache_status
        for _ in range(2):
            assert "fwd=bypass" in (await Client(app, "/a", fields=[field]).go()).cache_status
            again = await Client(app, "/a").go()
            assert again.body == b"http://example.com/a"
            assert "hit" in again.cache_status

    run_virtual(scenario())


def test_trusted_fields_are_the_key() -> None:
    """Behind a proxy of ours, the public scheme and host tell responses apart, and name them to purge."""

    async def scenario() -> None:
        app = penstock.CacheMiddleware(links, trust_forwarded=True)

        async def get(host: bytes, proto: bytes, *more: tuple[bytes, bytes]) -> Client:
            fields = [(b"x-forwarded-host", host), (b"x-forwarded-proto", proto), *more]
            return await Client(app, "/a", host=b"internal:8000", fields=fields).go()

        for host, proto in [(b"a.example", b"https"), (b"a.example", b"http"), (b"b.example", b"https")]:
            for expected in ("stored", "hit", "hit"):
                answer = await get(host, proto, (b"x-forwarded-for", b"192.0.2.7"))
                assert answer.body == b"%b://%b/a" % (proto, host)
                assert expected in answer.cache_status
        assert app.purge_url("https://a.example/a") == 1
        assert "stored" in (await get(b"a.example", b"https")).cache_status
        assert "hit" in (await get(b"a.example", b"http")).cache_status

    run_virtual(scenario())


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x-forwarded-proto", b"https, http")],
        [(b"x-forwarded-proto", b"https"), (b"x-forwarded-scheme", b"http")],
        [(b"x-forwarded-proto", b"https"), (b"x-forwarded-ssl", b"off")],
        [(b"x-forwarded-host", b"a.example, b.example")],
        [(b"x-forwarded-host", b"a.example:81"), (b"x-forwarded-port", b"82")],
        [(b"x-forwarded-port", b"x")],
        [(b"forwarded", b"for=192.0.2.1;host=a.example")],
        [(b"x-original-url", b"/b")],
    ],
)
def test_trusted_fields_that_contradict_themselves_are_not_cached(fields: list[tuple[bytes, bytes]]) -> None:
    """Which one the app believes is not for us to guess."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site, trust_forwarded=True)
        for _ in range(2):
            answer = await Client(app, fields=fields).go()
            assert answer.status == 200
            assert "hit" not in answer.cache_status
            assert "stored" not in answer.cache_status

    run_virtual(scenario())
    assert site.calls == 2


def test_it_is_said_once_why_nothing_is_cached(caplog: pytest.LogCaptureFixture) -> None:
    """Behind a proxy that sets the fields, one would wonder."""

    async def scenario() -> None:
        app = penstock.CacheMiddleware(Site())
        for _ in range(3):
            await Client(app, fields=[(b"x-forwarded-proto", b"https")]).go()

    with caplog.at_level(logging.WARNING, "penstock.cache"):
        run_virtual(scenario())
    assert len(caplog.records) == 1
    assert "trust_forwarded=True" in caplog.text


@pytest.mark.parametrize(
    "other",
    [
        {"host": None},
        {"fields": [(b"host", b"b.example")]},
        {"host": b""},
        {"host": b"a b"},
        {"host": b"user@example.com"},
        {"path": "/a#b", "raw_path": b"/a#b"},
        {"query_string": b"a#b"},
        {"path": "/" + "a" * 9000, "raw_path": b"/" + b"a" * 9000},
        {"fields": [(b"x-%d" % n, b"") for n in range(120)]},
        {"scheme": "ftp"},
        {"fields": [(b"content-length", b"3")], "body": [b"abc"]},
        {"fields": [(b"transfer-encoding", b"chunked")], "body": [b"abc"]},
        {"fields": [(b"upgrade", b"h2c")]},
        {"fields": [(b"if-match", b'"1"')]},
    ],
)
def test_a_request_that_is_not_plain_is_the_apps(other: dict[str, Any]) -> None:
    """It arrives as it came: the same scope, the same channels; and is neither stored nor answered from the store."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        await Client(app).go()
        for _ in range(2):
            client = Client(app, **other)
            await client.go()
            assert site.scopes[-1] is client.scope
            assert client.status == 200
            assert "hit" not in client.cache_status
            assert "stored" not in client.cache_status

    run_virtual(scenario())
    assert site.calls == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "get"])
def test_success_of_an_unsafe_method_removes_what_it_makes_untrue(method: str) -> None:
    """RFC 9111, 4.4: the URL itself, and what Location and Content-Location name on the same origin."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"cache-control", b"max-age=60")]
        if scope["method"] != "GET":
            fields = [(b"Location", b"/b"), (b"content-location", b"http://other.example/c")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b""})

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        urls = [("/a", b"example.com"), ("/b", b"example.com"), ("/d", b"example.com"), ("/c", b"other.example")]
        for target, host in urls * 2:
            await Client(cached, target, host=host).go()
        await Client(cached, "/a", method=method).go()
        hits = ["hit" in (await Client(cached, target, host=host).go()).cache_status for target, host in urls]
        assert hits == [False, False, True, True]
        assert cached.counters.invalidated == 2

    run_virtual(scenario())


@pytest.mark.parametrize(("method", "status"), [("POST", 500), ("POST", 404), ("OPTIONS", 200), ("QUERY", 200)])
def test_failure_or_a_safe_method_removes_nothing(method: str, status: int) -> None:
    """A form that was refused has changed nothing."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        await Client(app).go()
        site.status = status
        await Client(app, method=method).go()
        assert "hit" in (await Client(app).go()).cache_status

    run_virtual(scenario())


def test_the_body_of_a_request_is_the_apps_to_read() -> None:
    """In its pieces, with the disconnect after it."""
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        got.append(await receive())

    async def scenario() -> None:
        client = Client(penstock.CacheMiddleware(app), method="POST", body=[b"a", b"b"])
        client.on_send = lambda message: client.gone.set() if message["type"] == "http.response.body" else None
        await client.go()

    run_virtual(scenario())
    assert [(m["type"], m.get("body")) for m in got] == [
        ("http.request", b"a"),
        ("http.request", b"b"),
        ("http.disconnect", None),
    ]


def test_what_was_not_storable_goes_straight_until_it_is() -> None:
    """Hit-for-miss; and an answer that could be stored ends that, so the next one is."""
    site = Site(fields=[(b"cache-control", b"no-store")])

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        await Client(app).go()
        client = await Client(app).go()
        assert site.scopes[-1] is client.scope
        assert client.cache_status == "penstock; fwd=miss; detail=no-store"
        site.fields = [(b"cache-control", b"max-age=60")]
        assert "stored" not in (await Client(app).go()).cache_status
        assert "stored" in (await Client(app).go()).cache_status
        assert "hit" in (await Client(app).go()).cache_status

    run_virtual(scenario())


def test_other_scopes_are_untouched() -> None:
    """A WebSocket is none of our business."""
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    async def scenario() -> None:
        scope = {"type": "websocket"}
        channels = (scope, asyncio.sleep, asyncio.sleep)
        await penstock.CacheMiddleware(app)(*channels)  # type: ignore[arg-type]
        assert all(a is b for a, b in zip(seen, channels, strict=True))

    run_virtual(scenario())
