"""The file behind a limit that processes share: its log of sends, its pace, and who may touch them.

::

    FOLDER/NAME.log       header (1 KiB), then one double for each cell of the log
    FOLDER/NAME.holders   empty; every process that uses the name has a shared flock on it

The log is mapped into the memory of all who use it, and is only changed under an exclusive flock on it. The kernel
lets go of both locks when a process dies, however it dies; so there is no lease to run out, and nobody to be declared
dead. A process that is stopped (SIGSTOP) in the microseconds in which it holds the log stops the others' sends until
it goes on: that is the price of exactness.

FOLDER is `$PENSTOCK_LIMITS` or `/var/tmp/penstock-UID`: not under $XDG_RUNTIME_DIR, which a job of cron does not have
and which is removed at the logout of who started the job; then there would be two logs, and twice the limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import mmap
import os
import stat
import struct
import tempfile
from array import array
from pathlib import Path

from ..clock import Clock
from ..errors import StorageError, UsageError
from ..rules.limits.rate import Limit, log_cells
from ..rules.limits.sent_before import SentBefore

FOLDER_VARIABLE = "PENSTOCK_LIMITS"

_MAGIC = b"PENSLIM1"
_BOOT = slice(8, 48)
_FIXED = struct.Struct("<Qd")
_FIXED_AT = 48
_HEADER = 1024
# Indices of 8 bytes each.
GUARD, NEXT, PACE, PAUSED, PAUSED_WALL = 8, 9, 10, 11, 12
_PIDS = slice(64, 128)

_LONGEST_PAUSE, _WIDEST_GUARD = 31 * 86400.0, 100.0
"""Seconds, and windows; what is beyond them in a file is damage."""

_SPINS = 40
"""Tries for the lock, about 40 us: the usual holder has it for two."""
_LONG = 25_000
"""The patience of about a second, for the start."""
_REBOOT_SLACK_SECONDS = 60.0


class SharedLog:
    """The mapped file of one name. `numbers[NEXT]` counts permits, `times[PACE]` and its kin are clock seconds.

    Raises UsageError where the name stands for another limit or the folder is not safe, StorageError where the file
    cannot be made.
    """

    def __init__(self, limit: Limit, guard: float, clock: Clock, folder: Path | None = None) -> None:
        self.limit = limit
        self._clock = clock
        self._guard = guard
        self._folder = folder
        self._open()

    left_over: tuple[list[float], float] = ([], -math.inf)
    """(times of sends, end of a pause) that the file does not tell after `moved`."""

    def _open(self) -> None:
        try:
            folder = private_folder(self._folder)
            self.path = folder / f"{self.limit.name}.log"
            self._enter(folder / f"{self.limit.name}.holders")
            self._map()
        except OSError as error:
            self._close_files()
            raise StorageError(f"cannot keep the limit {self.limit} in {error.filename}: {error.strerror}") from error

    def _enter(self, holders: Path) -> None:
        while True:
            self._holders = _open_file(holders)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A file that was swept away keeps nobody out.
                if os.fstat(self._holders).st_nlink:
                    _make_right(self.path, self.limit, self._clock)
            # From here on nobody is alone with the file, so nobody makes it anew.
            fcntl.flock(self._holders, fcntl.LOCK_SH)
            if os.fstat(self._holders).st_nlink:
                return
            # It was swept away before we had our lock on it.
            os.close(self._holders)

    def _map(self) -> None:
        with contextlib.suppress(FileExistsError):
            if not self.path.exists():
                # It was removed under others who use it, and what they have sent is not known yet.
                _create(self.path, self.limit, [self._clock.now()] * log_cells(self.limit), -math.inf)
        self._file = _open_file(self.path)
        size = _HEADER + 8 * log_cells(self.limit)
        found = _limit_in(os.pread(self._file, _HEADER, 0), self.limit.name)
        if found != self.limit or os.fstat(self._file).st_size != size:
            pids = self._pids()
            self._close_files()
            raise UsageError(_another(self.limit, found, pids))
        self._mapped = mmap.mmap(self._file, size)
        whole = memoryview(self._mapped)
        self.numbers = whole[:_HEADER].cast("Q")
        self.times = whole[:_HEADER].cast("d")
        self.cells = whole[_HEADER:].cast("d")
        self._process = os.getpid()
        self._looked = self._clock.now()
        self._sign_in()

    def close(self) -> None:
        """Let the file go; it stays for whoever uses the name next. May be called twice."""
        if self._file < 0:
            return
        if self._process == os.getpid() and self.lock():
            for index in range(_PIDS.start, _PIDS.stop):
                if self.numbers[index] == self._process:
                    self.numbers[index] = 0
                    break
            # Closing is not enough where a fork has copies of the descriptors.
            self.unlock()
        self._close_files()
        for view in (self.numbers, self.times, self.cells):
            view.release()
        self._mapped.close()

    _file = _holders = -1

    def _close_files(self) -> None:
        for descriptor in (self._file, self._holders):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._holders = -1

    # -- the lock ---------------------------------------------------------------------------------------------------

    def lock(self, patience: int = 1) -> bool:
        """Take the log for a moment; False if somebody has it for longer than is worth waiting for on a loop.

        `patience` 1 is some 40 microseconds. Of a log that was let go, too, it is False.
        """
        if self._file < 0:
            return False
        for _ in range(_SPINS * patience):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return True
        return False

    def unlock(self) -> None:
        """Let others have it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def moved(self, now: float) -> bool:
        """Whether the file had to be opened anew: in a fork, or because somebody removed it.

        A fork shares the parent's locks, which therefore keep nobody out. Where somebody else was quicker to make the
        file anew, `left_over` is what it does not tell. Raises StorageError where it is not to be had any more.
        """
        if self._file < 0:
            raise StorageError(f"{self.path} is not to be had any more")
        if os.getpid() != self._process:
            self._close_files()
            self._open()
            return True
        if now - self._looked < 1.0:
            return False
        self._looked = now
        if os.fstat(self._file).st_nlink:
            return False
        kept, paused = [time for time in self.cells if time > -math.inf], self.times[PAUSED]
        try:
            private_folder(self._folder)
            _create(self.path, self.limit, kept, paused)
        except FileExistsError:
            self.left_over = (kept, paused)
        except OSError:
            # The one that was removed is as good as before, until the next look.
            return False
        except UsageError as error:
            raise StorageError(str(error)) from error
        self._close_files()
        try:
            self._open()
        except UsageError as error:
            raise StorageError(str(error)) from error
        return True

    # -- who uses it ------------------------------------------------------------------------------------------------

    def _sign_in(self) -> None:
        if not self.lock(_LONG):
            raise StorageError(
                f"{self.path} is held by a process that does not go on; is one of {self._pids()} stopped?"
            )
        try:
            if self._guard > self.times[GUARD]:
                self.times[GUARD] = self._guard
            # For messages only; the locks say who is alive. So whoever finds no room goes without.
            for index in range(_PIDS.start, _PIDS.stop):
                if not _alive(self.numbers[index]):
                    self.numbers[index] = self._process
                    break
        finally:
            self.unlock()

    def _pids(self) -> list[int]:
        pids = array("Q", os.pread(self._file, 8 * 64, 8 * _PIDS.start).ljust(8 * 64, b"\0"))
        return sorted({pid for pid in pids if _alive(pid)})


