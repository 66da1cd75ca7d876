"""The limiter and what the peer says: refusals, probes, policies and quotas. Nothing of it loosens a limit."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import RateLimiter, UsageError
from penstock.clock import current_clock
from penstock.rules.limits.probe import PROBE_SECONDS
from penstock.rules.limits.rate import Limit
from penstock.rules.limits.ratelimit_headers import ToldLimit
from penstock.rules.limits.told_limits import LONGEST_RESET, MOST_POLICIES
from penstock.testing import cancel_everywhere, most_in_any_window, run_virtual


async def sends_of(limiter: RateLimiter, count: int) -> list[float]:
    """The times at which `count` permits come, all asked for at once."""
    times: list[float] = []

    async def ask() -> None:
        await limiter.acquire()
        times.append(current_clock().now())

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(ask())
    return times


# -- refusals and probes -------------------------------------------------------------------------------------------


def test_after_a_refusal_one_call_goes_ahead_and_the_rest_follows_its_answer() -> None:
    """No permit in the pause, one at its end, the others when it was answered, and then at the limit's pace."""
    limiter = RateLimiter(["10/s"], guard=0.0)

    async def main() -> list[float]:
        limiter.throttled(5.0, 0.0, 0.5)
        asking = asyncio.create_task(sends_of(limiter, 5))
        await current_clock().sleep(5.5)
        limiter.answered(sent=4.0)
        await current_clock().sleep(1.5)
        limiter.answered(sent=5.0)
        return await asking

    assert run_virtual(main()) == pytest.approx([5.0, 7.0, 7.1, 7.2, 7.3], abs=0.005)


def test_a_probe_that_is_never_answered_holds_the_others_for_a_bounded_time() -> None:
    """A server that hangs after its refusal does not hang the run."""
    limiter = RateLimiter(["10/s"], guard=0.0)
    limiter.throttled(5.0, 0.0, 0.5)
    times = run_virtual(sends_of(limiter, 2))
    assert times == pytest.approx([5.0, 5.0 + PROBE_SECONDS], abs=0.005)


def test_a_probe_that_is_refused_is_followed_by_another() -> None:
    """Each pause ends with one call; none of the others is wasted."""
    limiter = RateLimiter(["10/s"], guard=0.0)

    async def main() -> list[float]:
        limiter.throttled(1.0, 0.0, 0.5)
        asking = asyncio.create_task(sends_of(limiter, 4))
        for _ in range(3):
            await current_clock().sleep(1.01)
            limiter.throttled(1.0, current_clock().now(), 0.5)
        await current_clock().sleep(1.01)
        limiter.answered(current_clock().now())
        return await asking

    times = run_virtual(main())
    assert times == pytest.approx([1.0, 2.01, 3.02, 4.03], abs=0.005)


def test_answers_of_every_kind_end_a_probe_but_only_good_ones_end_an_episode() -> None:
    """An error of the peer's is an answer too; the next refusal without Retry-After waits longer all the same."""
    limiter = RateLimiter(["10/s"], guard=0.0)

    async def main() -> tuple[float, float]:
        pauses = []
        for _ in range(2):
            began = current_clock().now()
            limiter.throttled(None, began, 0.999)
            pauses.append(limiter.paused_until - began)
            await limiter.acquire()
            limiter.answered(current_clock().now(), good=False)
            assert limiter.try_acquire(current_clock().now() + 0.2)
        return pauses[0], pauses[1]

    first, second = run_virtual(main())
    assert second > 1.5 * first


def test_a_refusal_without_a_time_hardly_pauses_where_there_is_a_pace() -> None:
    """A rate that is felt for has its own answer to a refusal."""

    class Even:
        def earliest(self) -> float:
            return -math.inf

        def take(self, now: float) -> None:
            pass

    limiter = RateLimiter()
    limiter.pace = Even()
    limiter.throttled(None, 10.0, 0.999)
    assert limiter.paused_until == pytest.approx(10.05)
    limiter.throttled(3.0, 10.0, 0.999)
    assert limiter.paused_until == 13.0


