"""The histogram against exact quantiles."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.observe.histogram import Histogram, bucket_of, coarse_edges

durations = st.lists(st.floats(2e-6, 60_000), min_size=1, max_size=200)


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(durations, st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]))
def test_quantiles_are_within_the_width_of_a_bucket(values: list[float], share: float) -> None:
    """Within 1.6 %, or a microsecond, of the exact quantile."""
    exact = sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
    found = filled(values).quantile(share)
    assert found is not None
    assert found == pytest.approx(exact, rel=0.016, abs=1.1e-6)


@given(durations, durations)
def test_merging_is_adding_all(one: list[float], other: list[float]) -> None:
    """Two histograms merged are the histogram of all."""
    merged = filled(one)
    merged.merge(filled(other))
    together = filled(one + other)
    assert merged.buckets == together.buckets
    assert (merged.count, merged.largest) == (together.count, together.largest)


@given(durations)
def test_it_survives_json(values: list[float]) -> None:
    """What is written into the journal is read back the same."""
    histogram = filled(values)
    again = Histogram.from_json(json.loads(json.dumps(histogram.as_json())))
    assert again.buckets == histogram.buckets
    assert (again.count, again.total, again.largest) == (histogram.count, histogram.total, histogram.largest)
    assert again.percentiles_ms() == histogram.percentiles_ms()


@pytest.mark.parametrize("value", [0.0, -1.0, -0.0, 1e-9, 1e-6, 18 * 3600.0, 1e6, 1e12])
def test_extreme_durations_are_counted(value: float) -> None:
    """Below nothing counts as nothing, beyond the end as the end; none is lost."""
    histogram = filled([value])
    assert histogram.count == 1
    found = histogram.quantile(0.5)
    assert found is not None
    assert found <= 70_000
    assert found <= max(value, 0.0)


def test_an_empty_histogram_has_no_quantiles() -> None:
    """None, not zero."""
    assert Histogram().quantile(0.5) is None
    assert Histogram().percentiles_ms() == {"p50": None, "p95": None, "p99": None, "max": None}


def test_it_stays_small() -> None:
    """At most 2,048 buckets, for a million different durations over six decades."""
    assert len(filled([1e-5 * 1.00002**number for number in range(700_000)]).buckets) < 2048


@given(durations, durations)
def test_what_was_added_since_is_known_by_bucket(before: list[float], after: list[float]) -> None:
    """The difference of two moments has the quantiles of what came between them."""
    histogram = filled(before)
    earlier = list(histogram.buckets)
    for value in after:
        histogram.add(value)
    recent = histogram.since(earlier)
    assert recent.buckets == filled(after).buckets
    assert recent.count == len(after)
    assert recent.largest == pytest.approx(max(after), rel=0.016, abs=1.1e-6)
    assert filled([]).since(filled([]).buckets).percentiles_ms() == dict.fromkeys(("p50", "p95", "p99", "max"))


@given(durations)
def test_coarse_buckets_hold_all_and_each_in_its_place(values: list[float]) -> None:
    """Every duration is counted once, in the bucket whose edges it lies between."""
    coarse = filled(values).coarse()
    assert sum(coarse.values()) == len(values)
    for value in values:
        whole = int(value * 1e6) / 1e6
        assert any(low <= whole * (1 + 1e-12) and whole < high for low, high in map(coarse_edges, coarse))
    edges = [coarse_edges(index) for index in range(min(coarse), max(coarse) + 1)]
    assert all(one[1] == two[0] for one, two in itertools.pairwise(edges))


@given(st.floats(-1.0, 1e6, allow_nan=False))
def test_the_bucket_of_a_duration_is_where_it_is_added(seconds: float) -> None:
    """The index is worked out in two places, since one of them is on the way of every call."""
    histogram = Histogram()
    histogram.add(seconds)
    assert [index for index, count in enumerate(histogram.buckets) if count] == [bucket_of(seconds)]
