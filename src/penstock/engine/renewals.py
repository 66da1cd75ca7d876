"""Renewals: what was refused for an old credential is asked again with a new one, which is fetched once for all.

Nothing is sent meanwhile, because it would be refused. An item is asked again once: what is refused with two
credentials, one of which was issued after the other was refused, is refused for good.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Generic, TypeVar

from ..clock import Clock, call_at
from ..errors import CallError, PenstockError
from ..rules.retries.denied import USUAL, may_be_renewed
from ..rules.retries.verdict import Classified
from .outcome import Item
from .renewable import Renewable
from .slots import Slots
from .work import Work

T = TypeVar("T")

VAIN_SECONDS = 5.0
"""At least so long after a renewal that helped nobody comes the next: some items are refused whoever asks."""


class Renewals(Generic[T]):
    """Keeps the items that wait for another credential; they count as items that wait in `Work`."""

    def __init__(self, credential: Renewable, *, work: Work[T], slots: Slots[T]) -> None:
        self._credential = credential
        self._work = work
        self._slots = slots
        self._items: list[Item[T]] = []
        self._ended_at = -math.inf
        self._vain = False
        self._proven = True
        self._row = 0
        self._timer: asyncio.TimerHandle | None = None
        self._clock: Clock
        self._give_up: Callable[[PenstockError], None]

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._items)

    def open(self, clock: Clock, give_up: Callable[[PenstockError], None]) -> None:
        """Before the first attempt. `give_up` is told when there is no credential to be had."""
        self._clock = clock
        self._give_up = give_up

    def close(self) -> None:
        """After the last."""
        self._items.clear()
        self._forget_timer()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def takes(self, item: Item[T], what: Classified, error: Exception | None) -> bool:
        """Whether `item`, for which an attempt failed, is asked again, or left where the run is to end."""
        used = error.generation if isinstance(error, CallError) else None
        if used is None or not may_be_renewed(what):
            return False
        # What was sent with an older one says nothing of that of now.
        self._row += used == self._credential.generation
        trouble = item.in_trouble()
        if trouble.renewed:
            self._vain = True
            return False
        trouble.renewed = True
        # The peer has not acted on it, so it was no attempt, and waiting is none of its time.
        trouble.excused += 1
        trouble.owes = False
        if self._work.stopping:
            return True
        if used < self._credential.generation:
            self._work.give(item)
            return True
        trouble.parked_at = self._clock.now()
        self._items.append(item)
        self._work.room -= 1
        if self not in self._work.doubts:
            self._schedule()
        return True

    def passed(self, sent: float) -> None:
        """The answer to a call sent at `sent` showed that the credential of that time was good."""
        self._row = 0
        self._proven = self._proven or sent >= self._ended_at

    def helped(self) -> None:
        """An item that was asked again was answered well."""
        self._vain = False

    def admits(self) -> bool:
        """Not while another credential is being fetched: what was sent would be refused."""
        return False

    def _schedule(self) -> None:
        now = self._clock.now()
        # So many in a row are not refused for reasons of their own.
        waits = (self._vain or not self._proven) and self._row < USUAL
        when = self._ended_at + VAIN_SECONDS if waits else now
        if when <= now:
            self._begin()
        elif self._timer is None:
            self._timer = call_at(self._clock, when, self._begin)

    def _begin(self) -> None:
        self._forget_timer()
        if not self._work.stopping and self not in self._work.doubts:
            self._work.doubts.append(self)
            self._slots.start(self._renew())

    async def _renew(self) -> None:
        try:
            await self._credential.renew()
        except PenstockError as error:
            self._give_up(PenstockError(f"{error}; no item is lost, and the same command goes on from there"))
            return
        finally:
            self._work.doubts.remove(self)
        self._ended_at, self._row, self._proven = self._clock.now(), 0, False
        items, self._items = self._items, []
        if self._work.stopping:
            return
        self._work.room += len(items)
        for item in items:
            self._work.give(item)
