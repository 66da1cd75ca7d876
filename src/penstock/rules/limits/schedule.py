"""When was an item meant to start? For latency without coordinated omission.

Under a limit an item is due one interval after the one before it, whether or not a slot was free. Latency counted from
there shows what waits for slots in the client, which latency from the send hides (G. Tene; wrk2; Schroeder et al.,
"Open Versus Closed", NSDI 2006). Without a limit there is no schedule, and an item is meant to start when it is taken.
"""

from __future__ import annotations

import math


class Schedule:
    """The moments at which items are meant to start, `interval` seconds apart; 0 where no limit says so.

    Where the limit is not `ours` alone nobody knows which of its moments are; then an item is meant to start when it is
    taken, as without a limit.
    """

    __slots__ = ("_next", "interval", "ours")

    def __init__(self, interval: float, *, ours: bool = True) -> None:
        self.interval = interval
        self.ours = ours
        self._next = math.inf

    def intended(self, taken: float, now: float) -> float:
        """For an item that was taken up at `taken` and is sent for the first time at `now`: never after `now`."""
        if self.interval == 0.0 or not self.ours:
            return taken
        intended = min(now, self._next)
        self._next = intended + self.interval
        return intended

    def restart(self, now: float) -> None:
        """There was nothing to send until `now`: that is nobody's latency."""
        self._next = now

    def hold(self, until: float) -> None:
        """Nobody may send until then, as the peer asked: what is held back is late from its end on."""
        if self._next < until < math.inf and self._next < math.inf:
            self._next = until
