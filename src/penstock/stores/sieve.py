"""Which response goes when there is no room: SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi, NSDI 2024).

One list in the order of arrival. A hand goes from the oldest towards the newest; what was used since the hand came by
loses its mark and stays where it is, what was not goes. New responses come in ahead of the hand and marked ones behind
it are left alone, so a scan (responses asked for once) pushes out only itself, and a use costs one store of True.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

_PATIENCE = 1000


class Member(Protocol):
    """What can stand in the list: a response, or its place among the variants of its key."""

    older: Any
    newer: Any
    visited: bool

    @property
    def size(self) -> int:
        """Bytes that go with it."""
        ...


Each = TypeVar("Each", bound=Member)


class Sieve(Generic[Each]):
    """The list and its hand. The links are in the members: `older` and `newer`."""

    __slots__ = ("hand", "newest", "oldest", "sweeper")

    def __init__(self) -> None:
        self.newest: Each | None = None
        self.oldest: Each | None = None
        self.hand: Each | None = None
        """Where to look next; None: at the oldest."""
        self.sweeper: Each | None = None
        """A second place that is kept valid as responses go: where `MemoryStore.collect` looks next."""

    def add(self, stored: Each) -> None:
        """Add a response that is not in the list, as the newest."""
        last = self.newest
        stored.older = last
        if last is None:
            self.oldest = stored
        else:
            last.newer = stored
        self.newest = stored

    def remove(self, stored: Each) -> None:
        """Take out a response that is in the list."""
        older, newer = stored.older, stored.newer
        if self.hand is stored:
            self.hand = newer
        if self.sweeper is stored:
            self.sweeper = newer
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        stored.older = stored.newer = None

    def next_to_go(self, count: int, keep: Each | None) -> Each | None:
        """As `victim`, of `count` members, but never `keep`, which counts as used; None where there is no other."""
        while True:
            victim = self.victim(min(_PATIENCE, count))
            if victim is None or victim is not keep:
                return victim
            if count == 1:
                return None
            victim.visited = True

    def victim(self, patience: int) -> Each | None:
        """The next to go, which the caller removes; None for an empty list.

        At most `patience` marks are taken: then the next is returned with its mark, so that no single call takes long
        where everything is in use. With 1,000, one response in 1,001 goes in spite of its mark, at worst.
        """
        stored = self.hand or self.oldest
        if stored is None:
            return None
        while stored.visited and patience > 0:
            stored.visited = False
            patience -= 1
            stored = stored.newer or self.oldest
            assert stored is not None
        self.hand = stored
        return stored

    def unused(self, wanted: int, looks: int) -> list[Each] | None:
        """Responses without a mark, of `wanted` bytes in all, that the hand comes to next; no mark is taken.

        None if there are not that many among the next `looks`, once around at most.
        """
        found: list[Each] = []
        start = stored = self.hand or self.oldest
        while stored is not None and wanted > 0 and looks > 0:
            looks -= 1
            if not stored.visited:
                found.append(stored)
                wanted -= stored.size
            stored = stored.newer or self.oldest
            if stored is start:
                break
        return found if wanted <= 0 else None
