"""The distribution of similarities, kept while a run goes on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.outbound.vectors.similarity import SimilarityStats


def _stats(values: list[float], first: int = 0) -> SimilarityStats:
    stats = SimilarityStats()
    for index, value in enumerate(values, first):
        stats.add(value, index)
    return stats


@pytest.mark.parametrize(
    ("similarity", "label"),
    [
        (1.0, "0"),
        (1 - 1e-9, "<1e-8"),
        (1 + 1e-9, "<1e-8"),
        (1 - 1.2e-7, "1e-7..1e-6"),
        (1 + 2.4e-7, "1e-7..1e-6"),
        (1 - 5e-6, "1e-6..1e-5"),
        (0.985, "1e-2..1e-1"),
        (0.5, "1e-1..1e0"),
        (0.0, ">=1"),
        (-1.0, ">=1"),
        (3.0, ">=1"),
    ],
)
def test_buckets(similarity: float, label: str) -> None:
    """By decade of the distance from 1."""
    filled = [name for name, count in _stats([similarity]).histogram() if count]
    assert filled == [label]


def test_figures() -> None:
    """Mean, those above 1, those that are no number, the worst."""
    stats = _stats([1.0, 0.5, 1.0000002, math.nan, math.inf, -math.inf, 0.25])
    assert (stats.count, stats.not_a_number, stats.above_one, stats.exact) == (4, 3, 1, 1)
    assert stats.mean == pytest.approx(2.7500002 / 4)
    assert stats.worst()[:2] == [(0.25, 6), (0.5, 1)]
    assert SimilarityStats().mean is None


VALUES = st.lists(st.one_of(st.floats(), st.floats(0.9, 1.1), st.just(1.0)), max_size=300)


@given(VALUES, VALUES)
def test_merging_is_adding(one: list[float], two: list[float]) -> None:
    """Two halves merged are the whole; the worst are what sorting finds; every number is in one bucket."""
    merged, whole = _stats(one), _stats(one + two)
    merged.merge(_stats(two, len(one)))
    finite = sorted(value for value in one + two if math.isfinite(value))
    for stats in (merged, whole):
        assert [similarity for similarity, _ in stats.worst()] == finite[:100]
        assert stats.count == len(finite) == sum(count for _, count in stats.histogram())
        assert stats.not_a_number == len(one + two) - len(finite)
        assert all((one + two)[index] == similarity for similarity, index in stats.worst())
    assert merged.histogram() == whole.histogram()
    assert merged.above_one == whole.above_one
