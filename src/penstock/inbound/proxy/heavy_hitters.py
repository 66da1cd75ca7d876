"""The most frequent keys of a stream, in bounded memory and constant time for each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Row(NamedTuple, Generic[Key]):
    """What is known of a key: its weight at least, the part of that which was marked, and both of late."""

    key: Key
    weight: int
    part: int
    recent: int
    recent_part: int
    note: Any
    """Of the last time."""


class _Hitter:
    __slots__ = ("before", "before_part", "count", "note", "part", "recent", "recent_part", "worth")

    def __init__(self) -> None:
        self.count = self.part = self.recent = self.recent_part = self.before = self.before_part = 0
        self.worth = 0
        self.note: Any = None


class HeavyHitters(Generic[Key]):
    """Keeps between `max_keys` and twice as many.

    Weighted Misra-Gries with batched decrements (Anderson, Bevin, Lang, Liberty, Rhodes and Thaler: A High-Performance
    Algorithm for Identifying Frequent Items in Data Streams, IMC 2017): when the table is full, the worth of the
    `max_keys`-th is taken from all, and what has none left goes. So no key that had more than a share of 1/max_keys of
    the whole weight is missing, and a count is short of the truth by at most that share. The decrement takes
    O(n log n) once for `max_keys` new keys, which is O(log n) each.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max(1, max_keys)
        self._entries: dict[Key, _Hitter] = {}

    def add(self, key: Key, weight: int, part: int, note: Any = None) -> None:
        """Count `key` `weight` times, of which `part` were of the kind that is counted besides."""
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= 2 * self._max_keys:
                self._decrement()
            entry = self._entries[key] = _Hitter()
        entry.worth += weight
        entry.note = note
        entry.count += weight
        entry.part += part
        entry.recent += weight
        entry.recent_part += part

    def turn(self) -> None:
        """A new window begins: what is of late is this one and the one before."""
        for entry in self._entries.values():
            entry.before, entry.before_part = entry.recent, entry.recent_part
            entry.recent = entry.recent_part = 0

    def rows(self) -> list[Row[Key]]:
        """All that are kept, in no order."""
        return [
            Row(key, each.count, each.part, each.recent + each.before, each.recent_part + each.before_part, each.note)
            for key, each in self._entries.items()
        ]

    def __len__(self) -> int:
        return len(self._entries)

    def _decrement(self) -> None:
        worths = sorted((entry.worth for entry in self._entries.values()), reverse=True)
        worth = worths[self._max_keys - 1]
        kept = {}
        for key, entry in self._entries.items():
            entry.worth -= worth
            if entry.worth > 0:
                kept[key] = entry
        self._entries = kept
