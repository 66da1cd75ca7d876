"""The state as a file: written whole by one at a time, by many processes, with a kill at any moment."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.errors import UsageError
from penstock.migrate.state_file import change_state, load_state, state_path, take_back, with_route, workers_folder
from penstock.rules.moving.state import ArmsState, RouteState, write_state

ROUTE = "GET /quote/{id}"
HALF = RouteState("async", 0.5, 1000.0, stage=2)


def rolled(route: RouteState = HALF, name: str = ROUTE) -> ArmsState:
    """A state with one route."""
    return ArmsState({name: route})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where nothing is yet."""
    return tmp_path / "arms.json"


def test_the_variable_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else it is in the folder of the process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_ARMS", raising=False)
    assert state_path() == tmp_path / "arms.json"
    monkeypatch.setenv("PENSTOCK_ARMS", "/etc/shop/arms.json")
    assert state_path() == Path("/etc/shop/arms.json")
    assert workers_folder(state_path()) == Path("/etc/shop/arms.json.workers")


def test_what_is_not_there_is_empty(path: Path) -> None:
    """Nobody has rolled anything."""
    assert load_state(path) == ArmsState()


def test_a_change_is_written_whole_and_counted(path: Path) -> None:
    """Readable by its owner alone, and nothing but the lock is left beside it."""
    written = change_state(path, lambda state: with_route(state, ROUTE, HALF))
    assert written.revision == 1
    assert load_state(path) == written
    assert path.stat().st_mode & 0o777 == 0o600
    assert change_state(path, lambda state: with_route(state, "GET /b", HALF)).revision == 2
    assert set(load_state(path).routes) == {ROUTE, "GET /b"}
    assert {each.name for each in path.parent.iterdir()} == {"arms.json", "arms.json.lock"}


def test_no_change_is_not_written(path: Path) -> None:
    """Who waits for a new file does not wake up."""
    change_state(path, lambda state: rolled())
    before = path.stat()
    change_state(path, lambda state: state)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664])
def test_the_mode_of_a_file_that_is_there_stays(path: Path, mode: int) -> None:
    """The workers may be another user."""
    path.write_bytes(write_state(ArmsState()))
    path.chmod(mode)
    change_state(path, lambda state: rolled())
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_owner_of_a_file_that_is_there_stays(path: Path) -> None:
    """Root may type the command; the workers go on reading."""
    path.write_bytes(write_state(ArmsState()))
    os.chown(path, 65534, 65534)
    change_state(path, lambda state: rolled())
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("mode", "of_lock"), [(0o600, 0o600), (0o640, 0o640), (0o664, 0o660), (0o400, 0o600)])
def test_who_may_write_the_state_may_take_its_lock(path: Path, mode: int, of_lock: int) -> None:
    """Root may type the command; the workers go on taking back by themselves, also where the lock is there already."""
    lock = path.with_name("arms.json.lock")
    lock.touch(0o600)
    path.write_bytes(write_state(ArmsState()))
    path.chmod(mode)
    os.chown(path, 65534, 65534)
    change_state(path, lambda state: rolled())
    found = lock.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (65534, 65534, of_lock)


