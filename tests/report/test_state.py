"""How far a run is, by what it has left so far."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.status import status_lines
from penstock.report.load import is_running, load_run
from penstock.report.state import exit_code, run_state

from .report_tools import BEGAN, begin, end, make_folder, sample


class Held:
    """The lock of a run folder, held as a process at work holds it."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "lock", os.O_RDWR)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def state_of(folder: Path, *, running: bool = False, now: float = BEGAN + 10.2) -> dict[str, Any]:
    """What `penstock status` makes of a folder."""
    if running:
        with Held(folder):
            return run_state(load_run(folder, tail=True), now)
    return run_state(load_run(folder, tail=True), now)


def test_a_running_run_tells_its_rate_and_when_it_will_be_done(tmp_path: Path) -> None:
    """At a hundred a second, with 530 of 1,500 left to do."""
    folder = make_folder(tmp_path / "out.run", [sample(float(n)) for n in range(11)], [begin(total=1500)])
    state = state_of(folder, running=True)
    assert (state["state"], state["pid"], state["items"], state["total"]) == ("running", 4711, 970, 1500)
    assert state["rate_per_s"] == pytest.approx(100)
    assert state["eta_s"] == pytest.approx(530 / 97, rel=0.05)
    assert (state["in_flight"], state["in_flight_ceiling"], state["silent_s"]) == (30, 64, 0.0)
    assert exit_code(state) == 0
    assert status_lines(state) == [
        f"{tmp_path}/out: running as process 4711 for 10 s",
        "  done      970 of 1,500 items (64.7%), 970 ok, 0 failed",
        "  sent      1,000 attempts, 0 retries, 0 throttled",
        "  rate      100.0/s of 100/s, 30 in flight (at most 64)",
        "  left      530, at this pace done in 6s",
    ]


def test_the_rate_is_told_in_the_unit_of_the_limit(tmp_path: Path) -> None:
    """Nobody can compare `1.7/s of 100/min` at a glance."""
    lines = [sample(float(n), attempts=int(n * 1.7), limits=["100/min", "10/s"]) for n in range(11)]
    folder = make_folder(tmp_path / "out.run", lines, [begin()])
    assert "rate      102.0/min of 100/min and 10/s, " in "\n".join(status_lines(state_of(folder, running=True)))


def test_limits_for_each_key_are_told(tmp_path: Path) -> None:
    """They are no limit on the rate of all, but they are limits."""
    each = "20/s for each tenant (3 of them)"
    folder = make_folder(tmp_path / "out.run", [sample(float(n), limits=[each]) for n in range(11)], [begin()])
    assert (
        "100.0/s of 20/s for each tenant (3 of them), 30 in flight" in status_lines(state_of(folder, running=True))[3]
    )


ENDINGS: dict[str, tuple[list[Any], str, int]] = {
    "finished": ([begin(), end(BEGAN + 10.5)], "complete", 0),
    "stopped": ([begin(), end(BEGAN + 4, "stopped")], "stopped", 3),
    "error": ([begin(), end(BEGAN + 4, "error", message="the disk is full")], "error", 3),
    "killed": ([begin()], "killed", 3),
    "killed in the second session": ([begin(), end(BEGAN + 4, "stopped"), begin(BEGAN + 6)], "killed", 3),
    "finished by an older version": ([], "complete", 0),
}


@pytest.mark.parametrize(("sessions", "state", "code"), ENDINGS.values(), ids=ENDINGS)
def test_a_run_that_is_not_running_tells_how_it_ended(
    tmp_path: Path, sessions: list[Any], state: str, code: int
) -> None:
    """As the list of sessions says; no end at all is a kill."""
    found = state_of(make_folder(tmp_path / "out.run", sessions=sessions))
    assert found["state"] == state
    assert exit_code(found) == code
    assert ("the disk is full" in "\n".join(status_lines(found))) == (state == "error")
    assert (found["rate_per_s"], found["eta_s"], found["pid"]) == (0.0, None, None)


