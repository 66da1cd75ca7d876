"""A window never lets more than its limit through, whatever happens, and wastes almost nothing of it."""

from __future__ import annotations

import math
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.rules.limits import rate
from penstock.rules.limits.rate import Limit, Window, default_guard, parse_limit
from penstock.testing import most_in_any_window


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("100/min", 100, 60.0),
        ("10/s", 10, 1.0),
        ("600/5m", 600, 300.0),
        ("100/1s", 100, 1.0),
        ("1/h", 1, 3600.0),
        ("1/d", 1, 86_400.0),
        ("5/0.5s", 5, 0.5),
        ("5/250ms", 5, 0.25),
        (" 7 / 2 min ", 7, 120.0),
        ("7 per second", 7, 1.0),
        ("100/MIN", 100, 60.0),
        ("999999999999/s", 999_999_999_999, 1.0),
    ],
)
def test_limits_are_read_as_people_write_them(text: str, count: int, seconds: float) -> None:
    """COUNT/DURATION with or without a number before the unit."""
    assert parse_limit(text) == Limit(count, seconds)


@pytest.mark.parametrize(
    "text",
    [
        "", "100", "/s", "100/", "0/s", "-1/s", "1.5/s", "1e3/s", "100/0s", "100/-1s", "100/week", "100/s/s", "100 s",
        "inf/s", "nan/s", "100/infs", "100/nans", "1,000/s", "9999999999999/s", "100/min\n100/s", "hundred/min", "\0",
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(text: str) -> None:
    """Anything that cannot be read, or makes no sense, is a UsageError."""
    with pytest.raises(UsageError):
        parse_limit(text)


@given(st.text(max_size=20))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    """Any text is a limit or a UsageError."""
    try:
        limit = parse_limit(text)
    except UsageError:
        return
    assert limit.count >= 1
    assert 0 < limit.seconds < math.inf


@given(st.integers(1, 10**6), st.sampled_from(["s", "min", "h", "d", "5m", "2.5s"]))
def test_a_limit_is_written_as_it_is_read(count: int, unit: str) -> None:
    """Writing a limit out and reading it again gives the same limit."""
    limit = parse_limit(f"{count}/{unit}")
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["5/s", "5/0.5s", "100/min@crawl", "1/d@a.b-c_1", "600/300s@x", "3/h"])
def test_a_limit_is_told_apart_by_its_name(text: str) -> None:
    """Under what is written processes share a limit: a name that gets lost would give each of them the whole."""
    limit = parse_limit(text)
    assert str(limit) == text
    assert limit.name == text.partition("@")[2]


@pytest.mark.parametrize(
    ("count", "seconds"),
    [
        (0, 1.0),
        (-1, 1.0),
        (1, 0.0),
        (1, -1.0),
        (1, math.inf),
        (1, math.nan),
        (math.nan, 1.0),
        (math.inf, 1.0),
        (1.5, 1.0),
    ],
)
def test_limits_that_make_no_sense_are_refused(count: Any, seconds: float) -> None:
    """No limit of nothing, of a part, or in no time."""
    with pytest.raises(UsageError):
        Limit(count, seconds)


@pytest.mark.parametrize("guard", [-0.001, math.nan, math.inf])
def test_guards_that_make_no_sense_are_refused(guard: float) -> None:
    """A guard is seconds from 0 up."""
    with pytest.raises(UsageError):
        Window(Limit(1, 1.0), guard)


@pytest.mark.parametrize(
    ("seconds", "guard"), [(1.0, 0.015), (10.0, 0.15), (60.0, 0.15), (86_400.0, 0.15), (0.1, 0.0015)]
)
def test_the_default_guard_is_a_small_part_of_the_window(seconds: float, guard: float) -> None:
    """1.5 % of the window, at most 150 ms."""
    assert default_guard(Limit(1, seconds)) == pytest.approx(guard)


@pytest.mark.parametrize("weight", [0, -1, 4, 10**9])
def test_a_weight_that_can_never_be_allowed_is_refused(weight: int) -> None:
    """More than the whole limit, or nothing, is a UsageError and not a wait for ever."""
    with pytest.raises(UsageError):
        Window(Limit(3, 1.0)).earliest(weight)


def test_the_first_sends_are_paced_from_the_first_second_on() -> None:
    """No burst at the start: the second send is one interval after the first."""
    window = Window(Limit(10, 1.0), guard=0.0)
    assert window.earliest() == -math.inf
    window.take(100.0)
    assert window.earliest() == pytest.approx(100.1)


def test_a_clock_that_goes_back_lets_nothing_through() -> None:
    """At a time before the last send the next is in the future, not allowed by a negative distance."""
    window = Window(Limit(1, 10.0), guard=0.0)
    window.take(100.0)
    assert window.earliest() == 110.0 > 50.0


def test_time_in_which_nobody_asked_is_not_saved_up() -> None:
    """After a rest the sends are paced again; there is no burst."""
    window = Window(Limit(100, 10.0), guard=0.0)
    window.take(0.0)
    window.take(1000.0)
    assert window.earliest() == pytest.approx(1000.1)


def test_lateness_of_a_timer_is_caught_up() -> None:
    """The schedule is absolute: being late once does not shift all that follows."""
    window = Window(Limit(100, 1.0), guard=0.0)
    window.take(0.0)
    window.take(0.05, waited=True)
    assert window.earliest() == pytest.approx(0.02)


def test_the_end_of_a_pause_is_not_a_burst() -> None:
    """`hold` starts the pace again where the pause ends."""
    window = Window(Limit(10, 1.0), guard=0.0)
    window.take(0.0)
    window.hold(50.0)
    assert window.earliest() == 50.0
    window.take(50.0, waited=True)
    assert window.earliest() == pytest.approx(50.1)
    window.hold(1.0)
    assert window.earliest() == pytest.approx(50.1)


def test_a_heavy_send_waits_for_all_it_needs_also_after_a_give_back() -> None:
    """A cell that was given back must not hide the one before it that is still in force."""
    window = Window(Limit(2, 10.0), guard=0.0)
    window.take(0.0)
    cell = window.take(0.0, waited=True)
    window.give_back(cell)
    assert window.earliest(2) == 10.0


@pytest.mark.parametrize(("guard", "after"), [(None, 10.15), (0.0, 10.0), (0.5, 10.5)])
@pytest.mark.parametrize("weight", [1, 2])
def test_the_guard_is_a_part_of_the_window(guard: float | None, after: float, weight: int) -> None:
    """Without it one-way jitter presses one send more into a window of the server's."""
    window = Window(Limit(2, 10.0), guard, paced=False)
    window.take(0.0, 2)
    assert window.earliest(weight) == pytest.approx(after)


@pytest.mark.parametrize(("guard", "interval"), [(None, 5.075), (0.0, 5.0), (0.5, 5.25)])
def test_the_guard_is_a_part_of_the_pace(guard: float | None, interval: float) -> None:
    """A pace that knows nothing of the guard ends each window with a wait."""
    window = Window(Limit(2, 10.0), guard)
    window.take(0.0)
    assert window.interval == pytest.approx(interval)
    assert window.earliest() == pytest.approx(interval)
    roomy = Window(Limit(20, 100.0), guard)
    roomy.take(0.0)
    assert roomy.earliest() == roomy.earliest(2) == pytest.approx(roomy.interval)


@pytest.mark.parametrize("stamped", [5.0, -5.0])
@pytest.mark.parametrize(("before", "weight", "earliest"), [(0, 3, [5, 5, 5]), (1, 2, [0, 5, 5]), (2, 1, [0, 0, 5])])
def test_all_sends_of_a_permit_are_stamped_anew(
    before: int, weight: int, earliest: list[float], stamped: float
) -> None:
    """Each of them, none that was there before, and never to an earlier time."""
    window = Window(Limit(3, 10.0), guard=0.0, paced=False)
    for _ in range(before):
        window.take(0.0)
    cell = window.take(0.0, weight)
    assert window.restamp(cell, stamped, weight)
    expected = [10.0 + (time if stamped > 0 else 0.0) for time in earliest]
    assert [window.earliest(more) for more in (1, 2, 3)] == expected


@pytest.mark.parametrize(("weight", "left"), [(1, [1.0, 2.0, 2.0]), (2, [1.0, 2.0]), (3, [1.0]), (4, [])])
def test_all_sends_of_a_permit_are_given_back(weight: int, left: list[float]) -> None:
    """Each of them, none that was there before, and the pace has them back too."""
    window = Window(Limit(8, 16.0), guard=0.0)
    for time in [1.0, 2.0, 2.0][: 4 - weight]:
        window.take(time, waited=True)
    pace = window.earliest()
    cell = window.take(2.0, weight, waited=True)
    window.give_back(cell, weight)
    assert window.latest(8) == left
    assert window.sent == len(left)
    assert window.earliest() == pytest.approx(max(pace, 1.9))


@pytest.mark.parametrize(
    ("takes", "earliest"),
    [
        ([0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 12.0, 12.0, 12.0, 14.0, 14.0]),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [12.0, 12.0, 12.0, 15.0, 15.0, 15.0]),
        ([0.0, 1.0, 2.0, 3.0], [3.0, 3.0, 12.0, 12.0, 12.0, 13.0]),
    ],
)
def test_a_group_expires_with_its_last_send(
    monkeypatch: pytest.MonkeyPatch, takes: list[float], earliest: list[float]
) -> None:
    """Two cells of three sends each: what fills a group waits for nothing, what begins one for the whole oldest."""
    monkeypatch.setattr(rate, "MAX_LOG_CELLS", 2)
    window = Window(Limit(6, 10.0), guard=0.0, paced=False)
    for time in takes:
        window.take(time)
    assert [window.earliest(weight) for weight in range(1, 7)] == earliest