def test_the_group_of_a_file_that_is_there_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root cannot give it to its owner, who reads it by its group then."""
    path.write_bytes(write_state(ArmsState()))
    path.chmod(0o660)
    given: list[tuple[int, int]] = []

    def fchown(_descriptor: int, owner: int, group: int) -> None:
        if owner != -1:
            raise PermissionError(1, "Operation not permitted")
        given.append((owner, group))

    monkeypatch.setattr(os, "fchown", fchown)
    change_state(path, lambda state: rolled())
    # The lock and the state.
    assert given == [(-1, path.stat().st_gid)] * 2
    assert path.stat().st_mode & 0o777 == 0o660


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    """What it points to is written."""
    real = tmp_path / "data" / "real.json"
    real.parent.mkdir()
    path.symlink_to(real)
    change_state(path, lambda state: rolled())
    assert path.is_symlink()
    assert load_state(real) == load_state(path)


BAD: dict[str, Callable[[Path], object]] = {
    "half": lambda path: path.write_bytes(write_state(rolled())[:50]),
    "newer": lambda path: path.write_text('{"version": 2, "routes": {}}'),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "huge": lambda path: path.write_bytes(b" " * 2_000_000),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_not_written_over(path: Path, make: Callable[[Path], object]) -> None:
    """The other routes in it would lose their shares."""
    make(path)
    before = path.lstat()
    attempts: list[Callable[[], object]] = [
        lambda: load_state(path),
        lambda: change_state(path, lambda state: rolled()),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match=r"arms\.json cannot be read: "):
            attempt()
    assert path.lstat().st_ino == before.st_ino


def test_a_lock_that_is_held_is_waited_for_and_told(path: Path) -> None:
    """A process that was stopped in the middle."""
    lock = path.with_name("arms.json.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(UsageError, match=r"has been held by another process for 0\.1 s"):
            change_state(path, lambda state: rolled(), patience=0.1)
        assert 0.1 <= time.monotonic() - began < 5
    assert change_state(path, lambda state: rolled()).revision == 1


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(UsageError, match=r"no/arms\.json cannot be written: No such file or directory"):
        change_state(tmp_path / "no" / "arms.json", lambda state: rolled())


OTHER_STAGES = {
    "later": RouteState("async", 0.5, 1001.0, stage=2),
    "next stage": RouteState("async", 0.9, 1000.0, stage=3),
    "other arm": RouteState("client", 0.5, 1000.0, stage=2),
}


@pytest.mark.parametrize("there", OTHER_STAGES.values(), ids=OTHER_STAGES)
def test_only_the_stage_that_was_judged_is_taken_back(path: Path, there: RouteState) -> None:
    """Somebody has rolled on meanwhile, perhaps a mended arm."""
    change_state(path, lambda state: rolled(there))
    assert not take_back(path, ROUTE, HALF, "errors: all", 2000.0)
    assert load_state(path).routes[ROUTE] == there


def test_a_stage_is_taken_back_once(path: Path) -> None:
    """Several workers may be sure at the same time."""
    change_state(path, lambda state: rolled())
    assert take_back(path, ROUTE, HALF, "errors: all", 2000.0)
    assert not take_back(path, ROUTE, HALF, "errors: all of them", 2000.1)
    found = load_state(path).routes[ROUTE]
    assert (found.share, found.back, found.by, found.since) == (0.0, "errors: all", "back", 2000.0)
    assert not take_back(path, "GET /gone", HALF, "errors: all", 2000.0)


WRITER = """
import sys
from pathlib import Path
from penstock.migrate.state_file import change_state, with_route
from penstock.rules.moving.state import RouteState
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for number in range(count):
    change_state(path, lambda state: with_route(state, name, RouteState("async", 1.0, 0.0, stage=number + 1)), 60.0)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that writes its route again and again."""
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_no_change_of_four_processes_is_lost(path: Path) -> None:
    """And whoever reads meanwhile reads a whole state, with a revision that only grows."""
    writers = [writer(path, f"GET /{number}", 50) for number in range(4)]
    seen = 0
    while any(each.poll() is None for each in writers):
        state = load_state(path)
        assert state.revision >= seen
        seen = state.revision
    assert [each.communicate() and each.returncode for each in writers] == [0] * 4
    state = load_state(path)
    assert state.revision == 200
    assert {route.stage for route in state.routes.values()} == {50}


def test_a_writer_can_be_killed_at_any_moment(path: Path) -> None:
    """The state is one of those that were written, the lock is free, and one part at most is left."""
    for number in range(15):
        process = writer(path, "GET /a", 100_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.002 + number * 0.0013)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before = load_state(path).revision
        assert change_state(path, lambda state: with_route(state, "GET /b", HALF), 1.0).revision in (before, before + 1)
    left = {each.name for each in path.parent.iterdir()}
    assert left <= {"arms.json", "arms.json.lock", ".arms.json.part"}
