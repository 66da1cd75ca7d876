"""A log-linear histogram of durations: 1.6 % wide buckets from 1 us to 18 h, in a few kilobytes, added in O(1).

The layout is that of HdrHistogram (G. Tene) with 64 sub-buckets per power of two; two histograms merge by addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_SUB_BITS = 6
_SUB = 1 << _SUB_BITS
_HIGHEST_US = (1 << 36) - 1
_BUCKETS = (36 - _SUB_BITS + 1) << _SUB_BITS
_COARSE_BITS = 3

BUCKETS = _BUCKETS
"""So many buckets a `Histogram` has."""

COARSE_BUCKETS = _BUCKETS >> _COARSE_BITS
"""So many buckets `Histogram.coarse` can have."""


class Histogram:
    """Counts of durations in seconds."""

    __slots__ = ("buckets", "count", "largest", "total")

    def __init__(self) -> None:
        self.buckets = [0] * _BUCKETS
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; below 0 counts as 0, above 19 hours as 19 hours."""
        us = int(seconds * 1_000_000.0)
        if us < _SUB:
            index = max(0, us)
        else:
            if us > _HIGHEST_US:
                us = _HIGHEST_US
            shift = us.bit_length() - _SUB_BITS - 1
            index = (shift << _SUB_BITS) + (us >> shift)
        self.buckets[index] += 1
        self.count += 1
        self.total += seconds
        if seconds > self.largest:
            self.largest = seconds

    def quantile(self, share: float) -> float | None:
        """The duration in seconds that `share` (0 to 1) of all are at most; None when empty."""
        if self.count == 0:
            return None
        wanted = max(1, -(-self.count * share // 1))
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if seen >= wanted:
                return min(_middle(index) / 1e6, self.largest)
        return self.largest

    def merge(self, other: Histogram) -> None:
        """Add all of `other`."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.count += other.count
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    def since(self, earlier: Sequence[int]) -> Histogram:
        """What was added since `buckets` were `earlier`. Its `total` is not known and stays 0."""
        recent = Histogram()
        recent.buckets = [now - then for now, then in zip(self.buckets, earlier, strict=True)]
        recent.count = sum(recent.buckets)
        highest = next((index for index in reversed(range(_BUCKETS)) if recent.buckets[index]), 0)
        recent.largest = min(self.largest, _low(highest + 1) / 1e6) if recent.count else 0.0
        return recent

    def up_to(self, bounds: Sequence[float]) -> list[int]:
        """How many durations were at most each of `bounds`, which are seconds and ascend.

        A bucket belongs to where its middle is, so a duration within 0.8 % of a bound may be on its other side. It
        can be called while another thread adds: what it says is of one moment, or of a few beside it.
        """
        counts = []
        seen = index = 0
        buckets = list(self.buckets)
        for bound in bounds:
            while index < _BUCKETS and _middle(index) / 1e6 <= bound:
                seen += buckets[index]
                index += 1
            counts.append(seen)
        return counts

    def coarse(self) -> dict[int, int]:
        """Counts in buckets of an eighth of a power of two, few enough to be kept for every second of a run."""
        counts: dict[int, int] = {}
        for index, count in enumerate(self.buckets):
            if count:
                counts[index >> _COARSE_BITS] = counts.get(index >> _COARSE_BITS, 0) + count
        return counts

    def as_json(self) -> dict[str, object]:
        """A form that `from_json` reads back."""
        return {
            "buckets": {str(index): count for index, count in enumerate(self.buckets) if count},
            "total": self.total,
            "largest": self.largest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Histogram:
        """The inverse of `as_json`."""
        self = cls()
        buckets = data["buckets"]
        assert isinstance(buckets, dict)
        for index, count in buckets.items():
            self.buckets[int(index)] = int(count)
        self.count = sum(self.buckets)
        self.total = float(str(data["total"]))
        self.largest = float(str(data["largest"]))
        return self

    def percentiles_ms(self) -> dict[str, float | None]:
        """p50, p95, p99 and max in milliseconds, None when empty."""
        values = {name: self.quantile(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
        values["max"] = self.largest if self.count else None
        return {name: None if value is None else round(value * 1e3, 3) for name, value in values.items()}


def coarse_edges(index: int) -> tuple[float, float]:
    """From and up to how many seconds bucket `index` of `Histogram.coarse` reaches."""
    return _low(index << _COARSE_BITS) / 1e6, _low((index + 1) << _COARSE_BITS) / 1e6


def bucket_of(seconds: float) -> int:
    """The index of the bucket of `Histogram.buckets` that counts a duration of `seconds`.

    `Histogram.add` has it written out, for it is on the way of every call; a test holds the two together.
    """
    us = min(int(seconds * 1_000_000.0), _HIGHEST_US)
    if us < _SUB:
        return max(0, us)
    shift = us.bit_length() - _SUB_BITS - 1
    return (shift << _SUB_BITS) + (us >> shift)


def edges(index: int) -> tuple[float, float]:
    """From and up to how many seconds bucket `index` of `Histogram.buckets` reaches."""
    return _low(index) / 1e6, _low(index + 1) / 1e6


def _middle(index: int) -> float:
    if index < _SUB:
        return float(index)
    return (_low(index) + _low(index + 1)) / 2


def _low(index: int) -> int:
    if index < 2 * _SUB:
        return index
    return ((index & (_SUB - 1)) + _SUB) << ((index >> _SUB_BITS) - 1)
