"""How many requests of a route may be in its new arms at once: threads were a limit that async code has not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import UsageError


class CeilingReached(Exception):
    """No place is free, and as many as may wait do so."""


class LeftWaiting(Exception):
    """Who waited for a place does not want it any more."""


class Ceiling:
    """`max_in_flight` places, for which `max_waiting` more wait in order. Any thread and any loop may come."""

    def __init__(self, max_in_flight: int, max_waiting: int) -> None:
        if max_in_flight < 1:
            raise UsageError(f"max_in_flight must be at least 1, not {max_in_flight}")
        if max_waiting < 0:
            raise UsageError(f"max_waiting must be at least 0, not {max_waiting}")
        self.max_in_flight = max_in_flight
        self.max_waiting = max_waiting
        self._begin()

    def _begin(self) -> None:
        self._taken = 0
        self._queue: deque[_WaitingRequest | _WaitingThread] = deque()
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """What was under way belongs to the parent."""
        self._begin()

    def __repr__(self) -> str:
        return f"<Ceiling {self}>"

    def __str__(self) -> str:
        return f"{self._taken} of {self.max_in_flight} in flight, {len(self._queue)} waiting"

    async def enter(self, gone: Callable[[], Awaitable[object]] | None = None) -> None:
        """Take a place, perhaps after waiting for it.

        Raises CeilingReached, and LeftWaiting where `gone` returns while there is none.
        """
        waiter = self._take_or_queue(_WaitingRequest)
        if waiter is None:
            return
        try:
            await _first(waiter.place, gone)
        except BaseException:
            self._give_up(waiter)
            raise
        if not waiter.has_place:
            self._give_up(waiter)
            raise LeftWaiting

    def enter_in_thread(self, seconds: float) -> None:
        """The same for who has no event loop: its thread waits, for `seconds` at most. Raises CeilingReached."""
        waiter = self._take_or_queue(_WaitingThread)
        if waiter is None:
            return
        try:
            if waiter.wait(seconds):
                return
        except BaseException:
            # A worker's own timeout, or the end of a greenlet.
            self._give_up(waiter)
            raise
        with self._lock:
            # The place may have come at the last moment.
            if waiter.has_place:
                return
            self._queue.remove(waiter)
        raise CeilingReached

    def leave(self) -> None:
        """Give the place back: to who has waited longest, if somebody does."""
        told = False
        while not told:
            with self._lock:
                if not self._queue:
                    self._taken -= 1
                    return
                waiter = self._queue.popleft()
                waiter.has_place = True
            told = waiter.tell()
            # Its loop is closed: when its coroutine is thrown away, it has nothing to give back.
            waiter.has_place = told

    def _take_or_queue(self, kind: type[_W]) -> _W | None:
        with self._lock:
            if self._taken < self.max_in_flight:
                self._taken += 1
                return None
            if len(self._queue) >= self.max_waiting:
                raise CeilingReached
            waiter = kind()
            self._queue.append(waiter)
            return waiter

    def _give_up(self, waiter: _WaitingRequest | _WaitingThread) -> None:
        with self._lock:
            if not waiter.has_place:
                with contextlib.suppress(ValueError):
                    self._queue.remove(waiter)
                return
        # It was given a place and cannot use it.
        self.leave()


class _WaitingRequest:
    """One that waits, on the loop that it runs in."""

    __slots__ = ("_loop", "has_place", "place")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.place: asyncio.Future[None] = self._loop.create_future()
        self.has_place = False

    def tell(self) -> bool:
        """The place is there. False where its loop is closed, so that nobody would ever give the place back."""
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return False
        return True

    def _wake(self) -> None:
        if not self.place.done():
            self.place.set_result(None)


class _WaitingThread:
    """One that waits in a thread of the host."""

    __slots__ = ("_told", "has_place")

    def __init__(self) -> None:
        self._told = threading.Event()
        self.has_place = False

    def wait(self, seconds: float) -> bool:
        """Until it is told, at most so long."""
        return self._told.wait(seconds)

    def tell(self) -> bool:
        """The place is there."""
        self._told.set()
        return True


_W = TypeVar("_W", _WaitingRequest, _WaitingThread)


async def _first(place: asyncio.Future[None], gone: Callable[[], Awaitable[object]] | None) -> None:
    """Until there is a place, or nobody wants it."""
    if gone is None:
        await place
        return
    leaving = asyncio.ensure_future(gone())
    try:
        await asyncio.wait((place, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        await asyncio.wait((leaving,))