def private_folder(folder: Path | None = None) -> Path:
    """Where the files are: made where it is not there, and refused where others could write to it.

    Raises UsageError and OSError.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    usual = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else Path("/tmp")  # noqa: S108  # its owner is checked
    path = folder or (Path(named) if named else usual / f"penstock-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UsageError(
            f"shared limits are kept in {path}, but that is not a folder of yours that only you can write to; "
            f"put it right, or name another folder in ${FOLDER_VARIABLE}"
        )
    return path


def _open_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _alive(pid: int) -> bool:
    if not 0 < pid < 1 << 31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _another(limit: Limit, found: Limit | None, pids: list[int]) -> str:
    others = f"process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}" if pids else "another process"
    if found is None:
        return f"the limit's name {limit.name!r} is in use by {others} of another version of penstock; use another name"
    return (
        f"the limit's name {limit.name!r} stands for {found.count}/{found.seconds:g}s in {others}, not for "
        f"{limit.count}/{limit.seconds:g}s; give the same limit everywhere, or another name"
    )


# -- the file as a whole ------------------------------------------------------------------------------------------


def _limit_in(header: bytes, name: str) -> Limit | None:
    if len(header) < _HEADER or header[:8] != _MAGIC:
        return None
    count, seconds = _FIXED.unpack_from(header, _FIXED_AT)
    return Limit(count, seconds, name) if count > 0 and 0 < seconds < math.inf else None


def _create(path: Path, limit: Limit, sent: list[float], paused: float, *, replace: bool = False) -> None:
    """Write a log of `sent` under another name and put it in place whole. Raises FileExistsError, OSError."""
    count = log_cells(limit)
    cells = array("d", [-math.inf]) * count
    newest = sorted(sent)[-count:]
    cells[: len(newest)] = array("d", newest)
    numbers = array("Q", bytes(_HEADER))
    times = memoryview(numbers).cast("B").cast("d")
    times[GUARD], times[PACE], times[PAUSED] = 0.0, -math.inf, paused
    # The cell after the newest is the next; with sends in groups each cell stands for one group.
    numbers[NEXT] = len(newest) * (limit.count // count)
    header = bytearray(numbers.tobytes())
    header[:8] = _MAGIC
    header[_BOOT] = boot_id().ljust(40, b"\0")[:40]
    _FIXED.pack_into(header, _FIXED_AT, limit.count, limit.seconds)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        try:
            os.write(descriptor, header + cells.tobytes())
            # Without its blocks, a store into the map on a full disk would kill the process (SIGBUS).
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, len(header) + 8 * count)
        finally:
            os.close(descriptor)
        (os.replace if replace else os.link)(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def _make_right(path: Path, limit: Limit, clock: Clock) -> None:
    """Nobody uses the file: make it one of `limit` on this boot's clock, with all that was sent before."""
    try:
        data = path.read_bytes()
        saved = path.stat().st_mtime
    except FileNotFoundError:
        _create(path, limit, [], -math.inf)
        return
    found = _limit_in(data[:_HEADER], limit.name)
    if found is None:
        _create(path, limit, [], -math.inf, replace=True)
        return
    times = memoryview(data)[:_HEADER].cast("d")
    cells = _cells_in(data)
    now = clock.now()
    same_boot = data[_BOOT].rstrip(b"\0") == boot_id()
    sane = len(cells) == log_cells(found) and all(time <= now + 1.0 for time in cells)
    sane = sane and 0 <= times[GUARD] <= _WIDEST_GUARD * found.seconds and times[PAUSED] < now + _LONGEST_PAUSE
    # A guard outlives who asked for it only as long as its sends count.
    in_use = sane and max(cells) + found.seconds + times[GUARD] > now
    if found == limit and same_boot and in_use:
        return
    before = _sent_before(data, found, saved, clock)
    sent = before.times if found == limit else before.since(now - limit.seconds, log_cells(limit))
    paused = times[PAUSED] if same_boot else now + times[PAUSED_WALL] - clock.wall()
    # A pause that long is a damaged file.
    paused = paused if now < paused < now + _LONGEST_PAUSE else -math.inf
    _create(path, limit, sent, paused, replace=True)


