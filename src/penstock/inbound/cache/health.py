"""Whether the origin answers, judged by what happened to the latest requests (a passive check)."""

from __future__ import annotations

from collections.abc import Callable

_FAILURES = 3
_PAUSE = 1.0


class OriginHealth:
    """Down after three failures in a row without an answer, for a second at a time: then the next request tries it.

    Only who can be given a stale answer is spared the wait; all others are sent to the origin in any case.
    """

    __slots__ = ("_down_until", "failures", "on_change")

    def __init__(self) -> None:
        self.on_change: Callable[[bool], None] | None = None
        """Told when the origin is first found down (False), and when it answers again (True)."""
        self.failures = 0
        """In a row."""
        self._down_until = 0.0

    def is_down(self, now: float) -> bool:
        """Whether a request would most likely fail; `now` in seconds on the monotonic clock."""
        return self.failures >= _FAILURES and now < self._down_until

    @property
    def is_up(self) -> bool:
        """Whether it answered when it was last asked, or has failed only once or twice since."""
        return self.failures < _FAILURES

    def answered(self) -> None:
        """The origin sent a head, of whatever status."""
        if not self.failures:
            return
        was_up = self.is_up
        self.failures = 0
        if not was_up and self.on_change is not None:
            self.on_change(True)

    def failed(self, now: float) -> None:
        """The origin could not be reached, hung or broke off before its head."""
        self.failures += 1
        self._down_until = now + _PAUSE
        if self.failures == _FAILURES and self.on_change is not None:
            self.on_change(False)
