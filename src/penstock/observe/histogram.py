"""A log-linear histogram of durations: 1.6 % wide buckets from 1 us to 18 h, in a few kilobytes, added in O(1).

The layout is that of HdrHistogram (G. Tene) with 64 sub-buckets per power of two; two histograms merge by addition.
"""

from __future__ import annotations

from collections.abc import Mapping

_SUB_BITS = 6
_SUB = 1 << _SUB_BITS
_HIGHEST_US = (1 << 36) - 1
_BUCKETS = (36 - _SUB_BITS + 1) << _SUB_BITS


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


def _middle(index: int) -> float:
    if index < 2 * _SUB:
        return float(index) if index < _SUB else index + 0.5
    shift = (index >> _SUB_BITS) - 1
    low = ((index & (_SUB - 1)) + _SUB) << shift
    return low + (1 << shift) / 2
