"""A peer that asks to wait for years: the run ends at once, fails no item and says when to come back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import penstock
from penstock import Outage, Response, Throttled
from penstock.clock import current_clock
from penstock.testing import run_virtual

YEARS = 946_080_000.0
DAY = 86_400.0
SIX_HOURS = 6 * 3600.0

Calls = Callable[[int], Awaitable[Any]]


async def drive(call: Calls, count: int, **options: Any) -> tuple[list[Any], Outage | None, float]:
    """The outcomes of a run, the Outage that ended it, and how long it took."""
    outcomes, began = [], current_clock().now()
    run: Any = penstock.run(call, range(count), **{"retry_on": "safe", "max_in_flight": 4, **options})
    async with run as engine:
        try:
            async for outcome in engine:
                outcomes.append(outcome)
        except Outage as outage:
            assert not engine.complete
            return outcomes, outage, current_clock().now() - began
        assert engine.complete
    return outcomes, None, current_clock().now() - began


def tells(after: int, answer: Callable[[], Any]) -> tuple[Calls, list[int]]:
    """A call that answers well `after` times, and then as `answer` does; and the items it was called with."""
    calls: list[int] = []

    async def call(item: int) -> Any:
        calls.append(item)
        good = len(calls) <= after
        await current_clock().sleep(0.1)
        return item if good else answer()

    return call, calls


def throttled(seconds: float) -> Callable[[], Any]:
    """The peer's word as an exception."""

    def answer() -> Any:
        raise Throttled(retry_after=seconds)

    return answer


def told(status: int, **fields: str) -> Callable[[], Any]:
    """The same as a Response."""
    return lambda: Response(status, {name.replace("_", "-"): value for name, value in fields.items()})


FAR: dict[str, Callable[[], Any]] = {
    "30 years": throttled(YEARS),
    "a second too long": throttled(SIX_HOURS + 1),
    "429 in seconds": told(429, Retry_After="946080000"),
    "503 in seconds": told(503, Retry_After="946080000"),
    "a date of a wrong year": told(429, Retry_After="Sun, 06 Nov 2094 08:49:37 GMT"),
    "too many digits": told(429, Retry_After=40 * "9"),
    "nothing left until tomorrow": told(
        200, X_RateLimit_Limit="10", X_RateLimit_Remaining="0", X_RateLimit_Reset="80000"
    ),
}


@pytest.mark.parametrize("limit", [None, "100/s"])
@pytest.mark.parametrize("what", FAR)
def test_a_wait_of_years_ends_the_run_at_once(what: str, limit: str | None) -> None:
    """Four of five items were failed as `deadline`, and whatever came after them waited for 30 years."""
    call, calls = tells(8, FAR[what])
    outcomes, outage, seconds = run_virtual(drive(call, 5000, limit=limit))
    assert outage is not None
    assert outage.until is not None
    assert outage.seconds > SIX_HOURS
    assert "UTC" in str(outage)
    assert "--forget-pause" in str(outage)
    assert all(outcome.ok for outcome in outcomes)
    assert 8 <= len(outcomes) <= 12
    assert len(calls) <= 12
    assert seconds < 2.0


@pytest.mark.parametrize(
    ("asked", "options", "ends"),
    [
        (SIX_HOURS - 1, {}, False),
        (60.0, {"max_outage": 59.0}, True),
        (60.0, {"max_outage": 61.0}, False),
        (2 * DAY, {"max_outage": 3 * DAY}, False),
        (SIX_HOURS - 1, {"max_outage": 0.0}, False),  # no host is down, but what it says is heard
        (YEARS, {"max_outage": 0.0}, True),
        (YEARS, {"max_outage": float("inf")}, False),
    ],
)
def test_what_is_below_max_outage_is_waited_for_to_the_end(asked: float, options: dict[str, float], ends: bool) -> None:
    """A Retry-After is never shortened: not by a second, where the run waits for it at all."""
    first = [True]

    async def call(item: int) -> int:
        if first:
            first.clear()
            raise Throttled(retry_after=asked)
        return item

    outcomes, outage, seconds = run_virtual(drive(call, 20, total_timeout=None, **options))
    assert (outage is not None) is ends
    if not ends:
        assert [outcome.ok for outcome in outcomes] == 20 * [True]
        assert seconds >= asked


def test_a_limiter_that_others_paused_ends_a_run_that_sends_nothing() -> None:
    """Whoever told it, those who wait learn of it: also in the middle, when all of them wait already."""

    async def main(late: bool) -> tuple[int, Outage | None]:
        call, calls = tells(10**6, lambda: None)
        limiter = penstock.RateLimiter(["1/min"])
        clock = current_clock()
        if not late:
            limiter.pause_until(clock.now() + YEARS)

        async def pause() -> None:
            await clock.sleep(90)
            limiter.pause_until(clock.now() + YEARS)

        pausing = asyncio.ensure_future(pause()) if late else None
        outcomes, outage, _ = await drive(call, 50, limit=limiter)
        if pausing is not None:
            await pausing
        assert not limiter.waiting
        assert all(outcome.ok for outcome in outcomes)
        return len(calls), outage

    for late, sent in ((False, 0), (True, 2)):
        calls, outage = run_virtual(main(late))
        assert calls == sent
        assert outage is not None


def test_a_limit_of_ten_a_day_is_no_pause() -> None:
    """Waiting for one's own limit is what was asked for, however long."""
    call, _ = tells(10**6, lambda: None)
    outcomes, outage, seconds = run_virtual(drive(call, 25, limit="10/d"))
    assert outage is None
    assert len(outcomes) == 25
    assert seconds > 2 * DAY


def test_one_key_that_is_to_wait_for_years_is_left_and_the_others_are_done() -> None:
    """With `limit_by` a refusal pauses its own key: its items have no outcome, and the end of the run says so."""
    count, calls = 6000, [0]

    async def call(item: int) -> int:
        await current_clock().sleep(0.01)
        if item % 2:
            calls[0] += 1
            raise Throttled(retry_after=YEARS)
        return item

    options = {"limit": "100/s", "limit_by": lambda item: item % 2, "max_in_flight": 20}
    outcomes, outage, seconds = run_virtual(drive(call, count, **options))
    assert outage is not None
    assert "items of 1" in str(outage)
    assert sorted(outcome.item for outcome in outcomes) == list(range(0, count, 2))
    assert all(outcome.ok for outcome in outcomes)
    assert calls[0] <= 20
    assert seconds < 60


def test_what_may_not_be_tried_again_fails_by_itself() -> None:
    """With `retry_on` "none" the item is over, as ever; the run ends all the same."""
    call, _ = tells(0, throttled(YEARS))
    outcomes, outage, _ = run_virtual(drive(call, 100, retry_on="none", max_in_flight=1))
    assert [outcome.kind for outcome in outcomes] == ["throttled"]
    assert outage is not None
