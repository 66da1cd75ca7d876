"""A set of 64-bit hashes in one array: 16 bytes an entry at most, where a set of ints takes 80."""

from __future__ import annotations

from array import array

_SMALLEST = 1024


class HashSet:
    """Open addressing with linear probing, at most half full.

    The values must be hashes: they are spread over the table by their low bits alone. 0 stands for an empty place
    and is kept apart.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _SMALLEST))
        self._zero = False
        self._count = 0

    def __len__(self) -> int:
        return self._count + self._zero

    def __contains__(self, value: int) -> bool:
        return self._zero if value == 0 else self._table[self._place(value)] == value

    def add(self, value: int) -> bool:
        """Add `value`, a number below 2**64; returns whether it is new."""
        if value == 0:
            new, self._zero = not self._zero, True
            return new
        place = self._place(value)
        if self._table[place] == value:
            return False
        self._table[place] = value
        self._count += 1
        if 2 * self._count > len(self._table):
            self._grow()
        return True

    def _place(self, value: int) -> int:
        table = self._table
        size = len(table)
        place = value % size
        while table[place] not in (0, value):
            place += 1
            if place == size:
                place = 0
        return place

    def _grow(self) -> None:
        values = self._table
        self._table = array("Q", bytes(16 * len(values)))
        for value in values:
            if value:
                self._table[self._place(value)] = value
