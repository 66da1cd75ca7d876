"""The files of workers, with real processes that are killed."""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.clock import SYSTEM_CLOCK
from penstock.migrate import worker_file, worker_files
from penstock.migrate.state_file import workers_folder
from penstock.migrate.tally import MOST_ROUTES, Tallies
from penstock.migrate.worker_file import SIZE, OwnFile, ReadFile
from penstock.migrate.worker_files import MOST_DEAD, WorkerFiles, since, sum_of

ROUTE = "GET /quote/{id}"
HERE = Path(__file__).parent


@contextlib.contextmanager
def fake_worker(path: Path, how: str = "serves", rate: float = 200.0) -> Iterator[subprocess.Popen[str]]:
    """A process that counts, from when others can read it on."""
    command = [sys.executable, str(HERE / "fake_worker.py"), str(path), how, str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where nothing is yet."""
    return tmp_path / "arms.json.workers"


def made(folder: Path, ended: int, **names: str) -> None:
    """A file of a worker that is dead."""
    tallies = Tallies()
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    tally = tallies.of(names.get("route", ROUTE), names.get("arm", "async"))
    for _ in range(ended):
        tally.begin()
        tally.end(0.01, failed=True)
    tally.begin()
    tally.lose("user")
    own.close()


def test_what_one_counts_another_reads(folder: Path) -> None:
    """While it is being counted; rows that come later, too."""
    tallies = Tallies()
    early = tallies.of(ROUTE, "control")
    early.begin()
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    late = tallies.of(ROUTE, "async")
    late.lose("user")
    files = WorkerFiles(folder)
    files.look()
    (worker,) = files.workers()
    assert worker.pid == os.getpid()
    assert worker.name == own.path.name
    assert abs(worker.started - SYSTEM_CLOCK.wall()) < 60
    early.end(0.5, failed=True)
    late.begin()
    seen = files.living()[worker.name][ROUTE]
    assert seen["control"] == early.counts()
    assert seen["async"] == late.counts()
    assert seen["async"].lost == {"user": 1}
    tallies.of("GET /b", "control").refuse()
    assert files.living()[worker.name]["GET /b"]["control"].shed == 1
    assert set(files.living([ROUTE])[worker.name]) == {ROUTE}
    own.close()


def test_only_the_user_can_read_them(folder: Path) -> None:
    """Names of routes are nobody else's."""
    own = OwnFile(folder, Tallies(), SYSTEM_CLOCK)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(own.path.stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == [own.path.name]
    own.close()


def test_a_file_takes_what_is_in_use_of_the_disk(folder: Path) -> None:
    """However many arms there is room for."""
    tallies = Tallies()
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    for number in range(10):
        tallies.of(f"GET /{number}", "control")
    assert own.path.stat().st_size == SIZE
    assert own.path.stat().st_blocks * 512 < 100_000
    own.close()


def test_a_file_has_room_for_all_arms(folder: Path) -> None:
    """The last row ends where the file does."""
    tallies = Tallies()
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    for number in range(MOST_ROUTES):
        for arm in ("control", "client", "async"):
            tallies.of(f"GET /{number}", arm).begin()
    tallies.of("GET /one more", "control").refuse()
    files = WorkerFiles(folder)
    files.look()
    (routes,) = files.living().values()
    assert len(routes) >= MOST_ROUTES
    assert all(counts.in_flight == 1 for arms in routes.values() for arm, counts in arms.items() if arm != "(more)")
    own.close()


def test_a_file_that_was_closed_counts_in_memory(folder: Path) -> None:
    """And what it held stays to be read."""
    tallies = Tallies()
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    tally = tallies.of(ROUTE, "async")
    tally.begin()
    own.close()
    tally.begin()
    assert tally.in_flight == 2
    files = WorkerFiles(folder)
    files.look()
    assert files.workers() == []
    assert files.ever()[ROUTE]["async"].ended == 0


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    """Its counts stay, its requests are not in flight any more, and it does not live."""
    path = tmp_path / "arms.json"
    files = WorkerFiles(workers_folder(path))
    with fake_worker(path, rate=2000.0) as process:
        time.sleep(0.5)
        files.look()
        assert [worker.pid for worker in files.workers()] == [process.pid]
        before = sum_of(files.living())[ROUTE]["control"]
        process.send_signal(signal.SIGKILL)
        process.wait()
    files.look()
    assert files.workers() == []
    assert files.living() == {}
    after = files.ever()[ROUTE]["control"]
    assert after.ended >= before.ended > 100
    assert after.in_flight == 0
    assert 0 <= sum(after.buckets) - after.ended <= 1


def test_a_stopped_worker_lives(tmp_path: Path) -> None:
    """It may go on; nobody declares it dead."""
    path = tmp_path / "arms.json"
    files = WorkerFiles(workers_folder(path))
    with fake_worker(path) as process:
        process.send_signal(signal.SIGSTOP)
        files.look()
        assert [worker.pid for worker in files.workers()] == [process.pid]
        process.send_signal(signal.SIGCONT)


def test_a_reader_sees_numbers_that_only_grow(tmp_path: Path) -> None:
    """A torn one would jump: for two seconds at several thousand requests a second, read as fast as can be."""
    path = tmp_path / "arms.json"
    files = WorkerFiles(workers_folder(path))
    with fake_worker(path, rate=50_000.0):
        files.look()
        last, looks = sum_of(files.living())[ROUTE]["control"], 0
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            now = sum_of(files.living())[ROUTE]["control"]
            assert 0 <= now.ended - last.ended < 100_000
            assert 0 <= now.total - last.total < 1000
            assert now.largest in (0.0, 0.01)
            assert sum(now.buckets) >= last.ended
            last, looks = now, looks + 1
    assert looks > 500
    assert last.ended > 1000


def test_a_worker_on_another_machine_is_let_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a shared volume: it lives, its clock is another, and its counts are its own until it is dead."""
    monkeypatch.setattr(worker_file, "read_boot_id", lambda: b"another")
    tallies = Tallies()
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    tallies.of(ROUTE, "async").begin()
    tallies.of(ROUTE, "async").end(0.01, failed=False)
    monkeypatch.undo()
    files = WorkerFiles(folder)
    files.look()
    assert (files.workers(), files.living(), files.ever()) == ([], {}, {})
    own.close()
    files.look()
    assert files.ever()[ROUTE]["async"].ended == 1


RUBBISH = {
    "empty": b"",
    "text": b"hello",
    "right size": bytes(SIZE),
    "another version": b"PENSMOV9".ljust(SIZE, b"\0"),
    "one too many": b"PENSMOV1".ljust(SIZE + 1, b"\0"),
}


@pytest.mark.parametrize("data", RUBBISH.values(), ids=RUBBISH)
def test_what_is_no_file_of_a_worker_is_let_be(folder: Path, data: bytes) -> None:
    """Whatever somebody puts there."""
    folder.mkdir()
    (folder / "123-abc").write_bytes(data)
    with pytest.raises(ValueError, match="123-abc is "):
        ReadFile(folder / "123-abc")
    made(folder, 3)
    files = WorkerFiles(folder)
    files.look()
    files.look()
    assert files.ever()[ROUTE]["async"].ended == 3
    assert (folder / "123-abc").read_bytes() == data


def test_other_things_in_the_folder_are_let_be(folder: Path) -> None:
    """A folder, a link to nowhere, a pipe."""
    folder.mkdir()
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("/nowhere")
    os.mkfifo(folder / "pipe")
    made(folder, 3)
    files = WorkerFiles(folder)
    files.look()
    assert files.ever()[ROUTE]["async"].ended == 3


def test_a_folder_that_is_not_there_tells_nothing(folder: Path) -> None:
    """No worker was ever seen."""
    files = WorkerFiles(folder)
    files.look()
    assert (files.workers(), files.living(), files.ever()) == ([], {}, {})


def test_a_file_that_is_cut_kills_nobody(folder: Path) -> None:
    """To read a page that is not there any more would be a SIGBUS."""
    tallies = Tallies()
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    tallies.of(ROUTE, "async").begin()
    files = WorkerFiles(folder)
    files.look()
    assert files.living()
    os.truncate(own.path, 10)
    assert files.living() == {own.path.name: {}}
    os.truncate(own.path, SIZE)
    own.close()


def test_many_dead_are_put_together(folder: Path) -> None:
    """None of their requests is lost, and none is counted twice."""
    for number in range(MOST_DEAD + 3):
        made(folder, 2, arm="async" if number % 2 else "client")
    files, other = WorkerFiles(folder), WorkerFiles(folder)
    other.look()
    before = other.ever()
    files.look()
    files.merge()
    assert {each.name for each in folder.iterdir()} == {"merged.json", ".lock"}
    other.look()
    assert files.ever() == other.ever() == before
    assert sum(counts.ended for counts in before[ROUTE].values()) == 2 * (MOST_DEAD + 3)
    assert before[ROUTE]["async"].lost == {"user": MOST_DEAD // 2 + 1}


def test_a_hundred_dead_stay_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no need."""
    monkeypatch.setattr(worker_files, "MOST_DEAD", 3)
    for _ in range(3):
        made(folder, 1)
    files = WorkerFiles(folder)
    files.look()
    files.merge()
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("moment", ["before the rename", "before the removal", "in the removal"])
def test_who_puts_them_together_can_be_killed(folder: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads then counts each once, and the next one goes on from there."""
    monkeypatch.setattr(worker_files, "MOST_DEAD", 3)
    for _ in range(5):
        made(folder, 2)
    if not (child := os.fork()):
        _die_at(moment, monkeypatch, folder)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    files = WorkerFiles(folder)
    files.look()
    assert files.ever()[ROUTE]["async"].ended == 10
    for _ in range(4):
        made(folder, 2)
    files.look()
    assert files.ever()[ROUTE]["async"].ended == 18
    files.merge()
    assert files.ever()[ROUTE]["async"].ended == 18
    fresh = WorkerFiles(folder)
    fresh.look()
    assert fresh.ever() == files.ever()


def _die_at(moment: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    left = {"before the rename": None, "before the removal": 0, "in the removal": 2}[moment]
    unlink = Path.unlink

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def unlink_some(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        assert left is not None
        if left == 0:
            die()
        left -= 1
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, *(("replace", die) if left is None else ("unlink", unlink_some)))
    files = WorkerFiles(folder)
    files.look()
    files.merge()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"rows": 1}',
        '{"rows": [{}]}',
        '{"rows": [], "swallowed": 1}',
        "null",
        '{"rows": [{"buckets": []}], "swallowed": []}',
        '{"rows": [{"route": "", "arm": "", "buckets": {"1": Infinity}}], "swallowed": []}',
    ],
)
def test_a_sum_that_somebody_has_written_over_counts_nothing(folder: Path, text: str) -> None:
    """And stops nobody."""
    folder.mkdir()
    (folder / "merged.json").write_text(text)
    made(folder, 2)
    files = WorkerFiles(folder)
    files.look()
    assert files.ever()[ROUTE]["async"].ended == 2


def test_what_was_counted_between_two_looks(tmp_path: Path) -> None:
    """Of who came in between, all; of who is gone, nothing."""
    path = tmp_path / "arms.json"
    files = WorkerFiles(workers_folder(path))
    with fake_worker(path):
        files.look()
        then = files.living()
        with fake_worker(path):
            time.sleep(0.3)
            files.look()
            now = files.living()
            assert len(now) == 2
            both = sum(now[name][ROUTE]["control"].ended for name in now)
            before = sum(then[name][ROUTE]["control"].ended for name in then)
            assert since(now, then)[ROUTE]["control"].ended == both - before > 20


def full(*_: object, **__: object) -> None:
    """As many files are open as may be."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


SCARCE = {
    "the folder": (Path, "iterdir"),
    "the sum of the dead, and the boot": (Path, "read_bytes"),
    "a file of a worker": (os, "open"),
    "its map": (mmap, "mmap"),
}


@pytest.mark.parametrize("what", SCARCE)
@pytest.mark.parametrize("is_new", [False, True])
def test_a_moment_without_descriptors_changes_nothing(
    folder: Path, what: str, is_new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known stays, and what is new is read when it can be."""
    monkeypatch.setattr(worker_files, "MOST_DEAD", 3)
    for _ in range(4):
        made(folder, 2)
    files = WorkerFiles(folder)
    files.look()
    files.merge()
    own = OwnFile(folder, Tallies(), SYSTEM_CLOCK)
    files.look()
    files = WorkerFiles(folder) if is_new else files
    with monkeypatch.context() as patch:
        patch.setattr(*SCARCE[what], full)
        files.look()
        assert is_new or (files.ever()[ROUTE]["async"].ended, len(files.workers())) == (8, 1)
    files.look()
    assert (files.ever()[ROUTE]["async"].ended, len(files.workers())) == (8, 1)
    own.close()


def test_the_sum_is_not_written_while_it_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are in it would be gone for good."""
    monkeypatch.setattr(worker_files, "MOST_DEAD", 3)
    for _ in range(4):
        made(folder, 2)
    files = WorkerFiles(folder)
    files.look()
    files.merge()
    for _ in range(4):
        made(folder, 2)
    other = WorkerFiles(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", full)
        other.look()
        other.merge()
    other.look()
    other.merge()
    assert other.ever()[ROUTE]["async"].ended == 16


def test_the_dead_take_no_descriptors(folder: Path) -> None:
    """A service that starts among many of them has its own to open."""
    for _ in range(30):
        made(folder, 1)
    there, opened = len(os.listdir("/proc/self/fd")), list[int]()
    before = worker_file.ReadFile.is_alive

    def counting(file: ReadFile) -> bool:
        opened.append(len(os.listdir("/proc/self/fd")))
        return before(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReadFile, "is_alive", counting)
        WorkerFiles(folder).look()
    assert max(opened) - there < 5


@pytest.mark.parametrize("what", ["the second open", "the map", "the name"])
def test_a_file_that_cannot_be_made_leaves_nothing(folder: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried every five seconds: one descriptor each time would take all of them."""
    tallies = Tallies()
    tally = tallies.of(ROUTE, "async")
    tally.begin()
    folder.mkdir()
    opens, before = os.open, set(os.listdir("/proc/self/fd"))

    def open_once(path: str, flags: int, mode: int = 0o777) -> int:
        return opens(path, flags, mode) if flags & os.O_CREAT else full()  # type: ignore[func-returns-value,return-value]

    place, name, broken = {
        "the second open": (os, "open", open_once),
        "the map": (mmap, "mmap", full),
        "the name": (Path, "rename", full),
    }[what]
    with monkeypatch.context() as patch:
        patch.setattr(place, name, broken)
        with pytest.raises(OSError, match="open files"):
            OwnFile(folder, tallies, SYSTEM_CLOCK)
    assert set(os.listdir("/proc/self/fd")) == before
    assert list(folder.iterdir()) == []
    tallies.of(ROUTE, "client").begin()
    assert tally.in_flight == 1
    own = OwnFile(folder, tallies, SYSTEM_CLOCK)
    assert tally.in_flight == 1
    own.close()


@pytest.mark.parametrize("name", ["../kept", "/kept", "..", "."])
def test_a_sum_names_no_file_that_is_elsewhere(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it names is removed, and anybody may have written it where the folder is open to all."""
    monkeypatch.setattr(worker_files, "MOST_DEAD", 3)
    folder.mkdir()
    kept = folder.parent / "kept"
    kept.write_text("mine")
    swallowed = str(kept) if name == "/kept" else name
    (folder / "merged.json").write_text(json.dumps({"version": 1, "swallowed": [swallowed], "rows": []}))
    for _ in range(4):
        made(folder, 2)
    files = WorkerFiles(folder)
    files.look()
    files.merge()
    assert kept.read_text() == "mine"
    assert files.ever()[ROUTE]["async"].ended == 8


def test_a_file_that_another_machine_has_removed_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system says so: a new one is made, and judging goes on."""
    own = OwnFile(folder, Tallies(), SYSTEM_CLOCK)

    def stale(*_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    assert own.is_there()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stale)
        assert not own.is_there()
    own.close()
