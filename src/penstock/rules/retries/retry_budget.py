"""How many retries in all, so that they never become the larger part of what a peer in trouble has to carry.

A count per item multiplies the traffic by that count just when the peer can bear it least; a share of the traffic
adds that share and no more (B. Beyer et al., "Site Reliability Engineering", chapter 21; Finagle's RetryBudget).
Unlike there, an attempt that finds the budget spent is not given up: it waits until the budget has been paid into.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SHARE = 0.2

RESERVE = 10.0
"""Retries that a run may make before its first attempts have paid for any: small runs need no more."""

MOST_SAVED = 100.0
"""What a long time without failures leaves over for the first moment of trouble."""

LEAST_PER_SECOND = 1.0
LEAST_PER_SECOND_WITHOUT_LIMIT = 10.0
"""What comes in whether or not anything else is sent, so that a run which has only retries left comes to its end."""

_HALF_LIFE_SECONDS = 600.0
_SPAN_SECONDS = 1.0


@dataclass(slots=True)
class RetryBudget:
    """Each first attempt pays in `share` of a retry.

    While no first attempts are sent (the source is at its end, or as many items wait as may), retries still go out at
    `share` of the pace that first attempts had at their best of late; `least_per_second` is the least of that.
    """

    share: float = DEFAULT_SHARE
    least_per_second: float = LEAST_PER_SECOND_WITHOUT_LIMIT
    saved: float = RESERVE
    best_per_second: float = 0.0
    """First attempts; halves in ten minutes."""
    _first_attempts: int = 0
    _at: float | None = None
    _span_began: float = 0.0
    _span_first_attempts: int = 0

    def earn(self, first_attempts: int, now: float) -> None:
        """Pay in for the time until `now` (seconds) and for `first_attempts`, the number of all until then."""
        if self._at is None:
            self._at = self._span_began = now
            self._first_attempts = self._span_first_attempts = first_attempts
            return
        seconds = max(0.0, now - self._at)
        more = max(0, first_attempts - self._first_attempts)
        self._at, self._first_attempts = now, first_attempts
        self._measure(first_attempts, now)
        pace = max(self.least_per_second, self.share * self.best_per_second)
        self.saved = min(MOST_SAVED, self.saved + max(self.share * more, pace * seconds))

    def withdraw(self) -> bool:
        """Whether a retry may be made now; it is paid for with that."""
        if self.saved < 1.0:
            return False
        self.saved -= 1.0
        return True

    def _measure(self, first_attempts: int, now: float) -> None:
        span = now - self._span_began
        if span >= _SPAN_SECONDS:
            pace = max(0, first_attempts - self._span_first_attempts) / span
            self.best_per_second = max(pace, self.best_per_second * 0.5 ** (span / _HALF_LIFE_SECONDS))
            self._span_began, self._span_first_attempts = now, first_attempts
