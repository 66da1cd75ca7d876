"""Hits that need no thinking: requests whose bytes came before, and whose answer is ready.

Clients repeat themselves: the same browser, bot or service sends the same head again and again. What parsing and the
rules made of these bytes is the same too, as long as the stored response they led to is fresh, alive, and no other
variant of it has been stored. So the bytes are looked up, and the answer with the Age of this second is sent.
"""

from __future__ import annotations

from collections.abc import Callable

from ..stores.memory import MemoryStore
from ..stores.stored_response import Resource, StoredResponse
from .counters import Counters

MAX_BODY = 64 * 1024
_MAX_REQUEST = 4096
_MAX_KNOWN = 8192


class KnownHit:
    """What a request's bytes lead to: `stored`, as long as `newest` is the newest variant, of version `version`."""

    __slots__ = ("fresh_until", "newest", "stored", "version")

    def __init__(self, newest: Resource, stored: StoredResponse, fresh_until: float) -> None:
        self.newest = newest
        self.version = newest.version
        self.stored = stored
        self.fresh_until = fresh_until


class KnownHits:
    """At most 8192 requests; when it is full it starts over, as what is hot comes back at once.

    `make(stored, now)` gives the answer's bytes for one moment, and the moment until which they are right. They are
    kept at the stored response, for all who ask for it in one way or another, and charged to the store's budget.
    """

    def __init__(
        self,
        store: MemoryStore,
        counters: Counters,
        now: Callable[[], float],
        make: Callable[[StoredResponse, float], tuple[bytes, float]],
    ) -> None:
        self._store = store
        self._counters = counters
        self._now = now
        self._make = make
        self._table: dict[bytes, KnownHit] = {}
        self._find = self._table.get
        self.on_sample: Callable[[StoredResponse], None] = _nothing
        """Told of the hit that reaches `Counters.sample_at`."""

    def answer(self, data: bytes) -> bytes | None:
        """The complete answer to the request `data`, or None where it has to be looked at."""
        known = self._find(data)
        if known is None:
            return None
        now = self._now()
        stored = known.stored
        if stored.valid_at != self._store.purges or known.version != known.newest.version or now >= known.fresh_until:
            del self._table[data]
            return None
        wire = stored.wire
        if wire is None or now >= stored.wire_until:
            # The Age in it is no longer right.
            wire, until = self._make(stored, now)
            self._store.keep_wire(stored, wire, until)
        counters = self._counters
        counters.requests += 1
        counters.hits = hits = counters.hits + 1
        stored.hits += 1
        stored.visited = True
        if hits >= counters.sample_at:
            self.on_sample(stored)
        return wire

    def learn(self, data: bytes, newest: Resource, stored: StoredResponse, fresh_until: float) -> None:
        """Remember that `data` is answered by `stored` as it is, until `fresh_until` on the monotonic clock."""
        if len(data) > _MAX_REQUEST or len(stored.body) > MAX_BODY:
            return
        if len(self._table) >= _MAX_KNOWN:
            self._table.clear()
        self._table[data] = KnownHit(newest, stored, fresh_until)

    def drop_dead(self) -> None:
        """Let go of responses that have left the store. Half a millisecond at most; call it about once a second."""
        dead = [data for data, known in self._table.items() if not known.stored.alive]
        for data in dead:
            del self._table[data]

    def clear(self) -> None:
        """Have every request looked at again."""
        self._table.clear()

    def __len__(self) -> int:
        return len(self._table)


def _nothing(_stored: StoredResponse) -> None:
    """Nobody wants to know."""
