"""Slots: long-lived tasks, each with at most one attempt in flight, so ten million items cost the memory of those.

A slot that looks for work is *seeking* until it waits for a permit or sends. There are just enough slots seeking: one
more is woken or started when the last one was let through and there is more to do, which is all that Little's law
asks for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from .outcome import Item, Outcome
from .results import Results
from .state import EngineState
from .work import Work

T = TypeVar("T")

_MOST_CONNECTING = 64


class Slots(Generic[T]):
    """The tasks of one run. `attempt` and `began` are set before the first `seek`."""

    attempt: Callable[[Item[T], asyncio.Task[None]], Awaitable[None]]
    """What a slot does with an item."""
    began: Callable[[asyncio.Task[None]], None]
    """What a new slot does first, in its own context."""

    def __init__(
        self,
        work: Work[T],
        results: Results[Outcome[T, Any]],
        state: EngineState,
    ) -> None:
        self._work = work
        self._results = results
        self._ceiling = state.ceiling
        self._schedule = state.schedule
        self.idle: list[asyncio.Future[None]] = []
        self.count = 0
        self.seeking = 0
        """An attempt takes itself off when it sends or waits, and the slot puts itself on again after it."""
        self.waiting = 0
        """How many wait for a permit."""
        self.connect_time = 0.0
        """Seconds that connecting takes of late."""
        self.group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the run at the latest."""
        task = self.group.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel every task."""
        for task in self._tasks:
            task.cancel()

    def seek(self) -> None:
        """Get one more slot to look for work, if there is work and none too many are looking already."""
        if self._results.full or not self._work.there() or self.seeking >= self._most_seeking() or self.waiting:
            return
        if self.idle:
            # The latest to fall idle is the first to be woken, so that what is not needed stays idle.
            idle = self.idle.pop()
            if not idle.done():
                self.seeking += 1
                idle.set_result(None)
        elif self.count < self._ceiling.now:
            self.count += 1
            self.seeking += 1
            self.start(self._slot())

    def sent(self) -> None:
        """An attempt was sent: whoever comes next may look for work."""
        if self.idle or self.count < self._ceiling.now:
            self.seek()

    def wake_everyone(self) -> None:
        """Let every slot and the consumer look again."""
        for idle in self.idle:
            if not idle.done():
                self.seeking += 1
                idle.set_result(None)
        self.idle.clear()
        self._results.wake()

    @property
    def busy(self) -> int:
        """How many have an item, or look for one."""
        return self.count - len(self.idle)

    def at_rest(self) -> bool:
        """Whether nothing happens before more is read."""
        return not self.busy and self._work.nothing_left()

    def finished(self) -> bool:
        """Whether no outcome will come any more (slots that are idle do not count)."""
        return not self.busy and self._work.finished()

    def _most_seeking(self) -> int:
        # While one connects, the limit goes on: rate * connect time more are needed to keep up with it.
        interval = self._schedule.interval
        if interval == 0.0:
            return _MOST_CONNECTING
        return min(_MOST_CONNECTING, 1 + math.ceil(self.connect_time / interval))

    async def _slot(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.began(task)
        try:
            while True:
                item = None if self._results.full else self._work.take()
                if item is not None:
                    await self.attempt(item, task)
                    self.seeking += 1
                    if self.count <= self._ceiling.now:
                        continue
                elif not self._work.stopping:
                    self.seeking -= 1
                    await self._fall_idle()
                    continue
                self.seeking -= 1
                return
        finally:
            self.count -= 1
            # Whoever leaves hands on: work that came while it was looking must not wait for the next event.
            self.seek()
            self._results.wake()

    async def _fall_idle(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self.idle.append(future)
        if self.finished():
            self._results.wake()
        await future
