"""The engine fills a limit and never exceeds it, with as many in flight as that takes."""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import AsyncIterator
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.errors import StatusError
from penstock.rules.limits.rate import default_guard, parse_limit
from penstock.testing import (
    After,
    Latency,
    ScriptedCall,
    SimulatedApi,
    cancel_everywhere,
    constant,
    lognormal,
    most_in_any_window,
    run_virtual,
    uniform,
)

from .engine_tools import PairedCall, collect, run_all


def share_used(arrivals: array[float], limit: str) -> float:
    """How much of `limit` the arrivals are, of what it allows with its guard."""
    each = parse_limit(limit)
    interval = (each.seconds + default_guard(each)) / each.count
    return (len(arrivals) - 1) * interval / (arrivals[-1] - arrivals[0])


@pytest.mark.parametrize(
    ("limit", "latency", "items"),
    [
        ("100/min", uniform(8, 30), 1000),
        ("10/s", uniform(8, 30), 2000),
        ("10/s", constant(0.001), 500),
        ("10/s", lognormal(0.5, 1.0, longest=25), 1000),
        ("600/5m", constant(29), 700),
        ("1/s", uniform(0, 3), 60),
        ("1/min", constant(0), 20),
        ("1000/s", constant(0.2), 3000),
    ],
)
def test_auto_fills_the_limit_and_never_exceeds_it(limit: str, latency: Latency, items: int) -> None:
    """From the first second to the last a strict sliding log refuses nothing, and 99 % of the limit is used."""
    api = SimulatedApi(limit, latency=latency, seed=1)
    outcomes = run_virtual(run_all(api, range(items), limit=limit))
    parsed = parse_limit(limit)
    assert sorted(outcome.position for outcome in outcomes) == list(range(items))
    assert all(outcome.ok for outcome in outcomes)
    assert api.violations == 0
    assert most_in_any_window(api.arrivals, parsed.seconds) <= parsed.count
    assert share_used(api.arrivals, limit) >= 0.99


def test_the_slow_api_of_the_story_is_kept_busy() -> None:
    """100 a minute at 8 to 30 s an answer: above 99 % of the limit itself is used, guard and all, with 32 in flight."""
    api = SimulatedApi("100/min", latency=uniform(8, 30), seed=5)

    async def main() -> float:
        await run_all(api, range(2000), limit="100/min")
        return current_clock().now()

    run_virtual(main())
    sending = api.arrivals[-1] - api.arrivals[0] + 0.6
    assert api.violations == 0
    assert len(api.arrivals) * 0.6 / sending >= 0.99
    assert 28 <= api.max_in_flight <= 50


@pytest.mark.parametrize(("workers", "share"), [(1, 0.04), (5, 0.17), (10, 0.33)])
def test_a_fixed_number_too_small_wastes_the_limit(workers: int, share: float) -> None:
    """The arithmetic that "auto" is there for: few in flight use few percent of the limit of a slow API."""
    api = SimulatedApi("100/min", latency=uniform(8, 30), seed=2)
    run_virtual(run_all(api, range(300), limit="100/min", max_in_flight=workers))
    assert share_used(api.arrivals, "100/min") < share
    assert api.max_in_flight == workers


def test_several_limits_hold_at_once() -> None:
    """Ten a second and a hundred a minute: both hold in every window, and the tighter is filled."""
    api = SimulatedApi(latency=uniform(0.1, 2))
    run_virtual(run_all(api, range(500), limit=["10/s", "100/min"]))
    assert most_in_any_window(api.arrivals, 1.0) <= 10
    assert most_in_any_window(api.arrivals, 60.0) <= 100
    assert share_used(api.arrivals, "100/min") >= 0.99


def test_retries_pay_for_the_limit_too() -> None:
    """Attempts pay, not items: with every second attempt failing the limit still holds."""
    count = 0

    def answer(item: int) -> Any:
        nonlocal count
        count += 1
        return TimeoutError() if count % 2 else item

    api = SimulatedApi("10/s", latency=uniform(0, 1), answer=lambda item: answer(item))
    outcomes = run_virtual(run_all(api, range(200), limit="10/s", retry_on="transient", max_attempts=20))
    assert all(outcome.ok for outcome in outcomes)
    assert sum(outcome.attempts for outcome in outcomes) == len(api.arrivals)
    assert api.violations == 0


@pytest.mark.parametrize("most", [1, 2, 7, 100])
@pytest.mark.parametrize("limit", [None, "50/s"])
def test_a_fixed_max_in_flight_is_filled_and_never_exceeded(most: int, limit: str | None) -> None:
    """Where the limit lets it, exactly `max_in_flight` calls are in flight, never one more."""
    api = SimulatedApi(latency=constant(10.0))
    outcomes = run_virtual(run_all(api, range(400), limit=limit, max_in_flight=most))
    assert len(outcomes) == 400
    assert api.max_in_flight == most


