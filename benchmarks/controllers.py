"""What others do to find out how much an API takes, as in-flight limits for penstock's engine: the peers of `adaptive`.

Each is written from its description (notes 5.4) with the constants given there, told of every ended attempt.
"""

from __future__ import annotations

import math

from penstock.rules.in_flight.limit import Ending
from penstock.rules.limits.rate import Pace

_CAP = 1000


class _Peer:
    """What they share: a number between 1 and a cap, and no pace."""

    def __init__(self, start: int = 20) -> None:
        self.now = start

    @property
    def pace(self) -> Pace | None:
        """None: they know only how many at once."""
        return None

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """See each."""
        raise NotImplementedError

    def _set(self, number: float) -> None:
        self.now = max(1, min(_CAP, round(number)))


class Aimd(_Peer):
    """One more for each round trip in use, a tenth less at each failure (Netflix, concurrency-limits)."""

    def __init__(self) -> None:
        super().__init__()
        self._number = float(self.now)

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """Grow or cut."""
        if ending is not Ending.GOOD:
            self._number = max(1.0, 0.9 * self._number)
        elif 2 * in_flight >= self.now:
            self._number = min(_CAP, self._number + 1.0 / self._number)
        self._set(self._number)


class Gradient2(_Peer):
    """The ratio of the long-term latency to that of now; a queue of 4 (Netflix, concurrency-limits)."""

    def __init__(self) -> None:
        super().__init__()
        self._number = float(self.now)
        self._long = 0.0
        self._seen = 0

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """Follow the gradient."""
        latency = max(latency, 1e-6)
        self._seen += 1
        self._long += (latency - self._long) * max(1 / self._seen, 2 / 601)
        if self._long / latency > 2:
            self._long *= 0.95
        if in_flight < self._number / 2:
            return
        gradient = max(0.5, min(1.0, 1.5 * self._long / latency))
        self._number = 0.8 * self._number + 0.2 * (self._number * gradient + 4)
        self._number = max(1.0, min(_CAP, self._number))
        self._set(self._number)


class Vegas(_Peer):
    """The estimated queue between two bounds; the lowest latency is forgotten now and then (Netflix)."""

    def __init__(self) -> None:
        super().__init__()
        self._lowest = math.inf
        self._seen = 0

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """Grow, hold or shrink."""
        latency = max(latency, 1e-6)
        self._seen += 1
        if self._seen > 30 * self.now:
            self._seen, self._lowest = 0, latency
        self._lowest = min(self._lowest, latency)
        if ending is not Ending.GOOD:
            self._set(self.now - max(1.0, math.log10(self.now)))
            return
        if 2 * in_flight < self.now:
            return
        queue = math.ceil(self.now * (1 - self._lowest / latency))
        step = max(1.0, math.log10(self.now))
        if queue < 3 * step:
            self._set(self.now + step)
        elif queue > 6 * step:
            self._set(self.now - step)


class Inspect(_Peer):
    """Doubling until the first 429, then 0.8 of it once an episode, 15 s of rest and 5 % more a round (inspect_ai)."""

    def __init__(self) -> None:
        super().__init__()
        self._slow_start = True
        self._rest_until = -math.inf
        self._good = 0
        self._peak = 0

    def on_end(self, now: float, in_flight: int, *, latency: float, ending: Ending) -> None:
        """Double, rest or creep."""
        if ending is Ending.REFUSED:
            self._slow_start = False
            if now >= self._rest_until:
                self._rest_until = now + 15.0
                self._set(0.8 * self.now)
            return
        if ending is not Ending.GOOD or now < self._rest_until:
            return
        self._good += 1
        self._peak = max(self._peak, in_flight)
        if self._good >= self.now:
            if self._peak >= 0.8 * self.now:
                self._set(2 * self.now if self._slow_start else max(self.now + 1, 1.05 * self.now))
            self._good = self._peak = 0
