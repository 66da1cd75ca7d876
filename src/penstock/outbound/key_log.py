"""The log of recent sends of a run whose limits hold for each key, in a file, so that a restart does not break them.

A ring of (key, time) in a shared memory map. What a key is told to wait for is in it too, as minus the time at which
the pause ends.
"""

from __future__ import annotations

import math
from pathlib import Path

from ..clock import SYSTEM_CLOCK, Clock
from ..layers.keyed_limit import KeyedLimiter
from .cell_map import CellMap, read_cells

NAME = "limit-by-key.log"

MOST_SENDS = 65_536
"""Cells of the ring, 16 bytes each. Where more sends than that still count, all keys wait at a restart, as long as
what is not known of them could matter."""

_NO_KEY = -1.0


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
        path, now = folder / NAME, clock.now()
        entries = read_log(path, clock)
        if len(entries) >= most_sends:
            # What was sent before the first of them is not known.
            sent_at = max(sent_at, *(time for _, time in entries[:1]))
        limiter.count_as_used_up(min(now, sent_at))
        entries = [(key, time) for key, time in entries if max(-time, time + limiter.longest) > now][-most_sends:]
        for key, time in entries:
            if time < 0:
                limiter.pause_until(key, -time)
            else:
                limiter.remember(key, min(time, now))
        empty = [_NO_KEY, -math.inf] * (most_sends - len(entries))
        self._map = CellMap(path, [number for entry in entries for number in entry] + empty)
        self._cells = self._map.cells
        self._end = 2 * most_sends
        self._next = 2 * len(entries) % self._end
        limiter.log = self

    def sent(self, key: int, now: float) -> None:
        """A call for `key` is sent at `now`."""
        at = self._next
        # Between the two stores it is an older send of this key, which does no harm.
        self._cells[at] = key
        self._cells[at + 1] = now
        self._next = at + 2 if at + 2 < self._end else 0

    def paused(self, key: int, until: float) -> None:
        """No call for `key` is sent before `until`."""
        self.sent(key, -until)

    def close(self) -> None:
        """Let the file go."""
        self._map.close()


def read_log(path: Path, clock: Clock = SYSTEM_CLOCK) -> list[tuple[int, float]]:
    """(key, time) of what the log at `path` holds, in order of time; minus the time for a pause."""
    if not path.exists():
        return []
    found = read_cells(path, clock)
    entries = [
        (int(key), time)
        for key, time in zip(found.cells[::2], found.cells[1::2], strict=False)
        if 0 <= key < 2**53 and -math.inf < time < math.inf
    ]
    if found.made_by is not None:
        # How long a pause still lasts is not known.
        entries = [(key, found.made_by) for key, time in entries if time >= 0]
    return sorted(entries, key=lambda entry: abs(entry[1]))
