"""The app behind the middleware, as an Origin: each fetch is one call of it, in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..errors import ConnectionLost, Sent
from ..messages import RawFields
from ..wire.streams import Receiver
from .asgi_reply import Message, Receive, Send
from .ports import InboundRequest, Reply

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("penstock.cache")


class AsgiRequest(InboundRequest):
    """A request with the scope that it came in. `failure` is what the app raised for it."""

    __slots__ = ("failure", "scope")

    def __init__(self, scope: Scope, fields: dict[bytes, bytes], host: bytes, target: bytes) -> None:
        client = scope.get("client")
        super().__init__(
            scope["method"].encode("ascii"),
            scope["scheme"].encode("ascii"),
            host,
            target,
            fields,
            scope["headers"],
            client=client[0] if client else "",
        )
        self.scope = scope
        self.failure: BaseException | None = None


class AsgiOrigin:
    """Calls `app`. A fetch goes on when its client leaves, and so do the app's background tasks after the answer."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    def fetch(self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: Reply | None) -> AsgiFetch:
        """See Origin."""
        assert isinstance(request, AsgiRequest)
        fetch = AsgiFetch(request, receiver)
        task = asyncio.get_running_loop().create_task(fetch.run(self._app, fields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return fetch

    async def aclose(self, timeout: float) -> None:
        """Let calls under way end, for at most `timeout` seconds; then cancel them."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class AsgiFetch:
    """One call of the app: a Fetch, and the `receive` and `send` that the app is given."""

    __slots__ = ("_asked", "_cancelled", "_complete", "_gone", "_left", "_receiver", "_request", "_resumed", "_started")

    def __init__(self, request: AsgiRequest, receiver: Receiver) -> None:
        self._request = request
        self._receiver = receiver
        self._asked = False
        self._started = False
        self._left: int | None = None
        """Bytes of the body that are still to come; None where the app did not say."""
        self._complete = False
        self._cancelled = False
        self._resumed: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None

    async def run(self, app: App, fields: RawFields) -> None:
        """Call the app and report how that ended."""
        try:
            await app({**self._request.scope, "headers": fields}, self.receive, self.send)
        except asyncio.CancelledError:
            self._fail("was cancelled")
            raise
        except Exception as error:  # noqa: BLE001  # whatever an app raises is raised again for its client
            if self._complete or self._cancelled:
                _log.exception("the app failed after its answer to %r", self._request.target)
                return
            self._request.failure = error
            self._fail(f"raised {type(error).__name__}")
        else:
            self._fail("ended without a complete answer")

    async def receive(self) -> Message:
        """There is no body; later the disconnect, once the answer is complete or nobody wants it."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._complete and not self._cancelled:
            if self._gone is None:
                self._gone = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._gone)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Hand on what the app sends, at the pace of who takes it."""
        if self._complete or self._cancelled:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body":
            self._take(bytes(message.get("body", b"")), more=message.get("more_body", False))
            while self._resumed is not None and not self._cancelled:
                await asyncio.shield(self._resumed)

    def pause(self) -> None:
        """See Fetch."""
        if self._resumed is None:
            self._resumed = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """See Fetch."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    def cancel(self) -> None:
        """See Fetch: the app is told that its client has gone, and may go on as it likes."""
        self._cancelled = True
        self._release()

    def _take(self, body: bytes, *, more: bool) -> None:
        """What a client would get of it: no more than was announced, and less is no complete answer (RFC 9112, 8)."""
        if self._left is not None:
            body = body[: self._left]
            self._left -= len(body)
        if body:
            self._receiver.on_body(body)
        if more or self._cancelled:
            return
        if self._left:
            self._fail("sent less than its Content-Length")
            return
        self._complete = True
        self._release()
        self._receiver.on_end()

    def _begin(self, message: Message) -> None:
        self._started = True
        fields = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
        length = None
        for name, value in fields:
            if name == b"content-length" and value.isdigit():
                length = int(value)
        if self._request.method == b"HEAD" or message["status"] in (204, 304):
            length = 0
        self._left = length
        self._receiver.on_head(message["status"], b"", fields, length)

    def _fail(self, what: str) -> None:
        if self._complete or self._cancelled:
            return
        self._complete = True
        self._release()
        sent = Sent.YES if self._started else Sent.UNKNOWN
        self._receiver.on_failed(ConnectionLost(f"the app {what}", sent=sent))

    def _release(self) -> None:
        self.resume()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
