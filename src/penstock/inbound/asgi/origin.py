"""The app as the origin: each request to it is a task of its own, which outlives the client that caused it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator

from ...errors import CallError, ConnectionLost
from ...messages import RawFields
from ...wire.streams import Receiver
from ..cache.protocols import ClientReply, InboundRequest
from .request import AsgiRequest, Message, Scope, length_in

_LOG = logging.getLogger("penstock.cache")


class ClientGone(OSError):
    """What `send` raises in an app whose answer nobody wants any more (ASGI HTTP 2.4)."""


class AppOrigin:
    """An Origin: runs the app that the request came for."""

    def __init__(self) -> None:
        self.runs: set[AppRun] = set()
        """Those under way, background tasks after the answer included."""
        self.failing: list[BaseException] = []
        """The exception of an app, while those who waited for its answer are told."""

    def fetch(
        self, request: InboundRequest, fields: RawFields, receiver: Receiver, _reply: ClientReply | None
    ) -> AppRun:
        """Run the app; the answer goes to `receiver`. The requests are AsgiRequests without a body."""
        assert isinstance(request, AsgiRequest)
        if request.run is not None:
            # The engine asks again for the same flight; it wants no more of the first answer.
            request.run.mute(receiver)
        run = AppRun(self, request, fields, receiver)
        request.run = run
        self.runs.add(run)
        run.start()
        return run

    async def aclose(self, timeout: float) -> None:
        """Wait for what is under way for at most `timeout` seconds, then cancel it."""
        tasks = {run.task for run in self.runs if run.task is not None}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            # An app may refuse to be cancelled; that must not keep the server from stopping.
            await asyncio.wait(late, timeout=1.0)


class AppRun:
    """One request to the app; a Fetch, and the `receive` and `send` that the app is given."""

    __slots__ = (
        "_cancelled",
        "_fields",
        "_length",
        "_origin",
        "_over",
        "_paused",
        "_receiver",
        "_reported",
        "_request",
        "_size",
        "_stage",
        "_told",
        "error",
        "failed",
        "task",
    )

    def __init__(self, origin: AppOrigin, request: AsgiRequest, fields: RawFields, receiver: Receiver) -> None:
        self._origin = origin
        self._request = request
        self._fields = fields
        self._receiver: Receiver | None = receiver
        self._stage = "head"
        self._length: int | None = None
        self._size = 0
        self._told = False
        self._cancelled = False
        self._reported = False
        self._paused: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] | None = None
        """Done once there is nobody to answer any more."""
        self.task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None
        """What the app raised."""
        self.failed = False
        """It ended before its answer was complete, and whoever waited was told so."""

    def start(self) -> None:
        """Make the task. Its context is a copy of the request's, as the app would have it."""
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(self._ended)

    def mute(self, receiver: Receiver) -> None:
        """Tell `receiver` no more."""
        if self._receiver is receiver:
            self._receiver = None

    async def wait(self) -> None:
        """Wait until the app has returned. Who waits may be cancelled without any harm to the app."""
        if self.task is not None and not self.task.done():
            await asyncio.wait({self.task})

    def raise_error(self) -> None:
        """Raise what the app raised, if it did."""
        self._reported = True
        if self.error is not None:
            raise self.error

    def report(self) -> None:
        """Log what the app raised, where it has ended and nobody else will hear of it."""
        task = self.task
        if self._reported or task is None or not task.done() or task.cancelled():
            return
        self._reported = True
        error = task.exception()
        if error is not None and not (self._cancelled and _is_departure(error)):
            _LOG.error("the application failed, and nobody is left to be told", exc_info=error)

    # A Fetch.

    def pause(self) -> None:
        """Let the app's `send` wait."""
        if self._paused is None:
            self._paused = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """Let it go on."""
        if self._paused is not None:
            self._paused.set_result(None)
            self._paused = None

    def cancel(self) -> None:
        """Nobody wants the answer: the app is told as by a server whose client has gone, and ends by itself."""
        self._cancelled = True
        self._receiver = None
        self.resume()
        self._finish()

    # What the app is given.

    async def receive(self) -> Message:
        """An empty body, then nothing until the answer is complete or not wanted any more."""
        if not self._told:
            self._told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._stage != "end" and not self._cancelled:
            if self._over is None:
                self._over = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Hand the answer on. Raises ClientGone where nobody wants it, RuntimeError for messages out of order."""
        if self._cancelled:
            raise ClientGone("the client has gone")
        kind = message["type"]
        if kind == "http.response.body":
            self._take_body(message)
        elif kind == "http.response.start":
            self._take_head(message)
        # Everything else is an extension, and the app was not offered any.
        while self._paused is not None:
            await asyncio.shield(self._paused)
        if self._cancelled:
            raise ClientGone("the client has gone")

    def _take_head(self, message: Message) -> None:
        if self._stage != "head":
            raise RuntimeError("the application sent http.response.start twice")
        self._stage = "body"
        fields = [(name.lower(), bytes(value)) for name, value in message.get("headers", ())]
        if self._request.method != b"HEAD" and message["status"] not in (204, 304):
            self._length = length_in(fields)
        if self._receiver is not None:
            self._receiver.on_head(message["status"], b"", fields, self._length)

    def _take_body(self, message: Message) -> None:
        if self._stage != "body":
            raise RuntimeError("the application sent http.response.body before the start or after the end")
        chunk = bytes(message.get("body", b""))
        more = message.get("more_body", False)
        self._size += len(chunk)
        if self._length is not None and (self._size > self._length or (not more and self._size < self._length)):
            raise RuntimeError(f"the application sent {self._size} bytes where Content-Length says {self._length}")
        if chunk and self._receiver is not None:
            self._receiver.on_body(chunk)
        if not more:
            self._stage = "end"
            receiver, self._receiver = self._receiver, None
            if receiver is not None:
                receiver.on_end()
            self._finish()

    def _finish(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    # The task.

    async def _run(self) -> None:
        if self.task is None:
            # An eager task: the engine must not hear of the answer before `fetch` has returned.
            await _Turn()
        scope = self._scope()
        try:
            await self._request.app(scope, self.receive, self.send)
            if self._stage != "end" and not self._cancelled:
                raise RuntimeError("the application returned without completing its response")
        except asyncio.CancelledError:
            self._fail(ConnectionLost("the application was stopped"), None)
            raise
        except BaseException as error:
            self.error = error
            self._fail(ConnectionLost("the application failed"), error)
            raise

    def _fail(self, why: CallError, error: BaseException | None) -> None:
        receiver, self._receiver = self._receiver, None
        stage, self._stage = self._stage, "end"
        self._finish()
        if receiver is None:
            return
        self.failed = True
        failing = self._origin.failing
        failing.append(error or why)
        try:
            if stage == "head" and error is not None and not isinstance(error, ConnectionError):
                # An app that raises is not one that cannot be reached: it counts as the 500 that a server makes of it.
                # But a ConnectionError says that what stands behind the app cannot be (RFC 9111, 4.2.4).
                receiver.on_head(500, b"", [(b"cache-control", b"no-store")], 0)
                receiver.on_end()
            else:
                receiver.on_failed(why)
        finally:
            failing.pop()

    def _scope(self) -> Scope:
        """A scope of its own: the engine's fields and query, and no extension by which the server would answer."""
        request = self._request
        scope = {**request.scope, "headers": self._fields}
        if b"?" in request.target or scope.get("query_string"):
            scope["query_string"] = request.target.partition(b"?")[2]
        extensions = scope.get("extensions")
        if extensions:
            scope["extensions"] = {name: extensions[name] for name in ("tls",) if name in extensions}
        return scope

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._origin.runs.discard(self)
        if not task.cancelled():
            # For asyncio it is heard of now; what becomes of it is told by `report` and `raise_error`.
            task.exception()
        if not (self._request.attended and self._request.run is self):
            self.report()


class _Turn:
    """Awaited, it lets the loop run once."""

    def __await__(self) -> Generator[None]:
        yield


def _is_departure(error: BaseException | None) -> bool:
    """Whether it comes of nothing but ClientGone, bare, wrapped, or in a group of such."""
    if isinstance(error, ClientGone):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(_is_departure(each) for each in error.exceptions)
    return error is not None and _is_departure(error.__cause__ or error.__context__)
