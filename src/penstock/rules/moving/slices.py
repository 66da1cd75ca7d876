"""One slice: a second or so of requests to one arm at one rate, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field

_LEAST_LEFT = 0.1


@dataclass(frozen=True, slots=True)
class Slice:
    """Times are seconds, shares are of one core."""

    arm: str
    rate: float
    """Requests a second that were meant."""
    seconds: float
    sent: int
    answered: int
    failed: int
    """No answer, or one with a status from 400 on."""
    server_cpu: float
    """Seconds of all processes of the server."""
    p50: float | None = None
    p99: float | None = None
    """From the moment at which each request was meant to be sent."""
    late: float = 0.0
    """p99 of how late requests were sent."""
    client_cpu: float = 0.0
    """The share of a core that the busiest process of the client used."""
    neighbours: float = 0.0
    """The share of the server's cores that other processes of this machine used."""
    steal: float = 0.0
    """The share of the time in which the server's cores had work that the host gave to others."""
    client_steal: float = 0.0
    """The same of the client's cores."""
    was_cut: bool = False
    """It was ended early, since more requests waited than the target allows."""
    body_bytes: int = 0
    in_flight: float = 0.0
    """Requests that were under way at once, towards its end."""
    why_failed: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    """How many answers had which."""
    other_cpu: float = 0.0
    """Seconds of the servers of the other arms meanwhile, which were asked for nothing."""

    @property
    def cpu_per_request(self) -> float:
        """Seconds of the server's CPU."""
        return self.server_cpu / max(1, self.answered)

    @property
    def cores_wanted(self) -> float:
        """Cores that the server would have used, had the host left them to it; what it was kept from is no idleness."""
        return self.server_cpu / self.seconds / max(_LEAST_LEFT, 1 - self.steal)

    def keeps(self, target: float) -> bool:
        """Whether 99 of 100 requests were answered well within `target` seconds."""
        return not self.was_cut and self.failed == 0 and self.p99 is not None and self.p99 <= target
