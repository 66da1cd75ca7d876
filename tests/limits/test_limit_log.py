"""The log of recent sends: two processes one after the other keep a limit as one would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.limits import cell_map
from penstock.limits.limit_log import LimitLog
from penstock.rules.limits import rate, sent_before
from penstock.rules.limits.rate import Limit
from penstock.testing import ManualClock, most_in_any_window


def send_all(log: LimitLog, clock: ManualClock, count: int, sends: list[float]) -> None:
    """`count` sends as fast as all limits allow."""
    for _ in range(count):
        due = max(window.earliest() for window in log.windows)
        clock.advance(max(0.0, due - clock.now()))
        for window in log.windows:
            window.take(clock.now(), waited=True)
        sends.append(clock.now())


def session(
    folder: Path, limits: list[Limit], clock: ManualClock, count: int, sends: list[float], *, killed: bool = True
) -> None:
    """One process: opens the log, sends, and goes, orderly or not."""
    log = LimitLog(folder, limits, 0.0, clock)
    send_all(log, clock, count, sends)
    if not killed:
        log.close()


@pytest.mark.parametrize("killed", [True, False])
def test_a_restart_does_not_break_the_limit(tmp_path: Path, killed: bool) -> None:
    """Sends of before and after a restart together are within the limit in every window."""
    clock, sends, limit = ManualClock(start=1000.0), list[float](), Limit(10, 1.0)
    for count in (25, 3, 0, 7, 40):
        session(tmp_path, [limit], clock, count, sends, killed=killed)
    assert most_in_any_window(sends, 1.0) <= 10
    # Nothing was wasted either: one interval after the other.
    assert sends[-1] - sends[0] <= 0.1 * (len(sends) - 1) + 0.2


@given(
    sessions=st.lists(st.tuples(st.integers(0, 30), st.floats(0, 2), st.integers(0, 2)), min_size=1, max_size=4),
    cells=st.sampled_from([65_536, 4]),
)
def test_restarts_and_changed_limits_keep_the_stricter_promise(
    tmp_path_factory: pytest.TempPathFactory, sessions: list[tuple[int, float, int]], cells: int
) -> None:
    """Kill and restart with one limit, another or both: the limit that is in force holds over what was before."""
    folder = tmp_path_factory.mktemp("log")
    choices = [[Limit(10, 1.0)], [Limit(10, 1.0), Limit(25, 5.0)], [Limit(6, 1.0)]]
    clock, sends = ManualClock(start=50.0), list[float]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "MAX_LOG_CELLS", cells)
        patch.setattr(sent_before, "MAX_LOG_CELLS", cells)
        for count, pause, choice in sessions:
            clock.advance(pause)
            before = len(sends)
            session(folder, choices[choice], clock, count, sends)
            for limit in choices[choice]:
                for time in sends[before:]:
                    window = [each for each in sends if each <= time < each + limit.seconds]
                    assert len(window) <= limit.count
    assert most_in_any_window(sends, 1.0) <= 10


def test_a_longer_window_beside_a_short_one_costs_nothing_at_a_restart(tmp_path: Path) -> None:
    """Two limits log the same sends; after a restart each counts them once."""
    clock, sends, limits = ManualClock(start=1000.0), list[float](), [Limit(10, 1.0), Limit(100, 60.0)]
    session(tmp_path, limits, clock, 20, sends)
    session(tmp_path, limits, clock, 80, sends)
    assert sends[-1] - sends[0] <= 60.0
    assert most_in_any_window(sends, 60.0) == 100


def test_logs_of_limits_that_are_gone_are_removed(tmp_path: Path) -> None:
    """After a change only the logs of the limits in force are there."""
    clock, sends = ManualClock(start=1000.0), list[float]()
    session(tmp_path, [Limit(10, 1.0), Limit(7, 2.0)], clock, 5, sends)
    session(tmp_path, [Limit(20, 1.0)], clock, 5, sends)
    assert [path.name for path in tmp_path.iterdir()] == ["limit-20-1.log"]


@pytest.mark.parametrize("down", [0.0, 5.0, 59.0, 130.0, 10_000.0])
def test_after_a_reboot_nothing_is_sent_too_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, down: float) -> None:
    """The clock starts again, the sends of before count with a minute of doubt, also at a second restart."""
    limit = Limit(10, 100.0)
    before = ManualClock(start=5_000.0)
    sends: list[float] = []
    monkeypatch.setattr(cell_map, "boot_id", lambda: b"before")
    session(tmp_path, [limit], before, 30, sends)
    saved = before.wall()
    os.utime(tmp_path / "limit-10-100.log", (saved, saved))
    monkeypatch.setattr(cell_map, "boot_id", lambda: b"after")
    # The machine was off for `down` seconds and has been up for 3 of them.
    after = ManualClock(start=3.0, epoch=saved + down)
    shift = before.now() + down - after.now()
    for count in (0, 0, 5, 15):
        again: list[float] = []
        session(tmp_path, [limit], after, count, again)
        sends += [time + shift for time in again]
    assert most_in_any_window(sends, 100.0) <= 10
    # It waits at most one window and the minute.
    assert sends[30] - sends[29] <= max(down, 100.0 + 60.0) + 1e-6


def test_a_clock_that_went_back_counts_all_sends_as_of_now(tmp_path: Path) -> None:
    """Times in the future (another machine's log, a clock set back) wait one window, no longer."""
    limit, sends = Limit(10, 1.0), list[float]()
    session(tmp_path, [limit], ManualClock(start=1e9), 10, sends)
    clock, again = ManualClock(start=5.0), list[float]()
    session(tmp_path, [limit], clock, 10, again)
    assert again[0] == 6.0


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 64, b"\0" * 71, b"\xff" * 200, b"\0" * 200])
def test_a_damaged_log_is_no_reason_to_stop(tmp_path: Path, data: bytes) -> None:
    """Half a log, or none, is read as what is in it; the next one is whole."""
    (tmp_path / "limit-10-1.log").write_bytes(data)
    sends: list[float] = []
    session(tmp_path, [Limit(10, 1.0)], ManualClock(start=1000.0), 30, sends)
    assert most_in_any_window(sends, 1.0) <= 10
    assert sends[0] <= 1001.0


