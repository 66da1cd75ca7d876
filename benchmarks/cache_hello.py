"""The smallest ASGI app: 1 KB of text for every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

_BODY = b"x" * 1024
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"1024")],
}
_END = {"type": "http.response.body", "body": _BODY}


async def app(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """ASGI 3."""
    if scope["type"] == "http":
        await send(_START)
        await send(_END)
    elif scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
