"""Clients of a demo that send at a rate: the n-th request at its moment, however long the answers take."""

from __future__ import annotations

import abc
import asyncio

from ...clock import Clock
from ...wire.client import Client

_WORKERS = 32


class PacedLoad(abc.ABC):
    """`rate` requests a second to `url` until `stop`, of which at most 32 are under way."""

    def __init__(self, url: str, rate: float, clock: Clock) -> None:
        self.url = url
        self.rate = rate
        self.clock = clock
        self._began = clock.now()
        self._next = 0
        self._stopped = False

    async def run(self) -> None:
        """Send until stopped."""
        client = Client()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_WORKERS):
                    group.create_task(self._work(client))
        finally:
            await client.aclose()

    def stop(self) -> None:
        """No more requests; `run` returns when those under way are answered."""
        self._stopped = True

    @abc.abstractmethod
    async def ask(self, client: Client, number: int) -> None:
        """The `number`-th request, and a note of its answer."""

    async def _work(self, client: Client) -> None:
        while not self._stopped:
            number = self._next
            self._next += 1
            wait = self._began + number / self.rate - self.clock.now()
            if wait > 0:
                await self.clock.sleep(wait)
            await self.ask(client, number)
