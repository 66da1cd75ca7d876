"""What happened lately, from counts that only grow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.moving.windows import LATELY, SECONDS, ArmCounts, StageWindow, difference, together

SMALL = st.integers(0, 1000)
COUNTS = st.builds(
    ArmCounts,
    begun=SMALL,
    ended=SMALL,
    errors=SMALL,
    shed=SMALL,
    keyless=SMALL,
    blocked=st.integers(0, 1000).map(float),
    total=st.integers(0, 1000).map(float),
    backs=st.tuples(SMALL, SMALL, SMALL, SMALL),
    lost=st.dictionaries(st.sampled_from(["user", "trace"]), st.integers(1, 9)),
    buckets=st.tuples(SMALL, SMALL, SMALL),
)


def ended(count: int, **other: Any) -> dict[str, ArmCounts]:
    """A worker whose arm has ended so many."""
    return {"async": replace(ArmCounts(begun=count, ended=count, buckets=(count, 0)), **other)}


def test_a_window_is_what_was_added_within_it() -> None:
    """A request a second: of a minute the last ten."""
    window = StageWindow()
    for second in range(61):
        window.add(float(second), {"one": ended(second)})
    assert window.lately("async").ended == SECONDS
    assert window.lately("async").buckets == (10, 0)
    assert window.in_all("async").ended == 60
    assert window.seconds() == 60


@pytest.mark.parametrize("apart", [0.1, 0.25, 0.7, 1.0, 3.0])
def test_a_window_is_at_most_a_sample_longer(apart: float) -> None:
    """However often it is looked at, it does not lose what is younger than ten seconds, and keeps few samples."""
    window = StageWindow()
    for number in range(400):
        window.add(number * apart, {"one": ended(number * 100)})
        rate = window.lately("async").ended / 100 * apart
        assert rate >= min(number * apart, SECONDS) - 1e-6
        assert rate <= SECONDS + max(apart, 1.0) + apart
    assert len(window._kept) <= 13


def test_what_was_before_the_stage_is_not_seen() -> None:
    """The first sample is where it begins, and an arm that was mended is not judged by what it was."""
    window = StageWindow()
    window.add(0.0, {"one": ended(1000, errors=1000)})
    assert window.lately("async").errors == window.in_all("async").errors == 0
    window.add(0.25, {"one": ended(1001, errors=1000)})
    assert window.lately("async") == ArmCounts(begun=1, ended=1, buckets=(1, 0))


def test_a_worker_that_ends_takes_nothing_away_from_the_others() -> None:
    """A sum would shrink by all that it has ever counted."""
    window = StageWindow()
    window.add(0.0, {"one": ended(500), "two": ended(500)})
    window.add(1.0, {"one": ended(510), "two": ended(505)})
    window.add(2.0, {"one": ended(520)})
    assert window.lately("async").ended == 20
    assert window.in_all("async").ended == 20


def test_a_worker_that_comes_is_followed_from_its_first_sample() -> None:
    """What it counted before is of no known time."""
    window = StageWindow()
    window.add(0.0, {"one": ended(5)})
    window.add(1.0, {"one": ended(5), "two": ended(300)})
    window.add(2.0, {"one": ended(5), "two": ended(310)})
    assert window.lately("async").ended == 10
    assert window.in_all("async").ended == 10


def test_an_arm_that_nobody_has_is_nothing() -> None:
    """Neither counts nor a held loop."""
    window = StageWindow()
    window.add(0.0, {})
    window.add(1.0, {"one": {}})
    assert window.lately("async") == window.in_all("async") == ArmCounts()
    assert window.blocked("async") == window.blocked_now("async") == 0


def test_a_held_loop_is_that_of_one_worker() -> None:
    """Two workers that are held for a tenth each are no worker that is held for a fifth."""
    window = StageWindow()
    for number in range(101):
        now = number / 4
        window.add(now, {"one": ended(0, blocked=now / 10), "two": ended(0, blocked=now / 5)})
    assert window.blocked("async") == pytest.approx(0.2, abs=0.02)
    assert window.blocked_now("async") == pytest.approx(0.2, abs=0.04)


def test_a_loop_that_is_held_now_is_seen_at_once() -> None:
    """After a quiet minute, when it makes little of the window yet."""
    window = StageWindow()
    for number in range(240):
        window.add(number / 4, {"one": ended(0)})
    window.add(60.0 + LATELY - 0.25, {"one": ended(0, blocked=1.0)})
    assert window.blocked("async") == pytest.approx(1.0 / SECONDS)
    assert window.blocked_now("async") == pytest.approx(1.0 / LATELY)


@given(COUNTS, COUNTS)
def test_a_difference_is_the_inverse_of_a_sum(one: ArmCounts, other: ArmCounts) -> None:
    """For each of the counts."""
    found = difference(together([one, other]), other)
    assert {name: count for name, count in found.lost.items() if count} == dict(one.lost)
    assert replace(found, lost={}, largest=0.0) == replace(one, lost={}, largest=0.0)


def test_what_is_in_flight_is_never_below_nothing() -> None:
    """The two numbers are read one after the other."""
    assert ArmCounts(begun=4, ended=5).in_flight == 0
    assert ArmCounts(begun=9, ended=5).in_flight == 4
