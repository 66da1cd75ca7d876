"""An exact vector search over a file: it finds the very vector that is asked for, or it is not there.

It looks up the hash of the vector's bytes, so it answers without an index that could miss. Corruptions can be
planted, each with a known finding of a census, so every figure can be predicted.
"""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from penstock.rules.census.finding import Finding

from .search_shapes import SHAPES, Hit, SearchShape
from .vector_index import VectorIndex

NEIGHBOUR_SIMILARITY = 0.91
"""Of the other vector that is found where the one asked for was planted away."""

FAR_SIMILARITY = 0.12
"""Of a hit that has nothing to do with the vector asked for."""

UNKNOWN_SIMILARITY = 0.83
"""Of the vector that is found for one that was never stored."""

PERTURBED_SIMILARITY = 0.9995
"""Of a stored vector that was changed by about 1e-3."""

SECOND_LOOK = 10
"""A `rank_missed` vector is found when at least so many hits are asked for."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One kind of corruption: what it means, and what a census must find, with ids to compare and without."""

    meaning: str
    with_ids: Finding
    without_ids: Finding


PLANTS: Mapping[str, Planted] = {
    "deleted": Planted("another vector is the nearest", Finding.WRONG, Finding.WRONG),
    "wrong": Planted("another vector, far away, comes first", Finding.WRONG, Finding.WRONG),
    "rank_missed": Planted("another vector, but found among ten hits", Finding.WRONG, Finding.WRONG),
    "perturbed": Planted("the right id, but 0.9995", Finding.NEAR, Finding.WRONG),
    "swapped": Planted("the next row's id, with 1.0", Finding.WRONG, Finding.SELF),
    "duplicate": Planted("an id beyond the last row, with 1.0", Finding.WRONG, Finding.SELF),
    "nan": Planted("the right id, with the literal NaN", Finding.BAD_SCORE, Finding.BAD_SCORE),
    "null": Planted("the right id, with null for a similarity", Finding.EMPTY, Finding.EMPTY),
    "too_high": Planted("the right id, with 1.5", Finding.BAD_SCORE, Finding.BAD_SCORE),
    "empty": Planted("no hit", Finding.EMPTY, Finding.EMPTY),
}
"""Every kind of corruption by name. The findings hold for calibrated scores that are not quantised."""


class Oracle:
    """`oracle(body)` answers one search over the raw float32 file at `path`: FaultServer's `answer`.

    A stored vector is found with its row number for an id and similarity 1.0; any other vector finds some row
    with 0.83. `plant` maps row numbers to the names of PLANTS. `shape` is a name of SHAPES, or a SearchShape.
    Numbers in a body become float32 as any server's would. Needs numpy (the `vectors` extra).

    Calls raise ValueError for a body that is not a search. Making one raises ValueError for a file that is
    not a whole number of vectors, and for a plant that is unknown or out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dim: int,
        plant: Mapping[int, str] | None = None,
        shape: str | SearchShape = "default",
    ) -> None:
        self.index = VectorIndex(path, dim)
        self.n = self.index.n
        self.plant = dict(plant or {})
        _check_plant(self.plant, self.n)
        self._plain = shape == "default"
        self._shape = SHAPES[shape] if isinstance(shape, str) else shape
        self._pack = struct.Struct(f"{dim}f").pack
        self.dim = dim

    def __call__(self, body: bytes) -> bytes:
        """Return the answer to one search."""
        try:
            vector, top_k = self._shape.read(orjson.loads(body))
            row = self.index.find(self._pack(*vector))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"not a search of this shape: {error!r}") from error
        except struct.error as error:
            raise ValueError(f"not a vector of {self.dim} float32: {error}") from error
        if row is None:
            return self._shape.write(self._neighbours(0, top_k, UNKNOWN_SIMILARITY))
        if row in self.plant:
            return self._corrupted(row, top_k, self.plant[row])
        if self._plain and top_k == 1:
            return b'{"similarity":1.0,"id":%d}' % row
        return self._shape.write(self._hits(row, 1.0, row, top_k))

    def finding(self, row: int, *, with_ids: bool = True) -> Finding:
        """Return what a census must find for this row, whether or not it compares ids."""
        kind = self.plant.get(row)
        if kind is None:
            return Finding.SELF
        return PLANTS[kind].with_ids if with_ids else PLANTS[kind].without_ids

    def predict(self, *, with_ids: bool = True) -> Counter[Finding]:
        """Count what a census of the whole file must find."""
        total = Counter(self.finding(row, with_ids=with_ids) for row in self.plant)
        total[Finding.SELF] += self.n - len(self.plant)
        return total

    def _corrupted(self, row: int, top_k: int, kind: str) -> bytes:
        write = self._shape.write
        next_row = (row + 1) % self.n
        if kind == "empty":
            return write([])
        if kind in ("nan", "null"):
            # orjson writes NaN as null; the literal is what careless servers send.
            answer = write([(row, math.nan)])
            return answer.replace(b"null", b"NaN") if kind == "nan" else answer
        if kind in ("deleted", "wrong") or (kind == "rank_missed" and top_k < SECOND_LOOK):
            similarity = FAR_SIMILARITY if kind == "wrong" else NEIGHBOUR_SIMILARITY
            return write(self._neighbours(row, top_k, similarity))
        first = {"swapped": next_row, "duplicate": self.n + row}.get(kind, row)
        similarity = {"perturbed": PERTURBED_SIMILARITY, "too_high": 1.5}.get(kind, 1.0)
        return write(self._hits(first, similarity, row, top_k))

    def _hits(self, first: int, similarity: float, row: int, top_k: int) -> list[Hit]:
        return [(first, similarity), *self._neighbours(row, top_k - 1, NEIGHBOUR_SIMILARITY)]

    def _neighbours(self, row: int, count: int, nearest: float) -> list[Hit]:
        """Other rows, ever further away; made up, since only the nearest is ever judged."""
        count = min(count, self.n - 1)
        return [((row + place) % self.n, nearest * 0.99 ** (place - 1)) for place in range(1, count + 1)]


def _check_plant(plant: Mapping[int, str], n: int) -> None:
    for row, kind in plant.items():
        if kind not in PLANTS:
            raise ValueError(f"there is no corruption {kind!r} to plant: choose one of {', '.join(PLANTS)}")
        if not 0 <= row < n:
            raise ValueError(f"cannot plant {kind} at row {row}: there are {n} rows")
