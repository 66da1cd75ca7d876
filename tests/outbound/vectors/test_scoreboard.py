"""The scoreboard: what was put and committed is there, whatever happened in between."""

import errno
import math
import os
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import InputError, RunRefused, StorageError
from penstock.outbound.vectors.fields import KIND_NAMES
from penstock.outbound.vectors.scoreboard import KIND_CODES, NO_ID, Scoreboard
from penstock.rules.census.finding import Finding
from penstock.rules.retries.verdict import KINDS

DONE = (1.0, 1234, NO_ID, Finding.SELF, 1, 200)
MISSING = (0.0, 0, 0, Finding.NOT_DONE, 0, 0)
SELF, WRONG, FAILED = Finding.SELF, Finding.WRONG, Finding.FAILED


def _put(board: Scoreboard, *indexes: int, finding: Finding = SELF) -> None:
    for index in indexes:
        board.put(index, 1.0, 1234, NO_ID, finding, 1, 200)


def test_kinds_are_numbered_for_good() -> None:
    """Every kind has a number of its own that fits the field and is not "none"; old ones never change."""
    assert set(KIND_CODES) == set(KINDS)
    assert len(KIND_NAMES) == len(KIND_CODES)
    assert all(0 < code < 255 for code in KIND_CODES.values())
    assert [KIND_CODES[kind] for kind in ("bad_record", "timeout", "reset", "throttled", "http_5xx")] == [
        1,
        6,
        8,
        12,
        15,
    ]


def test_layout_on_disk(tmp_path: Path) -> None:
    """16 bytes at position * 16, little-endian, as documented: other programs read it."""
    with Scoreboard.open(tmp_path / "b", 3) as board:
        board.put(1, 0.5, 1_000_000, 77, WRONG, 3, 200)
    data = (tmp_path / "b").read_bytes()
    assert len(data) == 48
    assert data[:16] == data[32:] == bytes(16)
    assert struct.unpack("<fIIBBH", data[16:32]) == (0.5, 1_000_000, 77, 4, 3, 200)
    assert 512 % 16 == 0


def test_the_file_is_reserved_at_once(tmp_path: Path) -> None:
    """A disk that is too small shows before the first call, not after hours."""
    Scoreboard.open(tmp_path / "b", 100_000).close()
    found = os.stat(tmp_path / "b")
    assert found.st_size == 1_600_000
    assert found.st_blocks * 512 >= 1_600_000
    assert stat.S_IMODE(found.st_mode) & 0o022 == 0
    assert sorted(os.listdir(tmp_path)) == ["b"]


def test_reopened(tmp_path: Path) -> None:
    """What was committed is there; what was not may not be."""
    board = Scoreboard.open(tmp_path / "b", 1000)
    _put(board, 0, 5, 999)
    board.commit()
    _put(board, 6)
    again = Scoreboard.open(tmp_path / "b", 1000, create=False)
    assert list(again.not_done()) == [(1, 5), (6, 999)]
    assert again.done_count() == 3
    again.close()
    board.close()
    with Scoreboard.open(tmp_path / "b", 1000) as last:
        assert last.done_count() == 4


def test_a_later_record_replaces(tmp_path: Path) -> None:
    """Before and after a commit, without touching its neighbours."""
    with Scoreboard.open(tmp_path / "b", 10) as board:
        _put(board, *range(10), finding=FAILED)
        board.put(4, 0.25, 9, 4, SELF, 2, 200)
        board.commit()
        board.put(5, 0.75, 9, 5, SELF, 2, 200)
        board.commit()
        assert board.get(4) == (0.25, 9, 4, SELF, 2, 200)
        assert board.get(5) == (0.75, 9, 5, SELF, 2, 200)
        assert board.get(6)[3] is FAILED
        assert board.counts()[FAILED] == 8


