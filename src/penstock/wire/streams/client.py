"""The client towards one origin: kept connections, answers handed on as they arrive, no task per request.

A task is made only where a connection must be opened or waited for.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from ...errors import AttemptTimeout, CallError, ConnectError, Sent, UsageError
from ..connection import Connection
from ..dial import client_tls, dial
from ..pool import OriginPool
from ..request_bytes import RequestEncoder
from ..url import split_origin
from .connection import PlainOwner, StreamConnection
from .exchange import StreamExchange
from .receiver import Receiver

_SWEEP_SECONDS = 0.25


class Timed(Protocol):
    """A request whose time is watched: a StreamExchange, or a plain one."""

    touched: float
    """When the origin last sent something, or was sent the request; seconds on the loop's clock."""

    @property
    def paused(self) -> bool:
        """The reader asked the origin to wait."""
        ...

    def fail(self, error: CallError) -> None:
        """End with `error`, as if the connection had failed."""
        ...


class PlainFetch(Timed, PlainOwner, Protocol):
    """A plain request that is under way, which has no StreamExchange."""


class StreamClient:
    """Streams answers from one origin, `url` (scheme, host, port; no path; or a Unix socket, see `split_origin`).

    - `max_connections`: open at once; requests over it wait, first come first served.
    - `connect_timeout`: seconds to resolve, connect and shake hands.
    - `first_byte_timeout`, `between_bytes_timeout`: seconds in which the origin must send something, before and
      after its first byte. Time in which the reader pauses does not count.
    - `idle_timeout`: seconds after which a kept connection is closed.
    - `lenient`: accept unknown transfer codings (see StreamReader).

    Raises UsageError for a URL that is not an origin.
    """

    def __init__(
        self,
        url: str,
        *,
        max_connections: int = 256,
        connect_timeout: float = 3.0,
        first_byte_timeout: float = 60.0,
        between_bytes_timeout: float = 30.0,
        idle_timeout: float = 15.0,
        tls: ssl.SSLContext | None = None,
        lenient: bool = False,
    ) -> None:
        self.origin = split_origin(url)
        self._connect_timeout = connect_timeout
        self._first_byte_timeout = first_byte_timeout
        self._between_bytes_timeout = between_bytes_timeout
        self._idle_timeout = idle_timeout
        self._max_connections = max_connections
        self._tls = tls
        self._lenient = lenient
        self._pool: OriginPool | None = None
        # Ordered by their deadline, because all of one table have the same time and the newest are put last.
        self._silent: dict[Timed, None] = {}
        self._reading: dict[Timed, None] = {}
        self._openers: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._now: Callable[[], float] = lambda: 0.0
        self._closed = False

    def fetch(
        self, head: bytes, receiver: Receiver, *, head_only: bool = False, repeatable: bool = True, more: bool = False
    ) -> StreamExchange:
        """Send the request whose bytes are `head`; the answer goes to `receiver`, never before this returns.

        `head_only` for HEAD. `repeatable` where it may be sent again on a new connection when a kept one turns out to
        be closed. `more`: pieces of a body will follow by `StreamExchange.send`.
        """
        pool = self._pool
        if pool is None:
            pool = self._start()
        exchange = StreamExchange(self, head, receiver, head_only=head_only, repeatable=repeatable)
        exchange.sent_all = not more
        connection = pool.take_idle()
        if connection is not None:
            self._attach(exchange, cast("StreamConnection", connection))
        else:
            self._open_later(exchange, pool.acquire)
        return exchange

    def begin_plain(self, data: bytes, plain: PlainFetch) -> StreamConnection | None:
        """Send the request `data` on a connection that is kept, and tell `plain` of what follows.

        None, and nothing is sent, where none is free.
        """
        pool = self._pool
        connection = None if pool is None else cast("StreamConnection | None", pool.take_idle())
        if connection is not None:
            plain.touched = self._now()
            self._silent[plain] = None
            connection.begin_plain(data, plain)
        return connection

    def finish_plain(self, plain: PlainFetch, connection: StreamConnection, keep_alive_seconds: float | None) -> None:
        """All of the answer to `plain` has come at once; see `StreamConnection.finish_plain`."""
        self._silent.pop(plain, None)
        connection.finish_plain(keep_alive_seconds)

    def unfold(
        self, plain: PlainFetch, connection: StreamConnection, data: bytes, receiver: Receiver
    ) -> StreamExchange:
        """The exchange in place of `plain`, as if `fetch` had been called for it from the first."""
        exchange = StreamExchange(self, data, receiver, head_only=False, repeatable=True)
        exchange.take_over(connection, plain.touched)
        # Where others have been asked since, it keeps its place among them: they are looked at in this order.
        if next(reversed(self._silent), None) is plain:
            del self._silent[plain]
            self._silent[exchange] = None
        else:
            self._silent = {exchange if each is plain else each: None for each in self._silent}
        return exchange

    async def probe(self) -> None:
        """Open a connection and close it again: no request is sent. Raises CallError where that is not possible."""
        pool = self._pool or self._start()
        connection = await pool.acquire_new()
        # Not kept: a server that has one worker would wait for a request here, and for nobody else.
        connection.close()
        pool.unused(connection)

    @property
    def in_use(self) -> int:
        """Connections within an exchange or being opened."""
        return self._pool.in_use if self._pool is not None else 0

    @property
    def unasked_answers(self) -> int:
        """How often the origin answered what nobody had asked."""
        return self._pool.unasked_answers if self._pool is not None else 0

    @property
    def waiting(self) -> int:
        """Requests that wait because of max_connections."""
        return self._pool.waiting if self._pool is not None else 0

    async def aclose(self) -> None:
        """Close all connections. What is under way fails."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        openers = [*self._openers]
        for task in openers:
            task.cancel()
        await asyncio.gather(*openers, return_exceptions=True)
        if self._pool is not None:
            await self._pool.aclose()

    # What follows is called by exchanges.

    def touch(self, exchange: Timed) -> None:
        """The origin sent something, or the reader goes on: the time between bytes begins anew."""
        exchange.touched = self._now()
        self._silent.pop(exchange, None)
        self._reading.pop(exchange, None)
        self._reading[exchange] = None

    def sent(self, exchange: StreamExchange) -> None:
        """More of the request went out: the origin can hardly answer what it does not have yet."""
        if self._silent.pop(exchange, exchange) is None:
            exchange.touched = self._now()
            self._silent[exchange] = None

    def forget(self, exchange: StreamExchange) -> None:
        """The exchange is over."""
        self._silent.pop(exchange, None)
        self._reading.pop(exchange, None)

    def again(self, exchange: StreamExchange) -> None:
        """Send `exchange` once more, on a connection that was never used."""
        assert self._pool is not None
        self.forget(exchange)
        self._open_later(exchange, self._pool.acquire_new)

    def _attach(self, exchange: StreamExchange, connection: StreamConnection) -> None:
        exchange.touched = self._now()
        self._silent[exchange] = None
        exchange.attach(connection)

    def _open_later(self, exchange: StreamExchange, acquire: Callable[[], Awaitable[Connection]]) -> None:
        task = asyncio.get_running_loop().create_task(self._open_and_attach(exchange, acquire))
        self._openers.add(task)
        task.add_done_callback(self._openers.discard)

    async def _open_and_attach(self, exchange: StreamExchange, acquire: Callable[[], Awaitable[Connection]]) -> None:
        try:
            async with asyncio.timeout(self._first_byte_timeout):
                connection = await acquire()
        except CallError as error:
            exchange.fail(error)
        except TimeoutError:
            exchange.fail(ConnectError(f"{self.origin}: no connection became free in time"))
        except UsageError:
            exchange.fail(ConnectError(f"{self.origin}: the client was closed"))
        except asyncio.CancelledError:
            exchange.fail(ConnectError(f"{self.origin}: the client was closed"))
            raise
        else:
            stream = cast("StreamConnection", connection)
            if exchange.cancelled:
                assert self._pool is not None
                self._pool.unused(stream)
            else:
                self._attach(exchange, stream)

    def _start(self) -> OriginPool:
        if self._closed:
            raise UsageError("the client is closed")
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._pool = OriginPool(
            RequestEncoder(self.origin, "identity"),
            self._open,
            max_connections=self._max_connections,
            idle_timeout=self._idle_timeout,
        )
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
        return self._pool

    async def _open(self, pool: OriginPool) -> Connection:
        def factory() -> Connection:
            return StreamConnection(pool, str(self.origin), lenient=self._lenient)

        tls = None
        if self.origin.scheme == "https":
            self._tls = tls = self._tls or client_tls()
        return await dial(self.origin, tls, self._connect_timeout, factory)

    def _sweep(self) -> None:
        # First: one look that fails must not be the last.
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        now = self._now()
        self._expire(self._silent, now - self._first_byte_timeout, self._first_byte_timeout, Sent.UNKNOWN)
        self._expire(self._reading, now - self._between_bytes_timeout, self._between_bytes_timeout, Sent.YES)
        if self._pool is not None:
            self._pool.close_expired()

    def _expire(self, table: dict[Timed, None], before: float, seconds: float, sent: Sent) -> None:
        late = []
        for exchange in table:
            if exchange.touched > before:
                break
            late.append(exchange)
        for exchange in late:
            if exchange.paused:
                self.touch(exchange)
            else:
                exchange.fail(AttemptTimeout(f"{self.origin}: nothing came for {seconds:g} s", sent=sent))
