"""Raw ASGI calls: what a server would do, without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from penstock.inbound.asgi.request import App, Message

Field = tuple[bytes, bytes]


class Client:
    """One request to an app, as a server puts it; `go` makes it. What came back is in the attributes."""

    def __init__(
        self,
        app: App,
        target: str = "/",
        *,
        method: str = "GET",
        fields: Iterable[Field] = (),
        host: bytes | None = b"example.com",
        body: Iterable[bytes] = (),
        **scope: Any,
    ) -> None:
        path, _, query = target.partition("?")
        headers = [*([(b"host", host)] if host is not None else []), *fields]
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 50000),
            "server": ("127.0.0.1", 80),
        } | scope
        self.app = app
        self.messages: list[Message] = []
        self.gone = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self._body = [*body] or [b""]
        self.on_send: Callable[[Message], None] | None = None

    async def go(self) -> Client:
        """The whole request."""
        await self.app(self.scope, self.receive, self.send)
        return self

    async def receive(self) -> Message:
        """As a server: the body, then the disconnect."""
        if self._body:
            chunk = self._body.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._body)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """As a server whose client takes what comes once `takes` is set."""
        await self.takes.wait()
        if self.gone.is_set():
            raise OSError("gone")
        self.messages.append(message)
        if self.on_send is not None:
            self.on_send(message)

    @property
    def status(self) -> int:
        """That of the answer."""
        status: int = self.messages[0]["status"]
        return status

    @property
    def fields(self) -> dict[bytes, bytes]:
        """Those of the answer; of several with one name the last."""
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        """What came of the body."""
        return b"".join(m.get("body", b"") for m in self.messages[1:])

    @property
    def complete(self) -> bool:
        """The answer has its end."""
        return len(self.messages) > 1 and not self.messages[-1].get("more_body", False)

    @property
    def cache_status(self) -> str:
        """What penstock says."""
        return self.fields[b"cache-status"].decode()


class Site:
    """An app that counts its calls and answers as it is told: a status, fields and chunks for all."""

    def __init__(
        self, *chunks: bytes, status: int = 200, fields: Iterable[Field] = ((b"cache-control", b"max-age=60"),)
    ) -> None:
        self.status = status
        self.fields = [*fields]
        self.chunks = [*chunks] or [b"hello"]
        self.scopes: list[dict[str, Any]] = []
        self.pace = 0.0
        self.delay = 0.0
        self.sent: list[bytes] = []

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.scopes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        self.scopes.append(scope)
        if self.delay:
            await asyncio.sleep(self.delay)
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.fields]})
        for chunk in self.chunks:
            if self.pace:
                await asyncio.sleep(self.pace)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.sent.append(chunk)
        await send({"type": "http.response.body", "body": b""})
