"""Whether a request body comes fast enough, without I/O."""

from __future__ import annotations

import math
from typing import Protocol

from .limits import ServerLimits

_LONGEST_LOOK = 2.0
"""Looks come once a second. If the last was longer ago, nobody was there to read what the client sent."""


class Taken(Protocol):
    """Where the body is read."""

    taken: int
    """Bytes of bodies so far, those before this one included."""


class BodyRate:
    """One body, from `now` on: it may be `body_grace` seconds behind `min_body_rate`, never ahead of it.

    What came fast before is so no excuse for what comes slowly now. Only time in which the client is waited for counts.
    """

    __slots__ = ("_behind", "_limits", "_looked", "_reader", "_taken", "excused")

    def __init__(self, limits: ServerLimits, reader: Taken, now: float) -> None:
        self._limits = limits
        self._reader = reader
        self._taken = reader.taken
        self._looked = now
        self._behind = 0.0
        self.excused = False
        """Whoever takes the body has let the client wait since the last look."""

    def is_late(self, now: float, due: float) -> bool:
        """Look, at `now`. `due` is when more must have come; infinite where it is not the client who is waited for."""
        rate = self._limits.min_body_rate
        if rate is None:
            return False
        waited = 0.0 if self.excused or due == math.inf else min(now - self._looked, _LONGEST_LOOK)
        taken = self._reader.taken
        self._behind = max(0.0, self._behind + waited - (taken - self._taken) / rate)
        self._looked = now
        self._taken = taken
        self.excused = False
        return self._behind >= self._limits.body_grace