@pytest.mark.parametrize(
    ("put", "kept"),
    [
        ((1.0, -5, 3, SELF, 1, 200), (1.0, 0, 3, SELF, 1, 200)),
        ((1.0, 2**40, 3, SELF, 1, 200), (1.0, 2**32 - 1, 3, SELF, 1, 200)),
        ((1.0, 1, 2**40, SELF, 1, 200), (1.0, 1, NO_ID, SELF, 1, 200)),
        ((1.0, 1, 3, SELF, 1000, 70_000), (1.0, 1, 3, SELF, 255, 65_535)),
        ((1e300, 1, 3, WRONG, 1, 0), (math.inf, 1, 3, WRONG, 1, 0)),
        ((-1e300, 1, 3, WRONG, 1, 0), (-math.inf, 1, 3, WRONG, 1, 0)),
        ((math.inf, 1, 3, WRONG, 1, 0), (math.inf, 1, 3, WRONG, 1, 0)),
    ],
)
def test_numbers_too_large(tmp_path: Path, put: tuple[Any, ...], kept: tuple[Any, ...]) -> None:
    """Cut to what the field holds, without an exception in the middle of a run."""
    with Scoreboard.open(tmp_path / "b", 1) as board:
        board.put(0, *put)
        assert board.get(0) == kept


def test_nan_is_kept(tmp_path: Path) -> None:
    """No score is NaN."""
    with Scoreboard.open(tmp_path / "b", 1) as board:
        board.put(0, math.nan, 1, NO_ID, Finding.EMPTY, 1, 200)
        assert math.isnan(board.get(0)[0])


@pytest.mark.parametrize("index", [-1, 10, 255, 256, 10**9])
def test_outside(tmp_path: Path, index: int) -> None:
    """No record is written where there is none, also within the last page."""
    with Scoreboard.open(tmp_path / "b", 10) as board:
        with pytest.raises(IndexError):
            _put(board, index)
        with pytest.raises(IndexError):
            board.get(index)
    assert (tmp_path / "b").stat().st_size == 160


def test_no_vectors(tmp_path: Path) -> None:
    """An empty board is a board."""
    with Scoreboard.open(tmp_path / "b", 0) as board:
        assert list(board.not_done()) == []
        assert board.done_count() == 0
        assert board.summary().accuracy is None


def test_refusals(tmp_path: Path) -> None:
    """None there, another number of vectors, no folder."""
    with pytest.raises(InputError, match="no scoreboard"):
        Scoreboard.open(tmp_path / "b", 5, create=False)
    Scoreboard.open(tmp_path / "b", 5).close()
    with pytest.raises(RunRefused, match=r"5 records, but the input has 6.*--fresh") as caught:
        Scoreboard.open(tmp_path / "b", 6)
    assert caught.value.differs == ("count",)
    for path in (tmp_path / "none" / "b", tmp_path / "b" / "c"):
        with pytest.raises(StorageError):
            Scoreboard.open(path, 5)


def test_not_done_in_parts(tmp_path: Path) -> None:
    """Ranges that go on over blocks are one range; start and stop cut them."""
    count = 200_000
    with Scoreboard.open(tmp_path / "b", count) as board:
        assert list(board.not_done()) == [(0, count)]
        _put(board, 0, 65_535, 65_536, 150_000, count - 1)
        board.commit()
        assert list(board.not_done()) == [(1, 65_535), (65_537, 150_000), (150_001, count - 1)]
        assert list(board.not_done(65_535, 65_537)) == []
        assert list(board.not_done(70_000)) == [(70_000, 150_000), (150_001, count - 1)]
        assert list(board.not_done(10, 20)) == [(10, 20)]
        assert list(board.not_done(count)) == []
        assert list(board.not_done(10, count + 5))[-1] == (150_001, count - 1)


