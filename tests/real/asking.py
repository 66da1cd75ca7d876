"""An ASGI app asked in process: each request in a context and a task of its own, as a server has it."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.migrate.choice import FORCED


@dataclass
class Told:
    """An answer."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(app: Any, path: str, *, arm: str | None = None, headers: Mapping[str, str] | None = None) -> Told:
    """GET `path`; with `arm`, every route that has it serves it."""
    context = contextvars.Context()
    context.run(FORCED.set, arm)
    return await asyncio.create_task(_ask(app, path, headers or {}), context=context)


async def _ask(app: Callable[..., Awaitable[None]], path: str, headers: Mapping[str, str]) -> Told:
    told = Told()
    came = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if came:
            return came.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            told.status = message["status"]
            told.fields = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            told.body += message.get("body", b"")

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return told
