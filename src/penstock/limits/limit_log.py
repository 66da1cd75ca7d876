"""The log of recent sends in a file, so that a restart does not break the limit either.

The cells of each limit's window live in a shared memory map: a send is a plain store of 8 bytes, and a killed
process leaves all of them behind. CLOCK_MONOTONIC is the same for all processes of one boot, so the times mean the
same to the next one. After a reboot they do not; then all sends count as made a minute after the log's last save,
which waits at most one window and never sends too early.

A limit with a name is kept elsewhere, in the log that all processes share (`penstock.limits.shared_window`); an empty
file `limit-@NAME.log` says so. A run that is given its limit a name, or takes it away, is not a new beginning either.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import StorageError
from ..rules.limits.rate import Limit, LimitWindow, Window, log_cells
from ..rules.limits.sent_before import SentBefore
from . import key_log
from .cell_map import CellMap, read_cells
from .shared_log import sent_under
from .shared_window import SharedWindow

_Logs = dict[Path, SentBefore]


class LimitLog:
    """Windows whose logs are kept in `folder`, but for those that other processes share."""

    def __init__(self, folder: Path, limits: Sequence[Limit], guard: float | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._maps: list[CellMap] = []
        self._clock = clock
        self.windows: list[LimitWindow] = []
        own, shared = _own_logs(folder, clock), _shared_logs(folder, clock)
        by_key = key_log.read_sends(folder, clock)
        if by_key:
            # Until now each key had limits of its own; all of those sends are sends under the limit of now.
            own[folder / key_log.NAME] = SentBefore([send.time for send in by_key], 1, math.inf, full=False)
        try:
            for limit in limits:
                open_window = self._open_shared if limit.name else self._open
                self.windows.append(open_window(folder, limit, guard, own, shared))
        except BaseException:
            self.close()
            raise
        wanted = {_path(folder, limit) for limit in limits}
        for path in (own.keys() | shared.keys()) - wanted:
            path.unlink(missing_ok=True)

    def forget_pauses(self) -> None:
        """Nobody waits any more for what those who share a limit were told to. Raises StorageError."""
        for window in self.windows:
            if isinstance(window, SharedWindow):
                window.forget_hold()

    def close(self) -> None:
        """Let the maps go. The windows must not be used afterwards."""
        for window in self.windows:
            window.detach()
        for mapped in self._maps:
            mapped.close()
        self._maps.clear()

    def _open(self, folder: Path, limit: Limit, guard: float | None, own: _Logs, shared: _Logs) -> Window:
        path, now, count = _path(folder, limit), self._clock.now(), log_cells(limit)
        if path in own:
            # Logs beside it are of other limits on the same sends.
            times = own[path].times
        else:
            # A limit that was changed between two starts still counts what was sent under the old one.
            before = [*own.values(), *shared.values()]
            times = [time for each in before for time in each.since(now - limit.seconds, count)]
        times = sorted(min(time, now) for time in times)[-count:]
        return Window(limit, guard, cells=self._map(path, [-math.inf] * (count - len(times)) + times))

    def _open_shared(self, folder: Path, limit: Limit, guard: float | None, own: _Logs, shared: _Logs) -> SharedWindow:
        path, now = _path(folder, limit), self._clock.now()
        window = SharedWindow(limit, guard, clock=self._clock)
        if path not in shared:
            before = [*own.values(), *shared.values()]
            window.charge([time for each in before for time in each.since(now - limit.seconds, log_cells(limit))])
            try:
                path.touch()
            except OSError as error:
                window.detach()
                raise StorageError(f"cannot write to {path}: {error.strerror or error}") from error
        return window

    def _map(self, path: Path, cells: list[float]) -> memoryview[float]:
        mapped = CellMap(path, cells)
        self._maps.append(mapped)
        return mapped.cells


@contextlib.contextmanager
def take_over(folder: Path, clock: Clock = SYSTEM_CLOCK) -> Iterator[float]:
    """For who keeps another log from now on: when the latest send was that logs in `folder` tell of, -inf for none.

    At the end of the block the logs are removed.
    """
    logs = _own_logs(folder, clock) | _shared_logs(folder, clock)
    yield max((time for log in logs.values() for time in log.times), default=-math.inf)
    for path in logs:
        path.unlink(missing_ok=True)


def _own_logs(folder: Path, clock: Clock) -> _Logs:
    return {path: _read(path, clock) for path in sorted(folder.glob("limit-[0-9]*.log"))}


def _shared_logs(folder: Path, clock: Clock) -> _Logs:
    names = sorted(folder.glob("limit-@*.log"))
    return {path: sent_under(path.stem.partition("@")[2], clock) for path in names}


def _path(folder: Path, limit: Limit) -> Path:
    if limit.name:
        return folder / f"limit-@{limit.name}.log"
    return folder / f"limit-{limit.count}-{limit.seconds:g}.log"


def _read(path: Path, clock: Clock) -> SentBefore:
    """Times of sends in the log at `path`, on `clock`."""
    cells, made_by = read_cells(path, clock)
    _, count, seconds = path.stem.split("-", 2)
    group = max(1, int(count) // max(1, len(cells)))
    # After a reboot times can be negative: the sends of before it, on the clock of now.
    times = [time if made_by is None else made_by for time in cells if -math.inf < time < math.inf]
    return SentBefore(times, group, float(seconds), full=len(times) == len(cells) > 0)
