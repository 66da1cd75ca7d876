"""A clock that moves only when it is told to."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from .virtual_loop import EPOCH


class ManualClock:
    """A Clock for code that is given one: `advance(seconds)` is the only thing that moves it.

    `wall()` runs along with `now()` from `epoch`, both in seconds.
    """

    def __init__(self, *, start: float = 0.0, epoch: float = EPOCH) -> None:
        self._now = start
        self._epoch = epoch - start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Seconds; never goes back."""
        return self._now

    def wall(self) -> float:
        """Seconds since 1970."""
        return self._epoch + self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by `seconds`; 0 or less lets other tasks run once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    @property
    def sleeping(self) -> int:
        """How many tasks sleep on this clock now."""
        return sum(1 for _, _, future in self._sleepers if not future.done())

    def advance(self, seconds: float) -> None:
        """Move on by `seconds` and wake those whose time has come, earliest first.

        They run when the caller awaits, and then see the time after the whole step: advance in smaller steps,
        or use VirtualTimeLoop, where a sleeper sleeps again within it. Raises ValueError for a step back.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock cannot be advanced by {seconds} seconds")
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def __repr__(self) -> str:
        return f"<ManualClock now={self._now:g} sleeping={self.sleeping}>"
