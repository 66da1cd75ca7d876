"""When is an answer so late that the same question should be asked a second time, and is there room for it?

Hedged requests are from J. Dean and L. A. Barroso, "The Tail at Scale" (CACM 56:2, 2013): of two calls, the second made
after a high percentile of the latency, the slower one hardly counts any more. What a second call costs the peer is
bounded twice. It is made late: the delay is at least the quantile that so few calls exceed that the budget pays for
them all, so that what is spent is spent on the slowest. And it is paid for: each call brings in a share of a second
one, so that a peer on which everything is slow is not given twice the work.
"""

from __future__ import annotations

import math

SHARE = 0.02
"""Second calls, of all first ones."""

LEAST_SAMPLES = 100
"""Latencies that are known before the first second call is made."""

_MOST_SAVED = 5.0
_HEADROOM = 0.75
_PER_DOUBLING = 16
_ROTATE_AFTER = 2000
_LOOK_EVERY = 50
_SHORTEST = 1e-6


class Hedging:
    """The delay and the budget of second calls. Latencies are seconds; O(1) a call, but for every fiftieth."""

    __slots__ = ("_before", "_before_count", "_count", "_latest", "_quantile", "_saved", "_share", "delay")

    def __init__(self, quantile: float, *, share: float = SHARE) -> None:
        """`quantile` (0 to 1) of the latency is the earliest moment for a second call."""
        self._quantile = max(quantile, 1.0 - _HEADROOM * share)
        self._share = share
        self._saved = 0.0
        self._latest: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._count = self._before_count = 0
        self.delay: float | None = None
        """Seconds after which a second call is made; None while too little is known."""

    def called(self) -> None:
        """A first call is made."""
        self._saved = min(_MOST_SAVED, self._saved + self._share)

    def withdraw(self) -> bool:
        """Whether a second call may be made; it is paid for with that."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def refund(self) -> None:
        """It was not made after all."""
        self._saved = min(_MOST_SAVED, self._saved + 1.0)

    def record(self, seconds: float) -> None:
        """A call had a good answer after `seconds`, or was beaten by its second call after so long."""
        bucket = math.ceil(math.log2(max(seconds, _SHORTEST)) * _PER_DOUBLING)
        self._latest[bucket] = self._latest.get(bucket, 0) + 1
        self._count += 1
        if self._count % _LOOK_EVERY == 0:
            self._look()
        if self._count >= _ROTATE_AFTER:
            self._before, self._before_count = self._latest, self._count
            self._latest, self._count = {}, 0

    def _look(self) -> None:
        count = self._count + self._before_count
        if count < LEAST_SAMPLES:
            return
        slower = 0
        # From the slowest down: few buckets are passed until the quantile is found.
        for bucket in sorted({*self._latest, *self._before}, reverse=True):
            slower += self._latest.get(bucket, 0) + self._before.get(bucket, 0)
            if slower > (1.0 - self._quantile) * count:
                self.delay = 2.0 ** (bucket / _PER_DOUBLING)
                return
