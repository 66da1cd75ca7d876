"""What pace does a server stand that refuses what comes too fast, and does not say how fast that is?

What it accepted in the second before a refusal is a good estimate of what it allows, and a little less than that is
what we send. From there the rate rises back to the estimate, stays near it for a while, and then leaves it upwards
ever faster: the shape of CUBIC (RFC 9438), which AWS's SDKs use for the same purpose. Unlike theirs, its time scale is
not fixed: how long the rate stays below the estimate follows from what the last refusals cost, so that they stay below
one call in a hundred where the rate is low, too.

Only windows of about a second are estimated well. Of a server that counts by the minute the first estimate is too
high; what keeps the peace then are the pauses, which double as long as nothing is accepted.
"""

from __future__ import annotations

import math
from collections import deque

REFUSED_SHARE = 0.005
"""Of all calls: what finding out whether there is more may cost."""

BACK_OFF = 0.05
"""How far below the accepted rate it goes on after a refusal, as a share of it."""

SHORTEST_RETURN, LONGEST_RETURN = 3.0, 15.0
"""Seconds in which the rate comes back to the estimate; the longest leaves time to find a doubling in a minute."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 60.0
"""Seconds without a call after a refusal; the pause doubles while nothing is accepted in between."""

LOWEST = 1 / 60
"""Calls a second."""

EVIDENCE = 5
"""Accepted calls that an estimate rests on at least. A 429 that comes before them is answered with a pause alone."""

_RECENT = 1.0
_LONG = 10.0
_GRAIN = 0.05
_SAME = 1.25


class AdaptiveRate:
    """A pace that is found out from refusals; until the first of them there is none. Times are seconds on one clock.

    `total` is everywhere the number of calls so far that were not refused, those in flight included.
    """

    __slots__ = (
        "_accepted_before",
        "_cut_at",
        "_history",
        "_long_history",
        "_next",
        "_pause",
        "_previous",
        "_since",
        "_wasted",
        "estimate",
    )

    def __init__(self) -> None:
        self.estimate = math.inf
        """Calls a second that the server accepts; inf until it refused one."""
        self._previous = math.inf
        self._since = -math.inf
        """When the rise began."""
        self._next = -math.inf
        self._pause = FIRST_PAUSE
        self._cut_at = -math.inf
        self._accepted_before = 0
        self._wasted = 0
        self._history: deque[tuple[float, int]] = deque()
        """(time, total), of about the last second."""
        self._long_history: deque[tuple[float, int]] = deque()
        """The same of about ten seconds, and coarser, for where a second holds too few calls."""

    @property
    def known(self) -> bool:
        """Whether anything was refused, so that there is a pace to keep."""
        return self.estimate < math.inf

    def rate(self, now: float) -> float:
        """Calls a second at `now`; inf where nothing is known."""
        if not self.known:
            return math.inf
        elapsed = max(0.0, now - self._since)
        back = self._return()
        if elapsed < back:
            return self.estimate * (1.0 - BACK_OFF * (1.0 - elapsed / back) ** 3)
        return self.estimate * (1.0 + min(1.0, (elapsed - back) / back) ** 3)

    def earliest(self) -> float:
        """The time at which the next call may start."""
        return self._next

    def take(self, now: float) -> None:
        """A call starts at `now`."""
        if self.known:
            # Lateness of a timer is caught up; idleness is not saved up for a burst.
            self._next = max(self._next, now - _GRAIN) + 1.0 / self.rate(now)

    def note(self, now: float, total: int) -> None:
        """Look at the traffic, some times a second. The rate does not rise while it is not made use of."""
        history = self._history
        if history and 0.0 <= now - history[-1][0] < _GRAIN:
            return
        if self.known and history:
            before, count = history[0]
            rate = self.rate(now)
            if now - before > _RECENT / 2 and total - count < 0.8 * rate * (now - before):
                self._since += min(now - history[-1][0], max(0.0, now - self._since))
            elif rate >= 2.0 * self.estimate:
                self._previous = self.estimate
                self.estimate = rate
                self._since = now - self._return()
        history.append((now, total))
        while len(history) > 1 and not 0.0 <= now - history[1][0] < _RECENT:
            history.popleft()
        history = self._long_history
        if not history or not 0.0 <= now - history[-1][0] < _RECENT / 2:
            history.append((now, total))
            while len(history) > 1 and not 0.0 <= now - history[1][0] < _LONG:
                history.popleft()

    def refused(self, now: float, sent: float, total: int) -> None:
        """At `now` the peer refused a call that was sent at `sent`."""
        if sent < self._cut_at:
            # It was under way when another one was refused: what it says is known.
            self._wasted += 1
            return
        # Calls sent after this one may be refused as well.
        behind = self.rate(now) * (now - sent) if self.known else 0.0
        if self.known and total - self._accepted_before - behind < 1:
            self._wasted += 1
            self._pause = min(LONGEST_PAUSE, 2.0 * self._pause)
        else:
            self._pause = FIRST_PAUSE if total > self._accepted_before else min(LONGEST_PAUSE, 2.0 * self._pause)
            self._estimate(now, total)
        self._cut_at = now
        self._accepted_before = total
        self._since = self._next = now + self._pause

    def _return(self) -> float:
        """Seconds until the rate is back at the estimate."""
        if not 1 / _SAME < self.estimate / self._previous < _SAME:
            # Something has changed, so the estimate is rough: find out soon whether there is more.
            return SHORTEST_RETURN
        return min(LONGEST_RETURN, max(SHORTEST_RETURN, self._wasted / REFUSED_SHARE / self.estimate))

    def _estimate(self, now: float, total: int) -> None:
        accepted = self._accepted(now, total)
        if accepted is None:
            self._wasted += 1
            return
        recent = max(LOWEST, accepted)
        if now - self._cut_at < _RECENT:
            # The second before this refusal holds what was accepted before the last one, and that was too much.
            self.estimate = max(LOWEST, min(recent, 0.9 * self.estimate))
            self._wasted += 1
        else:
            # Refused before it was back at the estimate: that was too high, whatever the last second says.
            rate = max(LOWEST, self.rate(now))
            self._previous = self.estimate
            self.estimate = min(recent, rate) if rate < self.estimate else recent
            self._wasted = 1

    def _accepted(self, now: float, total: int) -> float | None:
        """Calls a second that were accepted of late; None if too few to tell."""
        recent = self._recent(now, total)
        if recent * _RECENT >= EVIDENCE or not self._long_history:
            return recent if recent * _RECENT >= EVIDENCE else None
        began, before = self._long_history[0]
        if total - before < EVIDENCE:
            return None
        return max(recent, (total - before) / max(_RECENT, now - began))

    def _recent(self, now: float, total: int) -> float:
        """Calls a second that were accepted in the last second. A shorter past counts as a whole second."""
        began = now - _RECENT
        before, count = self._history[0] if self._history else (now, 0)
        after, more = self._history[1] if len(self._history) > 1 else (now, total)
        if before < began < after:
            return (total - count - (more - count) * (began - before) / (after - before)) / _RECENT
        return (total - count) / _RECENT
