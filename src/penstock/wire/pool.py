"""The connections to one origin, and who may use them next.

A slot is the right to have one connection. Whoever holds one is either opening a connection, holding one
ready, or within an exchange; an idle connection holds a slot too. Every step is O(1). Idle connections are
reused last in, first out, so that those which a quiet period does not need grow old and are closed.

A connection whose answer has just ended is idle at once where the origin has shown that kept connections live
(`keep_alive`). Otherwise it rests first; it holds its slot meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from ..errors import UsageError
from .connection import Connection
from .keep_alive import KeepAlive
from .known_heads import KnownHeads
from .request_bytes import RequestEncoder
from .resting import Resting

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

    `on_unasked` is told the origin of every answer that nobody asked for, `on_died` of connections that were closed
    right after an answer, and how many more there are. Without `keep_alive` each connection carries one exchange.
    """

    __slots__ = (
        "_all_gone",
        "_careful",
        "_distrusted_until",
        "_idle",
        "_idle_timeout",
        "_keep",
        "_keeps",
        "_max_connections",
        "_now",
        "_on_died",
        "_on_unasked",
        "_open",
        "_resting",
        "_waiters",
        "_watched",
        "connections",
        "encoder",
        "heads",
        "in_use",
        "keep_alive",
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
        on_died: Callable[[str, int], object] | None = None,
        keep_alive: bool = True,
    ) -> None:
        self.encoder = encoder
        encoder.on_close = self.keep_none
        self.heads = KnownHeads()
        self._open = opener
        self._max_connections, self._idle_timeout = max_connections, idle_timeout
        self.keep_alive = KeepAlive()
        """What the origin has shown of the life of kept connections."""
        self._keeps = keep_alive
        # How long an idle connection is used, in seconds.
        self._keep = idle_timeout
        # Whether a connection may not simply be used again; the one question that each answer asks.
        self._careful = True
        self._now = asyncio.get_running_loop().time
        # Ordered: the last is the one used last.
        self._idle: dict[Connection, None] = {}
        self._resting = Resting(self.keep_alive, self._rested)
        # Too old for use, and kept to learn at which age the peer closes.
        self._watched: Connection | None = None
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._all_gone: asyncio.Future[None] | None = None
        self.connections: set[Connection] = set()
        """Every transport that is not yet closed for good."""
        self.in_use = 0
        """Slots that are held, idle connections not counted."""
        self.opened = 0
        self.unasked_answers = 0
        """How often the peer answered what nobody had asked."""
        self._on_unasked, self._on_died = on_unasked, on_died
        self._distrusted_until = 0.0

    def __repr__(self) -> str:
        return f"<OriginPool {self.in_use} in use, {self.idle} idle, {self.waiting} waiting, {self.opened} opened>"

    @property
    def idle(self) -> int:
        """Open connections that wait for a call, also those that rest."""
        return len(self._idle) + len(self._resting)

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
            self._retire(connection)
        return None

    async def acquire(self) -> Connection:
        """An open connection with its slot: idle, new, or handed over when it is our turn.

        Raises what opening one raises.
        """
        connection = self.take_idle()
        if connection is None and (self._waits_for_rest(len(self._waiters)) or not self._claim_slot()):
            connection = await self._wait()
        # What was handed over may have been closed by the peer before we woke up; the slot is still ours.
        if connection is None or connection.closed:
            connection = await self.open_in_slot()
        return connection

    async def acquire_new(self) -> Connection:
        """As acquire, but a connection that was never used before."""
        old: Connection | None = None
        if not self._claim_slot():
            old = self._idle.popitem()[0] if self._idle else self._resting.take_newest()
            if old is not None:
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
        """Give back a slot with its connection: its exchange is over."""
        self.in_use -= 1
        if connection.closed:
            if connection.stale:
                self._died(connection, lost_request=True)
            self._pass_on(None)
        elif self._careful:
            self._finished_with_care(connection)
        elif not self._waiters or not self._pass_on(connection, at_once=True):
            connection.idle_since = now = self._now()
            promised = connection.keep_alive_seconds
            connection.usable_until = now + (self._keep if promised is None else self._kept_for(promised))
            self._idle[connection] = None

    def unused(self, connection: Connection) -> None:
        """Give back a slot with its connection: no exchange was made."""
        self.in_use -= 1
        if connection.closed:
            self._pass_on(None)
        elif not self._waiters or not self._pass_on(connection):
            # The peer counts from the last answer, or else from the opening.
            connection.idle_since = min(connection.idle_since, self._now())
            connection.usable_until = connection.idle_since + self._kept_for(connection.keep_alive_seconds)
            self._idle[connection] = None

    def may_use(self, connection: Connection) -> bool:
        """Whether a connection that was held ready for a while can still be used."""
        return not connection.closed and connection.usable_until > self._now()

    def keep_none(self) -> None:
        """From now on each connection carries one exchange."""
        self._keeps = False
        self._careful = True
        for connection in [*self._idle, *self._resting]:
            if connection.exchanges:
                self._idle.pop(connection, None)
                self._resting.discard(connection)
                connection.close()
        self._serve_waiters()

    def lost(self, connection: Connection) -> None:
        """Called by the connection when it closes outside an exchange."""
        # Not there when it is held ready: then the holder has the slot and will see that it is closed.
        self._idle.pop(connection, None)
        self._resting.discard(connection)
        if self._watched is connection:
            self._watched = None
        if connection.exchanges:
            self._died(connection)
        self._serve_waiters()

    def unasked(self, connection: Connection) -> None:
        """Called by the connection when an answer comes to it that nobody asked for: distrust the peer."""
        if not self._keeps and connection.exchanges <= 1:
            # It was never to be used again, so nobody can have been misled.
            return
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
        self._careful = True
        for other in [*self._idle, *self._resting]:
            if other is not connection:
                other.close()
        self._idle.clear()
        self._resting.clear()
        self._serve_waiters()

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
            self._retire(connection)
        watched = self._watched
        if watched is not None:
            age = now - watched.idle_since
            if age >= self._idle_timeout or not self.keep_alive.worth_watching(age):
                self._watched = None
                watched.close()
                self.keep_alive.outlived(age)
                self._learned()

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
        idle = {*self._idle, *self._resting}
        for connection in idle:
            connection.close()
        for connection in self.connections - idle:
            connection.abort()
        self._idle.clear()
        self._resting.clear()
        self._watched = None

    def _finished_with_care(self, connection: Connection) -> None:
        """An answer has ended where connections may not be used at once, or not at all."""
        rule = self.keep_alive
        now = self._now()
        if connection.exchanges > 1:
            untried = rule.untried
            rule.proved(len(self.connections))
            if untried or rule.trusted:
                self._resting.review()
        distrusted = now < self._distrusted_until
        self._careful = distrusted or not (self._keeps and rule.trusted)
        if not self._careful:
            self.in_use += 1
            self.finished(connection)
            return
        keep = self._kept_for(connection.keep_alive_seconds)
        full = len(self._resting) >= rule.most_resting(self.in_use)
        if distrusted or not self._keeps or full or keep <= rule.rest():
            connection.close()
            self._pass_on(None)
        else:
            connection.idle_since = now
            connection.usable_until = now + keep
            self._resting.add(connection)

    def _rested(self, connection: Connection) -> None:
        """The connection has rested for long enough."""
        if not self._waiters or not self._pass_on(connection):
            self._idle[connection] = None

    def _kept_for(self, promised: float | None) -> float:
        """The age up to which a connection is used; `promised` are the seconds for which the peer said to keep it."""
        return self._keep if promised is None else min(self._keep, promised - _KEEP_ALIVE_MARGIN)

    def _retire(self, connection: Connection) -> None:
        """The connection is too old for use."""
        if self._watched is None and self.keep_alive.worth_watching(self._now() - connection.idle_since):
            self._watched = connection
        else:
            connection.close()

    def _died(self, connection: Connection, *, lost_request: bool = False) -> None:
        """The peer closed a connection that had carried an answer."""
        now = self._now()
        age = max(0.0, now - connection.idle_since)
        promised = connection.keep_alive_seconds
        as_promised = promised is not None and age >= promised - _KEEP_ALIVE_MARGIN
        if as_promised or now < self._distrusted_until:
            return
        self._tell_of_closed(connection.peer, self.keep_alive.died(age, now, lost_request=lost_request))
        self._learned()

    def _tell_of_closed(self, peer: str, number: int) -> None:
        # The first time it is more than one.
        if number > 1:
            _log.warning(
                "%s closes connections right after an answer without saying so (Connection: close): %d so far. They "
                "now rest before they are used again, or none is kept. --no-keep-alive keeps none in a run at all.",
                peer,
                number,
            )
        if number and self._on_died is not None:
            self._on_died(peer, number)

    def _learned(self) -> None:
        """The rule has changed."""
        rule = self.keep_alive
        self._careful = self._careful or not rule.trusted
        self._keep = min(self._idle_timeout, rule.limit)
        self._resting.review()
        self._serve_waiters()

    def _waits_for_rest(self, ahead: int) -> bool:
        """Whether a call with so many before it waits for a connection that rests, where it could open one."""
        return ahead < len(self._resting) and not self.keep_alive.suspected

    def _serve_waiters(self) -> None:
        """Let those open a connection who have no reason to wait for one any more."""
        while self._waiters and not self._waits_for_rest(len(self._waiters) - 1) and self._claim_slot():
            self.in_use -= 1
            self._pass_on(None)

    def _claim_slot(self) -> bool:
        limit = self._max_connections
        if limit is not None and self.in_use + self.idle + (self._watched is not None) >= limit:
            if self._watched is None:
                return False
            self._watched.close()
            self._watched = None
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
            self.unused(handed)

    def _pass_on(self, connection: Connection | None, *, at_once: bool = False) -> bool:
        """Hand a slot to who has waited longest; False where nobody waits. `at_once` after an answer."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            # A cancelled one is still in line until its task has run.
            if not waiter.done():
                self.in_use += 1
                if at_once and connection is not None:
                    connection.idle_since = connection.usable_until = math.inf
                waiter.set_result(connection)
                return True
        return False
