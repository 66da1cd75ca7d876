"""What is remembered of answers that could not be stored.

Hit-for-miss: while a key is in here, requests for it go to the origin side by side instead of waiting for one
another, because the answer will most likely not be for all. An answer that can be stored removes the entry.
"""

from __future__ import annotations

from typing import NamedTuple

from ...rules.caching.decisions import Decision
from ...rules.caching.http_fields import FieldMap
from ...stores.memory import MemoryStore
from .bounded_table import BoundedTable, share_of, short_key


class RememberedRefusal(NamedTuple):
    """Why the last answer was not shared. `until` is in seconds on the monotonic clock.

    `for_all`: requests go side by side for it. Otherwise it is only told: an error decides nothing for the next one.
    """

    until: float
    verdict: Decision
    status: int
    for_all: bool = True


_PART = 16
_MOST_KEYS = 65_536
_TOLD_PART = 256
_MOST_TOLD = 4096
_REFUSAL_BYTES = 120
"""A RememberedRefusal (88) and the float and the int of its own; the verdict is one of a few that all share."""
_KINDS = {b"": "", b"\0a": "authorization", b"\0c": "cookie", b"\0ac": "authorization and cookie"}


def of_kind(key: bytes, fields: FieldMap) -> bytes:
    """`key` for requests that have what `fields` have of a user: a user's page says nothing of what strangers get."""
    personal = (b"a" if b"authorization" in fields else b"") + (b"c" if b"cookie" in fields else b"")
    return key + b"\0" + personal if personal else key


class HitForMiss:
    """At most a sixteenth of the budget of `store`; the oldest goes first. `seconds` is how long an entry counts.

    What is only told has a table of its own, a 256th: who provokes errors must not have a refusal forgotten.

    `fields` are always those of the request, which tell of what kind it is. Keys may be given as they are or short.
    """

    def __init__(self, store: MemoryStore, seconds: float = 120.0) -> None:
        self._seconds = seconds
        self._refusals = BoundedTable[RememberedRefusal](
            store, share_of(store, _PART), _MOST_KEYS, lambda _: _REFUSAL_BYTES
        )
        self._told = BoundedTable[RememberedRefusal](
            store, share_of(store, _TOLD_PART), _MOST_TOLD, lambda _: _REFUSAL_BYTES
        )
        self.known = self._refusals.entries
        """What decides, to be read: where it is empty nothing is to be looked up."""

    def note(
        self, key: bytes, fields: FieldMap, now: float, verdict: Decision, status: int, *, for_all: bool = True
    ) -> None:
        """Remember why the answer for `key` could not be shared; without `for_all` only for who asks for the reason."""
        key = of_kind(short_key(key), fields)
        refusal = RememberedRefusal(now + self._seconds, verdict, status, for_all)
        if for_all:
            self._told.drop(key)
            self._refusals.keep(key, refusal)
        else:
            self._told.keep(key, refusal)

    def look_up(self, key: bytes, fields: FieldMap, now: float) -> RememberedRefusal | None:
        """The entry, unless its time is over."""
        return _of_key(self._refusals, of_kind(short_key(key), fields), now) if self.known else None

    def of_all_kinds(self, key: bytes, now: float) -> list[tuple[str, RememberedRefusal]]:
        """What is remembered for `key`, by the fields that the requests had ("" for none of them).

        What is only told comes first: it is newer than what decides, or it would be gone.
        """
        key = short_key(key)
        tables = (self._told, self._refusals)
        found = [(whose, _of_key(table, key + kind, now)) for kind, whose in _KINDS.items() for table in tables]
        return [(whose, refusal) for whose, refusal in found if refusal is not None]

    def forget_all_kinds(self, key: bytes) -> None:
        """As `forget`, for all requests for `key`."""
        key = short_key(key)
        for kind in _KINDS:
            self._refusals.drop(key + kind)
            self._told.drop(key + kind)

    def forget(self, key: bytes, fields: FieldMap) -> None:
        """An answer for `key` was stored, or could have been."""
        if self.known or self._told.entries:
            key = of_kind(short_key(key), fields)
            self._refusals.drop(key)
            self._told.drop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._refusals.clear()
        self._told.clear()

    def __len__(self) -> int:
        return len(self.known)


def _of_key(table: BoundedTable[RememberedRefusal], key: bytes, now: float) -> RememberedRefusal | None:
    found = table.entries.get(key)
    if found is None:
        return None
    if found.until <= now:
        table.drop(key)
        return None
    return found
