"""Hit-for-miss in the middleware: what could not be stored is remembered until an answer that could be comes by."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock
from penstock.inbound.asgi.shared_cache import SharedCache
from penstock.testing import run_virtual

from .clients import Client, Field, Site

LIFETIME = (b"cache-control", b"max-age=10")
LARGE = [b"x" * 500_000] * 4
CASES: dict[str, tuple[list[bytes], list[Field], str]] = {
    "too large, and says so": (LARGE, [LIFETIME, (b"content-length", b"2000000")], "too-large"),
    "too large, and does not say so": (LARGE, [LIFETIME], "too-large"),
    "a stream of events": ([b"data: 1\n\n"], [LIFETIME, (b"content-type", b"text/event-stream")], "event-stream"),
    "too many tags": ([b"x"], [LIFETIME, (b"cache-tag", b",".join(b"%d" % n for n in range(200)))], "too-many-tags"),
    "private": ([b"x"], [(b"cache-control", b"max-age=10, private")], "private"),
}


def cached(app: Any) -> penstock.CacheMiddleware:
    return penstock.CacheMiddleware(app, cache=SharedCache(max_object="1MiB"))


def forwarded(client: Client) -> str:
    return client.cache_status.removeprefix("penstock; fwd=")


@pytest.mark.parametrize(("chunks", "fields", "reason"), CASES.values(), ids=CASES)
def test_a_refusal_is_not_forgotten_by_what_is_refused_again(
    chunks: list[bytes], fields: list[Field], reason: str
) -> None:
    """Each second request forgot it, so each second wave of clients waited for one answer that was not for all."""

    async def scenario() -> None:
        app = cached(Site(*chunks, fields=fields))
        answers = [await Client(app).go() for _ in range(8)]
        assert all(answer.complete and answer.body == b"".join(chunks) for answer in answers)
        assert forwarded(answers[0]) == f"uri-miss; detail={reason}"
        assert [forwarded(answer) for answer in answers[1:]] == [f"miss; detail={reason}"] * 7
        assert app.counters.uncacheable == {reason: 1}

    run_virtual(scenario())


def test_later_waves_do_not_wait_for_one_another() -> None:
    """What the flapping cost: the second half of each odd wave came after twice the time."""

    async def scenario() -> None:
        site = Site(*LARGE, fields=[LIFETIME, (b"content-length", b"2000000")])
        site.delay = 1.0
        app = cached(site)
        loop = asyncio.get_running_loop()
        took = []
        for _ in range(4):
            began = loop.time()
            await asyncio.gather(*(Client(app).go() for _ in range(5)))
            took.append(round(loop.time() - began))
        assert took[1:] == [1, 1, 1]

    run_virtual(scenario())


@pytest.mark.parametrize("sized", [True, False])
def test_an_answer_that_could_be_stored_makes_the_next_one_stored(sized: bool) -> None:
    """The refusal is forgotten at the head where that says how long the body is, else at its end."""

    async def scenario() -> None:
        site = Site(*LARGE, fields=[LIFETIME])
        app = cached(site)
        assert forwarded(await Client(app).go()).startswith("uri-miss")
        site.chunks = [b"small", b"er"]
        site.fields = [LIFETIME, (b"content-length", b"7")] if sized else [LIFETIME]
        assert [forwarded(await Client(app).go()) for _ in range(2)] == ["miss; detail=too-large", "uri-miss; stored"]
        assert "hit" in (await Client(app).go()).cache_status

    run_virtual(scenario())


def test_an_answer_without_an_end_forgets_nothing() -> None:
    """It has neither a length nor an end that would tell it: nobody has to wait for it."""

    async def scenario() -> None:
        calls = 0

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            nonlocal calls
            calls += 1
            await send({"type": "http.response.start", "status": 200, "headers": [LIFETIME]})
            await send(
                {"type": "http.response.body", "body": b"x" * (5 if calls > 1 else 2_000_000), "more_body": calls > 1}
            )

        middleware = cached(app)
        assert [forwarded(await Client(middleware).go()) for _ in range(4)] == [
            "uri-miss; detail=too-large",
            *["miss; detail=too-large"] * 3,
        ]

    run_virtual(scenario())


def test_a_policy_drops_parameters_of_unsafe_requests_too() -> None:
    """What POST to a URL makes untrue is stored under the key without them, as it is in the proxy."""

    async def scenario() -> None:
        policy = penstock.CachePolicy((penstock.PathPolicy("/*", drop_query=("utm_*",)),))
        app = penstock.CacheMiddleware(Site(b"x"), policy=policy)
        await Client(app, "/a").go()
        assert "hit" in (await Client(app, "/a?utm_source=b").go()).cache_status
        await Client(app, "/a?utm_source=b", method="POST", body=[b"x"]).go()
        assert "fwd=uri-miss" in (await Client(app, "/a").go()).cache_status

    run_virtual(scenario())


def test_a_bypassed_path_is_bypassed_for_every_method() -> None:
    """As in the proxy: the policy is asked first."""

    async def scenario() -> None:
        policy = penstock.CachePolicy((penstock.PathPolicy("/*", bypass=True),))
        app = penstock.CacheMiddleware(Site(b"x"), policy=policy)
        for method in ("GET", "HEAD", "POST"):
            assert forwarded(await Client(app, method=method).go()).startswith("bypass; detail=")

    run_virtual(scenario())
