"""Lifespan, loops, purges, settings, and several middlewares for one cache."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.inbound.asgi.request import Message
from penstock.testing import VirtualTimeLoop, run_virtual

from .clients import Client, Site


async def lifespan(app: Any, during: Any) -> list[str]:
    """As a server: start, `during`, stop; what the app said."""
    said: list[str] = []
    down = asyncio.Event()
    started = asyncio.Event()
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked == 1:
            return {"type": "lifespan.startup"}
        await down.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        said.append(message["type"])
        started.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(app({"type": "lifespan", "state": {}}, receive, send))
        await started.wait()
        await during()
        down.set()
    return said


class WithLifespan(Site):
    """A Site that notes when it is stopped, and works on after its answer for `rest` seconds."""

    rest = 0.0
    events: list[str]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.events.append("stopped")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await super().__call__(scope, receive, send)
        try:
            await asyncio.sleep(self.rest)
            self.events.append("rested")
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise


@pytest.mark.parametrize(("rest", "event", "until"), [(5.0, "rested", 5.0), (500.0, "cancelled", 10.0)])
def test_shutdown_waits_for_the_apps_tasks_but_not_for_ever(rest: float, event: str, until: float) -> None:
    """And only then the app closes what they use."""
    site = WithLifespan()
    site.rest = rest
    site.events = []

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site, shutdown_timeout=10.0)
        tasks = []

        async def during() -> None:
            tasks.append(asyncio.create_task(Client(app).go()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        assert await lifespan(app, during) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        await asyncio.wait(tasks)
        assert asyncio.get_running_loop().time() == pytest.approx(until)

    run_virtual(scenario())
    assert site.events == [event, "stopped"]


def test_nothing_is_left_after_shutdown() -> None:
    """Neither task nor timer; and a later request is answered all the same."""
    site = WithLifespan()
    site.events = []

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)

        async def during() -> None:
            await Client(app).go()

        await lifespan(app, during)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        assert [handle for handle in loop._scheduled if not handle.cancelled()] == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert "stored" in (await Client(app).go()).cache_status

    run_virtual(scenario())


def test_an_app_without_lifespan_says_so_itself() -> None:
    """The server is to see what it would see without us."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("only http")

    async def scenario() -> None:
        with pytest.raises(ValueError, match="only http"):
            await penstock.CacheMiddleware(app)({"type": "lifespan"}, receive, receive)  # type: ignore[arg-type]

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    run_virtual(scenario())


def test_each_loop_has_a_store_of_its_own() -> None:
    """One middleware may see several loops, one after the other (test clients) or at once (threads)."""
    site = Site()
    app = penstock.CacheMiddleware(site)

    async def scenario() -> None:
        await Client(app).go()
        assert "hit" in (await Client(app).go()).cache_status

    run_virtual(scenario())
    run_virtual(scenario())
    assert site.calls == 2
    assert len(app.cache._sites) == 1


@pytest.mark.parametrize("soft", [True, False])
def test_purge_by_tag_from_within_the_app(soft: bool) -> None:
    """Through the scope; a soft one serves what is stale while it is refreshed, where that is allowed."""
    site = Site(fields=[(b"cache-control", b"max-age=60, stale-while-revalidate=60"), (b"surrogate-key", b"a b")])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            assert scope["penstock.cache"].purge_tag("b", soft=soft) == 1
            assert scope["penstock.cache"].purge_tag("c", soft=soft) == 0
        await site(scope, receive, send)

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        await Client(cached).go()
        await Client(cached, "/other", method="POST").go()
        answer = await Client(cached).go()
        assert ("stale-while-revalidate" in answer.cache_status) == soft
        assert ("stored" in answer.cache_status) != soft
        assert cached.counters.purged == 1

    run_virtual(scenario())


