"""The queries of a census: the vectors that have no finding yet, as request bodies, read by the block in a thread."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncIterator, Iterable, Iterator

from ...engine.outcome import Item
from .bodies import BodyTemplate
from .source import VectorSource

BLOCK_ROWS = 256
_FULL_BODY_BYTES = 1 << 20


class Query:
    """One vector to be asked for: its position in the file and the body of the request."""

    __slots__ = ("body", "position", "problem")

    def __init__(self, position: int, body: bytes, problem: str = "") -> None:
        self.position = position
        self.body = body
        self.problem = problem


class Queries:
    """A batch source of queries for the positions in `ranges`, (first, end) in rising order, end not included."""

    def __init__(self, source: VectorSource, template: BodyTemplate, ranges: Iterable[tuple[int, int]]) -> None:
        # Large vectors make large bodies: a block is bounded in bytes as well.
        self._rows = max(1, min(BLOCK_ROWS, _FULL_BODY_BYTES // (12 * source.dim)))
        self._blocks = _split(ranges, self._rows)
        self._source = source
        self._template = template
        self._lock = threading.Lock()
        self._closed = False

    async def batches(self) -> AsyncIterator[list[Item[Query]]]:
        """Queries in order of position, read in a thread."""
        try:
            while batch := await asyncio.to_thread(self._next):
                yield batch
        finally:
            # A read that is under way in its thread ends before the file may be closed.
            with self._lock:
                self._closed = True

    def _next(self) -> list[Item[Query]]:
        """A batch: one block, or as many small ones (of a sample, of what is left over) as make up one."""
        items: list[Item[Query]] = []
        with self._lock:
            while not self._closed and len(items) < self._rows and (block := next(self._blocks, None)):
                items += self._read(*block)
        return items

    def _read(self, first: int, end: int) -> list[Item[Query]]:
        vectors, good = self._source.read_with_mask(first, end - first)
        bodies = self._template.block(vectors, first)
        items = [Item(first + row, Query(first + row, body)) for row, body in enumerate(bodies)]
        if good is not None:
            for item, fine in zip(items, good, strict=True):
                if not fine:
                    item.value.problem = "holds NaN or infinity"
        return items


def _split(ranges: Iterable[tuple[int, int]], rows: int) -> Iterator[tuple[int, int]]:
    for first, end in ranges:
        for start in range(first, end, rows):
            yield start, min(start + rows, end)


def sample_ranges(count: int, size: int, seed: int = 0) -> list[tuple[int, int]]:
    """`size` positions, one from each of as many equal parts of the file, as ranges of one.

    Strata keep a sample from missing a damaged stretch that a plain draw could step over.
    """
    draw = random.Random(seed)
    edges = [count * part // size for part in range(size + 1)]
    return [(position, position + 1) for position in (draw.randrange(a, b) for a, b in itertools.pairwise(edges))]
