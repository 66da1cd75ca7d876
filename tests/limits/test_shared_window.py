"""One limit for several processes: exact whoever comes, goes, is stopped or dies, and used in full."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import os
import signal
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import RateLimiter, UsageError
from penstock.limits import shared_log, shared_window
from penstock.limits.shared_log import NEXT, PACE, private_folder
from penstock.limits.shared_window import AHEAD, SharedWindow
from penstock.rules.limits import rate
from penstock.rules.limits.rate import Limit, Window
from penstock.testing import ManualClock, most_in_any_window


def window(folder: Path, text: str, clock: ManualClock, guard: float = 0.0) -> SharedWindow:
    """What one process has of the limit."""
    return SharedWindow(rate.parse_limit(text), guard, clock=clock, folder=folder)


def send(shared: SharedWindow, clock: ManualClock, weight: int = 1) -> float:
    """Wait as long as it takes, then send; returns the time."""
    while (when := shared.earliest(weight)) > clock.now():
        clock.advance(when - clock.now())
    shared.take(clock.now(), weight, waited=True)
    return clock.now()


ACTIONS = ["send", "run", "run", "ask", "grab", "drop", "release", "hold", "die", "leave"]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(ACTIONS),
        st.integers(1, 3),
        st.sampled_from([0.0, 0.0, 0.001, 0.004, 0.02, 0.06, 0.3, 1.5]),
    ),
    min_size=20,
    max_size=100,
)


class Processes:
    """Three that share `6/s@a`, step by step; what they send is in `sends`."""

    def __init__(self, folder: Path, guard: float) -> None:
        self.folder, self.guard = folder, guard
        self.clock = ManualClock(start=100.0)
        self.windows = [self.fresh() for _ in range(3)]
        self.grabbed: list[tuple[int, int] | None] = [None] * 3
        self.dead: list[SharedWindow] = []
        self.sends: list[float] = []
        self.paused_until = 0.0

    def fresh(self) -> SharedWindow:
        """Another process comes."""
        return window(self.folder, "6/s@a", self.clock, self.guard)

    def step(self, who: int, what: str, weight: int, delay: float) -> None:
        """One of them does something; then time goes on."""
        shared, clock = self.windows[who], self.clock
        if (grabbed := self.grabbed[who]) is not None:
            # It was stopped between its permit and its send, and goes on now.
            self.grabbed[who] = None
            if shared.restamp(grabbed[0], clock.now(), grabbed[1]):
                self.sends += [clock.now()] * grabbed[1]
        if what == "run":
            self.sends += [send(shared, clock) for _ in range(2 * weight)]
        elif what in ("send", "drop", "grab"):
            if shared.earliest(weight) <= clock.now():
                permit = shared.take(clock.now(), weight, waited=bool(weight % 2))
                self.took(who, what, permit, weight)
        elif what == "hold":
            shared.hold(clock.now() + delay)
            self.paused_until = max(self.paused_until, clock.now() + delay)
        elif what in ("die", "leave"):
            # Who dies leaves everything as it is.
            self.dead.append(shared) if what == "die" else shared.detach()
            self.windows[who] = self.fresh()
        else:
            shared.earliest(weight) if what == "ask" else shared.release()
        clock.advance(delay)

    def took(self, who: int, what: str, permit: int, weight: int) -> None:
        """What comes of a permit."""
        if what == "drop":
            self.windows[who].give_back(permit, weight)
        elif what == "grab":
            self.grabbed[who] = permit, weight
        else:
            assert self.clock.now() >= self.paused_until
            self.sends += [self.clock.now()] * weight


@pytest.mark.parametrize("cells", [65_536, 3])
@settings(max_examples=150, deadline=None)
@given(steps=STEPS, guard=st.sampled_from([0.0, 0.02]))
def test_in_no_window_are_there_more_sends_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, cells: int, steps: list[tuple[int, str, int, float]], guard: float
) -> None:
    """Three processes ask, send, give back, are stopped, die, pause and come again, in any order, with any weights."""
    folder = tmp_path_factory.mktemp("limits")
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "MAX_LOG_CELLS", cells)
        processes = Processes(folder, guard)
        for step in steps:
            processes.step(*step)
        clock = processes.clock
        assert most_in_any_window(processes.sends, 1.0) <= 6
        # However it went on, nothing is held for ever: all that is unused is back after one window.
        clock.advance(1.0 + guard + max(0.0, processes.paused_until - clock.now()))
        again = [send(processes.windows[0], clock) for _ in range(13)]
        assert most_in_any_window(processes.sends + again, 1.0) <= 6
        if cells > 6:
            assert again[-1] - again[0] <= 2 * (1.0 + guard) + 0.2


@pytest.mark.parametrize("count", [1, 2, 5])
def test_processes_together_use_all_of_it_and_take_turns(tmp_path: Path, count: int) -> None:
    """However many wait, together they send at exactly the pace of the limit, and each has its share."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    windows = [window(tmp_path, "10/s@a", clock) for _ in range(count)]
    sends: list[tuple[float, int]] = []
    wake = [(100.0, number) for number in range(count)]
    while len(sends) < 100:
        # Each asks when it was told to, a millisecond late, and sends again as soon as it may.
        when, number = heapq.heappop(wake)
        clock.advance(max(0.0, when + 0.001 - clock.now()))
        when = windows[number].earliest()
        if when <= clock.now():
            windows[number].take(clock.now(), waited=True)
            sends.append((clock.now(), number))
        heapq.heappush(wake, (when, number))
    times = [time for time, _ in sends]
    assert most_in_any_window(times, 1.0) <= 10
    assert times[-1] - times[0] == pytest.approx(9.9, abs=0.2)
    assert all(sum(who == number for _, who in sends) >= 100 / count - 10 for number in range(count))