def test_purge_by_url_and_of_all() -> None:
    """By the URL as clients have it."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        for target in ("/a?b=1", "/c", "/d"):
            await Client(app, target).go()
        assert app.purge_url("HTTP://example.com:80/a?b=1#part") == 1
        assert app.purge_url("https://example.com/c") == 0
        assert "stored" in (await Client(app, "/a?b=1").go()).cache_status
        assert "hit" in (await Client(app, "/c").go()).cache_status
        assert app.purge_all() == 3
        assert "stored" in (await Client(app, "/c").go()).cache_status
        for wrong in ("/c", "ftp://example.com/", "http://", "http://example.com/é", "http://a b/", "http://[/"):
            with pytest.raises(penstock.UsageError):
                app.purge_url(wrong)

    run_virtual(scenario())


def test_purge_from_a_thread_is_done_before_the_thread_is_heard_of() -> None:
    """As a synchronous endpoint does it."""
    site = Site()

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        await Client(app).go()
        await Client(app).go()
        done: list[int | None] = []
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, lambda: done.append(app.purge_all()))
        assert done == [None]
        assert "stored" in (await Client(app).go()).cache_status

    run_virtual(scenario())
    assert threading.active_count() >= 1


def test_one_cache_for_several_middlewares() -> None:
    """As Litestar needs it, which makes one for each route: what one invalidates is gone for the other."""
    cache = penstock.SharedCache(memory="1MiB")
    site = Site()
    reading = penstock.CacheMiddleware(site, cache=cache)
    writing = penstock.CacheMiddleware(Site(), cache=cache)

    async def scenario() -> None:
        await Client(reading, "/a").go()
        assert "hit" in (await Client(reading, "/a").go()).cache_status
        await Client(writing, "/a", method="POST").go()
        assert "stored" in (await Client(reading, "/a").go()).cache_status
        assert cache.counters.invalidated == 1

    run_virtual(scenario())
    assert site.calls == 2


def test_a_policy(tmp_path: Path) -> None:
    """In Python or in a file: freshness for a path whose app says nothing, parameters that are dropped, and bypass."""
    file = tmp_path / "policy.toml"
    file.write_text(
        '[[path]]\nmatch = "/s/*"\nttl = "1m"\ndrop_query = ["utm_*"]\n[[path]]\nmatch = "/b/*"\nbypass = true\n'
    )
    paths = (
        penstock.PathPolicy("/s/*", ttl=60.0, drop_query=("utm_*",)),
        penstock.PathPolicy("/b/*", bypass=True),
    )

    async def scenario(policy: Any) -> None:
        plain = Site(fields=[])
        app = penstock.CacheMiddleware(plain, policy=policy)
        await Client(app, "/s/a?x=1&utm_source=1").go()
        assert plain.scopes[0]["query_string"] == b"x=1"
        for _ in range(2):
            assert "hit" in (await Client(app, "/s/a?utm_source=2&x=1").go()).cache_status
        other = penstock.CacheMiddleware(Site(), policy=policy)
        for _ in range(2):
            assert (await Client(other, "/b/a").go()).cache_status == "penstock; fwd=bypass; detail=policy-bypass"

    run_virtual(scenario(penstock.CachePolicy(paths)))
    run_virtual(scenario(file))
    run_virtual(scenario(str(file)))


@pytest.mark.parametrize(
    "options",
    [
        {"memory": 0},
        {"memory": "lots"},
        {"memory": True},
        {"max_object": -1},
        {"profile": "unsafe"},
        {"uncacheable_ttl": -1.0},
        {"uncacheable_ttl": float("nan")},
        {"shutdown_timeout": float("inf")},
        {"max_refreshes": -1},
        {"policy": "/nowhere.toml"},
    ],
)
def test_settings_that_cannot_be_meant(options: dict[str, Any]) -> None:
    """Told at once, not at the first request."""
    with pytest.raises(penstock.UsageError):
        penstock.CacheMiddleware(Site(), **options)


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("more_body", [None, False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_server_whose_receive_never_waits(suspends: bool, more_body: bool | None, fails: bool) -> None:
    """It says again and again that there is no body. To listen on took a core, or the loop for good."""
    site = Site()
    site.delay = 5.0
    message = {"type": "http.request", "body": b""} | ({} if more_body is None else {"more_body": more_body})
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        assert asked < 1000, "it spins"
        if suspends:
            await asyncio.sleep(0)
        if fails and asked > 3:
            raise RuntimeError("no more")
        return dict(message)

    async def scenario() -> None:
        client = Client(penstock.CacheMiddleware(site))
        await client.app(client.scope, receive, client.send)
        assert client.complete
        assert client.body == b"hello"

    run_virtual(scenario())
    assert 1 < asked <= 32


def test_a_server_that_says_at_once_and_always_that_the_client_has_gone() -> None:
    """It is heard once. The app goes on, for the store."""
    site = Site()
    site.delay = 5.0
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return {"type": "http.disconnect"}

    async def scenario() -> None:
        client = Client(penstock.CacheMiddleware(site))
        await client.app(client.scope, receive, client.send)
        assert not client.messages
        await asyncio.sleep(6)
        assert "hit" in (await Client(client.app).go()).cache_status

    run_virtual(scenario())
    assert asked == 1
