"""Feed the engine: any iterable, async iterable or batch source becomes batches of items, read a little ahead."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable
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


async def batches_of(items: Iterable[T] | AsyncIterable[T] | BatchSource[T]) -> AsyncIterator[list[Item[T]]]:
    """Batches of items from whatever `items` is. Values that are Items keep their position and key."""
    if hasattr(items, "batches"):
        async for batch in items.batches():
            yield batch
        return
    position = 0
    if isinstance(items, AsyncIterable):
        async for value in items:
            yield [_item(position, value)]
            position += 1
        return
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, SYNC_BATCH)):
        yield [_item(position + offset, value) for offset, value in enumerate(chunk)]
        position += len(chunk)


def _item(position: int, value: Any) -> Item[Any]:
    return value if isinstance(value, Item) else Item(position, value)
