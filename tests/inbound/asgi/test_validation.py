"""Stale responses and the app's 304."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock
from penstock.testing import run_virtual

from .clients import Client


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_304_of_the_app(confirmed: bool) -> None:
    """It freshens what is stored; one for something else has the app asked again, without a condition."""
    seen: list[bytes | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        condition = dict(scope["headers"]).get(b"if-none-match")
        seen.append(condition)
        status = 304 if condition is not None else 200
        tag = b'"1"' if confirmed or len(seen) == 1 else b'"2"'
        fields = [(b"cache-control", b"max-age=10"), (b"etag", tag)]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        body = b"" if status == 304 else b"body %d" % len(seen)
        await send({"type": "http.response.body", "body": body})

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        await Client(cached).go()
        await asyncio.sleep(20)
        answer = await Client(cached).go()
        assert (answer.status, answer.complete) == (200, True)
        assert answer.body == (b"body 1" if confirmed else b"body 3")
        assert "hit" in (await Client(cached).go()).cache_status
        assert (await Client(cached).go()).body == answer.body

    run_virtual(scenario())
    assert seen == ([None, b'"1"'] if confirmed else [None, b'"1"', None])
