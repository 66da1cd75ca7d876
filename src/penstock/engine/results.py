"""Outcomes on their way to the consumer, of whom there is one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Results(Generic[T]):
    """A queue without a bound of its own: the engine takes up no new items while it is long."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._consumer: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, result: T) -> None:
        """Add one, and wake the consumer."""
        self._waiting.append(result)
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

    def take(self) -> T:
        """The eldest; there must be one."""
        return self._waiting.popleft()

    def take_all(self) -> list[T]:
        """All that are there, the eldest first."""
        results = list(self._waiting)
        self._waiting.clear()
        return results
