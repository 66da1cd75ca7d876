"""How many calls to have in flight: what the engine asks, and the answer where a person gave a number.

Little's law: a limit of L per W with mean latency T keeps L * T / W calls in flight. The engine needs no estimate
of T for it: as long as one slot is waiting for the limit, the limit is what holds the traffic back; when the last
waiting slot is let through and there is more to do, one more slot is what was missing. So under a limit only a ceiling
is needed, and `adaptive_limit` lowers it when there are signs of overload; without one it finds out what to do.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..limits.rate import Pace

DEFAULT_CAP = 1000
"""The most that `"auto"` has in flight under a limit."""

CAP_WITHOUT_LIMIT = 4000
"""The most that `"auto"` has in flight where no limit says how fast it may go."""


class Ending(enum.Enum):
    """How an attempt ended, as far as how much the peer can take is concerned."""

    GOOD = "good"
    """A complete answer, also one that says no to this item alone (4xx)."""
    REFUSED = "refused"
    """429, or 503 with Retry-After: too many a second."""
    OVERLOAD = "overload"
    """Timeout, reset, 5xx, no connection: perhaps too many at once."""


@runtime_checkable
class InFlightLimit(Protocol):
    """How many may be in flight now; told of every attempt that ends."""

    now: int

    @property
    def pace(self) -> Pace | None:
        """The pace that was found out from refusals; None where there is none. Asked after each ending in REFUSED."""
        ...

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """An attempt ended at `now` (seconds), `latency` seconds after its send.

        `in_flight` were under way then, itself included.
        """
        ...


@dataclass(slots=True)
class FixedInFlight:
    """A number that somebody chose: it does not change."""

    now: int

    @property
    def pace(self) -> Pace | None:
        """None."""
        return None

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """Nothing follows from it."""
