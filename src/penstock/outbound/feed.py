"""Feed the engine: any iterable, async iterable or batch source becomes batches of items, read a little ahead."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from .outcome import Item

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SYNC_BATCH = 16
"""Items taken from a plain iterable at a time: few, because its code runs on the event loop."""


class BatchSource(Protocol[T_co]):
    """A source that reads by the batch, off the event loop where reading blocks."""

    def batches(self) -> AsyncIterator[list[Item[Any]]]:
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


@asynccontextmanager
async def _closing(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    try:
        yield iterator
    finally:
        if inspect.isasyncgen(iterator):
            await iterator.aclose()


def _item(position: int, value: Any) -> Item[Any]:
    return value if isinstance(value, Item) else Item(position, value)
