"""One request and its answer, as the handler sees them.

An object per request and not the connection itself: a handler that holds on to one for too long then talks to
nobody, instead of into the answer to the next request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...errors import UsageError
from .answer_bytes import CONTINUE, Fields, answer_head, length_in, plain_answer
from .request_reader import RequestHead

_NEW, _STARTED, _DONE = range(3)
OnAnswered = Callable[["ServerExchange | None", int, int, str], None]
"""The exchange (None for a request that was refused), its status (0 if none was sent), the bytes handed to the
transport, and the client's address."""
OnKnown = Callable[[bytes, bytes, str], None]
"""The bytes of a request that the handler knew, those of its answer, and the client's address."""
_WITHOUT_BODY = frozenset({204, 304})


class Handler(Protocol):
    """Who answers."""

    def known(self, data: bytes) -> bytes | None:
        """The whole answer to the request whose bytes are `data`, or None to have it parsed.

        `data` is anything that arrived. Answer only what `ServerExchange.raw` once was, byte for byte: such a request
        has no body and leaves the connection open, and so must the answer. Reported to `on_known`, not `on_answered`.
        """
        ...

    def begin(self, exchange: ServerExchange) -> None:
        """Answer, now or later. An exception is logged and answered with 500."""
        ...


class Channel(Protocol):
    """What an exchange needs of its connection."""

    client: str
    tls: bool
    paused: bool

    def send(self, data: bytes) -> None:
        """Write."""
        ...

    def send_parts(self, *parts: bytes) -> int:
        """Write, without putting large parts together; returns how many bytes that are."""
        ...

    def must_close(self, exchange: ServerExchange) -> bool:
        """Whether no request can follow this one."""
        ...

    def pump(self) -> None:
        """Hand over what there is of the request body."""
        ...

    def finished(self, exchange: ServerExchange, *, close: bool) -> None:
        """The answer was written."""
        ...

    def abort(self) -> None:
        """Reset the connection."""
        ...