def sent_under(name: str, clock: Clock, folder: Path | None = None) -> SentBefore:
    """What was sent under the limit of that name, as far as it is known. Raises UsageError."""
    try:
        path = private_folder(folder) / f"{name}.log"
        data, saved = path.read_bytes(), path.stat().st_mtime
    except OSError:
        data, saved = b"", 0.0
    found = _limit_in(data[:_HEADER], name)
    return SentBefore([], 1, 1.0, full=False) if found is None else _sent_before(data, found, saved, clock)


def sweep(prefix: str, clock: Clock, folder: Path | None = None) -> None:
    """Remove the files of names with `prefix` that nobody uses and whose sends count no more. Raises UsageError."""
    with contextlib.suppress(OSError):
        for holders in private_folder(folder).glob(f"{prefix}*.holders"):
            descriptor = _open_file(holders)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                log = holders.with_suffix(".log")
                if _is_over(log, clock):
                    log.unlink(missing_ok=True)
                    holders.unlink()
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)


def _is_over(path: Path, clock: Clock) -> bool:
    before = sent_under(path.stem, clock, path.parent)
    header = path.read_bytes()[:_HEADER] if path.exists() else b""
    times = memoryview(header.ljust(_HEADER, b"\0")).cast("d")
    return max([times[PAUSED], *[time + before.seconds + times[GUARD] for time in before.times]]) < clock.now()


def _cells_in(data: bytes) -> array[float]:
    return array("d", data[_HEADER : len(data) // 8 * 8])


def _sent_before(data: bytes, limit: Limit, saved: float, clock: Clock) -> SentBefore:
    cells, now = _cells_in(data), clock.now()
    sent = [min(time, now) for time in cells if -math.inf < time < math.inf]
    if data[_BOOT].rstrip(b"\0") != boot_id():
        # As in the log of a run: at the latest a minute after the last save, and the clock is another.
        ago = clock.wall() - (saved + _REBOOT_SLACK_SECONDS)
        sent = [now - max(0.0, ago)] * len(sent)
    return SentBefore(sent, limit.count // log_cells(limit), limit.seconds, full=len(sent) == len(cells))


def boot_id() -> bytes:
    """What no two boots of the machine have in common, where the system says it."""
    try:
        return read_boot_id()
    except OSError:
        return _UNKNOWN_BOOT


def read_boot_id() -> bytes:
    """The same. Raises OSError where it cannot be read just now, as without a free descriptor."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        # Without it a reboot goes unnoticed, but then the monotonic clock started again and all times are ahead of
        # it or long ago: they are capped to now where they are read.
        return _UNKNOWN_BOOT


_UNKNOWN_BOOT = b"unknown"
