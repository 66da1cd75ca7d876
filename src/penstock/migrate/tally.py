"""What became of the requests of one arm of a route, as counts that only grow."""

from __future__ import annotations

import threading

from ..observe.histogram import Histogram


class ArmTally:
    """Counts of one arm in this process. Any thread may add."""

    def __init__(self, route: str, arm: str) -> None:
        self.route = route
        self.arm = arm
        self.in_flight = 0
        self.ended = 0
        self.errors = 0
        self.shed = 0
        self.keyless = 0
        self.blocked_seconds = 0.0
        self.seconds = Histogram()
        self.lost: dict[str, int] = {}
        self.running = 0.0
        """When the step began that holds the event loop now (monotonic); 0 where none does."""
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A request has reached the arm."""
        with self._lock:
            self.in_flight += 1

    def end(self, seconds: float, *, failed: bool) -> None:
        """It has ended after `seconds`; `failed`: with a status from 500 on, or an exception that no answer came of."""
        with self._lock:
            self.in_flight -= 1
            self.ended += 1
            self.errors += failed
            self.seconds.add(seconds)

    def refuse(self) -> None:
        """One was refused, because the ceiling was reached."""
        with self._lock:
            self.shed += 1

    def without_key(self) -> None:
        """One had no key, so the control served it."""
        with self._lock:
            self.keyless += 1

    def step_began(self, now: float) -> None:
        """The arm holds the event loop from now on (monotonic)."""
        self.running = now

    def step_ended(self) -> None:
        """It has given the loop back."""
        self.running = 0.0

    def block(self, seconds: float) -> None:
        """The arm held the event loop for so long without a break."""
        with self._lock:
            self.blocked_seconds += seconds

    def lose(self, name: str) -> None:
        """What `carry` named was there, and then it was not, or it was another's."""
        with self._lock:
            self.lost[name] = self.lost.get(name, 0) + 1


class Tallies:
    """All arms of this process."""

    def __init__(self) -> None:
        self._arms: dict[tuple[str, str], ArmTally] = {}
        self._lock = threading.Lock()

    def of(self, route: str, arm: str) -> ArmTally:
        """The counts of this arm, from 0 on where it is new."""
        key = (route, arm)
        with self._lock:
            if key not in self._arms:
                self._arms[key] = ArmTally(route, arm)
            return self._arms[key]

    def all(self) -> list[ArmTally]:
        """Those of every arm."""
        with self._lock:
            return list(self._arms.values())
