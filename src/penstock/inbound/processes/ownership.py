"""Which process a URL belongs to: the same in all of them, and not to be foreseen from outside."""

from __future__ import annotations

from hashlib import blake2b


class Ownership:
    """`count` processes. The hash is keyed with `secret`, or somebody could choose URLs that are all of one process."""

    __slots__ = ("_keyed", "count")

    def __init__(self, count: int, secret: bytes) -> None:
        self.count = count
        self._keyed = blake2b(key=secret, digest_size=8)

    def owner(self, key: bytes) -> int:
        """The number, from 0, of the process to which the primary key `key` belongs."""
        hashed = self._keyed.copy()
        hashed.update(key)
        return int.from_bytes(hashed.digest(), "little") % self.count
