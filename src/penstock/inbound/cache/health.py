"""Whether the origin answers, judged by what happened to the latest requests (a passive check)."""

from __future__ import annotations

from collections.abc import Callable

_FAILURES = 3
_PAUSE = 1.0
_QUIET = 10.0


class OriginHealth:
    """Down after three failures in a row without an answer, for a second at a time: then the next request tries it.

    Only who can be given a stale answer is spared the wait; all others are sent to the origin in any case.
    """

    __slots__ = ("_down_until", "_quiet_until", "_told", "failures", "on_change")

    def __init__(self) -> None:
        self.on_change: Callable[[bool, str], None] | None = None
        """Told when the origin is first found down (False, and why), and when it answers again (True).

        That there is no connection to it is told at once; but within ten seconds of an answer, as any other failure,
        only at the third in a row: who answers every second time does not fill the log.
        """
        self.failures = 0
        """In a row."""
        self._told = False
        self._down_until = self._quiet_until = 0.0

    def is_down(self, now: float) -> bool:
        """Whether a request would most likely fail; `now` in seconds on the monotonic clock."""
        return self.failures >= _FAILURES and now < self._down_until

    @property
    def is_up(self) -> bool:
        """Whether it answered when it was last asked, or has failed only once or twice since."""
        return self.failures < _FAILURES

    def answered(self, now: float) -> None:
        """The origin sent a head, of whatever status."""
        if not self.failures:
            return
        self.failures = 0
        if self._told:
            self._told = False
            self._quiet_until = now + _QUIET
            if self.on_change is not None:
                self.on_change(True, "")

    def failed(self, now: float, why: str, *, unreachable: bool) -> None:
        """The origin hung or broke off before its head, or (`unreachable`) there was no connection to it."""
        self.failures += 1
        self._down_until = now + _PAUSE
        if not self._told and (self.failures >= _FAILURES or (unreachable and now >= self._quiet_until)):
            self._told = True
            if self.on_change is not None:
                self.on_change(False, why)
