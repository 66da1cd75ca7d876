"""How many calls to have in flight.

Little's law: a limit of L per W with mean latency T keeps L * T / W calls in flight. The engine needs no estimate
of T for it: as long as one slot is waiting for the limit, the limit is what holds the traffic back; when the last
waiting slot is let through and there is more to do, one more slot is what was missing.

Overload (throttled, timeouts, 5xx, resets) cuts the ceiling when it is a good part of all endings, once an episode. A
few failures among many successes are an API's normal noise, and say nothing about how much it can take.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

DEFAULT_CAP = 1000
"""The most that `"auto"` has in flight under a limit."""

DEFAULT_WITHOUT_LIMIT = 32
"""What `"auto"` has in flight where no limit says how fast it may go."""

CUT = 0.8
EPISODE_SECONDS = 5.0
OVERLOADED_SHARE = 0.3
"""Of the latest endings, weighted towards the newest; above it the peer has too much on its hands."""
CALM_SHARE = 0.1
_WEIGHT = 0.05


class Ending(enum.Enum):
    """How an attempt ended, as far as how much the peer can take is concerned."""

    GOOD = "good"
    """A complete answer, also one that says no to this item alone (4xx)."""
    REFUSED = "refused"
    """429, or 503 with Retry-After: too many a second."""
    OVERLOAD = "overload"
    """Timeout, reset, 5xx, no connection: perhaps too many at once."""


class InFlightLimit(Protocol):
    """How many may be in flight now; told of every attempt that ends."""

    now: int

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """An attempt ended at `now` (seconds), `latency` seconds after its send, while `in_flight` were under way."""
        ...


@dataclass(slots=True)
class Ceiling:
    """The most in flight at present, between 1 and `cap`."""

    cap: int
    now: int
    cut_at: float = -1e18
    share: float = 0.0
    """Of overload among the latest endings."""

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """An attempt ended at `now` (seconds) while `in_flight` were under way, itself included."""
        if ending is Ending.GOOD:
            if self.share < 1e-6:
                self.share = 0.0
            else:
                self.share -= self.share * _WEIGHT
            # One more for each success doubles it per round trip, but only while it is what holds the traffic back.
            if self.now < self.cap and self.share < CALM_SHARE and in_flight >= 0.8 * self.now:
                self.now += 1
            return
        self.share += (1.0 - self.share) * _WEIGHT
        if self.share > OVERLOADED_SHARE and now - self.cut_at >= EPISODE_SECONDS:
            # Calls that were in flight together fail together: one cut, not one for each.
            self.cut_at = now
            self.now = max(1, int(min(self.now, in_flight) * CUT))
