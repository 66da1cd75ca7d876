"""The control of a census: vectors that are not stored must not be found.

A server that answers `{"similarity": 1.0}` to everything passes any census of what is stored. A few made-up vectors
tell it from one that searches.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

from ...engine.outcome import Item
from ...rules.census.score_map import to_similarity
from .answers import Hit
from .bodies import BodyTemplate
from .calibrate import AnswerReading
from .numeric import Array, np
from .queries import Query
from .source import VectorSource

CONTROLS = 8
_SEED = 0x636F6E74


def made_up(source: VectorSource, template: BodyTemplate) -> Controls:
    """Queries for vectors that are drawn at random with the spread of the first stored ones."""
    block = source.read_unchecked(0, min(CONTROLS, source.count)).astype(np.float64)
    mean, spread = float(block.mean()), float(block.std()) or 1.0
    # Not numpy's generators: loading them takes 5 MB for 8 vectors.
    draw = random.Random(_SEED).gauss
    drawn = np.array([[draw(mean, spread) for _ in range(source.dim)] for _ in range(CONTROLS)])
    vectors: Array = _as_type(drawn, source.dtype)
    return Controls([Query(position, body) for position, body in enumerate(template.block(vectors, 0))])


def _as_type(drawn: Array, dtype: Any) -> Array:
    if dtype.kind == "f":
        return drawn.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(drawn), limits.min, limits.max).astype(dtype)


class Controls:
    """A batch source of the made-up queries."""

    def __init__(self, queries: list[Query]) -> None:
        self._queries = queries

    def __len__(self) -> int:
        return len(self._queries)

    async def batches(self) -> AsyncIterator[list[Item[Query]]]:
        """All of them at once; they are few."""
        yield [Item(query.position, query) for query in self._queries]


def fooled(read: Callable[[Any], Hit], reading: AnswerReading) -> Callable[[Any, Query], bool]:
    """The function that says of an answer whether it claims to have found the made-up vector."""
    calibration = reading.calibration

    def found(answer: Any, query: Query) -> bool:
        score, _, problem = read(answer)
        similarity = to_similarity(score, calibration.score_map.apply)
        return problem is None and calibration.low <= similarity <= calibration.high

    return found