def test_the_first_second_is_no_exception(tmp_path: Path) -> None:
    """Processes that start in the same moment do not each begin with a burst."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    windows = [window(tmp_path, "10/s@a", clock) for _ in range(4)]
    at_once = sum(shared.earliest() <= clock.now() for shared in windows)
    assert at_once == 1


def test_who_dies_takes_one_permit_along(tmp_path: Path) -> None:
    """The reservation of a dead process is lost, and nothing else: the next goes on one interval later."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    dead, alive = (window(tmp_path, "100/s@a", clock) for _ in range(2))
    send(alive, clock)
    assert clock.now() < dead.earliest() <= clock.now() + AHEAD
    before = clock.now()
    assert send(alive, clock) - before <= 0.02 + 1e-9


def test_a_reservation_is_no_longer_than_a_moment_ahead(tmp_path: Path) -> None:
    """Under a slow limit nobody holds the next permit for half a minute: who asks when it is due has it."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    dead, alive = (window(tmp_path, "1/min@a", clock) for _ in range(2))
    send(alive, clock)
    assert dead.earliest() == pytest.approx(160.0 - AHEAD)
    clock.advance(59.99)
    assert alive.earliest() == pytest.approx(160.0)
    clock.advance(0.01)
    assert alive.earliest() <= clock.now()


@pytest.mark.parametrize("other_is_last", [True, False])
def test_what_is_handed_back_is_there_for_others(tmp_path: Path, other_is_last: bool) -> None:
    """A reservation that is not wanted any more costs nobody a permit, also when somebody has reserved after it."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "5/s@a", clock) for _ in range(2))
    for _ in range(50):
        one.earliest()
        if other_is_last:
            other.earliest()
        one.release()
        send(other, clock)
    assert clock.now() - 100.0 == pytest.approx(49 / 5, abs=0.3)


def test_a_pause_holds_for_all_and_ends_without_a_burst(tmp_path: Path) -> None:
    """What one process was told, all keep to, also those that held a permit, came later, or asked for nothing yet."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "100/s@a", clock) for _ in range(2))
    send(other, clock)
    other.earliest()
    one.hold(clock.now() + 10.0)
    late = window(tmp_path, "100/s@a", clock)
    assert min(each.earliest() for each in (one, other, late)) == clock.now() + 10.0
    one.hold(clock.now() + 1.0)
    clock.advance(10.0)
    times = sorted(send(each, clock) for each in (one, other, late) for _ in range(3))
    assert times[0] >= 110.0
    assert most_in_any_window(times, 0.0099) == 1


def test_a_name_stands_for_one_limit_as_long_as_anybody_uses_it(tmp_path: Path) -> None:
    """Another limit under the name is refused, saying what it is and who has it; when all have gone it may change."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one = window(tmp_path, "10/s@api", clock)
    for _ in range(10):
        send(one, clock)
    with pytest.raises(UsageError, match=rf"'api' stands for 10/1s in process {os.getpid()}, not for 20/1s"):
        window(tmp_path, "20/s@api", clock)
    one.detach()
    other = window(tmp_path, "5/s@api", clock)
    # What was sent under the old limit counts.
    assert send(other, clock) >= 101.5 - 1e-9


