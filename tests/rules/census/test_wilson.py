"""The Wilson interval, by table and by property."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.rules.census.wilson import Interval, wilson


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (5, 10, 0.2365931, 0.7634069),
        (1, 1, 0.2065493, 1.0),
        (81, 263, 0.2553, 0.3662),  # the worked example of Newcombe (1998), method 3
        (9_995_000, 10_000_000, 0.99948597, 0.99951366),
    ],
)
def test_known_values(successes: int, total: int, low: float, high: float) -> None:
    """Against published or independently computed values."""
    found = wilson(successes, total)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_no_trial_says_nothing() -> None:
    """Without a trial every share is possible."""
    assert wilson(0, 0) == Interval(0.0, 1.0)


def test_ends_are_exact() -> None:
    """0 of n has a low end of 0 and n of n a high end of 1, without rounding."""
    for total in (1, 3, 7, 10**7):
        assert wilson(0, total).low == 0.0
        assert wilson(total, total).high == 1.0


@pytest.mark.parametrize(
    ("successes", "total", "z"),
    [(-1, 1, 2.0), (2, 1, 2.0), (0, -1, 2.0), (1, 2, -1.0), (1, 2, math.nan), (1, 2, math.inf)],
)
def test_nonsense_is_refused(successes: int, total: int, z: float) -> None:
    """More successes than trials, negative numbers and NaN are mistakes of the caller."""
    with pytest.raises(UsageError):
        wilson(successes, total, z)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_properties(a: int, b: int) -> None:
    """The interval lies in 0..1, holds the share, and mirrors when successes and failures swap."""
    successes, total = min(a, b), max(a, b)
    found, mirrored = wilson(successes, total), wilson(total - successes, total)
    assert 0.0 <= found.low <= found.high <= 1.0
    if total:
        assert found.low <= successes / total <= found.high
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@given(st.integers(1, 10**6))
def test_more_trials_narrow_it(total: int) -> None:
    """Ten times the evidence for the same share makes the interval narrower."""
    few, many = wilson(total // 2, total), wilson(total // 2 * 10, total * 10)
    assert many.high - many.low < few.high - few.low