def test_runs_that_share_a_limiter_both_get_on() -> None:
    """Two runs under one RateLimiter keep the limit together, and neither starves the other."""

    async def main() -> tuple[array[float], list[int]]:
        api = SimulatedApi("10/s", latency=constant(0.5))
        limiter = penstock.RateLimiter(["10/s"])
        first = asyncio.create_task(run_all(api, range(100), limit=limiter))
        await current_clock().sleep(1.0)
        second = asyncio.create_task(run_all(api, range(20), limit=limiter))
        ends = []
        for task in (second, first):
            outcomes = await task
            assert all(o.ok for o in outcomes)
            ends.append(len(api.arrivals))
        assert api.violations == 0
        return api.arrivals, ends

    arrivals, ends = run_virtual(main())
    assert len(arrivals) == 120
    # The second comes when 10 of the first are out; then both get their share.
    assert ends[0] < 90


def test_stopping_one_run_leaves_the_other_its_permits() -> None:
    """stop() lets go of its own waiters only: a run that shares the limiter loses no item."""

    async def main() -> tuple[int, int]:
        api = SimulatedApi("10/s")
        limiter = penstock.RateLimiter(["10/s"])
        stopped = penstock.run(api, range(100), limit=limiter, retry_on="none")
        other = asyncio.create_task(run_all(api, range(30), limit=limiter))
        async with stopped as outcomes:
            count = 0
            async for _ in outcomes:
                count += 1
                if count == 3:
                    outcomes.stop()
        return count, len(await other)

    assert run_virtual(main())[1] == 30


def test_a_dismissed_limiter_loses_no_item() -> None:
    """Somebody else who dismisses everybody under a shared limiter makes the run ask again, not lose items."""

    async def main() -> int:
        limiter = penstock.RateLimiter(["10/s"])
        running = asyncio.create_task(run_all(SimulatedApi("10/s"), range(30), limit=limiter))
        for _ in range(10):
            await current_clock().sleep(0.15)
            limiter.dismiss()
        return len(await running)

    assert run_virtual(main()) == 30


def test_slow_handshakes_do_not_hold_up_the_limit() -> None:
    """Connections that take a second each are opened side by side, so that the limit is filled all the same."""
    arrivals = array("d")

    async def connect(item: int) -> None:
        await current_clock().sleep(1.0)

    async def answer(item: int) -> int:
        arrivals.append(current_clock().now())
        await current_clock().sleep(2.0)
        return item

    call = PairedCall(connect, answer)
    outcomes = run_virtual(run_all(call, range(300), limit="10/s"))
    assert len(outcomes) == 300
    assert call.open == 0
    assert most_in_any_window(arrivals, 1.0) <= 10
    assert share_used(arrivals[50:], "10/s") >= 0.98


@pytest.mark.parametrize("ending", ["complete", "stop", "break", "error"])
def test_what_is_prepared_is_sent_or_released(ending: str) -> None:
    """However a run ends, every prepared call was sent or given back, once."""

    async def connect(item: int) -> None:
        await current_clock().sleep(0.2)
        if item % 7 == 3:
            raise penstock.ConnectError("refused")

    async def answer(item: int) -> int:
        await current_clock().sleep(0.5)
        if item % 5 == 2:
            raise penstock.ConnectionLost("reset")
        return item

    call = PairedCall(connect, answer)

    async def main() -> None:
        count = 0
        engine = penstock.run(call, range(60), retry_on="transient", limit="20/s", max_in_flight=5, max_attempts=3)
        async with engine as outcomes:
            async for _ in outcomes:
                count += 1
                if count == 20 and ending == "stop":
                    outcomes.stop()
                if count == 20 and ending == "break":
                    break
                if count == 20 and ending == "error":
                    raise LookupError
        assert ending != "complete" or count == 60

    try:
        run_virtual(main())
    except LookupError:
        assert ending == "error"
    assert call.prepared > 20
    assert call.open == 0
    assert call.in_flight == 0


def test_what_is_prepared_is_released_wherever_the_run_is_cancelled() -> None:
    """Cancel at every step: connections that were opened for a send are given back."""
    calls: list[PairedCall] = []

    async def connect(item: int) -> None:
        await current_clock().sleep(0.1)

    async def answer(item: int) -> int:
        await current_clock().sleep(0.3)
        return item

    async def run() -> None:
        call = PairedCall(connect, answer)
        calls.append(call)
        await collect(penstock.run(call, range(5), retry_on="none", limit="5/s", max_in_flight=3))

    def check() -> None:
        assert all(call.open == 0 and call.in_flight == 0 for call in calls)

    assert cancel_everywhere(run, check).cancelled > 10


