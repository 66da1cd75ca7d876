"""What is remembered of answers that could not be stored.

Hit-for-miss: while a key is in here, requests for it go to the origin side by side instead of waiting for one
another, because the answer will most likely not be for all. An answer that can be stored removes the entry.
"""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why the last answer was not stored. `until` is in seconds on the monotonic clock."""

    until: float
    reason: str
    clause: str
    status: int


class MemoryOfMisses:
    """At most `max_keys`; the oldest goes first. `seconds` is how long an entry counts."""

    def __init__(self, seconds: float = 120.0, max_keys: int = 65_536) -> None:
        self._seconds = seconds
        self._max_keys = max_keys
        self._refusals: dict[bytes, Refusal] = {}

    def note(self, key: bytes, now: float, reason: str, clause: str, status: int) -> None:
        """Remember that the answer for `key` could not be stored."""
        self._refusals.pop(key, None)
        self._refusals[key] = Refusal(now + self._seconds, reason, clause, status)
        if len(self._refusals) > self._max_keys:
            del self._refusals[next(iter(self._refusals))]

    def look_up(self, key: bytes, now: float) -> Refusal | None:
        """The entry, unless its time is over."""
        found = self._refusals.get(key)
        if found is None:
            return None
        if found.until <= now:
            del self._refusals[key]
            return None
        return found

    def forget(self, key: bytes) -> None:
        """An answer for `key` was stored."""
        self._refusals.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._refusals.clear()

    def __len__(self) -> int:
        return len(self._refusals)