def test_a_window_that_is_forgotten_lets_its_name_go(tmp_path: Path) -> None:
    """Nobody has to close anything for the name to become free."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    window(tmp_path, "10/s@api", clock)
    assert window(tmp_path, "20/s@api", clock).limit.count == 20


@pytest.mark.parametrize("down", [0.0, 30.0, 130.0, 10_000.0])
def test_after_a_reboot_nothing_is_sent_too_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, down: float) -> None:
    """The clock starts again: the sends of before count with a minute of doubt, and so does a pause."""
    tmp_path.chmod(0o700)
    before = ManualClock(start=5000.0)
    monkeypatch.setattr(shared_log, "boot_id", lambda: b"before")
    one = window(tmp_path, "10/100s@a", before)
    for _ in range(10):
        last = send(one, before)
    one.hold(before.now() + 5_000.0)
    one.detach()
    saved = before.wall()
    os.utime(tmp_path / "a.log", (saved, saved))
    monkeypatch.setattr(shared_log, "boot_id", lambda: b"after")
    after = ManualClock(start=3.0, epoch=saved + down)
    shift = before.now() + down - after.now()
    first = send(window(tmp_path, "10/100s@a", after), after) + shift
    assert first - last >= min(down, 100.0)
    assert first == pytest.approx(before.now() + max(down, 5_000.0), abs=0.1)


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 2000, b"PENSLIM1" + b"\xff" * 3000, b"PENSLIM1" + b"\0" * 2000])
def test_a_damaged_file_is_made_anew(tmp_path: Path, data: bytes) -> None:
    """What nobody uses and nobody can read is no reason to stop."""
    tmp_path.chmod(0o700)
    (tmp_path / "a.log").write_bytes(data)
    clock = ManualClock(start=100.0)
    shared = window(tmp_path, "10/s@a", clock)
    assert most_in_any_window([send(shared, clock) for _ in range(30)], 1.0) <= 10


def test_a_file_that_is_removed_comes_again_with_its_sends(tmp_path: Path) -> None:
    """Somebody tidies up while it is in use: those who share the limit find each other again, and forget no send."""
    tmp_path.chmod(0o700)
    clock, sends = ManualClock(start=100.0), list[float]()
    one, other = (window(tmp_path, "10/s@a", clock) for _ in range(2))
    for number in range(60):
        if number == 15:
            for path in tmp_path.iterdir():
                path.unlink()
            clock.advance(1.1)
        sends.append(send((one, other)[number % 2], clock))
    assert most_in_any_window(sends, 1.0) <= 10
    assert (tmp_path / "a.log").exists()


def test_names_that_nobody_needs_are_swept_away(tmp_path: Path) -> None:
    """The files of a run's own limits go when nobody has them and their sends are over, and no sooner."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    used, unused, other = (window(tmp_path, f"10/s@{name}", clock) for name in ("run-a", "run-b", "api"))
    for each in (used, unused, other):
        send(each, clock)
    unused.detach()
    other.detach()
    shared_log.sweep("run-", clock, tmp_path)
    assert len(list(tmp_path.iterdir())) == 6
    clock.advance(2.0)
    shared_log.sweep("run-", clock, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.holders", "api.log", "run-a.holders", "run-a.log"]
    send(used, clock)


def test_a_fork_does_not_use_the_locks_of_its_parent(tmp_path: Path) -> None:
    """After os.fork parent and child exclude each other, and the parent's reservation is not sent twice."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    shared = window(tmp_path, "10/s@a", clock)
    send(shared, clock)
    clock.advance(0.06)
    held = shared.earliest()
    assert held > clock.now()
    clock.advance(held - clock.now())
    child = os.fork()
    if child == 0:
        # Not `held`, which is the parent's.
        os._exit(0 if shared.earliest() > clock.now() and shared._log.lock() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shared.earliest() <= clock.now()


def test_a_fork_that_never_uses_it_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A child has a copy of every descriptor; what its parent let go must be free all the same."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "10/s@a", clock) for _ in range(2))
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        one.detach()
        assert other.earliest() <= clock.now()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_pause_after_the_end_is_no_error(tmp_path: Path) -> None:
    """Word of a pause can come while the run is being wound up, when its file is let go already."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    shared = window(tmp_path, "10/s@a", clock)
    send(shared, clock)
    shared.detach()
    shared.hold(105.0)
    shared.release()
    assert shared.used() > 0


def test_a_name_that_is_swept_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits at the door while the name is swept away does not make the file of those who came after anew."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    window(tmp_path, "2/s@run-a", clock).detach()
    open_file, others = shared_log._open_file, list[SharedWindow]()

    def slowly(path: Path) -> int:
        descriptor = open_file(path)
        if not others:
            monkeypatch.undo()
            shared_log.sweep("run-", clock, tmp_path)
            others.append(window(tmp_path, "2/s@run-a", clock))
        return descriptor

    monkeypatch.setattr(shared_log, "_open_file", slowly)
    late = window(tmp_path, "2/s@run-a", clock)
    assert others[0]._log.path.stat().st_ino == os.fstat(others[0]._log._file).st_ino
    sends = [send(shared, clock) for shared in (others[0], late, others[0], late)]
    assert most_in_any_window(sends, 1.0) <= 2


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared limit trusts its file, so nobody else may have a hand in it."""
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="not a folder of yours that only you can write to"):
        private_folder(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="PENSTOCK_LIMITS"):
        private_folder(link)
    monkeypatch.setenv("PENSTOCK_LIMITS", str(tmp_path / "own"))
    made = private_folder()
    assert made == tmp_path / "own"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_log_that_is_held_stops_nobody_but_the_sends(tmp_path: Path) -> None:
    """While a stopped process has the lock, the loop is told to ask again, and nothing blocks or breaks."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "10/s@a", clock) for _ in range(2))
    assert one._log.lock()
    assert other.earliest() > clock.now()
    other.hold(101.0)
    one._log.unlock()
    clock.advance(0.01)
    # The pause was remembered.
    assert other.earliest() == 101.0
    assert one.earliest() == 101.0


@pytest.mark.parametrize("torn", range(4))
def test_a_kill_between_two_stores_harms_nobody(tmp_path: Path, torn: int) -> None:
    """Cut the stores of a permit short at any of them: the others go on at once, within the limit."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "10/s@a", clock) for _ in range(2))
    sends = [send(one, clock) for _ in range(10)]
    log = one._log
    number, pace = log.numbers[NEXT], log.times[PACE]
    if torn >= 1:
        log.times[PACE] = pace + 0.1
    if torn >= 2:
        log.numbers[NEXT] = number + 1
    if torn >= 3:
        log.cells[number % 10] = max(clock.now(), log.cells[number % 10] + 1.0)
    sends += [send(other, clock) for _ in range(20)]
    assert most_in_any_window(sends, 1.0) <= 10
    assert max(late - early for early, late in itertools.pairwise(sends)) <= 0.2 + 1e-6


def test_who_joins_a_group_does_not_send_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a cell is for several sends, it is free for the second of them no sooner than for the first."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr(rate, "MAX_LOG_CELLS", 3)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "6/s@a", clock) for _ in range(2))
    for cell in range(3):
        one._log.cells[cell] = clock.now() - 0.96
    one._log.times[PACE] = clock.now() - 0.5
    assert one.earliest() == pytest.approx(100.04)
    assert other.earliest() >= one.earliest()


def test_weights_that_can_never_be_sent_are_refused(tmp_path: Path) -> None:
    """At once, and not after waiting for ever."""
    tmp_path.chmod(0o700)
    shared = window(tmp_path, "10/s@a", ManualClock(start=100.0))
    for weight in (0, 11):
        with pytest.raises(UsageError, match="can never be sent"):
            shared.earliest(weight)
    with pytest.raises(UsageError, match="no name"):
        window(tmp_path, "10/s", ManualClock())
    with pytest.raises(UsageError, match="cannot be the name"):
        SharedWindow(Limit(10, 1.0, "../a"), folder=tmp_path)


def test_it_says_how_much_all_together_used(tmp_path: Path) -> None:
    """The share of the limit is that of all processes, because the limit is."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "10/s@a", clock) for _ in range(2))
    assert one.used() == 0.0
    for _ in range(20):
        send(one, clock)
        send(other, clock)
    assert one.sent == 20
    assert one.used() == pytest.approx(1.0, abs=0.03)
    assert one.interval == pytest.approx(0.1)


@pytest.mark.real
def test_a_limiter_takes_a_name_and_other_limits_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`RateLimiter(["50/s@x", "5/s"])`: while the private limit holds back, others have all of the shared one."""
    monkeypatch.setenv("PENSTOCK_LIMITS", str(tmp_path / "limits"))

    async def main() -> tuple[float, int]:
        both, shared = RateLimiter(["200/s@x", "5/s"], guard=0.0), RateLimiter(["200/s@x"], guard=0.0)
        loop = asyncio.get_running_loop()
        began, others = loop.time(), 0

        async def alone() -> None:
            nonlocal others
            while True:
                await shared.acquire()
                others += 1

        task = asyncio.create_task(alone())
        for _ in range(3):
            await both.acquire()
        task.cancel()
        return loop.time() - began, others

    took, others = asyncio.run(main())
    assert took >= 0.39
    # All but the three, and what a busy machine costs.
    assert others >= 20


def test_shared_and_private_limits_hold_together(tmp_path: Path) -> None:
    """In virtual order: what the private limit delays is not reserved, so nothing of the shared one is lost."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    shared, other = (window(tmp_path, "10/s@a", clock) for _ in range(2))
    private = Window(Limit(1, 2.0), 0.0)
    private.take(clock.now())
    others = []
    while clock.now() < 102.0 - AHEAD - 0.02:
        shared.earliest(1, private.earliest())
        others.append(send(other, clock))
    assert len(others) == pytest.approx(20, abs=1)
    assert shared.earliest(1, private.earliest()) == pytest.approx(102.0, abs=0.11)
    assert math.isfinite(shared.expected())
    assert shared_window.AHEAD < 2.0


def test_a_newcomer_after_a_removal_does_not_begin_with_an_empty_log(tmp_path: Path) -> None:
    """The file is removed under one who has used up the limit; who comes next cannot know what was sent, and waits."""
    tmp_path.chmod(0o700)
    clock, sends = ManualClock(start=100.0), list[float]()
    one = window(tmp_path, "5/10s@a", clock)
    sends += [send(one, clock) for _ in range(5)]
    (tmp_path / "a.log").unlink()
    other = window(tmp_path, "5/10s@a", clock)
    sends += [send(each, clock) for each in (other, one, other, one)]
    assert most_in_any_window(sends, 10.0) <= 5


def test_what_another_made_anew_is_told_what_was_sent_before(tmp_path: Path) -> None:
    """Two who had the removed file: the first to look makes it anew, the other adds what it knows of a pause."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    one, other = (window(tmp_path, "5/10s@a", clock) for _ in range(2))
    send(one, clock)
    (tmp_path / "a.log").unlink()
    newcomer = window(tmp_path, "5/10s@a", clock)
    one.hold(clock.now() + 60.0)
    clock.advance(1.1)
    assert one.earliest() == 160.0
    assert newcomer.earliest() == 160.0
    assert other.earliest() == 160.0


@pytest.mark.parametrize("number", [1e12, float("nan"), float("inf")])
def test_a_pause_or_guard_that_nobody_can_have_asked_for_is_damage(tmp_path: Path, number: float) -> None:
    """A file of which one number is wrong is put right when nobody uses it."""
    tmp_path.chmod(0o700)
    clock = ManualClock(start=100.0)
    for place in (shared_log.PAUSED, shared_log.GUARD):
        shared = window(tmp_path, "10/s@a", clock)
        send(shared, clock)
        shared._log.times[place] = number
        shared.detach()
        assert window(tmp_path, "10/s@a", clock).earliest() <= clock.now() + 2.0
