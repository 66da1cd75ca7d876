"""How much of a limit is in use, counted over the limit's own window."""

from __future__ import annotations

from collections import deque

from ..rules.limits.rate import Limit

_SAMPLES = 200
"""Kept for one window, however long it is."""
_SHORTEST_WINDOW = 2.0
"""Seconds. The view looks twice a second: over less it would see one send more or less as a large share."""


class WindowUse:
    """The share of `limit` that this session has used in the last window, or since it began, if that is less.

    A rate over the last second says nothing of an hour's limit: a send that came a little late made 113 % of it.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._seconds = max(limit.seconds, _SHORTEST_WINDOW)
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)])

    def measure(self, elapsed: float, sends: int) -> None:
        """There were `sends` until `elapsed`, in seconds since the session began."""
        seen = self._seen
        if len(seen) > 1 and elapsed - seen[-2][0] < self._seconds / _SAMPLES:
            seen.pop()
        seen.append((elapsed, sends))
        while len(seen) > 1 and seen[1][0] <= elapsed - self._seconds:
            seen.popleft()

    def share(self) -> float:
        """Between 0 and 1."""
        (began, before), (now, sends) = self._seen[0], self._seen[-1]
        # The first send of all needs no time.
        allowed = 1.0 + self.limit.count * (now - began) / self.limit.seconds
        return min(1.0, (sends - before) / allowed)
