"""One connection: an asyncio protocol that carries one exchange at a time.

An exchange is one write and one future. Its end is settled inside the loop's own callback, where the
connection goes back to the pool at once: the waiting task may be cancelled at any moment without losing it.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import Protocol, cast

from ..errors import CallError, ConnectionLost, Sent, TlsError
from ..messages import Request, Response
from .content_coding import decode
from .known_heads import KnownHeads
from .reasons import reason_of, tls_reason_of
from .response_reader import END_OF_HEAD, GOODBYE, ResponseReader

# Below this the request is certainly in the kernel when its answer is complete; above, it is checked.
_SURELY_SENT = 8 * 1024
_END = len(END_OF_HEAD)
_NO_REQUEST = Request("GET", "")
_GOODBYES = (b"HTTP/1.1 %d " % GOODBYE, b"HTTP/1.0 %d " % GOODBYE)


class ConnectionKeeper(Protocol):
    """Who a connection reports to: its pool."""

    def finished(self, connection: Connection) -> None:
        """The exchange is over; `connection.closed` says whether it can be used again."""
        ...

    def made(self, connection: Connection) -> None:
        """The transport is open; `gone` will be called for it."""
        ...

    def lost(self, connection: Connection) -> None:
        """The connection closed while no exchange was going on."""
        ...

    def gone(self, connection: Connection) -> None:
        """The transport is closed for good."""
        ...

    def unasked(self, connection: Connection) -> None:
        """The peer answered what nobody asked; `lost` will be called, too."""
        ...


class Connection(asyncio.Protocol):
    """Made for the loop's create_connection; `peer` is what messages call the other side."""

    __slots__ = (
        "_create_future",
        "_future",
        "_heads",
        "_keeper",
        "_large",
        "_max_bytes",
        "_reader",
        "_request",
        "_transport",
        "_unanswered",
        "closed",
        "decompress",
        "exchanges",
        "idle_since",
        "keep_alive_seconds",
        "peer",
        "stale",
        "usable_until",
    )

    def __init__(
        self,
        keeper: ConnectionKeeper,
        peer: str,
        heads: KnownHeads,
        *,
        max_bytes: int,
        decompress: bool,
    ) -> None:
        self._keeper = keeper
        self.peer = peer
        self._heads = heads
        self._max_bytes = max_bytes
        self.decompress = decompress
        self._create_future = asyncio.get_running_loop().create_future
        self._reader = ResponseReader(peer, max_bytes)
        self._transport: asyncio.Transport | None = None
        self._future: asyncio.Future[Response] | None = None
        self._request: Request = _NO_REQUEST
        self._large = False
        self._unanswered = False
        self.closed = False
        """No exchange can begin here any more."""
        self.exchanges = 0
        self.stale = False
        """The last exchange was not the first here, and the peer closed with no answer or with nothing but a goodbye.

        So looks a keep-alive connection that the peer closed while the request was on its way (RFC 9110, 15.5.9).
        """
        self.keep_alive_seconds: float | None = None
        """How long the peer said it keeps an idle connection."""
        self.idle_since = math.inf
        """When the last answer ended, on the loop's clock; infinite where the next exchange follows at once."""
        self.usable_until = math.inf
        """On the loop's clock; written and read by the pool, as `idle_since`."""

    def exchange(self, data: bytes, request: Request) -> asyncio.Future[Response]:
        """Write `data`, which is `request`, and return the future of its answer.

        Not to be called while another exchange is going on.
        """
        transport = self._transport
        assert transport is not None
        self._future = future = self._create_future()
        self._request = request
        self._unanswered = True
        self.exchanges += 1
        self._large = len(data) > _SURELY_SENT
        transport.write(data)
        return future

    def abandon(self, future: asyncio.Future[Response]) -> None:
        """The task waiting for `future` was cancelled. Nothing to do where the exchange had just ended."""
        if self._future is future:
            self._future = None
            self.abort()
            self._keeper.finished(self)

    def close(self) -> None:
        """Close an idle connection (with TLS, telling the peer first)."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now; what is not written yet is dropped."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def discard(self) -> None:
        """Close now a connection whose opening has failed or was cancelled.

        Some loops open the transport even after that; uvloop closes it without a call of `connection_lost`.
        """
        self.abort()
        self._keeper.gone(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        # uvloop's transports do not derive from asyncio.Transport, so isinstance cannot be asked.
        self._transport = cast("asyncio.Transport", transport)
        self._keeper.made(self)
        if self.closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the loop: look the head up among the known ones, or else parse."""
        if self._future is None:
            self._drop_unasked(data)
            return
        first = self._unanswered
        self._unanswered = False
        heads = self._heads
        if first and heads.table is not None:
            end = data.find(END_OF_HEAD) + _END
            head = heads.table.get(data[:end])
            if head is not None and len(data) - end == head.length and self._request.method != "HEAD":
                heads.hits += 1
                self.keep_alive_seconds = head.keep_alive_seconds
                self._answer(head.status, head.headers, data[end:], head.coding)
                return
        self._read(data, first)

    def eof_received(self) -> None:
        """Called by the loop: the peer has closed. This ends some bodies; for all else it is a loss."""
        if self._future is not None and not self._unanswered and self._reader.feed_eof():
            self._spent(self._reader)
            self._answer_read()
        else:
            self._lose(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: the transport is closed."""
        self._lose(exc)
        self._reader.forget_parser()
        self._keeper.gone(self)

    def _read(self, data: bytes, first: bool) -> None:
        reader = self._reader
        if first:
            reader.begin(head_only=self._request.method == "HEAD")
        try:
            complete = reader.feed(data)
        except CallError as error:
            self._fail(error)
            return
        if not complete:
            return
        if reader.surplus or not reader.keep_alive:
            self._spent(reader)
        elif first and self._request.method != "HEAD":
            self._heads.learn(data, reader)
        self._answer_read()

    def _answer_read(self) -> None:
        reader = self._reader
        self.keep_alive_seconds = reader.keep_alive_seconds
        self._answer(reader.status, reader.headers, reader.take_body(), reader.coding)

    def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, coding: str) -> None:
        future = self._future
        assert future is not None
        if coding and self.decompress and body:
            try:
                body = decode(coding, body, self._max_bytes)
            except CallError as error:
                self._fail(type(error)(f"{self.peer}: {error}", sent=error.sent))
                return
        if self._large and self._transport is not None and self._transport.get_write_buffer_size():
            # Answered before all was sent: the rest of the request would be read as the next one.
            self.abort()
        url = self._request.url
        self._future = None
        # An idle connection must not hold on to a large body.
        self._request = _NO_REQUEST
        self._keeper.finished(self)
        if not future.done():
            future.set_result(Response(status, (), body, url=url, raw_headers=headers))

    def _fail(self, error: CallError) -> None:
        future = self._future
        self._future = None
        self.abort()
        self._keeper.finished(self)
        if future is not None and not future.done():
            future.set_exception(error)

    def _lose(self, exc: Exception | None) -> None:
        if self._future is None:
            self._drop_idle()
        else:
            self._fail(self._loss(exc))

    def _loss(self, exc: Exception | None) -> CallError:
        if self.closed:
            reason = "the client was closed"
        else:
            reason = "closed the connection" if exc is None else f"connection lost ({reason_of(exc)})"
            self.stale = self._unanswered and self.exchanges > 1
        if not self._unanswered:
            return ConnectionLost(f"{self.peer}: {reason} in the middle of an answer", sent=Sent.YES)
        if isinstance(exc, ssl.SSLError) and self.exchanges == 1:
            # With TLS 1.3 the peer refuses our certificate only after our side of the handshake is done.
            return TlsError(f"{self.peer}: TLS was refused ({tls_reason_of(exc)})", sent=Sent.UNKNOWN)
        return ConnectionLost(f"{self.peer}: {reason} before any answer", sent=Sent.UNKNOWN)

    def _spent(self, reader: ResponseReader) -> None:
        """Close after an answer that was the last here, or that was not all that came."""
        self.abort()
        if reader.unasked and reader.keep_alive:
            self._keeper.unasked(self)
        self.stale = self._is_goodbye(reader)

    def _is_goodbye(self, reader: ResponseReader) -> bool:
        """Whether what came was said to an idle connection, and not to the request that crossed it on the way."""
        return reader.status == GOODBYE and not reader.keep_alive and self.exchanges > 1

    def _drop_unasked(self, data: bytes) -> None:
        """Bytes on an idle connection: if it were kept, they would be taken for the answer to the next request.

        Nothing but blanks, and a goodbye, say nothing of the next time: such a peer just closes.
        """
        if not self.closed and data.strip() and not data.startswith(_GOODBYES):
            self._keeper.unasked(self)
        self._drop_idle()

    def _drop_idle(self) -> None:
        if not self.closed:
            self.abort()
            self._keeper.lost(self)
