"""Exact tails, against sums of exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.moving.chance import tail_of_share, tail_of_two

TOTALS = st.integers(1, 60)


@given(TOTALS, st.data(), st.integers(0, 100))
def test_a_tail_of_a_share_is_the_binomial_one(total: int, data: st.DataObject, percent: int) -> None:
    """Above the mean; below it nothing is asked, and 1 is said."""
    count = data.draw(st.integers(0, total))
    share = Fraction(percent, 100)
    exact = sum(comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(count, total + 1))
    found = tail_of_share(count, total, float(share))
    assert found == (pytest.approx(float(exact), rel=1e-6) if count > total * share else 1.0) or abs(found - 1) < 1e-9


@given(TOTALS, TOTALS, st.data())
def test_a_tail_of_two_is_fishers(total: int, all_others: int, data: st.DataObject) -> None:
    """By which of all choices of so many, so many or more are of the first group."""
    count, others = data.draw(st.integers(0, total)), data.draw(st.integers(0, all_others))
    found = count + others
    ways = sum(comb(total, k) * comb(all_others, found - k) for k in range(count, min(total, found) + 1))
    exact = Fraction(ways, comb(total + all_others, found))
    if count * all_others > others * total:
        assert tail_of_two(count, total, others, all_others) == pytest.approx(float(exact), rel=1e-6)
    else:
        assert tail_of_two(count, total, others, all_others) == 1.0


@pytest.mark.parametrize(
    ("count", "total", "others", "all_others", "least", "most"),
    [
        (20, 20, 0, 20, 1e-12, 1e-10),
        (1, 20, 0, 500, 0.03, 0.05),
        (0, 0, 0, 0, 1.0, 1.0),
        (600_000, 10_000_000, 500_000, 10_000_000, 0.0, 1e-300),
        (501_000, 10_000_000, 500_000, 10_000_000, 0.1, 0.3),
    ],
)
def test_large_counts_take_no_long_sum(
    count: int, total: int, others: int, all_others: int, least: float, most: float
) -> None:
    """A stage may go on for days."""
    assert least <= tail_of_two(count, total, others, all_others) <= most


@pytest.mark.parametrize(("count", "total", "share", "tail"), [(0, 0, 0.5, 1.0), (1, 20, 0.0, 0.0), (0, 20, 0.0, 1.0)])
def test_the_ends(count: int, total: int, share: float, tail: float) -> None:
    """Where nothing may be, one is too many."""
    assert tail_of_share(count, total, share) == tail
