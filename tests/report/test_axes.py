"""Ticks and words for numbers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.report.axes import (
    Axis,
    counting_axis,
    duration,
    duration_axis,
    log_duration_axis,
    moment,
    number,
    percent,
    spread,
)

heights = st.floats(1e-9, 1e12)


@given(heights)
def test_a_counting_axis_has_room_and_few_round_ticks(highest: float) -> None:
    """It reaches beyond the highest value, from 0 on, with 2 to 6 ticks in equal steps."""
    axis = counting_axis(highest)
    ticks = [tick for tick, _ in axis.ticks]
    assert axis.low == ticks[0] == 0
    assert axis.high > highest
    assert ticks[-1] <= axis.high
    assert 2 <= len(ticks) <= 7
    steps = {round((two - one) / ticks[1], 6) for one, two in itertools.pairwise(ticks)}
    assert steps == {1.0}
    assert f"{ticks[1]:.0e}"[0] in "125"


@given(st.floats(1e-6, 1e9), st.integers(3, 8))
def test_a_duration_axis_has_round_times(highest: float, most: int) -> None:
    """No more than asked for but one for the room above, in order, none beyond the ends, no label twice."""
    axis = duration_axis(highest, most)
    ticks = [tick for tick, _ in axis.ticks]
    assert 1 <= len(ticks) <= most + 2
    assert ticks == sorted(ticks)
    assert all(axis.low <= tick <= axis.high * (1 + 1e-9) for tick in ticks)
    assert len({text for _, text in axis.ticks}) == len(ticks)


@given(st.floats(1e-6, 1e5), st.floats(1.0, 1e6))
def test_a_log_axis_has_few_ticks_within_it(lowest: float, ratio: float) -> None:
    """At most seven, but for spans of many decades, each inside the axis and each with a label of its own."""
    axis = log_duration_axis(lowest, lowest * ratio)
    places = [axis.place(tick) for tick, _ in axis.ticks]
    assert places == sorted(places)
    assert len(places) <= 8
    assert all(0 <= place <= 1 for place in places)
    assert len({text for _, text in axis.ticks}) == len(places)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_values_that_cannot_be_drawn_still_make_an_axis(value: float) -> None:
    """0, below it, and no number at all."""
    for axis in (counting_axis(value), duration_axis(value), log_duration_axis(value, value)):
        assert axis.low < axis.high < 1e13
        assert 0 <= axis.place(0.5) <= 1


@pytest.mark.parametrize(
    ("axis", "value", "place"),
    [
        (Axis(0.0, 10.0, ()), 2.5, 0.25),
        (Axis(0.0, 10.0, ()), -3, 0.0),
        (Axis(0.0, 10.0, ()), 30, 1.0),
        (Axis(0.01, 100.0, (), log=True), 1.0, 0.5),
        (Axis(0.01, 100.0, (), log=True), 0.0, 0.0),
        (Axis(5.0, 5.0, ()), 5.0, 0.0),
    ],
)
def test_places(axis: Axis, value: float, place: float) -> None:
    """Linear and logarithmic, with what lies outside at the nearer end."""
    assert axis.place(value) == pytest.approx(place)


@given(st.lists(st.floats(0, 200), max_size=8))
def test_labels_are_spread_without_overlap_and_without_leaving(wanted: list[float]) -> None:
    """Each keeps its distance, the order stays, and nothing is outside."""
    places = spread(wanted, 15, 6.0, 194.0)
    ordered = sorted(places)
    assert all(two - one >= 15 - 1e-6 for one, two in itertools.pairwise(ordered))
    assert all(6.0 - 1e-6 <= place <= 194.0 + 1e-6 for place in places)
    for (one, first), (two, second) in itertools.combinations(zip(wanted, places, strict=True), 2):
        assert one == two or (one < two) == (first < second)


def test_a_label_that_has_room_stays_where_it_is_wanted() -> None:
    """Only those in each other's way move."""
    assert spread([100.0, 20.0, 180.0], 15, 6.0, 194.0) == [100.0, 20.0, 180.0]
    assert spread([], 15, 6.0, 194.0) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0"),
        (0.000012, "12 µs"),
        (0.0123, "12.3 ms"),
        (0.9999, "1 s"),
        (12.34, "12.3 s"),
        (59.99, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (6000, "1 h 40 min"),
        (86400 * 3 + 3600 * 5, "3 d 5 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """Two units at most."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.25, "0.25"), (12, "12"), (1234, "1,234"), (1234.5, "1,234"), (12_000_000, "12M"), (99.96, "100")],
)
def test_numbers_in_words(value: float, words: str) -> None:
    """As short as can be read."""
    assert number(value) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100 %"), (0.99999, "> 99.9 %"), (0.991, "99.1 %"), (0.00001, "< 0.1 %"), (0.0, "0 %"), (0.5, "50.0 %")],
)
def test_percentages_never_round_to_all_or_nothing(share: float, words: str) -> None:
    """What is missing shows."""
    assert percent(share) == words


@pytest.mark.parametrize("wall", [1e300, float("nan"), -1e18])
def test_a_time_that_is_none_is_a_dash(wall: float) -> None:
    """A damaged file must not stop the report."""
    assert moment(wall) == "-"
