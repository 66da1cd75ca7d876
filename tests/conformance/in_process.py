"""The suite without a network and without waiting (section 10): the origin is an ASGI app, the cache wraps it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .exchange import RunnerRequest, RunnerResponse, TransportError, decoded, response_headers
from .origin_state import OriginState, now_date

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class HungUp(Exception):
    """What the origin raises in place of closing its connection."""


class OriginApp:
    """The origin as an ASGI app. It cannot send 1xx responses, and its server frames the body."""

    def __init__(self, state: OriginState) -> None:
        self._state = state

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        answer = await self._state.answer(scope["method"], target, headers)
        if answer.disconnect:
            raise HungUp
        lines = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        if not answer.has("date"):
            lines.append((b"date", now_date().encode()))
        bodiless = answer.status in (204, 304) or scope["method"] == "HEAD"
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": b"" if bodiless else answer.body})


class AsgiTransport:
    """A Transport that calls an ASGI app, as a server would."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def exchange(self, request: RunnerRequest, limit: float) -> RunnerResponse:
        """As in Transport."""
        path, _, query = request.target.partition("?")
        lines = [
            (b"host", b"conformance.test"),
            *((n.lower().encode(), v.encode("latin-1")) for n, v in request.headers),
        ]
        if request.body is not None:
            lines.append((b"content-length", str(len(request.body)).encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": lines,
            "client": ("192.0.2.1", 1234),
            "server": ("conformance.test", 80),
        }
        return await self._call(scope, request, limit)

    async def _call(self, scope: MutableMapping[str, Any], request: RunnerRequest, limit: float) -> RunnerResponse:
        sent: list[Message] = []
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await asyncio.get_running_loop().create_future()
            asked = True
            return {"type": "http.request", "body": request.body or b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            async with asyncio.timeout(limit):
                await self._app(scope, receive, send)
        except TimeoutError:
            raise
        except Exception as error:
            # A server only logs what is raised after a complete answer; before it, it answers 500 or breaks off.
            if not sent:
                return RunnerResponse(500, {})
            if sent[-1]["type"] != "http.response.body" or sent[-1].get("more_body"):
                raise TransportError(f"the app failed: {error!r}") from error
        return _response(sent)


def _response(sent: list[Message]) -> RunnerResponse:
    if not sent or sent[0]["type"] != "http.response.start" or sent[-1].get("more_body"):
        raise TransportError("the app did not answer to the end")
    headers = response_headers((n.decode("latin-1"), v.decode("latin-1")) for n, v in sent[0].get("headers", ()))
    response = RunnerResponse(sent[0]["status"], headers)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    response.body = decoded(body, headers.get("content-encoding", ""))
    return response
