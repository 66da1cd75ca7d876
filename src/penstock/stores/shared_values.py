"""Values that nearly all stored responses have in common, as one object for all of them."""

from __future__ import annotations

from typing import Any, TypeVar

from .stored_response import StoredResponse, bytes_of

_MOST_VALUES = 256
_LONGEST = 128
_CODING_BYTES = 80

Value = TypeVar("Value", bytes, tuple[bytes, ...])


class SharedValues:
    """Reasons, lists of Vary, and what is known of codings.

    The tables are bounded, so what they hold is not charged to anybody.
    """

    def __init__(self) -> None:
        self._reasons: dict[bytes, bytes] = {}
        self._varies: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}
        self._codings: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def share(self, stored: StoredResponse) -> int:
        """Give `stored` the objects that others have too; returns what is to be charged for those it has alone."""
        size = 0
        if stored.reason:
            reason = self._reasons.get(stored.reason)
            if reason is not None:
                stored.reason = reason
            elif not _learn(self._reasons, stored.reason):
                size += bytes_of(len(stored.reason))
        if stored.vary:
            vary = self._varies.get(stored.vary)
            if vary is not None:
                stored.vary = vary
            elif not _learn(self._varies, stored.vary):
                size += 64 + sum(8 + bytes_of(len(name)) for name in stored.vary)
            if stored.codings:
                size += self._share_codings(stored)
        return size

    def _share_codings(self, stored: StoredResponse) -> int:
        known = self._codings.get(stored.codings)
        if known is not None:
            stored.codings = known
            return 0
        if len(self._codings) < _MOST_VALUES:
            self._codings[stored.codings] = stored.codings
            return 0
        return 64 + _CODING_BYTES * len(stored.codings)


def _learn(table: dict[Value, Value], value: Value) -> bool:
    """Whether it is short, and there is still a place for it."""
    length = len(value) if isinstance(value, bytes) else sum(map(len, value)) + 8 * len(value)
    if len(table) >= _MOST_VALUES or length > _LONGEST:
        return False
    table[value] = value
    return True
