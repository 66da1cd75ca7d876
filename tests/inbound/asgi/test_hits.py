"""What is answered from the store, and what a request has to be like for that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.rules.caching.http_date import format_http_date
from penstock.testing import run_virtual

from .clients import Client, Site


def test_a_stored_response_is_answered_without_the_app() -> None:
    """Same status, fields and body, with Age and Cache-Status."""
    site = Site(b"one", b"two", fields=[(b"Cache-Control", b"max-age=60"), (b"x-own", b"1")])

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        first = await Client(app, "/a?b=1").go()
        assert (first.status, first.body, first.complete) == (200, b"onetwo", True)
        assert first.cache_status == "penstock; fwd=uri-miss; stored"
        await asyncio.sleep(5)
        second = await Client(app, "/a?b=1").go()
        assert (second.status, second.body, second.complete) == (200, b"onetwo", True)
        assert second.cache_status == "penstock; hit; ttl=55"
        assert second.fields[b"age"] == b"5"
        assert second.fields[b"content-length"] == b"6"
        assert second.fields[b"x-own"] == b"1"
        assert app.counters.hits == 1

    run_virtual(scenario())
    assert site.calls == 1


@pytest.mark.parametrize(("targeted", "stored"), [((b"cdn-cache-control",), True), ((), False)])
def test_a_cache_behind_a_cdn_can_leave_its_field_alone(targeted: tuple[bytes, ...], stored: bool) -> None:
    """`CDN-Cache-Control` was obeyed always, by the cache of the app too, which is not the CDN that it names."""
    site = Site(fields=[(b"cache-control", b"no-store"), (b"cdn-cache-control", b"max-age=60")])

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site, options=penstock.CacheOptions(targeted=targeted))
        await Client(app).go()
        answer = await Client(app).go()
        assert ("hit" in answer.cache_status) == stored
        assert answer.fields[b"cdn-cache-control"] == b"max-age=60", "the CDN gets it in any case"

    run_virtual(scenario())


def test_head_is_answered_from_a_stored_get() -> None:
    """With the length, without the body."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        await Client(app).go()
        head = await Client(app, method="HEAD").go()
        assert (head.body, head.fields[b"content-length"], head.complete) == (b"", b"5", True)
        assert "hit" in head.cache_status

    run_virtual(scenario())
    assert site.calls == 1


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({"target": "/a?b=2"}, False),
        ({"target": "/A?b=1"}, False),
        ({"host": b"other.example"}, False),
        ({"host": b"EXAMPLE.com:80"}, True),
        ({"scheme": "https"}, False),
        ({"fields": [(b"x-other", b"1")]}, True),
        ({"fields": [(b"x-forwarded-for", b"198.51.100.1")]}, True),
    ],
)
def test_the_key(other: dict[str, Any], shared: bool) -> None:
    """Scheme, host in its normal form, raw path and query; nothing else."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        await Client(app, "/a?b=1").go()
        answer = await Client(app, **({"target": "/a?b=1"} | other)).go()
        assert ("hit" in answer.cache_status) == shared

    run_virtual(scenario())
    assert site.calls == 2 - shared


def test_conditions_of_a_client_do_not_reach_the_app_but_are_answered() -> None:
    """A shared answer must not depend on what one client has."""
    site = Site(fields=[(b"cache-control", b"max-age=60"), (b"etag", b'"1"')])

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        answer = await Client(app, fields=[(b"if-none-match", b'"1"')]).go()
        assert (answer.status, answer.body, answer.complete) == (304, b"", True)
        assert (await Client(app).go()).body == b"hello"

    run_virtual(scenario())
    assert site.calls == 1
    assert b"if-none-match" not in dict(site.scopes[0]["headers"])


def test_fifty_requests_at_once_are_one_to_the_app() -> None:
    """Everybody has the answer while it comes."""
    site = Site(*[b"%d," % n for n in range(20)])
    site.pace = 1.0

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        clients = [Client(app) for _ in range(50)]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.go())
            await asyncio.sleep(5.5)
            assert {client.body for client in clients} == {b"0,1,2,3,4,"}
        assert {client.body for client in clients} == {b"".join(site.chunks)}
        assert all(client.complete for client in clients)
        assert sum("collapsed" in client.cache_status for client in clients) == 49

    run_virtual(scenario())
    assert site.calls == 1


def test_an_app_that_says_an_old_date_is_cached_and_that_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Its Date is its clock: the age of its answers is counted by ours."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        for target in ("/a", "/b", "/a"):
            site.fields = [
                (b"cache-control", b"max-age=60"),
                (b"date", format_http_date(current_clock().wall() - 120)),
            ]
            last = await Client(app, target).go()
            await asyncio.sleep(2)
        assert last.cache_status == "penstock; hit; ttl=56"

    run_virtual(scenario())
    assert [record.getMessage() for record in caplog.records] == ["the app's clock is 120 s behind ours"]