def test_a_call_that_says_it_is_ready_is_sent_at_once() -> None:
    """Where `ready` says that an open connection is there, nothing is prepared."""

    class Ready(PairedCall):
        def ready(self, item: int) -> bool:
            return item % 2 == 0

        async def __call__(self, item: int) -> int:
            return item

    async def nothing(item: int) -> int:
        return item

    call = Ready(nothing, nothing)
    outcomes = run_virtual(run_all(call, range(20), max_in_flight=3))
    assert all(outcome.ok for outcome in outcomes)
    assert call.prepared == call.sent == 10


def test_overload_brings_the_flight_down_and_calm_up_again() -> None:
    """While most calls time out "auto" has fewer and fewer in flight; when they succeed it grows back."""
    api_down = True

    async def call(item: int) -> int:
        await current_clock().sleep(1.0)
        if api_down:
            raise penstock.AttemptTimeout("overloaded")
        return item

    async def main() -> tuple[int, int]:
        nonlocal api_down
        engine = penstock.run(call, iter(int, 1), retry_on="none")
        async with engine as outcomes:
            count = 0
            low = high = 0
            async for _ in outcomes:
                count += 1
                if count == 2000:
                    low = outcomes.counters.in_flight
                    api_down = False
                if count == 6000:
                    high = outcomes.counters.in_flight
                    break
        return low, high

    low, high = run_virtual(main())
    assert low <= 4
    assert high >= 28


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_items() -> None:
    """Slots, queues and counters do not grow with the number of items."""
    import tracemalloc

    async def echo(item: int) -> int:
        return item

    async def main() -> tuple[int, int]:
        early = 0
        async with penstock.run(echo, range(200_000), retry_on="none") as outcomes:
            count = 0
            async for _ in outcomes:
                count += 1
                if count == 10_000:
                    tracemalloc.start()
                elif count == 20_000:
                    early = tracemalloc.get_traced_memory()[0]
                    tracemalloc.stop()
                elif count == 190_000:
                    tracemalloc.start()
        late = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return early, late

    early, late = run_virtual(main())
    assert late < early + 2_000_000
    assert late < 3_000_000


def test_scripted_order_is_kept_with_one_in_flight() -> None:
    """With one in flight, items are sent in the order of the source."""
    call = ScriptedCall([After(0.1, None)], repeat_last=True)
    run_virtual(run_all(call, range(50), max_in_flight=1))
    assert call.requests == list(range(50))


@pytest.mark.parametrize("seed", range(5))
def test_who_waited_for_a_pause_connects_before_the_permit_and_not_after(seed: int) -> None:
    """Handshakes of 20 to 500 ms and a 429 now and then: no window above the limit, no send inside a Retry-After."""
    chance = random.Random(seed)
    sends: list[float] = []
    pauses: list[tuple[float, float]] = []

    async def opens(item: int) -> None:
        await asyncio.sleep(chance.uniform(0.02, 0.5))

    async def answer(item: int) -> int:
        sends.append(current_clock().now())
        await asyncio.sleep(0.1)
        if chance.random() < 0.05:
            now = current_clock().now()
            pauses.append((now, now + 2.0))
            raise StatusError(status=429, retry_after=2.0)
        return item

    call = PairedCall(opens, answer)
    outcomes = run_virtual(run_all(call, range(300), limit="20/s", retry_on="safe"))
    assert all(outcome.ok for outcome in outcomes)
    assert call.open == 0
    assert most_in_any_window(sends, 1.0) <= 20
    assert not [time for time in sends if any(begin + 1e-6 < time < end - 1e-6 for begin, end in pauses)]


def test_a_permit_of_an_item_whose_time_is_over_does_not_stop_the_others() -> None:
    """After a long pause it was the probe's: nobody answered it, and all waited ten seconds."""
    sends: list[float] = []

    async def call(item: int) -> int:
        now = current_clock().now()
        sends.append(now)
        if item == 1:
            await asyncio.sleep(4.0)
            raise StatusError(status=429, retry_after=15.0)
        if now < 6.0:
            await asyncio.sleep(0.01)
            raise StatusError(status=503)
        return item

    async def items() -> AsyncIterator[int]:
        for item in range(34):
            if item == 4:
                await asyncio.sleep(10.0)
            yield item

    options: dict[str, Any] = {"retry_on": "transient", "total_timeout": 12.0, "retry_budget": None, "max_outage": 0}
    run_virtual(run_all(call, items(), limit="1/s", **options))
    assert next(time for time in sends if time > 10.0) == pytest.approx(20.0, abs=0.1)
