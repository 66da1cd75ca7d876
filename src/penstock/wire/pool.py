"""The connections to one origin, and who may use them next.

A slot is the right to have one connection. Whoever holds one is either opening a connection, holding one
ready, or within an exchange; an idle connection holds a slot too. Every step is O(1). Idle connections are
reused last in, first out, so that those which a quiet period does not need grow old and are closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from ..errors import UsageError
from .connection import Connection
from .known_heads import KnownHeads
from .request_bytes import RequestEncoder

_log = logging.getLogger(__name__)

Opener = Callable[["OriginPool"], Awaitable[Connection]]
# A peer that says it keeps idle connections for N seconds is believed for one second less: the difference is
# for the request to get there (RFC 9112, 9.3.1 describes the race).
_KEEP_ALIVE_MARGIN = 1.0
# How long a TLS peer may take to answer our goodbye.
_GOODBYE_SECONDS = 1.0
# How long no connection to a peer is used twice after it sent an answer too many: whichever came first on a kept
# connection would be taken for the answer to the next request, and so would all that follow.
_DISTRUST_SECONDS = 60.0


class OriginPool:
    """All connections to one origin. `max_connections` None means no limit; `idle_timeout` is in seconds.

    `on_unasked` is told the origin of every answer that nobody asked for.
    """

    __slots__ = (
        "_all_gone",
        "_distrusted_until",
        "_idle",
        "_idle_timeout",
        "_max_connections",
        "_now",
        "_on_unasked",
        "_open",
        "_waiters",
        "connections",
        "encoder",
        "heads",
        "in_use",
        "opened",
        "unasked_answers",
    )

    def __init__(
        self,
        encoder: RequestEncoder,
        opener: Opener,
        *,
        max_connections: int | None,
        idle_timeout: float,
        on_unasked: Callable[[str], object] | None = None,
    ) -> None:
        self.encoder = encoder
        self.heads = KnownHeads()
        self._open = opener
        self._max_connections = max_connections
        self._idle_timeout = idle_timeout
        self._now = asyncio.get_running_loop().time
        # Ordered: the last is the one used last.
        self._idle: dict[Connection, None] = {}
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._all_gone: asyncio.Future[None] | None = None
        self.connections: set[Connection] = set()
        """Every transport that is not yet closed for good."""
        self.in_use = 0
        """Slots that are held, idle connections not counted."""
        self.opened = 0
        self.unasked_answers = 0
        """How often the peer answered what nobody had asked."""
        self._on_unasked = on_unasked
        self._distrusted_until = 0.0

    def __repr__(self) -> str:
        return f"<OriginPool {self.in_use} in use, {self.idle} idle, {self.waiting} waiting, {self.opened} opened>"

    @property
    def idle(self) -> int:
        """Connections ready for use."""
        return len(self._idle)

    def has_idle(self) -> bool:
        """Whether a call need not wait for a connection to open."""
        return bool(self._idle)

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._waiters)

    def take_idle(self) -> Connection | None:
        """An open connection whose slot is now the caller's, or None."""
        while self._idle:
            connection = self._idle.popitem()[0]
            if connection.usable_until > self._now():
                self.in_use += 1
                return connection
            connection.close()
        return None

    async def acquire(self) -> Connection:
        """An open connection with its slot: idle, new, or handed over when it is our turn.

        Raises what opening one raises.
        """
        connection = self.take_idle()
        if connection is None and not self._claim_slot():
            connection = await self._wait()
        # What was handed over may have been closed by the peer before we woke up; the slot is still ours.
        if connection is None or connection.closed:
            connection = await self.open_in_slot()
        return connection

    async def acquire_new(self) -> Connection:
        """As acquire, but a connection that was never used before."""
        old: Connection | None = None
        if not self._claim_slot():
            if self._idle:
                old = self._idle.popitem()[0]
                self.in_use += 1
            else:
                old = await self._wait()
        if old is not None:
            old.close()
        return await self.open_in_slot()

    async def open_in_slot(self) -> Connection:
        """Open a connection in a slot that the caller holds; the slot is given back where that fails."""
        try:
            connection = await self._open(self)
        except BaseException:
            self.free_slot()
            raise
        self.opened += 1
        return connection

    def free_slot(self) -> None:
        """Give back a slot without a connection."""
        self.in_use -= 1
        self._pass_on(None)

    def finished(self, connection: Connection) -> None:
        """Give back a slot with its connection: its exchange is over, or none was made."""
        self.in_use -= 1
        if connection.closed:
            self._pass_on(None)
        elif self._distrusted_until and self._now() < self._distrusted_until:
            connection.close()
            self._pass_on(None)
        elif not self._waiters or not self._pass_on(connection):
            promised = connection.keep_alive_seconds
            keep = self._idle_timeout
            if promised is not None:
                keep = min(keep, promised - _KEEP_ALIVE_MARGIN)
            connection.usable_until = self._now() + keep
            self._idle[connection] = None

    def lost(self, connection: Connection) -> None:
        """Called by the connection when it closes outside an exchange."""
        # Not there when it is held ready: then the holder has the slot and will see that it is closed.
        self._idle.pop(connection, None)

    def unasked(self, connection: Connection) -> None:
        """Called by the connection when an answer comes to it that nobody asked for: distrust the peer."""
        if not self.unasked_answers:
            seconds = f"{_DISTRUST_SECONDS:g} s"
            _log.warning(
                "%s sent an answer that nobody asked for. For %s no connection to it is used for a second request, "
                "each time that it does so; answers before this one may have been taken for those to other requests.",
                connection.peer,
                seconds,
            )
        self.unasked_answers += 1
        if self._on_unasked is not None:
            self._on_unasked(connection.peer)
        self._distrusted_until = self._now() + _DISTRUST_SECONDS
        for other in self._idle:
            if other is not connection:
                other.close()
        self._idle.clear()

    def made(self, connection: Connection) -> None:
        """Called by the connection when its transport is open."""
        self.connections.add(connection)

    def gone(self, connection: Connection) -> None:
        """Called by the connection when its transport is closed."""
        self.connections.discard(connection)
        if self._all_gone is not None and not self.connections and not self._all_gone.done():
            self._all_gone.set_result(None)

    def close_expired(self) -> None:
        """Close what has been idle for too long."""
        now = self._now()
        for connection in [c for c in self._idle if c.usable_until <= now]:
            del self._idle[connection]
            connection.close()

    async def aclose(self) -> None:
        """Close all connections, refuse all who wait, and return once the sockets are closed.

        Waits for 1 s at most: a TLS peer that does not answer the goodbye is left without one.
        """
        self._close()
        if not self.connections:
            return
        self._all_gone = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._all_gone
        except TimeoutError:
            for connection in self.connections:
                connection.abort()

    def _close(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(UsageError("the client was closed while this call waited for a connection"))
        self._waiters.clear()
        for connection in self._idle:
            connection.close()
        for connection in self.connections.difference(self._idle):
            connection.abort()
        self._idle.clear()

    def _claim_slot(self) -> bool:
        limit = self._max_connections
        if limit is not None and self.in_use + len(self._idle) >= limit:
            return False
        self.in_use += 1
        return True

    async def _wait(self) -> Connection | None:
        """A slot, perhaps with a connection."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Handed over and cancelled in the same turn of the loop: it goes to the next in line.
                self._return(waiter.result())
            else:
                self._waiters.pop(waiter, None)
            raise

    def _return(self, handed: Connection | None) -> None:
        if handed is None:
            self.free_slot()
        else:
            self.finished(handed)

    def _pass_on(self, connection: Connection | None) -> bool:
        """Hand a slot to who has waited longest; False where nobody waits."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            # A cancelled one is still in line until its task has run.
            if not waiter.done():
                self.in_use += 1
                waiter.set_result(connection)
                return True
        return False
