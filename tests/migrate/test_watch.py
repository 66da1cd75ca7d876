"""Whatever happens to the state file, what is known stays, and is said once."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import penstock
from penstock.migrate import watch as watch_module
from penstock.migrate.watch import WATCH, Watch
from penstock.rules.moving.state import MOST_BYTES, write_state
from penstock.testing import ManualClock

from .routes import ROUTE, state, write

EPOCH = 4_000_000_000.0
"""Later than any time that a file of this test has, so that each is settled."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(epoch=EPOCH)


@pytest.fixture
def watch(state_file: Path, clock: ManualClock) -> Watch:
    """One whose ticks the test makes."""
    made = Watch(clock)
    made.path = state_file
    return made


def share(watch: Watch) -> float | None:
    found = watch.state.routes.get(ROUTE)
    return None if found is None else found.share


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "deleted": (lambda path: path.unlink(), "it is gone"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "truncated": (lambda path: path.write_bytes(write_state(state(0.7))[:60]), "it is no whole JSON document"),
    "newer": (lambda path: path.write_text('{"version": 2, "routes": {}}'), "it has version 2"),
    "huge": (lambda path: path.write_bytes(b" " * (MOST_BYTES + 5)), f"more than {MOST_BYTES}"),
    "another document": (lambda path: path.write_text("[1]"), "it is not a state of arms"),
    "a wrong share": (lambda path: path.write_text('{"version": 1, "routes": {"a": {"arm": "b", "share": 2}}}'), "2"),
    "a number beyond all numbers": (
        lambda path: path.write_text('{"version": 1, "routes": {"a": {"arm": "b", "share": 1%s}}}' % ("0" * 400)),
        "",
    ),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "it is no whole JSON document"),
    "a folder": (as_folder, "it is no file"),
    "a pipe": (as_pipe, "it is no file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_be_read_changes_nothing_and_is_said_once(
    name: str, watch: Watch, clock: ManualClock, state_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage, why = DAMAGE[name]
    write(state_file, 0.4)
    watch.tick()
    assert (share(watch), watch.problem) == (0.4, None)
    damage(state_file)
    for _ in range(50):
        clock.advance(0.1)
        watch.tick()
    assert share(watch) == 0.4
    assert watch.problem is not None
    assert why in watch.problem
    assert watch.age() == pytest.approx(5.0)
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert why in caplog.text
    if state_file.is_dir():
        state_file.rmdir()
    write(state_file, 0.6)
    watch.tick()
    assert (share(watch), str(watch.problem), watch.age()) == (0.6, "None", 0.0)
    assert len(caplog.records) == 2, "that it can be read again is said, too"


@pytest.mark.parametrize("name", [name for name in DAMAGE if name not in ("deleted", "a folder", "a pipe")])
def test_a_file_that_was_never_whole_moves_nobody(name: str, watch: Watch, state_file: Path) -> None:
    DAMAGE[name][0](state_file)
    watch.tick()
    assert (share(watch), watch.problem is None) == (None, False)
    state_file.unlink()
    watch.tick()
    assert watch.problem is None, "nothing was known, so nothing is lost"


def test_no_file_at_all_is_no_problem(watch: Watch, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        clock.advance(10.0)
        watch.tick()
    assert (watch.problem, watch.age(), caplog.records) == (None, 0.0, [])


def test_a_file_that_may_not_be_read(watch: Watch, state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for root, who may read everything."""
    write(state_file, 0.4)
    watch.tick()

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    write(state_file, 0.5)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refused)
        watch.tick()
    assert (share(watch), watch.problem) == (0.4, "Permission denied")
    watch.tick()
    assert (share(watch), watch.problem) == (0.5, None)


def test_what_has_not_changed_is_not_read(watch: Watch, state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(state_file, 0.4)
    watch.tick()
    opened = list[object]()
    real = os.open

    def counted(path: Path, flags: int) -> int:
        opened.append(path)
        return real(path, flags)

    monkeypatch.setattr(os, "open", counted)
    for _ in range(10):
        watch.tick()
    assert opened == []
    write(state_file, 0.5)
    watch.tick()
    assert len(opened) == 1


def test_a_file_that_is_damaged_is_read_once(watch: Watch, state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte ten times a second would be a megabyte too much."""
    DAMAGE["huge"][0](state_file)
    watch.tick()
    monkeypatch.setattr(os, "open", None)
    for _ in range(10):
        watch.tick()
    assert watch.problem is not None


def test_two_writings_that_look_alike_are_both_seen(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of files move in steps of some milliseconds; in place the inode stays, and so may the size."""
    write(state_file, 0.4)
    moment = state_file.stat().st_mtime_ns
    monkeypatch.setattr(watch_module, "_look_of", lambda _status: watch_module._Look(1, 1, 1, moment, moment))
    clock = ManualClock(epoch=moment / 1e9 + 0.01)
    watch = Watch(clock)
    watch.path = state_file
    watch.tick()
    write(state_file, 0.5)
    clock.advance(0.1)
    watch.tick()
    assert share(watch) == 0.5


def test_others_do_their_work_with_each_tick(
    watch: Watch, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[float] = []

    def fails(now: float) -> None:
        raise ValueError("broken")

    watch.on_tick += [fails, told.append]
    for _ in range(3):
        clock.advance(0.1)
        watch.tick()
    assert told == pytest.approx([0.1, 0.2, 0.3])
    assert len(caplog.records) == 1, "a hook that fails is said once"


def test_a_working_directory_that_is_gone_fails_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_ARMS")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    watch = Watch()
    watch.start()
    watch.stop()
    assert (share(watch), watch.problem) == (None, None)


FORKED = """
import os, sys, time
from pathlib import Path
from penstock.migrate.watch import WATCH
from tests.migrate.routes import ROUTE, write

path = Path(os.environ["PENSTOCK_ARMS"])
write(path, 0.25)
WATCH.start()
child = os.fork()
if child == 0:
    # What was known is known; the thread is made anew at the next request.
    assert (WATCH.started, WATCH.state.routes[ROUTE].share) == (False, 0.25)
    WATCH.start()
    write(path, 0.75)
    until = time.monotonic() + 5
    while WATCH.state.routes[ROUTE].share != 0.75 and time.monotonic() < until:
        time.sleep(0.02)
    os._exit(0 if WATCH.state.routes[ROUTE].share == 0.75 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.real
def test_a_child_looks_for_itself(state_file: Path) -> None:
    """As workers do whose app was loaded before they were forked."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_where_no_thread_can_be_had_requests_are_served(
    state_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(_self: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", none_left)
    write(state_file, 0.4)
    watch = Watch()
    watch.start()
    assert (watch.started, share(watch)) == (True, 0.4)
    assert "no thread can be started" in caplog.text


def test_the_first_request_does_not_wait_for_the_pool_of_the_loop(state_file: Path) -> None:
    """It may be full of work that takes long, which an async route has nothing to do with."""
    write(state_file, 0.4)
    end = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        work = loop.run_in_executor(None, end.wait, 30)
        watch = Watch()
        try:
            async with asyncio.timeout(5):
                await asyncio.gather(*(watch.start_aside() for _ in range(3)))
            assert (watch.started, share(watch)) == (True, 0.4)
        finally:
            end.set()
            await work
            watch.stop()

    asyncio.run(main())


def test_where_no_thread_can_be_had_the_first_request_is_served(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the loop as well."""

    def none_left(_self: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", none_left)
    write(state_file, 0.4)
    watch = Watch()
    asyncio.run(watch.start_aside())
    assert (watch.started, share(watch)) == (True, 0.4)


class NeedsRequest(logging.Filter):
    """What many apps have: it puts the user into every line, and raises where there is no request."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("working outside of request context")


def test_a_log_that_raises_stops_nothing(watch: Watch, state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the thread, which would see no change any more, nor a request."""
    logger = logging.getLogger("penstock.move")
    monkeypatch.setattr(logger, "filters", [NeedsRequest()])
    state_file.write_text("{")

    def fails(_now: float) -> None:
        raise LookupError

    watch.on_tick.append(fails)
    watch.tick()
    write(state_file, 0.5, "not there")
    watch.tick()
    assert share(watch) == 0.5
    WATCH.start()
    write(state_file, 1.0, "not there")
    WATCH.look()
    assert asyncio.run(penstock.arms(ROUTE)(lambda: "control")()) == "control"


def test_a_line_of_the_log_is_that_of_its_writer(
    watch: Watch, state_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state_file.write_text("{")
    watch.tick()
    assert [each.filename for each in caplog.records] == ["watch.py"]
