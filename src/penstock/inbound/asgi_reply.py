"""An answer on its way to an ASGI server: the engine writes without waiting, and one coroutine sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..errors import ConnectionLost, Sent
from ..messages import RawFields

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HIGH = 64 * 1024
_BODILESS = frozenset({204, 304})


class AsgiReply:
    """A Reply. Call `deliver` once, in the request's own task."""

    __slots__ = (
        "_broken",
        "_finished",
        "_head_only",
        "_held",
        "_messages",
        "_wake",
        "on_closed",
        "on_resumed",
        "status",
    )

    def __init__(self, *, head_only: bool) -> None:
        self._head_only = head_only
        self._messages: deque[Message] = deque()
        self._held = 0
        self._finished = False
        self._broken = False
        self._wake: asyncio.Future[None] | None = None
        self.status = 0
        self.on_resumed: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None

    @property
    def paused(self) -> bool:
        """See Reply."""
        return self._held > _HIGH

    def interim(self, status: int, reason: bytes, fields: RawFields) -> None:
        """See Reply. ASGI has no interim responses."""

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        """See Reply."""
        length = len(body) if body or not self._head_only else None
        self._start(status, fields, length)
        if self._head_only or status in _BODILESS:
            body = b""
        self._messages.append({"type": "http.response.body", "body": body})
        self._held += len(body)
        self._finish()

    def start(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """See Reply."""
        self._start(status, fields, None if self._head_only else length)
        self._notify()

    def write(self, chunk: bytes) -> None:
        """See Reply."""
        if self._finished or self._head_only or not chunk:
            return
        self._held += len(chunk)
        self._messages.append({"type": "http.response.body", "body": chunk, "more_body": True})
        self._notify()

    def end(self) -> None:
        """See Reply."""
        if not self._finished:
            self._messages.append({"type": "http.response.body", "body": b""})
            self._finish()

    def abort(self) -> None:
        """See Reply: `deliver` raises, and the server breaks the transfer off."""
        self._broken = True
        self._finish()

    async def deliver(self, receive: Receive, send: Send) -> None:
        """Send the answer as it comes. Raises ConnectionLost where it ends before it is complete."""
        if self._finished and not self._broken:
            # A hit: all of it is here, and nothing can be waited for.
            for message in self._messages:
                await send(message)
            return
        listener = asyncio.get_running_loop().create_task(_until_disconnected(receive))
        listener.add_done_callback(self._client_gone)
        try:
            await self._send_all(send)
        finally:
            listener.remove_done_callback(self._client_gone)
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener
            self._closed()

    async def _send_all(self, send: Send) -> None:
        while True:
            while self._messages:
                message = self._messages.popleft()
                await send(message)
                was_paused = self.paused
                self._held -= len(message.get("body", b""))
                if was_paused and not self.paused and self.on_resumed is not None:
                    self.on_resumed()
            if self._broken:
                raise ConnectionLost("the app failed in the middle of its answer", sent=Sent.YES)
            if self._finished:
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def _start(self, status: int, fields: RawFields, length: int | None) -> None:
        self.status = status
        if length is not None and status not in _BODILESS:
            fields = [*fields, (b"content-length", b"%d" % length)]
        self._messages.append({"type": "http.response.start", "status": status, "headers": fields})

    def _finish(self) -> None:
        self._finished = True
        self._notify()

    def _notify(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    def _client_gone(self, listener: asyncio.Task[None]) -> None:
        if not listener.cancelled() and listener.exception() is None and not self._finished:
            # What is sent from now on goes nowhere; the server takes it and drops it.
            self._messages.clear()
            self._finish()
            self._closed()

    def _closed(self) -> None:
        on_closed, self.on_closed = self.on_closed, None
        if on_closed is not None:
            on_closed()


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