def test_failures_make_exit_code_1(tmp_path: Path) -> None:
    """Of items, and of the answers to a census."""
    lines = [sample(0.0), sample(10.5, items=1000, ok=990, failed=10, by_kind={"timeout": 10})]
    state = state_of(make_folder(tmp_path / "out.run", lines))
    assert exit_code(state) == 1
    assert "10 failed (timeout 10)" in status_lines(state)[1]
    assert exit_code({"state": "complete", "failed": 0}, not_right=3) == 1


def test_what_is_the_matter_is_said(tmp_path: Path) -> None:
    """A pause, an outage, and a process that says nothing any more."""
    last = sample(10.0, paused_until=BEGAN + 70, outage_since=BEGAN + 5, parked=12)
    folder = make_folder(tmp_path / "out.run", [sample(9.0), last], [begin()])
    lines = "\n".join(status_lines(state_of(folder, running=True, now=BEGAN + 40)))
    assert "paused    for another 30 s" in lines
    assert "the host is taken to be down for 35 s" in lines
    assert "12 parked" in lines
    assert "no sample for 30 s" in lines


def test_an_outage_has_a_reason_and_no_pace(tmp_path: Path) -> None:
    """It said `left 110, at this pace done in 17s` directly above `the host is taken to be down`, and not why."""
    reason = "connect: http://127.0.0.1:42839: no connection (Connect call failed ('127.0.0.1', 42839))"
    lines = [sample(float(n)) for n in range(11)]
    lines[-1] |= {"outage_since": BEGAN + 8, "outage_reason": reason}
    folder = make_folder(tmp_path / "out.run", lines, [begin(max_outage_s=21600.0)])
    state = state_of(folder, running=True, now=BEGAN + 20)
    assert (state["eta_s"], state["down_for_s"], state["down_reason"]) == (None, 12.0, reason)
    assert status_lines(state)[-2:] == [
        "  left      30",
        "  outage    the host is taken to be down for 12 s (connect: http://127.0.0.1:42839: no connection (Connect "
        "call failed...)); it is probed, until it has been down for 6 h",
    ]


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    """Without a sample there is nothing to divide by."""
    state = state_of(make_folder(tmp_path / "out.run", [], [begin()]), running=True)
    assert (state["items"], state["rate_per_s"], state["eta_s"]) == (0, 0.0, None)
    assert status_lines(state)[-1] == "  left      1,000"
    assert state_of(make_folder(tmp_path / "new.run", [], []))["state"] == "new"


def test_looking_takes_no_lock(tmp_path: Path) -> None:
    """After a look the lock is free, during a run it stays held, and two may look at once."""
    folder = make_folder(tmp_path / "out.run")
    assert is_running(folder) == (False, 4711)
    with Held(folder):
        assert is_running(folder) == (True, 4711)
        assert is_running(folder) == (True, 4711)
    with Held(folder):
        pass
    (folder / "lock").unlink()
    assert is_running(folder) == (False, None)


def test_a_pull_is_told_in_pages_and_rows(tmp_path: Path) -> None:
    """With the total as it is known by now; a last empty page beyond it made "972 of 971" of it."""
    lines = [sample(float(n), total=971, rows=None, rows_promised=None) for n in range(10)]
    lines.append(sample(10.0, items=972, ok=972, total=971, rows=97_100, rows_promised=97_100))
    folder = make_folder(tmp_path / "out.run", lines, [begin(total=None)])
    assert status_lines(state_of(folder))[1] == (
        "  done      972 of 972 pages, 97,100 of 97,100 rows (100.0%), 972 ok, 0 failed"
    )
    assert "left      0" in "\n".join(status_lines(state_of(folder, running=True)))


def test_only_the_end_of_a_long_series_is_read(tmp_path: Path) -> None:
    """The rate is right all the same, and the line that the cut went through is no damage."""
    folder = make_folder(tmp_path / "out.run", [sample(float(n)) for n in range(2000)], [begin(total=10**6)])
    with Held(folder):
        record = load_run(folder, tail=True)
    assert len(record.samples) < 1000
    assert record.damaged == {}
    assert run_state(record, BEGAN + 2000)["rate_per_s"] == pytest.approx(100)
