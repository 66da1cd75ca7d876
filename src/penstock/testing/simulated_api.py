"""A slow, limited API in this process: no socket, so it works in virtual time."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from penstock.clock import current_clock
from penstock.errors import Throttled

from .latency import Latency, constant
from .limiters import Limiter, make_limiter
from .scripted_call import play


class SimulatedApi:
    """`await api(item)` takes as long as `latency` says and returns `answer`, or raises Throttled.

    `limit` such as "100/min" is kept by the strictest limiter there is, a sliding log; pass `limiter` for
    another. A violation raises Throttled at once with the exact `retry_after`. `answer` is a value or a
    callable that is given the item; what it makes may be any step of a ScriptedCall (an exception, Hang,
    After). None answers with the item.

    `arrivals` are the times of all calls on the loop's clock, `admitted` of those within the limit.
    """

    def __init__(
        self,
        limit: str | None = None,
        *,
        latency: Latency | None = None,
        seed: int = 0,
        limiter: Limiter | None = None,
        answer: Any = None,
    ) -> None:
        if limit is not None and limiter is not None:
            raise ValueError("give limit or limiter, not both")
        self._limiter = make_limiter("sliding", limit) if limit is not None else limiter
        self._latency: Callable[[], float] = (latency or constant(0)).sampler(seed)
        self._answer = answer
        self.arrivals: array[float] = array("d")
        self.admitted: array[float] = array("d")
        self.answered = 0
        self.violations = 0
        self.in_flight = 0
        self.max_in_flight = 0

    async def __call__(self, item: Any) -> Any:
        """Answer one item. Raises Throttled, and what `answer` says."""
        clock = current_clock()
        now = clock.now()
        self.arrivals.append(now)
        wait = None if self._limiter is None else self._limiter.arrive(now)
        if wait is not None:
            self.violations += 1
            raise Throttled(f"over the limit; {wait:g} s too early", retry_after=wait)
        self.admitted.append(now)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await clock.sleep(self._latency())
            answer = await play(item if self._answer is None else self._answer, item)
        finally:
            self.in_flight -= 1
        self.answered += 1
        return answer

    def __repr__(self) -> str:
        return (
            f"<SimulatedApi {len(self.arrivals)} arrivals, {self.violations} over the limit, "
            f"{self.in_flight} in flight, at most {self.max_in_flight}>"
        )
