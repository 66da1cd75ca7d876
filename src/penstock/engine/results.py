"""Outcomes on their way to the consumer, of whom there is one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Generic, TypeVar

from .held_bytes import held_bytes
from .outcome import Outcome

Out = TypeVar("Out", bound=Outcome[Any, Any])

HANDFUL_BYTES = 4 << 20
"""What is taken at a time, so that it is in memory only once: what was taken does not count as waiting any more."""


class Results(Generic[Out]):
    """A queue that takes whatever comes: the engine takes up no new items while it is `full`.

    It is while `most` wait, or what waits holds `most_bytes` or more. So one that is larger than that gets through.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.full = False
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[Out] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._consumer: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, result: Out) -> None:
        """Add one, and wake the consumer."""
        size = held_bytes(result)
        self._waiting.append(result)
        self._sizes.append(size)
        self._bytes += size
        if self._bytes >= self._most_bytes or len(self._sizes) >= self._most:
            self.full = True
        if self._consumer is not None:
            self.wake()

    def wake(self) -> None:
        """Let the consumer look again, whether or not there is anything."""
        consumer = self._consumer
        if consumer is not None and not consumer.done():
            consumer.set_result(None)

    async def changed(self) -> None:
        """Return after the next `put` or `wake`."""
        self._consumer = asyncio.get_running_loop().create_future()
        try:
            await self._consumer
        finally:
            self._consumer = None

    def take(self) -> Out:
        """The eldest; there must be one."""
        self._bytes -= self._sizes.popleft()
        if self.full:
            self._look()
        return self._waiting.popleft()

    def take_some(self) -> list[Out]:
        """The eldest, one at least and as many as make a handful; there must be one."""
        if self._bytes <= HANDFUL_BYTES:
            results = list(self._waiting)
            self._waiting.clear()
            self._sizes.clear()
            self._bytes = 0
        else:
            results = []
            before = self._bytes
            while self._sizes and before - self._bytes < HANDFUL_BYTES:
                self._bytes -= self._sizes.popleft()
                results.append(self._waiting.popleft())
        self._look()
        return results

    def _look(self) -> None:
        self.full = self._bytes >= self._most_bytes or len(self._sizes) >= self._most