def test_a_send_that_is_stamped_anew_in_a_group_holds_up_all_that_it_reaches_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A permit of three over two groups of two: both expire with it."""
    monkeypatch.setattr(rate, "MAX_LOG_CELLS", 3)
    window = Window(Limit(6, 10.0), guard=0.0, paced=False)
    window.take(0.0)
    cell = window.take(0.0, 3)
    window.take(1.0, 2)
    assert [window.earliest(weight) for weight in range(1, 7)] == [10.0, 10.0, 10.0, 10.0, 11.0, 11.0]
    window.restamp(cell, 5.0, 3)
    assert [window.earliest(weight) for weight in (1, 3, 5)] == [15.0, 15.0, 15.0]
    assert window.latest(3) == [5.0, 5.0, 1.0]
    assert [window.nth_last(count) for count in (1, 2, 3, 4, 6, 7)] == [1.0, 1.0, 5.0, 5.0, 5.0, -math.inf]


@pytest.mark.parametrize(
    ("now", "waited", "earliest"),
    [
        (0.055, False, 0.02),
        (0.07, False, 0.08),
        (10.0, False, 10.01),
        (0.1, True, 0.02),
        (10.0, True, 9.91),
    ],
)
def test_how_much_lateness_is_caught_up(now: float, waited: bool, earliest: float) -> None:
    """Up to 50 ms if nobody waited, 100 ms if somebody did; more of it would be a burst."""
    window = Window(Limit(100, 1.0), guard=0.0)
    window.take(0.0)
    window.take(now, waited=waited)
    assert window.earliest() == pytest.approx(earliest)


def test_a_log_that_is_found_is_gone_on_with() -> None:
    """What a killed process sent last is the beginning of the pace, and what it sent first expires first."""
    found = array("d", [3.0, 4.0, 1.0, 2.0])
    window = Window(Limit(4, 2.0), guard=0.0, cells=found, head=2)
    assert window.earliest() == 4.5
    assert window.latest(3) == [2.0, 3.0, 4.0]
    assert [window.nth_last(count) for count in (1, 2, 4, 5)] == [4.0, 3.0, 1.0, -math.inf]
    window.take(4.5)
    assert (window.head, list(found)) == (3, [3.0, 4.0, 4.5, 2.0])
    window.detach()
    window.take(5.0)
    assert (window.latest(2), list(found)) == ([4.5, 5.0], [3.0, 4.0, 4.5, 2.0])


class Traffic:
    """Sends under a window as a limiter makes them: granted in one pass, each then stamped anew or given back."""

    def __init__(self, limit: Limit, guard: float, most_cells: int) -> None:
        self.limit = limit
        self.guard = guard
        self.window = Window(limit, guard)
        self.capacity = limit.count // -(-limit.count // most_cells) * -(-limit.count // most_cells)
        self.sends: list[float] = []

    def dispatch(self, now: float, weights: list[int], stalls: list[float | None], *, waited: bool) -> float:
        """Grant what is due at `now`; then each is stamped so much later, or (None) given back. Returns the end."""
        granted = []
        for weight, stall in zip(weights, stalls, strict=True):
            weight = min(weight, self.capacity)
            if self.window.earliest(weight) > now:
                break
            granted.append((self.window.take(now, weight, waited=waited), weight, stall))
        for cell, weight, stall in granted:
            if stall is None:
                self.window.give_back(cell, weight)
                continue
            now += stall
            self.window.restamp(cell, now, weight)
            self.sends += [now] * weight
        return now

    def restart(self) -> None:
        """A killed process leaves its cells; the next one sorts them into its own."""
        cells = sorted(self.window._cells[index] for index in range(self.window._size))
        self.window = Window(self.limit, self.guard, cells=array("d", cells))


dispatches = st.tuples(
    st.floats(0, 3),
    st.lists(
        st.tuples(st.integers(1, 12), st.one_of(st.none(), st.just(0.0), st.floats(0, 0.5))), min_size=1, max_size=6
    ),
    st.booleans(),
    st.sampled_from(["", "", "", "", "restart", "hold", "wait"]),
)


@pytest.mark.parametrize("most_cells", [65_536, 5])
@given(st.data())
def test_no_window_ever_holds_more_than_the_limit(most_cells: int, data: st.DataObject) -> None:
    """Arbitrary arrivals, weights, stalls, cancellations, pauses and restarts, with and without grouped logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "MAX_LOG_CELLS", most_cells)
        limit = Limit(data.draw(st.integers(1, 23)), data.draw(st.sampled_from([0.5, 1.0, 3.0, 60.0])))
        traffic = Traffic(limit, data.draw(st.sampled_from([0.0, 0.015, 0.5])), most_cells)
        now = data.draw(st.sampled_from([0.0, 1.0, 1e6]))
        for pause, asked, waited, event in data.draw(st.lists(dispatches, max_size=40)):
            now += pause
            if event == "restart":
                traffic.restart()
            elif event == "hold":
                traffic.window.hold(now + pause)
            elif event == "wait":
                now = max(now, traffic.window.earliest(traffic.capacity))
            weights = [weight for weight, _ in asked]
            now = traffic.dispatch(now, weights, [stall for _, stall in asked], waited=waited)
        if traffic.sends:
            assert most_in_any_window(traffic.sends, limit.seconds) <= limit.count


