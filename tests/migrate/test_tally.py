"""Counts of arms: in memory, in a file that others read, over forks and from many threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.migrate.durations import BUCKETS, CoarseDurations, histogram_of, index_of
from penstock.migrate.row import MOST_LOST, NOTICED, blank_row, name_of
from penstock.migrate.tally import MORE, MOST_ARMS, MOST_ROUTES, ArmTally, Tallies
from penstock.rules.moving.judge import KINDS
from penstock.testing import ManualClock

TOLD: dict[str, tuple[Callable[[ArmTally], None], str, object]] = {
    "begin": (lambda tally: tally.begin(), "in_flight", 1),
    "end": (lambda tally: tally.end(0.01, failed=False), "ended", 1),
    "no failure": (lambda tally: tally.end(0.01, failed=False), "errors", 0),
    "failure": (lambda tally: tally.end(0.01, failed=True), "errors", 1),
    "more ends than begins": (lambda tally: tally.end(0.01, failed=False), "in_flight", 0),
    "refuse": (lambda tally: tally.refuse(), "shed", 1),
    "without key": (lambda tally: tally.without_key(), "keyless", 1),
    "block": (lambda tally: tally.block(0.05), "blocked_seconds", 0.05),
    "lose": (lambda tally: tally.lose("user"), "lost", {"user": 1}),
    "step": (lambda tally: tally.step_began(7.0), "running", 7.0),
}


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(("tell", "name", "value"), TOLD.values(), ids=TOLD)
def test_what_is_told_is_counted(tell: Callable[[ArmTally], None], name: str, value: object, in_file: bool) -> None:
    """In memory and in a row of a file alike."""
    tally = ArmTally("GET /a", "async", clock=ManualClock(start=7.0))
    if in_file:
        tally.move_to(blank_row())
    tell(tally)
    assert getattr(tally, name) == value


def test_durations_are_kept_to_a_few_percent() -> None:
    """And their sum and their largest exactly."""
    tally = ArmTally("GET /a", "async")
    for number in range(1, 1001):
        tally.end(number / 1000, failed=False)
    assert tally.seconds.count == 1000
    assert tally.seconds.total == pytest.approx(500.5)
    assert tally.seconds.largest == 1.0
    assert tally.seconds.quantile(0.5) == pytest.approx(0.5, rel=0.04)
    assert tally.seconds.quantile(0.99) == pytest.approx(0.99, rel=0.04)


@given(st.lists(st.floats(0, 100_000), min_size=1, max_size=50), st.floats(0.01, 1))
def test_coarse_durations_say_what_the_histogram_says(values: list[float], share: float) -> None:
    """Within the width of a bucket; and none is lost on the way from one to the other."""
    buckets = [0] * BUCKETS
    for value in values:
        buckets[index_of(value)] += 1
    coarse, largest = CoarseDurations(buckets, max(values)), max(values)
    assert coarse.count == len(values)
    found, exact = coarse.quantile(share), sorted(values)[int(max(1, -(-len(values) * share // 1))) - 1]
    assert found is not None
    assert found == pytest.approx(min(exact, 68_719), rel=0.04, abs=3e-6)
    assert histogram_of(buckets, sum(values), largest).quantile(share) == pytest.approx(found, rel=0.04, abs=3e-6)


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 4), (0.011, 3), (0.15, 2), (5.0, 1), (60.0, 0)])
def test_how_many_are_slower(seconds: float, count: int) -> None:
    """Of 10 ms, 100 ms, 1 s and 10 s."""
    buckets = [0] * BUCKETS
    for value in (0.01, 0.1, 1.0, 10.0):
        buckets[index_of(value)] += 1
    assert CoarseDurations(buckets).slower_than(seconds) == count


def test_a_step_that_runs_counts_as_far_as_it_is() -> None:
    """One that never ends would not be seen otherwise; one of less than 10 ms is nothing."""
    clock = ManualClock(start=100.0)
    tally = ArmTally("GET /a", "async", clock=clock)
    tally.block(0.5)
    tally.step_began(clock.now())
    assert tally.blocked_seconds == 0.5
    clock.advance(NOTICED * 0.9)
    assert tally.blocked_seconds == 0.5
    clock.advance(2.0)
    assert tally.blocked_seconds == pytest.approx(2.5 + NOTICED * 0.9)
    tally.step_ended()
    assert tally.blocked_seconds == 0.5


def test_a_move_keeps_all_but_the_step_that_runs() -> None:
    """It could have ended between the copy and the move, and then it would run for ever."""
    tally = ArmTally("GET /a", "async")
    for tell, _, _ in TOLD.values():
        tell(tally)
    before = tally.counts()
    row = blank_row()
    tally.move_to(row)
    assert tally.running == 0.0
    assert replace(tally.counts(), blocked=0.0) == replace(before, blocked=0.0)
    assert tally.blocked_seconds == 0.05
    assert row.names() == ("GET /a", "async")


@pytest.mark.parametrize("kind", KINDS)
def test_why_it_was_taken_back_is_counted_by_kind(kind: str) -> None:
    """In the order of the kinds."""
    tally = ArmTally("GET /a", "async")
    tally.take_back(f"{kind}: so and so")
    assert tally.counts().backs == tuple(int(each == kind) for each in KINDS)


def test_threads_lose_nothing() -> None:
    """Each number is read and written under a lock."""
    tally = ArmTally("GET /a", "async")

    def count() -> None:
        for _ in range(5_000):
            tally.begin()
            tally.end(0.01, failed=True)
            tally.block(0.5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tally.ended, tally.errors, tally.in_flight, tally.blocked_seconds) == (20_000, 20_000, 0, 10_000.0)
    assert tally.seconds.count == 20_000


def test_an_arm_has_one_tally() -> None:
    """For whoever asks."""
    tallies = Tallies()
    assert tallies.of("GET /a", "async") is tallies.of("GET /a", "async")
    assert tallies.of("GET /a", "async") is not tallies.of("GET /a", "control")
    assert [(each.route, each.arm) for each in tallies.all()] == [("GET /a", "async"), ("GET /a", "control")]


def test_routes_beyond_the_room_share_a_row() -> None:
    """Somebody has given each of his customers a route."""
    tallies = Tallies()
    for number in range(MOST_ROUTES + 50):
        tallies.of(f"GET /{number}", "control").begin()
    assert len(tallies.all()) == MOST_ROUTES + 1
    assert tallies.of("GET /another", "control").in_flight == 50
    assert tallies.of("GET /another", "control").route == MORE
    assert tallies.of("GET /7", "async").route == "GET /7"


def test_arms_beyond_the_room_share_a_row() -> None:
    """As routes do."""
    tallies = Tallies()
    for number in range(MOST_ARMS + 50):
        tallies.of("GET /a", f"arm {number}").begin()
    assert len(tallies.all()) == MOST_ARMS + 1
    assert tallies.of("GET /a", "another").in_flight == 50


def test_names_of_what_is_lost_beyond_the_room_share_one() -> None:
    """And the others keep their own."""
    tallies = Tallies()
    tally = tallies.of("GET /a", "async")
    for number in range(MOST_LOST + 5):
        tally.lose(f"name {number}")
    assert len(tally.lost) == MOST_LOST
    assert tally.lost[MORE] == 6
    assert tally.lost["name 3"] == 1


@pytest.mark.parametrize("route", ["GET /a", "", "GET /ä/€", "x" * 448, "\udcff", "a\0b"])
def test_a_name_is_read_as_it_was_written(route: str) -> None:
    """Up to what there is room for; and what is no Unicode is still a name."""
    row = blank_row()
    row.name(route, "async")
    assert row.names() == (name_of(route), "async")
    assert row.names()[0] == route or not route.isprintable()


@given(st.text(min_size=440), st.text(min_size=440))
def test_long_names_that_differ_stay_different(one: str, other: str) -> None:
    """A digest takes the place of their ends."""
    assert (name_of(one) == name_of(other)) is (one.rstrip("\0") == other.rstrip("\0"))


def test_a_fork_counts_for_itself() -> None:
    """From 0 on, even where a thread of its parent was counting when it forked."""
    tallies = Tallies()
    tally = tallies.of("GET /a", "async")
    tally.begin()
    tally._lock.acquire()
    tallies._lock.acquire()
    child = os.fork()
    if not child:
        tally.begin()
        tallies.of("GET /b", "control").begin()
        tally.lose("user")
        os._exit(0 if (tally.in_flight, len(tallies.all()), tally.lost) == (1, 2, {"user": 1}) else 1)
    tally._lock.release()
    tallies._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tally.in_flight, tally.lost) == (1, {})