def test_reset(tmp_path: Path) -> None:
    """What --retry-failed does: those and only those are not done again, on disk."""
    with Scoreboard.open(tmp_path / "b", 100_000) as board:
        _put(board, *range(100_000))
        _put(board, 3, 70_000, finding=FAILED)
        _put(board, 5, finding=Finding.BAD_SCORE)
        assert board.reset([]) == 0
        assert board.reset([FAILED, Finding.BAD_SCORE]) == 3
        again = Scoreboard.open(tmp_path / "b", 100_000, create=False)
        assert list(again.not_done()) == [(3, 4), (5, 6), (70_000, 70_001)]
        again.close()
        assert board.get(3) == (0.0, 0, 0, Finding.NOT_DONE, 0, 0)
        assert board.reset([FAILED]) == 0


def test_memory_is_bounded_in_any_order(tmp_path: Path) -> None:
    """Items far apart do not pile up pages until the next commit, and none is lost by that."""
    count = 1_000_000
    with Scoreboard.open(tmp_path / "b", count) as board:
        for index in range(0, count, 256):
            _put(board, index)
        assert int(repr(board).split(", ")[1].split()[0]) <= 1024
        for index in range(1, count, 256):
            _put(board, index)
        board.commit()
        assert board.done_count() == 2 * -(-count // 256)


def test_put_while_frozen_pages_are_written(tmp_path: Path) -> None:
    """Records that come while an older state of their page is on its way to the disk are not lost."""
    with Scoreboard.open(tmp_path / "b", 1000) as board:
        _put(board, 1, 2)
        pages = board.freeze()
        _put(board, 3)
        assert board.get(1)[3] is SELF
        with pytest.raises(RuntimeError):
            board.freeze()
        board.write(pages)
        assert board.done_count() == 2
        board.commit()
        assert board.done_count() == 3


def test_many_pages_while_frozen_ones_are_written(tmp_path: Path) -> None:
    """More pages than are usually kept: none goes to the disk before the older state did."""
    count = 256 * 3000
    with Scoreboard.open(tmp_path / "b", count) as board:
        _put(board, *range(0, count, 256))
        pages = board.freeze()
        _put(board, *range(1, count, 256))
        board.write(pages)
        board.commit()
        assert board.done_count() == 6000


def test_written_in_another_thread(tmp_path: Path) -> None:
    """`put` in one thread and `write` in another: every record arrives."""
    count = 100_000
    with Scoreboard.open(tmp_path / "b", count) as board:
        for first in range(0, count, 10_000):
            _put(board, *range(first, first + 5000))
            writer = threading.Thread(target=board.write, args=(board.freeze(),))
            writer.start()
            _put(board, *range(first + 5000, first + 10_000))
            writer.join()
        board.commit()
        assert board.done_count() == count


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 2000),
    steps=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 1999), st.sampled_from(list(Finding))),
            st.sampled_from(["commit", "freeze", "write", "fail", "reopen"]),
        ),
        max_size=60,
    ),
)
def test_against_a_list(
    tmp_path_factory: pytest.TempPathFactory, count: int, steps: list[tuple[int, Finding] | str]
) -> None:
    """Any order of puts, commits, failed commits and restarts gives what a plain list gives."""
    path = tmp_path_factory.mktemp("board") / "b"
    board = Scoreboard.open(path, count)
    wanted = [Finding.NOT_DONE] * count
    pages = None
    for step in steps:
        if isinstance(step, tuple):
            index = step[0] % count
            _put(board, index, finding=step[1])
            wanted[index] = step[1]
        elif pages is not None and step != "fail":
            board.write(pages)
            pages = None
        elif step == "freeze":
            pages = board.freeze()
        elif step == "fail":
            _fail_to_write(board, pages if pages is not None else board.freeze())
            pages = None
        elif step == "commit":
            board.commit()
        elif step == "reopen":
            board.close()
            board = Scoreboard.open(path, count)
    if pages is not None:
        board.write(pages)
    assert [board.get(i)[3] for i in range(count)] == wanted
    board.close()
    with Scoreboard.open(path, count) as again:
        missing = {i for first, end in again.not_done() for i in range(first, end)}
        assert missing == {i for i, finding in enumerate(wanted) if finding is Finding.NOT_DONE}
        assert again.counts() == {finding: wanted.count(finding) for finding in Finding}