@pytest.mark.parametrize("most_cells", [65_536, 64])
@given(
    count=st.integers(1, 500),
    seconds=st.sampled_from([1.0, 5.0, 60.0]),
    late=st.lists(st.floats(0, 0.002), min_size=1, max_size=20),
)
def test_constant_demand_uses_the_limit(most_cells: int, count: int, seconds: float, late: list[float]) -> None:
    """With somebody always waiting, 99.9 % of what the window with its guard allows is sent, timers late or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "MAX_LOG_CELLS", most_cells)
        limit = Limit(count, seconds)
        window = Window(limit)
        now = 0.0
        total = 3 * count + 20
        for number in range(total):
            now = max(now, window.earliest()) + (late[number % len(late)] if count < 100 else 0.0)
            window.take(now, waited=number > 0)
        span = limit.seconds + window.guard
        possible = 1 + now / span * count
        # Once in a window the log waits for a timer that was late, and for the rest of a group.
        group = -(-count // most_cells)
        lost = (now / span + 1) * (max(late) / span * count + 2 * group)
        lost = lost if group > 1 or max(late) > 0 else 0.0
        assert total >= 0.999 * possible - lost - 1


def test_used_is_the_share_of_the_limit() -> None:
    """A window that was filled without a guard was used wholly; one that was not, in part."""
    window = Window(Limit(10, 1.0), guard=0.0)
    now = 0.0
    for number in range(100):
        now = max(now, window.earliest())
        window.take(now, waited=number > 0)
    assert window.used() == pytest.approx(1.0, abs=0.01)
    assert Window(Limit(10, 1.0)).used() == 0.0
    idle = Window(Limit(10, 1.0), guard=0.0)
    idle.take(100.0)
    idle.take(101.0)
    assert idle.used() == pytest.approx(2 / 11)
    burst = Window(Limit(10, 1.0), paced=False)
    burst.take(100.0, 10)
    assert burst.used() == 1.0


@pytest.mark.parametrize("count", [1, 65_536, 65_537, 100_000, 131_071, 1_000_000, 10**12])
def test_a_long_log_counts_in_groups_and_wastes_almost_nothing(count: int) -> None:
    """However large the limit, the log stays small and stands for nearly all of it."""
    limit = Limit(count, 1.0)
    cells = rate.log_cells(limit)
    assert cells <= rate.MAX_LOG_CELLS
    group = count // cells
    assert count * (1 - 2 / 65_536) <= cells * group <= count
