"""What `cache_embedded` serves: an answer of 1 KB, bare and behind CacheMiddleware; and the server's own CPU time."""

from __future__ import annotations

import resource
from typing import Any

from penstock import CacheMiddleware

_BODY = b"x" * 1024
_FIELDS = [(b"content-type", b"text/plain"), (b"content-length", b"1024"), (b"cache-control", b"max-age=86400")]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The least that an app can do."""
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    body, fields = _BODY, _FIELDS
    if scope["path"] == "/usage":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        body = b"%f" % (usage.ru_utime + usage.ru_stime)
        fields = [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


cached = CacheMiddleware(bare)
_other = CacheMiddleware(bare)
_asked = 0


async def long_way(scope: Any, receive: Any, send: Any) -> None:
    """Each request with a field that nobody has sent so far, in a case that makes it count: looked up by the rules."""
    global _asked
    _asked += 1
    scope["headers"] = [*scope["headers"], (b"X-Asked", b"%d" % _asked)]
    await _other(scope, receive, send)