class ServerExchange:
    """Answer with `respond`, or with `start`, `write` and `end`. Calls after `closed` do nothing."""

    __slots__ = (
        "_body_ended",
        "_channel",
        "_chunked",
        "_close",
        "_left",
        "_state",
        "_without_body",
        "body_paused",
        "bytes_sent",
        "client",
        "closed",
        "context",
        "continued",
        "fields",
        "head",
        "head_bytes",
        "on_closed",
        "on_data",
        "on_end",
        "on_head",
        "on_over",
        "on_resumed",
        "raw",
        "status",
        "tls",
    )

    def __init__(self, channel: Channel, head: RequestHead, raw: bytes | None) -> None:
        self._channel = channel
        self.client = channel.client
        """The client's address, without its port; empty where it has none (Unix sockets)."""
        self.tls = channel.tls
        """Whether the connection is encrypted."""
        self.head = head
        self.raw = raw
        """The bytes of the request, if it has no body and keeps the connection: see `Handler.known`."""
        self.on_resumed: Callable[[], None] | None = None
        """Called when `paused` is False again."""
        self.on_closed: Callable[[], None] | None = None
        """Called once if the connection is gone before the answer is complete (not after `abort`)."""
        self.on_over: Callable[[], None] | None = None
        """Called once at the end, whatever it is: the answer is complete, was broken off, or the connection is gone."""
        self.on_head: Callable[[], None] | None = None
        """Called once when the answer begins, just before its head is written."""
        self.on_data: Callable[[bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self.body_paused = False
        self.closed = False
        """The answer can no longer reach the client."""
        self.continued = False
        """100 (Continue) was sent, or the client did not wait for it."""
        self.status = 0
        """Of the answer; 0 before it."""
        self.bytes_sent = 0
        """Handed to the transport, with the head."""
        self.head_bytes = 0
        """Of the answer's head, which is part of `bytes_sent`."""
        self.fields: Fields = ()
        """Of the answer, as the handler gave them."""
        self.context: object = None
        """What the handler wants to know at the end."""
        self._state = _NEW
        self._chunked = False
        self._left: int | None = None
        self._close = False
        self._without_body = False
        self._body_ended = False

    @property
    def paused(self) -> bool:
        """The client takes the answer too slowly: write no more until `on_resumed`."""
        return self._channel.paused

    @property
    def started(self) -> bool:
        """A final head was sent: the status cannot be changed any more."""
        return self._state != _NEW

    @property
    def done(self) -> bool:
        """The answer is complete, or will never be."""
        return self._state == _DONE

    def respond(self, status: int, reason: bytes, fields: Fields, body: bytes) -> None:
        """Send a whole answer. To HEAD, and with 204 and 304, `body` is not sent.

        Raises UsageError if an answer was begun, or its head would not be one.
        """
        if not self._may_begin(status):
            return
        head = self._head(status, reason, fields, len(body), sized=bool(body))
        self.head_bytes = len(head)
        self._state = _STARTED
        self.bytes_sent = self._channel.send_parts(head, b"" if self._without_body else body)
        self._finish()

    def interim(self, status: int, reason: bytes, fields: Fields) -> None:
        """Send a 1xx other than 101; not sent to HTTP/1.0 (RFC 9110, 15.2). Raises UsageError after a final head."""
        if self.closed:
            return
        if self._state != _NEW or not 100 <= status < 200 or status == 101:
            raise UsageError(f"{status} cannot be sent here as an interim answer")
        if self.head.http_1_0:
            return
        if status == 100:
            if self.continued:
                return
            self.continued = True
        self._channel.send(answer_head(status, reason, fields, b""))

    def start(self, status: int, reason: bytes, fields: Fields, length: int | None) -> None:
        """Send a head; a body of `length` bytes follows, None where that is not known.

        Raises UsageError if an answer was begun, or its head would not be one.
        """
        if not self._may_begin(status):
            return
        head = self._head(status, reason, fields, length, sized=length is not None)
        self._state = _STARTED
        self._left = length
        self.bytes_sent = self.head_bytes = self._channel.send_parts(head)

    def write(self, chunk: bytes) -> None:
        """Send a piece of the body. Raises UsageError before `start`, or for more than the length said there."""
        if self.closed:
            return
        if self._state != _STARTED:
            raise UsageError("write belongs between start and end")
        if self._without_body or not chunk:
            return
        if self._left is not None:
            if len(chunk) > self._left:
                self.abort()
                raise UsageError("the body is longer than was said")
            self._left -= len(chunk)
        if self._chunked:
            self.bytes_sent += self._channel.send_parts(b"%x\r\n" % len(chunk), chunk, b"\r\n")
        else:
            self.bytes_sent += self._channel.send_parts(chunk)

    def end(self) -> None:
        """The answer is complete. One that is shorter than was said is broken off. Raises UsageError before `start`."""
        if self.closed:
            return
        if self._state != _STARTED:
            raise UsageError("end belongs after start")
        if self._left and not self._without_body:
            self.abort()
            return
        if self._chunked:
            self.bytes_sent += self._channel.send_parts(b"0\r\n\r\n")
        self._finish()

    def abort(self) -> None:
        """Break the answer off, so that it cannot be taken for a complete one: the connection is reset."""
        if self._state == _DONE:
            return
        self._state = _DONE
        self.closed = True
        self._over()
        self._channel.abort()
        self._channel.finished(self, close=True)

    def receive_body(self, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Have the request body, of which nothing was lost before. Sends 100 (Continue) where the client waits for it.

        The callbacks are called from here and later; `on_end` only if the body came to its end.
        """
        if self.closed or self._state == _DONE:
            return
        self.on_data = on_data
        self.on_end = on_end
        head = self.head
        if head.expect_continue and head.has_body and not self.continued and self._state == _NEW:
            self.continued = True
            self._channel.send(CONTINUE)
        self._channel.pump()

    def pause_body(self) -> None:
        """Hand over no more of the body; the client is then read from up to a bound only."""
        self.body_paused = True
        if not self.closed and self._state != _DONE:
            self._channel.pump()

    def resume_body(self) -> None:
        """The opposite of `pause_body`."""
        if self.body_paused:
            self.body_paused = False
            if not self.closed and self._state != _DONE:
                self._channel.pump()

    # For an answer that another server has made and framed.

    def relay(self, data: bytes) -> None:
        """Send bytes of it."""
        if not self.closed:
            self._state = _STARTED
            self.bytes_sent += self._channel.send_parts(data)

    def relayed(self, *, close: bool) -> None:
        """All of it was sent."""
        if self._state != _DONE:
            self._close = close or self._channel.must_close(self)
            self._finish()

    # For the connection.

    def body_ended(self) -> None:
        """The request body is complete."""
        if not self._body_ended:
            self._body_ended = True
            if self.on_end is not None:
                self.on_end()

    def fail(self, status: int, text: str) -> None:
        """Answer with `status` and close, or break off what was begun."""
        if self._state == _NEW:
            self._state = _DONE
            self._over()
            self.status = status
            self._close = True
            self.bytes_sent = self._channel.send_parts(
                plain_answer(status, text, head_only=self.head.method == b"HEAD")
            )
            self._channel.finished(self, close=True)
        else:
            self.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._state = _DONE
        self.closed = True
        self._over()

    def _may_begin(self, status: int) -> bool:
        if self.closed:
            return False
        if self._state != _NEW:
            raise UsageError("a request has one answer")
        if status < 200:
            raise UsageError(f"{status} is not a final status")
        return True

    def _head(self, status: int, reason: bytes, fields: Fields, length: int | None, *, sized: bool) -> bytes:
        head = self.head
        self._without_body = head.method == b"HEAD" or status in _WITHOUT_BODY
        close = self._channel.must_close(self)
        framing = b""
        chunked = False
        if self._without_body:
            # RFC 9110, 8.6: what the answer to GET would have; never with 204.
            if not sized or status == 304:
                length = length_in(fields)
            if status == 204:
                length = None
        elif length is None:
            chunked = not head.http_1_0
            close = close or not chunked
        if length is not None:
            framing = b"Content-Length: %d\r\n" % length
        elif chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        if close:
            framing += b"Connection: close\r\n"
        elif head.http_1_0:
            framing += b"Connection: keep-alive\r\n"
        data = answer_head(status, reason, fields, framing)
        self.status = status
        self.fields = fields
        if self.on_head is not None:
            self.on_head()
        self._close = close
        self._chunked = chunked
        return data

    def _over(self) -> None:
        on_over, self.on_over = self.on_over, None
        if on_over is not None:
            on_over()

    def _finish(self) -> None:
        self._state = _DONE
        if self.on_over is not None:
            self._over()
        self._channel.finished(self, close=self._close)
