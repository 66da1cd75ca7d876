"""One limiter for several loops: who asks whom, and what is told to whom."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from penstock import RateLimiter, UsageError
from penstock.adapters.permits import Permits
from penstock.adapters.settings import private_limiter
from penstock.messages import Response
from penstock.rules.retries.verdict import Classified, Verdict

TELLS = [(b"ratelimit-limit", b"5"), (b"ratelimit-remaining", b"0"), (b"ratelimit-reset", b"30")]


@pytest.fixture
def home() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread, for the limiter to live on."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def settled(permits: Permits, home: asyncio.AbstractEventLoop) -> Permits:
    asyncio.run_coroutine_threadsafe(permits.acquire(), home).result(5)
    return permits


def heard_at(home: asyncio.AbstractEventLoop) -> None:
    """What was posted before has run when this returns."""
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), home).result(5)


def test_where_nothing_bounds_nobody_is_asked(home: asyncio.AbstractEventLoop) -> None:
    """And where something does, another loop takes nothing by itself."""
    free = settled(Permits(RateLimiter), home)
    bound = settled(Permits(lambda: RateLimiter("100/s")), home)

    async def tries() -> list[bool]:
        return [each.try_now(1e12) for each in (free, bound)]

    assert asyncio.run(tries()) == [True, False]


@pytest.mark.parametrize(
    ("response", "what"),
    [
        (Response(200, raw_headers=TELLS), None),
        (Response(429), Classified(Verdict.THROTTLED, "throttled", retry_after=30.0)),
        (Response(503), Classified(Verdict.FATAL, "http_5xx", retry_after=30.0)),
    ],
)
def test_what_one_loop_is_told_holds_for_all(
    home: asyncio.AbstractEventLoop, response: Response, what: Classified | None
) -> None:
    """Also where there is no limit yet: told limits, refusals, and a host that names a time."""
    permits = settled(Permits(RateLimiter), home)

    async def hears() -> bool:
        permits.heard(response, what, 0.0)
        await asyncio.to_thread(heard_at, home)
        return permits.try_now(permits.limiter.paused_until - 1.0)

    assert asyncio.run(hears()) is False
    assert permits.limiter.statistics().paused_for > 20


def test_one_limiter_of_another_is_refused() -> None:
    """It belongs to one loop."""
    with pytest.raises(UsageError, match="loop"):
        private_limiter(RateLimiter("1/s"))  # type: ignore[arg-type]
