"""How long requests of an arm took: buckets of 6 %, few enough to be read of every worker four times a second.

Four buckets of a `Histogram` are one of these, so either can be made of the other, this one without a loss.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from ..observe.histogram import BUCKETS as FINE_BUCKETS
from ..observe.histogram import Histogram, bucket_of, edges

_BITS = 2
BUCKETS = FINE_BUCKETS >> _BITS
"""So many there are."""
_STANDS_FOR = 1 << (_BITS - 1)


def index_of(seconds: float) -> int:
    """The bucket that counts a duration of `seconds`."""
    return bucket_of(seconds) >> _BITS


def _middle(index: int) -> float:
    return (edges(index << _BITS)[0] + edges(((index + 1) << _BITS) - 1)[1]) / 2


_MIDDLES = [_middle(index) for index in range(BUCKETS)]


class CoarseDurations:
    """Counts by bucket, to be asked. A bucket is where its middle is."""

    def __init__(self, buckets: Sequence[int], largest: float = 0.0) -> None:
        self._buckets = buckets
        self._largest = largest
        self.count = sum(buckets)
        """How many they are."""

    def quantile(self, share: float) -> float | None:
        """The duration in seconds that `share` (0 to 1) of all are at most; None when empty."""
        if self.count <= 0:
            return None
        wanted = max(1, -(-self.count * share // 1))
        index = next(index for index, seen in enumerate(accumulate(self._buckets)) if seen >= wanted)
        return min(_MIDDLES[index], self._largest or _MIDDLES[index])

    def slower_than(self, seconds: float) -> int:
        """How many took longer."""
        return sum(self._buckets[bisect_right(_MIDDLES, seconds) :])


def histogram_of(buckets: Sequence[int], total: float, largest: float) -> Histogram:
    """The same as a Histogram, whose buckets are finer than what is known; `total` and `largest` are in seconds."""
    made = Histogram()
    for index, count in enumerate(buckets):
        made.buckets[(index << _BITS) + _STANDS_FOR] = count
    made.count, made.total, made.largest = sum(buckets), total, largest
    return made
