"""The log of recent sends of a run whose limits hold for each key, in files, so that a restart does not break them.

`limit-by-key.log` is a ring of (key, time) of sends in a shared memory map; `limit-pauses-by-key.log` one of (key, end
of the pause on the wall clock), because a pause must not be pushed out by sends, and goes on through a reboot.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import StorageError
from .cell_map import CellMap, read_cells
from .keyed_limit import KeyedLimiter

NAME, PAUSES = "limit-by-key.log", "limit-pauses-by-key.log"

MOST_SENDS = 65_536
"""Where more sends than that still count, all keys wait at a restart, as long as what is not known of them could
matter."""

MOST_PAUSES = 4096
"""Of the latest pauses; older ones are forgotten by a restart."""

_NO_KEY = -1.0
_EVERY_KEY = 2**53
"""Stands for a send whose key is not known."""


class _Send(NamedTuple):
    key: int
    time: float


class KeyLog:
    """Tells `limiter` what a run in `folder` has sent before, and is told what it sends. Keys are whole numbers.

    Numbers are below 2**53, which a float holds exactly. `sent_at` is when a call was sent of which no key is known,
    -inf if there is none. Raises StorageError.
    """

    def __init__(
        self,
        folder: Path,
        limiter: KeyedLimiter,
        *,
        sent_at: float = -math.inf,
        most_sends: int = MOST_SENDS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        now = clock.now()
        sends = read_sends(folder, clock)
        if len(sends) >= most_sends:
            # What was sent before the first of them is not known.
            sent_at = max(sent_at, sends[0].time)
        pauses = _read_pauses(folder, clock)
        sent_at = max([sent_at, *(send.time for send in sends if send.key == _EVERY_KEY)])
        limiter.count_as_used_up(min(now, sent_at))
        sends = [send for send in sends if send.time + limiter.longest > now and send.key != _EVERY_KEY]
        for key, time in sends:
            limiter.remember(key, min(time, now))
        for key, until in pauses:
            limiter.pause_until(key, until)
        if sent_at + limiter.longest > now:
            sends = [_Send(_EVERY_KEY, sent_at), *sends]
        self._sends = _Ring(folder / NAME, list(sends), most_sends)
        self._pauses = _Ring(folder / PAUSES, [(key, self._wall(until)) for key, until in pauses], MOST_PAUSES)
        limiter.log = self

    def sent(self, key: int, now: float) -> None:
        """A call for `key` is sent at `now`."""
        self._sends.append(key, now)

    def paused(self, key: int, until: float) -> None:
        """No call for `key` is sent before `until`."""
        self._pauses.append(key, self._wall(until))

    def close(self) -> None:
        """Let the files go."""
        self._sends.close()
        self._pauses.close()

    def _wall(self, when: float) -> float:
        return self._clock.wall() + when - self._clock.now()


class _Ring:
    """The latest `most` rows of (key, time), in a file that a kill leaves as it is."""

    def __init__(self, path: Path, rows: list[tuple[int, float]], most: int) -> None:
        rows = rows[-most:]
        empty = [_NO_KEY, -math.inf] * (most - len(rows))
        self._map = CellMap(path, [number for row in rows for number in row] + empty)
        self._cells = self._map.cells
        self._end = 2 * most
        self._next = 2 * len(rows) % self._end

    def append(self, key: int, time: float) -> None:
        """Write over the oldest row."""
        at = self._next
        # Cut short by a kill between the two, it is an older row under this key, which makes it wait a little more.
        self._cells[at] = key
        self._cells[at + 1] = time
        self._next = at + 2 if at + 2 < self._end else 0

    def close(self) -> None:
        """Let the file go."""
        self._map.close()


def read_sends(folder: Path, clock: Clock = SYSTEM_CLOCK) -> list[_Send]:
    """What the log in `folder` tells, in order of time; times can be negative after a reboot."""
    path = folder / NAME
    if not path.exists():
        return []
    found = read_cells(path, clock)
    sends = [
        _Send(int(key), time if found.made_by is None else found.made_by)
        for key, time in zip(found.cells[::2], found.cells[1::2], strict=False)
        if 0 <= key <= _EVERY_KEY and -math.inf < time < math.inf
    ]
    return sorted(sends, key=lambda send: send.time)


def forget_pauses(folder: Path) -> None:
    """Drop what the log in `folder` tells of pauses. Raises StorageError."""
    try:
        (folder / PAUSES).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot remove {folder / PAUSES}: {error.strerror or error}") from error


def _read_pauses(folder: Path, clock: Clock) -> list[tuple[int, float]]:
    """(key, end of its pause) of those that are not over, in order of time."""
    path = folder / PAUSES
    if not path.exists():
        return []
    cells = read_cells(path, clock).cells
    pauses = [
        (int(key), clock.now() + wall - clock.wall())
        for key, wall in zip(cells[::2], cells[1::2], strict=False)
        if 0 <= key < _EVERY_KEY and clock.wall() < wall < math.inf
    ]
    return sorted(pauses, key=lambda pause: pause[1])
