"""Whether the origin answers, judged by what happened to the latest requests (a passive check)."""

from __future__ import annotations

_FAILURES = 3
_PAUSE = 1.0


class OriginHealth:
    """Down after three failures in a row without an answer, for a second at a time: then the next request tries it.

    Only who can be given a stale answer is spared the wait; all others are sent to the origin in any case.
    """

    __slots__ = ("_down_until", "failures")

    def __init__(self) -> None:
        self.failures = 0
        """In a row."""
        self._down_until = 0.0

    def is_down(self, now: float) -> bool:
        """Whether a request would most likely fail; `now` in seconds on the monotonic clock."""
        return self.failures >= _FAILURES and now < self._down_until

    def answered(self) -> None:
        """The origin sent a head, of whatever status."""
        self.failures = 0

    def failed(self, now: float) -> None:
        """The origin could not be reached, hung or broke off before its head."""
        self.failures += 1
        self._down_until = now + _PAUSE
