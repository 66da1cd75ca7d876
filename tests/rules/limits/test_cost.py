"""Limits on costs: exact for whatever is reserved, settled, given back or late."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import RateLimiter, UsageError
from penstock.clock import current_clock
from penstock.rules.limits.cost import CostWindow
from penstock.rules.limits.rate import Limit
from penstock.testing import cancel_everywhere, run_virtual

HUNDRED = Limit(100, 10.0)


def most_cost(charges: list[tuple[float, float]], seconds: float) -> float:
    """The largest sum of costs in any half-open window; charges are (time, cost) in order of time."""
    ends = [time for time, _ in charges]
    return max((sum(c for t, c in charges if t <= end < t + seconds) for end in ends), default=0.0)


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 100), st.floats(0, 1), st.floats(0, 5)), max_size=80),
    guard=st.sampled_from([0.0, 0.1]),
)
def test_real_costs_below_the_estimates_never_exceed_the_limit(
    steps: list[tuple[float, float, float, float]], guard: float
) -> None:
    """Each call is settled some time later with a share of its estimate: no window holds more than the limit."""
    window = CostWindow(HUNDRED, guard)
    now = 0.0
    charged: list[list[float]] = []
    open_: list[tuple[float, int, float]] = []
    for wait, estimate, share, settled_after in steps:
        now += wait
        for due in sorted(each for each in open_ if each[0] <= now):
            open_.remove(due)
            _, index, actual = due
            time, reserved = charged[index]
            window.settle(reserved, actual, time, due[0])
            charged[index][1] = actual
        if window.earliest(estimate) <= now:
            window.take(now, estimate)
            charged.append([now, estimate])
            open_.append((now + settled_after, len(charged) - 1, estimate * share))
        assert most_cost([(time, cost) for time, cost in charged], 10.0) <= 100 + 1e-6


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 60), st.integers(0, 120)), max_size=60))
def test_what_was_dearer_than_estimated_is_paid_for_before_the_next_goes(steps: list[tuple[float, int, int]]) -> None:
    """At every permit, what was charged in the window before it and the new estimate are within the limit."""
    window = CostWindow(HUNDRED, 0.0)
    now = 0.0
    charges: list[tuple[float, float]] = []
    for wait, estimate, actual in steps:
        now += wait
        now = max(now, window.earliest(estimate))
        assert sum(cost for time, cost in charges if now < time + 10.0) + estimate <= 100 + 1e-6
        window.take(now, estimate)
        charges.append((now, min(estimate, actual)))
        now += 0.1
        window.settle(estimate, actual, now - 0.1, now)
        if actual > estimate:
            charges.append((now, actual - estimate))


def test_costs_are_paced_evenly() -> None:
    """A quarter of the limit each: one every quarter of the window, from the first on."""
    window = CostWindow(HUNDRED, 0.0)
    times = []
    now = 0.0
    for _ in range(6):
        now = max(now, window.earliest(25))
        window.take(now, 25)
        times.append(now)
    assert times == pytest.approx([0.0, 2.5, 5.0, 7.5, 10.0, 12.5])


def test_a_refund_moves_the_pace_too() -> None:
    """A call that turns out to cost a tenth leaves its time to the next."""
    window = CostWindow(HUNDRED, 0.0)
    window.take(0.0, 50)
    assert window.earliest(50) == pytest.approx(5.0)
    window.settle(50, 5, 0.0, 1.0)
    assert window.earliest(50) == pytest.approx(0.5)
    assert window.used(1.0) == pytest.approx(0.05)
    assert window.spent == pytest.approx(5.0)


def test_a_refund_for_what_has_left_the_window_frees_nothing() -> None:
    """An answer that takes longer than a window finds its reservation gone; nobody else's is touched."""
    window = CostWindow(HUNDRED, 0.0)
    window.take(0.0, 100)
    window.take(10.0, 100)
    window.settle(100, 0, 0.0, 11.0)
    assert window.used(11.0) == 1.0


def test_a_late_start_is_charged_when_it_happens() -> None:
    """A permit that is used two seconds late counts from then on."""
    window = CostWindow(HUNDRED, 0.0)
    window.take(0.0, 100)
    window.restamp(100, 0.0, 2.0)
    assert window.earliest(1) == 12.0


def test_many_calls_share_entries_and_stay_exact() -> None:
    """A hundred thousand calls in one window take bounded memory, and the window still holds no more."""
    window = CostWindow(Limit(100_000, 60.0), 0.0)
    for number in range(100_000):
        window.take(number * 0.0001, 1)
    assert len(window._entries) <= 65_537
    assert window.earliest(1) >= 60.0


