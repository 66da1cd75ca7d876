"""The log of recent sends in a file, so that a restart does not break the limit either.

The cells of each limit's window live in a shared memory map: a send is a plain store of 8 bytes, and a killed
process leaves all of them behind. CLOCK_MONOTONIC is the same for all processes of one boot, so the times mean the
same to the next one. After a reboot they do not; then all sends count as made a minute after the log's last save,
which waits at most one window and never sends too early.
"""

from __future__ import annotations

import math
import mmap
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import StorageError
from ..rules.rate import MAX_LOG_CELLS, Limit, Window, log_cells

_HEADER = 64
_REBOOT_SLACK_SECONDS = 60.0


class LimitLog:
    """Windows whose logs are kept in `folder`."""

    def __init__(self, folder: Path, limits: Sequence[Limit], guard: float | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._maps: list[tuple[memoryview[float], mmap.mmap]] = []
        recent = {path: _read(path, clock) for path in sorted(folder.glob("limit-*.log"))}
        self.windows = [self._open(folder, limit, guard, recent, clock.now()) for limit in limits]
        wanted = {_path(folder, limit) for limit in limits}
        for path in recent.keys() - wanted:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the maps go. The windows must not be used afterwards."""
        for window in self.windows:
            window.detach()
        for view, mapped in self._maps:
            view.release()
            mapped.close()
        self._maps.clear()

    def _open(self, folder: Path, limit: Limit, guard: float | None, recent: dict[Path, _Kept], now: float) -> Window:
        own = _path(folder, limit)
        if own in recent:
            # Logs beside it are of other limits on the same sends.
            times = recent[own].cells
        else:
            # A limit that was changed between two starts still counts what was sent under the old one.
            times = [time for each in recent.values() for time in each.since(now - limit.seconds, log_cells(limit))]
        count = log_cells(limit)
        times = sorted(min(time, now) for time in times)[-count:]
        return Window(limit, guard, cells=self._map(own, [-math.inf] * (count - len(times)) + times))

    def _map(self, path: Path, cells: list[float]) -> memoryview[float]:
        data = _boot_id().ljust(_HEADER, b"\0")[:_HEADER] + array("d", cells).tobytes()
        # In another file first: a process that is killed half-way must leave the old log whole.
        part = path.with_suffix(".part")
        try:
            with part.open("wb+") as file:
                file.write(data)
                file.flush()
                # Without its blocks, a store into the map on a full disk would kill the process (SIGBUS).
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, len(data))
                mapped = mmap.mmap(file.fileno(), len(data))
            part.replace(path)
        except OSError as error:
            raise StorageError(f"cannot keep the limit's log in {path}: {error.strerror or error}") from error
        whole = memoryview(mapped)
        view = whole[_HEADER:].cast("d")
        whole.release()
        self._maps.append((view, mapped))
        return view


def _path(folder: Path, limit: Limit) -> Path:
    return folder / f"limit-{limit.count}-{limit.seconds:g}.log"


@dataclass(frozen=True, slots=True)
class _Kept:
    cells: list[float]
    group: int
    seconds: float
    full: bool

    def since(self, begin: float, most: int) -> list[float]:
        """A time for every send after `begin`, as late as it can have been; about `most` of them are enough."""
        if self.group > 1 and self.cells:
            # Written out a group per cell could be any size; a full log is the careful short form of it.
            return [max(self.cells)] * MAX_LOG_CELLS
        times = latest = [time for time in self.cells if time > begin]
        while self.full and latest and len(times) < most:
            # Of sends before the log's own, its limit says when they were at the latest.
            latest = [time - self.seconds for time in latest if time - self.seconds > begin]
            times = times + latest
        return times


def _read(path: Path, clock: Clock) -> _Kept:
    """Times of sends in the log at `path`, on `clock`."""
    data = path.read_bytes()
    cells = memoryview(data)[_HEADER : _HEADER + max(0, len(data) - _HEADER) // 8 * 8].cast("d").tolist()
    _, count, seconds = path.stem.split("-", 2)
    group = max(1, int(count) // max(1, len(cells)))
    # After a reboot times can be negative: the sends of before it, on the clock of now.
    times: list[float] = [time for time in cells if -math.inf < time < math.inf]
    if data[:_HEADER].rstrip(b"\0") != _boot_id():
        ago = clock.wall() - (path.stat().st_mtime + _REBOOT_SLACK_SECONDS)
        times = [clock.now() - max(0.0, ago)] * len(times)
    return _Kept(times, group, float(seconds), full=len(times) == len(cells) > 0)


def _boot_id() -> bytes:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        # Without it a reboot goes unnoticed, but then the monotonic clock started again and all times are ahead of
        # it or long ago: they are capped to now where they are read.
        return b"unknown"
