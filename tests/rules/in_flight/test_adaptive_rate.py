"""The pace that is found out from refusals: a bit below what was accepted, and up again with patience."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.in_flight.adaptive_rate import BACK_OFF, FIRST_PAUSE, LONGEST_PAUSE, LOWEST, AdaptiveRate
from penstock.testing import Limiter, make_limiter


def play(rate: AdaptiveRate, server: Limiter, *, begin: float, seconds: float, total: int) -> tuple[int, int]:
    """Send as the pace allows, at most 2,000 a second, answered at once; returns (total, refused)."""
    now, refused = begin, 0
    while now < begin + seconds:
        rate.take(now)
        if server.arrive(now) is None:
            total += 1
        else:
            refused += 1
            rate.refused(now, now, total)
        rate.note(now, total)
        now = max(now + 0.0005, rate.earliest())
    return total, refused


def test_there_is_no_pace_before_a_refusal() -> None:
    """Nothing is known, so nothing is held back."""
    rate = AdaptiveRate()
    rate.take(1.0)
    rate.note(1.0, 1)
    assert not rate.known
    assert rate.rate(5.0) == math.inf
    assert rate.earliest() == -math.inf


@pytest.mark.parametrize("kind", ["sliding", "fixed", "gcra"])
@pytest.mark.parametrize("count", [20, 100, 1000])
def test_it_finds_and_holds_what_is_allowed(kind: str, count: int) -> None:
    """After 30 s at least 90 % of it, at most 1 % refused."""
    rate = AdaptiveRate()
    server = make_limiter(kind, f"{count}/s", burst=count if kind == "gcra" else 1)
    before, _ = play(rate, server, begin=0.0, seconds=30.0, total=0)
    after, refused = play(rate, server, begin=30.0, seconds=60.0, total=before)
    assert after - before >= 0.9 * 60 * count
    assert refused <= 0.01 * (after - before)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_it_follows_a_change_within_a_minute(factor: float) -> None:
    """In the minute after next, at least 90 % of what is allowed then."""
    rate = AdaptiveRate()
    total, _ = play(rate, make_limiter("sliding", "100/s"), begin=0.0, seconds=40.0, total=0)
    changed = make_limiter("sliding", f"{int(100 * factor)}/s")
    total, _ = play(rate, changed, begin=40.0, seconds=60.0, total=total)
    after, refused = play(rate, changed, begin=100.0, seconds=60.0, total=total)
    assert after - total >= 0.9 * 60 * 100 * factor
    assert refused <= 0.01 * (after - total)


def test_refusals_of_what_was_under_way_are_one_signal() -> None:
    """They were sent before the cut and say nothing new."""
    rate = AdaptiveRate()
    for tick in range(40):
        rate.note(tick * 0.05, tick * 5)
    rate.refused(2.0, 1.99, 200)
    estimate, earliest = rate.estimate, rate.earliest()
    for _ in range(50):
        rate.refused(2.01, 1.995, 200)
    assert (rate.estimate, rate.earliest()) == (estimate, earliest)
    assert estimate == pytest.approx(100, rel=0.06)
    assert rate.rate(2.0 + FIRST_PAUSE) == pytest.approx(estimate * (1 - BACK_OFF))


def test_the_pause_doubles_while_nothing_is_accepted() -> None:
    """A server that counts by the hour is not asked twenty times a second."""
    rate = AdaptiveRate()
    now, calls = 0.0, 0
    while now < 3600.0:
        rate.refused(now, now, 0)
        calls += 1
        assert rate.earliest() - now <= LONGEST_PAUSE + 1e-6
        now = rate.earliest()
    assert calls < 80


def test_it_does_not_rise_while_it_is_not_used() -> None:
    """An hour of little traffic proves nothing, and must not end in a burst."""
    rate = AdaptiveRate()
    total, _ = play(rate, make_limiter("sliding", "100/s"), begin=0.0, seconds=30.0, total=0)
    now = 30.0
    while now < 3600.0:
        now += 0.5
        total += 1
        rate.take(now)
        rate.note(now, total)
    assert rate.rate(now) < 130


@given(
    events=st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(0, 100), st.integers(0, 10**6), st.sampled_from("tnr")), max_size=200
    )
)
def test_it_stays_a_number_whatever_happens(events: list[tuple[float, float, int, str]]) -> None:
    """Also with a clock that jumps and totals that fall: a rate from the lowest up, a next time that is a number."""
    rate = AdaptiveRate()
    for now, latency, total, what in events:
        if what == "t":
            rate.take(now)
        elif what == "n":
            rate.note(now, total)
        else:
            rate.refused(now, now - latency, total)
        assert rate.rate(now) >= LOWEST * (1 - BACK_OFF)
        assert not math.isnan(rate.earliest())
        if rate.known:
            assert rate.rate(now) <= 2 * rate.estimate < math.inf
