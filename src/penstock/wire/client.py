"""The HTTP/1.1 client: a Call, and an AnyClient."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ..call import AnyClient
from ..errors import CallError, UsageError
from ..messages import Request, Response
from .connection import Connection
from .content_coding import accept_encoding
from .dial import client_tls, dial
from .pool import OriginPool
from .prepared import PreparedRequest
from .redirects import REDIRECTS, RedirectTrail
from .request_bytes import RequestEncoder
from .url import UrlOrigin, checked_target, split_url

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
_MAX_KNOWN_ORIGINS = 1024


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """What a client holds at one moment, over all origins."""

    in_use: int
    """Slots held by calls: connections within an exchange, held ready by `prepare`, or being opened."""
    idle: int
    """Open connections that wait for a call."""
    waiting: int
    """Calls that wait because of max_connections_per_origin."""
    opened: int
    """Connections opened since the client was made."""
    repeated: int
    """Calls sent once more because a kept connection had been closed by the peer."""
    died: int = 0
    """Kept connections that the peer closed without saying so, whether a call was on its way or not."""


class Client(AnyClient[Request, Response]):
    """An HTTP/1.1 client for one event loop: `response = await client(request)`.

    - `max_connections_per_origin`: None means no limit. Calls over it wait, first come first served.
    - `connect_timeout`: seconds to resolve, connect and shake hands. The time of a call as a whole is the
      caller's to limit (`asyncio.timeout`); cancelling a call closes its connection.
    - `max_response_bytes`: cap on a body, both as it comes and decoded.
    - `tls`: None verifies against the system's certificates.
    - `follow_redirects`: how many to follow; 0 gives the 3xx to the caller. `before_redirect` is awaited before each
      of them, which is a send like any other: `limiter.acquire` makes it keep a limit. To another origin only harmless
      header fields go along (`penstock.fields.HARMLESS_FIELDS`), and the body where 307 or 308 asks for it.
    - `on_unasked` is called with the origin for each answer that nobody asked for, and `on_died` with the origin and a
      number where connections are closed right after an answer, again and again, without a word: how many more.
    - `decompress`: offer and remove content codings. The header fields stay as they came.
    - `repeat_stale`: send a request a second time, once, where a kept connection turns out to be closed, not a byte
      of an answer came, and the method is idempotent or the request has an Idempotency-Key (RFC 9110, 9.2.2). What is
      prepared, or sent by `once`, is never repeated: it has one permit of a limit, and that is for one send.
    - `idle_timeout`: seconds after which an unused connection is closed. Less than what servers and load
      balancers allow: they close without a word, and a POST that is on its way then has an unknown fate.
    - `keep_alive`: False sends each request on a connection of its own and asks the peer to close it. A request with
      the header `Connection: close` does so for all later ones to its origin. Otherwise connections are kept for as
      long as the origin has shown that they live; one that closes them right after an answer is found out.

    Raises UsageError before anything is sent for a request that cannot be one, and a CallError (ConnectError,
    DnsError, TlsError, ConnectTimeout, ConnectionLost, ProtocolError, ResponseTooLarge, BadBody) for whatever
    goes wrong with the peer.
    """

    prepares = True

    def __init__(
        self,
        *,
        max_connections_per_origin: int | None = None,
        connect_timeout: float = 10.0,
        max_response_bytes: int = 64 * 1024 * 1024,
        tls: ssl.SSLContext | None = None,
        follow_redirects: int = 0,
        before_redirect: Callable[[], Awaitable[object]] | None = None,
        on_unasked: Callable[[str], object] | None = None,
        on_died: Callable[[str, int], object] | None = None,
        decompress: bool = True,
        repeat_stale: bool = True,
        idle_timeout: float = 15.0,
        keep_alive: bool = True,
    ) -> None:
        check_numbers(max_connections_per_origin, connect_timeout, idle_timeout, max_response_bytes, follow_redirects)
        self._max_connections = max_connections_per_origin
        self._connect_timeout = connect_timeout
        self._max_response_bytes = max_response_bytes
        self._tls = tls
        self._follow_redirects = follow_redirects
        self._before_redirect = before_redirect
        self._on_unasked = on_unasked
        self._on_died = on_died
        self._decompress = decompress
        self._repeat_stale = repeat_stale
        self._idle_timeout = idle_timeout
        self._keep_alive = keep_alive
        self._accept_encoding = accept_encoding() if decompress else "identity"
        self._pools: dict[UrlOrigin, OriginPool] = {}
        self._pool_by_text: dict[str, OriginPool] = {}
        # Runs often call one URL over and over, with a body that differs.
        self._last_url = ""
        self._last_located: tuple[OriginPool, str]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._repeats = self._opened_before = self._died_before = 0

    def __call__(self, request: Request, /) -> Coroutine[Any, Any, Response]:
        """Send `request` and return its complete answer."""
        return self._send(request, repeat=self._repeat_stale)

    def once(self, request: Request, /) -> Coroutine[Any, Any, Response]:
        """The same, but under no circumstances is it sent twice."""
        return self._send(request, repeat=False)

    async def _send(self, request: Request, *, repeat: bool) -> Response:
        pool, target = self._locate(request.url)
        data = pool.encoder.encode(request, target)
        connection = pool.take_idle() or await pool.acquire()
        # What _exchange does, for the case that needs none of its care: a coroutine less for nearly every call.
        future = connection.exchange(data, request)
        try:
            response = await future
        except BaseException as error:  # noqa: BLE001  # _failed raises it again, or calls once more
            redirects = self._follow_redirects
            return await self._failed(request, data, redirects, connection, future, error, repeat=repeat)
        if connection.stale and repeat and _may_repeat(request):
            return await self._repeated(request, data, self._follow_redirects)
        if self._follow_redirects and response.status in REDIRECTS:
            return await self._redirected(request, response)
        return response

    async def prepare(self, request: Request, /) -> PreparedRequest:
        """Reserve an open connection and build the bytes, so that sending takes no time of its own.

        Raises what the call itself would raise up to here.
        """
        pool, target = self._locate(request.url)
        data = pool.encoder.encode(request, target)
        connection = pool.take_idle() or await pool.acquire()
        exchange = functools.partial(self._exchange, request, data, self._follow_redirects)
        return PreparedRequest(exchange, pool, connection)

    def ready(self, request: Request, /) -> bool:
        """Whether a connection for `request` is open and free."""
        return self.ready_for(request.url)

    def ready_for(self, url: str, /) -> bool:
        """Whether a call to `url` that is made in this moment finds an open connection. Raises nothing."""
        if url and url == self._last_url:
            return self._last_located[0].has_idle()
        cut = url.find("/", 8)
        pool = self._pool_by_text.get(url[:cut]) if cut > 0 else None
        return pool is not None and pool.has_idle()

    async def aclose(self) -> None:
        """Close all connections. Calls under way end with ConnectionLost; later ones with UsageError."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        pools = [*self._pools.values()]
        self._pools.clear()
        self._pool_by_text.clear()
        self._last_url = ""
        await asyncio.gather(*(pool.aclose() for pool in pools))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def statistics(self) -> ClientStatistics:
        """Counts as of now."""
        pools = self._pools.values()
        return ClientStatistics(
            in_use=sum(p.in_use for p in pools),
            idle=sum(p.idle for p in pools),
            waiting=sum(p.waiting for p in pools),
            opened=self._opened_before + sum(p.opened for p in pools),
            repeated=self._repeats,
            died=self._died_before + sum(p.keep_alive.deaths for p in pools),
        )

    def __repr__(self) -> str:
        now = self.statistics()
        state = " closed" if self._closed else ""
        counts = f"{now.in_use} in use, {now.idle} idle, {now.waiting} waiting, {now.opened} opened"
        return f"<Client{state} {counts}>"

    async def _exchange(
        self,
        request: Request,
        data: bytes,
        redirects: int,
        connection: Connection,
        *,
        repeat: bool = False,
    ) -> Response:
        """One call on `connection`, whose slot is the caller's and is given back here in every case."""
        future = connection.exchange(data, request)
        try:
            response = await future
        except BaseException as error:  # noqa: BLE001  # _failed raises it again, or calls once more
            return await self._failed(request, data, redirects, connection, future, error, repeat=repeat)
        if connection.stale and repeat and _may_repeat(request):
            return await self._repeated(request, data, redirects)
        if redirects and response.status in REDIRECTS:
            return await self._redirected(request, response)
        return response

    async def _failed(
        self,
        request: Request,
        data: bytes,
        redirects: int,
        connection: Connection,
        future: asyncio.Future[Response],
        error: BaseException,
        *,
        repeat: bool,
    ) -> Response:
        """After an exchange that ended with `error`: call once more where nothing can have been processed."""
        connection.abandon(future)
        if not (repeat and isinstance(error, CallError) and connection.stale and _may_repeat(request)):
            raise error
        return await self._repeated(request, data, redirects)

    async def _repeated(self, request: Request, data: bytes, redirects: int) -> Response:
        """The answer on a connection that was never used, so that this happens once."""
        self._repeats += 1
        pool, _ = self._locate(request.url)
        return await self._exchange(request, data, redirects, await pool.acquire_new())

    async def _redirected(self, request: Request, response: Response) -> Response:
        """The answer at the end of the redirects that begin with `response`."""
        trail = RedirectTrail(request, self._follow_redirects)
        while (following := trail.next_request(request, response)) is not None:
            request = following
            if self._before_redirect is not None:
                await self._before_redirect()
            pool, target = self._locate(request.url)
            data = pool.encoder.encode(request, target)
            response = await self._exchange(request, data, 0, await pool.acquire(), repeat=self._repeat_stale)
        return response

    def _locate(self, url: str) -> tuple[OriginPool, str]:
        """The pool and the checked target. Parsing is left out for an origin that was called before."""
        if url == self._last_url:
            return self._last_located
        # No origin is shorter than "http://h", so this finds the slash that begins the path.
        cut = url.find("/", 8)
        pool = self._pool_by_text.get(url[:cut]) if cut > 0 else None
        if pool is None:
            return self._locate_new(url, cut)
        target = url[cut:]
        if "#" in target:
            target = target[: target.index("#")]
        self._last_located = located = (pool, checked_target(target))
        self._last_url = url
        return located

    def _locate_new(self, url: str, cut: int) -> tuple[OriginPool, str]:
        origin, target = split_url(url)
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = self._new_pool(origin)
        text = url[:cut]
        if cut > 0 and "?" not in text and "#" not in text:
            self._pool_by_text[text] = pool
        return pool, target

    def _new_pool(self, origin: UrlOrigin) -> OriginPool:
        self._check_usable()
        if len(self._pools) >= _MAX_KNOWN_ORIGINS or len(self._pool_by_text) >= 2 * _MAX_KNOWN_ORIGINS:
            self._forget_unused_pools()

        async def opener(pool: OriginPool) -> Connection:
            return await self._open(origin, pool)

        return OriginPool(
            RequestEncoder(origin, self._accept_encoding, keep_alive=self._keep_alive),
            opener,
            max_connections=self._max_connections,
            idle_timeout=self._idle_timeout,
            on_unasked=self._on_unasked,
            on_died=self._on_died,
            keep_alive=self._keep_alive,
        )

    def _forget_unused_pools(self) -> None:
        unused = {o: p for o, p in self._pools.items() if not (p.connections or p.in_use or p.waiting)}
        for origin, pool in unused.items():
            self._opened_before += pool.opened
            self._died_before += pool.keep_alive.deaths
            del self._pools[origin]
        self._pool_by_text.clear()
        self._last_url = ""

    async def _open(self, origin: UrlOrigin, pool: OriginPool) -> Connection:
        self._check_usable()
        if self._sweeper is None:
            self._schedule_sweep()

        def factory() -> Connection:
            return Connection(
                pool, str(origin), pool.heads, max_bytes=self._max_response_bytes, decompress=self._decompress
            )

        tls = None
        if origin.scheme == "https":
            self._tls = tls = self._tls or client_tls()
        connection = await dial(origin, tls, self._connect_timeout, factory)
        if self._closed:
            connection.abort()
            self._check_usable()
        return connection

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError("the client is closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise UsageError("this client belongs to another event loop: make one for each loop")
            self._loop = loop

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(self._idle_timeout / 4, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for pool in self._pools.values():
            pool.close_expired()
        # Also while one is being opened: nothing else would begin to sweep when it is there.
        if any(pool.connections or pool.in_use for pool in self._pools.values()):
            self._schedule_sweep()


def check_numbers(
    max_connections: int | None, connect_timeout: float, idle_timeout: float, max_response_bytes: int, redirects: int
) -> None:
    """Raise UsageError for options of a client that make no sense."""
    if max_connections is not None and max_connections < 1:
        raise UsageError("max_connections_per_origin must be at least 1, or None for no limit")
    if not connect_timeout > 0 or not idle_timeout > 0:
        raise UsageError("connect_timeout and idle_timeout must be more than 0 seconds")
    if max_response_bytes < 0 or redirects < 0:
        raise UsageError("max_response_bytes and follow_redirects cannot be negative")


def _may_repeat(request: Request) -> bool:
    return request.method in _IDEMPOTENT or "idempotency-key" in request.headers
