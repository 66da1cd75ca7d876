"""Which response goes when there is no room: SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi, NSDI 2024).

One list in the order of arrival. A hand goes from the oldest towards the newest; what was used since the hand came by
loses its mark and stays where it is, what was not goes. New responses come in ahead of the hand and marked ones behind
it are left alone, so a scan (responses asked for once) pushes out only itself, and a use costs one store of True.
"""

from __future__ import annotations

from .stored_response import StoredResponse


class Sieve:
    """The list and its hand. The links are in the responses: `older` and `newer`."""

    __slots__ = ("hand", "newest", "oldest", "sweeper")

    def __init__(self) -> None:
        self.newest: StoredResponse | None = None
        self.oldest: StoredResponse | None = None
        self.hand: StoredResponse | None = None
        """Where to look next; None: at the oldest."""
        self.sweeper: StoredResponse | None = None
        """A second place that is kept valid as responses go: where `MemoryStore.collect` looks next."""

    def add(self, stored: StoredResponse) -> None:
        """Add a response that is not in the list, as the newest."""
        last = self.newest
        stored.older = last
        if last is None:
            self.oldest = stored
        else:
            last.newer = stored
        self.newest = stored

    def remove(self, stored: StoredResponse) -> None:
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

    def victim(self, patience: int) -> StoredResponse | None:
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

    def unused(self, wanted: int, looks: int) -> list[StoredResponse] | None:
        """Responses without a mark, of `wanted` bytes in all, that the hand comes to next; no mark is taken.

        None if there are not that many among the next `looks`, once around at most.
        """
        found: list[StoredResponse] = []
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
