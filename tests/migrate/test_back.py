"""Back by itself: by the sum of all workers, once, and also where a worker cannot write."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.migrate.back import EVERY, ArmJudge
from penstock.migrate.state_file import change_state, load_state, with_route, workers_folder
from penstock.migrate.tally import ArmTally, Tallies
from penstock.migrate.worker_files import WorkerFiles
from penstock.rules.moving.state import BackLimits, RouteState
from penstock.testing import ManualClock

from .test_worker_files import fake_worker

ROUTE = "GET /quote/{id}"


class OneWorker:
    """A worker in this process, on a clock of its own."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.path = path
        self.clock = clock
        self.tallies = Tallies(clock)
        self.judge = ArmJudge(path, self.tallies, lambda: load_state(path), clock)
        self.control = self.tallies.of(ROUTE, "control")
        self.arm = self.tallies.of(ROUTE, "async")

    def serve(self, seconds: float, control: Callable[[ArmTally], None], arm: Callable[[ArmTally], None]) -> None:
        """A hundred requests a second to each, judged as often as in a worker."""
        for _ in range(round(seconds / 0.1)):
            for _ in range(10):
                control(self.control)
                arm(self.arm)
            self.clock.advance(0.1)
            self.judge.tick(self.clock.now())

    def route(self) -> RouteState:
        """What the state says."""
        return load_state(self.path).routes[ROUTE]


@pytest.fixture
def worker(tmp_path: Path) -> OneWorker:
    """A worker, where half of the requests go to the arm."""
    path = tmp_path / "arms.json"
    roll(path)
    return OneWorker(path, ManualClock(start=1000.0))


def roll(path: Path, share: float = 0.5, *, stage: int = 1, limits: BackLimits | None = None) -> None:
    """As the command does."""
    route = RouteState("async", share, 10.0 * stage, stage=stage, limits=limits or BackLimits())
    change_state(path, lambda state: with_route(state, ROUTE, route))


def good(tally: ArmTally) -> None:
    """A request of 10 ms."""
    tally.begin()
    tally.end(0.01, failed=False)


def failing(tally: ArmTally) -> None:
    """A 500."""
    tally.begin()
    tally.end(0.01, failed=True)


def sleeping(tally: ArmTally) -> None:
    """Two seconds."""
    tally.begin()
    tally.end(2.0, failed=False)


def refused(tally: ArmTally) -> None:
    """The ceiling."""
    tally.refuse()


def holding(tally: ArmTally) -> None:
    """Nearly all of the loop's time."""
    tally.begin()
    tally.block(0.009)
    tally.end(0.01, failed=False)


def held(tally: ArmTally) -> None:
    """A step that does not end."""
    if not tally.running:
        tally.begin()
        tally.step_began(tally._clock.now())


BAD = {"errors": failing, "p99": sleeping, "shed": refused, "blocked": holding, "blocked by one": held}


@pytest.mark.parametrize("after", [0.2, 60.0], ids=["a fresh stage", "a minute later"])
@pytest.mark.parametrize(("kind", "bad"), BAD.items(), ids=BAD)
def test_a_bad_arm_is_taken_back_within_two_seconds(
    worker: OneWorker, kind: str, bad: Callable[[ArmTally], None], after: float
) -> None:
    """Whatever is bad in it, and however long it was good."""
    worker.serve(after, good, good)
    assert worker.route().share == 0.5
    worker.serve(1.8, good, bad)
    route = worker.route()
    assert route.share == 0.0
    assert (route.back or "").startswith(kind.split()[0])
    assert route.by == "back"
    assert worker.arm.counts().backs.count(1) == 1


def test_a_good_arm_stays(worker: OneWorker) -> None:
    """For an hour."""
    worker.serve(600.0, good, good)
    assert worker.route().share == 0.5


def test_both_bad_stay(worker: OneWorker) -> None:
    """An upstream is down: the control would not help."""
    worker.serve(30.0, failing, failing)
    assert worker.route().share == 0.5


