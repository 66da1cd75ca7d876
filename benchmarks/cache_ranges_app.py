"""What `cache_ranges` asks: 100 KB that take `SLOW_SECONDS`, by an app that has no ranges; bare, and in the middleware.

`/length/...` says how long it is, `/chunked/...` does not, `/quick/...` is there at once. `/_count` says how many calls
there were for the others.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from penstock import CacheMiddleware

PIECES = 30
_PIECE = b"x" * 3413
_SECONDS = float(os.environ.get("SLOW_SECONDS", "3"))
_calls = 0


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app."""
    global _calls
    path = scope["path"]
    if path == "/_count":
        await _answer(send, b"%d" % _calls, [(b"cache-control", b"no-store")])
        return
    _calls += 1
    known = [] if path.startswith("/chunked") else [(b"content-length", b"%d" % (PIECES * len(_PIECE)))]
    headers = [(b"cache-control", b"max-age=600"), (b"content-type", b"video/mp4"), *known]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(PIECES):
        if number and not path.startswith("/quick"):
            await asyncio.sleep(_SECONDS / PIECES)
        await send({"type": "http.response.body", "body": _PIECE, "more_body": number < PIECES - 1})


async def _answer(send: Any, body: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    headers = [*fields, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


cached = CacheMiddleware(bare)
