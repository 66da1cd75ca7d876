"""Ranges of which nothing is stored: whether the origin is asked for the whole instead, so that all can share it.

Twenty clients with twenty ranges of one object are one request to the origin that way. Where the whole turned out to be
longer than is worth that, or than may be stored, it is remembered for a while, and ranges go as they are.
"""

from __future__ import annotations

from ...rules.caching.lookup import asks_for_whole
from ...rules.caching.request import CacheRequest
from ...stores.memory import MemoryStore
from .bounded_table import BoundedTable, share_of, short_key

_PART = 32
_MOST_KEYS = 65_536
_MOMENT_BYTES = 32
"""A float of its own."""


class ColdRanges:
    """At most a 32nd of the budget of `store`; the oldest goes first. `seconds` is how long an entry counts.

    `most_bytes` is how long the whole may be: never more than may be stored, and that by default; 0 sends ranges as
    they are.
    """

    def __init__(self, store: MemoryStore, most_bytes: int | None, seconds: float) -> None:
        most = store.max_object_bytes
        self.most_bytes = most if most_bytes is None else min(most_bytes, most)
        self._seconds = seconds
        self._too_long = BoundedTable[float](store, share_of(store, _PART), _MOST_KEYS, lambda _: _MOMENT_BYTES)

    def note(self, key: bytes, length: int | None, now: float) -> None:
        """The whole of `key` has `length` bytes (None: nobody knows)."""
        if self.most_bytes and (length is None or length > self.most_bytes):
            self._too_long.keep(short_key(key), now + self._seconds)

    def asks_for_whole(self, request: CacheRequest, key: bytes, now: float, *, on_its_way: bool) -> bool:
        """Whether `request`, for which nothing is stored, goes for the whole; `on_its_way`: it could join that."""
        if not self.most_bytes or self._is_too_long(short_key(key), now):
            return False
        return asks_for_whole(request.method, request.fields[b"range"], on_its_way=on_its_way)

    def _is_too_long(self, key: bytes, now: float) -> bool:
        until = self._too_long.entries.get(key)
        if until is not None and until <= now:
            self._too_long.drop(key)
            return False
        return until is not None

    def forget(self, key: bytes) -> None:
        """It was purged: what comes next may be shorter."""
        self._too_long.drop(short_key(key))

    def clear(self) -> None:
        """Forget everything."""
        self._too_long.clear()

    def __len__(self) -> int:
        return len(self._too_long)
