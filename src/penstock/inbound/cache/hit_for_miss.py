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
    """Why the last answer was not shared. `until` is in seconds on the monotonic clock."""

    until: float
    verdict: Decision
    status: int


_PART = 16
_MOST_KEYS = 65_536
_REFUSAL_BYTES = 112
"""A RememberedRefusal (80) and the float and the int of its own; the verdict is one of a few that all share."""
_KINDS = {b"": "", b"\0a": "authorization", b"\0c": "cookie", b"\0ac": "authorization and cookie"}


def of_kind(key: bytes, fields: FieldMap) -> bytes:
    """`key` for requests that have what `fields` have of a user: a user's page says nothing of what strangers get."""
    personal = (b"a" if b"authorization" in fields else b"") + (b"c" if b"cookie" in fields else b"")
    return key + b"\0" + personal if personal else key


class HitForMiss:
    """At most a sixteenth of the budget of `store`; the oldest goes first. `seconds` is how long an entry counts.

    `fields` are always those of the request, which tell of what kind it is. Keys may be given as they are or short.
    """

    def __init__(self, store: MemoryStore, seconds: float = 120.0) -> None:
        self._seconds = seconds
        self._refusals = BoundedTable[RememberedRefusal](
            store, share_of(store, _PART), _MOST_KEYS, lambda _: _REFUSAL_BYTES
        )
        self._known = self._refusals.entries

    def note(self, key: bytes, fields: FieldMap, now: float, verdict: Decision, status: int) -> None:
        """Remember why the answer for `key` could not be shared."""
        refusal = RememberedRefusal(now + self._seconds, verdict, status)
        self._refusals.keep(of_kind(short_key(key), fields), refusal)

    def look_up(self, key: bytes, fields: FieldMap, now: float) -> RememberedRefusal | None:
        """The entry, unless its time is over."""
        return self._of_key(of_kind(short_key(key), fields), now) if self._known else None

    def _of_key(self, key: bytes, now: float) -> RememberedRefusal | None:
        found = self._known.get(key)
        if found is None:
            return None
        if found.until <= now:
            self._refusals.drop(key)
            return None
        return found

    def of_all_kinds(self, key: bytes, now: float) -> list[tuple[str, RememberedRefusal]]:
        """What is remembered for `key`, by the fields that the requests had ("" for none of them)."""
        key = short_key(key)
        found = [(whose, self._of_key(key + kind, now)) for kind, whose in _KINDS.items()]
        return [(whose, refusal) for whose, refusal in found if refusal is not None]

    def forget_all_kinds(self, key: bytes) -> None:
        """As `forget`, for all requests for `key`."""
        key = short_key(key)
        for kind in _KINDS:
            self._refusals.drop(key + kind)

    def forget(self, key: bytes, fields: FieldMap) -> None:
        """An answer for `key` was stored, or could have been."""
        if self._known:
            self._refusals.drop(of_kind(short_key(key), fields))

    def clear(self) -> None:
        """Forget everything."""
        self._refusals.clear()

    def __len__(self) -> int:
        return len(self._known)
