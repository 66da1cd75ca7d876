"""How many calls to have in flight.

Little's law: a limit of L per W with mean latency T keeps L * T / W calls in flight. The engine needs no estimate
of T for it: as long as one slot is waiting for the limit, the limit is what holds the traffic back; when the last
waiting slot is let through and there is more to do, one more slot is what was missing.

Overload (throttled, timeouts, 5xx) cuts the ceiling once an episode and lets it grow back only while it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_CAP = 1000
"""The most that `"auto"` has in flight under a limit."""

DEFAULT_WITHOUT_LIMIT = 32
"""What `"auto"` has in flight where no limit says how fast it may go."""

CUT = 0.8
EPISODE_SECONDS = 5.0
SUCCESSES_TO_GROW = 20


@dataclass(slots=True)
class Ceiling:
    """The most in flight at present, between 1 and `cap`."""

    cap: int
    now: int
    cut_at: float = -1e18
    successes: int = 0

    def on_overload(self, now: float, in_flight: int) -> None:
        """Cut once an episode: calls that were in flight together fail together, and are one signal."""
        self.successes = 0
        if now - self.cut_at >= EPISODE_SECONDS:
            self.cut_at = now
            self.now = max(1, int(min(self.now, in_flight) * CUT))

    def on_success(self, in_flight: int) -> None:
        """Grow by a twentieth of the successes, while the ceiling is what holds the traffic back."""
        if self.now >= self.cap:
            return
        self.successes += 1
        if self.successes >= SUCCESSES_TO_GROW and in_flight >= 0.8 * self.now:
            self.successes = 0
            self.now = min(self.cap, self.now + max(1, self.now // 20))
