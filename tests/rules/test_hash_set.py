"""The set of hashes."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.hash_set import HashSet


@given(st.lists(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3), st.integers(1020, 1030)), max_size=200))
def test_it_is_a_set(values: list[int]) -> None:
    """As Python's own, also with values that fall on the same place, and with 0."""
    ours, real = HashSet(), set[int]()
    for value in values:
        assert (value in ours) == (value in real)
        assert ours.add(value) == (value not in real)
        real.add(value)
    assert len(ours) == len(real)


def test_it_grows() -> None:
    """Nothing is lost when the table is made anew."""
    chance = random.Random(1)
    values = [chance.getrandbits(64) for _ in range(20_000)]
    ours = HashSet()
    for value in values:
        assert ours.add(value)
    assert all(value in ours for value in values)
    assert len(ours) == len(values)
