"""Feed the engine: any iterable, async iterable or batch source becomes batches of items, read a little ahead."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from .outcome import Item

T = TypeVar("T")

SYNC_BATCH = 16
"""Items taken from a plain iterable at a time: few, because its code runs on the event loop."""

LEAST_READ_AHEAD = 8
"""Items that wait to be taken when the next batch is asked for, where batches are smaller than that."""


class BatchSource(Protocol[T]):
    """A source that reads by the batch, off the event loop where reading blocks.

    One with a true attribute `feeds_back` waits for outcomes before it knows what comes next.
    """

    def batches(self) -> AsyncIterator[list[Item[T]]]:
        """Items in order of position; each batch small enough to be held in memory twice."""
        ...


async def batches_of(
    items: Iterable[T] | AsyncIterable[T] | BatchSource[T],
) -> AsyncGenerator[list[Item[T]], None]:
    """Batches of items from whatever `items` is. Values that are Items keep their position and key.

    Closed early, it closes the generator it reads at once; the garbage collector would do so after the run.
    """
    if hasattr(items, "batches"):
        async with _closing(items.batches()) as batches:
            async for batch in batches:
                yield batch
        return
    position = 0
    if isinstance(items, AsyncIterable):
        async with _closing(aiter(items)) as values:
            async for value in values:
                yield [_item(position, value)]
                position += 1
        return
    iterator = iter(items)
    failure: Exception | None = None
    while failure is None:
        chunk: list[Item[T]] = []
        try:
            for value in itertools.islice(iterator, SYNC_BATCH):
                chunk.append(_item(position, value))
                position += 1
        except Exception as error:  # noqa: BLE001  # raised below, after the items that came before it
            failure = error
        if not chunk:
            break
        yield chunk
    if failure is not None:
        raise failure


class ReadAhead(Generic[T]):
    """What was read from a source and not taken yet: at most two batches.

    `fill` runs in a task of its own; the next batch is asked for while this one is being sent, so that reading and
    sending overlap.
    """

    def __init__(self, source: Iterable[T] | AsyncIterable[T] | BatchSource[T]) -> None:
        self._source = source
        self.feeds_back = bool(getattr(source, "feeds_back", False))
        """Whether what comes next depends on what became of the items before."""
        self._room: asyncio.Future[None] | None = None
        self._low_water = 0
        self.items: deque[Item[T]] = deque()
        self.exhausted = False
        """Nothing more will come."""
        self.failure: Exception | None = None
        """What the source raised, for whoever consumes the outcomes."""

    async def fill(self, arrived: Callable[[bool], None]) -> None:
        """Read to the end of the source. `arrived` is told of each batch, and whether everybody waited for it."""
        try:
            async with aclosing(batches_of(self._source)) as batches:
                async for batch in batches:
                    starved = not self.items
                    self.items.extend(batch)
                    arrived(starved)
                    await self._room_for(len(batch))
        except Exception as error:  # noqa: BLE001  # the consumer gets it, after the outcomes that came before
            self.failure = error
        finally:
            self.exhausted = True

    async def _room_for(self, size: int) -> None:
        self._low_water = max(size, LEAST_READ_AHEAD)
        while len(self.items) > self._low_water:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def take(self) -> Item[T]:
        """The next item; there must be one."""
        item = self.items.popleft()
        if self._room is not None and len(self.items) <= self._low_water and not self._room.done():
            self._room.set_result(None)
        return item


@asynccontextmanager
async def _closing(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    try:
        yield iterator
    finally:
        if inspect.isasyncgen(iterator):
            await iterator.aclose()


def _item(position: int, value: Any) -> Item[Any]:
    return value if isinstance(value, Item) else Item(position, value)
