"""The variants of one key, where it has had several (RFC 9111, 4.1): found without a search, bounded together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from .sieve import Sieve
from .stored_response import StoredResponse

MOST_LISTS = 16
"""Different lists of names in Vary that the responses of one key may have: each costs a look at every hit."""

_VARIANTS_BYTES = 688
"""A Variants (112), its Sieve (64), five ints (160), its dict of tables (200), its place in the dict of keys (120)."""
_LIST_BYTES = 192
"""A dict without entries (64), and its place among the others (120)."""
_PLACE_BYTES = 152
"""A VariantPlace (80), the int of its own (32) and its entry in a table (160), less the one in the dict of keys (120)
that each response is charged with, and which only the Variants have."""
MOST_PLACE_BYTES = _PLACE_BYTES + _LIST_BYTES
"""What one more response can take to be kept apart."""
FIRST_BYTES = _VARIANTS_BYTES + MOST_PLACE_BYTES
"""What it takes to keep the first one apart."""
_ENTRY_BYTES = 160
"""Of a table, at most for each entry; it is made anew where responses that went have left it larger."""
_USED = -1


class VariantPlace:
    """Where a response stands among the variants of its key.

    Its mark is its own: what the store's Sieve takes for unused is not taken for it here, nor the other way round.
    """

    __slots__ = ("_seen", "newer", "older", "stored", "variants")

    def __init__(self, stored: StoredResponse, variants: Variants, *, used: bool) -> None:
        self.stored = stored
        self.variants = variants
        self.older: VariantPlace | None = None
        self.newer: VariantPlace | None = None
        self._seen = _USED if used else stored.hits

    @property
    def visited(self) -> bool:
        """Whether it was used since the hand came by; a use costs nothing more for that than its `hits`."""
        return self._seen != self.stored.hits

    @visited.setter
    def visited(self, used: bool) -> None:
        self._seen = _USED if used else self.stored.hits

    @property
    def size(self) -> int:
        """Bytes that the store charges for the response."""
        return self.stored.size


class Variants:
    """All responses of one key, by the names that they vary with and the values of these.

    To be read; what changes it is the store.
    """

    __slots__ = ("codings", "evicted", "hard", "key", "order", "sizes", "soft", "tables", "version")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.tables: dict[tuple[bytes, ...], dict[bytes, VariantPlace]] = {}
        self.order = Sieve[VariantPlace]()
        self.codings: tuple[Any, ...] = ()
        """As the last response that had any said it."""
        self.sizes = 0
        """Bytes of the responses alone."""
        self.version = 0
        """Changes where a request may now select another response than before; 0 once nothing is left."""
        self.evicted = 0
        """Responses that went because all together took more than their share."""
        self.hard = 0
        self.soft = 0
        """The numbers of the last purges of the key that were too large to be carried out at once."""

    @property
    def overhead(self) -> int:
        """Bytes that it takes to keep them apart."""
        return _VARIANTS_BYTES + _LIST_BYTES * len(self.tables) + _PLACE_BYTES * len(self)

    @property
    def bytes_used(self) -> int:
        """Of all responses and of what keeps them apart."""
        return self.sizes + self.overhead

    @property
    def vary_lists(self) -> Collection[tuple[bytes, ...]]:
        """What the responses vary with, each list once; the one that came first is the first."""
        return self.tables.keys()

    def find(self, vary: tuple[bytes, ...], variant: bytes) -> StoredResponse | None:
        """The response of just this variant."""
        place = self.tables.get(vary, {}).get(variant)
        return None if place is None else place.stored

    def matching(self, variants_of: Callable[[tuple[bytes, ...]], Sequence[bytes]]) -> Sequence[StoredResponse]:
        """The responses of the variants `variants_of(names)`, for each list of names; the newest first."""
        found = [
            place.stored
            for names, table in self.tables.items()
            for variant in variants_of(names)
            if (place := table.get(variant)) is not None
        ]
        if len(found) > 1:
            found.sort(key=lambda stored: -stored.version)
        return found

    def add(self, stored: StoredResponse) -> None:
        """One more, as the newest, of which there is none of the same variant."""
        place = VariantPlace(stored, self, used=stored.visited)
        stored.place = place
        if stored.codings:
            self.codings = stored.codings
        self.tables.setdefault(stored.vary, {})[stored.variant] = place
        self.order.add(place)
        self.sizes += stored.size

    def remove(self, place: VariantPlace) -> None:
        """One less."""
        stored = place.stored
        table = self.tables[stored.vary]
        del table[stored.variant]
        if not table:
            del self.tables[stored.vary]
        elif sys.getsizeof(table) > _LIST_BYTES + _ENTRY_BYTES * len(table):
            # A dict never shrinks by itself.
            self.tables[stored.vary] = {variant: each for variant, each in table.items()}  # noqa: C416
        self.order.remove(place)
        self.sizes -= stored.size
        stored.place = None

    def of_first_list(self, most: int) -> list[VariantPlace]:
        """At most so many of those that vary with the list of names that came first."""
        return list(islice(next(iter(self.tables.values())).values(), most))

    def newest(self, most: int) -> list[StoredResponse]:
        """The `most` newest, the newest first."""
        return list(islice(self._newest_first(), most))

    def __iter__(self) -> Iterator[StoredResponse]:
        """All, the newest first; removing any of them meanwhile is safe."""
        return iter(list(self._newest_first()))

    def _newest_first(self) -> Iterator[StoredResponse]:
        place = self.order.newest
        while place is not None:
            yield place.stored
            place = place.older

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))


Resource = StoredResponse | Variants
"""All variants of one key: the response itself where there was never another, which costs nothing; else Variants.

Both have `version`, `codings`, `vary_lists`, `evicted`, `find`, `matching` and `newest`, and go over all, the newest
first.
"""
