"""The pause before the next attempt: exponential, capped, jittered over its whole width."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.retries.backoff import backoff


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [
        (1, 0.0, 0.0),
        (1, 1.0, 0.5),
        (2, 1.0, 1.0),
        (3, 0.5, 1.0),
        (7, 1.0, 32.0),
        (8, 1.0, 60.0),
        (1025, 1.0, 60.0),
        (10**9, 1.0, 60.0),
        (0, 1.0, 0.5),
        (-5, 1.0, 0.5),
        (1, -1.0, 0.0),
        (1, 2.0, 0.5),
        (3, math.nan, 0.0),
        (3, math.inf, 2.0),
    ],
)
def test_pauses(attempt: int, chance: float, seconds: float) -> None:
    """Happy and sad cases: no attempt number overflows, no chance leaves the bounds."""
    assert backoff(attempt, chance) == seconds


@given(
    st.integers(-10, 10**6),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 1e300),
    st.floats(0, 1e300),
)
def test_a_pause_is_between_nothing_and_the_cap(attempt: int, chance: float, base: float, cap: float) -> None:
    """Whatever the arguments, the pause is a number of seconds that a timer can take."""
    assert 0 <= backoff(attempt, chance, base=base, cap=cap) <= cap
