"""The data set of a paged API: rows that are made from their number, so that nobody has to keep them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

KINDS = 64
"""All of a row but its id and name repeats after this many rows, so that a page is put together, not serialised."""

_SHORTEST = 120


class PagedRows:
    """`count` rows of about `row_bytes` bytes of JSON each: numbers, text, floats, booleans and nulls.

    Row `number` is the same in every process and version. Raises ValueError for a negative count, or rows too short
    to hold their fields.
    """

    def __init__(self, count: int, row_bytes: int = 200) -> None:
        if count < 0:
            raise ValueError(f"there cannot be {count} rows")
        if row_bytes < _SHORTEST:
            raise ValueError(f"a row has at least {_SHORTEST} bytes, not {row_bytes}")
        self.count = count
        self._rests = [_rest(kind, row_bytes - _SHORTEST) for kind in range(KINDS)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Row `number`, from 0. Raises IndexError."""
        if not 0 <= number < self.count:
            raise IndexError(f"there is no row {number} among {self.count}")
        value: dict[str, Any] = orjson.loads(self.as_json([number]))
        return value

    def as_json(self, numbers: Iterable[int]) -> bytes:
        """The rows of these numbers as JSON, separated by commas: what stands between the brackets of a list."""
        rests = self._rests
        return b",".join([b'{"id":%d,"name":"row %d",%b' % (each, each, rests[each % KINDS]) for each in numbers])

    def __repr__(self) -> str:
        return f"<PagedRows {self.count}>"


def _rest(kind: int, padding: int) -> bytes:
    fields = {
        "group": f"group {kind % 7}",
        "score": kind / 8,
        "active": kind % 3 > 0,
        "parent": None if kind % 5 == 0 else kind,
        "note": 'Zoë paid 3 €, "net"' + "x" * padding,
    }
    return orjson.dumps(fields)[1:]