def test_what_was_bad_before_the_stage_is_forgotten(worker: OneWorker) -> None:
    """A mended arm is rolled out anew."""
    worker.serve(2.0, good, failing)
    assert worker.route().share == 0.0
    worker.serve(0.5, good, lambda tally: None)
    roll(worker.path, stage=2)
    worker.serve(20.0, good, good)
    assert worker.route().share == 0.5


def test_at_all_requests_the_control_is_known_from_before(worker: OneWorker) -> None:
    """There is none beside it."""
    worker.serve(5.0, good, lambda tally: None)
    roll(worker.path, 1.0, stage=2)
    worker.serve(5.0, lambda tally: None, good)
    assert worker.route().share == 1.0
    worker.serve(1.8, lambda tally: None, sleeping)
    assert worker.route().share == 0.0


@pytest.mark.parametrize("bad", [failing, sleeping], ids=["errors", "slow"])
def test_at_all_requests_a_bad_moment_is_not_the_arm(worker: OneWorker, bad: Callable[[ArmTally], None]) -> None:
    """The machine stood still, or the upstream failed, for a moment: nobody knows if the control would have."""
    worker.serve(5.0, good, lambda tally: None)
    roll(worker.path, 1.0, stage=2)
    worker.serve(5.0, lambda tally: None, good)
    for _ in range(3):
        worker.serve(0.3, lambda tally: None, bad)
        worker.serve(20.0, lambda tally: None, good)
    assert worker.route().share == 1.0
    worker.serve(1.9, lambda tally: None, bad)
    assert worker.route().share == 0.0


def test_at_all_requests_few_are_judged_when_they_are_enough(worker: OneWorker) -> None:
    """Two of a second all fail."""
    worker.serve(5.0, good, lambda tally: None)
    roll(worker.path, 1.0, stage=2)
    for _ in range(80):
        failing(worker.arm)
        worker.serve(0.5, lambda tally: None, lambda tally: None)
    assert worker.route().share == 0.0


def test_a_control_that_is_known_from_before_may_have_failed_as_well(worker: OneWorker) -> None:
    """One in ten of its requests has always failed."""
    count = 0

    def one_in_ten(tally: ArmTally) -> None:
        nonlocal count
        count += 1
        (good if count % 10 else failing)(tally)

    worker.serve(20.0, one_in_ten, lambda tally: None)
    roll(worker.path, 1.0, stage=2)
    worker.serve(60.0, lambda tally: None, one_in_ten)
    assert worker.route().share == 1.0


def test_few_requests_are_judged_when_they_are_enough(worker: OneWorker) -> None:
    """Two of a second never fill a window, and yet all of them fail."""
    for _ in range(14):
        failing(worker.arm)
        worker.serve(1.0, good, lambda tally: None)
    assert worker.route().share == 0.5
    for _ in range(10):
        failing(worker.arm)
        worker.serve(1.0, good, lambda tally: None)
    assert worker.route().share == 0.0


@pytest.mark.parametrize("limits", [BackLimits(None, None, None, None, None), BackLimits(errors=None)])
def test_what_is_not_limited_stays(worker: OneWorker, limits: BackLimits) -> None:
    """As the command was told."""
    roll(worker.path, limits=limits, stage=2)
    worker.serve(10.0, good, failing)
    assert worker.route().share == 0.5


