"""Answers over ASGI: what the engine says at once is sent as fast as the server takes it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from ...errors import ConnectionLost
from ...messages import RawFields
from .request import Message, Receive, Send

_LOG = logging.getLogger("penstock.cache")
_AHEAD = 64 * 1024
"""Bytes that may wait for a slow client before the flight is told."""
_MOST_MESSAGES = 16
"""Before the disconnect, of a request without a body. A server that says more does not wait for one; then only `send`
shows that the client has gone. To listen on could take the loop for good."""
_BODILESS = frozenset({204, 304})


class AsgiReply:
    """A ClientReply. The engine fills it in; the coroutine of the request sends what is there: `deliver`.

    `failing` is where the app's exception is while its failure is made known (see AppOrigin): answers that come out
    of that say what happened (`error`).
    """

    __slots__ = (
        "_ahead",
        "_body",
        "_done",
        "_failing",
        "_head",
        "_head_only",
        "_waiter",
        "broken",
        "error",
        "is_closed",
        "is_whole",
        "on_closed",
        "on_resumed",
        "paused",
    )

    def __init__(self, failing: list[BaseException], *, head_only: bool) -> None:
        self._failing = failing
        self._head_only = head_only
        self._head: Message | None = None
        self._body: deque[bytes] = deque()
        self._ahead = 0
        self._done = False
        self.is_closed = False
        """The client has gone before its answer was complete."""
        self.is_whole = False
        """Everything is there, so it can be sent in one go."""
        self.paused = False
        """The client is slow: write no more until `on_resumed` is called."""
        self._waiter: asyncio.Future[None] | None = None
        self.broken = False
        """The answer will not be complete."""
        self.error: BaseException | None = None
        """Why there is no answer of the app's."""
        self.on_resumed: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None

    # What the engine calls.

    def interim(self, status: int, reason: bytes, fields: RawFields) -> None:
        """ASGI has no 1xx responses, so it is dropped."""

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        """Send a whole answer. To HEAD, and with 204 and 304, `body` is not sent."""
        if self._failing and not _is_hit(fields):
            self.error = self._failing[-1]
        if status in _BODILESS:
            body = b""
        elif body or not self._head_only:
            # Only of an answer to HEAD can the length be in the fields already: where the body is not known here.
            fields.append((b"content-length", b"%d" % len(body)))
        self._head = {"type": "http.response.start", "status": status, "headers": fields}
        if body and not self._head_only:
            self._body.append(body)
        self.is_whole = self.error is None
        self._done = True
        # A hit is there before anybody waits.
        if self._waiter is not None:
            self._wake()

    def start(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """Send a head; `length` bytes of body will follow, or an unknown number (None)."""
        if length is not None and status not in _BODILESS and not self._head_only:
            fields.append((b"content-length", b"%d" % length))
        self._head = {"type": "http.response.start", "status": status, "headers": fields}
        self._wake()

    def write(self, chunk: bytes) -> None:
        """Send a piece of the body; not to HEAD."""
        if not self._head_only:
            self._body.append(chunk)
            self._ahead += len(chunk)
            self.paused = self._ahead > _AHEAD
            self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._finish()

    def abort(self) -> None:
        """Break off: `deliver` sends what is there and then raises, at which servers break off the transfer."""
        if self._failing:
            self.error = self._failing[-1]
        self.broken = True
        self._finish()

    def _finish(self) -> None:
        self._done = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the request's coroutine calls.

    async def send_whole(self, send: Send) -> None:
        """Send an answer that `is_whole`. A client that has gone is no error."""
        try:
            assert self._head is not None
            await send(self._head)
            await send({"type": "http.response.body", "body": self._body[0] if self._body else b""})
        except OSError:
            # How ASGI 2.4 says that the client has gone.
            return

    async def deliver(self, receive: Receive, send: Send, own_error: Callable[[], BaseException | None]) -> None:
        """Send the answer while it comes, until it is complete or the client has gone.

        Where the app failed: returns, if that is what `own_error` says, since it will be raised; others get a 500.
        Raises ConnectionLost for an answer that broke off, and what `send` raises other than OSError.
        """
        watcher = asyncio.ensure_future(self._watch(receive))
        try:
            await self._send_all(send, own_error)
        except OSError:
            self._leave()
        except BaseException:
            self._leave()
            raise
        finally:
            watcher.cancel()

    async def _send_all(self, send: Send, own_error: Callable[[], BaseException | None]) -> None:
        while self._head is None:
            await self._more()
            if self.is_closed:
                return
        if self.error is not None and not self.broken:
            if self.error is not own_error():
                await _send_error(send)
            return
        await send(self._head)
        while not self.is_closed:
            if self._body:
                chunk = self._body.popleft()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._sent(len(chunk))
            elif self._done:
                break
            else:
                await self._more()
        if self.is_closed:
            return
        if not self.broken:
            await send({"type": "http.response.body", "body": b""})
        elif self.error is None or self.error is not own_error():
            raise ConnectionLost("the application broke off its answer")

    def _sent(self, size: int) -> None:
        was_paused = self.paused
        self._ahead -= size
        self.paused = self._ahead > _AHEAD
        if was_paused and not self.paused and self.on_resumed is not None:
            self.on_resumed()

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _watch(self, receive: Receive) -> None:
        try:
            for _ in range(_MOST_MESSAGES):
                if (await receive())["type"] == "http.disconnect":
                    self._leave()
                    return
        except Exception:  # noqa: BLE001  # whatever a server raises here, the answer goes on
            _LOG.debug("the server cannot say whether the client is there", exc_info=True)

    def _leave(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if not self._done and self.on_closed is not None:
            self.on_closed()
        self._wake()


def _is_hit(fields: RawFields) -> bool:
    return any(name == b"cache-status" and b"; hit" in value for name, value in fields)


async def _send_error(send: Send) -> None:
    body = b"Internal Server Error"
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 500, "headers": fields})
    await send({"type": "http.response.body", "body": body})
