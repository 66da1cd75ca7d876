"""Fields of a request that no hit depends on: told by their names, as clients write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...rules.caching.unkeyed import FORWARDED, NEVER_KEYED
from ...stores.memory import MemoryStore
from ...stores.stored_response import bytes_of
from ..cache.bounded_table import BoundedTable, Sights, share_of

Field = tuple[bytes, bytes]

UNKEYED = NEVER_KEYED | FORWARDED
CONDITIONS = frozenset({b"if-modified-since", b"if-none-match"})
"""What decides between the whole and a 304, and not which response is selected."""
OF_ONE_CLIENT = frozenset({b"if-match", b"if-range", b"if-unmodified-since", b"range"})
MATTERS = (
    UNKEYED
    | CONDITIONS
    | OF_ONE_CLIENT
    | {b"authorization", b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade"}
)
"""What is looked at for a hit whatever is stored. What its Vary lists is too, and cookies where the policy or what is
stored goes by them. Cache-Control and Pragma are not: a client has no say in what is fresh for a shared cache."""
_MOST_NAMES = 512
_LONGEST_NAME = 64
_PART = 256


def stands_for_unkeyed(lower: bytes) -> bool:
    """Whether an app behind WSGI may take the field for one that no key holds: `x_original_url`."""
    # To such an app both are one name, and the last line may win there.
    return b"_" in lower and lower.replace(b"_", b"-") in UNKEYED


def split_conditions(way: tuple[Field, ...]) -> tuple[tuple[Field, ...], list[Field]]:
    """`way` without its conditions, and these."""
    conditions = [field for field in way if field[0].lower() in CONDITIONS]
    return (tuple([field for field in way if field not in conditions]) if conditions else way), conditions


class FieldNames:
    """Names that make no difference, of at most 512 that came more than once; the oldest goes first.

    What a name is follows from the name alone, so to forget one costs time and changes nothing.
    """

    def __init__(self, store: MemoryStore, sights: Sights) -> None:
        self._sights = sights
        self._table = BoundedTable[bytes](store, share_of(store, _PART), _MOST_NAMES, lambda low: bytes_of(len(low)))
        self.lower: Mapping[bytes, bytes] = self._table.entries
        """In lower case, by the name as it came; to be read, by the hot path without a call."""

    def way_of(self, fields: Sequence[Field], varies: Collection[bytes]) -> tuple[Field, ...]:
        """Those of `fields` that may make a difference: all that `MATTERS`, and those that are named in `varies`.

        The same whatever is remembered. Raises TypeError for a server that uses lists where tuples would do.
        """
        known = self.lower
        return tuple(
            [
                field
                for field in fields
                if field[0] in MATTERS
                or (lower := known.get(field[0]) or self._look_at(field[0])) is None
                or lower in varies
            ]
        )

    def _look_at(self, name: bytes) -> bytes | None:
        """`name` in lower case if it makes no difference; remembered when it comes again."""
        lower = name.lower()
        if lower in MATTERS or stands_for_unkeyed(lower):
            return None
        if len(name) <= _LONGEST_NAME and self._sights.seen(hash(name)):
            self._table.keep(name, lower)
        return lower

    def clear(self) -> None:
        """Forget all."""
        self._table.clear()
