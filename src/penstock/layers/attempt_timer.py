"""Attempt timeouts for many tasks with one timer.

`asyncio.timeout` makes a timer for every attempt, which at tens of thousands of attempts a second costs a tenth of
the whole. Attempts that all have the same timeout expire in the order in which they began, so one timer for the
eldest is enough. What it does to a task is what `asyncio.timeout` does: cancel it, and take the cancellation back
where it comes out, unless somebody else has cancelled the task as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from ..clock import Clock, call_at
from ..errors import AttemptTimeout, Sent
from .deadline import deadline_in

T = TypeVar("T")


class AttemptTimer:
    """`start` before an attempt, `stop` after it, both in the task that makes it.

    Where the attempt ended with a CancelledError, `expired` says whether this was our doing. `seconds` None never
    expires.
    """

    __slots__ = ("_clock", "_expired", "_handle", "_running", "_seconds")

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._running: dict[asyncio.Task[Any], float] = {}
        self._expired: set[asyncio.Task[Any]] = set()
        self._handle: asyncio.TimerHandle | None = None

    def start(self, task: asyncio.Task[Any], now: float) -> None:
        """An attempt in `task` begins at `now`, seconds on the clock."""
        seconds = self._seconds
        if seconds is None:
            return
        self._running[task] = now + seconds
        if self._handle is None:
            self._handle = call_at(self._clock, now + seconds, self._expire)

    def stop(self, task: asyncio.Task[Any]) -> None:
        """The attempt in `task` has ended."""
        self._running.pop(task, None)
        if self._expired and task in self._expired:
            # It swallowed our cancellation; left on the task, it would be taken for somebody else's the next time.
            self._expired.discard(task)
            task.uncancel()

    def expired(self, task: asyncio.Task[Any]) -> bool:
        """Whether the CancelledError that ended the attempt was this timer's, and nobody else's as well."""
        if task not in self._expired:
            return False
        self._expired.discard(task)
        return task.uncancel() == 0

    def left(self, task: asyncio.Task[Any]) -> float | None:
        """Seconds until the attempt in `task` is cancelled; all of them while it has not begun."""
        until = self._running.get(task)
        return self._seconds if until is None else until - self._clock.now()

    def close(self) -> None:
        """Let the timer go."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._running.clear()

    def _expire(self) -> None:
        self._handle = None
        now = self._clock.now()
        late = []
        for task, until in self._running.items():
            if until > now:
                self._handle = call_at(self._clock, until, self._expire)
                break
            late.append(task)
        for task in late:
            del self._running[task]
            self._expired.add(task)
            task.cancel()


def timed_out(seconds: float | None) -> AttemptTimeout:
    """The error of an attempt that had no complete answer in time."""
    return AttemptTimeout(f"no complete answer within {seconds:.3g} s", sent=Sent.UNKNOWN)


async def within(seconds: float, sending: Awaitable[T]) -> T:
    """One attempt with a timeout of its own. Raises AttemptTimeout."""
    try:
        async with asyncio.timeout(seconds) as scope:
            with deadline_in(seconds):
                return await sending
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise timed_out(seconds) from error
