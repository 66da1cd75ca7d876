"""Python's cycle collector, kept away from what is stored.

A full collection looks at every object there is: with a million stored responses that takes a second and more, in which
nobody is answered. None of them is ever part of a cycle. So what has been stored is moved out of the collector's sight
(`gc.freeze`) as the store grows; reference counting still frees it the moment it goes.
"""

from __future__ import annotations

import gc

from ...stores.memory import MemoryStore

_GROWTH = 5_000
"""Responses stored since the last time: so many are looked at in a few milliseconds."""


class StoreCollector:
    """For a process whose only business is the cache: in an app its own garbage would be frozen as well."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._frozen_at = 0
        # Requests make no cycles, so looking at the young ones now and then is enough.
        gc.set_threshold(20_000, 20, 1_000)

    def tick(self) -> None:
        """Call it about once a second."""
        stored = self._store.objects + self._store.evictions + self._store.variant_evictions
        if stored - self._frozen_at >= _GROWTH:
            self._frozen_at = stored
            gc.collect(1)
            gc.freeze()