@pytest.mark.parametrize("cost", [-1.0, math.nan, math.inf, 100.5, 101])
def test_a_cost_that_can_never_be_allowed_is_refused(cost: float) -> None:
    """Too large, below 0 or no number: a UsageError, at once."""
    with pytest.raises(UsageError):
        CostWindow(HUNDRED).earliest(cost)


@pytest.mark.parametrize("actual", [-1.0, math.nan, math.inf])
def test_an_actual_cost_that_makes_no_sense_changes_nothing(actual: float) -> None:
    """The estimate stands where the answer says nonsense."""
    window = CostWindow(HUNDRED, 0.0)
    window.take(0.0, 40)
    window.settle(40, actual, 0.0, 1.0)
    assert window.used(1.0) == pytest.approx(0.4)


def test_after_a_restart_the_window_counts_as_full() -> None:
    """Nothing goes for one window, and then evenly: what was spent before the kill is not known."""
    window = CostWindow(HUNDRED, 0.0)
    window.fill(5.0)
    assert window.earliest(1) == 15.0
    window.take(15.0, 50)
    assert window.earliest(50) == pytest.approx(20.0)
    assert window.spent == pytest.approx(50.0)


# -- in the limiter ------------------------------------------------------------------------------------------------


@given(
    costs=st.lists(st.floats(0, 30), min_size=1, max_size=40),
    cancelled=st.sets(st.integers(0, 39)),
    at=st.floats(0, 20),
    shares=st.lists(st.floats(0, 1), min_size=40, max_size=40),
)
def test_requests_and_costs_hold_together_under_cancellations(
    costs: list[float], cancelled: set[int], at: float, shares: list[float]
) -> None:
    """Both limits at once, some give up, all are settled a second later: no window is exceeded, everybody is served."""
    limiter = RateLimiter(["5/s"], guard=0.0, cost_limits=["50/5s"])
    spent: list[tuple[float, float]] = []

    async def call(number: int) -> None:
        clock = current_clock()
        await limiter.acquire(cost=costs[number])
        sent = clock.now()
        await clock.sleep(1.0)
        actual = costs[number] * shares[number]
        limiter.settle(costs[number], actual, sent, clock.now())
        spent.append((sent, actual))

    async def main() -> None:
        tasks = [asyncio.create_task(call(number)) for number in range(len(costs))]
        await current_clock().sleep(at)
        for number in cancelled & set(range(len(tasks))):
            tasks[number].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)

    run_virtual(main())
    assert most_cost(sorted(spent), 5.0) <= 50 + 1e-6
    assert limiter.waiting == 0


def test_a_dear_call_at_the_head_is_not_passed() -> None:
    """First come, first served, also by cost."""
    limiter = RateLimiter(guard=0.0, cost_limits=["100/10s"])
    order: list[int] = []

    async def ask(number: int, cost: float) -> None:
        await limiter.acquire(cost=cost)
        order.append(number)

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            for number, cost in enumerate([60, 90, 1, 1]):
                group.create_task(ask(number, cost))
        return current_clock().now()

    assert run_virtual(main()) == pytest.approx(10.0 + 9.1, abs=0.2)
    assert order == [0, 1, 2, 3]


def test_a_refund_lets_the_next_go_earlier() -> None:
    """Whoever waits is woken when a call turns out to be cheaper."""
    limiter = RateLimiter(guard=0.0, cost_limits=["100/10s"])

    async def main() -> float:
        await limiter.acquire(cost=100)
        waiting = asyncio.create_task(limiter.acquire(cost=50))
        await current_clock().sleep(1.0)
        limiter.settle(100, 10, 0.0, 1.0)
        await waiting
        return current_clock().now()

    assert run_virtual(main()) == pytest.approx(1.0, abs=0.01)


def test_cancelled_waiters_give_their_cost_back_at_every_step() -> None:
    """Cancel an acquire at any step: its cost is there for the next."""
    state: dict[str, RateLimiter] = {}

    async def ask() -> None:
        limiter = state["limiter"] = RateLimiter(guard=0.0, cost_limits=["100/10s"])
        await limiter.acquire(cost=30)
        await limiter.acquire(cost=60)

    async def check() -> None:
        limiter = state.pop("limiter", None)
        if limiter is not None:
            began = current_clock().now()
            await limiter.acquire(cost=40)
            assert current_clock().now() - began <= 10.0 + 1e-6

    assert cancel_everywhere(ask, check).cancelled >= 2
