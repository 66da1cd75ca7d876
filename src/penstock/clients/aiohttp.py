"""aiohttp as a Call: for what the wire does not do, such as going through a proxy.

Bodies, caps, content codings and redirects are handled by the same code as on the wire, so that both clients
give the same answers and the same errors.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..call import AnyClient, Unprepared
from ..errors import (
    CallError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    DnsError,
    ProtocolError,
    ResponseTooLarge,
    Sent,
    TlsError,
    UsageError,
)
from ..extras import how_to_install
from ..messages import Request, Response
from ..wire.client import check_numbers
from ..wire.content_coding import accept_encoding, decode
from ..wire.reasons import reason_of, tls_reason_of
from ..wire.redirects import RedirectTrail
from ..wire.request_bytes import USER_AGENT, check_request
from ..wire.response_reader import MAX_HEAD_BYTES
from ..wire.url import split_url

if TYPE_CHECKING:
    import aiohttp


class AiohttpClient(AnyClient[Request, Response]):
    """An HTTP client on aiohttp for one event loop: `response = await client(request)`.

    The options are those of `penstock.wire.Client`, in seconds and bytes, and `proxy`: the URL of an HTTP
    proxy, used for every call. Raises the same errors; UsageError where aiohttp is not installed. aiohttp
    parses less strictly (it lets white space before a colon pass), sends an idempotent request a second
    time by rules of its own, and does not find out who closes kept connections: `keep_alive=False` helps.
    """

    prepares = False

    def __init__(
        self,
        *,
        max_connections_per_origin: int | None = None,
        connect_timeout: float = 10.0,
        max_response_bytes: int = 64 * 1024 * 1024,
        tls: ssl.SSLContext | None = None,
        follow_redirects: int = 0,
        before_redirect: Callable[[], Awaitable[object]] | None = None,
        decompress: bool = True,
        idle_timeout: float = 15.0,
        keep_alive: bool = True,
        proxy: str | None = None,
    ) -> None:
        try:
            import aiohttp
        except ImportError as error:
            raise UsageError(f"this client needs aiohttp: {how_to_install('aiohttp')}") from error
        check_numbers(max_connections_per_origin, connect_timeout, idle_timeout, max_response_bytes, follow_redirects)
        self._aiohttp = aiohttp
        self._max_connections = max_connections_per_origin
        self._connect_timeout = connect_timeout
        self._max_response_bytes = max_response_bytes
        self._tls = tls
        self._follow_redirects = follow_redirects
        self._before_redirect = before_redirect
        self._decompress = decompress
        self._accept_encoding = accept_encoding() if decompress else "identity"
        self._idle_timeout = idle_timeout
        self._keep_alive = keep_alive
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._in_use = 0

    async def __call__(self, request: Request, /) -> Response:
        """Send `request` and return its complete answer."""
        response = await self._send(request)
        if self._follow_redirects and 300 <= response.status < 400:
            trail = RedirectTrail(request, self._follow_redirects)
            while (following := trail.next_request(request, response)) is not None:
                request = following
                if self._before_redirect is not None:
                    await self._before_redirect()
                response = await self._send(request)
        return response

    async def once(self, request: Request, /) -> Response:
        """The same: whether a request goes out a second time is not ours to say."""
        return await self(request)

    def ready(self, request: Request, /) -> bool:
        """True: what opens a connection does so within the call."""
        return True

    def ready_for(self, url: str, /) -> bool:
        """True, as for `ready`."""
        return True

    async def prepare(self, request: Request, /) -> Unprepared[Request, Response]:
        """Nothing is done before the send."""
        return Unprepared(self, request)

    async def aclose(self) -> None:
        """Close all connections; later calls raise UsageError."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AiohttpClient{' closed' if self._closed else ''} {self._in_use} in use>"

    async def _send(self, request: Request) -> Response:
        origin, _ = split_url(request.url)
        check_request(request.method, request.headers)
        self._in_use += 1
        try:
            return await self._exchange(request)
        except self._aiohttp.ClientError as error:
            raise self._translated(error, str(origin)) from error
        except TimeoutError as error:
            # The only timeout aiohttp is given; one from outside arrives here as a cancellation.
            message = f"{origin}: no connection within {self._connect_timeout:g} s"
            raise ConnectTimeout(message) from error
        except OSError as error:
            raise ConnectionLost(f"{origin}: connection lost ({error})", sent=Sent.UNKNOWN) from error
        finally:
            self._in_use -= 1

    async def _exchange(self, request: Request) -> Response:
        from yarl import URL

        async with self._open_session().request(
            request.method,
            URL(request.url.split("#", 1)[0], encoded=True),
            headers=self._fields(request),
            data=request.body or None,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            proxy=self._proxy,
        ) as answer:
            if answer.status == 101:
                raise ProtocolError(f"{answer.host} answered with status 101, which was not asked for")
            body = await self._read(answer)
            if request.headers.get("connection"):
                # Asked to close, so it is not used again whatever the peer does.
                answer.close()
            if body and self._decompress:
                coding = ",".join(answer.headers.getall("Content-Encoding", []))
                body = decode(coding, body, self._max_response_bytes)
            return Response(
                answer.status, body=body, url=request.url, raw_headers=[(n, v) for n, v in answer.raw_headers]
            )

    def _fields(self, request: Request) -> list[tuple[str, str]]:
        fields = list(request.headers)
        given = {name.lower() for name, _ in fields}
        ours = {"User-Agent": USER_AGENT, "Accept-Encoding": self._accept_encoding}
        fields += [(name, value) for name, value in ours.items() if name.lower() not in given]
        return fields

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > self._max_response_bytes:
                answer.close()
                cap = self._max_response_bytes
                message = f"{answer.host} answered with a body over the cap of {cap} bytes"
                raise ResponseTooLarge(message, sent=Sent.YES)
        return bytes(body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise UsageError("the client is closed")
        if self._session is None:
            aiohttp = self._aiohttp
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    limit_per_host=self._max_connections or 0,
                    # It refuses a time where it closes each connection anyway.
                    keepalive_timeout=self._idle_timeout if self._keep_alive else None,
                    force_close=not self._keep_alive,
                    ssl=self._tls if self._tls is not None else True,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
                auto_decompress=False,
                max_line_size=MAX_HEAD_BYTES,
                max_field_size=MAX_HEAD_BYTES,
            )
        return self._session

    def _translated(self, error: aiohttp.ClientError, origin: str) -> CallError:
        """Our error for theirs, from the most special class to the most general."""
        a = self._aiohttp
        if isinstance(error, a.ClientConnectorDNSError):
            return DnsError(f"{origin}: the host name has no address ({error.os_error})")
        if isinstance(error, a.ClientSSLError):
            return TlsError(f"{origin}: the TLS handshake failed ({tls_reason_of(getattr(error, 'os_error', error))})")
        if isinstance(error, a.ClientProxyConnectionError | a.ClientHttpProxyError):
            return ConnectError(f"{origin}: no connection through the proxy")
        if isinstance(error, a.ServerTimeoutError):
            return ConnectTimeout(f"{origin}: no connection within {self._connect_timeout:g} s")
        if isinstance(error, a.ClientConnectorError):
            return ConnectError(f"{origin}: no connection ({reason_of(error.os_error)})")
        if isinstance(error, a.ClientPayloadError):
            return self._broken_body(error, origin)
        if isinstance(error, a.ClientResponseError):
            return ProtocolError(f"{origin} sent what is not HTTP/1.1 ({error.message})", sent=Sent.YES)
        return ConnectionLost(f"{origin}: closed the connection before any answer", sent=Sent.UNKNOWN)

    def _broken_body(self, error: aiohttp.ClientPayloadError, origin: str) -> CallError:
        cause = error.__cause__
        cut_short = isinstance(cause, self._aiohttp.http_exceptions.ContentLengthError) or cause is None
        if cut_short or "Not enough data" in str(cause) or isinstance(cause, OSError):
            message = f"{origin}: closed the connection in the middle of an answer"
            return ConnectionLost(message, sent=Sent.YES)
        return ProtocolError(f"{origin} sent a body that is not HTTP/1.1", sent=Sent.YES)
