"""Limits and refusals as a real server tells them, over real sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import penstock
import penstock.testing
from penstock import Client, RateLimiter, Request
from penstock.testing import FaultServer, Reply, ServedRequest, SlidingLog

pytestmark = pytest.mark.real


def carry_out(server: FaultServer, items: int, **options: Any) -> None:
    """A run of GETs against `server`; every item must succeed."""

    async def main() -> None:
        async with asyncio.timeout(30), server, Client() as client:
            requests = [Request("GET", f"{server.url}/{number}") for number in range(items)]
            async with penstock.run(client, requests, retry_on="safe", **options) as outcomes:
                kinds = [outcome.kind async for outcome in outcomes]
        assert kinds == [""] * items

    asyncio.run(main())


def test_one_429_stops_everything_until_it_ends_and_then_one_call_goes_ahead() -> None:
    """After the refusal only what was under way arrives; after the pause one call, and the rest with its answer."""
    arrivals: list[float] = []
    refused_at: list[float] = []

    def respond(request: ServedRequest) -> Reply:
        arrivals.append(time.monotonic())
        if len(arrivals) < 30 or refused_at:
            return Reply(body=b"{}")
        refused_at.append(arrivals[-1])
        return Reply(status=429, headers={"Retry-After": "1"})

    latency = penstock.testing.constant(0.05)
    carry_out(FaultServer(respond=respond, latency=latency), 100, limit="200/s", max_in_flight=10)
    after = [when - refused_at[0] for when in arrivals if when > refused_at[0]]
    late = [when for when in after if when >= 1.0]
    # Under way when it was refused, or sent before the refusal had come back.
    assert len(after) - len(late) <= 10
    assert all(when < 0.5 for when in after if when < 1.0)
    # Its answer takes 50 ms; nobody goes before it.
    assert late[1] - late[0] >= 0.045


@pytest.mark.parametrize("limit", [None, "auto", "2000/s"])
def test_a_policy_that_is_told_is_kept_without_a_refusal(limit: str | None) -> None:
    """A strict server tells 60 in a second; whoever has no limit of his own, or a looser one, is never refused."""
    server_limit = SlidingLog(60, 1.0)
    refused = 0

    def respond(request: ServedRequest) -> Reply:
        nonlocal refused
        headers = {"RateLimit-Policy": '"default";q=60;w=1'}
        wait = server_limit.arrive(time.monotonic())
        if wait is None:
            return Reply(body=b"{}", headers=headers)
        refused += 1
        return Reply(status=429, headers={**headers, "Retry-After": "1"})

    # With a wide guard, since a busy machine delays one call more than the other.
    limiter = RateLimiter([limit] if limit == "2000/s" else [], guard=0.2, follow_server=limit == "auto")
    carry_out(FaultServer(respond=respond), 150, limit=limiter, max_in_flight=8)
    assert refused == 0