def test_a_kill_while_the_log_is_opened_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new log replaces the old in one step: cut short before it, everything is still there."""
    clock, sends, limit = ManualClock(start=1000.0), list[float](), Limit(10, 1.0)
    session(tmp_path, [limit], clock, 10, sends)

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            LimitLog(tmp_path, [limit], 0.0, clock)
    session(tmp_path, [limit], clock, 10, sends)
    assert most_in_any_window(sends, 1.0) <= 10
    assert sends[10] - sends[0] >= 1.0


def test_giving_a_limit_a_name_or_taking_it_away_is_no_new_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions with and without a name, killed or not, one after the other: all their sends count."""
    monkeypatch.setenv("PENSTOCK_LIMITS", str(tmp_path / "limits"))
    clock, sends, folder = ManualClock(start=1000.0), list[float](), tmp_path / "run"
    folder.mkdir()
    plain, named = Limit(10, 1.0), Limit(10, 1.0, "api")
    for number, limit in enumerate([plain, named, named, plain, Limit(10, 1.0, "b"), named, plain]):
        log = LimitLog(folder, [limit], 0.0, clock)
        for _ in range(8):
            while (due := log.windows[0].earliest()) > clock.now():
                clock.advance(due - clock.now())
            log.windows[0].take(clock.now(), waited=True)
            sends.append(clock.now())
        if number % 2:
            log.close()
    assert most_in_any_window(sends, 1.0) <= 10
    assert [path.name for path in folder.iterdir()] == ["limit-10-1.log"]
