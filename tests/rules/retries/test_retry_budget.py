"""The retry budget: a share of the traffic, a reserve for small runs, and a way to the end for large ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.retries.retry_budget import MOST_SAVED, RESERVE, RetryBudget


def withdrawn(budget: RetryBudget) -> int:
    """How many retries it pays for at once."""
    count = 0
    while budget.withdraw():
        count += 1
    return count


def test_a_small_run_may_retry_before_it_has_paid_for_it() -> None:
    """The reserve is there from the beginning, and is spent once."""
    budget = RetryBudget()
    assert withdrawn(budget) == int(RESERVE)
    assert not budget.withdraw()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 1.0])
def test_first_attempts_pay_in_their_share(share: float) -> None:
    """A hundred first attempts in no time pay for share * 100 retries."""
    budget = RetryBudget(share, least_per_second=0.0, saved=0.0)
    budget.earn(0, 5.0)
    budget.earn(100, 5.0)
    assert withdrawn(budget) == int(share * 100)


def test_it_does_not_save_without_end() -> None:
    """A million first attempts without a failure leave no more than the cap for the first moment of trouble."""
    budget = RetryBudget()
    budget.earn(0, 0.0)
    budget.earn(1_000_000, 1000.0)
    assert withdrawn(budget) == MOST_SAVED


def test_a_run_with_nothing_but_retries_left_gets_on() -> None:
    """While no first attempts are sent, time pays: at the least pace, or at the share of the best pace of late."""
    slow = RetryBudget(0.2, least_per_second=2.0, saved=0.0)
    slow.earn(10, 0.0)
    slow.earn(10, 5.0)
    assert withdrawn(slow) == 10
    fast = RetryBudget(0.2, least_per_second=2.0, saved=0.0)
    fast.earn(0, 0.0)
    fast.earn(1000, 10.0)
    withdrawn(fast)
    fast.earn(1000, 11.0)
    assert withdrawn(fast) == 19


def test_the_best_pace_is_forgotten_slowly() -> None:
    """After ten minutes half of it is left."""
    budget = RetryBudget(0.2, least_per_second=0.0)
    budget.earn(0, 0.0)
    budget.earn(1000, 10.0)
    budget.earn(1000, 610.0)
    assert math.isclose(budget.best_per_second, 50.0, rel_tol=0.02)


@given(
    share=st.floats(0, 1),
    least=st.floats(0, 10),
    steps=st.lists(st.tuples(st.floats(-5, 50), st.integers(-5, 500), st.integers(0, 300)), max_size=40),
)
def test_never_more_than_was_paid_for(share: float, least: float, steps: list[tuple[float, int, int]]) -> None:
    """Whatever the clock and the counters do, retries stay within reserve, share and time."""
    budget = RetryBudget(share, least_per_second=least)
    now, first, retries, best = 0.0, 0, 0, 0.0
    budget.earn(first, now)
    paid = RESERVE
    for seconds, more, wanted in steps:
        now += seconds
        first += more
        budget.earn(first, now)
        best = max(best, budget.best_per_second)
        paid += share * max(0, more) + max(least, share * best) * max(0.0, seconds)
        retries += sum(budget.withdraw() for _ in range(wanted))
        assert retries <= paid + 1e-6
        assert 0.0 <= budget.saved <= MOST_SAVED
