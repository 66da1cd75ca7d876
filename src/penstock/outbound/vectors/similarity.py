"""How near to 1 are the similarities? A histogram of log10 |1 - s|, the mean, and the worst, in flat memory.

Kept while a run goes on; the scoreboard gives the same figures again afterwards.
"""

from __future__ import annotations

import heapq
import math

LOWEST_DECADE = -8
"""float32 steps near 1 are 6e-8, so everything nearer than 1e-8 is one bucket."""

WORST = 100


class SimilarityStats:
    """Counts of |1 - s| by decade, and more. Merging is addition; it costs a few kilobytes."""

    __slots__ = ("_heap", "above_one", "count", "decades", "exact", "not_a_number", "total")

    def __init__(self) -> None:
        self.count = 0
        """Finite similarities."""
        self.total = 0.0
        """Their sum."""
        self.exact = 0
        """Those that are exactly 1."""
        self.above_one = 0
        self.not_a_number = 0
        """NaN and infinite ones, which are in no other count."""
        self.decades = [0] * (2 - LOWEST_DECADE)
        """|1 - s| below 1e-8 (but not 0), from 1e-8 to below 1e-7, ... from 0.1 to below 1, from 1."""
        self._heap: list[tuple[float, int]] = []

    def add(self, similarity: float, index: int) -> None:
        """Count the similarity of vector `index`."""
        if similarity == 1.0:
            # More than half of all on a healthy index.
            self.exact += 1
            self.count += 1
            self.total += 1.0
            if len(self._heap) < WORST:
                heapq.heappush(self._heap, (-1.0, -index))
            return
        if not math.isfinite(similarity):
            self.not_a_number += 1
            return
        self.count += 1
        self.total += similarity
        if similarity > 1.0:
            self.above_one += 1
        self.decades[_decade(abs(1.0 - similarity))] += 1
        heap = self._heap
        # The heap's first is the best of the worst; negated, since heapq keeps the smallest first.
        if len(heap) < WORST:
            heapq.heappush(heap, (-similarity, -index))
        elif -similarity > heap[0][0]:
            heapq.heapreplace(heap, (-similarity, -index))

    @property
    def mean(self) -> float | None:
        """The mean of the finite ones, None without any."""
        return self.total / self.count if self.count else None

    def worst(self) -> list[tuple[float, int]]:
        """(similarity, index) of the 100 lowest, lowest first."""
        return sorted((-similarity, -index) for similarity, index in self._heap)

    def histogram(self) -> list[tuple[str, int]]:
        """(label, count) from 0 upwards, for a person."""
        labels = ["0", f"<1e{LOWEST_DECADE}"]
        labels += [f"1e{decade}..1e{decade + 1}" for decade in range(LOWEST_DECADE, 0)]
        return list(zip([*labels, ">=1"], [self.exact, *self.decades], strict=True))

    def merge(self, other: SimilarityStats) -> None:
        """Add all of `other`."""
        self.count += other.count
        self.total += other.total
        self.exact += other.exact
        self.above_one += other.above_one
        self.not_a_number += other.not_a_number
        self.decades = [mine + theirs for mine, theirs in zip(self.decades, other.decades, strict=True)]
        self._heap = heapq.nlargest(WORST, self._heap + other._heap)
        heapq.heapify(self._heap)


def _decade(offset: float) -> int:
    """The place of an offset above 0 in `decades`."""
    if offset >= 1.0:
        return 1 - LOWEST_DECADE
    return max(0, math.floor(math.log10(offset)) - LOWEST_DECADE + 1)
