"""Which process does which records: ranges of positions, large at first and small near the end."""

from __future__ import annotations

from array import array
from collections import deque

from ...runs.done_set import DoneSet

_MOST_RECORDS = 1024
_SHARES = 8
"""Ranges each process would still have if all were as large as the next one; so at the end nobody waits for long."""


class Ranges:
    """Hands out every position below `total` that is not in `done` exactly once, and again what is given back."""

    def __init__(self, total: int, done: DoneSet, processes: int) -> None:
        self._total = total
        self._done = done
        self._shares = _SHARES * processes
        self._next = 0
        self._back: deque[list[int]] = deque()

    def take(self) -> tuple[int, int, array[int]] | None:
        """(begin, end, those in between that are not to be done); None if there is nothing left now."""
        if self._back:
            positions = self._back.popleft()
            begin, end = positions[0], positions[-1] + 1
            wanted = set(positions)
            return begin, end, array("Q", [each for each in range(begin, end) if each not in wanted])
        begin = self._first_undone(self._next)
        if begin >= self._total:
            self._next = self._total
            return None
        size = max(1, min(_MOST_RECORDS, (self._total - begin) // self._shares))
        end = min(begin + size, self._total)
        self._next = end
        return begin, end, array("Q", [each for each in range(begin, end) if each in self._done])

    def give_back(self, positions: set[int]) -> None:
        """These were taken and are not done: somebody else has to do them."""
        chunk: list[int] = []
        for position in sorted(positions):
            if chunk and position - chunk[0] >= _MOST_RECORDS:
                self._back.append(chunk)
                chunk = []
            chunk.append(position)
        if chunk:
            self._back.append(chunk)

    def _first_undone(self, position: int) -> int:
        done = self._done
        position = max(position, done.base)
        while position < self._total and position in done:
            index = (position - done.base) >> 3
            # Whole bytes at once: after --retry-failed nearly all of millions can be done.
            if position & 7 == 0 and done.bits[index] == 0xFF:
                position += 8
            else:
                position += 1
        return position
