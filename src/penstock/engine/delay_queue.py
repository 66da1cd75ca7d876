"""The delay queue: items that wait for their next attempt, and hold neither slot nor permit meanwhile.

A heap by due time, and one timer for its head.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

from ..clock import Clock, call_at

T = TypeVar("T")

_GRAIN_SECONDS = 0.0005
"""What is due within half a timer's grain is due now; a timer that fires a little early must not spin."""


class DelayQueue(Generic[T]):
    """Hands each item to `release` when its time has come, in order of time."""

    def __init__(self, clock: Clock, release: Callable[[list[T]], None]) -> None:
        self._clock = clock
        self._release = release
        self.heap: list[tuple[float, int, T]] = []
        """For those who count at every step: its length is that of the queue, without a call."""
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self.heap)

    def push(self, item: T, when: float) -> None:
        """Keep `item` until `when`, seconds on the clock."""
        heapq.heappush(self.heap, (when, next(self._order), item))
        if self.heap[0][2] is item:
            self._arm()

    def clear(self) -> None:
        """Forget everything, and the timer with it."""
        self.heap.clear()
        self._disarm()

    def _arm(self) -> None:
        self._disarm()
        if self.heap:
            self._timer = call_at(self._clock, self.heap[0][0], self._fire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        now = self._clock.now() + _GRAIN_SECONDS
        due = []
        while self.heap and self.heap[0][0] <= now:
            due.append(heapq.heappop(self.heap)[2])
        self._arm()
        self._release(due)
