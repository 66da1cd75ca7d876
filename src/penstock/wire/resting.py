"""Connections that have just ended an answer and may not be used yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from .connection import Connection
from .keep_alive import KeepAlive


class Resting:
    """Holds connections for as long as `rule` says, and gives them to `rested`.

    A connection that the peer closes meanwhile is to be discarded.
    """

    __slots__ = ("_ending", "_first", "_loop", "_rested", "_resting", "_rule", "_timer")

    def __init__(self, rule: KeepAlive, rested: Callable[[Connection], None]) -> None:
        self._rule = rule
        self._rested = rested
        self._loop = asyncio.get_running_loop()
        # Ordered by when the last answer ended.
        self._resting: dict[Connection, None] = {}
        self._first: Connection | None = None
        self._timer: asyncio.Handle | None = None
        # Whether the time is over and the loop reads once more.
        self._ending = False

    def __len__(self) -> int:
        return len(self._resting)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._resting)

    def add(self, connection: Connection) -> None:
        """A connection whose answer ended at its `idle_since`."""
        if self._first is None or self._first.closed:
            self._first = connection
        self._resting[connection] = None
        if self._timer is None:
            self._arm()

    def discard(self, connection: Connection) -> bool:
        """Whether it was here; it is no longer."""
        return self._resting.pop(connection, self) is None

    def take_newest(self) -> Connection | None:
        """The one that would rest for longest, for who does not use it."""
        return self._resting.popitem()[0] if self._resting else None

    def review(self) -> None:
        """The rule has changed."""
        if self._timer is not None and not self._ending:
            self._timer.cancel()
            self._arm()

    def clear(self) -> None:
        """Let go of all."""
        self._resting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._ending = False

    def _due(self, connection: Connection) -> float:
        return connection.idle_since + self._rule.rest(first=connection is self._first)

    def _arm(self) -> None:
        self._timer = None
        oldest = next(iter(self._resting), None)
        if oldest is not None:
            due = self._due(oldest)
            self._timer = self._loop.call_at(due, self._let_the_loop_read, due)

    def _let_the_loop_read(self, due: float) -> None:
        # The peer's close may be in the socket, unread: uvloop runs timers, and what they ask for "soon", before it
        # reads. After two turns it has read.
        now = max(due, self._loop.time())
        self._ending = True
        self._timer = self._loop.call_soon(self._second_turn, now)

    def _second_turn(self, now: float) -> None:
        self._timer = self._loop.call_soon(self._release, now)

    def _release(self, now: float) -> None:
        self._timer = None
        self._ending = False
        due = []
        for connection in self._resting:
            if self._due(connection) > now:
                break
            due.append(connection)
        for connection in due:
            del self._resting[connection]
            self._rested(connection)
        if self._timer is None:
            self._arm()
