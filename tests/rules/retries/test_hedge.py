"""When a second call is made, and what pays for it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.retries.hedge import LEAST_SAMPLES, SHARE, Hedging


def test_without_enough_samples_there_is_no_delay() -> None:
    """The first hundred latencies are only looked at."""
    rules = Hedging(0.95)
    for _ in range(LEAST_SAMPLES - 1):
        rules.record(1.0)
    assert rules.delay is None
    rules.record(1.0)
    assert rules.delay == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(
    ("quantile", "share", "expected"), [(0.95, 0.02, 0.985), (0.999, 0.02, 0.999), (0.5, 0.4, 0.7)]
)
def test_the_delay_is_late_enough_for_the_budget(quantile: float, share: float, expected: float) -> None:
    """Never earlier than the quantile, and late enough that the budget pays for all that are later."""
    rules = Hedging(quantile, share=share)
    generator = random.Random(1)
    for _ in range(4000):
        rules.record(generator.random())
    assert rules.delay == pytest.approx(expected, rel=0.05)


def test_it_follows_a_latency_that_changes() -> None:
    """What is older than two rounds is forgotten."""
    rules = Hedging(0.95)
    for _ in range(5000):
        rules.record(0.1)
    for _ in range(5000):
        rules.record(2.0)
    assert rules.delay == pytest.approx(2.0, rel=0.05)


def test_a_refund_can_be_spent_again() -> None:
    """A second call that was not made costs nothing."""
    rules = Hedging(0.95)
    for _ in range(51):
        rules.called()
    assert rules.withdraw()
    assert not rules.withdraw()
    rules.refund()
    assert rules.withdraw()


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6)), max_size=500))
def test_second_calls_never_exceed_their_share(steps: list[tuple[bool, float]]) -> None:
    """Whatever comes, at most two in a hundred; and no latency breaks it."""
    rules = Hedging(0.95)
    second = 0
    for calls, (wanted, seconds) in enumerate(steps, 1):
        rules.called()
        rules.record(seconds)
        second += wanted and rules.withdraw()
        assert second <= SHARE * calls + 1e-9