def test_it_is_judged_four_times_a_second(worker: OneWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each tick."""
    looks: list[float] = []
    monkeypatch.setattr(WorkerFiles, "look", lambda self: looks.append(worker.clock.now()))
    for _ in range(1000):
        worker.clock.advance(0.01)
        worker.judge.tick(worker.clock.now())
    assert 10.0 / EVERY * 0.9 <= len(looks) - 1 <= 10.0 / EVERY


def test_nothing_is_read_where_nothing_moves(worker: OneWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that has not rolled anything pays for a heartbeat."""
    roll(worker.path, 0.0, stage=2)
    worker.judge.tick(worker.clock.now())
    monkeypatch.setattr(WorkerFiles, "look", lambda self: pytest.fail("it looked"))
    worker.serve(5.0, good, failing)


@pytest.mark.parametrize("how", ["a file", "a file above it"])
def test_where_no_folder_can_be_made_a_worker_judges_itself(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What it does itself it knows; and that others do not see it is said once."""
    path = tmp_path / "arms.json"
    roll(path)
    workers_folder(path).write_text("")
    worker = OneWorker(path, ManualClock(start=1000.0))
    with caplog.at_level(logging.ERROR, "penstock.move"):
        worker.serve(20.0, good, good)
        worker.serve(1.8, good, failing)
    assert worker.route().share == 0.0
    assert len([one for one in caplog.records if "cannot be used" in one.getMessage()]) == 1
    assert not worker.judge.is_open


def test_a_folder_that_was_removed_is_made_anew(worker: OneWorker) -> None:
    """What was counted until then goes along."""
    worker.serve(1.0, good, good)
    for each in workers_folder(worker.path).iterdir():
        each.unlink()
    workers_folder(worker.path).rmdir()
    worker.serve(3.0, good, good)
    files = WorkerFiles(workers_folder(worker.path))
    files.look()
    assert files.ever()[ROUTE]["control"].ended == worker.control.ended == 400
    worker.judge.close()


def test_a_state_that_cannot_be_written_is_said_once(worker: OneWorker, caplog: pytest.LogCaptureFixture) -> None:
    """A config map: nobody can take it back but who rolls it out."""
    state = load_state(worker.path)
    worker.judge = ArmJudge(worker.path, worker.tallies, lambda: state, worker.clock)
    worker.path.with_name("arms.json.lock").unlink()
    worker.path.with_name("arms.json.lock").mkdir()
    with caplog.at_level(logging.ERROR, "penstock.move"):
        worker.serve(1.0, good, good)
        worker.serve(5.0, good, failing)
    said = [one.getMessage() for one in caplog.records]
    assert len(said) == 1
    assert "cannot be taken back, though it should be (errors: " in said[0]


def test_a_fork_keeps_a_file_of_its_own(worker: OneWorker) -> None:
    """And the parent's lock stays the parent's: when it dies, it is dead."""
    worker.serve(1.0, good, good)
    files = WorkerFiles(workers_folder(worker.path))
    files.look()
    if not (child := os.fork()):
        worker.serve(1.0, failing, failing)
        time.sleep(30)
        os._exit(0)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until and files.ever()[ROUTE]["control"].ended < 200:
            time.sleep(0.01)
            files.look()
        assert {each.pid for each in files.workers()} == {os.getpid(), child}
        worker.judge.close()
        files.look()
        assert [each.pid for each in files.workers()] == [child]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    files.look()
    assert files.workers() == []
    counts = files.ever()[ROUTE]["control"]
    assert counts.ended == 200
    assert counts.errors == 100


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("how", ["fails", "sleeps", "blocks", "holds"])
def test_real_workers_take_it_back(tmp_path: Path, how: str, count: int) -> None:
    """200 requests a second over all of them; one of them is killed meanwhile, where there are more."""
    path = tmp_path / "arms.json"
    roll(path, 0.0)
    workers = [fake_worker(path, how, 200.0 / count) for _ in range(count)]
    processes = [each.__enter__() for each in workers]
    try:
        time.sleep(1.0)
        roll(path, 0.5, stage=2)
        began = time.monotonic()
        if count == 4:
            processes[0].kill()
        while load_state(path).routes[ROUTE].share and time.monotonic() - began < 10:
            time.sleep(0.01)
        took = time.monotonic() - began
        route = load_state(path).routes[ROUTE]
        assert route.back is not None
        assert took < 4.0, route
    finally:
        for each in workers:
            each.__exit__(None, None, None)
