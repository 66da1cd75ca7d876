"""Servers that can take only so much, in this process: no socket, so they work in virtual time.

Three kinds, after what is met in the field: `RateServer` refuses what comes too fast, `WorkerServer` lets calls queue
for its workers (and refuses them when the queue is full), `SharingServer` does all calls at once and each the slower.
All can be told to change while traffic flows. A caller that gives up takes its call out of the server.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any

from penstock.clock import current_clock
from penstock.errors import StatusError, Throttled

from .latency import Latency
from .limiters import Limiter


class SimulatedServer:
    """What the kinds share: the way there and back, and noise. `await server(item)` answers with the item.

    `service` is how long the work for one call takes when nothing is in its way, `network` the seconds there and
    back; a refusal takes only these. Of all calls the share `failures` ends with a 500 at once. `network`, `failures`
    and `slowdown`, a factor for `service`, may be set at any time.

    `answered`, `refused` and `failed` are times on the loop's clock, in rising order.
    """

    def __init__(self, service: Latency, *, network: float = 0.001, failures: float = 0.0, seed: int = 0) -> None:
        self.network = network
        self.failures = failures
        self.slowdown = 1.0
        self.answered: array[float] = array("d")
        self.refused: array[float] = array("d")
        self.failed: array[float] = array("d")
        self.in_flight = 0
        self.max_in_flight = 0
        self._service: Callable[[], float] = service.sampler(seed)
        self._chance = random.Random(seed + 1)

    async def __call__(self, item: Any) -> Any:
        """Answer one item. Raises Throttled (429) or StatusError (500, 503)."""
        clock = current_clock()
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await clock.sleep(self.network / 2)
            if self.failures and self._chance.random() < self.failures:
                await self._away(self.failed)
                raise StatusError(status=500)
            refusal = await self._work(self.slowdown * self._service())
            await self._away(self.answered if refusal is None else self.refused)
            if refusal is not None:
                raise refusal
        finally:
            self.in_flight -= 1
        return item

    async def _away(self, times: array[float]) -> None:
        clock = current_clock()
        times.append(clock.now())
        await clock.sleep(self.network / 2)

    async def _work(self, seconds: float) -> Exception | None:
        """Do work of `seconds`; returns a refusal instead of raising it, so that it takes its way back."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {len(self.answered)} answered, {len(self.refused)} refused, "
            f"{len(self.failed)} failed, {self.in_flight} in flight>"
        )


class RateServer(SimulatedServer):
    """Refuses with 429 what its limiter does not admit; does not mind how many are in flight.

    `limiter` may be replaced at any time. `tells` says whether a refusal has a Retry-After.
    """

    def __init__(
        self,
        limiter: Limiter,
        service: Latency,
        *,
        tells: bool = False,
        network: float = 0.001,
        failures: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(service, network=network, failures=failures, seed=seed)
        self.limiter = limiter
        self.tells = tells

    async def _work(self, seconds: float) -> Exception | None:
        clock = current_clock()
        wait = self.limiter.arrive(clock.now())
        if wait is not None:
            return Throttled("HTTP 429", retry_after=wait if self.tells else None)
        await clock.sleep(seconds)
        return None


class WorkerServer(SimulatedServer):
    """`workers` calls at once; others queue in order of arrival, or get a 503 where `queue` is full.

    `workers` may be set at any time; a call that is being worked on is finished. `queue` None has no bound.
    """

    def __init__(
        self,
        workers: int,
        service: Latency,
        *,
        queue: int | None = None,
        network: float = 0.001,
        failures: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(service, network=network, failures=failures, seed=seed)
        self._workers = workers
        self._queue = queue
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def workers(self) -> int:
        """How many calls are worked on at once."""
        return self._workers

    @workers.setter
    def workers(self, workers: int) -> None:
        self._workers = workers
        self._hand_on()

    async def _work(self, seconds: float) -> Exception | None:
        if self._busy < self._workers:
            self._busy += 1
        elif self._queue is not None and sum(not each.done() for each in self._waiting) >= self._queue:
            return StatusError(status=503)
        else:
            await self._turn()
        try:
            await current_clock().sleep(seconds)
        finally:
            self._busy -= 1
            self._hand_on()
        return None

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The turn came in the same moment: somebody else can have it.
                self._busy -= 1
                self._hand_on()
            raise

    def _hand_on(self) -> None:
        while self._busy < self._workers and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)


class SharingServer(SimulatedServer):
    """All calls at once on `cores`: with more calls than cores each gets its equal share of them.

    `cores` may be set at any time.
    """

    def __init__(
        self, cores: float, service: Latency, *, network: float = 0.001, failures: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(service, network=network, failures=failures, seed=seed)
        self._cores = cores
        self._done = 0.0
        """Seconds of work that a call would have got since the beginning, had it been there all the time."""
        self._at = 0.0
        self._calls: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0
        self._present = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def cores(self) -> float:
        """How many calls run at full speed."""
        return self._cores

    @cores.setter
    def cores(self, cores: float) -> None:
        self._catch_up()
        self._cores = cores
        self._arm()

    async def _work(self, seconds: float) -> Exception | None:
        self._catch_up()
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._calls, (self._done + seconds, self._number, finished))
        self._present += 1
        self._arm()
        try:
            await finished
        finally:
            self._catch_up()
            self._present -= 1
            self._arm()
        return None

    def _speed(self) -> float:
        return min(1.0, self._cores / self._present) if self._present else 1.0

    def _catch_up(self) -> None:
        now = current_clock().now()
        self._done += (now - self._at) * self._speed()
        self._at = now

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._calls and self._calls[0][2].done():
            heapq.heappop(self._calls)
        if self._calls:
            wait = max(0.0, self._calls[0][0] - self._done) / self._speed()
            self._timer = asyncio.get_running_loop().call_later(wait, self._finish)

    def _finish(self) -> None:
        self._timer = None
        self._catch_up()
        if self._calls:
            # Rounding can leave the first of them a hair short, for which no timer is fine enough.
            self._done = max(self._done, self._calls[0][0])
        while self._calls and self._calls[0][0] <= self._done:
            finished = heapq.heappop(self._calls)[2]
            if not finished.done():
                finished.set_result(None)
        self._arm()


def rate_between(times: array[float], begin: float, end: float) -> float:
    """How many of `times` a second lie in [`begin`, `end`), by bisection."""
    if not end > begin or not math.isfinite(end - begin):
        raise ValueError(f"a span must be longer than 0 seconds, not {begin} to {end}")
    return (bisect_left(times, end) - bisect_left(times, begin)) / (end - begin)