def test_a_pace_holds_back_and_is_told_of_every_send() -> None:
    """With limits or without, nothing goes before the pace allows it."""

    class EverySecond:
        def __init__(self) -> None:
            self.next = 2.0

        def earliest(self) -> float:
            return self.next

        def take(self, now: float) -> None:
            self.next = now + 1.0

    for limits in ([], ["10/s"], ["10/s", "100/min"]):
        limiter = RateLimiter(limits, guard=0.0)
        limiter.pace = EverySecond()
        assert run_virtual(sends_of(limiter, 3)) == pytest.approx([2.0, 3.0, 4.0], abs=0.01)
        limiter.pace = None
        assert limiter.try_acquire(1000.0)


def test_cancelled_probes_leave_the_way_free_at_every_step() -> None:
    """Cancel those who wait after a refusal at any step: whoever comes next is the probe, and is let through."""
    state: dict[str, Any] = {}

    async def ask() -> None:
        limiter = state["limiter"] = RateLimiter(["10/s"], guard=0.0)
        limiter.throttled(1.0, current_clock().now(), 0.5)
        await limiter.acquire()
        limiter.answered(current_clock().now())
        await limiter.acquire()

    async def check() -> None:
        limiter = state.pop("limiter", None)
        if limiter is not None:
            began = current_clock().now()
            await limiter.acquire()
            assert current_clock().now() - began <= 1.0 + 1e-6

    assert cancel_everywhere(ask, check).cancelled >= 2


# -- what is told ------------------------------------------------------------------------------------------------------


def test_a_policy_bounds_every_window_also_over_what_was_sent_before() -> None:
    """Sends before the policy was known count, at their own times."""

    async def main() -> list[float]:
        limiter = RateLimiter(["100/s"], guard=0.0)
        times = await sends_of(limiter, 30)
        limiter.advise([ToldLimit("a", 40, 1.0)], times[-1], times[0])
        assert limiter.statistics().told == ("40/s",)
        return times + await sends_of(limiter, 100)

    times = run_virtual(main())
    assert most_in_any_window(times, 1.0) == 40
    assert times[-1] - times[29] == pytest.approx(100 / 40, abs=0.4)


def test_a_policy_no_stricter_than_ours_changes_nothing() -> None:
    """The shortest way to a permit stays open where the user's own limit already keeps the policy."""
    limiter = RateLimiter(["100/min"], guard=0.0)
    limiter.advise([ToldLimit("a", 100, 60.0, 99, 60.0), ToldLimit("b", 500, 30.0)], 0.0)
    assert limiter.statistics().told == ()
    assert run_virtual(sends_of(limiter, 3)) == pytest.approx([0.0, 0.6, 1.2], abs=0.005)


def test_nothing_left_is_a_pause_until_the_reset() -> None:
    """No permit until the quota begins anew; the statistics say who asked for it."""

    async def main() -> list[float]:
        limiter = RateLimiter(["10/s"], guard=0.0)
        await limiter.acquire()
        limiter.advise([ToldLimit("", 1000, None, 0, 30.0)], 0.0, 0.0)
        assert limiter.statistics().used_up
        assert limiter.statistics().paused_for == pytest.approx(30.0)
        return await sends_of(limiter, 2)

    assert run_virtual(main())[0] == pytest.approx(30.0, abs=0.005)


def test_what_is_left_is_spread_until_the_reset() -> None:
    """Ten left for twenty seconds: one every two seconds, although the limit would allow ten a second."""

    async def main() -> list[float]:
        limiter = RateLimiter(["10/s"], guard=0.0)
        limiter.advise([ToldLimit("", 1000, None, 10, 20.0)], 0.0, 0.0)
        return await sends_of(limiter, 10)

    assert run_virtual(main()) == pytest.approx([2.0 * number for number in range(10)], abs=0.01)


def test_a_quota_of_a_day_is_not_spread_over_the_day() -> None:
    """A thousand calls under a quota of 10,000 a day go at the usual pace; when it is used up, they wait."""

    async def main() -> list[float]:
        limiter = RateLimiter(["10/s"], guard=0.0)
        limiter.advise([ToldLimit("", 10_000, 86_400.0, 5, 80_000.0)], 0.0, 0.0)
        return await sends_of(limiter, 6)

    times = run_virtual(main())
    assert times[:5] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=0.005)
    assert times[5] == pytest.approx(80_000.0, abs=0.5)


def test_a_reset_in_the_far_future_is_not_believed_and_said_once() -> None:
    """Nobody waits for a month because of a number in a header."""
    limiter = RateLimiter(["10/s"])
    for _ in range(3):
        limiter.advise([ToldLimit("", 100, None, 0, LONGEST_RESET + 1)], 0.0)
    assert limiter.paused_until == -math.inf
    assert list(limiter.disbelieved) == ["a reset in 86401 s"]


