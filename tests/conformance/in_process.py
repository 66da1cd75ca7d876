"""The suite without a network and without waiting: section 10. Cache, runner and origin share a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from penstock.clock import Clock, current_clock
from penstock.testing import run_virtual

from .exchange import RunnerRequest, RunnerResponse, TransportError, decoded, response_headers
from .origin_state import OriginState, now_date
from .runner import Result, run_tests
from .suite import Test

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
MakeApp = Callable[[App, Clock], App]


class OriginHungUp(ConnectionError):
    """The origin app's nearest to closing the connection without a byte."""


@dataclass(slots=True)
class InProcessRun:
    """The results by test id, and what the app raised besides the hang-ups of the origin."""

    results: dict[str, Result]
    app_errors: list[BaseException] = field(default_factory=list)


def run_in_process(tests: Sequence[Test], make_app: MakeApp) -> InProcessRun:
    """Run the tests against `make_app(origin_app, clock)` in virtual time; takes seconds.

    `make_app` is called once, on the loop. The app gets `lifespan` first if it knows it.
    """
    return run_virtual(_run(tests, make_app))


async def _run(tests: Sequence[Test], make_app: MakeApp) -> InProcessRun:
    state = OriginState()
    app = make_app(origin_app(state), current_clock())
    caller = AppCaller(app)
    async with _Lifespan(app):
        results = await run_tests(tests, state, caller)
        await caller.drain()
    return InProcessRun(results, caller.errors)


def origin_app(state: OriginState) -> App:
    """The origin as an ASGI app. It sends a Date, as an origin behind a server would; 1xx it cannot send."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _accept_lifespan(receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        raw_path = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        target = (raw_path + (b"?" + query if query else b"")).decode("latin-1")
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        answer = await state.answer(scope["method"], target, response_headers(lines))
        if answer.disconnect:
            raise OriginHungUp(target)
        headers = [(name.lower().encode("latin-1"), value.encode()) for name, value in answer.headers]
        if not answer.has("date"):
            headers.append((b"date", now_date().encode()))
        bodiless = answer.status in (204, 304) or scope["method"] == "HEAD"
        if not bodiless and not answer.has("content-length") and not answer.has("transfer-encoding"):
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return app


class AppCaller:
    """A Transport that calls an ASGI app as a server would, without a server."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()
        self.errors: list[BaseException] = []

    async def exchange(self, request: RunnerRequest, limit: float) -> RunnerResponse:
        """As in Transport. An app that fails before its head is a 500, as from a server; later, a broken body."""
        call = _AppCall(request)
        task = asyncio.get_running_loop().create_task(self._serve(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(limit):
                await call.ended.wait()
        except TimeoutError as error:
            task.cancel()
            if call.start is None:
                raise
            return call.response(error)
        return call.response(None)

    async def drain(self) -> None:
        """Wait for what apps still do after their responses; an hour of virtual time at most."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=3600)
            for task in late:
                self.errors.append(RuntimeError(f"still at work after an hour: {task!r}"))
                task.cancel()

    async def _serve(self, call: _AppCall) -> None:
        try:
            await self._app(call.scope(), call.receive, call.send)
        except Exception as error:  # noqa: BLE001  # a server survives whatever an app raises
            if not isinstance(error, OriginHungUp):
                self.errors.append(error)
            call.problem = error
        finally:
            call.ended.set()


class _AppCall:
    """One call of the app."""

    def __init__(self, request: RunnerRequest) -> None:
        self.request = request
        self.start: Message | None = None
        self.body = bytearray()
        self.complete = False
        self.problem: Exception | None = None
        self.ended = asyncio.Event()
        self._asked = False

    def scope(self) -> Message:
        """By ASGI 3, spec 2.3."""
        path, _, query = self.request.target.partition("?")
        headers = [(b"host", b"cache.test")]
        headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.request.headers]
        if self.request.body is not None:
            headers.append((b"content-length", str(len(self.request.body)).encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.request.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("cache.test", 80),
            "state": {},
        }

    async def receive(self) -> Message:
        """The body, then nothing until the response is complete."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.request.body or b"", "more_body": False}
        await self.ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a message, as strictly as a server."""
        if message["type"] == "http.response.start":
            if self.start is not None:
                raise RuntimeError("a second http.response.start")
            self.start = message
        elif message["type"] != "http.response.body" or self.start is None or self.complete:
            raise RuntimeError(f"{message['type']} at the wrong time")
        else:
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                self.complete = True
                self.ended.set()

    def response(self, late: TimeoutError | None) -> RunnerResponse:
        """What a client would have received."""
        if self.start is None:
            return RunnerResponse(500, {"content-type": "text/plain"}, body=b"Internal Server Error")
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.start.get("headers", ())]
        response = RunnerResponse(self.start["status"], response_headers(lines))
        try:
            if late is not None:
                raise late
            response.body = decoded(self._framed(response), response.headers.get("content-encoding", ""))
        except (TransportError, TimeoutError) as error:
            response.body_problem = error
        return response

    def _framed(self, response: RunnerResponse) -> bytes:
        """The body as a client reads it, by the length that was announced."""
        if not self.complete:
            raise TransportError(f"the app ended within its body: {self.problem!r}")
        if self.request.method == "HEAD" or response.status in (204, 304):
            return b""
        announced = response.headers.get("content-length")
        if announced is None or "transfer-encoding" in response.headers:
            return bytes(self.body)
        if not (announced.isascii() and announced.isdigit()) or int(announced) > len(self.body):
            raise TransportError(f"a body of {len(self.body)} bytes with the length {announced!r}")
        return bytes(self.body[: int(announced)])


class _Lifespan:
    """Starts and stops the app as a server would; an app that does not know lifespan is left alone."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._serve())
        await self._step("startup")

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        if not self._task.done():
            await self._step("shutdown")
        await self._task

    async def _serve(self) -> None:
        scope: Message = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        known = False

        async def receive() -> Message:
            return await self._to_app.get()

        async def send(message: Message) -> None:
            nonlocal known
            known = True
            await self._from_app.put(message)

        try:
            await self._app(scope, receive, send)
        except Exception:
            # Servers take this as "does not know lifespan"; after the first answer it is an error.
            if known:
                raise
        finally:
            await self._from_app.put({"type": "ended"})

    async def _step(self, name: str) -> None:
        await self._to_app.put({"type": f"lifespan.{name}"})
        answer = await self._from_app.get()
        if answer["type"] == f"lifespan.{name}.failed":
            raise RuntimeError(f"the app's {name} failed: {answer.get('message', '')}")


async def _accept_lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
