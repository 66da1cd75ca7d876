"""Servers' limits: what each lets through at most, and that who waits as told is let in."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.testing import FixedWindow, Gcra, Limiter, SlidingLog, make_limiter, most_in_any_window

STEPS = st.lists(st.floats(0, 3, allow_nan=False), max_size=200)
LIMITS = st.integers(1, 7)
WINDOWS = st.floats(0.01, 5)


def admitted(limiter: Limiter, steps: list[float], start: float = 0.0) -> list[float]:
    now, through = start, []
    for step in steps:
        now += step
        if limiter.arrive(now) is None:
            through.append(now)
    return through


@given(LIMITS, WINDOWS, STEPS, st.floats(-1e6, 1e6))
def test_a_sliding_log_never_lets_more_through(limit: int, window: float, steps: list[float], start: float) -> None:
    assert most_in_any_window(admitted(SlidingLog(limit, window), steps, start), window) <= limit


@given(LIMITS, WINDOWS, STEPS)
def test_a_sliding_log_refuses_only_what_is_too_much(limit: int, window: float, steps: list[float]) -> None:
    limiter, now, through = SlidingLog(limit, window), 0.0, list[float]()
    for step in steps:
        now += step
        recent = sum(1 for time in through if now < time + window)
        assert (limiter.arrive(now) is None) == (recent < limit)
        if recent < limit:
            through.append(now)


@given(LIMITS, st.integers(1, 8), st.floats(0, 3), STEPS)
def test_a_fixed_window_holds_its_own_windows(limit: int, window: int, phase: float, steps: list[float]) -> None:
    through = admitted(FixedWindow(limit, window, phase), steps)
    for index in range(-3, 600 // window + 2):
        start, end = phase + index * window, phase + (index + 1) * window
        assert sum(1 for time in through if start <= time < end) <= limit


def test_a_fixed_window_lets_twice_the_limit_through_at_a_boundary() -> None:
    limiter = FixedWindow(100, 60)
    through = [59.9 if n < 100 else 60.0 for n in range(200)]
    assert all(limiter.arrive(time) is None for time in through)
    assert most_in_any_window(through, 60) == 200
    assert limiter.arrive(61.0) == 59.0


@given(LIMITS, st.integers(1, 5), st.lists(st.integers(0, 8), max_size=200))
def test_gcra_lets_no_more_than_limit_and_burst_through(limit: int, burst: int, steps: list[int]) -> None:
    # The interval is 1, so that sums are exact.
    through = admitted(Gcra(limit, float(limit), burst), [step / 4 for step in steps])
    assert most_in_any_window(through, float(limit)) <= limit + burst - 1


@pytest.mark.parametrize(
    ("window", "phase", "index"), [(0.01, 0.0, 401), (0.21, 0.5, 2180), (4.66, 2.7, 5634), (2.76, 0.2, 9273)]
)
def test_a_fixed_window_begins_at_its_boundary_whatever_division_says(window: float, phase: float, index: int) -> None:
    boundary = phase + index * window
    before = math.nextafter(boundary, 0)
    limiter = FixedWindow(1, window, phase)
    assert limiter.arrive(before) is None
    assert limiter.arrive(before) == boundary - before
    assert limiter.arrive(boundary) is None
    assert limiter.arrive(boundary) is not None
    late = FixedWindow(1, window, phase)
    assert late.arrive(boundary) is None
    assert late.arrive(math.nextafter(boundary + window, 0) - 1e-9) is not None


def test_gcra_gives_a_burst_after_a_rest_only() -> None:
    limiter = Gcra(10, 10, burst=3)
    assert [limiter.arrive(0) for _ in range(4)] == [None, None, None, 1.0]
    assert limiter.arrive(1) is None
    assert limiter.arrive(1) == 1.0
    assert [limiter.arrive(100) for _ in range(4)] == [None, None, None, 1.0]


MAKERS: list[Callable[[int, float], Limiter]] = [FixedWindow, SlidingLog, Gcra]


@pytest.mark.parametrize("make", MAKERS)
@given(limit=LIMITS, window=WINDOWS, steps=STEPS, start=st.floats(0, 1e9))
def test_who_waits_as_told_is_let_in(
    make: Callable[[int, float], Limiter], limit: int, window: float, steps: list[float], start: float
) -> None:
    limiter, now = make(limit, window), start
    for step in steps:
        now += step
        wait = limiter.arrive(now)
        if wait is not None:
            assert wait > 0
            now += wait
            assert limiter.arrive(now) is None


@given(st.lists(st.floats(0, 10)), st.floats(0.001, 10))
def test_most_in_any_window_is_what_counting_finds(times: list[float], window: float) -> None:
    times.sort()
    counted = [sum(1 for time in times if start <= time < start + window) for start in times]
    assert most_in_any_window(times, window) == max(counted, default=0)


@pytest.mark.parametrize(
    ("times", "window", "most"),
    [
        ([], 1.0, 0),
        ([5.0], 1.0, 1),
        ([0.0, 1.0], 1.0, 1),
        ([0.0, math.nextafter(1.0, 0)], 1.0, 2),
        ([0.0, 0.0, 0.0, 2.0], 1.0, 3),
        ([-3.0, -2.5, 0.0, 0.1, 0.2, 9.0], 0.5, 3),
    ],
)
def test_most_in_any_window(times: list[float], window: float, most: int) -> None:
    assert most_in_any_window(times, window) == most


@pytest.mark.parametrize(("times", "window"), [([2.0, 1.0], 1.0), ([math.nan], 1.0), ([1.0], 0.0), ([1.0], -1.0)])
def test_a_log_that_cannot_be_judged_is_refused(times: list[float], window: float) -> None:
    with pytest.raises(ValueError, match="must"):
        most_in_any_window(times, window)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("limit", "window"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, math.inf), (1, math.nan)])
def test_a_limit_that_is_none_is_refused(make: Callable[[int, float], Limiter], limit: int, window: float) -> None:
    with pytest.raises(ValueError, match="must"):
        make(limit, window)


def test_limiters_from_text() -> None:
    sliding = make_limiter("sliding", "600/5m")
    assert isinstance(sliding, SlidingLog)
    assert (sliding.limit, sliding.window) == (600, 300.0)
    assert isinstance(make_limiter("fixed", "10/s"), FixedWindow)
    gcra = make_limiter("gcra", "10/s", burst=5)
    assert isinstance(gcra, Gcra)
    assert gcra.burst == 5
    with pytest.raises(ValueError, match="choose"):
        make_limiter("leaky", "10/s")
    with pytest.raises(UsageError):
        make_limiter("fixed", "often")
    with pytest.raises(ValueError, match="burst"):
        Gcra(1, 1.0, 0)