def test_a_weight_above_a_told_limit_waits_and_is_not_refused() -> None:
    """Only the user's own limits make a weight impossible; a header cannot raise."""

    async def main() -> None:
        limiter = RateLimiter(["10/s"], guard=0.0)
        limiter.advise([ToldLimit("a", 2, 1.0)], 0.0)
        await limiter.acquire(5)
        with pytest.raises(UsageError):
            await limiter.acquire(11)

    run_virtual(main())


def test_a_pause_that_is_told_without_any_limit_ends_with_one_call() -> None:
    """Where nothing else holds those who wait back, they do not all go at the reset."""

    async def main() -> list[float]:
        limiter = RateLimiter()
        limiter.advise([ToldLimit("", None, None, 0, 5.0)], 0.0)
        asking = asyncio.create_task(sends_of(limiter, 3))
        await current_clock().sleep(6.0)
        limiter.answered(5.0)
        return await asking

    assert run_virtual(main()) == pytest.approx([5.0, 6.0, 6.0], abs=0.005)


def test_told_policies_are_bounded_in_number() -> None:
    """A server that invents a policy with each answer costs no more than a few logs."""
    limiter = RateLimiter(["10/s"])
    for number in range(100):
        limiter.advise([ToldLimit(f"p{number}", 5, 1.0 + number), ToldLimit(f"q{number}", None, None, 5, 10.0)], 0.0)
    assert len(limiter.statistics().told) == MOST_POLICIES


TOLD = st.builds(
    ToldLimit,
    name=st.sampled_from(["", "a", "b"]),
    count=st.none() | st.integers(1, 10**12),
    seconds=st.none() | st.floats(0.001, 1e6),
    remaining=st.none() | st.integers(0, 10**6),
    reset_after=st.none() | st.floats(0, 1e12),
    absolute=st.booleans(),
)


@given(
    steps=st.lists(st.tuples(st.floats(0, 0.3), st.lists(TOLD, max_size=3), st.floats(0, 30)), min_size=1, max_size=60),
    follow=st.booleans(),
)
def test_nothing_that_is_told_loosens_a_limit_or_raises(
    steps: list[tuple[float, list[ToldLimit], float]], follow: bool
) -> None:
    """Whatever is told, whenever: the user's limit holds, and no permit is given that it would not allow alone."""
    plain, told = RateLimiter(["10/s", "30/5s"], guard=0.0), RateLimiter(["10/s", "30/5s"], guard=0.0)
    if follow:
        told = RateLimiter(["10/s", "30/5s"], guard=0.0, follow_server=True)
    now = 0.0
    sends: list[float] = []
    for wait, limits, age in steps:
        now += wait
        if told.try_acquire(now):
            sends.append(now)
            # What is permitted under more bounds is permitted under fewer, in the same state.
            assert plain.windows[0].earliest() <= now
            for window in plain.windows:
                window.take(now)
        told.advise(limits, now, now - age)
        told.answered(now)
    assert most_in_any_window(sends, 1.0) <= 10
    assert most_in_any_window(sends, 5.0) <= 30


@given(
    count=st.integers(1, 50),
    seconds=st.floats(0.5, 5),
    before=st.integers(0, 60),
    asks=st.lists(st.floats(0, 0.5), max_size=200),
)
def test_a_policy_is_exact_from_the_moment_it_is_told(
    count: int, seconds: float, before: int, asks: list[float]
) -> None:
    """No send after it was told makes a window hold more than the policy allows, with what was sent before."""
    limiter = RateLimiter()
    sends: list[float] = []
    for number in range(before):
        assert limiter.try_acquire(number * 0.01)
        sends.append(number * 0.01)
    now = before * 0.01
    limiter.advise([ToldLimit("a", count, seconds)], now)
    for wait in asks:
        now += wait
        if limiter.try_acquire(now):
            sends.append(now)
            assert sum(now - each < seconds for each in sends) <= count


def test_limits_and_costs_show_in_the_repr() -> None:
    """The repr names all the user's limits."""
    limiter = RateLimiter([Limit(100, 60.0)], cost_limits=["90000/min"])
    assert repr(limiter) == "<RateLimiter 100/min, 90000/min of costs: 0 waiting>"
