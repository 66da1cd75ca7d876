"""A listening server: its sockets, the bounds on its connections, their timeouts, and its orderly end."""

from __future__ import annotations

import asyncio
import functools
import math
import socket
import ssl
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ..reasons import reason_of
from .connection import ServerConnection
from .exchange import Handler, OnAnswered, OnKnown
from .keeper import tell
from .limits import ServerLimits
from .plain_connection import PlainServerConnection, PlainWay

if TYPE_CHECKING:
    from asyncio.base_events import Server as AsyncioServer

__all__ = ["Server", "ServerLimits"]

_SWEEP_SECONDS = 1.0
_SLICE = 500
"""Connections looked at in one go: so many cost about 0.1 ms."""
_LOOK_SECONDS = 100e-6
"""For each connection, from one look for those that can be spared to the next; the look takes about 3 us for each."""
_ABORT_SECONDS = 5.0
_KEEPS_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""The file of a Unix socket stays when the server ends: another process may go on with it."""
_FIRST_REQUEST_SECONDS = 1.0


class Server:
    """One server on one address.

    `on_answered` gets each answer that went by way of an exchange, and refusals; `on_known` each that the handler knew.
    `plain` is the shorter way of plain requests, whose answers are told to neither.
    """

    def __init__(
        self,
        on_answered: OnAnswered | None = None,
        on_known: OnKnown | None = None,
        *,
        plain: PlainWay | None = None,
    ) -> None:
        self.on_answered = on_answered
        self.on_known = on_known
        self.on_refused: Callable[[str, bool], None] | None = None
        """Told of each connection over a bound: its address, and whether it is the bound of one address."""
        self.connection: Callable[[Server], ServerConnection] = ServerConnection
        """What a connection is made by."""
        if plain is not None:
            self.connection = functools.partial(PlainServerConnection, way=plain)
        self.handler: Handler
        self.limits = ServerLimits()
        self.accepted = 0
        """Connections so far, without those that were refused."""
        self.refused = 0
        """Connections over one of the bounds."""
        self.gave_way = 0
        """Connections that were closed early, because a newcomer needed the room."""
        # Ordered: who came first is first.
        self._connections: dict[ServerConnection, None] = {}
        self._spares: list[tuple[tuple[int, float], ServerConnection]] = []
        self._look_after = 0.0
        self._per_address: dict[str, int] = {}
        self._listening: AsyncioServer | None = None
        self._tls: dict[str, Any] = {}
        self._round: list[ServerConnection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._draining = False

    async def start(
        self,
        handler: Handler,
        host: str | None = None,
        port: int | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        limits: ServerLimits | None = None,
        sock: socket.socket | None = None,
        backlog: int = 2048,
    ) -> Server:
        """Listen on `host` and `port` (0: any free one), or on `sock`, which is then the server's. Returns itself.

        Raises UsageError where that is not possible, as with a port that is taken.
        """
        if self._listening is not None:
            raise UsageError("the server was started before")
        loop = asyncio.get_running_loop()
        self.handler = handler
        self.limits = limits or ServerLimits()
        self._tls = {
            "ssl": tls,
            "backlog": backlog,
            "ssl_handshake_timeout": None if tls is None else self.limits.header_timeout,
        }
        where = f"{host}:{port}" if sock is None else "the socket"
        try:
            if sock is None:
                self._listening = await loop.create_server(self._make, host, port or 0, **self._tls)
            else:
                self._listening = await self.listen_also(sock)
        except (OSError, OverflowError) as error:
            raise UsageError(f"cannot listen on {where}: {reason_of(error)}") from error
        self._timer = loop.call_later(_SWEEP_SECONDS, self._sweep)
        return self

    async def listen_also(self, sock: socket.socket) -> AsyncioServer:
        """Take clients from `sock` as well, until what this returns is closed; the caller does that."""
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(self._make, sock=sock, **self._tls, **_KEEPS_FILE)
        return await loop.create_server(self._make, sock=sock, **self._tls)

    def _make(self) -> ServerConnection:
        return self.connection(self)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none once it drains."""
        return () if self._listening is None else tuple(self._listening.sockets)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """Connections in the middle of a request or an answer."""
        return sum(connection.busy for connection in self._connections)

    async def drain(self, timeout: float) -> None:
        """Stop: no new connections, idle ones close, others after their answer; after `timeout` seconds, all."""
        self._draining = True
        if self._listening is not None:
            self._listening.close()
        for connection in tuple(self._connections):
            connection.drain()
        await self._wait_empty(min(_FIRST_REQUEST_SECONDS, timeout / 2))
        for connection in tuple(self._connections):
            connection.drain(last=True)
        await self._wait_empty(timeout - min(_FIRST_REQUEST_SECONDS, timeout / 2))
        for connection in tuple(self._connections):
            connection.abort()
        await self._wait_empty(_ABORT_SECONDS)
        if self._timer is not None:
            self._timer.cancel()

    def made(self, connection: ServerConnection) -> None:
        """Called by a connection: it is open."""
        limits = self.limits
        address = connection.client
        here = self._per_address.get(address, 0)
        # A refused one counts as well, until it is closed: it has a socket, too.
        self._per_address[address] = here + 1
        self._connections[connection] = None
        most, most_here = limits.max_connections or math.inf, limits.max_connections_per_address or math.inf
        count = len(self._connections)
        if (here < most_here or not address) and (count <= most or self._make_room(connection)):
            self.accepted += 1
            if self._draining:
                connection.drain()
            return
        self.refused += 1
        tell(self.on_refused, address, count <= most or here >= most_here)
        if count > 2 * most or (address and here > 2 * most_here):
            connection.abort()
        else:
            connection.refuse()

    def _make_room(self, newcomer: ServerConnection) -> bool:
        """Close the connection that can be spared best; False where each is within a request."""
        while self._spares or self._look_for_spares(newcomer):
            seen, connection = self._spares.pop()
            if connection.spare == seen:
                self.gave_way += 1
                connection.make_way()
                return True
        return False

    def _look_for_spares(self, newcomer: ServerConnection) -> bool:
        """Look at all connections, so seldom that it takes a few hundredths of the time however many come."""
        now = asyncio.get_running_loop().time()
        if now < self._look_after:
            return False
        self._look_after = now + _LOOK_SECONDS * len(self._connections)
        seen = [(other.spare, other) for other in self._connections if other is not newcomer]
        spares = [(spare, other) for spare, other in seen if spare is not None]
        spares.sort(key=lambda found: found[0])
        # Those at the end are taken first.
        self._spares = spares[::-1]
        return bool(spares)

    def lost(self, connection: ServerConnection) -> None:
        """Called by a connection: it is closed."""
        self._connections.pop(connection, None)
        count = self._per_address.get(connection.client, 0)
        if count > 1:
            self._per_address[connection.client] = count - 1
        else:
            self._per_address.pop(connection.client, None)
        if self._empty is not None and not self._connections and not self._empty.done():
            self._empty.set_result(None)

    def _sweep(self) -> None:
        """Check some of the connections: all of them once a second, never so many that requests wait for it."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._round:
            self._round = list(self._connections)
            self._spares.clear()
        part = self._round[-_SLICE:]
        del self._round[-_SLICE:]
        slices = 1 + len(self._connections) // _SLICE
        # First: one look that fails must not be the last.
        self._timer = loop.call_later(_SWEEP_SECONDS / slices, self._sweep)
        for connection in part:
            connection.check(now)

    async def _wait_empty(self, timeout: float) -> None:
        if not self._connections:
            return
        self._empty = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._empty
        except TimeoutError:
            pass
        finally:
            self._empty = None
