"""Purges that concern responses which are not there yet."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

_ENTRY_BYTES = 300


class Purges(NamedTuple):
    """The numbers of the last hard and of the last soft purge of one thing; 0: none."""

    hard: int
    soft: int


class PurgeLog:
    """Remembers purges by name, in bounded memory, and errs to the safe side about those it had to forget.

    A response whose fetch began before a purge counts as purged, also if nothing of that name was stored at the time.
    So the purge has to be remembered, but nobody says for how long, and names come from outside. Once `max_bytes` are
    used the oldest entries go, and from then on `look_up` answers for EVERY unknown name with the newest purge that was
    forgotten: a fetch that began before it is not stored for nothing, which costs a miss, and none is stored wrongly.
    """

    def __init__(self, max_bytes: int) -> None:
        self._entries: OrderedDict[bytes, Purges] = OrderedDict()
        self._max_bytes = max_bytes
        self._forgotten = Purges(0, 0)
        self.bytes_used = 0

    def __len__(self) -> int:
        return len(self._entries)

    def look_up(self, name: bytes) -> Purges:
        """The last purges of `name`, or those that may have been."""
        return self._entries.get(name, self._forgotten)

    def take(self, name: bytes) -> Purges:
        """As `look_up`, for who remembers it from now on."""
        purges = self._entries.pop(name, None)
        if purges is None:
            return self._forgotten
        self.bytes_used -= _ENTRY_BYTES + len(name)
        return purges

    def note(self, name: bytes, hard: int, soft: int) -> None:
        """Remember purges of `name`; 0 for none."""
        if hard <= self._forgotten.hard and soft <= self._forgotten.soft:
            return
        before = self.take(name)
        self._entries[name] = Purges(max(before.hard, hard), max(before.soft, soft))
        self.bytes_used += _ENTRY_BYTES + len(name)
        while self.bytes_used > self._max_bytes:
            oldest, purges = self._entries.popitem(last=False)
            self.bytes_used -= _ENTRY_BYTES + len(oldest)
            self._forgotten = Purges(max(self._forgotten.hard, purges.hard), max(self._forgotten.soft, purges.soft))
