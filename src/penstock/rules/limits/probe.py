"""After the peer refused a call: first one call alone, and the others when its answer is there."""

from __future__ import annotations

import math

PROBE_SECONDS = 10.0
"""So long the others wait for the probe's answer; a server that hangs must not hang everything."""


class Probe:
    """Whether a call is to go ahead of all others, or is out. Times are seconds on one clock."""

    __slots__ = ("_due", "_sent", "_until")

    def __init__(self, *, due: bool = False) -> None:
        self._due = due
        self._sent = math.inf
        self._until = -math.inf

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a probe."""
        return not self._due and self._sent == math.inf

    def ask(self) -> None:
        """The next call is a probe. One that is out has been answered by that."""
        self._due = True
        self._sent, self._until = math.inf, -math.inf

    def earliest(self) -> float:
        """When the next call may start, as far as a probe is concerned."""
        return self._until

    def take(self, now: float) -> bool:
        """A call starts at `now`; True if it is the probe."""
        if not self._due:
            return False
        self._due = False
        self._sent, self._until = now, now + PROBE_SECONDS
        return True

    def answered(self, sent: float) -> bool:
        """A call that was sent at `sent` got an answer; True if it was what the others wait for."""
        if sent < self._sent:
            return False
        self._sent, self._until = math.inf, -math.inf
        return True