def _fail_to_write(board: Scoreboard, pages: dict[int, bytearray]) -> None:
    descriptor, board._descriptor = board._descriptor, os.open(os.devnull, os.O_RDONLY)
    try:
        if pages:
            with pytest.raises(StorageError):
                board.write(pages)
        else:
            board._writing = {}
    finally:
        os.close(board._descriptor)
        board._descriptor = descriptor


_IN_LITTLE_ROOM = """
import resource, signal, sys
from penstock.errors import StorageError
from penstock.outbound.vectors.scoreboard import Scoreboard

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Scoreboard.open(sys.argv[1], 1000)
except StorageError as error:
    print(error)
"""


def test_no_room_at_the_start(tmp_path: Path) -> None:
    """A file that really cannot be made in full (the kernel's limit on file size) is not made at all."""
    done = subprocess.run(
        [sys.executable, "-c", _IN_LITTLE_ROOM, str(tmp_path / "b")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "cannot make room for 16000 bytes" in done.stdout
    assert os.listdir(tmp_path) == []


def test_disk_full_at_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that says so; nothing is forgotten, and the next commit writes it."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    board = Scoreboard.open(tmp_path / "b", 1000)
    _put(board, 1, 999)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match="the disk is full; make room"):
            board.commit()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(StorageError, match="disk is full"):
            board.commit()
    _put(board, 2)
    board.close()
    with Scoreboard.open(tmp_path / "b", 1000) as again:
        assert again.done_count() == 3


def test_short_writes_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take a part only."""
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, bytes(data)[:100], offset))
    with Scoreboard.open(tmp_path / "b", 300) as board:
        _put(board, *range(300))
        board.commit()
        assert board.done_count() == 300


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_systems_that_cannot_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The file then has its size all the same."""

    def refuse(*_: object) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with Scoreboard.open(tmp_path / "b", 1000) as board:
        assert board.done_count() == 0
    assert (tmp_path / "b").stat().st_size == 16_000


def test_no_room_to_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC at the start is an error, and leaves no half-made file."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="16000 bytes: the disk is full"):
        Scoreboard.open(tmp_path / "b", 1000)
    assert os.listdir(tmp_path) == []


def test_killed_while_it_was_made(tmp_path: Path) -> None:
    """A half-made file has another name and is made again."""
    (tmp_path / "b.new").write_bytes(b"half")
    with Scoreboard.open(tmp_path / "b", 10) as board:
        assert board.done_count() == 0
    assert os.listdir(tmp_path) == ["b"]


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    """Somebody else's doing: an error, not zeros."""
    with Scoreboard.open(tmp_path / "b", 1000) as board:
        os.truncate(tmp_path / "b", 100)
        with pytest.raises(StorageError, match="shorter"):
            board.done_count()


def test_torn_pages_lose_nothing_committed(tmp_path: Path) -> None:
    """A power cut while a page is written again: any mixture of sectors keeps what was committed."""
    with Scoreboard.open(tmp_path / "b", 256) as board:
        _put(board, *range(0, 256, 2))
        board.commit()
        before = (tmp_path / "b").read_bytes()
        _put(board, *range(1, 256, 2))
        board.commit()
        after = (tmp_path / "b").read_bytes()
    for mask in range(0, 256, 15):
        sectors = [(after if mask >> i & 1 else before)[i * 512 : i * 512 + 512] for i in range(8)]
        (tmp_path / "torn").write_bytes(b"".join(sectors))
        with Scoreboard.open(tmp_path / "torn", 256) as torn:
            assert all(torn.get(i)[3] is SELF for i in range(0, 256, 2))
            assert all(torn.get(i) in (DONE, MISSING) for i in range(1, 256, 2))


def test_close_twice(tmp_path: Path) -> None:
    """The second does nothing."""
    board = Scoreboard.open(tmp_path / "b", 10)
    _put(board, 3)
    board.close()
    board.close()
    with Scoreboard.open(tmp_path / "b", 10) as again:
        assert again.done_count() == 1
