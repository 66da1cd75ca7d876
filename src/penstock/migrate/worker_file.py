"""The file of one worker: its counts, mapped into its memory, so that a kill -9 loses nothing and others can read.

::

    head (4 KiB)    magic, process, start, heartbeat, how many rows, boot, names of what is lost
    rows            one for each arm of a route, see `row`

The file has its whole size from the beginning, and blocks on the disk for the head and the rows that are in use
alone: a store into a page that the disk has no room for would kill the process (SIGBUS). For as long as the worker
lives it has an exclusive flock on it, which the kernel lets go of however it dies; nobody has to be declared dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..clock import Clock
from ..limits.shared_log import read_boot_id
from ..rules.moving.windows import ArmCounts
from .row import BYTES, MOST_LOST, ArmRow
from .tally import MOST_ARMS, ArmTally, Tallies

_MAGIC = int.from_bytes(b"PENSMOV1", "little")
_HEAD = 4096
# Numbers of eight bytes.
_MAGIC_AT, _PID, _STARTED, _HEARTBEAT, _ROWS, _LOST_NAMES = range(6)
_BOOT = slice(64, 104)
_NAMES, _NAME_BYTES = 512, 64
SIZE = _HEAD + MOST_ARMS * BYTES

Route = dict[str, ArmCounts]
"""Counts by arm."""


class OwnFile:
    """That of this process, in `folder`, which is made where it is not there. Raises OSError.

    `close` leaves the file where it is: others read it for what was counted.
    """

    def __init__(self, folder: Path, tallies: Tallies, clock: Clock) -> None:
        self._tallies = tallies
        self._clock = clock
        self._process = os.getpid()
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        self.path = folder / f"{self._process}-{os.urandom(4).hex()}"
        part = folder / f".{self.path.name}"
        self._descriptor = _make(part)
        try:
            self._map_it(part)
            tallies.on_lost = self._write_names
            self._write_names()
            tallies.settle(self._give_row)
            # With its name it is there for others, whole.
            part.rename(self.path)
        except BaseException:
            self.close()
            part.unlink(missing_ok=True)
            raise

    def _map_it(self, part: Path) -> None:
        # Opened a second time: a map keeps a copy of its descriptor, and with it a lock, for as long as there is a row.
        mapped = os.open(part, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._map = mmap.mmap(mapped, SIZE)
        finally:
            os.close(mapped)
        self._whole = memoryview(self._map)
        self._numbers = self._whole[:_HEAD].cast("Q")
        self._seconds = self._whole[:_HEAD].cast("d")
        self._write_head()

    def beat(self) -> None:
        """The worker lives."""
        self._seconds[_HEARTBEAT] = self._clock.now()

    def is_there(self) -> bool:
        """Whether it still has a name; somebody may have removed it."""
        try:
            return os.fstat(self._descriptor).st_nlink > 0
        except OSError:
            # Removed by another machine, on a network file system.
            return False

    def close(self) -> None:
        """Count in memory again, and let the file go; in a fork, too, where the file is the parent's."""
        if os.getpid() == self._process:
            self._tallies.settle(None)
            self._tallies.on_lost = None
        # With it goes the lock, but in a fork, where the parent still has it. The map goes with its last row.
        os.close(self._descriptor)

    def _write_head(self) -> None:
        self._numbers[_PID] = self._process
        self._seconds[_STARTED] = self._clock.wall()
        self._whole[_BOOT] = read_boot_id().ljust(40, b"\0")[:40]
        self.beat()
        self._numbers[_MAGIC_AT] = _MAGIC

    def _write_names(self) -> None:
        for index, name in enumerate(self._tallies.lost.names):
            at = _NAMES + index * _NAME_BYTES
            self._whole[at : at + _NAME_BYTES] = name.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")
            self._numbers[_LOST_NAMES] = max(self._numbers[_LOST_NAMES], index + 1)

    def _give_row(self, tally: ArmTally) -> None:
        rows = self._numbers[_ROWS]
        if rows >= MOST_ARMS:
            return
        at = _HEAD + rows * BYTES
        try:
            _take_blocks(self._descriptor, at, BYTES)
        except OSError:
            # It is counted in memory, and seen by nobody else; the disk is full.
            return
        tally.move_to(ArmRow(self._whole[at : at + BYTES]))
        # A row is there for others only when it has its name.
        self._numbers[_ROWS] = rows + 1


def _make(part: Path) -> int:
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, SIZE)
        _take_blocks(descriptor, 0, _HEAD)
    except OSError:
        os.close(descriptor)
        part.unlink(missing_ok=True)
        raise
    return descriptor


def _take_blocks(descriptor: int, at: int, length: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, at, length)
    else:
        os.pwrite(descriptor, bytes(length), at)


@dataclass(frozen=True, slots=True)
class Worker:
    """Who it is. `heartbeat` is in seconds of the monotonic clock, `started` since the epoch."""

    name: str
    pid: int
    started: float
    heartbeat: float


class ReadFile:
    """That of another process, or of this one, to be read. Raises OSError; ValueError: it is no such file."""

    is_here: bool
    """Whether its worker is on this machine: what another one maps is not seen as it is, and has another clock."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(self._descriptor).st_size != SIZE:
                raise ValueError(f"{path} is no file of a worker")
            self._map = mmap.mmap(self._descriptor, SIZE, prot=mmap.PROT_READ)
        except (OSError, ValueError):
            os.close(self._descriptor)
            raise
        self._whole = memoryview(self._map)
        self._numbers = self._whole[:_HEAD].cast("Q")
        self._seconds = self._whole[:_HEAD].cast("d")
        self._rows: list[tuple[str, str, ArmRow]] = []
        try:
            if self._numbers[_MAGIC_AT] != _MAGIC:
                raise ValueError(f"{path} is of another version of penstock")
            self.is_here = bytes(self._whole[_BOOT]).rstrip(b"\0") == read_boot_id()
        except (OSError, ValueError):
            self.close()
            raise

    @property
    def worker(self) -> Worker:
        """Whose it is."""
        numbers, seconds = self._numbers, self._seconds
        return Worker(self.name, numbers[_PID], seconds[_STARTED], seconds[_HEARTBEAT])

    def is_alive(self) -> bool:
        """Whether its process is there: it has the lock."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def routes(self, now: float, only: set[str] | None = None) -> dict[str, Route]:
        """What it has counted, by route and arm; of the routes in `only`, by their names in rows. `now`: monotonic."""
        found: dict[str, Route] = {}
        lost = list(self._lost_names())
        for route, arm, row in self._known_rows():
            if only is None or route in only:
                found.setdefault(route, {})[arm] = row.counts(now, lost)
        return found

    def close(self) -> None:
        """Let it go."""
        for _, _, row in self._rows:
            row.release()
        for view in (self._numbers, self._seconds, self._whole):
            view.release()
        self._map.close()
        os.close(self._descriptor)

    def _known_rows(self) -> list[tuple[str, str, ArmRow]]:
        if os.fstat(self._descriptor).st_size != SIZE:
            # Somebody has cut it: to read on would kill this process.
            return []
        while len(self._rows) < min(self._numbers[_ROWS], MOST_ARMS):
            at = _HEAD + len(self._rows) * BYTES
            row = ArmRow(self._whole[at : at + BYTES])
            self._rows.append((*row.names(), row))
        return self._rows

    def _lost_names(self) -> Iterator[str]:
        for index in range(min(self._numbers[_LOST_NAMES], MOST_LOST)):
            at = _NAMES + index * _NAME_BYTES
            yield bytes(self._whole[at : at + _NAME_BYTES]).rstrip(b"\0").decode("utf-8", "replace")
