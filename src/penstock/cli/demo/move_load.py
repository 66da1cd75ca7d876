"""The clients of the demo's service: users of it, who note which arm served them, when, and what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import orjson

from ...clock import Clock
from ...errors import CallError
from ...messages import Request
from ...observe.histogram import Histogram
from ...wire.client import Client
from .move_names import USER
from .paced_load import PacedLoad

_USERS = 1000
_STRIDE = 389
"""Without a divisor in common with the number of users, so that all of them come, neighbours far apart."""


@dataclass
class MoveTally:
    """What the clients got. Moments are of the load's clock."""

    by_arm: Counter[str] = field(default_factory=Counter)
    times: dict[str, Histogram] = field(default_factory=dict)
    failed: int = 0
    """Answers that are no 200."""
    first_failed: float | None = None
    last_failed: float | None = None
    lost: Counter[str] = field(default_factory=Counter)
    """Requests without any answer, by kind of error."""

    @property
    def requests(self) -> int:
        """All of them."""
        return self.by_arm.total() + self.failed + self.lost.total()

    def served(self, arm: str, seconds: float) -> None:
        """Count a good answer."""
        self.by_arm[arm] += 1
        self.times.setdefault(arm, Histogram()).add(seconds)

    def fail(self, now: float) -> None:
        """Count another one."""
        self.failed += 1
        self.first_failed = now if self.first_failed is None else self.first_failed
        self.last_failed = now


class MoveLoad(PacedLoad):
    """Each user asks for a quote again and again."""

    def __init__(self, url: str, rate: float, clock: Clock) -> None:
        super().__init__(url, rate, clock)
        self.tally = MoveTally()
        self._lately = MoveTally()

    def take_lately(self) -> MoveTally:
        """What came since this was called before."""
        lately, self._lately = self._lately, MoveTally()
        return lately

    async def ask(self, client: Client, number: int) -> None:
        """One user's request."""
        user = f"user-{number * _STRIDE % _USERS}"
        began = self.clock.now()
        try:
            response = await client(Request("GET", f"{self.url}/quote", headers={USER: user}))
        except CallError as error:
            for tally in self._tallies():
                tally.lost[error.kind] += 1
            return
        now = self.clock.now()
        arm = orjson.loads(response.body)["arm"] if response.status == 200 else None
        for tally in self._tallies():
            if arm is None:
                tally.fail(now)
            else:
                tally.served(arm, now - began)

    def _tallies(self) -> tuple[MoveTally, MoveTally]:
        return self.tally, self._lately
