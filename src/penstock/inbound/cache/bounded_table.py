"""Tables that grow with what clients ask for, held within the budget of the store.

Anybody may ask for as many URLs as they like, and long ones. So whatever is remembered by URL beside the store has a
share of its budget, is charged to it, and keeps of a long key only what stands for it.
"""

from __future__ import annotations

import os
from array import array
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, TypeVar

from ...stores.memory import MemoryStore
from ...stores.stored_response import bytes_of

Value = TypeVar("Value")

LEAST_SHARE = 16 * 1024
"""Bytes that a table may take of any budget, as far as it has room."""
_LONGEST_KEY = 64
_ENTRY_BYTES = 240
"""An entry of an OrderedDict: its node (56), and its place as the table grows, when the old one is still there."""
_MOST_PLACES = 16384
_BUDGET_OF_A_PLACE = 4096
_SECRET = os.urandom(16)


def short_key(key: bytes) -> bytes:
    """`key`, or 17 bytes that stand for a long one; a short key is its own.

    The digest is keyed anew in each process, so nobody can make two keys that have the same. No URL begins with a NUL,
    so none is taken for a digest.
    """
    return key if len(key) <= _LONGEST_KEY else b"\0" + blake2b(key, digest_size=16, key=_SECRET).digest()


def share_of(store: MemoryStore, part: int) -> int:
    """One `part`-th of the budget, and at least `LEAST_SHARE`."""
    return max(LEAST_SHARE, store.max_bytes // part)


class Sights:
    """Which requests came before, roughly: of each its hash, in a table whose size is charged to `store` once.

    Two may share a place, where the later one is seen, and two may have one hash. So it may decide what is worth
    remembering, and nothing else.
    """

    def __init__(self, store: MemoryStore) -> None:
        places = max(1, min(_MOST_PLACES, store.max_bytes // _BUDGET_OF_A_PLACE))
        self._marks = array("q", [0]) * places
        store.charge_table(self._marks.itemsize * places)

    def seen(self, mark: int) -> bool:
        """Whether `mark` came before; from now on it has."""
        marks = self._marks
        place = mark % len(marks)
        if marks[place] == mark:
            return True
        marks[place] = mark
        return False

    def clear(self) -> None:
        """Nothing has come before."""
        self._marks = array("q", [0]) * len(self._marks)


class BoundedTable(Generic[Value]):
    """At most `max_keys`, and `max_bytes`, which are charged to the budget of `store`; the oldest goes first.

    `bytes_of_value` says what a value takes beyond its key: always the same for the same value.
    """

    def __init__(
        self, store: MemoryStore, max_bytes: int, max_keys: int, bytes_of_value: Callable[[Value], int]
    ) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._max_keys = max_keys
        self._bytes_of_value = bytes_of_value
        self.bytes_used = 0
        self.entries: OrderedDict[bytes, Value] = OrderedDict()
        """To be read, by the hot path without a call; what changes it are the methods. It stays the same object."""

    def keep(self, key: bytes, value: Value) -> None:
        """Remember `value` for `key`, as the newest; not where the store has no room for it."""
        if key in self.entries:
            self.drop(key)
        size = self._size(key, value)
        while self.entries and (self.bytes_used + size > self._max_bytes or len(self.entries) >= self._max_keys):
            self._release(*self.entries.popitem(last=False))
        if size <= self._max_bytes and self._store.charge_table(size):
            self.entries[key] = value
            self.bytes_used += size

    def drop(self, key: bytes) -> None:
        """Forget `key`, if it is known."""
        value = self.entries.pop(key, None)
        if value is not None:
            self._release(key, value)

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self._store.charge_table(-self.bytes_used)
        self.bytes_used = 0

    def _release(self, key: bytes, value: Value) -> None:
        size = self._size(key, value)
        self.bytes_used -= size
        self._store.charge_table(-size)

    def _size(self, key: bytes, value: Value) -> int:
        return _ENTRY_BYTES + bytes_of(len(key)) + self._bytes_of_value(value)

    def __len__(self) -> int:
        return len(self.entries)
